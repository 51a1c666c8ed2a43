"""Reads NPZ files of other people, damaged ones too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an NPZ file by name: all of them, or those of `names`. Python objects are not read.

    Raises:
        InputError: the file is missing, empty, cut short, damaged or no NPZ, or lacks one of `names`.
    """
    read_head(path, 1)  # says what is wrong with a file that is not there
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            there = set(file.files)
            arrays = {name: _array(file[name]) for name in (names or file.files) if name in there}
    except (
        Exception
    ) as error:  # damaged headers raise BadZipFile, zlib.error, TokenError, SyntaxError, MemoryError, ...
        raise InputError(f"{path}: is damaged or not an NPZ file ({type(error).__name__})") from error
    if missing := [name for name in names or () if name not in arrays]:
        raise InputError(f"{path}: lacks {' and '.join(missing)}")
    return arrays


def _array(member: object) -> np.ndarray:
    """What NumPy gives for a member, which is bytes if its header is damaged; text that is none is refused here, not later."""
    if not isinstance(member, np.ndarray):
        raise ValueError("no array")
    if member.dtype.kind == "U":
        native = member.astype(member.dtype.newbyteorder("="))
        if np.frombuffer(native.tobytes(), np.uint32).max(initial=0) > sys.maxunicode:
            raise ValueError("no text")
    return member
