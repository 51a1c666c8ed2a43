"""Scenes: views of every side, hands inside their crops, cameras of all kinds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.geometry.crops import upright_angle
from phalanx.synth.scene.hands import FRAMINGS, draw_hands, draw_shapes, uniform_rotations, view_rotations
from phalanx.synth.shots import project


@pytest.fixture(scope="module")
def hands(model):
    views = draw_hands(generator(3), model, 600, 128)
    return model, views.pose, views.K


def test_a_third_of_the_views_is_from_the_side_or_back(hands):
    _, pose, _ = hands
    palm = pose.orientation[:, :, 2]
    middle = pose.translation + pose.orientation @ torch.tensor([0.0, 0.08, 0.01])
    to_camera = -middle / middle.norm(dim=1, keepdim=True)
    angle = torch.rad2deg(torch.acos((palm * to_camera).sum(1).clamp(-1, 1)))
    assert (angle > 60).float().mean() > 1 / 3
    for low, high in ((0, 60), (60, 120), (120, 181)):
        assert ((angle >= low) & (angle < high)).float().mean() > 0.15


def test_most_hands_are_turned_upright_but_the_rest_point_every_way(hands):
    model = hands[0]
    views = draw_hands(np.random.default_rng(1), model, 3000, 128)  # few of them point down
    pixels = project(model.joints(views.pose), views.K)
    angle = torch.tensor([upright_angle(joints) for joints in pixels.numpy()]).rad2deg()
    assert 0.65 < (angle.abs() < 30).float().mean() < 0.9
    for low, high in ((-180, -120), (-120, -60), (60, 120), (120, 181)):
        assert ((angle >= low) & (angle < high)).float().mean() > 0.01


def test_hands_fill_their_crops(hands):
    model, pose, K = hands
    pixels = project(model.joints(pose), K)
    extent = (pixels.amax(1) - pixels.amin(1)).amax(1) / 128
    assert extent.min() > 0.25 and extent.max() < 1.25 and 0.6 < extent.median() < 0.85
    assert (((pixels > -0.5) & (pixels < 127.5)).all(-1).sum(1) >= 14).all()
    offset = (0.5 * (pixels.amax(1) + pixels.amin(1)) / 128 - 0.5).abs()
    assert 0.02 < offset.mean() < 0.2  # off-centre, but not far


def test_cameras_are_varied(hands):
    _, pose, K = hands
    assert (K[:, 0, 2] / 128 - 0.5).abs().median() > 0.2  # crops do not have the principal point in their middle
    distance = pose.translation.norm(dim=1)
    assert distance.quantile(0.1) < 0.35 < 0.8 < distance.quantile(0.9)
    focal = K[:, 1, 1] / 128
    assert focal.quantile(0.9) > 3 * focal.quantile(0.1)


def test_rotations_are_rotations():
    for rotation in (uniform_rotations(generator(1), 50), view_rotations(generator(2), 50)):
        assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-9)
        assert np.allclose(np.linalg.det(rotation), 1)


def test_uniform_rotations_are_uniform():
    """Haar measure: the angle's density is (1 - cos) / pi, so its mean is pi / 2 + 2 / pi; axes have no mean direction."""
    rotation = uniform_rotations(generator(4), 4000)
    angle = np.arccos(np.clip((np.trace(rotation, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert abs(angle.mean() - (np.pi / 2 + 2 / np.pi)) < 0.04
    assert np.abs(rotation.mean(0)).max() < 0.04


def seen_from(views):
    """Angle between the palm's normal and the way to the camera, the fingers' rise in the picture, and the distance."""
    middle = views.pose.translation + views.pose.orientation @ torch.tensor([0.0, 0.08, 0.01])
    towards = -middle / middle.norm(dim=1, keepdim=True)
    angle = torch.rad2deg(torch.acos((views.pose.orientation[:, :, 2] * towards).sum(1).clamp(-1, 1)))
    return angle, -views.pose.orientation[:, 1, 1], middle.norm(dim=1)


def test_owners_see_backs_from_near_and_others_see_any_side_from_afar(model):
    own, other = (draw_hands(generator(3), model, 300, 128, FRAMINGS[name]) for name in ("egocentric", "third_person"))
    angle, rise, distance = seen_from(own)
    assert (angle > 75).float().mean() > 0.6 and (rise > 0).float().mean() > 0.7
    assert 0.2 < distance.min() and distance.max() < 0.7
    angle, rise, distance = seen_from(other)
    assert all(((angle >= a) & (angle < a + 60)).float().mean() > 0.15 for a in (0, 60, 120))
    assert 0.65 < distance.min() and distance.max() < 3.1
    assert not own.turn.any() and not other.turn.any()


def test_turns_are_those_of_the_crops(model):
    """Turned back by its angle, an upright raised hand is as it was drawn: roll about the optical axis."""
    plain = replace(FRAMINGS["hands"], closer=0.0)
    turned = replace(FRAMINGS["hands"], closer=1.0)
    a, b = (draw_hands(generator(5), model, 40, 64, framing) for framing in (plain, turned))
    assert b.turn.std() > 0.1 and not a.turn.any()
    angle = torch.as_tensor(b.turn, dtype=torch.float32)
    c, s, zero = torch.cos(angle), torch.sin(angle), 0 * angle
    about = torch.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], -1).view(-1, 3, 3)
    back = about.mT @ b.pose.orientation
    found = (back[:, None] - a.pose.orientation[None]).abs().flatten(2).amax(2).amin(1)  # rejection may differ
    assert (found < 1e-5).float().mean() > 0.5


def test_builds_are_halves():
    low, both, high = (draw_shapes(generator(1), 200, build) for build in (-1, 0, 1))
    assert (low[:, 0] <= 0).all() and (high[:, 0] >= 0).all() and both[:, 0].min() < -1 < 1 < both[:, 0].max()
    assert torch.equal(low[:, 1:], high[:, 1:]) and torch.equal(low[:, 1:], both[:, 1:])
