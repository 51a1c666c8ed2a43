"""Consistency of what is said of a clip, seen forward and backward, and what keeps it from collapsing.

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, 2020, Eq. 4.3 to 4.5: each frame is estimated coming from the one
before and coming from the one after; both must say the same. A constant, or a flat hand, is consistent, too: these terms need others
beside them that hold on to the pictures (`methods.temporal`).

Points are `(B, T, N, D)`, of B clips of T frames, in any one unit; `valid` is (B, T) or (B, T, N), 1 where a point counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.losses.averages import weighted_mean


def both_ways(forward: Tensor, backward: Tensor, valid: Tensor | None = None) -> Tensor:
    """Eq. 4.3 and 4.4: squared distance of points (B, T, N, D) estimated forward and backward, a mean over clips, frames and points.

    In print the norm is a sum over points; the mean makes a weight mean the same for 21 joints and a mesh. Both sides take gradients.
    """
    return weighted_mean(*_weighed((forward - backward).square().sum(-1), valid))


def constant_lengths(points: Tensor, bones: Tensor, valid: Tensor | None = None) -> Tensor:
    """How much bones change their length within a clip: squared differences to the clip's mean, a mean over clips, frames and bones.

    Args:
        points: (B, T, N, D) joints.
        bones: (M, 2) pairs of joints.
        valid: of the joints; a bone counts where both ends do.
    """
    length, weights = _lengths(points, bones, valid)  # (B, T, M)
    middle = (length * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1e-6)
    return weighted_mean((length - middle).square(), weights)


def known_lengths(points: Tensor, bones: Tensor, wanted: Tensor, valid: Tensor | None = None) -> Tensor:
    """Squared differences of bones' lengths to `wanted` (M,) or (B, M), in the unit of the points, a mean over clips, frames and bones;
    other arguments as `constant_lengths` has them."""
    length, weights = _lengths(points, bones, valid)
    return weighted_mean((length - wanted.reshape(-1, 1, wanted.shape[-1])).square(), weights)


def unsteadiness(points: Tensor, valid: Tensor | None = None) -> Tensor:
    """Squared second differences of points over time, a mean over clips, frames but the two ends, and points; of T >= 3 frames.

    It is 0 where points move evenly. Motion that is not even costs, too: weigh it low.
    """
    second = points[:, 2:] - 2 * points[:, 1:-1] + points[:, :-2]
    seen = None if valid is None else torch.minimum(torch.minimum(valid[:, 2:], valid[:, 1:-1]), valid[:, :-2])
    return weighted_mean(*_weighed(second.square().sum(-1), seen))


def _lengths(points: Tensor, bones: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    ends = points[:, :, bones]  # (B, T, M, 2, D)
    length = (ends[..., 0, :] - ends[..., 1, :]).square().sum(-1).add(1e-12).sqrt()
    if valid is not None and valid.ndim == 3:
        valid = valid[:, :, bones].amin(-1)
    return _weighed(length, valid)


def _weighed(values: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values (B, T, N) and their weights."""
    if valid is None:
        return values, torch.ones_like(values)
    valid = valid.to(values.dtype)
    return values, (valid if valid.ndim == 3 else valid[..., None]).expand_as(values)
