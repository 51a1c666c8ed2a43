import time

import pytest
import torch
from torch import nn

from phalanx.train import muon
from phalanx.train.muon import Muon, faster_iteration, orthogonalised

PRECISIONS = (torch.float32, torch.bfloat16)


def matrices():
    torch.manual_seed(0)
    return [torch.randn(m, n) @ torch.diag(torch.linspace(0.3, 3, n)) for m, n in ((6, 20), (20, 6), (7, 7))]


def by_singular_values(matrix, steps):
    """The twin: the polynomial of each singular value by itself, in double precision."""
    u, values, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.norm()
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ torch.diag(values) @ vh


@pytest.mark.parametrize("steps", [0, 1, 4, 6])
def test_the_iteration_is_a_polynomial_of_the_singular_values(steps):
    for matrix in matrices():
        got = orthogonalised(matrix, steps, torch.float32)
        torch.testing.assert_close(got.double(), by_singular_values(matrix, steps), atol=2e-5, rtol=0)
        again = orthogonalised(matrix.double(), steps, torch.float64)
        torch.testing.assert_close(again, by_singular_values(matrix, steps), atol=1e-6, rtol=0)  # 1e-7 beside the norm


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_orthogonalised_keeps_directions_and_levels_lengths(dtype):
    for matrix in matrices()[:2]:
        result = orthogonalised(matrix, steps=6, dtype=dtype)
        assert result.dtype == torch.float32
        values = torch.linalg.svdvals(result)
        assert 0.6 < float(values.min()) and float(values.max()) < 1.3
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        exact = u @ vh
        assert float((result * exact).sum() / (result.norm() * exact.norm())) > 0.97


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_optimiser_iterates_in_its_precision(dtype):
    layer = nn.Conv2d(3, 4, 3, bias=False)
    before, gradient = layer.weight.detach().clone(), torch.randn_like(layer.weight)
    layer.weight.grad = gradient.clone()
    Muon(layer.parameters(), lr=0.5, momentum=0.0, dtype=dtype).step()
    want = before - 0.5 * orthogonalised(gradient.flatten(1), 4, dtype).view_as(before)
    torch.testing.assert_close(layer.weight.detach(), want, atol=1e-6, rtol=0)
    other = before - 0.5 * orthogonalised(gradient.flatten(1), 4, PRECISIONS[dtype == torch.float32]).view_as(before)
    assert float((layer.weight.detach() - other).abs().max()) > 1e-4


@pytest.mark.parametrize("slow", PRECISIONS)
def test_the_faster_precision_is_found_without_touching_kernels_or_random_numbers(slow, monkeypatch):
    seen = set()

    def sleepy(matrix, steps, dtype):
        seen.add(tuple(matrix.shape))
        time.sleep(0.003 if dtype == slow else 0.0)
        return matrix

    monkeypatch.setattr(muon, "orthogonalised", sleepy)
    kernels = [torch.zeros(4, 3, 3, 3), torch.zeros(8, 4, 3, 3), torch.zeros(4, 3, 3, 3)]
    state = torch.get_rng_state()
    assert faster_iteration(kernels) == PRECISIONS[slow == torch.float32]
    assert seen == {(4, 27), (8, 36)} and not any(kernel.any() for kernel in kernels)
    assert torch.equal(torch.get_rng_state(), state)


def test_finds_a_linear_map():
    torch.manual_seed(0)
    wanted = torch.randn(8, 12)
    layer = nn.Linear(12, 8, bias=False)
    descent = Muon(layer.parameters(), lr=0.1)
    x = torch.randn(64, 12)
    first = last = 0.0
    for step in range(150):
        for group in descent.param_groups:
            group["lr"] = 0.1 * (1 - step / 150)
        loss = (layer(x) - x @ wanted.T).square().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    assert last < 0.01 * first


def test_weight_decay_alone_shrinks():
    layer = nn.Conv2d(3, 4, 3, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.zeros_like(layer.weight)
    Muon(layer.parameters(), lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(layer.weight.detach(), 0.95 * before)
