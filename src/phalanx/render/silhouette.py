"""The share of each pixel that a mesh covers, with gradients that move its outline.

Visibility at pixel centres is a staircase without gradients. Between a covered pixel and an empty neighbour runs the
outline; where it passes between the two says how much of either pixel is covered, and is a smooth function of the
vertices (the idea of Laine et al., "Modular primitives for high-performance differentiable rendering", SIGGRAPH Asia
2020, section 3.4; here the outline's edges look for pixel pairs along several lines a pixel, not pixels for edges, so
that triangles smaller than a pixel lose nothing and the gradient is spread rightly over the vertices).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from phalanx.render.visibility import project_vertices, spread_out

_LINES = 4  # scan lines a pixel


class MeshEdges(NamedTuple):
    """The E edges of a mesh."""

    ends: Tensor  # (E, 2) vertex indices, the lower first
    faces: Tensor  # (E, 2) the triangles at it; one twice at a border
    senses: Tensor  # (E, 2) +1 where the triangle runs along the edge from the lower index, -1 against; 0 for over two


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
    senses = torch.where(start[pair] == low[pair], 1, -1) * (counts <= 2)[:, None]
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
            from the outline: for larger moves compare blurred pictures, coarse to fine. The mean error of pixels on
            the outline is below 0.01 for plain bodies and 0.02 to 0.03 for a hand in 48 to 96 pixels. Where the outline
            turns from steep to shallow within a pixel an error may reach 0.25, and where a finger, or the gap between
            two, is narrower than a pixel and passes between the centres, 0.6.
    """
    edges = mesh_edges(faces) if edges is None else edges
    screen = project_vertices(vertices, K)  # (B, V, 3)
    with torch.no_grad():
        is_outline, side = _outline_edges(screen, faces.to(torch.int64), edges)
        picture, edge = is_outline.nonzero().unbind(-1)  # (M,)
        side = side[picture, edge]
    segments = screen[picture[:, None], edges.ends[edge], :2]  # (M, 2, 2): end, (x, y)
    covered = face_index >= 0
    across = _outline_change(picture, segments, side, covered)
    down = _outline_change(picture, segments.flip(-1), -side, covered.transpose(1, 2)).transpose(1, 2)
    return (covered.to(across) + across + down).clamp(0, 1)


def _outline_edges(screen: Tensor, faces: Tensor, edges: MeshEdges) -> tuple[Tensor, Tensor]:
    """Which edges fold over or end the surface as the camera sees it, and on which side of them it lies.

    Returns:
        is_outline: (B, E) bool.
        side: (B, E), the sign of cross(run, p - start) for points p of the surface beside the edge, which runs from
            the lower to the higher index; 0 where unknown.
    """
    u, v, inverse_depth = screen.unbind(-1)  # (B, V)
    u, v = u[:, faces], v[:, faces]  # (B, F, 3)
    area = (u[..., 1] - u[..., 0]) * (v[..., 2] - v[..., 0]) - (v[..., 1] - v[..., 0]) * (u[..., 2] - u[..., 0])
    sides = area.sign()[:, edges.faces] * edges.senses  # (B, E, 2)
    in_front = (inverse_depth[:, edges.ends] > 0).all(-1)
    return in_front & (sides.prod(-1) >= 0), sides.sum(-1).sign()


def _outline_change(picture: Tensor, segments: Tensor, side: Tensor, covered: Tensor) -> Tensor:
    """What outline segments steeper than 45 degrees change in the coverage of the pixels beside them.

    Along each of a row's `_LINES` scan lines, the outline crosses at x between a covered pixel centre p and an empty
    one, p + 1 (or p - 1). Its reach x - p from the covered centre takes 0.5 - reach from the covered pixel, or gives
    reach - 0.5 to the empty one, for that share of the row. A steep outline that passes between two centres in the
    middle of the row is never more than half a pixel beyond them elsewhere in the row.

    Args:
        picture: (M,) index of each segment's picture.
        segments: (M, 2, 2) ends, (x, y) in pixels.
        side: (M,) as of `_outline_edges`.
        covered: (B, H, W) bool.
    Returns:
        (B, H, W): negative where covered, positive where not.
    """
    height, width = covered.shape[1:]
    change = segments.new_zeros(covered.numel())
    with torch.no_grad():
        run = segments[:, 1] - segments[:, 0]
        lines = (segments[..., 1] + 0.5) * _LINES - 0.5  # in lines from the top of the picture
        first = lines.amin(1).clamp(0, height * _LINES).ceil().to(torch.int64)
        last = lines.amax(1).clamp(-1, height * _LINES - 1).floor().to(torch.int64)
        steep = (run[:, 1].abs() >= run[:, 0].abs()) & (run[:, 1] != 0)
        segment, step = spread_out(torch.where(steep, (last - first + 1).clamp_min(0), 0))  # (N,)
        line = first[segment] + step
        y = (line + 0.5) / _LINES - 0.5
        inner = (side * run[:, 1].sign())[segment]  # +1 where the surface is left of the segment, -1 right
    (start_x, start_y), (end_x, end_y) = (end.unbind(-1) for end in segments[segment].unbind(1))  # (N,)
    crossing = start_x + (y - start_y) * (end_x - start_x) / (end_y - start_y)  # (N,) x on the line

    with torch.no_grad():
        row = (picture[segment] * height + line // _LINES) * width  # the row's first pixel in the flat picture
        flat = covered.reshape(-1)
        middle = crossing.clamp(-2, width + 1).floor().to(torch.int64)
        beside = torch.where(crossing - middle < 0.5, middle - 1, middle + 1)
        left, found = middle, torch.zeros_like(steep[segment])
        for candidate in (middle, beside):  # pixel pair (candidate, candidate + 1)
            in_picture = (candidate >= 0) & (candidate < width - 1)
            at = row + candidate.clamp(0, max(width - 2, 0))
            left_in, right_in = flat[at], flat[(at + 1).clamp_max(len(flat) - 1)]
            fits = in_picture & (left_in != right_in) & ((inner == 0) | ((inner > 0) == left_in))
            left = torch.where(fits & ~found, candidate, left)
            found |= fits
        keep = found.nonzero()[:, 0]
        left = left[keep]
        is_left = flat[row[keep] + left]  # the covered pixel of the pair
        # segments that compete for one pair on one line: the farthest reaching is the outline
        key = (line[keep] % _LINES) + _LINES * (row[keep] + left)
        pairs, competitor = torch.unique(key, return_inverse=True)
        pair = pairs // _LINES
        covered_pixel = torch.where(flat[pair], pair, pair + 1)
        empty_pixel = torch.where(flat[pair], pair + 1, pair)
    reach = torch.where(is_left, crossing[keep] - left, left + 1 - crossing[keep])
    reach = reach.new_zeros(len(pairs)).scatter_reduce(0, competitor, reach, "amax", include_self=False)
    beyond = (reach - 0.5) / _LINES
    change = change.index_add(0, covered_pixel, beyond.clamp_max(0)).index_add(0, empty_pixel, beyond.clamp_min(0))
    return change.reshape(covered.shape)
