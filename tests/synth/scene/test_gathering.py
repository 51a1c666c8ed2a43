"""People in front of cameras: hands on the ends of arms, of bodies and of both sides."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.render.mesh import vertex_normals
from phalanx.synth.body.model import JOINT
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.gathering import draw_gathering
from phalanx.synth.scene.postures import Stance, draw_trunks, pose_people

FLIP = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def gathering():
    return draw_gathering(generator(4), body("cpu")[0], hand("cpu")[0], 12, (1, 6), 640, 480)


def test_frames_have_as_many_people_as_they_may(gathering):
    counts = np.bincount(gathering.frame, minlength=12)
    assert counts.min() >= 1 and counts.max() <= 6
    assert len(gathering.hands.shape) == 2 * len(gathering.frame) == len(gathering.left)
    assert gathering.left.tolist() == [False, True] * len(gathering.frame)


def test_hands_sit_on_the_wrists_of_bodies(gathering):
    places = gathering.hands.translation.clone()
    places[1::2] *= FLIP
    for side, name in enumerate(("right_wrist", "left_wrist")):
        assert (places[side::2] - gathering.body.joints[:, JOINT[name]]).norm(dim=1).max() < 2e-3


def test_forearms_of_hands_lie_on_those_of_bodies(gathering):
    forearm = (gathering.hands.orientation @ gathering.hands.rotations[:, 0])[:, :, 1].clone()
    forearm[1::2] *= FLIP
    for side, name in enumerate(("right", "left")):
        along = gathering.body.joints[:, JOINT[f"{name}_wrist"]] - gathering.body.joints[:, JOINT[f"{name}_elbow"]]
        cosine = (forearm[side::2] * along).sum(1) / along.norm(dim=1)
        assert cosine.min() > 0.99


def test_forearms_of_bodies_turn_with_their_hands(gathering):
    model = body("cpu")[0]
    for side, name in enumerate(("right", "left")):
        frame, _ = model.hand_frames(gathering.body, name)
        own = gathering.hands.orientation[side::2] @ gathering.hands.rotations[side::2, 0]
        assert (frame - own).abs().max() < 0.15  # which leaves builds out of account


def test_cameras_move_back_from_hands_that_are_near(gathering):
    model = hand("cpu")[0]
    moved = gathering.kept_away(model, 1.0, 640, 480)
    joints = moved.hand_joints(model)
    pixels = joints @ moved.K[np.repeat(moved.frame, 2)].mT
    at = pixels[..., :2] / pixels[..., 2:].clamp_min(0.01)
    inside = ((at > 0) & (at < torch.tensor([640, 480]))).all(-1) & (joints[..., 2] > 0)
    assert joints[inside.any(1)][..., 2].min() > 0.99
    step = moved.body.joints - gathering.body.joints
    assert (step[..., 2] > 0.05).any() and step[..., :2].abs().max() < 1e-6
    wrists = joints[0::2, 0] - moved.body.joints[:, JOINT["right_wrist"]]
    assert wrists.norm(dim=1).max() < 2e-3
    same = gathering.kept_away(model, 0.0, 640, 480)
    assert same is gathering


def test_feet_stand_on_one_floor():
    trunks = draw_trunks(generator(2), body("cpu")[0], np.array([False, True, False]))
    assert 1.1 < trunks.floor[0] < 1.7 and trunks.floor[1] < trunks.floor[0] - 0.2


def test_hands_stay_out_of_bodies():
    count = 24
    draw, model = generator(8), body("cpu")[0]
    trunks = draw_trunks(draw, model, np.arange(count) % 3 == 0)
    stance = Stance(
        ["webcam", "group", "desk"] * (count // 3), np.full(count, np.nan), np.tile([0.0, -0.1, -1.0], (count, 1)), []
    )
    people = pose_people(draw, model, hand("cpu")[0], trunks, stance, torch.zeros(2 * count, 10))
    joints = hand("cpu")[0].joints(people.hands)
    joints[1::2] = joints[1::2] * FLIP
    arms = [JOINT[f"{side}_{part}"] for side in ("right", "left") for part in ("shoulder", "elbow", "forearm", "wrist")]
    trunk = ~torch.isin(model.parts, torch.tensor(arms))
    normals = vertex_normals(people.surface.vertices, model.faces)[:, trunk]
    skin = people.surface.vertices[:, trunk]
    deep = []
    for i in range(2 * count):
        away = joints[i, 4:, None] - skin[i // 2]
        nearest = away.norm(dim=-1).argmin(1)
        rows = torch.arange(len(nearest))
        inside = -(away[rows, nearest] * normals[i // 2, nearest]).sum(1)
        deep.append(float((inside * (away[rows, nearest].norm(dim=-1) < 0.15)).max()))
    assert np.mean(np.array(deep) > 0.025) < 0.1
