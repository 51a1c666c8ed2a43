"""63 numbers and the hand that they pose: what each does, in the open hand and in MANO."""

import math

import pytest
import torch
from made_up_mano import as_mano_writes, made_up

from phalanx.geometry.camera import Camera
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.geometry.turns import quat_to_rotmat
from phalanx.hand.mano import ManoParameters, load_mano
from phalanx.hand.mesh_parameters import (
    FILLED,
    PARAMETERS,
    PLACE,
    POSE,
    ROOT,
    SCALE,
    SHAPE,
    TURN,
    ParametricHand,
    at_depth,
    focal_length,
    mano_pose,
    uniform_turns,
)
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.skeleton import FOREARM

SIZE = 64
K = torch.tensor([[100.0, 0, 20], [0, 120, 40], [0, 0, 1]])


@pytest.fixture(scope="module")
def hand():
    return ParametricHand(HandModel.open_hand())


def parameters(hand, count=3):
    random = torch.Generator().manual_seed(1)
    return hand.start + 0.2 * torch.randn(count, PARAMETERS, generator=random)


def test_the_start_shows_the_palm_upright_in_the_middle(hand):
    vertices, joints, _ = hand(hand.start[None], K[None], SIZE)
    places = Camera(K, SIZE, SIZE).project(joints[0])
    torch.testing.assert_close(places[ROOT], torch.full((2,), SIZE / 2 - 0.5), atol=1e-3, rtol=0)
    assert float(places[12, 1]) < float(places[9, 1]) < float(places[0, 1])  # middle tip above knuckle above wrist
    palmar = torch.linalg.cross(joints[0, 5] - joints[0, 0], joints[0, 17] - joints[0, 0])  # out of the palm
    assert float(palmar[2]) < 0  # towards the camera
    straight = hand.hand.rest_joints
    length = sum(float((straight[b] - straight[a]).norm()) for a, b in ((0, 9), (9, 10), (10, 11), (11, 12)))
    assert float(joints[0, ROOT, 2]) == pytest.approx(math.sqrt(100 * 120) * length / (FILLED * SIZE), rel=1e-4)
    assert vertices.shape[1:] == hand.hand.template.shape


def test_every_number_does_what_its_name_says(hand):
    h = parameters(hand)
    cameras = K.expand(3, 3, 3)
    vertices, joints, unplaced = hand(h, cameras, SIZE)
    for number in range(3):  # a slow twin, of one hand at a time
        fingers = rotvec_to_rotmat(h[number, POSE].reshape(15, 3))
        pose = HandPose.zero(1)
        pose.rotations[0, 1:], pose.shape[0] = fingers, h[number, SHAPE]
        pose.orientation[0] = quat_to_rotmat(h[number, TURN])
        surface = hand.hand(pose)
        depth = math.sqrt(100 * 120) * hand.length / (FILLED * SIZE) * math.exp(float(h[number, PLACE][2]))
        pixel = (0.5 + h[number, PLACE][:2]) * SIZE - 0.5
        there = torch.tensor([(pixel[0] - 20) / 100 * depth, (pixel[1] - 40) / 120 * depth, depth])
        expected = math.exp(float(h[number, SCALE])) * (surface.vertices[0] - surface.joints[0, ROOT]) + there
        torch.testing.assert_close(vertices[number], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(unplaced[number], surface.vertices[0])
    torch.testing.assert_close(hand.joints(h, cameras, SIZE), joints)


def test_a_known_depth_moves_no_pixel(hand):
    joints = hand.joints(parameters(hand), K.expand(3, 3, 3), SIZE)
    moved = at_depth(joints, torch.tensor([0.4, 0.5, 2.0]))
    torch.testing.assert_close(moved[:, ROOT, 2], torch.tensor([0.4, 0.5, 2.0]))
    camera = Camera(K.expand(3, 3, 3), SIZE, SIZE)
    torch.testing.assert_close(camera.project(moved), camera.project(joints), atol=1e-3, rtol=0)


def test_gradients_agree_with_differences(hand):
    double = ParametricHand(HandModel.open_hand()).double()
    h = parameters(hand, 1).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda values: double(values, K.double()[None], SIZE)[0][:, ::97], (h,), eps=1e-6, atol=1e-5
    )


def test_turned_crops_have_the_focal_length_of_straight_ones():
    turn = torch.tensor([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    assert float(focal_length((turn @ K)[None])[0]) == pytest.approx(math.sqrt(100 * 120), rel=1e-5)


def test_faces_end_at_the_wrist(hand):
    parts = hand.hand.parts[hand.faces]
    assert not (parts == FOREARM).any()
    assert 0.5 * len(hand.hand.faces) < len(hand.faces) < len(hand.hand.faces)


def test_mano_is_posed_by_the_same_numbers(tmp_path):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(as_mano_writes(made_up()))
    mano = load_mano(path)
    hand = ParametricHand(mano.model, mano_pose(mano))
    vertices, joints, _ = hand(hand.start[None], K[None], SIZE)
    assert vertices.shape == (1, 778, 3) and len(hand.faces) == len(mano.model.faces)
    nothing = torch.zeros(1, 3)
    mean = mano.model(mano.to_pose(ManoParameters(mano.mean_pose[None], torch.zeros(1, 10), nothing, nothing)))

    def lengths(points):  # a distance from the root does not hang on the view
        return (points - points[:, ROOT, None]).norm(dim=-1)

    torch.testing.assert_close(lengths(joints), lengths(mean.joints), atol=1e-5, rtol=1e-4)


def test_views_are_from_anywhere():
    torch.manual_seed(0)
    turns = quat_to_rotmat(uniform_turns(4000))
    assert torch.allclose(turns @ turns.mT, torch.eye(3), atol=1e-5)
    assert float(turns.mean(0).abs().max()) < 0.05
    angle = torch.atan2(turns[:, 1, 0], turns[:, 0, 0])  # of the turn about z, the last
    counted = torch.histc(angle, 8, -math.pi, math.pi)
    assert float(counted.min()) > 350
