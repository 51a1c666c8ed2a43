"""What evaluations ask of predictors: the shape of their call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from phalanx.hand.prediction import HandPrediction, Side


class HandPredictor(Protocol):
    """Called like `phalanx.predict.Predictor()`: a picture in, the hands in it out, the best first."""

    def __call__(
        self,
        image: np.ndarray,
        box: tuple[float, float, float, float] | None = None,
        K: np.ndarray | None = None,
        side: Side | Literal["auto"] = "auto",
    ) -> Sequence[HandPrediction]:
        """The hands in `image` (H, W, 3) uint8 RGB; box (x, y, width, height) in pixels, K (3, 3)."""


class DepthHandPredictor(Protocol):
    """Called like `phalanx.predict.depth.DepthPredictor()`: a depth frame in, the hand in it out."""

    def __call__(self, depth: np.ndarray, K: Sequence[float], side: Side, /) -> HandPrediction:
        """The hand in `depth` (H, W) in metres, of a camera (fx, fy, cx, cy). Raises InputError where there is none."""
