"""Which views of a picture are hands, how surely, and which of them are the same hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from phalanx.geometry.crops import SquareBox

SAME_HAND = 1 / 3
"""Mean distance of the joints of two hands of one kind below which they are one hand, over the mean of their sizes."""

INSIDE = 0.5
"""Share of the joints that must lie in the detector's square: else the estimator found something else."""

HOPELESS = 0.1
"""Score of an estimator below which what a detector claimed is taken for no hand."""


FAINT = 0.12
"""Confidence of a detector from which the estimator looks at a claim: where it sees a hand clearly, the claim gains."""

WEIGHT, OFFSET = 1.09, 0.67
"""Of the estimator's log-odds beside those of the detector, and what is added (`benchmarks/belief.py`)."""


def belief(detection: float, score: float) -> float:
    """How surely there is a hand, 0 to 1: of the hands so believed, the share that are there.

    Args:
        detection: the detector's confidence.
        score: of the estimator that looked there.
    """
    odds = _log_odds(detection) + WEIGHT * _log_odds(score) + OFFSET
    return 1 / (1 + math.exp(-odds))


def _log_odds(p: float) -> float:
    p = min(max(p, 1e-3), 1 - 1e-3)
    return math.log(p / (1 - p))


def is_hand(joints: np.ndarray, score: float, square: SquareBox) -> bool:
    """Whether the estimator found a hand where the detector claimed one.

    Args:
        joints: (21, 2) pixels.
        score: of the estimator, 0 to 1.
        square: of the detection.
    """
    unit = np.c_[joints, np.ones(len(joints))] @ square.image_to_crop(1)[:2].T  # -1/2 to 1/2 across the square
    return score >= HOPELESS and float((np.abs(unit) <= 0.5).all(axis=1).mean()) >= INSIDE


def different_hands(joints: Sequence[np.ndarray], kinds: Sequence[bool], sureness: Sequence[float]) -> list[int]:
    """The numbers, in order, of those that are different hands; of several views of one hand the surest stays.

    Two are one hand if they are of one kind and their joints nearly agree, each with its own counterpart. So hands that hold each
    other stay two: either they are of two kinds, or they point different ways.

    Args:
        joints: (21, 2) pixels of each.
        kinds: of each, whether it looks like a left hand.
        sureness: of each.
    """
    kept: list[int] = []
    for number in sorted(range(len(joints)), key=lambda number: -sureness[number]):
        if not any(kinds[number] == kinds[other] and _same(joints[number], joints[other]) for other in kept):
            kept.append(number)
    return sorted(kept)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    size = (np.ptp(a, axis=0).max() + np.ptp(b, axis=0).max()) / 2
    return bool(np.linalg.norm(a - b, axis=1).mean() < SAME_HAND * size)
