"""Differentiable depth maps of unions of spheres, seen along parallel rays.

Eq. 6-8 of Wan et al., "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019, Sec. 3.4.1. Frame: metres
from the centre of a cube of side `extent`, x right, y down, z away from the camera. The pixel in row i and column j of a map of S x S
is the line x = ((j + 0.5) / S - 0.5) * extent, y likewise from i.

Which sphere a pixel sees is discrete and is found first, without gradient (`sphere_index`); depth is then a smooth function of that one
sphere (`sphere_depth`). `sphere_depth_broadcast` is Eq. 6-8 as printed, every sphere at every pixel: what the other must agree with.

The paper leaves the derivative of the root in Eq. 6 as it is. It grows without bound towards a sphere's rim, where a single pixel would
outweigh all others, so the root that the derivative is divided by counts as `RIM` radii at least. Depth itself is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.render.visibility import spread_out

RIM = 0.2
"""Least height of a sphere's surface above its middle, as a share of the radius, in derivatives. What lies lower is turned away from
the rays by more than 78 degrees, where depth cameras see little, and is 4 % of the disc. No derivative by a coordinate or the radius
exceeds 1 / RIM = 5; summed over the disc, that by the radius loses a tenth."""

_SLACK = 0.01  # pixels that chords are looked at beyond their ends, so that rounding loses none


def sphere_depth(centres: Tensor, radii: Tensor, size: int, extent: float, far: float | None = None) -> Tensor:
    """Depth map of spheres: z of the surface nearest to the camera.

    Args:
        centres: (B, N, 3) metres. Spheres with a coordinate that is not finite are left out.
        radii: (N,) or (B, N) metres; likewise, and those that are not positive.
        size: S, pixels a side.
        extent: side of the cube in metres.
        far: what pixels hold that see no sphere, in metres; None is extent / 2. What lies beyond is not seen.
    Returns:
        (B, S, S) metres, float32 or float64 with the centres; differentiable with respect to centres and radii but for the spheres'
        outlines: a pixel that sees nothing has no gradient.
    Raises:
        ValueError: for arguments of other shapes.
    """
    return depth_of_winners(centres, radii, sphere_index(centres, radii, size, extent, far), extent, far)


def depth_of_winners(
    centres: Tensor, radii: Tensor, winners: Tensor, extent: float, far: float | None = None
) -> Tensor:
    """`sphere_depth` where it is known which sphere each pixel sees: `winners` (B, S, S), as `sphere_index` gives them."""
    centres, radii, far = _arguments(centres, radii, extent, far)
    size, index = winners.shape[-1], winners.flatten()  # (B*S*S,)
    pixel = (index >= 0).nonzero()[:, 0]  # (P,) the pixels that see a sphere
    number = _pick(index, pixel) + pixel // (size * size) * centres.shape[1]  # (P,) in the flattened batch
    lines = _lines(size, extent, centres)
    column, row = _pick(lines, pixel % size), _pick(lines, pixel // size % size)
    sphere = _pick(torch.cat((centres, radii[..., None]), dim=-1).flatten(0, 1), number)  # (P, 4)
    x, y, z, r = sphere.unbind(-1)
    depth = z - _height(r.square() - _squared_distance(x, y, column, row), r)  # Eq. 6 of the sphere that Eq. 8 takes
    empty = depth.new_full((len(index),), far)
    return empty.index_copy(0, pixel, depth).reshape(-1, size, size)


def sphere_depth_broadcast(
    centres: Tensor, radii: Tensor, size: int, extent: float, far: float | None = None
) -> Tensor:
    """`sphere_depth` as the paper has it, readable and slow: every sphere is drawn over the whole map."""
    centres, radii, far = _arguments(centres, radii, extent, far)
    lines = _lines(size, extent, centres)
    x, y, z = centres[..., None, None].unbind(2)  # (B, N, 1, 1)
    r = radii[..., None, None]
    square = r.square() - _squared_distance(x, y, lines, lines[:, None])  # (B, N, S, S)
    surface = z - _height(square, r)
    drawn = torch.where(
        (square >= 0) & (surface < far) & _usable(centres, radii)[..., None, None], surface, far
    )  # Eq. 6
    return drawn.min(1).values  # Eq. 8; of equals one has the gradient, as in `sphere_depth`


@torch.no_grad()
def sphere_index(centres: Tensor, radii: Tensor, size: int, extent: float, far: float | None = None) -> Tensor:
    """Which sphere each pixel of `sphere_depth` sees, (B, S, S) int64, -1 = none; of equally near ones the first.

    Not differentiable. Spheres are spread out into the rows of pixels that cross them, and rows into pixels, as flat lists, so that the
    work is that of the pixels covered; it takes about 80 bytes for each.
    """
    centres, radii, far = _arguments(centres, radii, extent, far)
    batch, spheres = centres.shape[:2]
    x, y, z = centres.flatten(0, 1).unbind(-1)  # (B*N,)
    r = radii.flatten()
    lines, pixels = _lines(size, extent, centres), size / extent  # pixels a metre
    first, rows = _span(y, r, _usable(centres, radii).flatten(), size, pixels)
    owner, step = spread_out(rows)  # (R,) which sphere, and which of its rows
    row = _pick(first, owner) + step
    vertical = (_pick(lines, row) - _pick(y, owner)).square()
    chord = (_pick(r, owner).square() - vertical).clamp_min(0).sqrt()  # half of it
    first, columns = _span(_pick(x, owner), chord, torch.ones_like(chord, dtype=torch.bool), size, pixels)
    line, step = spread_out(columns)  # (Q,) which of these rows, and which of its pixels
    column = _pick(first, line) + step
    sphere = _pick(owner, line)
    square = _pick(r.square(), sphere) - ((_pick(lines, column) - _pick(x, sphere)).square() + _pick(vertical, line))
    surface = torch.where(square >= 0, _pick(z, sphere) - square.clamp_min(0).sqrt(), far)
    pixel = _pick(owner // spheres * (size * size) + row * size, line) + column
    nearest = surface.new_full((batch * size * size,), far).scatter_reduce_(0, pixel, surface, "amin")
    seen = ((surface == _pick(nearest, pixel)) & (surface < far)).nonzero()[:, 0]
    index = torch.full((len(nearest),), spheres, dtype=torch.int64, device=centres.device)
    index.scatter_reduce_(0, _pick(pixel, seen), _pick(sphere, seen) % spheres, "amin")
    return torch.where(index < spheres, index, -1).reshape(batch, size, size)


def _arguments(centres: Tensor, radii: Tensor, extent: float, far: float | None) -> tuple[Tensor, Tensor, float]:
    """Centres (B, N, 3) and radii (B, N) of one type, float32 at least, and what stands where there is nothing."""
    if centres.ndim != 3 or centres.shape[-1] != 3 or radii.shape not in (centres.shape[:2], centres.shape[1:2]):
        raise ValueError(
            f"centres must be (B, N, 3), radii (N,) or (B, N), not {tuple(centres.shape)}, {tuple(radii.shape)}"
        )
    centres = centres.to(torch.promote_types(centres.dtype, torch.float32))
    return centres, radii.to(centres).expand(centres.shape[:2]), extent / 2 if far is None else far


def _usable(centres: Tensor, radii: Tensor) -> Tensor:
    """Which spheres (B, N) are finite, radii positive."""
    return centres.isfinite().all(-1) & radii.isfinite() & (radii > 0)


def _lines(size: int, extent: float, like: Tensor) -> Tensor:
    """Where the lines of pixels run, (S,) metres: the inverse projection of Eq. 7."""
    return ((torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size - 0.5) * extent


def _squared_distance(x: Tensor, y: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Squared distance of lines to centres."""
    return (column - x).square() + (row - y).square()  # Eq. 7, squared


def _height(square: Tensor, radius: Tensor) -> Tensor:
    """Root of `square`, 0 where it is negative, with the derivative bounded as `RIM` says."""
    height = square.detach().clamp_min(0).sqrt()
    slope = 0.5 / torch.maximum(height, RIM * radius.detach())
    return height + slope * (square - square.detach())


def _span(centre: Tensor, half: Tensor, usable: Tensor, size: int, pixels: float) -> tuple[Tensor, Tensor]:
    """First pixel, and how many, that the lengths of `centre` +- `half` metres cover; none where not `usable`."""
    middle, half = centre * pixels + (size - 1) / 2, half * pixels + _SLACK
    first = (middle - half).clamp(0, size).ceil()
    count = (middle + half).clamp(-1, size - 1).floor() - first + 1
    return first.to(torch.int64), torch.where(usable, count.clamp_min(0), 0).to(torch.int64)


def _pick(array: Tensor, index: Tensor) -> Tensor:
    """`array[index]` along the first dimension, at a fraction of its time."""
    return array.index_select(0, index)
