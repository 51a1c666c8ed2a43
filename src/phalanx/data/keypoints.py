"""Reading keypoints of hands from the files that people have them in: NPZ, NPY, CSV, and JSON of MediaPipe.

What the numbers mean (unit, axes, joint order, which hand) is not decided here: `fit.conventions` finds it out by fitting.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_head
from phalanx.data.landmarks import read_landmarks

JOINTS = 21
MOST_FRAMES = 2_000_000
LARGEST = 4 << 30  # bytes of an array

_ARRAYS = (
    *("joints", "keypoints", "landmarks", "xyz", "joints_3d", "keypoints_3d", "joints3d", "keypoints3d"),
    *("world_landmarks", "hand_landmarks", "joints_2d", "keypoints_2d", "joints2d", "keypoints2d", "uv"),
)
_CONFIDENCES = ("confidence", "confidences", "weights", "scores", "visibility", "valid")
_TIMES = ("times", "time", "timestamps", "timestamp", "time_s", "seconds", "t")


@dataclass(frozen=True, eq=False)
class Track:
    """One hand's keypoints over N frames, as its file has them."""

    name: str
    """Tells it from others of the file; empty if there are none."""
    points: np.ndarray
    """(N, 21, 3), or (N, 21, 2) in a picture; float64, NaN where the file has none."""
    confidence: np.ndarray
    """(N, 21) 0 to 1; 1 where the file says nothing, 0 for a joint that it marks as missing."""
    times: np.ndarray | None = None
    """(N,) seconds, where the file has them."""
    in_picture: bool = False
    """Whether the file itself says that these are places in a picture."""


def read_keypoints(path: str | os.PathLike[str]) -> list[Track]:
    """The hands of a file, one or two.

    - NPZ with an array `joints` (or `keypoints`, `landmarks`, `xyz`, ..., or its only array), optionally `confidence` (N, 21) and
      `times` (N,) in seconds; NPY; CSV with a row a frame, with or without a heading. Arrays are (N, 21, 3), (N, 21, 2), or
      (N, 21, 4) with confidence last; the same flattened; or of two hands, (N, 42, 3), (N, 2, 21, 3) or (N, 126). One frame may lack N.
    - JSON of MediaPipe (`data.landmarks`), or of such an array.

    Raises:
        InputError: the file is missing, damaged, or holds no such numbers; one sentence that names it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        points, times, in_picture = read_landmarks(path)
        return tracks_of(points, None, times, path, in_picture)
    if suffix in (".csv", ".tsv", ".txt"):
        points, times = _read_table(path)
        return tracks_of(points, None, times, path)
    return tracks_of(*_read_numpy(path), path)


def _read_numpy(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    read_head(path, 1)
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded, None, None
            names = loaded.files
            chosen = next((name for name in _ARRAYS if name in names), names[0] if len(names) == 1 else None)
            if chosen is None:
                raise InputError(f"{path}: has no array 'joints' (it has {', '.join(names[:5]) or 'nothing'})")
            if max(entry.file_size for entry in loaded.zip.infolist()) > LARGEST:
                raise MemoryError
            beside = [next((loaded[name] for name in known if name in names), None) for known in (_CONFIDENCES, _TIMES)]
            return loaded[chosen], beside[0], beside[1]
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: claims to hold more numbers than fit into memory") from error
    except Exception as error:  # damaged headers raise anything, from zipfile.BadZipFile to tokenize.TokenError
        raise InputError(f"{path}: is not a whole NPZ or NPY file of numbers") from error


def _read_table(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of numbers (N, C), and times where a column has that name; columns before the joints' are left out."""
    lines = numbered_lines(path)
    if not lines:
        raise InputError(f"{path}: is empty")
    first = lines[0][1].lstrip("\ufeff")
    separator = max(",;\t", key=first.count) if any(mark in first for mark in ",;\t") else " "
    rows = list(csv.reader([first, *(text for _, text in lines[1:])], delimiter=separator, skipinitialspace=True))
    heading: list[str] = []
    try:
        [_number(cell) for cell in rows[0]]
    except ValueError:
        heading = [cell.strip().lower() for cell in rows.pop(0)]
        lines = lines[1:]
    if not rows:
        raise InputError(f"{path}: has a heading and no rows")
    columns = len(rows[0])
    values = np.empty((len(rows), columns))
    for place, (row, (number, _)) in enumerate(zip(rows, lines, strict=True)):
        if len(row) != columns:
            raise InputError(f"{path}: line {number} has {len(row)} columns and not {columns}")
        try:
            values[place] = [_number(cell) for cell in row]
        except ValueError as error:
            raise InputError(f"{path}: line {number} holds {error}, which is no number") from error
    known = [JOINTS * each * hands for hands in (1, 2) for each in (2, 3, 4)]
    extra = next((count for count in range(5) if columns - count in known), None)
    if extra is None:
        raise InputError(f"{path}: has {columns} columns; a frame is a row of 63 numbers, x, y and z of 21 joints")
    timed = [place for place, name in enumerate(heading[:extra]) if name in _TIMES]
    return values[:, extra:], values[:, timed[0]] if timed else None


def _number(cell: str) -> float:
    text = cell.strip()
    if text.lower() in ("", "na", "none", "null"):
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise ValueError(repr(text[:20])) from None


def tracks_of(
    values: np.ndarray, confidence: np.ndarray | None, times: np.ndarray | None, path: Path, in_picture: bool = False
) -> list[Track]:
    """The hands of an array in any of the shapes that `read_keypoints` lists. Raises InputError, naming `path`, for others."""
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: joints must be numbers, not {values.dtype}")
    points = _frames(values)
    if points is None:
        raise InputError(f"{path}: joints must have the shape (frames, 21, 3), not {values.shape}")
    if len(points) > MOST_FRAMES:
        raise InputError(f"{path}: has {len(points):,} frames, more than {MOST_FRAMES:,}")
    sure = np.ones(points.shape[:2]) if confidence is None else _confidences(confidence, points.shape[:2], path)
    if points.shape[2] == 4:
        points, sure = points[..., :3], sure * _confidences(points[..., 3], points.shape[:2], path)
    points = np.where(np.isfinite(points), points, np.nan)
    count = points.shape[1] // JOINTS
    if times is not None:
        times = _times(times, len(points), path)
    return [
        Track(f"hand_{number + 1}" if count > 1 else "", part, weight, times, in_picture or points.shape[2] == 2)
        for number, (part, weight) in enumerate(zip(np.split(points, count, 1), np.split(sure, count, 1), strict=True))
    ]


def _frames(values: np.ndarray) -> np.ndarray | None:
    """As (N, 21 or 42, 2 to 4) float64; None where the shape is none that there is."""
    shape = values.shape
    if values.ndim == 1 or (values.ndim == 2 and shape[0] in (JOINTS, 2 * JOINTS) and shape[1] in (2, 3, 4)):
        values = values[None]
    if values.ndim == 4 and values.shape[1:3] == (2, JOINTS):
        values = values.reshape(len(values), 2 * JOINTS, values.shape[3])
    if values.ndim == 2:  # 84 numbers are one hand with confidences rather than two in a picture
        splits = {JOINTS * each * hands: each for hands in (2, 1) for each in (2, 3, 4)}
        each = splits.get(values.shape[1])
        values = values if each is None else values.reshape(len(values), -1, each)
    right = values.ndim == 3 and values.shape[1] in (JOINTS, 2 * JOINTS) and values.shape[2] in (2, 3, 4)
    return values.astype(np.float64) if right and len(values) else None


def _confidences(values: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    if values.size != np.prod(shape) or values.dtype.kind not in "fiub":
        raise InputError(f"{path}: the confidences have the shape {values.shape}, and the joints {shape}")
    found = np.nan_to_num(np.asarray(values, np.float64).reshape(shape), nan=0.0)
    if (found < 0).any():
        raise InputError(f"{path}: holds a negative confidence")
    return np.minimum(found, 1.0)


def _times(values: np.ndarray, count: int, path: Path) -> np.ndarray:
    if values.dtype.kind not in "fiu" or values.shape != (count,):
        raise InputError(f"{path}: the times have the shape {values.shape}, and there are {count} frames")
    times = np.asarray(values, np.float64)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError(f"{path}: the times do not increase from frame to frame")
    return times
