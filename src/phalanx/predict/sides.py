"""Which side a hand is, by the detector and the estimator together.

A picture shows a hand that looks like a left or like a right one; which of the person's hands it is follows from that and from whether
the picture is a mirror image. Estimators know right hands only, so one that looks like a left hand is flipped before they see it.

Where nobody says which it is, both are looked at, and the log-odds of two witnesses are added: the detector's, which saw the arm, and
the estimator's, whose expected error is smaller where the hand was flipped as it must be, and which may have learnt to tell a right hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from phalanx.hand.prediction import Side
from phalanx.predict.detection import Detection

CLEAR = 0.95
"""Probability from which the detector alone says the side, and the other one is not looked at."""

OTHER = 0.8
"""Probability of one side from which a claim of the detector is no hand of the other (`of_side`)."""

ERROR_WEIGHT = 12.0
"""Log-odds of a side for each e-fold by which the estimator expects a smaller error on it than on the other one: the best weight on new
synthetic hands (`benchmarks/sides.py`), where the smaller error alone is right on nine of ten."""

LEARNT_ERROR_WEIGHT, LEARNT_WEIGHT = 5.4, 0.95
"""The same for estimators that say how much a crop looks like a right hand, and the weight of those log-odds (`benchmarks/sides.py`)."""

_LEAST = 1e-3
"""Probability of a side that no detector rules out."""


def is_flipped(side: Side, mirrored: bool) -> bool:
    """Whether a hand of that side looks like a left hand, in a mirror image or another picture."""
    return (side == "left") != mirrored


def side_of(flipped: bool, mirrored: bool) -> Side:
    """The side of a hand that looks like a left one, or like a right one."""
    return "left" if flipped != mirrored else "right"


def kinds_to_look_for(side: Side | Literal["auto"], mirrored: bool, right: float = 0.5) -> dict[bool, float]:
    """Whether to look for a left hand (True), a right one (False) or both, and the log-probability of each before looking.

    Args:
        side: the person's hand, where it is given.
        mirrored: the picture is a mirror image.
        right: probability that the hand looks like a right one.
    """
    if side != "auto":
        return {is_flipped(side, mirrored): 0.0}
    if right > CLEAR:
        return {False: 0.0}
    if right < 1 - CLEAR:
        return {True: 0.0}
    return {False: math.log(max(right, _LEAST)), True: math.log(max(1 - right, _LEAST))}


def of_side(detections: Sequence[Detection], side: Side | Literal["auto"], mirrored: bool) -> list[Detection]:
    """The detections that may be hands of a given side: not those that are clearly of the other one.

    Where all are clearly of the other side the detector is not believed, but who gave the side: all remain.
    """
    if side == "auto":
        return list(detections)
    wrong = [found.right > OTHER if is_flipped(side, mirrored) else found.right < 1 - OTHER for found in detections]
    return [found for found, out in zip(detections, wrong, strict=True) if not out or all(wrong)]


def sureness(log_probability: float, expected_error: float, right: float | None = None) -> float:
    """Log-odds, but for a constant, of what was looked for: what was known before, and what the estimator says.

    Args:
        log_probability: before looking.
        expected_error: of the estimator, crop units.
        right: its log-odds that the crop shows a right hand, where it has learnt that.
    """
    if right is None:
        return log_probability - ERROR_WEIGHT * math.log(expected_error)
    return log_probability - LEARNT_ERROR_WEIGHT * math.log(expected_error) + LEARNT_WEIGHT * right
