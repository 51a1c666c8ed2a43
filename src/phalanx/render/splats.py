"""Differentiable depth maps of clouds of points, each drawn as a soft round splat, seen along parallel rays.

Eq. 2-4 of Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPR Workshops 2018, Sec. 3.3. Points lie in
the unit cube, x right, y down, z away from the camera; the pixel in row i and column j of a map of S x S is the line
x = (j + 0.5) / S, y = (i + 0.5) / S. The print measures dist in pixels and points in [0, 1]; here both are in sides of the cube.

A map holds 1 - z times the splat's height, the largest of all points: 1 is nearest to the camera, 0 is nothing. A splat's height falls from
1 at its middle to 0 at its rim, with slope 0 at both, so that maps are continuously differentiable wherever one point wins; where two
points are equal, the one with the lower index has the gradient. Points at z of 1 or more are not seen.

Which point a pixel sees is discrete and is found first, without gradient (`splat_index`), by a Warp kernel or its torch twin; the map is
then a smooth function of that one point (`splat_depth`). Both backends do the same float32 operations in the same order, so that they
agree pixel for pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.render.visibility import Backend, spread_out, warp_serves


def splat_depth(points: Tensor, size: int, radius: float, backend: Backend | None = None) -> Tensor:
    """Depth maps of clouds, Eq. 2.

    Args:
        points: (B, N, 3) in the unit cube; what lies beyond its sides is drawn as far as it reaches into the map. Points with a
            coordinate that is not finite are left out.
        size: S, pixels a side.
        radius: r of Eq. 4, in sides of the cube.
        backend: "warp" or "torch"; None takes Warp where it is installed and runs on the points' device.
    Returns:
        (B, S, S), 0 where nothing is seen; of the points' type, float32 at least. Differentiable with respect to the points, but for
        which of them is seen.
    Raises:
        ValueError: for points of another shape, a radius or size that is not positive, or an unknown backend.
    """
    return depth_of_winners(points, splat_index(points, size, radius, backend), radius)


def depth_of_winners(points: Tensor, winners: Tensor, radius: float) -> Tensor:
    """`splat_depth` where it is known which point each pixel sees: `winners` (B, S, S), as `splat_index` gives them."""
    points = points.to(torch.promote_types(points.dtype, torch.float32))
    size, index = winners.shape[-1], winners.flatten()  # (B*S*S,)
    pixel = (index >= 0).nonzero()[:, 0]  # (P,) the pixels that see a point
    number = index.index_select(0, pixel) + pixel // (size * size) * points.shape[1]  # (P,) in the flattened batch
    x, y, z = points.flatten(0, 1).index_select(0, number).unbind(-1)
    lines = (torch.arange(size, dtype=points.dtype, device=points.device) + 0.5) / size
    column, row = lines.index_select(0, pixel % size), lines.index_select(0, pixel // size % size)
    squared = (column - x).square() + (row - y).square()
    seen = (1 - z) * (1 - squared / radius**2).square()  # Eq. 3 and 4 of the point that Eq. 2 takes
    return points.new_zeros(len(index)).index_copy(0, pixel, seen).reshape(winners.shape)


@torch.no_grad()
def splat_index(points: Tensor, size: int, radius: float, backend: Backend | None = None) -> Tensor:
    """Which point each pixel of `splat_depth` sees, (B, S, S) int32, -1 = none; of equals the first. Not differentiable."""
    if points.ndim != 3 or points.shape[-1] != 3 or size < 1 or not radius > 0:
        raise ValueError(
            f"points must be (B, N, 3), size and radius positive, not {tuple(points.shape)}, {size}, {radius}"
        )
    if backend is None:
        backend = "warp" if warp_serves(points.device) else "torch"
    screen = points.float().contiguous()
    keys = torch.zeros(len(points), size, size, dtype=torch.int64, device=points.device)
    if screen.numel() == 0:
        pass
    elif backend == "warp":
        from phalanx.render.splats_warp import fill_splats  # here, because importing Warp is slow

        fill_splats(screen, keys, radius)
    elif backend == "torch":
        fill_splats_torch(screen, keys, radius)
    else:
        raise ValueError(f"backend must be 'warp', 'torch' or None, not {backend!r}")
    return torch.where(keys > 0, LAST - (keys & LAST), -1).to(torch.int32)


LAST = 0x7FFFFFFF
"""A key holds the bits of the height, a positive float that sorts like them, above this less the point's number: the largest wins, and
of equals the first."""


def fill_splats_torch(points: Tensor, keys: Tensor, radius: float) -> None:
    """Raise the keys (B, S, S) int64, in place, to those of the points (B, N, 3) float32 in front.

    Points are spread out into the pixels of the squares round their splats as a flat list.
    """
    count, size = points.shape[1], keys.shape[-1]
    x, y, z = points.flatten(0, 1).unbind(-1)  # (B*N,)
    usable = (z < 1) & (x.abs() < torch.inf) & (y.abs() < torch.inf) & (z > -torch.inf)
    (left, columns), (top, rows) = _span(x, radius, size), _span(y, radius, size)
    point, step = spread_out(torch.where(usable, columns * rows, 0))  # (Q,) which point, and which pixel of its square
    width = columns.index_select(0, point)
    column, row = left.index_select(0, point) + step % width, top.index_select(0, point) + step // width
    x, y, z = (value.index_select(0, point) for value in (x, y, z))
    height = _height(x, y, z, column, row, size, radius)
    key = (height.view(torch.int32).long() << 32) | (LAST - point % count)
    pixel = (point // count * size + row) * size + column
    keys.view(-1).scatter_reduce_(0, pixel, torch.where(height > 0, key, 0), "amax")


def _span(middle: Tensor, radius: float, size: int) -> tuple[Tensor, Tensor]:
    """First pixel, and how many, that `middle` +- `radius` may cover."""
    first = ((middle - radius) * size - 0.5).nan_to_num().floor().clamp(0, size).long()
    last = ((middle + radius) * size - 0.5).nan_to_num().ceil().clamp(-1, size - 1).long()
    return first, (last - first + 1).clamp_min(0)


def _height(x: Tensor, y: Tensor, z: Tensor, column: Tensor, row: Tensor, size: int, radius: float) -> Tensor:
    """Eq. 3 and 4, 0 beyond the rim: operation by operation what the kernel does."""
    across, down = (column.float() + 0.5) / size - x, (row.float() + 0.5) / size - y
    inside = 1.0 - (across * across + down * down) * (1.0 / radius**2)
    return torch.where(inside > 0, (1.0 - z) * (inside * inside), 0.0)
