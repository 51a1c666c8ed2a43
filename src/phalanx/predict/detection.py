"""From a picture to the hands in it: where each is, which it is, and the square that the estimator should look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.geometry.crops import SquareBox


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


def find_hands(detector: Any, image: np.ndarray, max_hands: int = 8, min_score: float = 0.5) -> list[Detection]:
    """The hands in a picture (H, W, 3), uint8 or float in [0, 1], RGB; surest first, none twice."""
    raise NotImplementedError
