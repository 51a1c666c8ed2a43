"""A hand's surface out of a vector, coarse to fine, and values out of a surface: Chebyshev convolutions on a hierarchy of its graph.

Chen 2020, Sec. 4.3.2 and 5.3.2; Ge et al. 2019. The graph is that of any mesh; hierarchies come from `nets.graph_coarsening`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from phalanx.nets.graph import ChebyshevConvolution
from phalanx.nets.graph_coarsening import GraphLevel, pooled, through, upsampled


class MeshDecoder(nn.Module):
    """Vectors (B, inputs) to surfaces (B, N, 3).

    A linear layer makes the nodes of the coarsest graph. At every level follows a convolution, then each node's features are those of
    its cluster; the last convolution has three outputs, a vertex's coordinates.

    Args:
        levels: the graphs, finest first.
        inputs: length of the vectors.
        widths: features of a node at each level, coarsest first; as many as `levels`.
        order: of the convolutions.
    """

    def __init__(self, levels: Sequence[GraphLevel], inputs: int, widths: Sequence[int], order: int = 2) -> None:
        super().__init__()
        if len(widths) != len(levels):
            raise ValueError(f"MeshDecoder: {len(levels)} levels need as many widths, not {len(widths)}")
        coarse = list(reversed(levels))
        self.nodes, self.width = coarse[0].nodes, widths[0]
        self.linear = nn.Linear(inputs, self.nodes * self.width)
        before = [widths[0], *widths[:-1]]
        laplacians = [level.laplacian for level in coarse]
        self.convolutions = nn.ModuleList(
            ChebyshevConvolution(laplacian, wide, width, order)
            for laplacian, wide, width in zip(laplacians, before, widths, strict=True)
        )
        self.surface = ChebyshevConvolution(laplacians[-1], widths[-1], 3, order)
        nn.init.normal_(self.surface.weight, std=0.01)
        for number, level in enumerate(coarse[1:]):
            assert level.clusters is not None
            self.register_buffer(f"_clusters{number}", level.clusters, persistent=False)

    def forward(self, vector: Tensor) -> Tensor:
        x = functional.relu(self.linear(vector)).view(-1, self.nodes, self.width)
        for number, convolution in enumerate(self.convolutions):
            if number:
                x = upsampled(x, getattr(self, f"_clusters{number - 1}"))
            x = functional.relu(convolution(x))
        return self.surface(x)


class MeshReader(nn.Module):
    """Surfaces (B, N, 3) to values (B, outputs): two convolutions, a pooling behind each, two linear layers (Sec. 5.3.3 and 4.3.2).

    Args:
        levels: the graphs, finest first; the first pooling goes to the middle of them, the second to the last.
        outputs: values.
        width: features of a node.
        hidden: of the first linear layer.
        order: of the convolutions.
    """

    _up: Tensor
    _down: Tensor

    def __init__(
        self, levels: Sequence[GraphLevel], outputs: int, width: int = 16, hidden: int = 128, order: int = 2
    ) -> None:
        super().__init__()
        if len(levels) < 3:
            raise ValueError(f"MeshReader: three levels or more are needed, not {len(levels)}")
        middle = (len(levels) - 1) // 2
        self.first = ChebyshevConvolution(levels[0].laplacian, 3, width, order)
        self.second = ChebyshevConvolution(levels[middle].laplacian, width, width, order)
        self.counts = levels[middle].nodes, levels[-1].nodes
        self.register_buffer("_up", through(levels[: middle + 1]), persistent=False)
        self.register_buffer("_down", through(levels[middle:]), persistent=False)
        self.linear = nn.Sequential(
            nn.Linear(self.counts[1] * width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
        )

    def forward(self, surface: Tensor) -> Tensor:
        x = functional.relu(self.first(surface))
        x = pooled(x, self._up, self.counts[0])
        x = functional.relu(self.second(x))
        x = pooled(x, self._down, self.counts[1])
        return self.linear(x.flatten(1))
