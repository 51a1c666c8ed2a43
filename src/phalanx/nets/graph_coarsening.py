"""From a fine graph to coarse ones and back: pairs of nodes by heavy-edge matching, pooling, and upsampling by the stored pairs.

Karypis and Kumar 1998 and Dhillon et al. 2007 (Graclus), as Defferrard et al. 2016 coarsen graphs for convolutions: from each node
that has no partner yet, to the neighbour without one to which `w_ij (1 / d_i + 1 / d_j)` is largest. Their fake nodes, which make
every cluster a pair so that pooling is one of neighbours in memory, are not needed here: each level stores the cluster of every node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from phalanx.nets.graph import adjacency, scaled_laplacian


@dataclass(frozen=True)
class GraphLevel:
    """A graph of a hierarchy."""

    nodes: int
    edges: Tensor
    """(E, 2), each once."""
    weights: Tensor
    """(E,): of an edge between clusters, the sum over the edges that it stands for."""
    clusters: Tensor | None = None
    """(N,) number of each node in the next coarser graph; None: there is none."""

    @cached_property
    def laplacian(self) -> Tensor:
        """As `nets.graph.scaled_laplacian` gives it."""
        return scaled_laplacian(adjacency(self.nodes, self.edges, self.weights))


def hierarchy(nodes: int, edges: Tensor, coarser: int) -> list[GraphLevel]:
    """A graph of `nodes` with `edges` (E, 2) of weight 1, and `coarser` graphs of it, each about half as large; the finest first."""
    levels: list[GraphLevel] = []
    weights = torch.ones(len(edges), dtype=torch.float64)
    for _ in range(coarser):
        clusters = matching(nodes, edges, weights)
        levels.append(GraphLevel(nodes, edges, weights, clusters))
        nodes, (edges, weights) = int(clusters.max()) + 1, merged(edges, weights, clusters)
    return [*levels, GraphLevel(nodes, edges, weights)]


def matching(nodes: int, edges: Tensor, weights: Tensor) -> Tensor:
    """Clusters (N,) of one node or two neighbours each, numbered from 0: a matching to which no edge can be added.

    Nodes ask in the order of their degrees, the smallest first, and of their numbers: those with few neighbours soon find none.
    """
    degrees = np.zeros(nodes)
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(nodes)]
    for (first, second), weight in zip(edges.tolist(), weights.tolist(), strict=True):
        neighbours[first].append((second, weight))
        neighbours[second].append((first, weight))
        degrees[first] += weight
        degrees[second] += weight
    clusters = np.full(nodes, -1)
    count = 0
    for node in np.argsort(degrees, kind="stable").tolist():
        if clusters[node] >= 0:
            continue
        free = [
            (weight * (1 / degrees[node] + 1 / degrees[other]), -other)
            for other, weight in neighbours[node]
            if clusters[other] < 0
        ]
        clusters[node] = count
        if free:
            clusters[-max(free)[1]] = count
        count += 1
    return torch.from_numpy(clusters)


def merged(edges: Tensor, weights: Tensor, clusters: Tensor) -> tuple[Tensor, Tensor]:
    """Edges (E', 2) between clusters and their weights (E',), of edges (E, 2) and weights (E,) between nodes."""
    ends = clusters[edges].sort(dim=1).values
    between = ends[:, 0] != ends[:, 1]
    found, number = ends[between].unique(dim=0, return_inverse=True)
    return found, torch.zeros(len(found), dtype=weights.dtype).index_add_(0, number, weights[between])


def pooled(features: Tensor, clusters: Tensor, count: int) -> Tensor:
    """The largest of each cluster's features: (B, N, F) to (B, count, F)."""
    batch, _, width = features.shape
    index = clusters[None, :, None].expand(batch, -1, width)
    empty = features.new_full((batch, count, width), -torch.inf)
    return empty.scatter_reduce(1, index, features, reduce="amax")


def upsampled(features: Tensor, clusters: Tensor) -> Tensor:
    """Each node with the features of its cluster: (B, count, F) to (B, N, F)."""
    return features[:, clusters]


def through(levels: Sequence[GraphLevel]) -> Tensor:
    """The node (N,) of the coarsest graph that each node of the finest belongs to."""
    found = torch.arange(levels[0].nodes)
    for level in levels[:-1]:
        assert level.clusters is not None
        found = level.clusters[found]
    return found
