"""Percentage of correct keypoints (PCK) over a threshold, and the area under its curve.

Papers compute the area over different grids of thresholds and by different sums, and the figures differ in the second
or third decimal. Here a grid and a sum are two things, each with a name: say which were used.

| who | grid | sum |
|---|---|---|
| Zimmermann and Brox, ICCV 2017, 3D, 0-50 mm | `zimmermann_0_50` | `auc_trapezoid` |
| the same, 20-50 mm (their Figure 9, the STB tables after it) | `zimmermann_20_50` | `auc_trapezoid` |
| the same, 2D, 0-30 px (their Table 1) | `zimmermann_0_30` | `auc_trapezoid` |
| FreiHAND, HO-3D, DexYCB, 0-50 mm | `freihand_0_50` | `auc_trapezoid` |
| minimal-hand-pytorch (public code), 20-50 mm | `fifteen_20_50` | `auc_trapezoid` |
| any two bounds | none: exact | `auc` |

`errors` may have any shape; where joints are missing, give `errors[valid]`. Infinite errors (missed hands) are joints that
are never correct. Functions raise InputError if there are no errors, or one is NaN or negative.
"""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.metrics.checks import Valid, as_floats, checked_errors


def pck_curve(errors: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Fraction of joints with an error of at most each threshold: `(...,), (T,) -> (T,)`.

    Infinite errors (missed hands) are joints that are never correct. Raises InputError if there are no errors, if one is
    NaN or negative, or a threshold not finite. Definition: Simon et al., CVPR 2017, with the threshold in the unit of
    the errors.
    """
    ordered, limits = np.sort(_flat(errors)), as_floats(thresholds, "thresholds")
    if not np.isfinite(limits).all():  # a missed hand is not within any threshold, and so not within infinity
        raise InputError("thresholds: finite numbers expected")
    return np.searchsorted(ordered, limits, side="right") / ordered.size


def pck_curve_of_joints(errors: ArrayLike, thresholds: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The mean over joints of each joint's own curve: `(N, J), (T,) -> (T,)`.

    As the evaluation code of Zimmermann and Brox, ICCV 2017, has it (`EvalUtil.get_measures`; FreiHAND's, HO-3D's and
    DexYCB's are the same). It equals `pck_curve` unless joints are missing in some frames: then joints count alike,
    however often they were seen. Joints that are valid in no frame are left out.
    """
    values, mask = checked_errors(errors, valid)
    return np.mean([pck_curve(e[v], thresholds) for e, v in zip(values.T, mask.T, strict=True) if v.any()], axis=0)


def auc(errors: ArrayLike, low: float, high: float) -> float:
    """Area under the PCK curve between two thresholds, divided by their distance: 1 if all errors are below `low`.

    The curve is a staircase and the integral over it is exact: each error e adds `high - max(e, low)`, if that is
    positive. Sums over a grid of thresholds, as often used, tend to this value as the grid gets finer.
    """
    if not (low < high and np.isfinite([low, high]).all()):
        raise InputError(f"auc: finite bounds with low < high expected, got {low} and {high}")
    return float(((high - np.clip(_flat(errors), low, high)) / (high - low)).mean())


def auc_trapezoid(errors: ArrayLike, thresholds: ArrayLike) -> float:
    """Area under the PCK curve by the trapezoid rule over a grid, divided by the grid's length.

    Zimmermann and Brox, ICCV 2017 (`calc_auc` and `EvalUtil` of their evaluation code), and most who came after.
    """
    return curve_area_trapezoid(pck_curve(errors, _grid(thresholds)), thresholds)


def auc_mean_of_steps(errors: ArrayLike, thresholds: ArrayLike) -> float:
    """Mean of the PCK curve over a grid of thresholds: the trapezoid rule with full weight to both ends."""
    return float(pck_curve(errors, _grid(thresholds)).mean())


def curve_area_trapezoid(curve: ArrayLike, thresholds: ArrayLike) -> float:
    """Area under any curve (T,) over a grid of thresholds (T,), divided by the grid's length.

    For curves that are not of this module: `pck_curve_of_joints`, `metrics.frames.frames_within`, or read from a paper.
    """
    grid, values = _grid(thresholds), as_floats(curve, "curve")
    if values.shape != grid.shape or not np.isfinite(values).all():
        raise InputError(f"curve: one number a threshold expected, shape {grid.shape}, has {values.shape}")
    return float(((values[1:] + values[:-1]) / 2 * np.diff(grid)).sum() / (grid[-1] - grid[0]))


def zimmermann_0_50() -> np.ndarray:
    """20 thresholds from 0 to 50 mm, in mm: Zimmermann and Brox, ICCV 2017, evaluation code (`eval3d.py`)."""
    return np.linspace(0, 50, 20)


def zimmermann_20_50() -> np.ndarray:
    """The last 12 of `zimmermann_0_50`, in mm: their "20mm - 50mm" (`eval_full.py`), which begins at 21.05 mm."""
    return zimmermann_0_50()[8:]


def zimmermann_0_30() -> np.ndarray:
    """20 thresholds from 0 to 30, in px: Zimmermann and Brox, ICCV 2017, Table 1 (`eval2d.py`); also used in mm."""
    return np.linspace(0, 30, 20)


def freihand_0_50() -> np.ndarray:
    """100 thresholds from 0 to 50 mm, in mm: FreiHAND (Zimmermann et al., ICCV 2019), HO-3D, DexYCB, by their code."""
    return np.linspace(0, 50, 100)


def fifteen_20_50() -> np.ndarray:
    """15 thresholds from 20 to 50 mm, in mm: evaluation code of minimal-hand-pytorch, for STB, RHD and Dexter+Object."""
    return np.linspace(20, 50, 15)


def _grid(thresholds: ArrayLike) -> np.ndarray:
    grid = as_floats(thresholds, "thresholds")
    if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all() or not (np.diff(grid) > 0).all():
        raise InputError("thresholds: at least two rising numbers expected")
    return grid


def _flat(errors: ArrayLike) -> np.ndarray:
    flat = as_floats(errors, "errors").ravel()
    if flat.size == 0 or np.isnan(flat).any():
        raise InputError("errors: at least one expected, and no NaN (a missed hand has infinite errors)")
    if (flat < 0).any():
        raise InputError(f"errors: must be at least 0, has {flat.min():.4g}")
    return flat
