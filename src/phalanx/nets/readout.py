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


def peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The highest cell of heat maps (non-maximum suppression), and where in it the peak is.

    Through the logarithms of a cell and its two neighbours goes one parabola, along x and along y; its top is exact for a Gaussian.
    Gradients reach the maps by way of these cells.

    Args:
        maps: (B, J, h, w), Gaussians on 0; what is lower than a hundredth of the highest cell counts as that.

    Returns:
        coordinates (B, J, 2), x and y in units of the picture (0..1 from edge to edge), and the heights (B, J) of the highest cells.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    highest, index = flat.max(dim=-1)  # (B, J)
    row, column = torch.div(index, width, rounding_mode="floor"), index % width
    floor = (0.01 * highest).clamp_min(1e-6)

    def top(place: Tensor, count: int, step: int) -> Tensor:
        """Where the peak lies along one axis, in cells."""
        within = place.clamp(1, count - 2)  # at the edge, the parabola of the cells beside it
        centre = index + (within - place) * step
        around = torch.stack([centre - step, centre, centre + step], dim=-1)  # (B, J, 3)
        before, here, after = flat.gather(-1, around).maximum(floor[..., None]).log().unbind(-1)
        curvature = (2 * here - before - after).clamp_min(1e-3)
        offset = 0.5 * (after - before) / curvature
        return within + offset.clamp(-1.5, 1.5)

    places = torch.stack((top(column, width, 1) / width, top(row, height, width) / height), dim=-1)
    half = places.new_tensor([0.5 / width, 0.5 / height])
    return places + half, highest
