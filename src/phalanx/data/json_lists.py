"""Lists in JSON files: of hands, too large to read at once, each entry read when it is asked for; and those whose entries have lines."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import read_head, read_json
from phalanx.core.json_values import Json
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


def read_with_lines(path: Path) -> tuple[Json, dict[str, list[int]]]:
    """The contents of a JSON file, and the lines, from 1, that the entries of its outermost lists begin on.

    Returns:
        What the file holds; and by name, of an object's members that are lists, the line of each entry. A file that is a list has them
        under the empty name.

    Raises:
        InputError: it is missing, cannot be read, is cut short or not JSON; the sentence names the line.
    """
    read_head(path, 1)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    reader = _LineReader(text)
    try:
        return reader.whole(), reader.lines
    except (ValueError, RecursionError) as error:
        place = error.pos if isinstance(error, json.JSONDecodeError) else reader.place
        raise InputError(f"{path}: line {text.count(chr(10), 0, place) + 1}: is cut short or not JSON") from error


class _LineReader:
    """Reads a JSON text entry by entry, so that it knows where each begins."""

    def __init__(self, text: str) -> None:
        self._text, self.place = text, 0
        self._counted, self._line = 0, 1
        self._decoder = json.JSONDecoder()
        self.lines: dict[str, list[int]] = {}

    def whole(self) -> Json:
        found = self._object() if self._next() == "{" else self._list("") if self._next() == "[" else self._value()
        if self._next():
            raise ValueError("more behind the end")
        return found

    def _next(self) -> str:
        """The next character that is no blank, where `place` is then; empty at the end."""
        while self._text[self.place : self.place + 1] in (" ", "\t", "\r", "\n"):
            self.place += 1
        return self._text[self.place : self.place + 1]

    def _take(self, mark: str) -> bool:
        """Whether `mark` is next; it is passed over."""
        taken = self._next() == mark
        self.place += taken
        return taken

    def _must(self, mark: str) -> None:
        if not self._take(mark):
            raise ValueError(f"no {mark}")

    def _value(self) -> Json:
        self._next()
        value, self.place = self._decoder.raw_decode(self._text, self.place)
        return value

    def _object(self) -> Json:
        self._must("{")
        members: dict[str, Json] = {}
        while not self._take("}"):
            if members:
                self._must(",")
            name = self._value()
            self._must(":")
            members[str(name)] = self._list(str(name)) if self._next() == "[" else self._value()
        return members

    def _list(self, name: str) -> Json:
        self._must("[")
        entries: list[Json] = []
        lines = self.lines[name] = []
        while not self._take("]"):
            if entries:
                self._must(",")
            self._next()
            self._line += self._text.count("\n", self._counted, self.place)
            self._counted = self.place
            lines.append(self._line)
            entries.append(self._value())
        return entries
