"""Losses on heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from phalanx.losses.averages import weighted_mean

SIGMA = 1.0
"""Standard deviation in cells of the Gaussians that `probability_map_error` holds heat maps against."""

PEAK = 2 * math.pi * SIGMA**2
"""Times a heat map of sum 1, such a Gaussian has a peak of about 1."""


def gaussian_maps(points: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Normal densities at `points`, normalised to sum 1 over the cells: (B, J, height, width).

    Args:
        points: (B, J, 2) in units of the picture, 0..1.
        sigma: standard deviation in the same units.
    """
    x = (torch.arange(width, device=points.device, dtype=points.dtype) + 0.5) / width
    y = (torch.arange(height, device=points.device, dtype=points.dtype) + 0.5) / height
    across = torch.softmax(-0.5 * ((x - points[..., 0:1]) / sigma).square(), dim=-1)  # (B, J, w)
    down = torch.softmax(-0.5 * ((y - points[..., 1:2]) / sigma).square(), dim=-1)  # (B, J, h)
    return down[..., :, None] * across[..., None, :]


def gaussian_cross_entropy(logits: Tensor, points: Tensor, sigma: float, weights: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of heat maps from a Gaussian around the true points, weighted mean.

    Keeps the maps of a soft-argmax peaked at the joint; its gradient is that of classifying the cell, which is strong
    from the first step (compare the regularisers of Nibali et al. 2018, DSNT, Eq. 8-9).

    Args:
        logits: (B, J, h, w).
        points: (B, J, 2) in units of the picture.
        sigma: of the Gaussian, in the same units.
        weights: (B, J).
    """
    target = gaussian_maps(points, logits.shape[-2], logits.shape[-1], sigma).flatten(2)  # (B, J, h*w)
    log_probabilities = torch.log_softmax(logits.flatten(2), dim=-1)
    divergence = (torch.xlogy(target, target) - target * log_probabilities).sum(dim=-1)  # (B, J)
    return weighted_mean(divergence, weights)


def within_picture(points: Tensor) -> Tensor:
    """(B, J) 1 where points (B, J, 2), 0 to 1 across the picture, lie in it, else 0."""
    return ((points >= 0) & (points <= 1)).all(-1).to(points)


def probability_map_error(logits: Sequence[Tensor], joints_2d: Tensor) -> Tensor:
    """Squared error of heat maps to Gaussians: a sum over cells; a mean over stages, pictures and joints within the picture.

    Maps are probabilities, times `PEAK`; Cai et al. 2018, Eq. 1, in the form that `methods.depth_regularizer` explains.

    Args:
        logits: (B, J, h, w) of every stage; their softmax is the heat map.
        joints_2d: (B, J, 2), 0 to 1 across the picture.
    """
    height, width = logits[0].shape[-2:]
    inside = within_picture(joints_2d)
    target = gaussian_maps(joints_2d, height, width, SIGMA / width)  # G, of sum 1
    errors = []
    for stage in logits:
        heat = torch.softmax(stage.float().flatten(2), dim=-1).view_as(target)
        errors.append(weighted_mean((PEAK * (heat - target)).square().sum(dim=(2, 3)), inside))
    return torch.stack(errors).mean()
