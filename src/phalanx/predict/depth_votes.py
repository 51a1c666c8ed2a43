"""Which hand a recording shows: some of its frames are searched beforehand, and kept so that nothing is read or searched twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Protocol, TypeVar

from phalanx.core.errors import InputError
from phalanx.hand.prediction import Side
from phalanx.predict.depth_search import SURE, Place

VOTERS = 24
"""Frames that decide which hand a recording shows."""

_ROOM = 128 * 2**20  # bytes of frames that are kept; those beyond are read again


class Sized(Protocol):
    """Something of a known size."""

    @property
    def nbytes(self) -> int: ...


Key = TypeVar("Key", bound=Hashable)
Frame = TypeVar("Frame", bound=Sized)


class KeptFrames(Generic[Key, Frame]):
    """Frames that are looked at twice and read once, as far as memory goes; a fault of one is kept, too.

    Args:
        read: gives a frame, or raises InputError.
        room: bytes that frames may take until they are taken.
    """

    def __init__(self, read: Callable[[Key], Frame], room: int = _ROOM) -> None:
        self._read, self._room = read, room
        self._kept: dict[Key, Frame | InputError] = {}

    def look(self, key: Key) -> Frame | None:
        """The frame, kept for `take`; None if it is at fault, which `take` says."""
        try:
            frame = self._read(key)
        except InputError as error:
            self._kept[key] = error
            return None
        if frame.nbytes <= self._room:
            self._room -= frame.nbytes
            self._kept[key] = frame
        return frame

    def take(self, key: Key) -> Frame:
        """The frame, for the last time. Raises InputError if it is at fault."""
        frame = self._kept.pop(key, None)
        if frame is None:
            return self._read(key)
        if isinstance(frame, InputError):
            raise frame
        self._room += frame.nbytes
        return frame


def side_of(places: Iterable[Place]) -> Side:
    """The side that places in several frames of one hand speak for; where no hand is seen, they have no say."""
    lead = sum(place.shares["right"] - place.shares["left"] for place in places if place.hand >= SURE)
    return "right" if lead >= 0 else "left"
