"""Coats of what hands wear, put on surfaces and on pictures of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from phalanx.synth.paint.worn import Item, chosen, places_of_texels, places_of_vertices

_STEEPEST = 0.8  # metres of height per unit of UV: seams of the texture have no slope


def heights(items: Sequence[Item], sleeved: Tensor) -> Tensor:
    """Metres `(V,)` by which items stand off the hand model's vertices.

    Args:
        items: what one hand wears.
        sleeved: (V,) 1 where a sleeve covers it, else 0.
    """
    at = places_of_vertices(sleeved.device)
    total = torch.zeros_like(sleeved)
    for item in items:
        which = item.where(at).nonzero()[:, 0]
        if len(which):
            coat = item.coat(chosen(at, which))
            seen = 1.0 if item.over_sleeve else 1.0 - sleeved.index_select(0, which)
            total.index_add_(0, which, coat.cover * coat.height * seen)
    return total


def paint_coats(
    items: Sequence[Item],
    albedo: Tensor,
    shine: Tensor,
    slope: Tensor,
    relief: Tensor,
    cloth: Tensor,
    texel: Tensor,
    side: int,
    grain: float,
) -> None:
    """Paint what one hand wears on N points of it, in place.

    Args:
        items: what it wears, the outermost last.
        albedo: (3, N) log reflectance; shine: (N,) what it mirrors; slope: (N,) how much it leans from the light.
        relief: (2, N) how light leans along u and v.
        cloth: (N,) how much of each point is a sleeve.
        texel: (N,) flat number in a texture of `side` texels.
        grain: metres that a pixel shows.
    """
    at = places_of_texels(texel, side, grain)
    for item in items:
        which = item.where(at).nonzero()[:, 0]
        if not len(which):
            continue
        coat = item.coat(chosen(at, which))
        cover = coat.cover if item.over_sleeve else coat.cover * (1.0 - cloth.index_select(0, which))
        own = texel.index_select(0, which)
        lean = torch.zeros_like(cover)
        for axis, step in ((0, 1), (1, side)):
            beside = places_of_texels((own + step).clamp_max(side * side - 1), side, grain)
            rise = (item.coat(beside).height - coat.height) * side
            lean += rise.clamp_(-_STEEPEST, _STEEPEST) * relief[axis].index_select(0, which)
        albedo[:, which] = torch.lerp(albedo[:, which], coat.colour, cover)
        shine[which] = torch.lerp(shine[which], coat.gloss, cover)
        slope[which] = torch.lerp(slope[which], lean, cover)
