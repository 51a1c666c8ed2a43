"""From a picture to the hands in it: where each is, which it is, and the square that the estimator should look at.

The detector (`methods.detector`) looks at the whole picture, shrunk until its longer side is `SIDES[0]` pixels, and at large pictures
once more at each greater size of `SIDES` that they have. The peaks of all looks are hands; of those that name nearly the same box, the
surest stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from phalanx.geometry.crops import SquareBox
from phalanx.nets.detector_maps import LARGEST as LARGEST_LENGTH
from phalanx.nets.detector_maps import STRIDE, UNIT

SIDES = (256, 512)
"""Longer sides, in pixels, at which a picture is looked at: the first always, the others where the picture has as much."""
WORTH = 1.4  # times the look before, that a picture must have for another
MULTIPLE = 32  # of the sides that the network takes
LARGEST = math.log(LARGEST_LENGTH)
SAME = 0.5  # overlap (intersection over union) of two boxes from which they are one hand's
INSIDE = 0.7  # share of the smaller of two boxes that lies in the other, from which two hands of one side are one
SAME_CENTRE = 0.12  # of its size, nearer than which two middles are one hand's
FAINTEST = 0.02  # confidence below which peaks are not looked at
MOST_PEAKS = 100


class HandDetector(Protocol):
    """What marks the hands in pictures: `methods.detector.Detector`, or the same network elsewhere."""

    @property
    def config(self) -> Any:
        """Its `calibration`: slope and offset of log-odds."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Maps (B, 15, H/4, W/4), as `nets.detector_maps.CHANNELS` has them, of pictures (B, 3, H, W), float32 in [0, 1]."""


@dataclass(frozen=True)
class Detection:
    """A hand that the detector claims."""

    box: tuple[float, float, float, float]
    """x, y, width, height in pixels from the picture's edge, of what is seen of the hand."""
    score: float
    """0 to 1, calibrated: of many such claims, the share that are hands."""
    right: float
    """0 to 1 that it is a right hand, of the picture as given (a mirror image shows a left hand as a right one)."""
    square: SquareBox
    """What the estimator should look at: around all joints, turned until the hand points up."""
    palm: tuple[float, float, float] = (0.0, 0.0, -1.0)
    """Where the palm faces, a direction in the camera's frame; z < 0 is towards the camera."""


def find_hands(
    detector: HandDetector, image: np.ndarray, max_hands: int = 8, min_score: float = 0.5
) -> list[Detection]:
    """The hands in a picture, surest first, none twice.

    Args:
        detector: what marks them.
        image: (H, W, 3) RGB, uint8, or float in [0, 1].
        max_hands: the most to return.
        min_score: least confidence.
    """
    found: list[Detection] = []
    for look, scale in looks(image):
        maps = detector.maps(look)[0]
        found += _peaks(maps, scale, detector.config.calibration, min_score, image.shape[1], image.shape[0])
    return _none_twice(found)[:max_hands]


def looks(image: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """The pictures (1, 3, h, w), float32 in [0, 1], that are looked at, each with the pixels of `image` in one of its own."""
    height, width = image.shape[:2]
    longer, before = max(height, width), 0.0
    for side in SIDES:
        size = min(side, max(longer, 2 * MULTIPLE))
        if before and longer < WORTH * before:
            return
        before = size
        yield _shrunk(image, size / longer)


def _shrunk(image: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """`image` at `scale`, filled up with black to sides that the network takes, and the pixels of one of its own."""
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    small = image
    if (height, width) != image.shape[:2]:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    unit = np.float32(1 / 255 if image.dtype == np.uint8 else 1)
    look = np.zeros((1, 3, -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE), np.float32)
    np.multiply(small.transpose(2, 0, 1), unit, out=look[0, :, :height, :width], casting="unsafe")
    return look, 1 / scale


def _peaks(
    maps: np.ndarray, scale: float, calibration: tuple[float, float], least: float, width: int, height: int
) -> list[Detection]:
    """Hands at the peaks of maps (15, h, w) of one look."""
    logit = maps[0]
    score = 1 / (1 + np.exp(-(calibration[0] * logit + calibration[1])))
    peak = (cv2.dilate(logit, np.ones((3, 3), np.uint8)) <= logit) & (score >= max(least, FAINTEST))
    rows, columns = np.nonzero(peak)
    order = np.argsort(-score[rows, columns], kind="stable")[:MOST_PEAKS]
    found = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        here = maps[:, row, column].astype(float)
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        left, top, right, lower = UNIT * np.exp(np.minimum(here[2:6], LARGEST))
        side = UNIT * math.exp(min(here[8], LARGEST))
        x0, x1 = (float(np.clip(scale * edge, 0, width)) for edge in (x - left, x + right))
        y0, y1 = (float(np.clip(scale * edge, 0, height)) for edge in (y - top, y + lower))
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        palm = here[11:14] / max(float(np.linalg.norm(here[11:14])), 1e-6)
        found.append(
            Detection(
                (x0, y0, x1 - x0, y1 - y0),
                float(score[row, column]),
                1 / (1 + math.exp(-here[1])),
                SquareBox(
                    scale * (x + UNIT * here[6]) - 0.5,
                    scale * (y + UNIT * here[7]) - 0.5,
                    max(scale * side, 1.0),
                    math.atan2(here[10], here[9]),
                ),
                (float(palm[0]), float(palm[1]), float(palm[2])),
            )
        )
    return found


def _none_twice(found: list[Detection]) -> list[Detection]:
    """Surest first; without those whose box, or middle, is nearly that of a surer one, or that lie in one of the same side."""
    kept: list[Detection] = []
    for each in sorted(found, key=lambda one: -one.score):
        if not any(_same(each.box, other.box, (each.right > 0.5) == (other.right > 0.5)) for other in kept):
            kept.append(each)
    return kept


def _same(a: tuple[float, float, float, float], b: tuple[float, float, float, float], one_side: bool) -> bool:
    if one_side and _shared(a, b) > INSIDE * min(a[2] * a[3], b[2] * b[3]):
        return True
    apart = math.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2)
    sizes = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    return overlap(a, b) > SAME or (apart < SAME_CENTRE * max(sizes) and min(sizes) > 0.5 * max(sizes))


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    both = _shared(a, b)
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)


def _shared(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area of the intersection of two boxes."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(across, 0.0) * max(down, 0.0)
