"""Pictures of four samples a pixel: which pixels show anything, and what."""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.geometry.point_lists import places, repeated, transposed


def seen_quads(seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The A pixels in which anything is seen.

    Args:
        seen: (n, 2 H, 2 W) int32 numbers of what is seen at each sample, -1 of nothing.

    Returns:
        The pixels' numbers `(A,)` in all pictures, rising; their rows `(A,)`, counted through all pictures; what is seen in them `(4, A)`:
        left and right above, left and right below.
    """
    rows, columns = seen.shape[0] * seen.shape[1] // 2, seen.shape[2] // 2
    pairs = seen.contiguous().view(torch.int64)  # two samples side by side; -1: nothing in both
    above, below = pairs.view(rows, 2, columns).unbind(1)
    pixel = places((above & below) != -1)
    edges = torch.searchsorted(pixel, torch.arange(rows + 1, device=seen.device) * columns)
    row = repeated(torch.arange(rows, device=seen.device), edges.diff().tolist())
    first = pixel + row * columns
    both = [pairs.view(-1).index_select(0, first + step).view(torch.int32).view(-1, 2) for step in (0, columns)]
    return pixel, row, torch.cat([transposed(pair) for pair in both])
