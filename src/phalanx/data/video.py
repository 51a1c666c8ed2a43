"""Reading and writing video files."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, write_whole


def frames_per_second(path: str | os.PathLike[str]) -> float:
    """Frame rate that the file states; 30 where it states none.

    Raises:
        InputError: as `read_frames`.
    """
    import cv2

    with _opened(Path(path)) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
    return float(rate) if np.isfinite(rate) and 0 < rate < 1000 else 30.0


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yield the frames of a video one by one, upright, as (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file is missing, empty, no video, or holds no frame that can be decoded. One sentence, beginning
            with the path.
    """
    import cv2

    path = Path(path)
    with _opened(path) as capture:
        count = 0
        while True:
            ok, frame = capture.read()  # (H, W, 3) BGR
            if not ok:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if count == 0:
        raise InputError(f"{path}: the video has no frame that can be decoded")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator:
    import cv2

    read_head(path, 1)  # OpenCV says only that it cannot open a file, not why
    with _quiet_opencv():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise InputError(f"{path}: is not a video that can be read")
        yield capture
    finally:
        capture.release()


@contextlib.contextmanager
def write_video(path: str | os.PathLike[str], rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends a frame (H, W, 3) uint8 RGB, all of one size, to an MP4 file at `rate` a second.

    The file appears whole when the block ends, or not at all.

    Raises:
        InputError: the file cannot be written (whole), or this OpenCV cannot write MP4.
    """
    import cv2

    writer = None

    def append(frame: np.ndarray) -> None:
        nonlocal writer
        height, width = (side - side % 2 for side in frame.shape[:2])  # the codec wants even sides
        if writer is None:
            with _quiet_opencv():
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
        raise InputError(f"{path}: cannot be written whole; is there space on the disk?") from error


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from printing why a file cannot be opened: the exception says it in one sentence."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when FFmpeg is first used
    import cv2

    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4; 5
    before = set_level(0)  # silent
    try:
        yield
    finally:
        set_level(before)
