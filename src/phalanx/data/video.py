"""Reading and writing video files."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, write_whole
from phalanx.data.images import check_local


def frames_per_second(path: str | os.PathLike[str]) -> float:
    """Frame rate that the file states; 30 where it states none.

    Raises:
        InputError: as `read_frames`.
    """
    with _opened(Path(path)) as capture:
        return _rate(capture)


def _rate(capture: Any) -> float:
    import cv2

    rate = capture.get(cv2.CAP_PROP_FPS)
    return float(rate) if np.isfinite(rate) and 0 < rate < 1000 else 30.0


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yield the frames of a video one by one, upright, as (H, W, 3) uint8 RGB. Raises InputError as `timed_frames`."""
    for _, frame in timed_frames(path):
        yield frame


def timed_frames(
    path: str | os.PathLike[str], notice: Callable[[str], object] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the frames of a video one by one, upright, as (H, W, 3) uint8 RGB, each with its time in seconds from the beginning.

    Times are those that the file states, as far as they go up from frame to frame; else a frame comes one period of the frame rate
    after the one before it.

    Args:
        path: of the video.
        notice: called with one sentence, beginning with the path, where frames are missing at the end of the file, and where they
            change their size, before which the video ends then.

    Raises:
        InputError: the file is missing, a URL, empty, no video, or holds no frame that can be decoded; or, without `notice`, its frames
            change their size. One sentence, beginning with the path.
    """
    import cv2

    check_local(path)
    path = Path(path)
    before: float | None = None
    size: tuple[int, int] | None = None
    count = 0
    with _opened(path) as capture:
        period, stated = 1 / _rate(capture), frame_count(capture)
        while True:
            ok, frame = capture.read()  # (H, W, 3) BGR
            if not ok:
                break
            height, width = frame.shape[:2]
            if size not in (None, (width, height)):
                assert size is not None
                sentence = f"{path}: frame {count} has {width}x{height} pixels, those before it {size[0]}x{size[1]}"
                if notice is None:
                    raise InputError(sentence)
                notice(f"{sentence}; the video is read up to there")
                return
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if before is None:
                time = time if np.isfinite(time) and time > 0 else 0.0
            elif not (np.isfinite(time) and time > before):
                time = before + period
            before, size, count = time, (width, height), count + 1
            yield float(time), cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if before is None:
        raise InputError(f"{path}: the video has no frame that can be decoded")
    if notice is not None and stated is not None and count < FEWEST * stated - 2:
        notice(f"{path}: the video ends in the middle: {count} of {stated} frames can be read")


FEWEST = 0.97
"""Share of the frames that a file states below which it is not whole: some containers state a guess."""


def frame_count(capture: Any) -> int | None:
    """How many frames the head of an opened video states, or None."""
    import cv2

    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return round(count) if np.isfinite(count) and 0 < count < 1e8 else None


def frames_stated(path: str | os.PathLike[str]) -> int | None:
    """How many frames the head of a video states, or None. Raises InputError as `read_frames`."""
    with _opened(Path(path)) as capture:
        return frame_count(capture)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator:
    import cv2

    read_head(path, 1)  # OpenCV says only that it cannot open a file, not why
    with quiet_opencv():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            if _lacks_index(path):
                raise InputError(
                    f"{path}: the video is cut short: the index, which such files have at their end, is missing"
                )
            raise InputError(f"{path}: is not a video that can be read")
        yield capture
    finally:
        capture.release()


def _lacks_index(path: Path) -> bool:
    """Whether a file begins as an MP4 (ISO 14496-12) and has no whole box `moov`, without which no frame of it can be found."""
    with path.open("rb") as file:
        end, place, kinds = file.seek(0, os.SEEK_END), 0, []
        while place + 8 <= end:
            file.seek(place)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            kinds.append(head[4:8] if place + size <= end else b"")
            if size < 8:  # 0: up to the end of the file
                break
            place += size
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


@contextlib.contextmanager
def write_video(path: str | os.PathLike[str], rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends a frame (H, W, 3) uint8 RGB, all of one size, to an MP4 file at `rate` a second.

    The file appears whole when the block ends, or not at all.

    Raises:
        InputError: the file cannot be written (completely), or this OpenCV cannot write MP4.
    """
    import cv2

    writer = None

    def append(frame: np.ndarray) -> None:
        nonlocal writer
        height, width = (side - side % 2 for side in frame.shape[:2])  # the codec wants even sides
        if writer is None:
            with quiet_opencv():
                writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
            if not writer.isOpened():
                raise InputError(f"{path}: this OpenCV cannot write MP4 videos")
        writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))

    with write_whole(path) as part:
        try:
            yield append
        finally:
            if writer is not None:
                writer.release()
        _check_whole(part, path)


def _check_whole(part: Path, path: str | os.PathLike[str]) -> None:
    """OpenCV's writer does not say that the disk is full; but then the index, written last, is missing."""
    try:
        with _opened(part):
            pass
    except InputError as error:
        raise InputError(f"{path}: could not be written completely; is there space on the disk?") from error


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from printing why a file cannot be opened: the exception says it in one sentence."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when FFmpeg is first used
    import cv2

    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4; 5
    before = set_level(0)  # silent
    try:
        yield
    finally:
        set_level(before)
