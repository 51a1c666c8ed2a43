"""Closed-form alignment of point sets with known correspondence, batched; of NumPy arrays, or differentiable of tensors.

Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. Rotations are
proper: a mirrored set is not mirrored back.
"""

from __future__ import annotations

import numpy as np

from phalanx.core.arrays import Array, namespace
from phalanx.geometry.turns import matrix_to_rotmat


def rigid_alignment(source: Array, target: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Rotation and translation minimising sum_i w_i |R s_i + t - t_i|^2.

    Args:
        source, target: (..., N, 3), N >= 3 points in the same order and unit.
        weights: (..., N), non-negative, not all zero; equal weights when None.
    Returns:
        rotation (..., 3, 3) and translation (..., 3).
    """
    rotation, _, source_mean, target_mean, _, _ = _centred_alignment(source, target, weights)
    return rotation, target_mean - _rotate(rotation, source_mean[..., None, :])[..., 0, :]


def similarity_alignment(source: Array, target: Array, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """Rotation, translation and scale minimising sum_i w_i |s R s_i + t - t_i|^2.

    Arguments as for `rigid_alignment`. Returns rotation (..., 3, 3), translation (..., 3), scale (...). The scale is
    never negative; a source that is a single point gets scale 0.
    """
    rotation, covariance, source_mean, target_mean, source_centred, weighted_source = _centred_alignment(
        source, target, weights
    )
    overlap = (rotation * covariance).sum((-2, -1))  # sum_i w_i (R s_i) . t_i
    spread = (weighted_source * source_centred).sum((-2, -1))
    scale = namespace(overlap).clip(_ratio(overlap, spread), 0, None)  # (...)
    translation = target_mean - scale[..., None] * _rotate(rotation, source_mean[..., None, :])[..., 0, :]
    return rotation, translation, scale


def rigid_align(source: Array, target: Array, weights: Array | None = None) -> Array:
    """`source` (..., N, 3) moved onto `target` (..., N, 3) by the best rotation and translation."""
    rotation, translation = rigid_alignment(source, target, weights)
    return _rotate(rotation, source) + translation[..., None, :]


def similarity_align(source: Array, target: Array, weights: Array | None = None) -> Array:
    """`source` (..., N, 3) moved onto `target` (..., N, 3) by the best similarity ("Procrustes-aligned")."""
    rotation, translation, scale = similarity_alignment(source, target, weights)
    return scale[..., None, None] * _rotate(rotation, source) + translation[..., None, :]


def equal_norm_scale(source: Array, target: Array) -> Array:
    """Factor (...) that gives root-relative `source` (..., N, 3) the norm of root-relative `target` (..., N, 3)."""
    return _ratio(_norm(target), _norm(source))


def least_squares_scale(source: Array, target: Array) -> Array:
    """Factor (...) minimising |s source - target|^2 for root-relative (..., N, 3) sets; may be negative."""
    return _ratio((source * target).sum((-2, -1)), (source * source).sum((-2, -1)))


def _centred_alignment(source: Array, target: Array, weights: Array | None) -> tuple[Array, ...]:
    if source.shape[-1] != 3 or target.shape[-2:] != source.shape[-2:]:
        raise ValueError(f"point sets must be (..., N, 3), not {tuple(source.shape)} and {tuple(target.shape)}")
    weight = namespace(source).ones_like(source[..., 0]) if weights is None else weights
    weight = weight / weight.sum(-1)[..., None]  # (..., N)
    source_mean = (weight[..., None, :] @ source)[..., 0, :]  # (..., 3)
    target_mean = (weight[..., None, :] @ target)[..., 0, :]
    source_centred = source - source_mean[..., None, :]  # (..., N, 3)
    target_centred = target - target_mean[..., None, :]
    weighted_source = weight[..., None] * source_centred
    covariance = target_centred.swapaxes(-1, -2) @ weighted_source  # (..., 3, 3)
    rotation = matrix_to_rotmat(covariance)
    return rotation, covariance, source_mean, target_mean, source_centred, weighted_source


def _rotate(rotation: Array, points: Array) -> Array:
    return points @ rotation.swapaxes(-1, -2)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient that is 0, with zero gradient, where the denominator is 0."""
    xp, empty = namespace(denominator), denominator == 0
    return xp.where(
        empty, xp.zeros_like(numerator), numerator / xp.where(empty, xp.ones_like(denominator), denominator)
    )


def _norm(points: Array) -> Array:
    """(...) of point sets (..., N, 3)."""
    if isinstance(points, np.ndarray):
        return np.sqrt(np.square(points).sum((-2, -1)))
    return points.norm(dim=(-2, -1))


def moved(transforms: Array, points: Array) -> Array:
    """Points `(..., N, 3)` under rigid motions `(..., 4, 4)`."""
    return points @ transforms[..., :3, :3].swapaxes(-1, -2) + transforms[..., None, :3, 3]
