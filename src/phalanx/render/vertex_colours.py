"""Colours of a mesh's vertices taken from a picture of it, and pictures of meshes so coloured.

What the camera does not see takes the colours of what lies next to it on the surface. Light and shade of the picture stay in the colours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from phalanx.render.mesh import barycentrics, depth, interpolate
from phalanx.render.visibility import project_vertices, visibility

BEHIND = 0.01
"""A vertex is seen if it lies at most this share of its distance behind what the picture shows there."""

SPREAD = 24
"""Edges that colours reach beyond what is seen; farther on there is their mean."""


def sampled_colours(
    images: Tensor, allowed: Tensor, vertices: Tensor, faces: Tensor, K: Tensor
) -> tuple[Tensor, Tensor]:
    """Colours (B, V, 3) that pictures have where vertices are, and whether each is seen (B, V).

    Args:
        images: (B, 3, H, W).
        allowed: (B, H, W), more than 0.5 where the picture shows the mesh and nothing else.
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3).
        K: (B, 3, 3).
    """
    height, width = images.shape[-2:]
    face_index = visibility(vertices, faces, K, height, width)
    shown = depth(vertices, faces, face_index, barycentrics(vertices, faces, K, face_index))  # (B, H, W)
    places = project_vertices(vertices, K)[..., :2]  # (B, V, 2) pixels
    grid = ((places + 0.5) / places.new_tensor([width, height]) * 2 - 1)[:, :, None]  # (B, V, 1, 2)
    own = (allowed > 0.5).to(images)[:, None]  # (B, 1, H, W)
    here, inside = functional.grid_sample(torch.cat((shown[:, None], own), 1), grid, "nearest", "zeros", False)[
        ..., 0
    ].unbind(1)
    seen = (here > 0) & (inside > 0.5) & (vertices[..., 2] <= (1 + BEHIND) * here)  # (B, V)
    painted = functional.grid_sample(torch.cat((images * own, own), 1), grid, "bilinear", "zeros", False)[..., 0]
    colours = painted[:, :3] / painted[:, 3:].clamp_min(
        1e-6
    )  # of pixels that are allowed, not of those beside the outline
    return colours.mT, seen


def spread_colours(colours: Tensor, seen: Tensor, edges: Tensor, steps: int = SPREAD) -> Tensor:
    """Colours (B, V, 3) of all vertices, out of those that are seen (B, V): the others take the mean of their neighbours, again and again.

    Args:
        colours: (B, V, 3).
        seen: (B, V) bool.
        edges: (E, 2), each once.
        steps: how often.
    """
    known = seen[..., None].to(colours)
    mean = (known * colours).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp_min(1)
    start, end = edges.unbind(1)
    to, of = torch.cat((start, end)), torch.cat((end, start))
    painted = torch.cat((colours, torch.ones_like(known)), -1) * known  # (B, V, 4) colour times share, share
    for _ in range(steps):
        around = torch.zeros_like(painted).index_add(1, to, painted[:, of])
        around = around / around[..., 3:].clamp_min(1e-6)
        painted = torch.where(seen[..., None] | (painted[..., 3:] > 0), painted, around)
    return torch.where(painted[..., 3:] > 0, painted[..., :3], mean)


def coloured_pictures(
    vertices: Tensor, faces: Tensor, K: Tensor, colours: Tensor, behind: Tensor
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) of coloured meshes before others, and what the mesh covers of each pixel (B, H, W); two by two points a pixel.

    Args:
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3).
        K: (B, 3, 3) cameras of the pictures.
        colours: (B, V, 3) of the vertices.
        behind: (B, 3, H, W) pictures to put behind.
    """
    height, width = behind.shape[-2:]
    finer = torch.tensor([[2.0, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]).to(K) @ K  # pixel centres are integers
    face_index = visibility(vertices, faces, finer, 2 * height, 2 * width)
    painted = interpolate(
        colours, faces, face_index, barycentrics(vertices, faces, finer, face_index)
    )  # (B, 2H, 2W, 3)
    covered = (face_index >= 0).to(painted)
    share = functional.avg_pool2d(covered[:, None], 2)  # (B, 1, H, W)
    own = functional.avg_pool2d(painted.permute(0, 3, 1, 2), 2)
    return own + (1 - share) * behind, share[:, 0]
