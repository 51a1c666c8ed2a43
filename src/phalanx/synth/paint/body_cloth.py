"""Clothes of bodies, point by point: what each garment covers, its pattern and folds, prints, and the shadow at its edge."""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.synth.paint.body_look import (
    BARS,
    CAP,
    CHECKS,
    DOTS,
    JACKET,
    PLAIN,
    RINGS,
    SHOES,
    SPECKLED,
    TOP,
    TROUSERS,
    BodyLook,
)
from phalanx.synth.paint.body_skin import TEXTURE_METRES, Points
from phalanx.synth.paint.body_surface import LOCKS, SKIRT
from phalanx.synth.paint.body_textures import BodyTextures, level, sample
from phalanx.synth.paint.light import LightDraw

_SHADOW = 0.007  # metres from its edge over which a garment shades what it leaves bare
_FINEST = 0.015  # metres that a pixel spans, beyond which folds are not seen; fine ones vanish sooner
_FOLDS = ((4.0, 1.0), (9.0, 0.4))  # repeats across the texture, and strength


def paint_cloth(
    albedo: Tensor, shine: Tensor, points: Points, textures: BodyTextures, look: BodyLook, person: int, light: LightDraw
) -> None:
    """Paint the garments of a person over log reflectance `(3, T)` and shine `(T,)`, and folds into the light on the points, in place."""
    skirt = points.section == SKIRT
    free = ~skirt & (points.section != LOCKS)
    reached = ((points.covered > -4 * _SHADOW) & free).logical_or_(skirt).nonzero()[:, 0]
    if not len(reached):
        return
    own, gloss = albedo.index_select(1, reached), shine.index_select(0, reached)
    uv, pixel = points.uv.index_select(1, reached), points.pixel(reached)
    cover = [None if inside is None else inside.index_select(0, reached) for inside in points.cover]
    rest = points.place[:3].index_select(1, reached)
    hangs = skirt.index_select(0, reached)
    depth_of_folds = torch.zeros_like(gloss)
    for garment, inside in enumerate(cover):
        if garment == TROUSERS and look.skirt[person, 0] > 0:
            inside = torch.where(hangs, 1.0, -1.0 if inside is None else inside)
        if inside is None:
            continue
        share = (inside / pixel).add_(0.5).clamp_(0.0, 1.0)
        colour = _colour(garment, uv, pixel, textures, look, person)
        if garment == TOP and look.print[person, 0] >= 0:
            _print(colour, rest, textures, look, person)
        shade = torch.exp(-(inside / _SHADOW).clamp(0.0, 9.0)) * 0.25 + torch.exp(
            -(inside / -_SHADOW).clamp(0.0, 9.0)
        ) * (inside <= 0)
        own.sub_(shade * torch.where(inside > 0, 1.0, 0.35))
        own.lerp_(colour, share)
        gloss.lerp_(torch.full_like(gloss, 0.5 if garment == SHOES else 0.1), share)
        folds = 0.0 if garment in (SHOES, CAP) else float(look.ease[person, garment, 1])
        depth_of_folds.lerp_(torch.full_like(gloss, folds), share)
    _fold(points, reached, uv, depth_of_folds, textures, look, person, light)
    albedo.index_copy_(1, reached, own)
    shine.index_copy_(0, reached, gloss)


def _colour(garment: int, uv: Tensor, pixel: Tensor, textures: BodyTextures, look: BodyLook, person: int) -> Tensor:
    """Log reflectance `(3, N)` of a garment's cloth."""
    device = uv.device
    first = torch.as_tensor(look.cloth[person, garment], device=device)[:, None]
    pattern, repeats = int(look.pattern[person, garment]), float(look.repeats[person, garment])
    if pattern == PLAIN:
        return first.repeat(1, uv.shape[1])
    second = torch.as_tensor(look.second[person, garment], device=device)[:, None]
    across, down = uv * repeats
    # Where a pixel spans half a repeat or more, the pattern is a mixture.
    fine = (2.0 - 4.0 * pixel * repeats / TEXTURE_METRES).clamp_(0.0, 1.0)
    share = 0.2 + 0.6 * float(look.phase[person, 6])

    def bars(values: Tensor) -> Tensor:
        return ((values - values.floor() - share) * 8.0).clamp_(0.0, 1.0)

    if pattern == RINGS:
        mixed = bars(down)
    elif pattern == BARS:
        mixed = bars(across)
    elif pattern == CHECKS:
        mixed = 0.5 * bars(down) + 0.5 * bars(across)
    elif pattern == DOTS:
        spot = torch.hypot(across - across.round(), down - down.round())
        mixed = ((0.5 * share - spot) * 8.0).clamp_(0.0, 1.0)
    else:
        assert pattern == SPECKLED
        mixed = (0.5 + 0.5 * sample(textures.cloth[0], 0.2 * across, 0.2 * down, repeat=True)[3]).clamp_(0.0, 1.0)
    return torch.lerp(first, second, 0.4 + fine * (mixed - 0.4))


def _print(colour: Tensor, rest: Tensor, textures: BodyTextures, look: BodyLook, person: int) -> None:
    """Paint the print on the chest over the log reflectance `(3, N)` of cloth, in place."""
    number, half, below, beside = look.print[person].tolist()
    x, y, z = rest
    on = ((x - beside).abs() < half) & ((y - below).abs() < half) & (z < 0.02)
    chosen = on.nonzero()[:, 0]
    if not len(chosen):
        return
    # The person's left is to the right of who looks at them.
    u, v = ((x[chosen] - beside) / half * 0.5 + 0.5, (y[chosen] - below) / half * 0.5 + 0.5)
    share = sample(textures.prints[int(number), None, None], u, v)[0]
    second = torch.as_tensor(look.second[person, JACKET], device=colour.device)[:, None]
    colour.index_copy_(1, chosen, torch.lerp(colour.index_select(1, chosen), second, share))


def _fold(
    points: Points,
    reached: Tensor,
    uv: Tensor,
    strength: Tensor,
    textures: BodyTextures,
    look: BodyLook,
    person: int,
    light: LightDraw,
) -> None:
    """Light on cloth by its folds of `strength (N,)`, in place: they lean towards the first light or away from it."""
    towards = torch.as_tensor(light.direction[person, 0], device=uv.device)
    slope = torch.zeros_like(strength)
    for number, (repeats, share) in enumerate(_FOLDS):
        if points.span > share * _FINEST:
            continue
        shift = float(look.phase[person, number]) * 3.0
        texture = level(textures.cloth, TEXTURE_METRES / repeats, points.span)
        slopes = sample(texture, repeats * uv[0] + shift, repeats * uv[1] + shift, repeat=True)
        slope += share * (slopes[0] * towards[0] + slopes[1] * (towards[1] - 0.3))
    points.diffuse.index_copy_(
        1, reached, points.diffuse.index_select(1, reached) * (1.0 - 0.09 * strength * slope).clamp_(0.45, 1.5)
    )
