"""How much a figure would vary with other pictures: bootstrap confidence intervals, for any metric.

A metric is given as a function of frame numbers, so that predictions, truths and masks are drawn together:

    errors = end_point_errors(predicted, true) * 1000
    bootstrap_frames(lambda frames: auc_trapezoid(errors[frames], zimmermann_0_50()), len(errors), seed=0)

Neighbouring frames of a video are nearly the same picture, and intervals from single frames are then far too narrow: draw
whole sequences. With two methods on the same frames, bootstrap the difference of their figures.

Percentile intervals: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. With few frames or
sequences (below about 20) they too are somewhat narrow.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator


class Interval(NamedTuple):
    """A figure on all frames, and between what bounds it lies in `level` of the resamples.

    Where missed hands make the figure infinite, as they do a mean, bounds may be infinite too.
    """

    value: float
    low: float
    high: float


def bootstrap_frames(
    metric: Callable[[np.ndarray], float], count: int, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Interval of a metric over `count` frames, drawn one by one with replacement.

    Args:
        metric: takes frame numbers `(M,)`, in which a frame may occur several times, and returns the figure.
        resamples: how often it is computed; 1000 fix the bounds to about a tenth of their distance.
    Raises:
        InputError: `count`, `resamples` or `level` is out of range, or the metric is not a number on a resample.
    """
    if count < 1:
        raise InputError("bootstrap: no frames")
    return _interval(metric, lambda drawn: drawn, count, seed, resamples, level)


def bootstrap_sequences(
    metric: Callable[[np.ndarray], float], sequences: ArrayLike, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Interval of a metric when whole sequences are drawn with replacement, as many as there are.

    `sequences` (N,) names the sequence (or person) of every frame. Other arguments as for `bootstrap_frames`. The
    frames of a resample are as many as its sequences have; a sequence's frames stay together and in order.
    """
    names = np.asarray(sequences)
    if names.ndim != 1 or len(names) == 0 or names.dtype.kind not in "biuSU":
        raise InputError("sequences: a list of whole numbers or names expected, one a frame")
    _, sequence_of, sizes = np.unique(names, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(sequence_of.ravel(), kind="stable"), np.cumsum(sizes)[:-1])
    if len(members) < 2:
        raise InputError("sequences: at least two expected, because one says nothing about others")
    return _interval(
        metric, lambda drawn: np.concatenate([members[k] for k in drawn]), len(members), seed, resamples, level
    )


def _interval(
    metric: Callable[[np.ndarray], float],
    frames_of: Callable[[np.ndarray], np.ndarray],
    count: int,
    seed: int,
    resamples: int,
    level: float,
) -> Interval:
    if resamples < 1:
        raise InputError(f"resamples: at least 1 expected, got {resamples}")
    if not 0 < level < 1:
        raise InputError(f"level: between 0 and 1 expected, got {level}")
    stream = generator(seed)
    figures = np.empty(resamples)
    for k in range(resamples):
        figures[k] = metric(frames_of(stream.integers(0, count, count)))
        if np.isnan(figures[k]):
            raise InputError("metric: is not a number on a resample (do some frames have no valid joint?)")
    tail = (1 - level) / 2
    if np.isfinite(figures).all():
        low, high = np.quantile(figures, (tail, 1 - tail))
    else:  # there is nothing between a finite figure and an infinite one
        low, high = np.sort(figures)[[math.floor(p * (resamples - 1) + 0.5) for p in (tail, 1 - tail)]]
    return Interval(float(metric(frames_of(np.arange(count)))), float(low), float(high))
