"""PCK curves as papers publish them beside their plots: text files of numbers.

- One column: the share at 0, 1, 2, ... millimetres (51 values reach to 50 mm).
- Two columns: threshold in millimetres and share. Further columns are further curves over the same thresholds.
- Numbers are parted by blanks, tabs, commas or semicolons; lines may end with one of these. Lines that begin with `#` or `%` do not
  count, nor do lines of words before the first number.
- Shares are fractions of 1, or percent if one of them is greater than 1.

Such forms are those of the curves that Boukhayma et al., CVPR 2019, distribute (github.com/boukhayma/3dhand, `PCK/`).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines
from phalanx.metrics.curves import curve_area_trapezoid

MOST_COLUMNS = 10
"""More are no curves: lines of predicted joints have dozens of numbers."""

LEAST_REACH = 10.0
"""Millimetres: thresholds that end before are in another unit."""

ROUNDING = 1e-3
"""By how much a share may exceed 1, or fall short of the one before: curves read off a plot do."""

RANGES = {"auc_0_50": (0.0, 50.0), "auc_20_50": (20.0, 50.0)}
"""Areas by the name of the figure: from and to, in millimetres."""


def is_curve_file(path: Path) -> bool:
    """Whether a file looks like curves: text whose first line with a number has few words. Raises InputError if it cannot be read."""
    for _, text in numbered_lines(path):
        words = _words(text)
        if any(_number(word) is not None for word in words):
            return len(words) <= MOST_COLUMNS
    return False


def read_curves(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The curves of a file by name: thresholds (T,) in millimetres, rising, and shares (T,) in [0, 1].

    The name is the file's; of several curves, with the number of the column, from 1.

    Raises:
        InputError: names the file, the line and the fault: no numbers, thresholds that do not rise or are in another unit, shares
            beyond 100 %, or that fall.
    """
    lines, table = _table(path)
    if table.shape[1] == 1:
        table = np.concatenate([np.arange(len(table), dtype=float)[:, None], table], axis=1)
    thresholds = table[:, 0]
    if (falls := np.flatnonzero(np.diff(thresholds) <= 0)).size:
        raise InputError(
            f"{path}: line {lines[falls[0] + 1]}: the threshold does not rise, {thresholds[falls[0] + 1]:g}"
        )
    if thresholds[0] < 0 or thresholds[-1] < LEAST_REACH:
        raise InputError(
            f"{path}: thresholds run from {thresholds[0]:g} to {thresholds[-1]:g}; millimetres, of at least {LEAST_REACH:g}, expected"
        )
    name = path.stem if path.suffix in (".txt", ".csv", ".dat", ".tsv") else path.name
    names = [name] if table.shape[1] == 2 else [f"{name}, column {column + 1}" for column in range(1, table.shape[1])]
    return {name: (thresholds, _shares(table[:, column], lines, path)) for column, name in enumerate(names, 1)}


def areas(thresholds: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Areas under a curve by `RANGES`, by the trapezoid rule, of the ranges that it spans, but for one step at either end.

    A curve that begins at 21.05 mm, as Zimmermann and Brox's do, has an area from 20 mm: that over what is there of the range.
    """
    steps = np.diff(thresholds)
    found = {}
    for name, (low, high) in RANGES.items():
        first, last = max(low, float(thresholds[0])), min(high, float(thresholds[-1]))
        if first - low <= steps[0] + 1e-9 and high - last <= steps[-1] + 1e-9 and first < last:
            inside = thresholds[(thresholds > first) & (thresholds < last)]
            grid = np.concatenate([[first], inside, [last]])
            found[name] = curve_area_trapezoid(np.interp(grid, thresholds, shares), grid)
    return found


def _table(path: Path) -> tuple[list[int], np.ndarray]:
    """Numbers of the lines that have some, and these (T, C)."""
    lines: list[int] = []
    rows: list[list[float]] = []
    for line, text in numbered_lines(path):
        words = _words(text)
        values = [value for word in words if (value := _number(word)) is not None]
        if not words or (not values and not rows):
            continue  # a comment, or names of columns
        if len(values) < len(words) or len(values) > MOST_COLUMNS or (rows and len(values) != len(rows[0])):
            wanted = _count(len(rows[0])) if rows else "a share, or a threshold and shares,"
            raise InputError(f"{path}: line {line}: {wanted} expected, has {text[:60]!r}")
        lines.append(line)
        rows.append(values)
    if len(rows) < 2:
        raise InputError(f"{path}: holds no curve: two or more lines of numbers expected, has {len(rows)}")
    return lines, np.array(rows)


def _shares(values: np.ndarray, lines: list[int], path: Path) -> np.ndarray:
    """Shares as fractions of 1."""
    shares = values / 100 if values.max() > 1 + ROUNDING else values
    if (beyond := np.flatnonzero((shares < -ROUNDING) | (shares > 1 + ROUNDING))).size:
        raise InputError(f"{path}: line {lines[beyond[0]]}: {values[beyond[0]]:g} is neither a share nor a percentage")
    if (falls := np.flatnonzero(np.diff(shares) < -10 * ROUNDING)).size:
        number = int(falls[0])
        raise InputError(
            f"{path}: line {lines[number + 1]}: the share falls from {values[number]:g} to {values[number + 1]:g}; "
            "a PCK curve never does"
        )
    return np.clip(shares, 0, 1)


def _count(columns: int) -> str:
    return "one number" if columns == 1 else f"{columns} numbers"


def _words(text: str) -> list[str]:
    """Of a line; none of a comment."""
    return [] if text.startswith(("#", "%")) else re.findall(r"[^\s,;\ufeff]+", text)


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
