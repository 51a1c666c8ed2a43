"""Reads pickles of plain values and numpy arrays, as datasets are distributed in, without running anything that they name.

A pickle is a program: it may call whatever it names. Here it gets this module's own stand-ins for the few names that arrays
need, made anew for each file, and a file that asks for anything else is refused.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, reason

LARGEST = 1 << 30  # bytes; RHD's training labels, the largest here, have about 0.1 of it


def read_pickle(path: str | os.PathLike[str], largest: int = LARGEST) -> Any:
    """The content of a pickle of any protocol, of Python 2 too (whose strings are taken as Latin-1).

    Numbers, strings, bytes, None, lists, tuples, dictionaries, sets, and numpy arrays and scalars of numbers or strings.

    Raises:
        InputError: the file is missing, empty, larger than `largest` bytes, truncated, no pickle, or holds anything else
            (which is not run).
    """
    path = Path(path)
    read_head(path, 1)
    if path.stat().st_size > largest:
        raise InputError(f"{path}: is larger than the {largest >> 20} MB that are read of a pickle")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    try:
        return _arrays(AllowList(content, _stand_ins(), "plain data have").load(), {})
    except Exception as error:  # a damaged pickle may raise anything, MemoryError and RecursionError too
        text = "cut short" if isinstance(error, IndexError | EOFError) else " ".join(str(error).split())
        text = text or type(error).__name__
        raise InputError(f"{path}: not a readable pickle ({text})") from error


class AllowList(pickle._Unpickler):
    """Knows the names that it is given and no others, which are refused unrun.

    It is Python's own unpickler: that in C takes as much memory as a damaged number asks for. So would byte arrays here.

    Args:
        content: of the file; strings of Python 2 are taken as Latin-1.
        known: by module and name, what the pickle gets.
        users: who has no use for other names, for the message.
    """

    def __init__(self, content: bytes, known: Mapping[tuple[str, str], Any], users: str) -> None:
        super().__init__(BytesIO(content), encoding="latin1")
        self.known, self.users = known, users
        self._most = len(content)

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        if size > self._most:
            raise pickle.UnpicklingError("an array larger than the file")
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: load_bytearray8}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.known[module, name]
        except KeyError:
            wanted = repr(f"{module}.{name}")
            raise pickle.UnpicklingError(
                f"it asks for {wanted}, which {self.users} no use for and was not run"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for something outside the file")


def _stand_ins() -> dict[tuple[str, str], Any]:
    """By module and name, what the pickle gets: functions of its own, so that nothing that it does to them lasts."""

    def unused(*_: object) -> object:  # numpy.ndarray itself, which is only ever an argument of `reconstruct`
        raise pickle.UnpicklingError("an array that is made in no known way")

    def reconstruct(*_: object) -> _Array:
        return _Array()

    def data_type(code: str, *_: object) -> _Type:
        return _Type(code)

    def scalar(kind: _Type, raw: str | bytes) -> Any:
        return _decode(kind, raw, (), "C")[()]

    def from_buffer(raw: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> np.ndarray:
        return _decode(kind, raw, shape, order)

    def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes in old protocols
        return text.encode("latin1")

    def empty_bytes() -> bytes:
        return b""

    def make_set(items: Any = ()) -> set:
        return set(items)

    known: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): unused,
        ("numpy", "dtype"): data_type,
        ("_codecs", "encode"): encode,
    }
    for builtins in ("__builtin__", "builtins"):
        known |= {(builtins, "set"): make_set, (builtins, "bytes"): empty_bytes}
    for core in ("numpy.core", "numpy._core"):
        known |= {(f"{core}.multiarray", "_reconstruct"): reconstruct, (f"{core}.multiarray", "scalar"): scalar}
        known[f"{core}.numeric", "_frombuffer"] = from_buffer
    return known


class _Type:
    """Stands for a numpy dtype of numbers or strings. (The real one can be made to lie about the memory that it describes.)"""

    __hash__ = None  # type: ignore[assignment]  # no key of a dictionary, where it would be overlooked

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,5}", code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r} instead of numbers")
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("an array of unknown byte order")
        self.order = state[1]


class _Array:
    """Stands for a numpy array while the pickle is read."""

    __hash__ = None  # type: ignore[assignment]
    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, raw = state
        self.value = _decode(kind, raw, shape, "F" if columns_first else "C")


def _decode(kind: _Type, raw: Any, shape: tuple[int, ...], order: Any) -> np.ndarray:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array of no known type")
    content = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 had no bytes
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("an array of objects")
    array: np.ndarray = np.ndarray(shape, np.dtype(kind.order + kind.code), content, order=order)
    if array.nbytes != len(content):
        raise pickle.UnpicklingError(f"an array of {array.nbytes} bytes that comes with {len(content)}")
    return array.astype(array.dtype.newbyteorder("="))  # a copy, which may be written


def _arrays(value: Any, done: dict[int, Any]) -> Any:
    """`value` with arrays in the place of their stand-ins; `done` holds, by identity, what has been seen to."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _Type) or callable(value):
        raise pickle.UnpicklingError("it holds something that is neither a plain value nor an array")
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, tuple):
        whole = tuple(_arrays(item, done) for item in value)
        done[id(value)] = whole
        return whole
    done[id(value)] = value
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        value[key] = _arrays(item, done)
    return value
