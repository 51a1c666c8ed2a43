"""Clothes of bodies, point by point: what each garment covers, its pattern and folds, prints, and the shadow at its edge."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from phalanx.core.elementwise import exp_
from phalanx.geometry.point_lists import places
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
from phalanx.synth.paint.body_skin import TEXTURE_METRES, Points, Some
from phalanx.synth.paint.body_surface import LOCKS, SKIRT
from phalanx.synth.paint.body_textures import BodyTextures, sample
from phalanx.synth.paint.light import LightDraw

_SHADOW = 0.007  # metres from its edge over which a garment shades what it leaves bare
_FINEST = 0.015  # metres that a pixel spans, beyond which folds are not seen; fine ones vanish sooner
_FOLDS = ((4.0, 1.0), (9.0, 0.4))  # repeats across the texture, and strength


def paint_cloth(
    albedo: Tensor,
    shine: Tensor,
    points: Points,
    cover: list[Tensor | None],
    covered: Tensor,
    textures: BodyTextures,
    look: BodyLook,
    light: LightDraw,
) -> None:
    """Paint garments over log reflectance `(3, T)` and shine `(T,)`, and folds into the light on the points, in place.

    Args:
        cover: (T,) metres inside each garment, as `covers` has it; covered: (T,) inside that which covers most.
        look, light: of the N people.
    """
    skirt = points.section == SKIRT
    free = ~skirt & (points.section != LOCKS)
    reached = places(((covered > -4 * _SHADOW) & free).logical_or_(skirt))
    if not len(reached):
        return
    some = points.some(reached)

    def on(values: np.ndarray) -> Tensor:
        return points.of(values, some)

    own, gloss = albedo.index_select(1, reached), shine.index_select(0, reached)
    uv, pixel = points.uv.index_select(1, reached), points.pixel(some)
    runs = some.runs
    depth_of_folds = torch.zeros_like(gloss)
    for garment, whole in enumerate(cover):
        inside, worn = None if whole is None else whole.index_select(0, reached), look.worn[:, garment]
        if garment == TROUSERS and (look.skirt[:, 0] > 0).any():
            worn = worn | (look.skirt[:, 0] > 0)
            bare = torch.full_like(gloss, -1.0) if inside is None else inside
            inside = bare.masked_fill(skirt.index_select(0, reached), 1.0)
        if inside is None:
            continue
        share = (inside / pixel).add_(0.5).clamp_(0.0, 1.0)
        bare = 1.0 - share
        colour = _colours(garment, uv, pixel, runs, on(look.cloth[:, garment]), textures, look)
        if garment == TOP:
            _print(colour, points.place, reached, runs, textures, look)
        near = exp_((inside.abs() * (-1.0 / _SHADOW)).clamp_min_(-9.0))
        under = (inside > 0).float()
        shade = near.mul_(0.35 - 0.1 * under).add_(under.neg_().add_(1.0), alpha=0.0875)
        own.sub_(shade if worn.all() else shade.mul_(on(worn)))
        own.mul_(bare).add_(colour.mul_(share))
        gloss.mul_(bare).add_(share, alpha=0.5 if garment == SHOES else 0.1)
        depth_of_folds.mul_(bare)
        if garment not in (SHOES, CAP):
            depth_of_folds.addcmul_(share, on(look.ease[:, garment, 1]))
    _fold(points, some, uv, depth_of_folds, textures, look, light)
    albedo.index_copy_(1, reached, own)
    shine.index_copy_(0, reached, gloss)


Runs = list[tuple[int, int]]
"""Of each person the first of the points, and the last."""


def _colours(
    garment: int, uv: Tensor, pixel: Tensor, runs: Runs, plain: Tensor, textures: BodyTextures, look: BodyLook
) -> Tensor:
    """Log reflectance `(3, M)` of the cloth of a garment, from that of plain cloth, `(3, M)` or `(3, 1)`."""
    colour = plain.repeat(1, len(pixel)) if plain.shape[1] == 1 else plain
    for person, (begin, end) in enumerate(runs):
        if look.pattern[person, garment] != PLAIN and end > begin:
            own = slice(begin, end)
            second = torch.as_tensor(look.second[person, garment], device=uv.device)[:, None]
            colour[:, own].lerp_(second, _pattern(garment, uv[:, own], pixel[own], textures, look, person))
    return colour


def _pattern(garment: int, uv: Tensor, pixel: Tensor, textures: BodyTextures, look: BodyLook, person: int) -> Tensor:
    """How much `(M,)` of the second colour is in a person's cloth."""
    pattern, repeats = int(look.pattern[person, garment]), float(look.repeats[person, garment])
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
        mixed = (0.5 + 0.5 * sample(textures.cloth[0][:, 3:], 0.2 * across, 0.2 * down, repeat=True)[0]).clamp_(
            0.0, 1.0
        )
    return 0.4 + fine * (mixed - 0.4)


def _print(colour: Tensor, place: Tensor, reached: Tensor, runs: Runs, textures: BodyTextures, look: BodyLook) -> None:
    """Paint prints on chests over the log reflectance `(3, M)` of cloth, in place."""
    for person, (begin, end) in enumerate(runs):
        number, half, below, beside = look.print[person].tolist()
        if number < 0 or not look.worn[person, TOP]:
            continue
        x, y, z = place[:3].index_select(1, reached[begin:end])
        chosen = places(((x - beside).abs() < half) & ((y - below).abs() < half) & (z < 0.02))
        if not len(chosen):
            continue
        # The person's left is to the right of who looks at them.
        u, v = ((x[chosen] - beside) / half * 0.5 + 0.5, (y[chosen] - below) / half * 0.5 + 0.5)
        share = sample(textures.prints[int(number), None, None], u, v)[0]
        second = torch.as_tensor(look.second[person, JACKET], device=colour.device)[:, None]
        own = colour[:, begin:end]
        own.index_copy_(1, chosen, torch.lerp(own.index_select(1, chosen), second, share))


def _fold(
    points: Points,
    some: Some,
    uv: Tensor,
    strength: Tensor,
    textures: BodyTextures,
    look: BodyLook,
    light: LightDraw,
) -> None:
    """Light on cloth by its folds of `strength (M,)`, in place: they lean towards the first light or away from it."""
    x, y, _ = points.of(light.direction[:, 0], some)
    slope = torch.zeros_like(strength)
    leaning = [texture[:, :2] for texture in textures.cloth]
    for number, (repeats, share) in enumerate(_FOLDS):
        u, v = repeats * uv + points.of(3.0 * look.phase[:, number], some)
        across, down = points.sample(leaning, TEXTURE_METRES / repeats, some, u, v, share * _FINEST)
        slope += share * (across * x + down * (y - 0.3))
    points.diffuse.index_copy_(
        1, some.index, points.diffuse.index_select(1, some.index) * (1.0 - 0.09 * strength * slope).clamp_(0.45, 1.5)
    )
