"""Losses on coordinates, directions and rotations. Each returns a scalar, a weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.losses.averages import weighted_mean


def l1(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Absolute error summed over coordinates (..., D), averaged over points with `weights` (...)."""
    return weighted_mean((predicted - target).abs().sum(dim=-1), weights)


def laplace_nll(error: Tensor, log_scale: Tensor, weights: Tensor) -> Tensor:
    """Negative log-likelihood of absolute errors (...) under Laplace densities of scale exp(log_scale) (...).

    `|e| / b + log(2 b)` with b = exp(log_scale). Hand in a detached error to fit the scale without letting the hard
    cases lose their pull on the coordinates.
    """
    return weighted_mean(error.abs() * torch.exp(-log_scale) + log_scale + 0.6931472, weights)


def chordal(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Frobenius distance of rotation matrices (..., 3, 3), `sqrt(8) |sin(angle / 2)|`, averaged with `weights` (...)."""
    squared = (predicted - target).square().sum(dim=(-1, -2))
    return weighted_mean(torch.sqrt(squared + 1e-6), weights)


def directions(predicted: Tensor, target: Tensor, parents: Tensor, weights: Tensor) -> Tensor:
    """Distance of unit bone directions, joints (B, J, D) to their parents' (index (J - 1,), of joints 1 to J - 1).

    Args:
        predicted, target: (B, J, D) joints in any one unit.
        parents: (J - 1,) the parent of joints 1..J-1.
        weights: (B, J) of joints; a bone counts with the smaller of its ends.
    """
    bones = predicted[:, 1:] - predicted[:, parents]  # (B, J-1, D)
    wanted = target[:, 1:] - target[:, parents]
    bones = bones / torch.sqrt(bones.square().sum(-1, keepdim=True) + 1e-5)
    wanted = wanted / torch.sqrt(wanted.square().sum(-1, keepdim=True) + 1e-5)
    return weighted_mean((bones - wanted).abs().sum(-1), torch.minimum(weights[:, 1:], weights[:, parents]))
