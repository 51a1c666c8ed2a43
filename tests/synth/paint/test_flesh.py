"""Flesh: blood and tendons follow the pose."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.hand.anatomy import AnatomicalPose
from phalanx.synth.paint.flesh import FleshDraw, draw_flesh, flush, tendon_slopes, tendons
from phalanx.synth.paint.surface import hand

FINGERS = ("index", "middle", "ring", "little")
FLAT = {}
FIST = {f"{finger}_{joint}_flexion": 90.0 for finger in FINGERS for joint in ("mcp", "pip")}
STRETCHED = {f"{finger}_mcp_flexion": -20.0 for finger in FINGERS}


def _draw(count: int) -> FleshDraw:
    return FleshDraw(np.ones((count, 5), np.float32), np.ones(count, np.float32), np.ones(count, np.float32))


def _near(joint: int, radius: float = 0.016):
    """Vertices on the back beside a joint."""
    model, topology = hand("cpu")
    return ((model.template - model.rest_joints[joint]).norm(dim=1) < radius) & (topology.rest_normals[:, 2] < -0.6)


def test_tips_are_redder_than_the_arm_and_the_backs_of_fingers():
    model, _ = hand("cpu")
    blood = flush(AnatomicalPose.from_degrees(FLAT).rotations(), _draw(1))[0]
    arm = model.skin_weights[:, 1] > 0.9
    for tip in (4, 8, 12, 16, 20):
        close = (model.template - model.rest_joints[tip]).norm(dim=1) < 0.008
        assert blood[close].mean() > blood[arm].mean() + 0.3


def test_bent_knuckles_are_pale_on_top_and_redder_around():
    flat, fist = flush(AnatomicalPose.from_degrees(FLAT, FIST).rotations(), _draw(2))
    model, topology = hand("cpu")
    for joint in (5, 9, 13, 17):
        back = topology.rest_normals[:, 2] < -0.7
        distance = (model.template - model.rest_joints[joint]).norm(dim=1)
        nearest = model.template[distance.masked_fill(~back, torch.inf).argmin()]
        distance = (model.template - nearest).norm(dim=1)
        top, around = back & (distance < 0.003), back & (distance > 0.011) & (distance < 0.018)
        assert fist[top].mean() < flat[top].mean() - 0.2
        assert fist[around].mean() > flat[around].mean()


def test_contact_drives_blood_to_its_rim():
    rotations = AnatomicalPose.from_degrees(FLAT, FLAT).rotations()
    pressed = torch.zeros(2, len(hand("cpu")[0].template))
    pressed[1, :10], pressed[1, 10:20] = 1.0, 0.4
    free, touched = flush(rotations, _draw(2), pressed)
    assert (touched[:10] < free[:10]).all() and (touched[10:20] > free[10:20]).all()
    assert torch.equal(touched[20:], free[20:])


def test_tendons_rise_as_fingers_extend():
    raised = tendons(AnatomicalPose.from_degrees(FIST, FLAT, STRETCHED).rotations(), _draw(3))
    back = _near(9, 0.04)
    fist, flat, stretched = raised[:, back].mean(1).tolist()
    assert stretched > flat + 0.1 > fist + 0.3
    assert (raised >= 0).all() and (raised <= 1.001).all()
    slopes = tendon_slopes(128, "cpu")
    assert slopes.shape == (2, 128 * 128) and slopes.abs().max() > 0.05
    assert slopes.abs().sum(0).count_nonzero() < 0.2 * 128 * 128


def test_people_differ_and_chosen_hands_keep_theirs():
    draw = draw_flesh(generator(0), 400)
    assert draw.redness[:, 0].std() > 0.2 and (draw.redness > 0).all()
    assert np.quantile(draw.prominence, 0.9) > 5 * np.quantile(draw.prominence, 0.2)
    again = draw[np.array([3, 3, 1])]
    assert np.array_equal(again.redness[0], again.redness[1])
    assert np.array_equal(again.prominence, draw.prominence[[3, 3, 1]])
    assert flush(AnatomicalPose.from_degrees(FLAT, FIST, FLAT).rotations(), again).shape == pytest.approx((3, 1769))
