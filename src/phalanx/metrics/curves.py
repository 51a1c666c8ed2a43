"""Percentage of correct keypoints (PCK) over a threshold, and the area under its curve."""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError


def pck_curve(errors: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Fraction of joints with an error of at most each threshold: `(...,), (T,) -> (T,)`.

    Infinite errors (missed hands) are joints that are never correct. Raises InputError if there are no errors or one
    is NaN. Definition: Simon et al., CVPR 2017, with the threshold in the unit of the errors.
    """
    ordered = np.sort(_flat(errors))
    return np.searchsorted(ordered, np.asarray(thresholds, dtype=np.float64), side="right") / ordered.size


def auc(errors: ArrayLike, low: float, high: float) -> float:
    """Area under the PCK curve between two thresholds, divided by their distance: 1 if all errors are below `low`.

    The curve is a staircase and the integral over it is exact: each error e adds `high - max(e, low)`, if that is
    positive. Sums over a grid of thresholds, as often used, tend to this value as the grid gets finer.
    """
    if not low < high:
        raise InputError(f"auc: low < high expected, got {low} and {high}")
    return float(((high - np.clip(_flat(errors), low, high)) / (high - low)).mean())


def _flat(errors: ArrayLike) -> np.ndarray:
    flat = np.asarray(errors, dtype=np.float64).ravel()
    if flat.size == 0 or np.isnan(flat).any():
        raise InputError("errors: at least one expected, and no NaN (a missed hand has infinite errors)")
    return flat
