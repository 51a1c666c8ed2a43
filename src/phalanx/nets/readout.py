"""Reading coordinates and values out of heat maps."""

from __future__ import annotations

import torch
from torch import Tensor


def cell_centres(size: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Centres of `size` cells that share the unit interval: (size,), `(i + 0.5) / size`."""
    return (torch.arange(size, device=device, dtype=dtype) + 0.5) / size


def soft_argmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Expected position under the softmax of heat maps (integral regression, Sun et al. 2018).

    Args:
        logits: (B, J, h, w).

    Returns:
        coordinates (B, J, 2), x and y in units of the picture (0..1 from edge to edge), and the probabilities
        (B, J, h, w), which sum to 1 over each map.
    """
    height, width = logits.shape[-2:]
    probabilities = torch.softmax(logits.flatten(2), dim=-1).view_as(logits)  # (B, J, h, w)
    x = (probabilities.sum(dim=2) * cell_centres(width, logits.device, logits.dtype)).sum(dim=-1)  # (B, J)
    y = (probabilities.sum(dim=3) * cell_centres(height, logits.device, logits.dtype)).sum(dim=-1)
    return torch.stack((x, y), dim=-1), probabilities


def read_under(probabilities: Tensor, maps: Tensor) -> Tensor:
    """Expected value of `maps` (B, J, h, w) under `probabilities` (B, J, h, w): (B, J)."""
    return (probabilities * maps).sum(dim=(2, 3))


def integral_with_depth(heat: Tensor, depth: Tensor, alpha: float = 10.0) -> Tensor:
    """Coordinates (B, J, 3) out of heat maps and latent depth maps, Eq. 1 and 2 of Wan et al. 2019.

    Args:
        heat: (B, J, h, w) heat maps.
        depth: (B, J, h, w) latent depth maps.
        alpha: sharpens the softmax of the heat maps; 10 in the paper.

    Returns:
        x and y in units of the picture (0..1 from edge to edge), z in what unit `depth` has.
    """
    position, probabilities = soft_argmax(alpha * heat)
    return torch.cat((position, read_under(probabilities, depth)[..., None]), dim=-1)
