import math

import pytest
import torch

from phalanx.losses.latent_depth import PEAK, label_maps
from phalanx.nets.readout import integral_with_depth, peaks, read_under, soft_argmax


def test_soft_argmax_is_the_mean_cell_centre():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    points, probabilities = soft_argmax(logits)
    for b in range(2):
        for j in range(3):
            weights = logits[b, j].exp() / logits[b, j].exp().sum()
            x = sum(float(weights[r, c]) * (c + 0.5) / 6 for r in range(4) for c in range(6))
            y = sum(float(weights[r, c]) * (r + 0.5) / 4 for r in range(4) for c in range(6))
            torch.testing.assert_close(points[b, j], torch.tensor([x, y], dtype=torch.float64))
    torch.testing.assert_close(probabilities.sum(dim=(2, 3)), torch.ones(2, 3, dtype=torch.float64))


def test_a_peak_is_read_at_its_cell():
    logits = torch.zeros(1, 1, 8, 8)
    logits[0, 0, 2, 5] = 50.0
    points, probabilities = soft_argmax(logits)
    torch.testing.assert_close(points[0, 0], torch.tensor([5.5 / 8, 2.5 / 8]))
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    torch.testing.assert_close(read_under(probabilities, maps)[0, 0], torch.tensor(21.0))


def test_gradients():
    logits = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_argmax(x)[0], logits)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_integral_with_depth_is_equations_1_and_2(alpha):
    torch.manual_seed(0)
    heat, depth = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    got = integral_with_depth(heat, depth, alpha)
    for b in range(2):
        for j in range(3):
            total = x = y = z = 0.0
            for r in range(4):
                for c in range(5):
                    weight = math.exp(alpha * float(heat[b, j, r, c]))
                    total += weight
                    x += weight * (c + 0.5) / 5
                    y += weight * (r + 0.5) / 4
                    z += weight * float(depth[b, j, r, c])
            want = torch.tensor([x / total, y / total, z / total], dtype=torch.float64)
            torch.testing.assert_close(got[b, j], want)


def test_the_paper_sharpens_by_10():
    heat, depth = torch.randn(2, 1, 2, 6, 6)
    torch.testing.assert_close(integral_with_depth(heat, depth), integral_with_depth(heat, depth, 10.0))
    wide, sharp = torch.zeros(2, 1, 1, 8, 8)
    wide[0, 0, 2, 5] = sharp[0, 0, 2, 5] = 1.5
    plane = torch.arange(64.0).view(1, 1, 8, 8)
    peak = torch.tensor([5.5 / 8, 2.5 / 8, 21.0])
    assert torch.allclose(integral_with_depth(sharp, plane)[0, 0], peak, atol=1e-3)
    assert not torch.allclose(integral_with_depth(wide, plane, 1.0)[0, 0], peak, atol=0.05)


def test_integral_gradients():
    maps = torch.randn(2, 1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: integral_with_depth(x[0], x[1]), maps)


def test_peaks_of_gaussians_are_exact():
    points = torch.tensor([[[0.3, 0.62], [0.513, 0.18], [0.02, 0.97], [0.5, 0.5]]])
    maps = label_maps(points, 16, 24)
    found, heights = peaks(maps)
    torch.testing.assert_close(found, points, atol=2e-4, rtol=0)
    assert bool((heights > 0.8 * PEAK).all())


def test_peaks_have_gradients_and_empty_maps_do_no_harm():
    maps = label_maps(torch.tensor([[[0.41, 0.37]]]), 16, 16).requires_grad_(True)
    peaks(maps)[0].sum().backward()
    assert int((maps.grad != 0).sum()) == 5  # the highest cell and its four neighbours
    places, heights = peaks(torch.zeros(1, 2, 8, 8))
    assert bool(torch.isfinite(places).all()) and not heights.any()
