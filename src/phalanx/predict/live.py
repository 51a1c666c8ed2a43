"""Hands before a live camera: the newest frame is tracked, drawn and shown or written, then the next newest."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from phalanx.core.files import write_whole
from phalanx.data.live_camera import LiveCamera, Show
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.tracker import Tracker

LIVE_SCHEMA = "phalanx.live/1"
RECENT = 30
"""Frames that the rate is the mean over."""


@dataclass(frozen=True)
class LiveReport:
    """What was done.

    Attributes:
        frames: that were tracked.
        passed_over: that came while others were at work.
        rate: frames tracked a second.
        latency: milliseconds from a frame's arrival until it was shown or written, median.
    """

    frames: int
    passed_over: int
    rate: float
    latency: float


def run_live(
    tracker: Tracker,
    camera: LiveCamera,
    show: Show | None = None,
    out: Path | None = None,
    line: Callable[[str], object] | None = None,
    most: int | None = None,
) -> LiveReport:
    """Track the frames of a camera until it ends, the window is closed, or `most` frames are done.

    Args:
        tracker: new, for this camera.
        camera: inside its `with` block.
        show: shows the overlay (`data.live_camera.open_window`), or None.
        out: folder into which the overlay of each frame goes as `frame_000000.jpg`, by its number; or None.
        line: called with a line of JSON (`phalanx.live/1`) for each frame; or None.
        most: frames, at least 1; None: no end.

    Raises:
        InputError: the camera gives no frames, or a picture cannot be written.
    """
    from phalanx.view.overlay import draw_hands, with_gesture

    done = 0
    latencies: list[float] = []
    ends: deque[float] = deque(maxlen=RECENT)
    start = time.perf_counter()
    while most is None or done < most:
        frame = camera.next()
        if frame is None:
            break
        hands = tracker(frame.image, frame.time)
        ends.append(time.perf_counter())
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 else 0.0
        goes_on = True
        if show is not None or out is not None:
            picture = draw_hands(frame.image, hands, [with_gesture(hand, f"{hand.side} {hand.id}") for hand in hands])
            latency = 1e3 * (time.perf_counter() - frame.arrived)
            _write_text(picture, f"{rate:.1f} fps  {latency:.0f} ms")
            if out is not None:
                _write_picture(out / f"frame_{frame.number:06d}.jpg", picture)
            goes_on = show is None or show(picture)
        latency = 1e3 * (time.perf_counter() - frame.arrived)
        latencies.append(latency)
        del latencies[: -10 * RECENT]
        if line is not None:
            line(json.dumps(_as_json(frame.number, frame.time, rate, latency, hands), allow_nan=False))
        done += 1
        if not goes_on:
            break
    seconds = time.perf_counter() - start
    return LiveReport(done, camera.came - done, done / seconds, float(np.median(latencies)) if latencies else 0.0)


def _as_json(number: int, seconds: float, rate: float, latency: float, hands: list[HandPrediction]) -> dict[str, Any]:
    return {
        "schema": LIVE_SCHEMA,
        "frame": number,
        "time": round(seconds, 6),
        "frames_per_second": round(rate, 2),
        "latency_ms": round(latency, 2),
        "hands": [hand.to_json(mesh=False) for hand in hands],
    }


def _write_text(picture: np.ndarray, text: str) -> None:
    """In the top left corner of a picture (H, W, 3) uint8, in place: light on dark, whatever is behind."""
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(picture, text, (12, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, thickness, cv2.LINE_AA)


def _write_picture(path: Path, picture: np.ndarray) -> None:
    with write_whole(path) as part:
        part.write_bytes(cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes())
