"""A recording of a hand as BVH, which animation programs open: the tree of the 21 joints and their rotations in each frame.

The wrist is the root, in metres and with y up, as in GLB: y and z of the recording are negated. Offsets are those of the hand's mean
shape in the pose with straight fingers. Angles are degrees about z, x, y in turn, R = Rz Rx Ry; finger tips end their branches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.files import write_whole
from phalanx.geometry.turns import rotmat_to_euler
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.recording import HandRecording
from phalanx.hand.skeleton import FINGERS, JOINT_NAMES, PARENTS

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

Y_UP = np.array([1.0, -1.0, -1.0])
_ROTATION = "Zrotation Xrotation Yrotation"


def save_bvh(
    path: str | os.PathLike[str], recording: HandRecording, model: HandModel | PlainHand | None = None
) -> None:
    """Write a recording to a BVH file, whole or not at all; the frame time is the median step of its times.

    `model` is the hand that was posed; None: the open hand.
    """
    hand = PlainHand.open_hand() if model is None else plain_hand(model)
    rest = hand.joint_positions(recording.shape.mean(0, keepdims=True))[0] * recording.mirror  # (21, 3)
    lines = ["HIERARCHY", f"ROOT {JOINT_NAMES[0]}", "{", _offset(rest[0], 1)]
    lines.append(f"\tCHANNELS 6 Xposition Yposition Zposition {_ROTATION}")
    for finger in FINGERS:
        lines += _branch(rest, finger)
    step = float(np.median(np.diff(recording.times))) if len(recording) > 1 else 1 / 30
    lines += ["}", "MOTION", f"Frames: {len(recording)}", f"Frame Time: {step:.6f}"]
    places = recording.joints[:, 0] * Y_UP
    turns = own_rotations(recording)
    turns[:, 0] = Y_UP[:, None] * turns[:, 0]
    rows = np.concatenate((places, _euler(turns).reshape(len(recording), -1)), axis=1)
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    with write_whole(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def own_rotations(recording: HandRecording) -> np.ndarray:
    """(T, 16, 3, 3) of the hand's own side: the palm's in the recording's frame, then those of the finger joints to their parents."""
    turns = np.concatenate((recording.orientation[:, None], recording.rotations[:, 1:]), axis=1).astype(np.float64)
    mirror = recording.mirror
    return mirror[:, None] * turns * mirror


def _branch(rest: np.ndarray, finger: tuple[int, ...]) -> list[str]:
    lines = []
    for depth, joint in enumerate(finger, start=1):
        tip = joint == finger[-1]
        lines += ["\t" * depth + ("End Site" if tip else f"JOINT {JOINT_NAMES[joint]}"), "\t" * depth + "{"]
        lines.append(_offset(rest[joint] - rest[PARENTS[joint]], depth + 1))
        if not tip:
            lines.append("\t" * (depth + 1) + f"CHANNELS 3 {_ROTATION}")
    return lines + ["\t" * depth + "}" for depth in range(len(finger), 0, -1)]


def _offset(place: np.ndarray, depth: int) -> str:
    return "\t" * depth + "OFFSET " + " ".join(f"{value:.6f}" for value in place)


def _euler(rotations: np.ndarray) -> np.ndarray:
    """Degrees (T, J, 3) about z, x, y, without jumps by whole turns, for rotations (T, J, 3, 3)."""
    return np.degrees(np.unwrap(rotmat_to_euler(rotations), axis=0))
