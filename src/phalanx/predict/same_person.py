"""One person: all hands of several pictures get one shape, and so one length.

A picture says little of a hand's shape. The mean of what all pictures say, weighted by how sure each hand is, is used for all of them; left
and right hands count alike.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import KNOWN_SHAPE_SIGMA, FitConfig
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.posing import Fit, Hand
from phalanx.predict.predictor import Predictor


def shape_of_person(hands: Iterable[HandPrediction]) -> np.ndarray | None:
    """Mean shape (10,) of hands, weighted by their scores; None where there is none."""
    known = [(hand.shape, max(hand.score, 1e-3)) for hand in hands]
    if not known:
        return None
    shapes, weights = (np.array(values) for values in zip(*known, strict=True))
    mean: np.ndarray = weights @ shapes / weights.sum()
    return mean


def of_person(predictor: Predictor, shape: np.ndarray) -> Predictor:
    """The predictor for hands of this shape (10,); it shares its networks with the given one, whose fit must take a `FitConfig`."""
    other = copy.copy(predictor)
    other.fit = _FitOfShape(predictor.fit, shape.astype(np.float32))
    return other


class _FitOfShape:
    """A fit that knows the shape; a class, so that predictors can be sent to other processes."""

    def __init__(self, fit: Fit, shape: np.ndarray) -> None:
        self.fit, self.shape = fit, shape

    def __call__(
        self, model: Hand, evidence: Evidence[np.ndarray], K: np.ndarray, size: int, lengths: np.ndarray | None
    ) -> HandPose[np.ndarray]:
        shapes = np.broadcast_to(self.shape, (len(K), len(self.shape)))
        config = FitConfig(shape_sigma=KNOWN_SHAPE_SIGMA)
        pose = self.fit(model, replace(evidence, shape=shapes), K, size, lengths, config=config)  # type: ignore[call-arg]
        return replace(pose, shape=shapes.astype(pose.shape.dtype))
