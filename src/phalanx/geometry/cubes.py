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
_NEARER = 0.01  # metres of thickness that a metre of distance counts for
_CELL = 0.12  # metres: side of the cells of space that are looked into
_LEAST_POINTS = 12  # that a cell must have
_ENOUGH = 16_384  # points that tell where cells are and how thick
_ROUNDS = 6  # steps of the search for the middle
_CLOSE_ENOUGH = 0.8  # of a cell's side: readings that lie no farther apart than that leave no holes


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
    depth, K, far, split = _thinned(depth, K, pitch)
    if split > 1:
        depth = depth.repeat_interleave(split, 0).repeat_interleave(split, 1)
        K = K.new_tensor([float(split), float(split), 1.0])[:, None] * K
        K[:2, 2] += 0.5 * (split - 1)  # pixel centres are integers
    points = depth_to_points(depth[None], K[None]).flatten(0, 2)
    return points[(points[:, 2] > 0) & (points[:, 2] < far + 0.5 * EXTENT)]


def _thinned(depth: Tensor, K: Tensor, pitch: float) -> tuple[Tensor, Tensor, float, int]:
    """Every n-th reading of a depth map (H, W) with its camera, the distance of the far end, and into how many along each side to split."""
    read = depth[depth > 0]
    if not len(read):
        return depth[:0], K, 0.0, 1
    far = float(_near_end(read)) + _FARTHEST
    apart = far / float(torch.minimum(K[0, 0], K[1, 1]))
    step, split = max(1, int(pitch / apart)), 2 if apart > pitch else 1
    return depth[::step, ::step], K.new_tensor([1 / step, 1 / step, 1.0])[:, None] * K, far, split


def maps_of_points(points: Tensor, middles: Tensor, size: int, extent: float) -> Tensor:
    """What of the same points (P, 3) lies in each of the cubes about `middles` (C, 3): maps (C, size, size) as `cube_maps` gives them."""
    far = 0.5 * extent
    maps = points.new_full((len(middles), size * size), far)
    ordered = points.T.contiguous().index_select(1, points[:, 0].contiguous().argsort())
    first = torch.searchsorted(ordered[0], middles[:, 0].contiguous() - far).tolist()
    last = torch.searchsorted(ordered[0], middles[:, 0].contiguous() + far, right=True).tolist()
    for cells, middle, begin, end in zip(maps, middles, first, last, strict=True):
        some = ordered[:, begin:end]  # not far beside the middle: few, and at one place in memory
        inside = (some[0] - middle[0]).abs() < far
        for axis in (1, 2):
            inside &= (some[axis] - middle[axis]).abs() < far
        local = some.index_select(1, inside.nonzero()[:, 0]) - middle[:, None]
        column, row = ((local[:2] / extent + 0.5) * size).floor_().clamp_(0, size - 1).long()
        cells.scatter_reduce_(0, row * size + column, local[2], "amin")
    return _without_pinholes(maps.view(-1, size, size), far)


def turned_maps(
    depth: Tensor, K: Tensor, middles: Tensor, turns: Tensor, size: int, extent: float, pitch: float
) -> Tensor:
    """What of a depth map (H, W), 0 = no reading, lies in cubes about `middles` (C, 3), turned by `turns` (C, 3, 3): maps (C, size, size).

    They are those of `maps_of_points` of turned `surface_points`, but for edges: readings are split only where cells would stay empty.
    """
    depth, K, end, split = _thinned(depth, K, pitch)
    points = depth_to_points(depth[None], K[None]).flatten(0, 2)
    read = points[(points[:, 2] > 0) & (points[:, 2] < end + 0.5 * EXTENT)].T.contiguous()  # (3, P)
    far = 0.5 * extent
    reach = far * turns.abs().sum(1)  # (C, 3) half the sides of the upright boxes that hold the cubes
    beside = 0.25 / torch.stack([K[0, 0], K[1, 1]])  # of their depth lie split readings at the side
    four = torch.cat([torch.tensor([[-1, -1, 1, 1], [-1, 1, -1, 1]]) * beside[:, None], beside.new_zeros(1, 4)])[
        ..., None
    ]
    maps = points.new_full((len(middles), size * size), far)
    for cells, middle, turn, half in zip(maps, middles, turns, reach, strict=True):
        inside = (read[2] - middle[2]).abs() < half[2]
        for axis in (0, 1):
            inside &= (read[axis] - middle[axis]).abs() < half[axis]
        near = read.index_select(1, inside.nonzero()[:, 0])
        local = near - middle[:, None]
        if split > 1 and float(middle[2] + half[2]) > _CLOSE_ENOUGH * pitch * float(torch.minimum(K[0, 0], K[1, 1])):
            local = (local[:, None] + four * near[2]).flatten(1)
        local = turn @ local
        column, row = ((local[:2] / extent + 0.5) * size).floor_().clamp_(0, size - 1).long()
        within = local.abs().amax(0) < far if local.numel() else local[0] < far
        cells.scatter_reduce_(0, row * size + column, torch.where(within, local[2], far), "amin")
    return _without_pinholes(maps.view(-1, size, size), far)


def places_on(points: Tensor, most: int = 48) -> Tensor:
    """Points (C, 3) on what stands out among `points` (P, 3) in metres: where a hand may be.

    Means of the points in cells of space that lie up to `_FARTHEST` behind what is nearest. Of more than `most` of them the thickest, and
    the nearer ones: where a hand is, surface never lies in one plane, as walls, tables, trunks and thighs do within a cell.
    """
    if not len(points):
        return points
    points = points[points[:, 2] < _near_end(points[:, 2]) + _FARTHEST]
    step = len(points) // _ENOUGH + 1
    points = points[::step]
    middles = (points / _CELL).round()
    x, y, z = (middles.long() + 512).clamp_(1, 1022).unbind(1)
    # One number a cell sorts faster than three.
    _, which, counts = ((x * 1024 + y) * 1024 + z).unique(return_inverse=True, return_counts=True)
    beside = points - _CELL * middles  # or squares would lose what tells planes from what is nearly plane
    first, second = torch.tensor([0, 1, 2, 0, 0, 1]), torch.tensor([0, 1, 2, 1, 2, 2])
    values = torch.cat([points, beside, beside[:, first] * beside[:, second]], 1)
    enough = counts * step >= _LEAST_POINTS
    means = values.new_zeros(len(counts), 12).index_add_(0, which, values)[enough] / counts[enough, None]
    spread = means[:, 6:] - means[:, 3 + first] * means[:, 3 + second]
    thickness = torch.linalg.eigvalsh(spread[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]])[:, 0].clamp_min(0.0).sqrt()
    order = (thickness - _NEARER * means[:, 2]).argsort(descending=True)
    return means[order[:most], :3]


def _near_end(distances: Tensor) -> Tensor:
    """How far away what is nearest among distances (P,) is; a few readings may be wrong and too near."""
    return torch.quantile(distances[:: len(distances) // 4096 + 1], _NEAREST_SHARE)


def _without_pinholes(maps: Tensor, far: float) -> Tensor:
    """Empty cells with surface on both sides, across or down, take the farther of the two."""
    padded = F.pad(maps[:, None], (1, 1, 1, 1), value=far)[:, 0]
    across = torch.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    down = torch.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    return torch.where(maps < far, maps, torch.minimum(across, down))
