"""A camera that is read in a thread of its own, so that whoever is slower than it gets the newest frame and never one that waited."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.video import quiet_opencv, timed_frames


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """A frame of a camera: its number among all that came, seconds since the first one, and (H, W, 3) uint8 RGB.

    `arrived` is when it came, by `time.perf_counter`.
    """

    number: int
    time: float
    image: np.ndarray
    arrived: float


class LiveCamera:
    """Reads a camera in a thread while its `with` block runs; `next()` waits for a frame that was not given yet.

    Args:
        source: the number of a camera, 0 being the first; or a video file, which plays at its own speed, once.

    Raises:
        InputError: when the block is entered, if there is no such camera or file, or it gives no frame.
    """

    def __init__(self, source: int | str | os.PathLike[str]) -> None:
        self.source = source
        self._fresh = threading.Condition()
        self._frame: CameraFrame | None = None
        self._ended = False
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._capture: Any = None
        self.came = 0
        """How many frames came."""

    def __enter__(self) -> LiveCamera:
        if isinstance(self.source, int):
            with quiet_opencv():
                self._capture = cv2.VideoCapture(self.source)
            if not self._capture.isOpened():
                self._capture.release()
                raise InputError(
                    f"camera {self.source}: there is none that can be opened; is another program using it?"
                )
        elif not Path(self.source).is_file():
            raise InputError(f"{self.source}: there is no such camera or video file")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        if self._capture is not None and not self._thread.is_alive():
            self._capture.release()

    def next(self) -> CameraFrame | None:
        """The newest frame, once it is another than the last one given; None where no more come.

        Raises:
            InputError: the camera gave no frame at all, or the video cannot be read.
        """
        with self._fresh:
            self._fresh.wait_for(lambda: self._frame is not None or self._ended)
            frame, self._frame = self._frame, None
        if frame is None and self._error is not None:
            raise self._error
        if frame is None and self.came == 0:
            raise InputError(f"camera {self.source}: gives no frames")
        return frame

    def _run(self) -> None:
        try:
            if isinstance(self.source, int):
                self._read_camera()
            else:
                self._play(self.source)
        except Exception as error:  # raised where frames are asked for
            self._error = error
        with self._fresh:
            self._ended = True
            self._fresh.notify_all()

    def _read_camera(self) -> None:
        start = None
        while not self._stop.is_set():
            ok, frame = self._capture.read()
            if not ok:
                return
            now = time.perf_counter()
            start = now if start is None else start
            self._put(now - start, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), now)

    def _play(self, path: str | os.PathLike[str]) -> None:
        start = time.perf_counter()
        first: float | None = None
        for seconds, image in timed_frames(path, lambda note: None):
            first = seconds if first is None else first
            if self._stop.wait(max(start + seconds - first - time.perf_counter(), 0)):
                return
            self._put(seconds - first, image, time.perf_counter())

    def _put(self, seconds: float, image: np.ndarray, arrived: float) -> None:
        with self._fresh:
            self._frame = CameraFrame(self.came, seconds, image, arrived)
            self.came += 1
            self._fresh.notify_all()


Show = Callable[[np.ndarray], bool]
"""Shows a picture (H, W, 3) uint8 RGB; False where the user wants to stop."""


def open_window(title: str) -> Show | None:
    """A window that shows pictures until somebody presses q or Esc or closes it; None where there can be none.

    `opencv-python-headless`, which Phalanx needs, has no windows; `opencv-python` in its place has. Nor is there one without a display.
    """
    if os.name == "posix" and os.uname().sysname == "Linux":
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return None
    try:
        cv2.namedWindow(title, cv2.WINDOW_NORMAL)
    except cv2.error:
        return None

    def show(picture: np.ndarray) -> bool:
        cv2.imshow(title, picture[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1

    return show
