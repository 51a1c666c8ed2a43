"""Depth maps cut out by a cube round the hand, as the community's protocols for depth do it (Tompson et al. 2014; Oberweger et al. 2015).

**The cube frame**: metres from the cube's middle, along the camera's axes (x right, y down, z away from the camera). A map of it is
orthographic: row i, column j of S x S cells is the line x = ((j + 0.5) / S - 0.5) extent, y likewise from i. It holds z in that frame;
`extent / 2`, the cube's back, where there is no surface.

Crops of the camera's picture are central projections, in which a hand's near parts are too large by up to a seventh. Here the
measured points are put into the cube one by one, so that orthographic drawing (Wan et al. 2019, Eq. 6-8) fits them exactly,
and views differ by rigid motions alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EXTENT = 0.3
"""Side of the cube round a hand, metres (300 mm in the NYU protocol)."""

_NEAR_LAYER = 0.12  # metres: how thick the layer from the nearest point on is that a hand is first looked for in
_NEAREST_SHARE = 0.01  # of the readings; as many may be wrong and too near
_FARTHEST = 1.2  # metres behind the nearest thing that a hand is looked for at the most
_NEARER = 2.0  # neighbours that a metre of distance counts for
_CELL = 0.1  # metres: side of the cells of space that are looked into
_LEAST_POINTS = 12  # that a cell must have
_ROUNDS = 6  # steps of the search for the middle


def depth_to_points(depth: Tensor, K: Tensor) -> Tensor:
    """Points `(B, H, W, 3)` in metres of depth maps `(B, H, W)` seen by the cameras `K (B, 3, 3)`; where there is no reading, 0."""
    height, width = depth.shape[-2:]
    x = torch.arange(width, dtype=depth.dtype, device=depth.device)
    y = torch.arange(height, dtype=depth.dtype, device=depth.device)
    grid = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones_like(depth[0])], -1)  # (H, W, 3)
    rays = torch.einsum("bij,hwj->bhwi", torch.linalg.inv(K), grid)
    return rays * depth[..., None]


def nearest_hand(depth: Tensor, K: Tensor, extent: float = EXTENT) -> Tensor:
    """Middles `(B, 3)` in metres of the cubes round what is nearest to the camera in depth maps `(B, H, W)`, 0 = no reading.

    Begins with the nearest layer and moves, step by step, to the mean of the points in the cube. NaN where nothing is read.
    """
    points = depth_to_points(depth, K).flatten(1, 2)  # (B, P, 3)
    middles = []
    for near in points:
        near = near[near[:, 2] > 0]
        if not len(near):
            middles.append(points.new_full((3,), math.nan))
            continue
        first = _near_end(near[:, 2])
        middle = near[(near[:, 2] >= first) & (near[:, 2] <= first + _NEAR_LAYER)].mean(0)
        for _ in range(_ROUNDS):
            inside = ((near - middle).abs() <= 0.5 * extent).all(1)
            if not inside.any():
                break
            middle = near[inside].mean(0)
        middles.append(middle)
    return torch.stack(middles)


def cube_maps(depth: Tensor, K: Tensor, middles: Tensor, size: int, extent: float = EXTENT) -> Tensor:
    """What is read within cubes: orthographic maps `(B, size, size)` in the cube frame, from depth maps `(B, H, W)`, 0 = no reading.

    Each reading goes to its cell, the nearest of a cell stays; readings are split where they lie farther apart than cells, and
    cells between filled ones are filled.

    Args:
        K: `(B, 3, 3)`.
        middles: `(B, 3)` of the cubes, metres, camera frame.
    """
    batch, cell = len(depth), extent / size
    pitch = middles[:, 2] / torch.minimum(K[:, 0, 0], K[:, 1, 1])  # metres between readings at the middle
    split = int(min(max(math.ceil(float((1.1 * pitch / cell).nan_to_num(1.0).max())), 1), 4))
    if split > 1:
        depth = depth.repeat_interleave(split, 1).repeat_interleave(split, 2)
        scale = torch.tensor([float(split), float(split), 1.0], dtype=K.dtype, device=K.device)
        K = scale[:, None] * K
        K[:, :2, 2] += 0.5 * (split - 1)  # pixel centres are integers
    points = depth_to_points(depth, K).flatten(1, 2) - middles[:, None]  # (B, P, 3)
    place = ((points[..., :2] / extent + 0.5) * size).floor()
    inside = (depth.flatten(1) > 0) & (points[..., 2].abs() < 0.5 * extent)
    inside &= ((place >= 0) & (place < size)).all(-1)
    picture, point = inside.nonzero().unbind(1)
    column, row = place[picture, point].long().unbind(1)
    far = 0.5 * extent
    maps = torch.full((batch * size * size,), far, dtype=depth.dtype, device=depth.device)
    maps.scatter_reduce_(0, (picture * size + row) * size + column, points[picture, point, 2], "amin")
    return _without_pinholes(maps.view(batch, size, size), far)


def surface_points(depth: Tensor, K: Tensor, pitch: float) -> Tensor:
    """Points (P, 3) in metres of what is nearest in a depth map (H, W), 0 = no reading, and up to 1.2 m and a hand behind it.

    Readings that lie closer than `pitch` metres at the far end are thinned out; those that lie farther apart are split into four.
    """
    read = depth[depth > 0]
    if not len(read):
        return depth.new_zeros(0, 3)
    far = float(_near_end(read)) + _FARTHEST
    apart = far / float(torch.minimum(K[0, 0], K[1, 1]))
    step, split = max(1, int(pitch / apart)), 2 if apart > pitch else 1
    depth, K = depth[::step, ::step], K.new_tensor([1 / step, 1 / step, 1.0])[:, None] * K
    if split > 1:
        depth = depth.repeat_interleave(split, 0).repeat_interleave(split, 1)
        K = K.new_tensor([float(split), float(split), 1.0])[:, None] * K
        K[:2, 2] += 0.5 * (split - 1)  # pixel centres are integers
    points = depth_to_points(depth[None], K[None]).flatten(0, 2)
    return points[(points[:, 2] > 0) & (points[:, 2] < far + 0.5 * EXTENT)]


def maps_of_points(points: Tensor, middles: Tensor, size: int, extent: float) -> Tensor:
    """What of the same points (P, 3) lies in each of the cubes about `middles` (C, 3): maps (C, size, size) as `cube_maps` gives them."""
    far = 0.5 * extent
    maps = points.new_full((len(middles), size * size), far)
    for cells, middle in zip(maps, middles, strict=True):
        local = points
        for axis in (0, 1, 2):  # one after the other: few points are left for the second
            local = local[(local[:, axis] - middle[axis]).abs() < far]
        local = local - middle
        column, row = ((local[:, :2] / extent + 0.5) * size).floor().clamp_(0, size - 1).long().unbind(1)
        cells.scatter_reduce_(0, row * size + column, local[:, 2], "amin")
    return _without_pinholes(maps.view(-1, size, size), far)


def places_on(points: Tensor, most: int = 64) -> Tensor:
    """Points (C, 3) on what stands out among `points` (P, 3) in metres: where a hand may be.

    Means of the points in cells of space that lie up to `_FARTHEST` behind what is nearest. Of more than `most` of them those with the
    fewest neighbours at the side and in front, for hands are at ends of things, and the nearer ones.
    """
    if not len(points):
        return points
    points = points[points[:, 2] < _near_end(points[:, 2]) + _FARTHEST]
    x, y, z = ((points / _CELL).round().long() + 512).clamp_(1, 1022).unbind(1)
    # One number a cell sorts faster than three.
    cells, which, counts = ((x * 1024 + y) * 1024 + z).unique(return_inverse=True, return_counts=True)
    means = points.new_zeros(len(cells), 3).index_add_(0, which, points) / counts[:, None]
    around = points.new_zeros(len(cells))
    for across in (-1, 0, 1):
        for down in (-1, 0, 1):
            for towards in (0, 1):
                if (across, down, towards) != (0, 0, 0):
                    around += torch.isin(cells + (across * 1024 + down) * 1024 - towards, cells)
    enough = counts >= _LEAST_POINTS
    order = (around + _NEARER * means[:, 2])[enough].argsort()
    return means[enough][order[:most]]


def _near_end(distances: Tensor) -> Tensor:
    """How far away what is nearest among distances (P,) is; a few readings may be wrong and too near."""
    return torch.quantile(distances[:: len(distances) // 4096 + 1], _NEAREST_SHARE)


def _without_pinholes(maps: Tensor, far: float) -> Tensor:
    """Empty cells with surface on both sides, across or down, take the farther of the two."""
    padded = F.pad(maps[:, None], (1, 1, 1, 1), value=far)[:, 0]
    across = torch.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    down = torch.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    return torch.where(maps < far, maps, torch.minimum(across, down))
