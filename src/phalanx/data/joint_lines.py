"""Joints in text files, as the depth community exchanges predictions and ground truth.

One line a frame, blank-separated `u v d` of every joint: two pixels and a depth in millimetres; no names. Files may be compressed
(`.gz`). The form is that of github.com/xinghaochen/awesome-hand-pose-estimation, `evaluation/`.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import reason


def read_joint_lines(path: str | Path, joints: int) -> np.ndarray:
    """`(N, joints, 3)` float64: u and v in pixels, d in millimetres, of the N frames in the file.

    Raises:
        InputError: the file is missing, damaged or empty, or a line has not `3 * joints` finite numbers; the line is named.
    """
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is cut short or damaged ({error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file of joints") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: holds no frames")
    for number, line in enumerate(lines, 1):
        if len(line) != 3 * joints:
            raise InputError(f"{path}: line {number}: {3 * joints} numbers expected ({joints} joints), has {len(line)}")
    try:
        values = np.array(lines, dtype=np.float64)
    except ValueError:
        values = np.array([[_number(word) for word in line] for line in lines])
    if not np.isfinite(values).all():
        number, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{path}: line {number + 1}: {lines[number][column]!r} is not a finite number")
    return values.reshape(len(lines), joints, 3)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan
