"""The definition map: what of an error is only another opinion on where a joint is.

Sets and models put joints in different places of the same hand (a knuckle at the finger's web or at the bone's head, a
wrist here or a centimetre on). The map turns one definition into the other with as little freedom as will do: every
joint becomes an affine combination (weights sum to 1) of itself, the wrist and its own finger's joints; the wrist one
of the wrist, the thumb's base and the four knuckles. Affine combinations commute with rotation, translation and scale,
so one matrix serves every frame, and with so few weights the map can hardly mend a pose. The weights are fitted to
predictions, so they must be applied to photos they have not seen: `cross_mapped`.
"""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.metrics.joints import procrustes_aligned

_WRIST_SUPPORT = (0, 1, 5, 9, 13, 17)  # wrist, thumb CMC, four MCPs in the order of docs/conventions.md


def _support(joint: int) -> tuple[int, ...]:
    """The joints that may contribute to `joint`."""
    if joint == 0:
        return _WRIST_SUPPORT
    base = 1 + 4 * ((joint - 1) // 4)  # first joint of the finger
    return (0, base, base + 1, base + 2, base + 3)


def fit_definition_map(predicted: ArrayLike, true: ArrayLike, ridge: float = 0.01) -> np.ndarray:
    """The map that takes predicted joints nearest to the true ones: `(N, 21, D) x 2 -> (21, 21)`, rows sum to 1.

    With the joint's own weight set by the sum, the others solve `min |A w - y|^2 + l |w|^2`, where the columns of A
    are the vectors from the joint to the other joints, y the vector to its true place, and l is `ridge` times the mean
    diagonal of `A^T A`: without reason to move, a joint stays where it is. 3D predictions must be aligned to the truth
    first (`procrustes_aligned`), or the map would learn the mistakes of pose.
    """
    first, second = _pair(predicted, true)
    mapping = np.zeros((21, 21))
    for joint in range(21):
        others = [k for k in _support(joint) if k != joint]
        arms = first[:, others] - first[:, [joint]]  # (N, K, D)
        a = arms.transpose(0, 2, 1).reshape(-1, len(others))  # (N D, K)
        y = (second[:, joint] - first[:, joint]).reshape(-1)  # (N D,)
        normal = a.T @ a
        weight = ridge * np.trace(normal) / len(others)
        if weight > 0:  # 0 only if all these joints lie in one point in every frame
            mapping[joint, others] = np.linalg.solve(normal + weight * np.eye(len(others)), a.T @ y)
        mapping[joint, joint] = 1.0 - mapping[joint, others].sum()
    return mapping


def apply_definition_map(mapping: ArrayLike, joints: ArrayLike) -> np.ndarray:
    """Joints in the other definition: `(21, 21), (..., 21, D) -> (..., 21, D)`."""
    return np.asarray(mapping, dtype=np.float64) @ np.asarray(joints, dtype=np.float64)


def alternating_halves(count: int, run: int = 20) -> np.ndarray:
    """`(count,)`: False, True, False, ... in runs of `run` frames, so that neighbouring frames share a half."""
    return (np.arange(count) // run) % 2 == 1


def cross_mapped(predicted: ArrayLike, true: ArrayLike, halves: ArrayLike, align: bool) -> np.ndarray:
    """Each half of the predictions under the map fitted on the other: `(N, 21, D) x 2, (N,) bool -> (N, 21, D)`.

    `align=True` (3D) fits on Procrustes-aligned predictions and applies the map to the predictions as they are;
    `align=False` (pixels) fits on them as they are. Raises InputError if one half is empty.
    """
    first, second = _pair(predicted, true)
    chosen = np.asarray(halves, dtype=bool)
    if chosen.shape != first.shape[:1] or chosen.all() or not chosen.any():
        raise InputError("halves: one boolean a frame expected, and at least one frame in each half")
    source = procrustes_aligned(first, second) if align else first
    mapped = np.empty_like(first)
    for half in (chosen, ~chosen):
        mapped[~half] = apply_definition_map(fit_definition_map(source[half], second[half]), first[~half])
    return mapped


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_array(predicted, (None, 21, None), "predicted"), as_array(true, (None, 21, None), "true")
    if first.shape != second.shape or len(first) == 0:
        raise InputError(
            f"predicted: at least one frame and the shape of the true joints, {second.shape}, expected, "
            f"has {first.shape}"
        )
    return first, second
