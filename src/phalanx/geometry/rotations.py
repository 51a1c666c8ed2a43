"""Rotations: 3x3 matrices inside the toolkit, other forms only at its borders.

Names carry both ends. Quaternions are XYZW. Everything is batched over leading dimensions and differentiable, and compared with RoMa in
the tests. What prediction needs of rotations is in `geometry.turns`, for NumPy arrays, too.
"""

import torch
from torch import Tensor

from phalanx.geometry.turns import rotmat_to_quat

_SMALL = 1e-6
"""Angles, in radians, below which a rotation is as good as linear."""


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Axis-angle vectors (..., 3) in radians to matrices (..., 3, 3): Rodrigues."""
    angle = torch.linalg.vector_norm(rotvec, dim=-1)
    axis = rotvec / angle[..., None].clamp_min(_SMALL)  # clamped, or its derivative at zero would be no number
    x, y, z = axis.unbind(-1)
    sine, versine = torch.sin(angle), 1 - torch.cos(angle)
    xs, ys, zs = x * sine, y * sine, z * sine
    xy, xz, yz = x * y * versine, x * z * versine, y * z * versine
    xx, yy, zz = x**2 * versine, y**2 * versine, z**2 * versine
    turned = (1 - yy - zz, xy - zs, xz + ys, xy + zs, 1 - xx - zz, yz - xs, xz - ys, yz + xs, 1 - xx - yy)
    x, y, z = rotvec.unbind(-1)
    one = torch.ones_like(x)
    linear = (one, -z, y, z, one, -x, -y, x, one)
    small = (angle < _SMALL)[..., None]
    return torch.where(small, torch.stack(linear, -1), torch.stack(turned, -1)).unflatten(-1, (3, 3))


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to axis-angle vectors (..., 3), of norm at most pi."""
    quat = rotmat_to_quat(rotmat)
    quat = torch.where(quat[..., 3:] > 0, quat, -quat)
    sine = torch.linalg.vector_norm(quat[..., :3], dim=-1, keepdim=True)
    small = sine < _SMALL
    half = torch.atan2(sine, quat[..., 3:])
    return quat[..., :3] * torch.where(small, 2.0, 2 * half / torch.where(small, 1.0, sine))


def sixd_to_rotmat(sixd: Tensor) -> Tensor:
    """Six numbers (..., 6) to matrices (..., 3, 3): Gram-Schmidt on the first column, then the second.

    Zhou et al., "On the continuity of rotation representations in neural networks", CVPR 2019.
    """
    first, second = sixd[..., :3], sixd[..., 3:]
    x = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True).clamp_min(1e-8)
    y = second - (x * second).sum(-1, keepdim=True) * x
    y = y / torch.linalg.vector_norm(y, dim=-1, keepdim=True).clamp_min(1e-8)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)


def rotmat_to_sixd(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to their first column followed by their second (..., 6)."""
    return torch.cat((rotmat[..., :, 0], rotmat[..., :, 1]), dim=-1)


def rotmat_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angle (...) in radians of the rotation from `first` (..., 3, 3) to `second` (..., 3, 3), within [0, pi]."""
    chord = torch.linalg.vector_norm(second - first, dim=(-2, -1))
    return 2 * torch.asin((chord / 8**0.5).clamp_max(1.0))
