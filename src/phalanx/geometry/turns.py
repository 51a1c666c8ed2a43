"""Rotations by rays and cross products, one source for NumPy arrays and PyTorch tensors; PyTorch is imported where there are tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.arrays import Array, like, namespace, unit

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
