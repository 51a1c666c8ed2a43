import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from posed_prediction import posed_prediction

from phalanx.core.errors import InputError
from phalanx.geometry.turns import quat_to_rotmat
from phalanx.hand.retargeting import joints_from_wrist, joints_in_wrist, real_joints, wrist_poses

SIDES = ("left", "right")
SEEDS = st.integers(0, 10_000)
MIRROR_X, MIRROR_Y = np.array([-1.0, 1, 1]), np.array([1.0, -1, 1])


def hands(seed, count=3):
    """Random points (count, 21, 3): no hands, and all that is done here holds for them."""
    return np.random.default_rng(seed).normal(size=(count, 21, 3))


def rotation(seed):
    return quat_to_rotmat(torch.from_numpy(np.random.default_rng(seed).normal(size=4))).numpy()


def slow_joints(hand, side):
    """One hand by the steps of `SingleHandDetector`: a plane by singular values, Gram-Schmidt, then a matrix for each side."""
    hand = hand - hand[0]
    three = [hand[joint] for joint in (0, 5, 9)]
    centre = sum(three) / 3
    normal = np.linalg.svd(np.array([point - centre for point in three]))[2][2]
    towards_wrist = three[0] - three[2]
    first = towards_wrist - np.dot(towards_wrist, normal) * normal
    first = first / np.linalg.norm(first)
    third = np.cross(first, normal)
    if np.dot(third, three[1] - three[2]) < 0:
        normal, third = -normal, -third
    operator = {"right": [[0, 0, -1], [-1, 0, 0], [0, 1, 0]], "left": [[0, 0, -1], [1, 0, 0], [0, -1, 0]]}[side]
    return np.array([np.array([joint @ first, joint @ normal, joint @ third]) @ operator for joint in hand])


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(SIDES))
def test_agrees_with_a_slow_twin(seed, side):
    joints = hands(seed)
    expected = [slow_joints(hand, side) for hand in joints]
    np.testing.assert_allclose(joints_in_wrist(joints, side), expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(SIDES))
def test_turned_and_moved_hands_keep_their_joints_and_turn_their_wrists(seed, side):
    joints, turn, shift = hands(seed), rotation(seed + 1), np.array([0.3, -2, 5])
    np.testing.assert_allclose(joints_in_wrist(joints @ turn.T + shift, side), joints_in_wrist(joints, side), atol=1e-9)
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = turn, shift
    np.testing.assert_allclose(wrist_poses(joints @ turn.T + shift, side), rigid @ wrist_poses(joints, side), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_mirrored_left_hand_is_a_right_one(seed):
    joints = hands(seed)
    right, left = joints_in_wrist(joints, "right"), joints_in_wrist(joints * MIRROR_X, "left")
    np.testing.assert_allclose(left, right * MIRROR_Y, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(SIDES))
def test_there_and_back(seed, side):
    joints = hands(seed)
    poses = wrist_poses(joints, side)
    np.testing.assert_allclose(np.linalg.det(poses), 1, atol=1e-9)
    np.testing.assert_allclose(joints_from_wrist(joints_in_wrist(joints, side), poses), joints, atol=1e-9)


def test_axes_are_palmar_then_across_then_distal(model):
    """The open hand at rest: x radial, y distal, z palmar. Its index MCP lies 4 mm nearer to the palm than its middle MCP."""
    rest = model.rest_joints.numpy()[None]
    expected = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    for joints, side in (
        (rest, "right"),
        (rest * MIRROR_X, "left"),
    ):  # of the left one, +x is towards the little finger
        axes = wrist_poses(joints, side)[0, :3, :3]
        assert (np.degrees(np.arccos((axes * expected).sum(0))) < 15).all()


def test_agrees_with_dex_retargeting_on_its_own_clip(real):
    """Its example holds what its detector gave: joints of a right hand in the wrist frame already."""
    with np.load(real("video") / "mediapipe_joints.npz") as file:
        joints = file["joints"].astype(np.float64)
    assert len(joints) == 621
    np.testing.assert_allclose(wrist_poses(joints, "right"), np.tile(np.eye(4), (621, 1, 1)), atol=1e-6)
    turn = rotation(0)
    np.testing.assert_allclose(joints_in_wrist(joints @ turn.T + [0.1, 0.2, 0.6], "right"), joints, atol=1e-6)
    left = joints_in_wrist(joints * MIRROR_Y @ turn.T, "left")
    np.testing.assert_allclose(left, joints * MIRROR_Y, atol=1e-6)


def test_mirrored_pictures_show_the_real_hand_s_mirror_image():
    plain, mirrored = (posed_prediction(hands(0)[0], "left", mirrored=mirrored) for mirrored in (False, True))
    joints = real_joints([plain, mirrored])
    assert joints.shape == (2, 21, 3) and real_joints([]).shape == (0, 21, 3)
    np.testing.assert_array_equal(joints[0], plain.joints)
    np.testing.assert_array_equal(joints[1], mirrored.joints * MIRROR_X)


def test_what_cannot_be_is_refused():
    good = hands(0)
    straight = good.copy()
    straight[1, 5] = straight[1, 0] + 0.5 * (straight[1, 9] - straight[1, 0])
    one_place = good.copy()
    one_place[2, 9] = one_place[2, 0]
    bad = np.tile(np.eye(4), (3, 1, 1))
    bad[1, 0, 0] = 2
    for call, says in (
        (lambda: wrist_poses(straight, "left"), "joints: wrist, index MCP and middle MCP of hand 1 lie on one line"),
        (lambda: wrist_poses(one_place, "left"), "of hand 2 lie on one line"),
        (lambda: joints_in_wrist(good[0], "left"), r"joints: must have shape \(any, 21, 3\)"),
        (lambda: joints_in_wrist(good * np.nan, "right"), "joints: has values that are not finite"),
        (lambda: wrist_poses(good, "both"), "side: must be 'left' or 'right', not 'both'"),
        (lambda: joints_from_wrist(good, bad), "poses: number 1 is no rigid transform"),
    ):
        with pytest.raises(InputError, match=says):
            call()
