"""Lists of hands in JSON files that may be too large to read at once: each entry is read when it is asked for."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import read_head, read_json
from phalanx.data.labels import stacked

SURFACE_EXTENTS = (0.03, 0.6)
"""Metres that a hand's surface along its longest axis cannot fall short of or exceed."""


def read_entries(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """All entries of the list in a JSON file, each an array of `shape`, as `(N, *shape)`.

    Raises InputError naming the file, and the entry that is at fault.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: is not a list of hands")
    return stacked(entries, shape, (f"{path}: entry {number}" for number in range(len(entries))))


def entry_ends(path: Path) -> np.ndarray:
    """Where the entries, lists of lists of numbers, of the list in a JSON file end: (N,) bytes from its start.

    Raises InputError if the file is missing, cut short or no such list.
    """
    read_head(path, 1)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        ends = np.array([match.end() for match in re.finditer(rb"\]\s*\]", content)], dtype=np.int64)
        tail = content[int(ends[-1]) :] if len(ends) else b""
    if tail.strip() != b"]":
        raise InputError(f"{path}: is cut short or not a JSON list of hands")
    return ends


def read_entry(path: Path, ends: np.ndarray, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Entry `index` of the list, an array of `shape`, given the `entry_ends` of the file. Raises InputError for an entry at fault."""
    start = int(ends[index - 1]) if index else 0
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(int(ends[index]) - start).strip()
    name = f"{path}: entry {index}"
    try:
        return as_array(json.loads(text[1:]), shape, name)  # without the comma or the list's own bracket
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: is not JSON ({error})") from error


def read_surface(path: Path, ends: np.ndarray, index: int, vertices: int) -> np.ndarray:
    """Entry `index` as the vertices (V, 3) of a hand's surface, in metres. Raises InputError for one that is in another unit, too."""
    surface = read_entry(path, ends, index, (vertices, 3))
    if not SURFACE_EXTENTS[0] < (extent := float(np.ptp(surface, axis=0).max())) < SURFACE_EXTENTS[1]:
        raise InputError(f"{path}: entry {index}: is {extent:.3g} across; is that in metres?")
    return surface
