"""Losses on the surface of a mesh."""

from __future__ import annotations

import torch
from torch import Tensor


def neighbour_offsets(vertices: Tensor, edges: Tensor) -> Tensor:
    """The uniform Laplacian (B, V, 3): where the neighbours of each vertex have their mean, from the vertex; 0 without neighbours.

    Args:
        vertices: (B, V, 3).
        edges: (E, 2), each once.
    """
    start, end = edges.unbind(1)
    ends = torch.cat((start, end))
    sums = torch.zeros_like(vertices).index_add(1, ends, vertices[:, torch.cat((end, start))])
    count = torch.zeros_like(vertices[0, :, 0]).index_add(0, ends, torch.ones_like(ends, dtype=vertices.dtype))
    return torch.where(count[:, None] > 0, sums / count.clamp_min(1)[:, None] - vertices, 0.0)


def curvature(vertices: Tensor, edges: Tensor) -> Tensor:
    """(B, V) how far each vertex of `vertices` (B, V, 3) is from its neighbours' mean; turning the mesh changes nothing."""
    return (neighbour_offsets(vertices, edges).square().sum(-1) + 1e-12).sqrt()


def bent_surface(vertices: Tensor, edges: Tensor, rest: Tensor) -> Tensor:
    """(B,) by how much meshes are more or less curved than at rest: the mean over vertices of the squared change, in lengths of an edge.

    Args:
        vertices: (B, V, 3) metres.
        edges: (E, 2), each once.
        rest: (V, 3) metres, the mesh at rest.
    """
    start, end = edges.unbind(1)
    length = (rest[start] - rest[end]).norm(dim=-1).mean()
    change = curvature(vertices, edges) - curvature(rest[None], edges)
    return (change / length).square().mean(1)
