"""Skin: the right things in the right places, and colours of all people."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth.paint.skin import CHANNELS, skin_bank, skin_matrices
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, paint_variant, unwrap
from phalanx.synth.paint.surface import hand


@pytest.fixture(scope="module")
def painted():
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    return model, texels, paint_variant(generator(0), texels, model.rest_joints.double().numpy())


def test_texels_lie_on_the_surface(painted):
    model, texels, _ = painted
    assert np.allclose(np.linalg.norm(texels.normal, axis=1), 1, atol=1e-6)
    some = torch.from_numpy(texels.position[::997]).float()
    assert torch.cdist(some, model.template).amin(1).max() < 0.02
    # Every face finds itself in the texture: no two pieces of skin share a place.
    uv = hand("cpu")[1].uv.mean(1).numpy()
    cell = (uv * TEXTURE_SIDE).astype(int)
    found = texels.position[texels.nearest[cell[:, 1] * TEXTURE_SIDE + cell[:, 0]]]
    middle = model.template[model.faces].mean(1).numpy()
    assert np.linalg.norm(found - middle, axis=1).max() < 0.004
    assert texels.nearest.shape == (TEXTURE_SIDE**2,)
    assert np.array_equal(texels.nearest[texels.pixel], np.arange(len(texels.pixel)))


def test_nails_are_on_the_backs_of_the_last_segments(painted):
    _, texels, fields = painted
    nail = fields["nail"] > 0.5
    segment = texels.weights[nail].argmax(1)
    assert set(segment) == {4, 7, 10, 13, 16}
    fingers = segment > 4
    assert (texels.normal[nail][fingers, 2] < 0.1).all()  # dorsal
    for last in (4, 7, 10, 13, 16):
        share = (segment == last).sum() / (texels.weights.argmax(1) == last).sum()
        assert 0.1 < share < 0.45


def test_palms_and_creases_face_the_palm(painted):
    _, texels, fields = painted
    palm_side = (texels.normal[:, 2] > 0.6) & (texels.weights[:, 0] > 0.8)
    back_side = (texels.normal[:, 2] < -0.6) & (texels.weights[:, 0] > 0.8)
    assert fields["palm"][palm_side].mean() > 0.9 and fields["palm"][back_side].mean() < 0.05
    assert fields["cavity"][palm_side].mean() > 1.3 * fields["cavity"][back_side].mean()


def test_halves_of_the_bank_are_from_different_photographs(painted):
    model, texels, _ = painted
    joints = model.rest_joints.double().numpy()
    shades = [paint_variant(generator(1), texels, joints, half)["cavity"] for half in (0, 1)]
    assert np.corrcoef(*shades)[0, 1] < 0.95


def test_bank_is_eight_bytes_a_texel():
    bank = skin_bank(1, 64, "cpu")
    assert bank.shape == (1, 64, 64) and bank.dtype == torch.int64
    layers = bank.view(torch.uint8).view(64, 64, 8)
    assert len(CHANNELS) == 8
    assert layers[..., 4].max() > 100  # nails
    assert layers[..., 6].float().mean() == pytest.approx(128, abs=2)  # slopes have no direction on the whole


def test_skins_run_from_light_to_dark():
    matrices = skin_matrices(generator(0), 2000)
    albedo = np.exp(matrices[:, :, 0])  # linear reflectance
    assert (albedo < 1.05).all() and (albedo > 0.002).all()
    red, green, blue = albedo.T
    assert ((red > green) & (green > 0.8 * blue)).mean() > 0.98
    luminance = albedo @ np.array([0.2126, 0.7152, 0.0722])
    assert np.quantile(luminance, 0.95) > 12 * np.quantile(luminance, 0.05)
    palm = np.exp(matrices[:, :, 0] + matrices[:, :, 1]) @ np.array([0.2126, 0.7152, 0.0722])
    ratio = palm / luminance
    assert (
        ratio[luminance < 0.08].mean() > 1.4 > 1.2 > ratio[luminance > 0.5].mean()
    )  # the darker the back, the lighter the palm beside it


def test_skins_of_two_ranges_of_tones_do_not_meet():
    light = skin_matrices(generator(0), 4000, (0.0, 0.4))[:, :, 0].mean(1)
    dark = skin_matrices(generator(1), 4000, (0.5, 1.0))[:, :, 0].mean(1)
    assert light.min() > dark.max() + 0.05
    everybody = skin_matrices(generator(2), 4000)[:, :, 0].mean(1)
    assert everybody.max() > light.max() - 0.3 and everybody.min() < dark.min() + 0.3


def test_nails_end_in_pale_arched_free_edges(painted):
    _, texels, fields = painted
    joints = painted[0].rest_joints.double().numpy()
    own = (fields["nail"] > 0.5) & (texels.weights[:, 10] > 0.5)  # of the middle finger
    towards_tip = texels.position[own, 1] - joints[11, 1]
    far = towards_tip > np.quantile(towards_tip, 0.95)
    near = (towards_tip > np.quantile(towards_tip, 0.3)) & (towards_tip < np.quantile(towards_tip, 0.7))
    assert fields["blood"][own][far].mean() < fields["blood"][own][near].mean() - 0.4
    side = np.abs(texels.position[own, 0] - joints[12, 0])
    assert fields["height"][own][side < 0.002].mean() > fields["height"][own][side > 0.004].mean() + 1e-4


def test_creases_and_spots_of_dark_skin_are_darker_beside_it():
    matrices = skin_matrices(generator(0), 2000)
    tone = matrices[:, :, 0].mean(1)
    dark, light = tone < np.quantile(tone, 0.2), tone > np.quantile(tone, 0.8)
    for channel in (2, 4):
        assert matrices[dark][:, :, channel].mean() < 1.3 * matrices[light][:, :, channel].mean() < 0
