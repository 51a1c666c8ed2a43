"""Distributions of colours: soft histograms of pictures, and how far two are apart."""

from __future__ import annotations

import torch
from torch import Tensor

_EMPTY = 1e-3
"""Added to each bin's share: a colour that one picture lacks must not count for infinity."""


def colour_histograms(images: Tensor, bins: int) -> Tensor:
    """Soft histograms (B, C, bins) of pictures (B, C, H, W) in [0, 1]: shares of the pixels, of each channel 1 in all.

    A value counts for the two bins whose middles it lies between, the more the nearer, so that the histogram has gradients.
    """
    places = (images.flatten(2).clamp(0, 1) * (bins - 1))[:, :, None]  # (B, C, 1, H W)
    middles = torch.arange(bins, dtype=images.dtype, device=images.device)[:, None]
    return (1 - (places - middles).abs()).clamp_min(0).mean(-1)


def histogram_divergence(drawn: Tensor, real: Tensor) -> Tensor:
    """KL(drawn || real) of soft histograms (B, C, bins), the mean over pictures and channels, a scalar.

    Source: Chen, dissertation, 2020, Eq. 2.10: minus the sum of h_g log(h_y / h_g).
    """
    bins = drawn.shape[-1]
    h_g, h_y = ((value + _EMPTY) / (1 + bins * _EMPTY) for value in (drawn, real))
    return -(h_g * (h_y / h_g).log()).sum(-1).mean()
