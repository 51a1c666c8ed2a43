"""Hands for robots: the pose of the wrist, and the joints in its frame, as dex-retargeting takes them.

Its `SingleHandDetector` (github.com/dexsuite/dex-retargeting, example/vector_retargeting; Qin et al., "AnyTeleop", RSS 2023) makes a frame
of three joints: wrist, index MCP and middle MCP. So does this module, for many hands at once:

- origin: the wrist;
- z: to the middle MCP;
- y: square to z in the plane of the three joints, of a right hand towards the index finger, of a left one away from it;
- x = y cross z: out of the palm, for both sides.

There the plane is fitted by a singular value decomposition, and fixed matrices for each side turn the axes; three points span their
plane exactly, so the same frame follows from cross products. Joint orders agree: ours is MediaPipe's, which dex-retargeting counts in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phalanx.core.arrays import lengths
from phalanx.core.checks import as_array, is_rigid
from phalanx.core.errors import InputError
from phalanx.hand.prediction import SIDES, HandPrediction, Side

WRIST, INDEX, MIDDLE = 0, 5, 9
"""The joints that the frame is made of."""

LEAST_WIDTH = 1e-3
"""Distance of the index MCP from the line through wrist and middle MCP, as a share of that line: below it they have no plane."""


def real_joints(hands: Sequence[HandPrediction]) -> np.ndarray:
    """Joints (N, 21, 3) of the real hands before the camera, metres; x right, y down, z forward.

    Of mirrored pictures x is negated, so that joints are those of a hand of the prediction's `side`.
    """
    joints = [hand.joints * ([-1.0, 1.0, 1.0] if hand.mirrored else 1.0) for hand in hands]
    return np.array(joints, dtype=np.float64).reshape(len(hands), 21, 3)


def wrist_poses(joints: np.ndarray, side: Side) -> np.ndarray:
    """Poses (N, 4, 4) of the wrist: rigid transforms from the wrist frame (above) to the frame of the joints.

    Args:
        joints: (N, 21, 3) of real hands (`real_joints`) in any right-handed frame, such as the camera's; any unit.
        side: of all of them.

    Raises:
        InputError: another shape, values that are not finite, an unknown side, or wrist, index and middle MCP on one line.
    """
    check_side(side)
    joints = as_array(joints, (None, 21, 3), "joints")
    wrist = joints[:, WRIST]
    along, across = joints[:, MIDDLE] - wrist, joints[:, INDEX] - wrist
    length = lengths(along)
    z = along / np.where(length > 0, length, 1.0)
    across = across - (across * z).sum(1, keepdims=True) * z
    width = lengths(across)
    flat = ((length == 0) | (width <= LEAST_WIDTH * length))[:, 0]
    if flat.any():
        raise InputError(f"joints: wrist, index MCP and middle MCP of hand {int(flat.argmax())} lie on one line")
    y = across / width * (1.0 if side == "right" else -1.0)
    poses = np.tile(np.eye(4), (len(joints), 1, 1))
    poses[:, :3, :3] = np.stack((np.cross(y, z), y, z), axis=2)
    poses[:, :3, 3] = wrist
    return poses


def joints_in_wrist(joints: np.ndarray, side: Side) -> np.ndarray:
    """Joints (N, 21, 3) in the wrist frame, in the unit of `joints`; the wrist is 0. This is dex-retargeting's `joint_pos`.

    Takes and raises what `wrist_poses` does.
    """
    poses = wrist_poses(joints, side)
    return (np.asarray(joints, dtype=np.float64) - poses[:, None, :3, 3]) @ poses[:, :3, :3]


def joints_from_wrist(local: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """The way back: points (N, P, 3) of wrist frames in the frame that `poses` (N, 4, 4) lead to.

    Raises:
        InputError: another shape, values that are not finite, or a pose that is no rigid transform.
    """
    poses = as_array(poses, (None, 4, 4), "poses")
    local = as_array(local, (len(poses), None, 3), "joints")
    for number, pose in enumerate(poses):
        if not is_rigid(pose):
            raise InputError(f"poses: number {number} is no rigid transform")
    return local @ poses[:, :3, :3].swapaxes(1, 2) + poses[:, None, :3, 3]


def check_side(side: object) -> None:
    """Raises InputError for anything but "left" and "right"."""
    if side not in SIDES:
        raise InputError(f"side: must be 'left' or 'right', not {side!r}")
