import math

import torch

from phalanx.losses.heatmaps import gaussian_cross_entropy, gaussian_maps


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
