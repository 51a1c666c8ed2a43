"""Pigments: colour and amounts go both ways, and pigments do what pigments do."""

import numpy as np
import pytest

from phalanx.synth.paint.pigment import DIRECTIONS, join, reflectance, separate


def test_amounts_found_in_a_colour_make_it_again():
    amounts = np.random.default_rng(0).normal(0, 0.3, (50, 3)) + [0.4, 0.3, 0.1]
    assert np.allclose(separate(join(amounts)), amounts)
    assert np.allclose(DIRECTIONS[:, 1], 1.0) and np.allclose(DIRECTIONS[2], 1.0)


@pytest.mark.parametrize("pigment", [0, 1])
def test_more_of_a_pigment_of_the_model_is_found_as_that_pigment(pigment):
    little, much = np.array([0.03, 0.02]), np.array([0.03, 0.02])
    much[pigment] *= 1.3
    change = separate(reflectance(*much)) - separate(reflectance(*little))
    assert change[pigment] > 0.02
    assert np.abs(np.delete(change, pigment)).max() < 0.35 * change[pigment]


def test_melanin_darkens_blue_most_and_blood_green_against_red():
    pale = np.log(reflectance(0.02, 0.015))
    tanned, flushed = np.log(reflectance(0.08, 0.015)) - pale, np.log(reflectance(0.02, 0.04)) - pale
    assert tanned[2] < tanned[1] < tanned[0] < 0
    assert flushed[1] < 2 * flushed[0] < 0


def test_dark_skin_flushes_less():
    change = [np.log(reflectance(m, 0.04) / reflectance(m, 0.015))[1] for m in (0.02, 0.4)]
    assert change[0] < 2 * change[1] < 0


def test_skin_reflects_as_measured():
    # Light skin reflects some 0.6 in red and 0.35 in green, dark skin a tenth (Anderson and Parrish 1981).
    assert reflectance(0.03, 0.02) == pytest.approx([0.56, 0.36, 0.26], abs=0.1)
    assert 0.03 < reflectance(0.4, 0.02)[1] < 0.12
