import math

import pytest
import torch

from phalanx.losses.heatmaps import gaussian_cross_entropy, gaussian_maps, probability_map_error


def test_maps_are_normal_densities():
    points = torch.tensor([[[0.4, 0.7]]], dtype=torch.float64)
    maps = gaussian_maps(points, 20, 30, 0.1)
    slow = torch.zeros(20, 30, dtype=torch.float64)
    for r in range(20):
        for c in range(30):
            slow[r, c] = math.exp(-(((c + 0.5) / 30 - 0.4) ** 2 + ((r + 0.5) / 20 - 0.7) ** 2) / (2 * 0.1**2))
    torch.testing.assert_close(maps[0, 0], slow / slow.sum())


def test_divergence_is_zero_at_the_target_only_and_positive_elsewhere():
    points = torch.tensor([[[0.3, 0.5], [0.8, 0.2]]], dtype=torch.float64)
    perfect = gaussian_maps(points, 16, 16, 0.05).log()
    weights = torch.ones(1, 2, dtype=torch.float64)
    assert abs(float(gaussian_cross_entropy(perfect + 3.0, points, 0.05, weights))) < 1e-9
    assert float(gaussian_cross_entropy(torch.zeros_like(perfect), points, 0.05, weights)) > 1.0
    # a joint of weight 0 does not count
    one = gaussian_cross_entropy(torch.zeros_like(perfect), points, 0.05, torch.tensor([[1.0, 0.0]]).double())
    alone = gaussian_cross_entropy(torch.zeros_like(perfect[:, :1]), points[:, :1], 0.05, weights[:, :1])
    torch.testing.assert_close(one, alone)


def test_gradients():
    logits = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    points, weights = torch.rand(1, 2, 2, dtype=torch.float64), torch.rand(1, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: gaussian_cross_entropy(x, points, 0.2, weights), logits)


def test_error_of_probabilities_is_equation_1_of_cai_2018():
    random = torch.Generator().manual_seed(0)
    stages = [torch.randn(2, 21, 6, 6, generator=random, dtype=torch.float64) for _ in range(2)]
    joints = 0.3 + 0.4 * torch.rand(2, 21, 2, generator=random, dtype=torch.float64)
    joints[0, 3] = torch.tensor([1.2, 0.5])  # out of the picture
    total, count = 0.0, 0
    for logits in stages:
        for b in range(2):
            for j in range(21):
                if (b, j) == (0, 3):
                    continue
                x, y = (6 * float(value) - 0.5 for value in joints[b, j])
                heat = torch.exp(logits[b, j]) / torch.exp(logits[b, j]).sum()
                gauss = torch.tensor(
                    [[math.exp(-0.5 * ((c - x) ** 2 + (r - y) ** 2)) for c in range(6)] for r in range(6)]
                ).double()
                total += float((2 * math.pi * (heat - gauss / gauss.sum())).square().sum())
                count += 1
    assert float(probability_map_error(stages, joints)) == pytest.approx(total / count, rel=1e-6)


def test_error_of_probabilities_is_least_where_the_joint_is():
    joints = torch.full((1, 21, 2), 0.4)
    line = (torch.arange(16) + 0.5) / 16

    def error(at):
        logits = -0.5 * 256 * ((line - at).square() + (line[:, None] - at).square())
        return float(probability_map_error([logits.expand(1, 21, 16, 16)], joints))

    errors = [error(at) for at in (0.4, 0.43, 0.46, 0.52)]
    assert errors[0] < 1e-9 and errors == sorted(errors)
