"""`HandRecording`: one hand over the frames of a recording, whatever it was found from; written as NPZ and as a table of angles.

`hand.formats.animation` writes it as an animated GLB, `hand.formats.bvh` as BVH.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.hand.angles import ANGLE_NAMES, rotations_to_angles
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import SIDES, Side
from phalanx.hand.skeleton import JOINT_NAMES

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

SCHEMA = "phalanx.recording/1"
PART = 512
"""Hands posed at a time."""


@dataclass(frozen=True, eq=False)
class HandRecording:
    """One hand in T frames. Arrays are NumPy, lengths metres; V and F are the mesh's vertices and faces.

    `rotations`, `orientation` and `shape` are those of the hand model, which is a right hand. For a left hand they pose the mirrored
    right one, and x of what the model gives is negated, as for `HandPrediction`; all else is the left hand's own.

    Attributes:
        side: which hand it is.
        frames: (T,) numbers of the frames in what was recorded, increasing; frames without the hand are left out.
        times: (T,) seconds, increasing.
        joints: (T, 21, 3) of the hand model, in the frame of the camera or of the keypoints.
        rotations: (T, 16, 3, 3), as in `HandPose`.
        orientation: (T, 3, 3) of the palm.
        shape: (T, 10) standard deviations.
        filled: (T, 21) joints that nothing was measured of: they are where the model has them.
        vertices: (T, V, 3), or None where they would take too much memory.
        faces: (F, 3) counter-clockwise seen from outside, or None.
        sources: where things come from, by name, such as `side` ("given" or "found"), `scale` or `times`.
    """

    side: Side
    frames: np.ndarray
    times: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    orientation: np.ndarray
    shape: np.ndarray
    filled: np.ndarray
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise InputError(f"side: must be 'left' or 'right', not {self.side!r}")
        count = len(self.frames)
        for name, shape in _SHAPES.items():
            value = getattr(self, name)
            if value.shape != (count, *shape):
                raise InputError(f"{name}: must have shape {(count, *shape)}, has {value.shape}")
            if not np.isfinite(value).all():
                raise InputError(f"{name}: has values that are not finite numbers")
        for name in ("frames", "times"):
            if not count or (np.diff(getattr(self, name)) <= 0).any():
                raise InputError(f"{name}: must be there and increase")
        if (self.vertices is None) != (self.faces is None):
            raise InputError("vertices and faces: must both be there or both be None")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def mirror(self) -> np.ndarray:
        """(3,) what the right hand of the model is multiplied by."""
        return np.array([-1.0 if self.side == "left" else 1.0, 1.0, 1.0])

    @property
    def angles_degrees(self) -> np.ndarray:
        """(T, 23) anatomical angles, in the order of `ANGLE_NAMES`."""
        return np.degrees(rotations_to_angles(self.rotations.astype(np.float64)))

    def pose(self) -> HandPose[np.ndarray]:
        """Of the hand model: for a left hand, of the mirrored right one."""
        wrist = self.joints[:, 0] * self.mirror
        values = (self.rotations, self.shape, self.orientation, wrist)
        return HandPose(*(np.ascontiguousarray(value, np.float32) for value in values))


_SHAPES: dict[str, tuple[int, ...]] = {
    "frames": (),
    "times": (),
    "joints": (21, 3),
    "rotations": (16, 3, 3),
    "orientation": (3, 3),
    "shape": (10,),
    "filled": (21,),
}


def posed_surfaces(
    recording: HandRecording, model: HandModel | PlainHand, chosen: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Vertices (n, V, 3) of the frames `chosen`, float32, by their place in the recording."""
    pose, mirror, hand = recording.pose(), recording.mirror.astype(np.float32), plain_hand(model)
    numbers = np.asarray(chosen, dtype=np.int64)
    parts = [numbers[start : start + PART] for start in range(0, max(len(numbers), 1), PART)]
    return np.concatenate([hand(pose[part]).vertices * mirror for part in parts])


def own_faces(model: HandModel | PlainHand, side: Side) -> np.ndarray:
    """(F, 3) of a hand of either side, counter-clockwise seen from outside."""
    faces = plain_hand(model).faces
    return np.ascontiguousarray(faces[:, ::-1]) if side == "left" else faces


def save_recording(path: str | os.PathLike[str], recording: HandRecording, **more: np.ndarray | str) -> None:
    """Write all fields to an NPZ file, whole or not at all, lengths and rotations as float32; and `more` arrays by name.

    `sources` become `side_source` and so on; the angles are in it as `angles_degrees` (T, 23), with `angle_names`.
    """
    values = {name: getattr(recording, name) for name in (*_SHAPES, "vertices", "faces")}
    values |= {f"{name}_source": source for name, source in recording.sources.items()}
    values |= {"angles_degrees": recording.angles_degrees, "side": recording.side, "schema": SCHEMA, **more}
    small: dict[str, Any] = {
        name: value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in values.items()
        if value is not None
    }
    small |= {"times": recording.times.astype(np.float64), "angle_names": ANGLE_NAMES}
    with write_whole(path) as part, part.open("wb") as file:
        np.savez(file, **small)


def save_angles(path: str | os.PathLike[str], recording: HandRecording) -> None:
    """Write a table (CSV) with a row a frame: its number, its time in seconds, and the 23 angles in degrees."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("frame", "time", *ANGLE_NAMES))
    for frame, seconds, row in zip(recording.frames, recording.times, recording.angles_degrees, strict=True):
        table.writerow((int(frame), f"{seconds:.6f}", *(f"{angle:.3f}" for angle in row)))
    with write_whole(path) as part:
        Path(part).write_text(text.getvalue(), encoding="utf-8")


class TableRow(Protocol):
    """What a table has of a hand; a `HandPrediction` is one."""

    @property
    def side(self) -> Side: ...

    @property
    def score(self) -> float: ...

    @property
    def joints(self) -> np.ndarray: ...  # (21, 3) metres

    @property
    def angles_degrees(self) -> dict[str, float]: ...

    @property
    def id(self) -> int | None: ...

    @property
    def time(self) -> float | None: ...


@contextlib.contextmanager
def write_hands(path: str | os.PathLike[str]) -> Iterator[Callable[[int, TableRow], None]]:
    """Yield a function that appends a hand and the number of its frame to a table (CSV); the file appears whole, or not at all.

    A row has the frame's number and its time in seconds, the hand's id, side and score, the 23 angles in degrees, and the 21 joints in
    metres, in the hand's frame, the camera's or a rig's world (`wrist_x`, `wrist_y`, `wrist_z`, ...). Rows go to the disk as they come.
    """
    with write_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        joints = (f"{name}_{axis}" for name in JOINT_NAMES for axis in "xyz")
        table.writerow(("frame", "time", "id", "side", "score", *ANGLE_NAMES, *joints))

        def append(frame: int, hand: TableRow) -> None:
            angles = (f"{hand.angles_degrees[name]:.3f}" for name in ANGLE_NAMES)
            places = (f"{value:.6f}" for value in hand.joints.reshape(-1).tolist())
            time = "" if hand.time is None else f"{hand.time:.6f}"
            number = "" if hand.id is None else hand.id
            table.writerow((frame, time, number, hand.side, f"{hand.score:.4f}", *angles, *places))

        yield append
