"""What a server takes at most, and how its temporary files come and go."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import InputError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Sizes, times and counts; what is beyond is refused with one sentence."""

    picture_bytes: int = 30 * MEGABYTE
    picture_pixels: int = 50 * MEGABYTE
    clip_bytes: int = 60 * MEGABYTE
    clip_seconds: float = 60.0
    clip_frames: int = 1800
    clip_pixels: int = 4 * MEGABYTE
    folder_files: int = 600
    """In a ZIP file."""
    folder_bytes: int = 300 * MEGABYTE
    """Unpacked."""
    frame_bytes: int = MEGABYTE
    """Of the webcam."""
    frame_pixels: int = 2_100_000
    upload_seconds: float = 60.0
    waiting: int = 16
    """Requests that wait in all."""
    waiting_each: int = 2
    """Of one page."""
    webcams: int = 16
    """Open at once."""
    idle_seconds: float = 60.0
    """After which a webcam that sends nothing is hung up."""


class TooLarge(InputError):
    """More than a limit allows."""


class TooSlow(InputError):
    """An upload that takes too long."""


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that nobody else can read and that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="phalanx-") as folder:
        yield Path(folder)


async def save_body(chunks: AsyncIterable[bytes], path: Path, most: int, seconds: float) -> int:
    """Write a request's body to a file; returns its bytes.

    Raises:
        TooLarge: it has more than `most` bytes.
        TooSlow: it takes more than `seconds`.
    """

    async def save() -> int:
        size = 0
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise TooLarge(f"the file has more than {most // MEGABYTE} MB")
                file.write(chunk)
        return size

    try:
        return await asyncio.wait_for(save(), seconds)
    except asyncio.TimeoutError as error:
        raise TooSlow(f"the upload took more than {seconds:g} seconds") from error
