"""Supervision of heat maps with latent depth maps: on the coordinates read out of them, or on the maps themselves.

Wan et al., "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019, Sec. 3.3, which found both alike and
went on with the maps. It does not say how tall and wide the Gaussians of the labels are; with Eq. 1 that matters. Coordinates are
read under `softmax(10 h)`, so where h = 0 a cell still counts by e^0 against e^(10 peak) at the peak, and 1,024 of them pull every
reading towards the middle of the picture. On 32 x 32 cells over 300 mm, labels themselves read back wrong by 6.0 mm with the
customary peak of 1 and standard deviation of one cell, and by 0.02 mm with those below. They are wide because the softmax sharpens
them again, by the square root of `10 peak`, to 0.65 cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from phalanx.losses.averages import weighted_mean

SIGMA = 2.5 / 32
"""Standard deviation of label Gaussians in units of the picture: 2.5 cells of 32."""

PEAK = 1.5
"""Height of label Gaussians."""

REACH = 3.0
"""Standard deviations beyond which a label is 0: what Eq. 3 calls the joint's cells must end somewhere."""


def label_maps(points: Tensor, height: int, width: int, sigma: float = SIGMA, peak: float = PEAK) -> Tensor:
    """Labels (B, J, height, width) of heat maps: `peak exp(-r^2 / (2 sigma^2))` up to r = 3 sigma, beyond that exactly 0.

    Their height is the same for every joint (`heatmaps.gaussian_maps` sum to 1 instead, so rise at the picture's edges).

    Args:
        points: (B, J, 2) in units of the picture, 0..1. One that is farther out than 3 sigma leaves an empty map.
        sigma: in the same units.
        peak: value at the point.
    """
    x = (torch.arange(width, device=points.device, dtype=points.dtype) + 0.5) / width  # (w,)
    y = (torch.arange(height, device=points.device, dtype=points.dtype) + 0.5) / height
    across = ((x - points[..., 0:1]) / sigma).square()  # (B, J, w)
    down = ((y - points[..., 1:2]) / sigma).square()  # (B, J, h)
    squared = down[..., :, None] + across[..., None, :]  # (B, J, h, w)
    return torch.where(squared <= REACH**2, peak * torch.exp(-0.5 * squared), 0.0)


def heat_map_error(heat: Sequence[Tensor], joints_2d: Tensor) -> Tensor:
    """Of heat maps alone (Chen 2020, Eq. 3.3; Baek et al. 2019, Eq. 3): a mean over stages, joints and pictures of squared differences
    summed over cells; joints that are not seen count, too.

    Args:
        heat: of each stage `(B, J, h, w)`.
        joints_2d: (B, J, 2), 0 to 1 across the picture; the label of a joint outside is empty.
    """
    labels = label_maps(joints_2d, *heat[0].shape[-2:])
    return torch.stack([(maps.float() - labels).square().sum(dim=(2, 3)).mean() for maps in heat]).mean()


def depth_labels(labels: Tensor, depth: Tensor) -> Tensor:
    """Labels (B, J, h, w) of latent depth maps, Eq. 3: the joint's `depth` (B, J) where `labels` (B, J, h, w) > 0, elsewhere 0."""
    return torch.where(labels > 0, depth[..., None, None], 0.0)


def coordinate_error(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error of coordinates (B, J, 3), of joints weighted by `weights` (B, J).

    Measure depth in the unit of x and y (sides of the cube), or the directions count differently.
    """
    return weighted_mean((predicted - target).square().mean(dim=-1), weights)


def map_error(
    heat: Tensor, depth: Tensor, target: Tensor, weights: Tensor, sigma: float = SIGMA, peak: float = PEAK
) -> tuple[Tensor, Tensor]:
    """Mean squared errors of heat maps and of latent depth maps (B, J, h, w), over all their cells, as two scalars.

    Args:
        heat, depth: (B, J, h, w) as predicted.
        target: (B, J, 3) true x and y in units of the picture, and z as the depth maps are to hold it, measured from the middle of
            what is seen: elsewhere the label is 0 (Eq. 3).
        weights: (B, J); 0 for joints out of the picture.
        sigma, peak: of the label Gaussians, see `label_maps`.
    """
    labels = label_maps(target[..., :2], heat.shape[-2], heat.shape[-1], sigma, peak)  # (B, J, h, w)
    heat_error = (heat - labels).square().mean(dim=(2, 3))  # (B, J)
    depth_error = (depth - depth_labels(labels, target[..., 2])).square().mean(dim=(2, 3))
    return weighted_mean(heat_error, weights), weighted_mean(depth_error, weights)
