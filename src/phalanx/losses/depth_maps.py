"""Relative depths of joints, depth maps brought to 0 to 1, and losses on both: what methods share that learn from depth beside colour.

Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018, Eq. 2 to 6. Depth and lengths are
metres; depth maps hold 0 where there is no reading, and hold the hand alone (`data.hand_depth` takes it out of its surroundings).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from phalanx.losses.averages import weighted_mean

LEAST_RANGE = 0.02
"""Metres: the least range of a map. A flat one, or one of a few readings, is not blown up."""


def relative_depths(depths: Tensor, root: int, scale: Tensor) -> Tensor:
    """Root-relative and scale-invariant depths (B, J) of joints at `depths` (B, J): `(z - z_root) / scale`, Cai et al., Sec. 3.3.

    Args:
        depths: (B, J) metres.
        root: the joint that is 0.
        scale: (B,) metres, the distance of a certain pair of joints.
    """
    return (depths - depths[:, root, None]) / scale[:, None]


def absolute_depths(relative: Tensor, root_depth: Tensor, scale: Tensor) -> Tensor:
    """Metres (B, J) again: `relative * scale + root_depth`; `root_depth` and `scale` (B,) metres."""
    return relative * scale[:, None] + root_depth[:, None]


def smooth_l1(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over joints, weighted by `weights` (B, J), of Eq. 3: `x^2 / 2` where `|x| < 1`, else `|x| - 1/2`; x (B, J) their difference.

    With weights of 0 for pictures without 3D labels this is Eq. 2.
    """
    return weighted_mean(functional.smooth_l1_loss(predicted, target, reduction="none"), weights)  # Eq. 2, 3


def depth_limits(depth: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest reading `d_max` (B,) and the range `d_range` (B,) of maps (B, H, W), for `normalised_map` and `normalised_joints`.

    The range is at least `LEAST_RANGE`. A map without readings has a `d_max` of 0.
    """
    flat = depth.flatten(1)
    farthest = flat.amax(1)
    nearest = torch.where(flat > 0, flat, torch.inf).amin(1)
    return farthest, (farthest - nearest).clamp_min(LEAST_RANGE)  # of an empty map: -inf, so the least


def normalised_map(depth: Tensor, farthest: Tensor, depth_range: Tensor) -> Tensor:
    """`D_n` (B, H, W) in 0 to 1, near is large and background 0: `(d_max - d) / d_range`, Eq. 4, of depth (B, H, W) in metres.

    In print there is a sum over pixels before it, which would leave one number of a map; it is a misprint.
    """
    near = (farthest[:, None, None] - depth) / depth_range[:, None, None]  # Eq. 4
    return torch.where(depth > 0, near, 0.0)


def normalised_joints(
    relative: Tensor, root_depth: Tensor, scale: Tensor, farthest: Tensor, depth_range: Tensor
) -> Tensor:
    """`X_z` (B, J): relative depths of joints on the scale of `normalised_map`, Eq. 5.

    Args:
        relative: (B, J) as `relative_depths` has them.
        root_depth, scale: (B,) metres.
        farthest, depth_range: (B,) metres, of the map that belongs to the hand.
    """
    depths = absolute_depths(relative, root_depth, scale)
    return (farthest[:, None] - depths) / depth_range[:, None]  # Eq. 5


def map_error(generated: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Absolute difference of depth maps (B, H, W), Eq. 6: mean over pixels, then over maps, weighted by `weights` (B,).

    The paper has a norm, so a sum over pixels; as a mean its weight does not depend on resolution.
    """
    return weighted_mean((generated - target).abs().flatten(1).mean(1), weights)  # Eq. 6
