"""Hands as OpenXR has them: 26 joints, each with a position, an orientation and a radius (XR_EXT_hand_tracking).

Of the 26 joints 21 are ours. The bases of four metacarpals and the palm are placed by those of the open hand's mean shape, in which
metacarpals are as long as Buryanov and Kotiuk found them (2010, means of 66 adults: 68.1, 64.6, 58.0 and 53.7 mm, index to little finger).

Axes of a joint: -z (forward) along its bone to the finger tip, y (up) out of the back of the hand or finger, x = y cross z. Tips have the
orientation of the bone before them. The wrist's -z points to the base of the middle metacarpal, the palm's along that bone.

Joints tell where bones point, and around its bone a finger turns only as anatomy lets it: all of its bones bend about one hinge. That is
where the hand's own hinge (`angles.AXES`) is, and the more a finger is bent, the more its bones decide.

Poses are in a space of OpenXR: x right, y up, z backwards. Its origin is the camera's, as of a VIEW space in the camera's place.
"""

from __future__ import annotations

import numpy as np

from phalanx.core.arrays import lengths, unit
from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.hand.angles import FINGER_TILT, THUMB_HINGE
from phalanx.hand.prediction import Side
from phalanx.hand.retargeting import check_side
from phalanx.hand.skeleton import FINGER_NAMES, FINGERS, hand_scale

JOINT_NAMES = (
    *("palm", "wrist", "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip"),
    *(
        f"{finger}_{bone}"
        for finger in FINGER_NAMES[1:]
        for bone in ("metacarpal", "proximal", "intermediate", "distal", "tip")
    ),
)
"""In the order of XrHandJointEXT."""

OURS = (1, 2, 3, 4, 5, *(6 + 5 * finger + joint for finger in range(4) for joint in range(1, 5)))
"""For each of our 21 joints (`skeleton.JOINT_NAMES`) its number there."""

CAMERA_TO_OPENXR = np.diag([1.0, -1.0, -1.0])
"""From the camera's axes (x right, y down, z forward) to OpenXR's; its own inverse."""

RADII = (
    *(0.0159, 0.0236),  # palm, wrist
    *(0.0257, 0.0115, 0.0089, 0.0033),  # thumb, base to tip
    *(0.0235, 0.0135, 0.0092, 0.0077, 0.0042),
    *(0.0221, 0.0157, 0.0090, 0.0072, 0.0046),
    *(0.0209, 0.0148, 0.0086, 0.0065, 0.0039),
    *(0.0210, 0.0128, 0.0073, 0.0059, 0.0037),
)
"""(26) metres: half the thickness of the open hand's mean shape at each joint, along its y axis. Joints lie nearer to the back."""

_PALM, _WRIST = 0, 1
_METACARPALS = (6, 11, 16, 21)
# Of each metacarpal's base, from the wrist: the share of the way to its own knuckle, and of that from little to index knuckle.
_BASES = ((0.208, 0.102), (0.246, 0.011), (0.297, -0.059), (0.310, -0.112))
_STIFFNESS = 0.1
"""How much the hand's own hinge counts beside the bones; a bend by 20 degrees counts as much."""


def openxr_poses(joints: np.ndarray, side: Side) -> np.ndarray:
    """Poses (N, 26, 4, 4) of OpenXR's joints: rigid transforms from each joint's axes to the space above, metres.

    Args:
        joints: (N, 21, 3) metres, of real hands (`retargeting.real_joints`), camera frame: x right, y down, z forward.
        side: of all of them.

    Raises:
        InputError: another shape, values that are not finite, an unknown side, or joints of one bone or palm at one place.
    """
    check_side(side)
    joints = as_array(joints, (None, 21, 3), "joints")
    mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    places, forward, up = _right_hands(joints * mirror)
    # A mirror keeps what forward and up mean, and not what is right of them: x comes last.
    backward, up = (axis * mirror @ CAMERA_TO_OPENXR for axis in (-forward, up))
    poses = np.tile(np.eye(4), (len(joints), 26, 1, 1))
    poses[..., :3, :3] = np.stack((np.cross(up, backward), up, backward), axis=-1)
    poses[..., :3, 3] = places * mirror @ CAMERA_TO_OPENXR
    return poses


def joints_from_openxr(positions: np.ndarray) -> np.ndarray:
    """Our joints (N, 21, 3), camera frame, of positions (N, 26, 3) in OpenXR's order and axes, such as a headset's.

    Raises:
        InputError: another shape, or values that are not finite.
    """
    return as_array(positions, (None, 26, 3), "positions")[:, OURS] @ CAMERA_TO_OPENXR


def openxr_radii(joints: np.ndarray) -> np.ndarray:
    """Radii (N, 26) of OpenXR's joints in metres: `RADII` in proportion to the bones of joints (N, 21, 3), metres.

    Raises:
        InputError: another shape, or values that are not finite.
    """
    return hand_scale(as_array(joints, (None, 21, 3), "joints"))[:, None] * np.array(RADII)


def _right_hands(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of right hands with joints (N, 21, 3): places, forward and up axes of the 26 joints, (N, 26, 3) each, in the same frame."""
    wrist = joints[:, :1]
    knuckles = joints[:, [finger[0] for finger in FINGERS[1:]]]  # (N, 4, 3)
    own, across = np.array(_BASES).T[..., None]
    places = np.zeros((len(joints), 26, 3))
    places[:, OURS] = joints
    places[:, _METACARPALS] = wrist + own * (knuckles - wrist) + across * (knuckles[:, :1] - knuckles[:, 3:])
    places[:, _PALM] = (places[:, 11] + places[:, 12]) / 2

    forward = np.zeros_like(places)
    for first, tip in ((2, 5), (6, 10), (11, 15), (16, 20), (21, 25)):
        forward[:, first:tip] = places[:, first + 1 : tip + 1] - places[:, first:tip]
        forward[:, tip] = forward[:, tip - 1]
    forward[:, _PALM] = forward[:, 11]
    forward[:, _WRIST] = places[:, 11] - places[:, _WRIST]
    lost = np.argwhere(lengths(forward)[..., 0] < 1e-6)
    if len(lost):
        hand, joint = lost[0].tolist()
        raise InputError(f"joints: hand {hand} has no direction at {JOINT_NAMES[joint]}: two joints are at one place")
    forward = unit(forward)

    palm = _palm_frames(forward[:, _PALM], knuckles)
    right = np.repeat(-palm[:, None, :, 0], 26, axis=1)  # towards the little finger, looking forwards with the back up
    for number, (first, tip) in enumerate(((2, 5), (7, 10), (12, 15), (17, 20), (22, 25))):
        right[:, first : tip + 1] = _hinge(forward[:, first:tip], -palm @ _HINGES[number])[:, None]
    up = np.cross(right, forward)
    flat = np.argwhere(lengths(up)[..., 0] < 1e-6)
    if len(flat):
        hand, joint = flat[0].tolist()
        raise InputError(f"joints: hand {hand} has no palm, or {JOINT_NAMES[joint]} lies in its hinge")
    return places, forward, unit(up)


def _palm_frames(distal: np.ndarray, knuckles: np.ndarray) -> np.ndarray:
    """(N, 3, 3) of right hands, columns radial, distal, palmar: along the middle metacarpal, the knuckles square to it."""
    palmar = unit(np.cross(knuckles[:, 0] - knuckles[:, 3], distal))
    return np.stack((np.cross(distal, palmar), distal, palmar), axis=2)


def _hinge(bones: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The axes (N, 3) that bones (N, 3, 3), unit vectors of a finger, turn about.

    The least squares of h . bone for the three bones and, with `_STIFFNESS`, of h - usual. It is not of length 1.
    """
    squares = bones.swapaxes(1, 2) @ bones + _STIFFNESS * np.eye(3)
    return np.linalg.solve(squares, usual[..., None])[..., 0]


_HINGES = np.array((THUMB_HINGE, *((np.cos(tilt), 0.0, np.sin(tilt)) for tilt in FINGER_TILT)))
"""(5, 3) flexion axes in the palm's frame, thumb first."""
