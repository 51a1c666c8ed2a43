"""Reads pickles of plain values and numpy arrays, as datasets are distributed in, without running anything that they name.

A pickle is a program: it may call whatever it names. Here it gets this module's own stand-ins for the few names that arrays
need, made anew for each file, and a file that asks for anything else is refused.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, reason

LARGEST = 1 << 30  # bytes; RHD's training labels, the largest here, have about 0.1 of it

NUMBERS = r"b1|[iu][1248]|f[248]"
"""Types of arrays, as pickles write them: numbers alone."""
NUMBERS_AND_TEXTS = NUMBERS + r"|[SU][1-9][0-9]{0,5}"

Names = Mapping[tuple[str, str], object]
"""By module and name, what a pickle gets that asks for it."""


@dataclass(frozen=True)
class Family:
    """Pickles of one origin: what they are allowed to hold beside plain values.

    Attributes:
        name: what messages call such a file.
        users: who has no use for other names, in messages.
        types: regular expression of the types that arrays may have.
        classes: by module and name, classes whose objects are kept as attributes alone.
        largest: bytes that a file may have.
    """

    name: str
    users: str
    types: str = NUMBERS_AND_TEXTS
    classes: Mapping[tuple[str, str], type[Kept]] = field(default_factory=dict)
    largest: int = LARGEST


class Kept:
    """Stands for an object of a class of someone else: its attributes, and nothing that they do."""

    _state: object = None

    def __setstate__(self, state: object) -> None:
        self._state = state

    def has(self, name: str) -> bool:
        """Whether the object has an attribute of this name."""
        return isinstance(self._state, dict) and name in self._state

    def attribute(self, name: str) -> object:
        """An attribute, with arrays in the place of their stand-ins.

        Raises:
            KeyError: the object has none of this name.
            pickle.UnpicklingError: it holds something that is neither a plain value nor an array.
        """
        if not isinstance(self._state, dict):
            raise pickle.UnpicklingError("an object without attributes")
        return _arrays(self._state[name], {})


PLAIN = Family("pickle", "plain data have")


def read_pickle(path: str | os.PathLike[str], family: Family = PLAIN) -> object:
    """The content of a pickle of any protocol, of Python 2 too (whose strings are taken as Latin-1).

    Numbers, strings, bytes, None, lists, tuples, dictionaries, sets, numpy arrays and scalars of the family's types, and a
    `Kept` for each object of the family's classes.

    Raises:
        InputError: the file is missing, empty, larger than the family's largest, truncated, no pickle, or holds anything
            else (which is not run).
    """
    path = Path(path)
    read_head(path, 1)
    if path.stat().st_size > family.largest:
        raise InputError(f"{path}: is larger than the {family.largest >> 20} MB that are read of a {family.name}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    try:
        return _arrays(AllowList(content, _stand_ins(family), family.users).load(), {})
    except Exception as error:  # a damaged pickle may raise anything, MemoryError and RecursionError too
        text = "cut short" if isinstance(error, IndexError | EOFError) else " ".join(str(error).split())
        text = text or type(error).__name__
        raise InputError(f"{path}: not a readable {family.name} ({text})") from error


class AllowList(pickle._Unpickler):
    """Knows the names that it is given and no others, which are refused unrun.

    It is Python's own unpickler: that in C takes as much memory as a damaged number asks for. So would byte arrays here.

    Args:
        content: of the file; strings of Python 2 are taken as Latin-1.
        known: by module and name, what the pickle gets.
        users: who has no use for other names, for the message.
    """

    def __init__(self, content: bytes, known: Names, users: str) -> None:
        super().__init__(BytesIO(content), encoding="latin1")
        self.known, self.users = known, users
        self._most = len(content)

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        if size > self._most:
            raise pickle.UnpicklingError("an array larger than the file")
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }

    def find_class(self, module: str, name: str) -> object:
        try:
            return self.known[module, name]
        except KeyError:
            wanted = repr(f"{module}.{name}")
            raise pickle.UnpicklingError(
                f"it asks for {wanted}, which {self.users} no use for and was not run"
            ) from None

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError("it asks for something outside the file")


def _stand_ins(family: Family) -> Names:
    """By module and name, what the pickle gets: functions of its own, so that nothing that it does to them lasts."""

    def unused(*_: object) -> object:  # a class which is only ever an argument of the functions that make its objects
        raise pickle.UnpicklingError("an array that is made in no known way")

    def reconstruct(*_: object) -> _Array:
        return _Array()

    def data_type(code: str, *_: object) -> _Type:
        return _Type(code, family.types)

    def scalar(kind: _Type, raw: str | bytes) -> object:  # of numpy's numbers
        return _decode(kind, raw, (), "C")[()]

    def from_buffer(raw: bytes, kind: _Type, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
        return _decode(kind, raw, shape, order)

    def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes in old protocols
        return text.encode("latin1")

    def empty_bytes() -> bytes:
        return b""

    def make_set(items: Iterable[Hashable] = ()) -> set[Hashable]:
        return set(items)

    def kept(kind: type, *_: object) -> Kept:
        if kind not in family.classes.values():
            raise pickle.UnpicklingError("an object of no known class")
        return kind()

    known: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): unused,
        ("numpy", "dtype"): data_type,
        ("_codecs", "encode"): encode,
        **family.classes,
    }
    for builtins in ("__builtin__", "builtins"):
        known |= {(builtins, "set"): make_set, (builtins, "bytes"): empty_bytes}
        if family.classes:
            known[builtins, "object"] = unused
    if family.classes:
        known |= {("copy_reg", "_reconstructor"): kept, ("copyreg", "_reconstructor"): kept}
    for core in ("numpy.core", "numpy._core"):
        known |= {(f"{core}.multiarray", "_reconstruct"): reconstruct, (f"{core}.multiarray", "scalar"): scalar}
        known[f"{core}.numeric", "_frombuffer"] = from_buffer
    return known


class _Type:
    """Stands for a numpy dtype. (The real one can be made to lie about the memory that it describes.)"""

    __hash__ = None  # type: ignore[assignment]  # no key of a dictionary, where it would be overlooked

    def __init__(self, code: str, allowed: str) -> None:
        if not re.fullmatch(allowed, code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r} instead of numbers")
        self.code = code
        self.order = "="

    def __setstate__(self, state: Sequence[str]) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("an array of unknown byte order")
        self.order = state[1]


class _Array:
    """Stands for a numpy array while the pickle is read."""

    __hash__ = None  # type: ignore[assignment]
    value: np.ndarray

    def __setstate__(self, state: tuple[object, tuple[int, ...], _Type, bool, str | bytes]) -> None:
        _, shape, kind, columns_first, raw = state
        self.value = _decode(kind, raw, shape, "F" if columns_first else "C")


def _decode(kind: _Type, raw: str | bytes | bytearray, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
    """An array of what a pickle brings, whose types are only hoped for until they are checked here."""
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array of no known type")
    content = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 had no bytes
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("an array of objects")
    array: np.ndarray = np.ndarray(shape, np.dtype(kind.order + kind.code), content, order=order)
    if array.nbytes != len(content):
        raise pickle.UnpicklingError(f"an array of {array.nbytes} bytes that comes with {len(content)}")
    return array.astype(array.dtype.newbyteorder("="))  # a copy, which may be written


def _arrays(value: object, done: dict[int, object]) -> object:
    """`value` with arrays in the place of their stand-ins; `done` holds, by identity, what has been seen to.

    What a `Kept` holds is seen to when it is asked for."""
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
