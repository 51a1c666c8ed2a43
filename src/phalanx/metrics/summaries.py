"""Errors of many joints as one number, or as one a joint or finger.

`errors` (N, J) come from `metrics.joints`, in any unit; `valid` (N, J) says which count. A missed hand has infinite
errors: its mean is infinite, its median may not be. All functions raise InputError if no error counts, if one that counts
is NaN or negative, or if shapes differ.

The figures of papers pool in two ways, which differ for medians, and for means where joints are missing: over all joints
of all frames at once (`mean_error`, `median_error`), or first over the frames of each joint and then over joints
(`mean_of_joint_means`, `mean_of_joint_medians`: the evaluation code of Zimmermann and Brox, ICCV 2017, and of FreiHAND,
HO-3D and DexYCB after it).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.metrics.checks import Valid, checked_errors


def mean_error(errors: ArrayLike, valid: Valid = None) -> float:
    """Mean over all valid joints of all frames: "EPE mean" (Zimmermann and Brox, ICCV 2017), "MPJPE"."""
    values, mask = checked_errors(errors, valid)
    return float(values[mask].mean())


def median_error(errors: ArrayLike, valid: Valid = None) -> float:
    """Median over all valid joints of all frames: "EPE median"."""
    values, mask = checked_errors(errors, valid)
    return float(np.median(values[mask]))


def mean_per_joint(errors: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Mean over frames, of each joint: `(N, J) -> (J,)`; NaN for a joint that is valid in no frame."""
    values, mask = checked_errors(errors, valid)
    count = mask.sum(0)
    total = np.where(mask, values, 0).sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def median_per_joint(errors: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Median over frames, of each joint: `(N, J) -> (J,)`; NaN for a joint that is valid in no frame."""
    values, mask = checked_errors(errors, valid)
    if mask.all():
        return np.median(values, axis=0)
    return np.array(
        [np.median(column[rows]) if rows.any() else np.nan for column, rows in zip(values.T, mask.T, strict=True)]
    )


def mean_per_finger(errors: ArrayLike, fingers: Sequence[Sequence[int]], valid: Valid = None) -> np.ndarray:
    """Mean over the joints of each finger and all frames: `(N, J) -> (F,)`; NaN for one that is never valid.

    `fingers` lists the joints of each, as `hand.skeleton.FINGERS` does; any other groups of joints will do, such as all
    tips. The figure pools joints and frames, as `mean_error` does.
    """
    values, mask = checked_errors(errors, valid)
    return np.array([_mean(values, mask, _chosen(joints, values.shape[1])) for joints in fingers])


def median_per_finger(errors: ArrayLike, fingers: Sequence[Sequence[int]], valid: Valid = None) -> np.ndarray:
    """Median over the joints of each finger and all frames, pooled as in `median_error`: `(N, J) -> (F,)`; NaN for one never valid."""
    values, mask = checked_errors(errors, valid)
    groups = [_chosen(joints, values.shape[1]) for joints in fingers]
    parts = [values[:, joints][mask[:, joints]] for joints in groups]
    return np.array([np.median(part) if len(part) else np.nan for part in parts])


def mean_of_joint_means(errors: ArrayLike, valid: Valid = None) -> float:
    """Mean of `mean_per_joint` over the joints that have one ("Average mean EPE" of the code named above)."""
    return float(np.nanmean(mean_per_joint(errors, valid)))


def mean_of_joint_medians(errors: ArrayLike, valid: Valid = None) -> float:
    """Mean of `median_per_joint` over the joints that have one ("Average median EPE" of the code named above)."""
    return float(np.nanmean(median_per_joint(errors, valid)))


def _chosen(joints: Sequence[int], count: int) -> list[int]:
    chosen = [int(joint) for joint in joints]
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise InputError(f"fingers: each must name at least one of the joints 0 to {count - 1}, got {chosen}")
    return chosen


def _mean(values: np.ndarray, mask: np.ndarray, chosen: list[int]) -> float:
    kept = values[:, chosen][mask[:, chosen]]
    return float(kept.mean()) if kept.size else float("nan")
