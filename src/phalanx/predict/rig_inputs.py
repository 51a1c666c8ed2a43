"""What a rig's cameras took, brought together: videos and folders of pictures, the frames of one moment matched by name or time stamp."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder
from phalanx.data.images import OVERLAY, PICTURE_SUFFIXES, is_video, read_image
from phalanx.data.video import frames_per_second, frames_stated, timed_frames

NEAR = 0.5
"""Periods of the frame rate by which two frames of one moment may differ at most."""


@dataclass(frozen=True)
class Moment:
    """Pictures of one moment: their paths by camera, None where a camera has none; its name, and its time if that is known."""

    name: str
    paths: tuple[Path | None, ...]
    time: float | None = None


def check_kinds(paths: Sequence[Path], cameras: int, rig: str) -> bool:
    """Whether the views are videos. Raises InputError where they are of several kinds, missing, or not as many as cameras."""
    if len(paths) != cameras:
        raise InputError(
            f"{rig}: has {cameras} cameras, and {len(paths)} views are given; name one folder, picture or video for each"
        )
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: cannot be read: no such file or directory")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"{paths[0]}: is given for two cameras; each has its own folder, picture or video")
    kinds = {"folder" if path.is_dir() else "video" if is_video(path) else "picture" for path in paths}
    if len(kinds) > 1:
        raise InputError(
            f"{paths[0]}: the views of a rig are all folders, all videos or all pictures, not {' and '.join(sorted(kinds))}s"
        )
    return kinds == {"video"}


def picture_moments(paths: Sequence[Path], notice: Callable[[str], object]) -> list[Moment]:
    """The moments of folders of pictures, or of single pictures; those that one camera alone has are left out, and said.

    Matched by the files' names; else by the numbers that they end in; else by the nearest of these numbers, as time stamps.

    Raises:
        InputError: a folder has no pictures, or nothing matches.
    """
    if not paths[0].is_dir():
        return [Moment(paths[0].stem, tuple(paths))]
    files = [_pictures(path) for path in paths]
    by_name = [{file.stem: file for file in each} for each in files]
    moments = _equal(by_name)
    if len(moments) < 0.5 * min(map(len, files)):
        by_number = [{number: file for file in each if (number := _number(file)) is not None} for each in files]
        moments = _equal(by_number)
        if len(moments) < 0.5 * min(map(len, files)):
            moments = _nearest(by_number)
    if not moments:
        raise InputError(
            f"{paths[0]}: no picture's name or time stamp matches one in {', '.join(str(path) for path in paths[1:])}; pictures of one "
            "moment have one name, or names that end in one number"
        )
    for view, (path, each) in enumerate(zip(paths, files, strict=True)):
        used = sum(moment.paths[view] is not None for moment in moments)
        if used < len(each):
            notice(f"{path}: {len(each) - used} of {len(each)} pictures match none of another camera and are left out")
        if used < len(moments):
            notice(f"{path}: lacks {len(moments) - used} of {len(moments)} moments that two other cameras have")
    return moments


def _pictures(folder: Path) -> list[Path]:
    names = (name for name in sorted(list_folder(folder)) if not name.startswith("."))
    found = [folder / name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    found = [path for path in found if not path.stem.endswith(OVERLAY)]
    if not found:
        raise InputError(f"{folder}: the folder has no pictures in it")
    return found


def _number(file: Path) -> float | None:
    """The number that a file's name ends in."""
    found = re.search(r"(\d+(?:\.\d+)?)\D*$", file.stem)
    return float(found[1]) if found else None


def _equal(views: Sequence[dict[Any, Path]]) -> list[Moment]:
    """Moments whose key two views or more have."""
    keys = sorted({key for view in views for key in view})
    shared = [key for key in keys if sum(key in view for view in views) >= 2]
    moments = []
    for key in shared:
        paths = tuple(view.get(key) for view in views)
        moments.append(Moment(next(path.stem for path in paths if path is not None), paths))
    return moments


def _nearest(views: Sequence[dict[float, Path]]) -> list[Moment]:
    """Moments of the first view, each with the nearest of every other view within half the first one's period."""
    first = np.array(sorted(views[0]))
    if len(first) < 2 or any(not view for view in views):
        return []
    reach = NEAR * float(np.median(np.diff(first)))
    moments = []
    for stamp in first.tolist():
        paths: list[Path | None] = [views[0][stamp]]
        for view in views[1:]:
            near = min(view, key=lambda other: abs(other - stamp))
            paths.append(view[near] if abs(near - stamp) <= reach else None)
        if sum(path is not None for path in paths) >= 2:
            moments.append(Moment(views[0][stamp].stem, tuple(paths)))
    return moments


def pictures_of(moment: Moment, complain: Callable[[InputError], object]) -> list[np.ndarray | None]:
    """The pictures of a moment (H, W, 3) uint8; None for those that cannot be read, which are complained about."""
    pictures: list[np.ndarray | None] = []
    for path in moment.paths:
        try:
            pictures.append(None if path is None else read_image(path))
        except InputError as error:
            complain(error)
            pictures.append(None)
    return pictures


def video_moments(
    paths: Sequence[Path], notice: Callable[[str], object]
) -> Iterator[tuple[float, list[np.ndarray | None]]]:
    """Time in seconds and the frames (H, W, 3) of each moment of the first video; None where another has none within half a period.

    Times count from the first frame of each video. What is left over of the others, and what they lack, is said at the end.
    """
    period = 1 / frames_per_second(paths[0])
    streams = [_Stream(path, notice) for path in paths]
    lacking = [0] * len(paths)
    count = 0
    while (first := streams[0].take()) is not None:
        time, frame = first
        frames: list[np.ndarray | None] = [frame]
        for view, stream in enumerate(streams[1:], 1):
            other = stream.nearest(time, NEAR * period + 1e-6)
            lacking[view] += other is None
            frames.append(other)
        count += 1
        yield time, frames
    for view, (path, stream) in enumerate(zip(paths, streams, strict=True)):
        if lacking[view]:
            notice(
                f"{path}: has no frame at {lacking[view]} of the {count} moments of {paths[0]}; the other cameras count there"
            )
        elif view and (more := stream.rest()) > 0:
            notice(f"{path}: goes on for {more} frames after the end of {paths[0]}, which are left out")


class _Stream:
    """Frames of a video, one of them looked at ahead."""

    def __init__(self, path: Path, notice: Callable[[str], object]) -> None:
        self._frames = timed_frames(path, notice)
        self._ahead: tuple[float, np.ndarray] | None = None
        self._start: float | None = None

    def take(self) -> tuple[float, np.ndarray] | None:
        """The next frame and its time."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        found = next(self._frames, None)
        if found is None:
            return None
        self._start = found[0] if self._start is None else self._start
        return found[0] - self._start, found[1]

    def nearest(self, time: float, reach: float) -> np.ndarray | None:
        """The frame nearest to `time`, no farther than `reach`; those before it are passed over."""
        best: tuple[float, np.ndarray] | None = None
        while (found := self.take()) is not None:
            if best is not None and abs(found[0] - time) >= abs(best[0] - time):
                self._ahead = found
                break
            best = found
            if best[0] >= time:
                break
        if best is None:
            return None
        if abs(best[0] - time) > reach:
            if best[0] > time:
                self._ahead = best
            return None
        return best[1]

    def rest(self) -> int:
        """How many frames are left."""
        return sum(1 for _ in iter(self.take, None))


def moments_stated(path: Path) -> int | None:
    """How many moments videos have, by the head of the first."""
    return frames_stated(path)
