import math

import pytest
import torch

from phalanx.losses.latent_depth import PEAK, SIGMA, coordinate_error, depth_labels, label_maps, map_error
from phalanx.nets.readout import integral_with_depth


def slow_labels(point, depth, height, width, sigma, peak):
    """The two labels of one joint, cell by cell."""
    heat, latent = torch.zeros(2, height, width, dtype=torch.float64)
    for r in range(height):
        for c in range(width):
            squared = ((c + 0.5) / width - float(point[0])) ** 2 + ((r + 0.5) / height - float(point[1])) ** 2
            if squared <= (3 * sigma) ** 2:
                heat[r, c] = peak * math.exp(-squared / (2 * sigma**2))
            if heat[r, c] > 0:
                latent[r, c] = float(depth)
    return heat, latent


def test_labels_are_equation_3():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 3, generator=generator, dtype=torch.float64)
    target[1, 2, :2] = torch.tensor([-0.02, 1.01])  # beyond the corner: part of the Gaussian is in the picture
    labels = label_maps(target[..., :2], 6, 9, 0.11, 1.3)
    latent = depth_labels(labels, target[..., 2])
    for b in range(2):
        for j in range(3):
            want = slow_labels(target[b, j, :2], target[b, j, 2], 6, 9, 0.11, 1.3)
            torch.testing.assert_close((labels[b, j], latent[b, j]), want)
    assert 0 < float((labels == 0).double().mean()) < 1


def test_a_joint_far_outside_has_empty_labels():
    assert not label_maps(torch.tensor([[[1.5, 0.5], [0.5, -2.0]]]), 8, 8).any()


@pytest.mark.parametrize("cells", [32, 64])
def test_labels_read_back_as_the_joints(cells):
    """Within 0.05 mm of a 300 mm cube; with a customary peak of 1 and one cell's width the background wins."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(20, 5, 3, generator=generator) * 0.8 + torch.tensor([0.1, 0.1, -0.4])
    labels = label_maps(target[..., :2], cells, cells)
    read = integral_with_depth(labels, depth_labels(labels, target[..., 2]))
    assert float((read - target).norm(dim=-1).max()) * 300 < 0.05
    thin = label_maps(target[..., :2], cells, cells, 1 / 32, 1.0)
    assert float((integral_with_depth(thin, thin)[..., :2] - target[..., :2]).norm(dim=-1).mean()) * 300 > 5


def test_coordinate_error_is_the_mean_square():
    predicted, target = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    ones = torch.ones(4, 5, dtype=torch.float64)
    mean_square = torch.nn.functional.mse_loss(predicted, target)
    torch.testing.assert_close(coordinate_error(predicted, target, ones), mean_square)
    weights = ones.clone()
    weights[:, 2:] = 0
    mean_square = torch.nn.functional.mse_loss(predicted[:, :2], target[:, :2])
    torch.testing.assert_close(coordinate_error(predicted, target, weights), mean_square)
    assert float(coordinate_error(predicted, target, 0 * ones)) == 0


def test_map_error_is_the_mean_square_of_both_maps():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 3, generator=generator, dtype=torch.float64)
    heat, depth = torch.randn(2, 2, 3, 7, 5, generator=generator, dtype=torch.float64)
    weights = torch.tensor([[1.0, 0.5, 0.0], [2.0, 1.0, 1.0]], dtype=torch.float64)
    wanted = torch.zeros(2, dtype=torch.float64)
    for b in range(2):
        for j in range(3):
            labels = slow_labels(target[b, j, :2], target[b, j, 2], 7, 5, SIGMA, PEAK)
            for k, maps in enumerate((heat, depth)):
                wanted[k] += weights[b, j] * ((maps[b, j] - labels[k]) ** 2).sum() / 35 / weights.sum()
    torch.testing.assert_close(torch.stack(map_error(heat, depth, target, weights)), wanted)


def test_labels_themselves_have_no_error():
    target = torch.rand(2, 3, 3)
    labels = label_maps(target[..., :2], 8, 8)
    assert map_error(labels, depth_labels(labels, target[..., 2]), target, torch.ones(2, 3)) == (0, 0)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 2, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(1, 2, generator=generator, dtype=torch.float64)
    maps = torch.randn(2, 1, 2, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    points = torch.randn(1, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: map_error(x[0], x[1], target, weights, sigma=0.2), maps)
    assert torch.autograd.gradcheck(lambda x: coordinate_error(x, target, weights), points)
