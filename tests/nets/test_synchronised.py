"""Batch normalisation of several processes: one process with all pictures is the twin."""

import copy

import pytest
import torch
from torch import nn

from phalanx.nets.blocks import ConvUnit, Residual, fold_batch_norm
from phalanx.nets.synchronised import SynchronisedBatchNorm2d, synchronise_batch_norm


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(ConvUnit(2, 4), Residual(4, 6, stride=2))
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return made


def test_conversion_keeps_parameters_names_and_what_is_computed_alone():
    plain, made = network(), network()
    before, names = list(made.parameters()), list(made.state_dict())
    synchronise_batch_norm(made)
    assert all(a is b for a, b in zip(made.parameters(), before, strict=True)) and list(made.state_dict()) == names
    assert sum(isinstance(layer, SynchronisedBatchNorm2d) for layer in made.modules()) == 4
    pictures = torch.randn(3, 2, 8, 8)
    assert torch.equal(made.train()(pictures), plain.train()(pictures))
    twin = copy.deepcopy(made).eval()
    assert torch.equal(twin(pictures), plain.eval()(pictures))
    fold_batch_norm(twin)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in twin.modules())


@pytest.mark.parametrize("share", [2, 3])
def test_two_processes_compute_what_one_does(two_processes, share):
    """Outputs, gradients and running statistics, also where the shares of the batch are unequal."""
    torch.manual_seed(1)
    pictures = torch.randn(4, 2, 8, 8) + 30.0  # far from 0, where sums of squares lose digits
    code = """
from phalanx.nets.synchronised import synchronise_batch_norm
network, pictures, share = given
synchronise_batch_norm(network)
own = (pictures[:share], pictures[share:])[rank].clone().requires_grad_()
for step in range(2):  # the second meets statistics that the first left
    network.zero_grad()
    own.grad = None
    seen = network.train()(own)
    seen.square().sum().backward()
with torch.no_grad():
    afterwards = network.eval()(own)
result = seen.detach(), own.grad, [p.grad for p in network.parameters()], list(network.buffers()), afterwards
"""
    whole = network()
    parts = two_processes(code, (whole, pictures, share))
    pictures.requires_grad_()
    for _ in range(2):
        whole.zero_grad()
        pictures.grad = None
        seen = whole.train()(pictures)
        seen.square().sum().backward()
    near = {"atol": 2e-5, "rtol": 1e-5}
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), seen.detach(), **near)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), pictures.grad, **near)
    for first, second, parameter in zip(parts[0][2], parts[1][2], whole.parameters(), strict=True):
        torch.testing.assert_close(first + second, parameter.grad, atol=1e-4, rtol=1e-4)
    for part in parts:
        torch.testing.assert_close(part[3], list(whole.buffers()), **near)
    torch.testing.assert_close(torch.cat([part[4] for part in parts]), whole.eval()(pictures).detach(), **near)
