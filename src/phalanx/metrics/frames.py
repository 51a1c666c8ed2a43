"""Whole frames: how far off the worst joint is, and in how many frames all joints are near.

`errors` (N, J) and `valid` (N, J) as in `metrics.summaries`. Frames without a valid joint are no frames: they are NaN in
what is per frame and left out of what is counted.
"""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.metrics.checks import Valid, as_floats, checked_errors


def worst_per_frame(errors: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The largest error of each frame's valid joints: `(N, J) -> (N,)`."""
    values, mask = checked_errors(errors, valid)
    worst = np.where(mask, values, -np.inf).max(1)
    return np.where(mask.any(1), worst, np.nan)


def mean_per_frame(errors: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The mean error of each frame's valid joints: `(N, J) -> (N,)`."""
    values, mask = checked_errors(errors, valid)
    count = mask.sum(1)
    return np.divide(np.where(mask, values, 0).sum(1), count, out=np.full(len(count), np.nan), where=count > 0)


def frames_within(errors: ArrayLike, thresholds: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Share of frames whose joints all have an error of at most each threshold: `(N, J), (T,) -> (T,)`.

    The "percentage of successful frames" of Wan et al., "Self-supervised 3D Hand Pose Estimation Through Training by
    Fitting", CVPR 2019, Figures 5 to 8, and the usual curve for NYU, ICVL and MSRA15, after Taylor et al., "The Vitruvian
    Manifold", CVPR 2012. With errors of angles (`metrics.angles.joint_angle_errors`) it is the ROC curve of Dibra et al.,
    CVPRW 2018, Figure 7. Thresholds are in the unit of the errors.
    """
    return _shares(worst_per_frame(errors, valid), thresholds)


def frames_with_mean_within(errors: ArrayLike, thresholds: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Share of frames whose mean joint error is at most each threshold: `(N, J), (T,) -> (T,)`.

    The milder curve of the same kind (Sun et al., "Cascaded Hand Pose Regression", CVPR 2015, reports both).
    """
    return _shares(mean_per_frame(errors, valid), thresholds)


def _shares(figures: np.ndarray, thresholds: ArrayLike) -> np.ndarray:
    limits = as_floats(thresholds, "thresholds")
    if limits.ndim != 1 or limits.size == 0 or not np.isfinite(limits).all():
        raise InputError("thresholds: a list of finite numbers expected")
    ordered = np.sort(figures[~np.isnan(figures)])
    return np.searchsorted(ordered, limits, side="right") / ordered.size
