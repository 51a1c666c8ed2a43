"""What readers of public sets share in reading labels: checks of units, numbers out of text, MATLAB and lists, fields of a sample."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.hand.skeleton import TIPS

Numbers = TypeVar("Numbers", np.ndarray, torch.Tensor)

UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001}
BLOCK = 20_000  # lines read at once: there are label files of 600 MB


def as_batch(values: np.ndarray) -> torch.Tensor:
    """`(1, *shape)` float32."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]


def project(points: Numbers, K: Numbers) -> Numbers:
    """Pixels (N, 2) of points (N, 3) before a camera (3, 3)."""
    pixels = points @ K.T
    return pixels[:, :2] / pixels[:, 2:]


def only_tips(known: np.ndarray, tips: np.ndarray, pixels: np.ndarray) -> dict[str, torch.Tensor]:
    """`valid`, `joints` and `joints_2d` of a hand of which tips are labelled: which are known (5,), metres (5, 3), pixels (5, 2)."""
    rows = np.zeros((21, 6))
    rows[list(TIPS)] = np.where(known[:, None], np.concatenate([np.ones((5, 1)), tips, pixels], axis=-1), 0)
    return {"valid": as_batch(rows[:, 0]), "joints": as_batch(rows[:, 1:4]), "joints_2d": as_batch(rows[:, 4:])}


def read_tip_lines(path: Path, size: int, followed: bool = False) -> np.ndarray:
    """The five tips of every line of a text file, (N, 5, size): entries ended by `;`, their numbers parted by commas.

    `followed`: other entries may come after the tips. Raises InputError naming file and line.
    """
    read_head(path, 1)  # says what is wrong with a file that is not there
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n"), 1):
        entries = [entry.split(",") for entry in line.strip().removesuffix(";").split(";")]
        if followed:
            entries = entries[:5]
        if len(entries) != 5 or any(len(entry) != size for entry in entries):
            raise InputError(f"{path}: line {number}: five tips of {size} numbers expected, has {line[:60]!r}")
        try:
            row = np.array(entries, dtype=np.float64)
        except ValueError:
            row = np.full((5, size), np.nan)
        if not np.isfinite(row).all():
            raise InputError(f"{path}: line {number}: has values that are not numbers")
        rows.append(row)
    return np.stack(rows)


def check_rows(good: ArrayLike, name: str, fault: str) -> None:
    """Raise InputError `name i: fault` for the first row i, from 0, of an array that is not `good` (N,)."""
    if not np.all(good):
        raise InputError(f"{name} {int(np.argmin(good))}: {fault}")


def as_rows(values: np.ndarray, shape: Sequence[int | None], name: str, row: str) -> np.ndarray:
    """`as_array(values, shape, name)`, whose sentence also names the row that holds NaN or infinity, `name: row i`."""
    if values.dtype.kind == "f" and values.ndim == len(shape):
        finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        check_rows(finite, f"{name}: {row}", "has values that are not finite numbers")
    return as_array(values, shape, name)


def check_hands(joints: np.ndarray, name: str) -> None:
    """Raise InputError `name i: ...` for the first of the hands (N, J, 3), in the camera's frame and any unit, that is none.

    That is one with all joints in one point, as missing labels are sometimes filled, or with a joint behind the camera.
    """
    check_rows((joints != joints[:, :1]).any((-1, -2)), name, "has all joints in one point")
    check_rows((joints[..., 2] > 0).all(-1), name, "has a joint behind the camera")


def check_unit(joints: np.ndarray, unit: str, path: Path) -> None:
    """Make sure, by wrists and middle knuckles, that hands (..., 21, 3) are in `unit`, one of `UNITS`. None at all are."""
    lengths = np.linalg.norm(joints[..., 9, :] - joints[..., 0, :], axis=-1)
    length = float(np.median(lengths)) if lengths.size else 0.1 / UNITS[unit]
    if not 0.03 <= length * UNITS[unit] <= 0.2:
        seems = next((name for name, metres in UNITS.items() if 0.03 <= length * metres <= 0.2), "no known unit")
        raise InputError(
            f"{path}: joints should be in {unit}, but seem to be in {seems}: from wrist to middle knuckle are {length:.3g}"
        )


def check_distance(millimetres: np.ndarray, path: Path) -> None:
    """Make sure, by how far hands are before the camera, that lengths are in millimetres, and z of the right sign."""
    distance = float(np.median(millimetres)) if millimetres.size else 500.0
    if distance <= 0:
        raise InputError(f"{path}: hands are {-distance:.3g} mm behind the camera; is the sign of z right?")
    if not 100 <= distance <= 3000:
        unit = "metres" if 0.1 <= distance <= 3 else "another unit"
        raise InputError(f"{path}: hands are {distance:.3g} away, so lengths seem to be in {unit}, not in mm")


def stacked(
    entries: Sequence[object], shape: tuple[int, ...], names: Iterable[str], dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """N entries of a file as one array `(N, *shape)`. Raises InputError with the name of the first that is not of finite numbers."""
    try:
        array = np.array(entries, dtype=dtype)
        if array.shape == (len(entries), *shape) and np.isfinite(array).all():
            return array
    except (TypeError, ValueError):
        pass
    checked = [as_array(entry, shape, name) for entry, name in zip(entries, names, strict=True)]
    return np.array(checked, dtype=dtype).reshape(len(entries), *shape)


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Variables of a MATLAB file by name. Raises InputError for a file that is missing or damaged, or lacks one of them."""
    from scipy.io import loadmat  # slow to import

    read_head(path, 1)  # says what is wrong with a file that is not there
    try:
        contents = loadmat(path, variable_names=list(names))
    except Exception as error:  # a damaged file raises almost anything: ValueError, TypeError, zlib.error, MemoryError
        raise InputError(f"{path}: is damaged or not a MATLAB file ({type(error).__name__})") from error
    for name in names:
        if name not in contents:
            raise InputError(f"{path}: has no variable {name}")
    return contents


def read_named_rows(path: Path, columns: int) -> tuple[list[str], np.ndarray]:
    """Names at the heads of a text file's lines, and the numbers after them as float32 (N, columns). Empty lines do not count."""
    read_head(path, 1)
    names: list[str] = []
    blocks = [np.zeros((0, columns), dtype=np.float32)]
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        while block := list(islice(numbered, BLOCK)):
            parts = [line.split(None, 1) for _, line in block]
            names += [part[0] for part in parts]
            lines, rows = [number for number, _ in block], [part[-1] for part in parts]
            values = number_rows(rows, lines, columns, f"a name and {columns} numbers", path)
            blocks.append(values.astype(np.float32))
    return names, np.concatenate(blocks)


def number_rows(rows: Sequence[str], lines: Iterable[int], columns: int, expected: str, path: Path) -> np.ndarray:
    """Blank-separated numbers as float64 (N, columns). Raises InputError naming the line, by `lines`, of a row that has not `expected`."""
    lines = list(lines)
    for line, row in zip(lines, rows, strict=True):
        if (found := len(row.split())) != columns:
            raise InputError(f"{path}: line {line}: {expected} expected, has {found} numbers")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns where text ends that can be read
        try:
            values = np.fromstring(" ".join(rows), sep=" ")
        except (ValueError, DeprecationWarning):
            values = np.array([_number(word) for row in rows for word in row.split()])
    if not np.isfinite(values).all():
        line = lines[int(np.argmin(np.isfinite(values))) // columns]
        raise InputError(f"{path}: line {line}: has values that are not numbers")
    return values.reshape(-1, columns)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan
