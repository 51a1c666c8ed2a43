"""Scores of segmentations, from counts of pixels.

`mask_counts` counts, all other functions take counts `(..., 4)`. Two averages are in use and differ: the score of all
pixels of a set together, `iou(counts.sum(0))`, and the mean of the pictures' scores, `iou(counts).mean()`. The figures of
Baek et al., "Pushing the Envelope for RGB-based Dense 3D Hand Pose Estimation via Neural Rendering", CVPR 2019, Table 2
are of the first kind: IoU and F1 follow from precision and recall there, as they do for one set of counts only.

Definitions as in Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2015 (IoU), and Powers,
"Evaluation: From Precision, Recall and F-Measure to ROC", JMLT 2011. A score whose denominator is 0 is 1: nothing was
there to be found, or nothing was found wrongly.
"""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.metrics.checks import as_floats


def mask_counts(predicted: ArrayLike, true: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """Pixels that are rightly hand, wrongly hand, missed hand, rightly not hand: `(N, H, W) x 2 -> (N, 4)`.

    In short TP, FP, FN, TN. Masks are booleans or in [0, 1], where more than `threshold` is hand. Raises InputError for
    other values, shapes that differ, or empty pictures.
    """
    first, second = _mask(predicted, "predicted") > threshold, _mask(true, "true") > threshold
    if first.shape != second.shape or first.size == 0:
        raise InputError(f"predicted: must have the shape of the true masks, {second.shape}, has {first.shape}")
    both = (first & second).sum((1, 2))
    only_first, only_second = first.sum((1, 2)) - both, second.sum((1, 2)) - both
    return np.stack((both, only_first, only_second, first[0].size - both - only_first - only_second), axis=-1)


def iou(counts: ArrayLike) -> np.ndarray:
    """Intersection over union, TP / (TP + FP + FN): `(..., 4) -> (...)`."""
    right, wrong, missed, _ = _counts(counts)
    return _share(right, right + wrong + missed)


def precision(counts: ArrayLike) -> np.ndarray:
    """Share of what was called hand that is hand, TP / (TP + FP): `(..., 4) -> (...)`."""
    right, wrong, _, _ = _counts(counts)
    return _share(right, right + wrong)


def recall(counts: ArrayLike) -> np.ndarray:
    """Share of the hand that was called hand, TP / (TP + FN): `(..., 4) -> (...)`."""
    right, _, missed, _ = _counts(counts)
    return _share(right, right + missed)


def f1(counts: ArrayLike) -> np.ndarray:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), also Dice's coefficient: `(..., 4) -> (...)`."""
    right, wrong, missed, _ = _counts(counts)
    return _share(2 * right, 2 * right + wrong + missed)


def pixel_accuracy(counts: ArrayLike) -> np.ndarray:
    """Share of pixels that are right, (TP + TN) / all: `(..., 4) -> (...)` (Dibra et al., CVPRW 2018, Table 1)."""
    right, wrong, missed, rest = _counts(counts)
    return _share(right + rest, right + wrong + missed + rest)


def _mask(values: ArrayLike, name: str) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype == bool and values.ndim == 3:
        return values
    mask = as_array(values, (None, None, None), name)
    if mask.size and (mask.min() < 0 or mask.max() > 1):
        raise InputError(f"{name}: booleans or values from 0 to 1 expected, has {mask.min():g} to {mask.max():g}")
    return mask


def _counts(counts: ArrayLike) -> tuple[np.ndarray, ...]:
    values = as_floats(counts, "counts")
    if values.shape[-1:] != (4,) or not (values >= 0).all():
        raise InputError("counts: four numbers of pixels (TP, FP, FN, TN) expected, as mask_counts gives them")
    return tuple(values[..., k] for k in range(4))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)
