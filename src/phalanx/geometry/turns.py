"""Rotations by rays and cross products, one source for NumPy arrays and PyTorch tensors; PyTorch is imported where there are tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.arrays import Array, diagonal, lengths, like, namespace, unit

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def ray_to_rotmat(direction: Array) -> Array:
    """The smallest rotation that takes the optical axis (0, 0, 1) onto a viewing ray.

    Args:
        direction: viewing rays (..., 3) of any length but zero.
    Returns:
        rotations (..., 3, 3) whose third column is the normalised ray and which do not twist about it. The ray straight
        backwards, which no camera sees, has no smallest rotation: half a turn about x is given.
    """
    xp = namespace(direction)
    ray = unit(direction)
    x, y, z = ray[..., 0], ray[..., 1], ray[..., 2]
    backwards = z <= -1 + 1e-6
    scale = 1 / xp.where(backwards, xp.ones_like(z), 1 + z)
    xy = -x * y * scale
    rows = (1 - x * x * scale, xy, x, xy, 1 - y * y * scale, y, -x, -y, z)  # Rodrigues with axis (-y, x, 0)
    rotation = xp.stack(rows, axis=-1).reshape(*direction.shape, 3)  # (..., 3, 3)
    return xp.where(backwards[..., None, None], like(_HALF_TURN, direction), rotation)


def rotmat_to_quat(rotmat: Array) -> Array:
    """Matrices (..., 3, 3) to unit quaternions (..., 4) XYZW; the sign is arbitrary.

    Markley, "Unit quaternion from rotation matrix", J. Guidance, Control and Dynamics 2008: of four multiples of it, the longest.
    """
    xp = namespace(rotmat)
    (a, b, c), (d, e, f), (g, h, i) = ([rotmat[..., row, column] for column in range(3)] for row in range(3))
    rows = (
        (1 + a - e - i, b + d, c + g, h - f),
        (b + d, 1 + e - a - i, f + h, c - g),
        (c + g, f + h, 1 + i - a - e, d - b),
        (h - f, c - g, d - b, 1 + a + e + i),
    )  # 4 q q^T
    multiples = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2).reshape(-1, 4, 4)
    longest = diagonal(multiples, -2, -1).argmax(-1)
    chosen = multiples[xp.arange(len(multiples)), longest]
    return (chosen / lengths(chosen)).reshape(*rotmat.shape[:-2], 4)


def quat_to_rotmat(quat: Array) -> Array:
    """Quaternions (..., 4) XYZW, of any norm but zero, to matrices (..., 3, 3)."""
    xp = namespace(quat)
    x, y, z, w = (unit(quat)[..., axis] for axis in range(4))
    rows = (
        (x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), y * y - x * x - z * z + w * w, 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), z * z - x * x - y * y + w * w),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def rotmat_to_euler(rotmat: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) to angles (..., 3) in radians about z, x, y in turn, R = Rz Rx Ry; x is within a right angle of 0.

    Where x is a right angle, z and y turn about one axis, and z does it alone.
    """
    cosine = np.hypot(rotmat[..., 0, 1], rotmat[..., 1, 1])
    x = np.arctan2(rotmat[..., 2, 1], cosine)
    apart = cosine > 1e-6
    y = np.where(apart, np.arctan2(-rotmat[..., 2, 0], rotmat[..., 2, 2]), 0.0)
    z = np.where(
        apart,
        np.arctan2(-rotmat[..., 0, 1], rotmat[..., 1, 1]),
        np.arctan2(rotmat[..., 1, 0], rotmat[..., 0, 0]),
    )
    return np.stack((z, x, y), axis=-1)


def matrix_to_rotmat(matrix: Array) -> Array:
    """The rotations (..., 3, 3) nearest to any matrices (..., 3, 3) (orthogonal Procrustes, determinant +1).

    Of tensors by RoMa (Bregier, "Deep regression on manifolds", 3DV 2021), which differentiates it; it is imported when it is wanted,
    because that takes as long as PyTorch itself.
    """
    if not isinstance(matrix, np.ndarray):
        return _nearest_of_tensors(matrix)
    left, _, right = np.linalg.svd(matrix)
    left[..., -1] *= np.sign(np.linalg.det(left @ right))[..., None]
    return left @ right


def _nearest_of_tensors(matrix: Tensor) -> Tensor:
    import roma
    import torch

    if not torch.is_inference_mode_enabled():
        nearest: Tensor = roma.special_procrustes(matrix)
        return nearest
    with torch.inference_mode(False), torch.no_grad():  # RoMa keeps a table of its first call, for differentiation too
        found: Tensor = roma.special_procrustes(matrix.clone())
        return found


def cross_matrix(vector: Array) -> Array:
    """Matrices (..., 3, 3) of the cross product with vectors (..., 3)."""
    return (vector @ cross_generators(vector)).reshape(*vector.shape, 3)


def cross_generators(reference: Array) -> Array:
    """What a vector (3,) is multiplied by for its cross-product matrix, (3, 9), as an array like `reference`."""
    if isinstance(reference, np.ndarray):
        return _CROSS.astype(reference.dtype)
    return _cross_generators(reference.device, reference.dtype)


@lru_cache(maxsize=8)
def _cross_generators(device: torch.device, dtype: torch.dtype) -> Tensor:
    import torch

    with torch.inference_mode(False):  # kept beyond this call
        return torch.tensor(_CROSS, device=device, dtype=dtype)


_HALF_TURN = np.diag([1.0, -1.0, -1.0])
_CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], float)
