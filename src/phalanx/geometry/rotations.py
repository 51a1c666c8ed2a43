"""Rotations: 3x3 matrices inside the toolkit, other forms only at its borders.

RoMa (Bregier, "Deep regression on manifolds", 3DV 2021) does the conversions; names carry both ends.
Quaternions are XYZW. Everything is batched over leading dimensions and differentiable.
"""

from functools import lru_cache

import numpy as np
import roma
import torch
from torch import Tensor

from phalanx.core.arrays import Array, like, namespace, unit


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Axis-angle vectors (..., 3) in radians to matrices (..., 3, 3)."""
    return roma.rotvec_to_rotmat(rotvec)


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to axis-angle vectors (..., 3), of norm at most pi."""
    return roma.rotmat_to_rotvec(rotmat)


def quat_to_rotmat(quat: Tensor) -> Tensor:
    """Quaternions (..., 4) XYZW, of any norm but zero, to matrices (..., 3, 3)."""
    return roma.unitquat_to_rotmat(roma.quat_normalize(quat))


def rotmat_to_quat(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to unit quaternions (..., 4) XYZW; the sign is arbitrary."""
    return roma.rotmat_to_unitquat(rotmat)


def sixd_to_rotmat(sixd: Tensor) -> Tensor:
    """Six numbers (..., 6) to matrices (..., 3, 3): Gram-Schmidt on the first column, then the second.

    Zhou et al., "On the continuity of rotation representations in neural networks", CVPR 2019.
    """
    columns = torch.stack((sixd[..., :3], sixd[..., 3:]), dim=-1)  # (..., 3, 2)
    return roma.special_gramschmidt(columns, epsilon=1e-8)


def rotmat_to_sixd(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to their first column followed by their second (..., 6)."""
    return torch.cat((rotmat[..., :, 0], rotmat[..., :, 1]), dim=-1)


def matrix_to_rotmat(matrix: Tensor) -> Tensor:
    """The rotations (..., 3, 3) nearest to any matrices (..., 3, 3) (orthogonal Procrustes, determinant +1)."""
    return roma.special_procrustes(matrix)


def rotmat_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angle (...) in radians of the rotation from `first` (..., 3, 3) to `second` (..., 3, 3), within [0, pi]."""
    return roma.rotmat_geodesic_distance(first, second)


def ray_to_rotmat(direction: Array) -> Array:
    """The smallest rotation that takes the optical axis (0, 0, 1) onto a viewing ray. For NumPy and PyTorch.

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
    """Matrices (..., 3, 3) of the cross product with vectors (..., 3). For NumPy and PyTorch."""
    return (vector @ cross_generators(vector)).reshape(*vector.shape, 3)


def cross_generators(reference: Array) -> Array:
    """What a vector (3,) is multiplied by for its cross-product matrix, (3, 9), as an array like `reference`."""
    if isinstance(reference, np.ndarray):
        return _CROSS.astype(reference.dtype)
    return _cross_generators(reference.device, reference.dtype)


@lru_cache(maxsize=8)
def _cross_generators(device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # kept beyond this call
        return torch.tensor(_CROSS, device=device, dtype=dtype)


_HALF_TURN = np.diag([1.0, -1.0, -1.0])
_CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], float)
