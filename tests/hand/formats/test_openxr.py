import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.geometry.turns import quat_to_rotmat
from phalanx.hand.angles import FINGER_TILT, THUMB_HINGE, angles_to_rotations
from phalanx.hand.formats.openxr import (
    CAMERA_TO_OPENXR,
    JOINT_NAMES,
    OURS,
    RADII,
    joints_from_openxr,
    openxr_poses,
    openxr_radii,
)
from phalanx.hand.model import HandPose
from phalanx.hand.pose_space import propose_angles

SIDES = ("left", "right")
MIRROR = np.array([-1.0, 1, 1])
CHAINS = ((2, 5), (6, 10), (11, 15), (16, 20), (21, 25))
"""Numbers of each finger's first joint and of its tip."""


@pytest.fixture(scope="module")
def posed(model):
    """64 right hands in poses of all kinds: rotations of the 17 segments, and joints."""
    pose = HandPose.zero(64)
    pose.rotations = angles_to_rotations(propose_angles(generator(5), 64).float())
    pose.shape = 0.5 * torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    pose.translation = torch.tensor([0.02, -0.05, 0.5]).expand(64, 3)
    _, segments, joints = model.chain(pose)
    return segments.double().numpy(), joints.double().numpy()


def test_joints_are_those_of_the_extension():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == len(RADII) == 26
    assert JOINT_NAMES[:3] == ("palm", "wrist", "thumb_metacarpal") and JOINT_NAMES[-1] == "little_tip"
    numbers = {
        "thumb_tip": 5,
        "index_metacarpal": 6,
        "middle_proximal": 12,
        "ring_intermediate": 18,
        "little_distal": 24,
    }
    assert all(JOINT_NAMES[number] == name for name, number in numbers.items())
    ours = [JOINT_NAMES[number] for number in OURS]
    assert ours[:6] == ["wrist", "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip", "index_proximal"]


def test_a_flat_right_hand_with_its_back_up_looks_along_minus_z(model):
    """As OpenXR draws its convention: fingers forward, backs up. The thumb of a right hand is on the left."""
    turn = np.array(
        [[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]
    )  # hand frame (radial, distal, palmar) to OpenXR's: left, forward, down
    rest = model.rest_joints.double().numpy()
    for side, mirror in (("right", 1.0), ("left", -1.0)):
        joints = (rest @ turn.T * [mirror, 1, 1])[None] @ CAMERA_TO_OPENXR
        poses = openxr_poses(joints, side)[0]
        fingers = [number for number in range(26) if not 2 <= number <= 5]
        off = np.degrees(np.arccos(poses[fingers][:, [1, 2], [1, 2]].clip(-1, 1)))
        assert off.max() < 25 and np.median(off) < 5  # metacarpals fan out
        assert poses[5, 0, 3] * mirror < -0.05  # the thumb's tip


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 63), st.integers(0, 1000), st.sampled_from(SIDES))
def test_turned_hands_turn_their_poses(posed, number, seed, side):
    joints = posed[1][number : number + 1] * (MIRROR if side == "left" else 1)
    turn = quat_to_rotmat(torch.from_numpy(np.random.default_rng(seed).normal(size=4))).numpy()
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = CAMERA_TO_OPENXR @ turn @ CAMERA_TO_OPENXR, CAMERA_TO_OPENXR @ [0.1, 0.2, 0.3]
    np.testing.assert_allclose(
        openxr_poses(joints @ turn.T + [0.1, 0.2, 0.3], side), rigid @ openxr_poses(joints, side), atol=1e-9
    )


def test_a_mirrored_left_hand_is_a_right_one(posed):
    _, joints = posed
    right, left = openxr_poses(joints, "right"), openxr_poses(joints * MIRROR, "left")
    np.testing.assert_allclose(left[..., :3, 3], right[..., :3, 3] * MIRROR, atol=1e-12)
    np.testing.assert_allclose(left[..., :3, 1:3], right[..., :3, 1:3] * MIRROR[:, None], atol=1e-9)
    np.testing.assert_allclose(left[..., :3, 0], -right[..., :3, 0] * MIRROR, atol=1e-9)
    rotations = left[..., :3, :3]
    np.testing.assert_allclose(rotations @ rotations.swapaxes(-1, -2), np.tile(np.eye(3), (64, 26, 1, 1)), atol=1e-9)
    assert (np.linalg.det(rotations) > 0).all()


@pytest.mark.parametrize("side", SIDES)
def test_joints_come_back(posed, side):
    joints = posed[1]
    poses = openxr_poses(joints, side)
    np.testing.assert_allclose(joints_from_openxr(poses[..., :3, 3]), joints, atol=1e-12)


@pytest.mark.parametrize("side", SIDES)
def test_every_joint_looks_along_its_bone(posed, side):
    """A slow twin: bone by bone."""
    poses = openxr_poses(posed[1] * (MIRROR if side == "left" else 1), side)
    for pose in poses[:8]:
        places, forward = pose[:, :3, 3], -pose[:, :3, 2]
        for first, tip in CHAINS:
            for joint in range(first, tip):
                bone = places[joint + 1] - places[joint]
                np.testing.assert_allclose(forward[joint], bone / np.linalg.norm(bone), atol=1e-9)
            np.testing.assert_array_equal(pose[tip, :3, :3], pose[tip - 1, :3, :3])
        np.testing.assert_allclose(places[0], (places[11] + places[12]) / 2)
        np.testing.assert_allclose(forward[0], forward[11])
        assert np.cross(forward[1], places[11] - places[1]) == pytest.approx(0, abs=1e-9)


def test_backs_of_fingers_are_where_the_model_has_them(posed):
    """The model knows how each finger turns about itself; here it is found from joints alone."""
    segments, joints = posed
    up = openxr_poses(joints, "right")[..., :3, 1] @ CAMERA_TO_OPENXR
    off = np.empty((5, 3, 64))
    for finger in range(5):
        tilt = FINGER_TILT[finger - 1]
        hinge = np.array(THUMB_HINGE) if finger == 0 else np.array([np.cos(tilt), 0, np.sin(tilt)])
        for bone in range(3):
            first, second = joints[:, 4 * finger + 1 + bone], joints[:, 4 * finger + 2 + bone]
            back = np.cross(-segments[:, 2 + 3 * finger + bone] @ hinge, second - first)
            back /= np.linalg.norm(back, axis=1, keepdims=True)
            own = up[:, OURS[4 * finger + 1 + bone]]
            off[finger, bone] = np.degrees(np.arccos((own * back).sum(1).clip(-1, 1)))
    assert (off.mean((1, 2)) < [4, 2, 2, 2, 2]).all() and off.max() < 25
    palm = up[:, 0] @ [0, 0, -1]
    assert (np.degrees(np.arccos(palm)) < 6).all()  # these hands are not turned: their backs look to -z of the camera


def test_metacarpals_are_as_long_as_bones(model):
    places = openxr_poses(model.rest_joints.double().numpy()[None], "right")[0, :, :3, 3]
    lengths = [1e3 * np.linalg.norm(places[first + 1] - places[first]) for first in (6, 11, 16, 21)]
    np.testing.assert_allclose(lengths, [68.12, 64.60, 58.00, 53.69], atol=0.2)
    bases = places[[6, 11, 16, 21]]
    assert (np.linalg.norm(np.diff(bases, axis=0), axis=1) > 0.008).all()  # side by side


def test_radii_are_half_the_hand_s_thickness(model):
    rest = model.rest_joints.double().numpy()[None]
    poses = openxr_poses(rest, "right")[0]
    triangles = model.template.double().numpy()[model.faces.numpy()] @ CAMERA_TO_OPENXR
    found = [
        (_to_skin(pose[:3, 3], pose[:3, 1], triangles) + _to_skin(pose[:3, 3], -pose[:3, 1], triangles)) / 2
        for pose in poses
    ]
    np.testing.assert_allclose(RADII, found, atol=1e-4)
    np.testing.assert_allclose(
        openxr_radii(np.concatenate((rest, 1.2 * rest))), [RADII, np.multiply(1.2, RADII)], rtol=1e-3
    )


def _to_skin(start, direction, triangles):
    """Distance along a ray to the first of triangles (F, 3, 3) (Moeller and Trumbore 1997)."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal = np.cross(direction, second)
    size = (first * normal).sum(1)
    size[np.abs(size) < 1e-14] = np.inf
    offset = start - triangles[:, 0]
    u, across = (offset * normal).sum(1) / size, np.cross(offset, first)
    v, distance = across @ direction / size, (second * across).sum(1) / size
    return distance[(u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)].min()


def test_what_cannot_be_is_refused(posed):
    good = posed[1][:3]
    lost = good.copy()
    lost[1, 7] = lost[1, 6]
    flat = good.copy()
    flat[2, [5, 9, 13, 17]] = flat[2, 9]
    for call, says in (
        (
            lambda: openxr_poses(lost, "left"),
            "joints: hand 1 has no direction at index_intermediate: two joints are at",
        ),
        (lambda: openxr_poses(flat, "right"), "joints: hand 2 has no palm"),
        (lambda: openxr_poses(good, "up"), "side: must be 'left' or 'right', not 'up'"),
        (lambda: openxr_poses(good[:, :20], "left"), r"joints: must have shape \(any, 21, 3\)"),
        (lambda: joints_from_openxr(good), r"positions: must have shape \(any, 26, 3\)"),
        (lambda: openxr_radii(good * np.inf), "joints: has values that are not finite"),
    ):
        with pytest.raises(InputError, match=says):
            call()
