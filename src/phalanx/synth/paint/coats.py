"""Coats of what hands wear, put on surfaces and on pictures of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from phalanx.geometry.point_lists import places
from phalanx.synth.paint.worn import Item, fingers_of_texels, places_of_texels, places_of_vertices

_STEEPEST = 0.8  # metres of height per unit of UV: seams of the texture have no slope


def heights(items: Sequence[Item], sleeved: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each item that the mesh can show: the vertices that it covers, by number (N,), and the metres (N,) by which it stands off.

    Args:
        items: what one hand wears.
        sleeved: (V,) 1 where a sleeve covers it, else 0.
    """
    at = places_of_vertices(sleeved.device)
    for item in items:
        if not item.on_mesh:
            continue
        which = places(item.where(at))
        if len(which):
            coat = item.coat(at.chosen(which))
            seen = 1.0 if item.over_sleeve else 1.0 - sleeved.index_select(0, which)
            yield which, coat.cover * coat.height * seen


def paint_coats(
    items: Sequence[Item],
    own: Tensor,
    albedo: Tensor,
    shine: Tensor,
    slope: Tensor,
    relief: Tensor,
    cloth: Tensor,
    texel: Tensor,
    side: int,
    grain: float,
) -> None:
    """Paint what one hand wears on its points, in place.

    Args:
        items: what it wears, the outermost last.
        own: (N,) numbers of its points among T.
        albedo: (3, T) log reflectance; shine: (T,) what they mirror; slope: (T,) how much they lean from the light.
        relief: (2, T) how light leans along u and v.
        cloth: (T,) how much of each point is a sleeve.
        texel: (T,) flat number in a texture of `side` texels.
        grain: metres that a pixel shows.
    """
    finger = fingers_of_texels(texel.index_select(0, own), side)
    for item in items:
        near = own if item.site is None else own.index_select(0, places(finger == item.site))
        which = places(item.where(places_of_texels(texel.index_select(0, near), side, grain)))
        if not len(which):
            continue
        points = near.index_select(0, which)
        here, count = texel.index_select(0, points), len(points)
        # A texel further towards the light: one evaluation gives the slope, too.
        lean = relief.index_select(1, points)
        steep = torch.hypot(lean[0], lean[1]).clamp_min_(1e-9)
        step = (lean / steep).round()  # (2, N) of -1, 0, 1
        beside = (here + (step[0] + side * step[1]).long()).clamp_(0, side * side - 1)
        coat = item.coat(places_of_texels(torch.cat([here, beside]), side, grain))
        cover = coat.cover[:count]
        if not item.over_sleeve:
            cover = cover * (1.0 - cloth.index_select(0, points))
        if not coat.film:
            rise = (coat.height[count:] - coat.height[:count]) * (side / torch.hypot(step[0], step[1]))
            for values, wanted in ((shine, coat.gloss[:count]), (slope, rise.clamp_(-_STEEPEST, _STEEPEST) * steep)):
                values.index_copy_(0, points, torch.lerp(values.index_select(0, points), wanted, cover))
        albedo.index_copy_(1, points, torch.lerp(albedo.index_select(1, points), coat.colour[:, :count], cover))
