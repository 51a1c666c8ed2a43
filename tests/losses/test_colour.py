import math

import numpy as np
import pytest
import torch

from phalanx.losses.colour import colour_histograms, histogram_divergence


def test_histograms_against_a_slow_twin():
    images = torch.rand(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = colour_histograms(images, 6)
    for b in range(2):
        for c in range(3):
            shares = [0.0] * 6
            for value in images[b, c].flatten().tolist():
                place = value * 5
                low = min(int(place), 4)
                shares[low] += (1 - (place - low)) / 20
                shares[low + 1] += (place - low) / 20
            assert found[b, c].tolist() == pytest.approx(shares)


def test_values_on_the_middles_of_bins_are_counted_as_numpy_does():
    levels = torch.randint(8, (1, 1, 16, 16), generator=torch.Generator().manual_seed(1))
    found = colour_histograms(levels / 7.0, 8)[0, 0]
    hard = np.histogram(levels.numpy(), bins=8, range=(-0.5, 7.5))[0] / 256
    np.testing.assert_allclose(found, hard, atol=1e-5)


def test_divergence_is_the_printed_one_and_not_the_other_way_round():
    drawn, real = torch.tensor([[[0.7, 0.2, 0.1]]]).double(), torch.tensor([[[0.1, 0.3, 0.6]]]).double()

    def share(value):
        return (value + 1e-3) / (1 + 3e-3)

    expected = -sum(
        share(g) * math.log(share(y) / share(g)) for g, y in zip([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], strict=True)
    )
    assert float(histogram_divergence(drawn, real)) == pytest.approx(expected)
    assert float(histogram_divergence(real, drawn)) != pytest.approx(expected, rel=1e-2)
    assert float(histogram_divergence(drawn, drawn)) == 0


def test_a_gradient_leads_to_the_real_colours():
    real = colour_histograms(torch.full((1, 1, 4, 4), 0.52), 8)
    value = torch.full((1, 1, 4, 4), 0.4, requires_grad=True)
    histogram_divergence(colour_histograms(value, 8), real).backward()
    assert value.grad is not None and value.grad.isfinite().all() and (value.grad < 0).all()
    black, white = (colour_histograms(torch.full((1, 1, 4, 4), level), 8) for level in (0.0, 1.0))
    assert math.isfinite(float(histogram_divergence(black, white)))
