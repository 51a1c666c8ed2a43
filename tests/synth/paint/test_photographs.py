"""Photographed detail: all there, fine only, and different for everybody."""

import numpy as np

from phalanx.core.seeding import generator
from phalanx.synth.paint.photographs import SPAN, mix_detail, photographs
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, unwrap
from phalanx.synth.paint.surface import hand


def _pixels():
    model, topology = hand("cpu")
    return unwrap(model, topology.uv)


def test_six_skins_have_detail_on_the_hand_and_none_beside_it():
    known = photographs()
    assert known.shape == (6, TEXTURE_SIDE, TEXTURE_SIDE, 3)
    on_hand = np.zeros(TEXTURE_SIDE**2, bool)
    on_hand[_pixels().pixel] = True
    flat = known.reshape(6, -1, 3)
    assert (flat[:, on_hand].std(1) > 0.015).all()
    assert np.abs(flat[:, on_hand].mean(1)).max() < 0.01  # the broad colour is taken away
    assert np.abs(flat).max() <= SPAN * 128 / 127
    assert (np.abs(flat[:, ~on_hand]).max(-1) > 0).mean() < 0.1  # a narrow rim


def test_creases_of_fingers_are_red_in_the_photographs():
    texels = _pixels()
    blood = photographs()[..., 1].reshape(6, -1)[:, texels.pixel].mean(0)
    joints = hand("cpu")[0].rest_joints.numpy()
    palmar = texels.normal[:, 2] > 0.5
    for finger in (5, 9, 13):
        distance = np.abs(texels.position[:, 1] - joints[finger + 1, 1])
        own = palmar & (np.abs(texels.position[:, 0] - joints[finger, 0]) < 0.008)
        between = own & (np.abs(texels.position[:, 1] - 0.5 * (joints[finger, 1] + joints[finger + 1, 1])) < 0.004)
        assert blood[own & (distance < 0.004)].mean() > blood[between].mean() + 0.01


def test_mixtures_differ_and_halves_share_nothing():
    pixel = _pixels().pixel
    first, second = (mix_detail(generator(0, i), pixel, TEXTURE_SIDE).blood for i in (0, 1))
    assert np.array_equal(first, mix_detail(generator(0, 0), pixel, TEXTURE_SIDE).blood)
    assert np.corrcoef(first, second)[0, 1] < 0.9
    known = photographs().reshape(6, -1, 3)[:, pixel, 1].astype(np.float64)
    for half in (0, 1):
        mixed = mix_detail(generator(half), pixel, TEXTURE_SIDE, half).blood
        likeness = np.array([np.corrcoef(mixed, blood)[0, 1] for blood in known])
        assert likeness.argmax() % 2 == half and likeness.max() > 0.4
