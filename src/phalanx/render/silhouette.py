"""The share of each pixel that a mesh covers, with gradients that move its outline.

Visibility at pixel centres is a staircase without gradients. Between a covered pixel and an empty neighbour runs the
outline; where it crosses the segment between the two centres says how much of either pixel is covered, and is a smooth
function of the vertices (the idea of Laine et al., "Modular primitives for high-performance differentiable
rendering", SIGGRAPH Asia 2020, section 3.4; here the outline's edges look for pixel pairs, not pixels for edges, so
that triangles smaller than a pixel lose nothing).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from phalanx.render.visibility import project_vertices, spread_out


class MeshEdges(NamedTuple):
    """The E edges of a mesh."""

    ends: Tensor  # (E, 2) vertex indices, the lower first
    faces: Tensor  # (E, 2) the triangles on either side; one twice where there are not two
    senses: Tensor  # (E, 2) +1 where the triangle runs along the edge from the lower index, -1 against; 0 if not two


def mesh_edges(faces: Tensor) -> MeshEdges:
    """The edges of a mesh with faces (F, 3). Worth keeping when many pictures of it are made."""
    faces = faces.to(torch.int64)
    start = faces.reshape(-1)  # (3F,)
    end = faces.roll(-1, 1).reshape(-1)
    face = torch.arange(len(faces), device=faces.device).repeat_interleave(3)
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    vertices = int(faces.max()) + 1 if len(faces) else 1
    key, order = (low * vertices + high).sort(stable=True)
    key, counts = torch.unique_consecutive(key, return_counts=True)
    first = order[counts.cumsum(0) - counts]  # (E,)
    second = order[counts.cumsum(0) - 1]
    pair = torch.stack((first, second), dim=-1)  # (E, 2)
    senses = torch.where(start[pair] == low[pair], 1, -1) * (counts == 2)[:, None]
    return MeshEdges(torch.stack((key // vertices, key % vertices), dim=-1), face[pair], senses)


def soft_silhouette(
    vertices: Tensor, faces: Tensor, K: Tensor, face_index: Tensor, edges: MeshEdges | None = None
) -> Tensor:
    """Share of each pixel that the mesh covers.

    Args:
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3).
        K: (B, 3, 3) or (3, 3) pinhole camera.
        face_index: (B, H, W) from `visibility` of the same mesh.
        edges: `mesh_edges(faces)`, found anew when None.
    Returns:
        coverage: (B, H, W) in [0, 1], differentiable with respect to the vertices and K. Gradients reach one pixel
            from the outline: for larger moves compare blurred pictures, coarse to fine.
    """
    edges = mesh_edges(faces) if edges is None else edges
    screen = project_vertices(vertices, K)  # (B, V, 3)
    with torch.no_grad():
        batch, edge = _outline_edges(screen, faces.to(torch.int64), edges).nonzero().unbind(-1)  # (M,)
    ends = edges.ends[edge]  # (M, 2)
    segments = screen[batch[:, None], ends, :2]  # (M, 2, 2): end, (x, y)
    covered = face_index >= 0
    across = _pair_coverage(batch, segments, covered)
    down = _pair_coverage(batch, segments.flip(-1), covered.transpose(1, 2)).transpose(1, 2)
    return (covered.to(across) + across + down).clamp(0, 1)


def _outline_edges(screen: Tensor, faces: Tensor, edges: MeshEdges) -> Tensor:
    """Which edges (B, E) fold over or end the surface as the camera sees it."""
    u, v, inverse_depth = screen.unbind(-1)  # (B, V)
    fu, fv = u[:, faces], v[:, faces]  # (B, F, 3)
    area = (fu[..., 1] - fu[..., 0]) * (fv[..., 2] - fv[..., 0]) - (fv[..., 1] - fv[..., 0]) * (fu[..., 2] - fu[..., 0])
    sides = area.sign()[:, edges.faces] * edges.senses  # (B, E, 2): on which side of the edge each triangle lies
    in_front = (inverse_depth[:, edges.ends] > 0).all(-1)
    return in_front & (sides.prod(-1) >= 0)


def _pair_coverage(batch: Tensor, segments: Tensor, covered: Tensor) -> Tensor:
    """What outline segments nearer to vertical than to horizontal add to pixels of horizontal pairs.

    Args:
        batch: (M,) picture of each segment. segments: (M, 2, 2) ends, (x, y). covered: (B, H, W) bool.
    Returns:
        (B, H, W): negative inside the outline, positive outside.
    """
    pictures, height, width = covered.shape
    change = segments.new_zeros(covered.shape)
    if width < 2 or len(segments) == 0:
        return change
    with torch.no_grad():
        run = segments[:, 1] - segments[:, 0]
        low, high = segments[..., 1].min(-1).values, segments[..., 1].max(-1).values
        first = low.clamp(0, height).ceil().to(torch.int64)
        last = high.clamp(-1, height - 1).floor().to(torch.int64)
        steep = (run[:, 1].abs() >= run[:, 0].abs()) & (run[:, 1] != 0)
        segment, step = spread_out(torch.where(steep, (last - first + 1).clamp_min(0), 0))  # (N,)
        y = first[segment] + step
    start, end = segments[segment].unbind(1)  # (N, 2)
    crossing = start[:, 0] + (y - start[:, 1]) * ((end - start)[:, 0] / (end - start)[:, 1])  # (N,) x at row y
    with torch.no_grad():
        left = crossing.clamp(-2, width).floor().to(torch.int64)
        inside = (left >= 0) & (left < width - 1)
        row = (batch[segment] * height + y) * width
        left_covered = covered.reshape(-1)[row + left.clamp(0, width - 2)]
        right_covered = covered.reshape(-1)[row + left.clamp(0, width - 2) + 1]
        keep = (inside & (left_covered != right_covered)).nonzero()[:, 0]
    # how far the surface reaches from the covered centre to the empty one; the farthest edge is the outline
    reach = torch.where(left_covered, crossing - left, left + 1 - crossing)[keep]  # (P,) in [0, 1]
    pair = (row + left)[keep]
    half = segments.new_full((pictures * height * width,), 0.5)
    reach = half.scatter_reduce(0, pair, reach, "amax", include_self=False).reshape(covered.shape)[..., :-1] - 0.5
    left_change = torch.where(covered[..., :-1], reach.clamp_max(0), reach.clamp_min(0))
    right_change = torch.where(covered[..., 1:], reach.clamp_max(0), reach.clamp_min(0))
    pad = torch.nn.functional.pad
    return pad(left_change, (0, 1)) + pad(right_change, (1, 0))
