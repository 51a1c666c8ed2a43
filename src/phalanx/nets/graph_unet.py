"""Graph U-Net: down to the nodes that matter and back up, with a skip at every level (Gao and Ji, "Graph U-Nets", ICML 2019).

For graphs of a few dozen nodes: adjacency is dense, and each sample keeps nodes of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def normalised_adjacency(matrix: Tensor) -> Tensor:
    """`D^-1/2 (A + 2 I) D^-1/2` of adjacency matrices (..., N, N): each node counts twice beside its neighbours (Sec. 3.4 there)."""
    looped = matrix + 2 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    root = looped.sum(-1).rsqrt()  # (..., N)
    return root[..., :, None] * looped * root[..., None, :]


class GraphConvolution(nn.Module):
    """`A F theta` and a bias (Kipf and Welling 2017): features (B, N, F_in) over adjacency (B, N, N) or (N, N) to (B, N, F_out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor, matrix: Tensor) -> Tensor:
        return self.linear(normalised_adjacency(matrix) @ features)


class TopPool(nn.Module):
    """gPool: the `keep` nodes whose features lie farthest along a learnt direction, weighted by the sigmoid of how far.

    Gives features (B, keep, F), adjacency (B, keep, keep) of the kept nodes, where those two edges apart are joined (A^2), and their
    numbers (B, keep).
    """

    def __init__(self, inputs: int, keep: int) -> None:
        super().__init__()
        self.keep = keep
        self.direction = nn.Parameter(torch.empty(inputs))
        nn.init.normal_(self.direction, std=1 / math.sqrt(inputs))

    def forward(self, features: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score = features @ (self.direction / self.direction.norm())  # (B, N)
        best, chosen = score.topk(self.keep, dim=1)
        width = features.shape[-1]
        kept = features.gather(1, chosen[..., None].expand(-1, -1, width)) * torch.sigmoid(best)[..., None]
        joined = ((matrix @ matrix) > 0).to(matrix.dtype).expand(len(features), -1, -1)
        rows = joined.gather(1, chosen[..., None].expand(-1, -1, joined.shape[-1]))
        return kept, rows.gather(2, chosen[:, None, :].expand(-1, self.keep, -1)), chosen


def unpooled(features: Tensor, chosen: Tensor, nodes: int) -> Tensor:
    """gUnpool: features (B, k, F) back at the numbers `chosen` (B, k) of their nodes, others 0: (B, nodes, F)."""
    batch, _, width = features.shape
    empty = features.new_zeros(batch, nodes, width)
    return empty.scatter(1, chosen[..., None].expand(-1, -1, width), features)


class GraphUNet(nn.Module):
    """Features (B, N, inputs) to (B, N, outputs).

    A convolution to `width` features, one behind every pooling, one at the bottom, one behind every unpooling with the skip added, and
    a linear layer from what came in and what came out. (The last layer is a node's own: a convolution there would blur over neighbours.)

    Args:
        matrix: (N, N) adjacency, 0 and 1.
        inputs, outputs: features of a node.
        width: features in between.
        keep: nodes that each level keeps of the one above, falling.
    """

    _matrix: Tensor

    def __init__(
        self, matrix: Tensor, inputs: int, outputs: int, width: int = 64, keep: Sequence[int] = (12, 6)
    ) -> None:
        super().__init__()
        counts = [len(matrix), *keep]
        if any(below >= above for above, below in pairwise(counts)) or counts[-1] < 1:
            raise ValueError(f"GraphUNet: a graph of {len(matrix)} nodes cannot keep {tuple(keep)} of them")
        self.register_buffer("_matrix", matrix.float(), persistent=False)
        self.first = GraphConvolution(inputs, width)
        self.pools = nn.ModuleList(TopPool(width, count) for count in keep)
        self.down = nn.ModuleList(GraphConvolution(width, width) for _ in keep)
        self.bottom = GraphConvolution(width, width)
        self.up = nn.ModuleList(GraphConvolution(width, width) for _ in keep)
        self.last = nn.Linear(inputs + width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        matrix = self._matrix.to(features.dtype)
        x = functional.relu(self.first(features, matrix))
        skips: list[tuple[Tensor, Tensor, Tensor]] = []
        for pool, convolution in zip(self.pools, self.down, strict=True):
            kept, below, chosen = pool(x, matrix)
            skips.append((x, matrix, chosen))
            x, matrix = functional.relu(convolution(kept, below)), below
        x = functional.relu(self.bottom(x, matrix))
        for (skip, above, chosen), convolution in zip(reversed(skips), self.up, strict=True):
            x = functional.relu(convolution(unpooled(x, chosen, skip.shape[1]) + skip, above))
            matrix = above
        return self.last(torch.cat((features, x), dim=-1))
