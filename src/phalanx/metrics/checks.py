"""What all metrics refuse: arrays that do not belong together, values that are not finite, and swapped units."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError

_ONE_POINT = 1e-6
"""Of the largest coordinate: distances that are nothing but rounding, of single precision too."""

Valid = ArrayLike | None
"""`(N, J)` booleans: which joints of which frames count; None means all of them."""


def as_floats(values: ArrayLike, name: str) -> np.ndarray:
    """`values` as a float64 array of any shape, finite or not. Raises InputError if they are not numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:  # also rows of different lengths
        raise InputError(f"{name}: not an array of numbers") from error


def checked_pair(
    predicted: ArrayLike, true: ArrayLike, valid: Valid = None, shape: Sequence[int | None] = (None, None, None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Prediction and truth of one shape, float64, and `valid`. What is not valid becomes 0, whatever it was.

    Raises:
        InputError: not numbers, shapes differ, or a valid value is not finite.
    """
    first, second = as_floats(predicted, "predicted"), as_floats(true, "true")
    mask = None
    if valid is not None:
        mask = checked_valid(valid, second.shape[:2])
        if first.shape == second.shape and second.ndim == len(shape):
            spread = mask.reshape(mask.shape + (1,) * (second.ndim - 2))
            first, second = np.where(spread, first, 0), np.where(spread, second, 0)
    first, second = as_array(first, shape, "predicted"), as_array(second, shape, "true")
    if first.shape != second.shape:
        raise InputError(f"predicted: must have the shape of the true values, {second.shape}, has {first.shape}")
    return first, second, mask


def checked_points(
    predicted: ArrayLike, true: ArrayLike, valid: Valid = None, dimensions: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`checked_pair` of points `(N, J, D)`, whose units are compared too (see `check_units`)."""
    first, second, mask = checked_pair(predicted, true, valid, (None, None, dimensions))
    check_units(first, second, mask)
    return first, second, mask


def checked_valid(valid: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """`valid` as booleans of `shape`. Raises InputError for another shape or values other than 0 and 1."""
    try:
        mask = np.asarray(valid)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"valid: must have shape {shape}") from error
    if mask.shape != shape:
        raise InputError(f"valid: must have shape {shape}, has {mask.shape}")
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise InputError("valid: only true and false, or 1 and 0, expected")
    return mask.astype(bool)


def checked_errors(errors: ArrayLike, valid: Valid = None) -> tuple[np.ndarray, np.ndarray]:
    """Errors `(N, J)` as float64 and `valid`, all true where it is None.

    Infinite errors are those of missed hands and stay. Raises InputError if there are no frames, no joints or no valid
    error, if a valid error is NaN or negative.
    """
    values = as_floats(errors, "errors")
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"errors: must have shape (frames, joints), at least one of each, has {values.shape}")
    mask = np.ones(values.shape, dtype=bool) if valid is None else checked_valid(valid, values.shape)
    if not mask.any():
        raise InputError("valid: no joint of any frame counts")
    kept = values[mask]
    if not (kept >= 0).all():  # NaN too
        raise InputError(
            "errors: valid ones must be numbers of at least 0, and not NaN (a missed hand has infinite errors)"
        )
    return values, mask


def check_units(predicted: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Refuse metres against millimetres: sets of points `(N, J, D)` whose sizes differ by a factor near 1000.

    The size of a set is the root of its summed squared distances from its mean, and of all frames the median. No
    estimator errs by a factor of 500 to 2000; one that has put all joints in one point is only a bad one.
    """
    sizes = [_median_size(points, valid) for points in (predicted, true)]
    if min(sizes) <= 0:
        return
    factor = sizes[0] / sizes[1]
    if 500 < max(factor, 1 / factor) < 2000:
        small = "predicted" if factor < 1 else "true"
        raise InputError(
            f"predicted: is {factor:.4g} times as large as the truth; "
            "one seems to be in metres and the other in millimetres"
            f" (or the {small} joints of a frame lie nearly in one point)"
        )


def check_extent(true: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Refuse true points `(N, J, D)` of which all valid ones of a frame, three or more, lie in one point.

    That is a label that is missing, not a hand: a prediction that is given its size would become a point too, without an error.
    """
    if len(true) == 0 or true.shape[1] < 3:
        return
    if valid is None:
        first, last, enough = true[:, 0], true[:, -1], np.ones(len(true), dtype=bool)
    else:
        frames, columns = np.arange(len(true)), true.shape[1] - 1
        first, last = true[frames, valid.argmax(1)], true[frames, columns - valid[:, ::-1].argmax(1)]  # (N, D)
        enough = valid.sum(1) >= 3
    # Two joints tell nearly all hands from nonsense; the others are looked at one by one.
    for frame in np.flatnonzero(enough & (_extents(np.stack([first, last], axis=1)) <= _ONE_POINT)):
        points = true[frame] if valid is None else true[frame][valid[frame]]
        if _extents(points[None])[0] <= _ONE_POINT:
            raise InputError(
                f"true: the joints of frame {frame} (of those given, from 0) all lie in one point, "
                "so they are no label of a hand: leave the frame out"
            )


def _extents(points: np.ndarray) -> np.ndarray:
    """How far points `(N, J, D)` spread along an axis, over their largest coordinate: `(N,)`, 0 if all are 0."""
    extent, largest = np.ptp(points, axis=1).max(-1), np.abs(points).max((1, 2))
    return np.divide(extent, largest, out=np.zeros_like(extent), where=largest > 0)


def _median_size(points: np.ndarray, valid: np.ndarray | None) -> float:
    every = max(1, len(points) // 1000)  # a thousand frames tell a unit as well as all of them
    chosen = points[::every]
    weight = np.ones(chosen.shape[:2]) if valid is None else valid[::every].astype(np.float64)
    count = weight.sum(1)
    chosen, weight, count = chosen[count > 1], weight[count > 1], count[count > 1]
    if len(chosen) == 0:
        return 0.0
    mean = np.einsum("nj,njd->nd", weight, chosen) / count[:, None]
    return float(np.median(np.sqrt(np.einsum("nj,njd->n", weight, (chosen - mean[:, None]) ** 2))))
