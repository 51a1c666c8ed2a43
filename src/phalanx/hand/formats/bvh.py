"""A recording of a hand as BVH, which animation programs open: the tree of the 21 joints and their rotations in each frame.

The wrist is the root, in metres and with y up, as in GLB: y and z of the recording are negated. Offsets are those of the hand's mean
shape in the pose with straight fingers. Angles are degrees about z, x, y in turn, R = Rz Rx Ry; finger tips end their branches.

What is lost: the mesh, changes of shape from frame to frame, the forearm, times that are not even, and which joints were filled in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import reason, write_whole
from phalanx.geometry.turns import rotmat_to_euler
from phalanx.hand.angles import axis_angle_to_rotation
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


@dataclass(frozen=True, eq=False)
class BvhMotion:
    """What a BVH file says; P nodes, T frames.

    Attributes:
        names: of the nodes; ends of branches have that of the node before and `_end`.
        parents: (P,) the node that each hangs on, -1 for the root.
        places: (T, P, 3) of all nodes, in the file's unit and axes.
        step: seconds from frame to frame.
    """

    names: list[str]
    parents: np.ndarray
    places: np.ndarray
    step: float


def load_bvh(path: str | os.PathLike[str]) -> BvhMotion:
    """Read a BVH file, of `save_bvh` or of others, and pose its nodes.

    Raises:
        InputError: the file cannot be read or is none.
    """
    try:
        words = Path(path).read_text(encoding="utf-8").split()
        return _read(words)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: is no BVH file, or is cut ({error})") from error


def _read(words: list[str]) -> BvhMotion:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    open_nodes: list[int] = []
    place = words.index("HIERARCHY") + 1
    while words[place] != "MOTION":
        word = words[place]
        if word in ("ROOT", "JOINT", "End"):
            parents.append(open_nodes[-1] if open_nodes else -1)
            names.append(f"{names[parents[-1]]}_end" if word == "End" else words[place + 1])
            channels.append([])
            place += 2
        elif word == "OFFSET":
            offsets.append([float(value) for value in words[place + 1 : place + 4]])
            place += 4
        elif word == "CHANNELS":
            count = int(words[place + 1])
            channels[open_nodes[-1]] = words[place + 2 : place + 2 + count]
            place += 2 + count
        else:
            if word == "{":
                open_nodes.append(len(names) - 1)
            elif word == "}":
                open_nodes.pop()
            else:
                raise ValueError(f"{word!r} in its hierarchy")
            place += 1
    frames, step = int(words[words.index("Frames:", place) + 1]), float(words[words.index("Time:", place) + 1])
    values = np.array(words[words.index("Time:", place) + 2 :], np.float64).reshape(frames, -1)
    return BvhMotion(names, np.array(parents), _posed(parents, np.array(offsets), channels, values), step)


def _posed(parents: list[int], offsets: np.ndarray, channels: list[list[str]], values: np.ndarray) -> np.ndarray:
    """Places (T, P, 3) of nodes at `offsets` (P, 3), of channel values (T, C)."""
    if values.shape[1] != sum(map(len, channels)):
        raise ValueError(f"{values.shape[1]} values in a frame for {sum(map(len, channels))} channels")
    turns = np.zeros((len(values), len(parents), 3, 3))
    places = np.zeros((len(values), len(parents), 3))
    column = 0
    for node, parent in enumerate(parents):
        turn, place = np.broadcast_to(np.eye(3), (len(values), 3, 3)), np.tile(offsets[node], (len(values), 1))
        for channel in channels[node]:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                place[:, axis] += values[:, column]
            else:
                turn = turn @ axis_angle_to_rotation(np.eye(3)[[axis] * len(values)], np.radians(values[:, column]))
            column += 1
        if parent >= 0:
            place = (turns[:, parent] @ place[..., None])[..., 0] + places[:, parent]
            turn = turns[:, parent] @ turn
        turns[:, node], places[:, node] = turn, place
    return places
