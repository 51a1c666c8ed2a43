"""Closed-form alignment of point sets with known correspondence, batched and differentiable.

Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. Rotations are
proper: a mirrored set is not mirrored back.
"""

import roma
import torch
from torch import Tensor


def rigid_alignment(source: Tensor, target: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rotation and translation minimising sum_i w_i |R s_i + t - t_i|^2.

    Args:
        source, target: (..., N, 3), N >= 3 points in the same order and unit.
        weights: (..., N), non-negative, not all zero; equal weights when None.
    Returns:
        rotation (..., 3, 3) and translation (..., 3).
    """
    rotation, _, source_mean, target_mean, _, _ = _centred_alignment(source, target, weights)
    return rotation, target_mean - _rotate(rotation, source_mean[..., None, :])[..., 0, :]


def similarity_alignment(
    source: Tensor, target: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, translation and scale minimising sum_i w_i |s R s_i + t - t_i|^2.

    Arguments as for `rigid_alignment`. Returns rotation (..., 3, 3), translation (..., 3), scale (...). The scale is
    never negative; a source that is a single point gets scale 0.
    """
    rotation, covariance, source_mean, target_mean, source_centred, weighted_source = _centred_alignment(
        source, target, weights
    )
    overlap = (rotation * covariance).sum((-2, -1))  # sum_i w_i (R s_i) . t_i
    spread = (weighted_source * source_centred).flatten(-2).sum(-1)
    scale = _ratio(overlap, spread).clamp_min(0)  # (...)
    translation = target_mean - scale[..., None] * _rotate(rotation, source_mean[..., None, :])[..., 0, :]
    return rotation, translation, scale


def rigid_align(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """`source` (..., N, 3) moved onto `target` (..., N, 3) by the best rotation and translation."""
    rotation, translation = rigid_alignment(source, target, weights)
    return _rotate(rotation, source) + translation[..., None, :]


def similarity_align(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """`source` (..., N, 3) moved onto `target` (..., N, 3) by the best similarity ("Procrustes-aligned")."""
    rotation, translation, scale = similarity_alignment(source, target, weights)
    return scale[..., None, None] * _rotate(rotation, source) + translation[..., None, :]


def equal_norm_scale(source: Tensor, target: Tensor) -> Tensor:
    """Factor (...) that gives root-relative `source` (..., N, 3) the norm of root-relative `target` (..., N, 3)."""
    return _ratio(target.norm(dim=(-2, -1)), source.norm(dim=(-2, -1)))


def least_squares_scale(source: Tensor, target: Tensor) -> Tensor:
    """Factor (...) minimising |s source - target|^2 for root-relative (..., N, 3) sets; may be negative."""
    return _ratio((source * target).sum((-2, -1)), (source * source).sum((-2, -1)))


def nearest_rotations(matrices: Tensor) -> Tensor:
    """The rotation R that maximises trace(R^T M) for every matrix M: `(..., 3, 3) -> (..., 3, 3)`, without gradient.

    For many matrices: it takes a tenth of the time of as many singular value decompositions, and agrees with
    `roma.special_procrustes` to 1e-9. With M = R P and P symmetric, l the trace of P and m the sum of its principal
    2x2 minors, M^T M = P^2 and the theorem of Cayley and Hamilton for P give

        R (M^T M + m I) = l M + cof(M),    m = (l^2 - |M|^2) / 2,

    where l is the largest root of l^4 - 2 |M|^2 l^2 - 8 det(M) l + |M|^4 - 4 |cof(M)|^2, the characteristic polynomial
    of Horn's quaternion matrix ("Closed-form solution of absolute orientation using unit quaternions", JOSA A 1987),
    found by Newton's method from above as in Theobald, "Rapid calculation of RMSDs using a quaternion-based
    characteristic polynomial", Acta Cryst. A 2005. An error of l stretches R but does not turn it, and two steps towards
    the nearest orthogonal matrix take the stretch out. Matrices whose rotation is not unique, or nearly so (points on
    a line), go to `roma.special_procrustes`.
    """
    with torch.no_grad():
        norm = matrices.double().norm(dim=(-2, -1), keepdim=True)
        unit = matrices.double() / torch.where(norm > 0, norm, 1)  # (..., 3, 3), |M| = 1
        a, b, c = unit.unbind(-2)
        cofactors = torch.stack((torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)), -2)
        determinant = (a * cofactors[..., 0, :]).sum(-1)  # (...)
        constant = 1 - 4 * (cofactors * cofactors).sum((-2, -1))
        root = torch.full_like(determinant, 3**0.5)  # no trace of P is larger
        for _ in range(24):
            value = ((root * root - 2) * root - 8 * determinant) * root + constant
            slope = (4 * root * root - 4) * root - 8 * determinant
            root = root - value / slope.clamp_min(1e-12)
        minors = (root * root - 1) / 2
        unique = minors * root - determinant > 1e-3  # the product of all sums of two eigenvalues of P
        system = unit.mT @ unit + minors[..., None, None] * torch.eye(3, dtype=unit.dtype, device=unit.device)
        inverse = _symmetric_inverse(torch.where(unique[..., None, None], system, torch.eye(3).to(system)))
        rotation = (root[..., None, None] * unit + cofactors) @ inverse
        for _ in range(2):
            rotation = 1.5 * rotation - 0.5 * rotation @ (rotation.mT @ rotation)
        if not unique.all():
            rotation[~unique] = roma.special_procrustes(unit[~unique])
        return rotation.to(matrices)


def _symmetric_inverse(matrices: Tensor) -> Tensor:
    """Inverses of symmetric (..., 3, 3) matrices, by cofactors."""
    a, b, c = matrices.unbind(-2)
    cofactors = torch.stack((torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)), -2)
    return cofactors / (a * cofactors[..., 0, :]).sum(-1)[..., None, None]


def _centred_alignment(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, ...]:
    if source.shape[-1] != 3 or target.shape[-2:] != source.shape[-2:]:
        raise ValueError(f"point sets must be (..., N, 3), not {tuple(source.shape)} and {tuple(target.shape)}")
    weight = torch.ones_like(source[..., 0]) if weights is None else weights
    weight = weight / weight.sum(-1, keepdim=True)  # (..., N)
    source_mean = (weight[..., None, :] @ source)[..., 0, :]  # (..., 3)
    target_mean = (weight[..., None, :] @ target)[..., 0, :]
    source_centred = source - source_mean[..., None, :]  # (..., N, 3)
    target_centred = target - target_mean[..., None, :]
    weighted_source = weight[..., None] * source_centred
    covariance = target_centred.mT @ weighted_source  # (..., 3, 3)
    few = covariance[..., 0, 0].numel() < 256  # then singular values are quicker
    solve = roma.special_procrustes if few or covariance.requires_grad else nearest_rotations
    return solve(covariance), covariance, source_mean, target_mean, source_centred, weighted_source


def _rotate(rotation: Tensor, points: Tensor) -> Tensor:
    return points @ rotation.transpose(-1, -2)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient that is 0, with zero gradient, where the denominator is 0."""
    empty = denominator == 0
    return torch.where(empty, torch.zeros_like(numerator), numerator / torch.where(empty, 1, denominator))
