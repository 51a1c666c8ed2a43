"""What simple solids look like: paints drawn to suit them, shaded in the same light as the hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import exp_, log_
from phalanx.render.ray_casting import Cast, Seen
from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, Solids
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.light import LightDraw


@dataclass
class SolidLook:
    """Paint of N solids in each of B pictures: a ground, a print on it, and a trim (lids, tips, a phone's screen).

    Attributes:
        paint: (B, N, 4, 3) linear reflectance red, green, blue and the share of light that is mirrored, of ground, print, trim.
        waves: (B, N, 2, 4) radians per metre along the solid's own axes, and phase: the print is where the sum of their sines is positive,
        print: (B, N, 3) more than the first of these; and along the axis within the third of the second (in half lengths).
        trim: (B, N) beyond this share of the half length (on a box's face at +z: within this share of width and height).
        polish: (B, N) exponent of the lights' reflections.
    """

    paint: np.ndarray
    waves: np.ndarray
    print: np.ndarray
    trim: np.ndarray
    polish: np.ndarray


def draw_looks(generator: np.random.Generator, solids: Solids) -> SolidLook:
    """Draw paints that suit each solid: labels and lids for tins, tips for pens, screens for flat boxes, stripes for balls."""
    kind, half = solids.kind.cpu().numpy(), solids.half.cpu().double().numpy()
    flat = (kind == BOX) & (half[..., 2] < 0.007)
    paint = _draw_paints(generator, kind, flat)
    trim = _draw_trims(generator, kind, half, flat)
    waves = _draw_waves(generator, kind.shape)
    printed = _draw_prints(generator, kind.shape)
    polish = np.exp(generator.uniform(np.log(8), np.log(150), kind.shape))
    return SolidLook(*(array.astype(np.float32) for array in (paint, waves, printed, trim, polish)))


def _chance(generator: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    return generator.random(shape) < share


def _draw_colour(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    drawn = PALETTE[generator.integers(0, len(PALETTE), shape)] / 255.0 + generator.normal(0, 0.05, (*shape, 3))
    return np.clip(drawn, 0.08, 0.97) ** 2.2


def _draw_paints(generator: np.random.Generator, kind: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Paints (B, N, 4, 3) as in `SolidLook`, of solids of the kinds (B, N); `flat` (B, N) are boxes as thin as phones."""
    shape = kind.shape

    def chance(share: float) -> np.ndarray:
        return _chance(generator, shape, share)

    def grey(low: float, high: float, tint: np.ndarray) -> np.ndarray:
        return generator.uniform(low, high, (*shape, 1)) * tint

    mirrored = np.where(chance(0.5), generator.uniform(0.0, 0.03, shape), generator.uniform(0.03, 0.09, shape))
    metal = chance(0.15)
    ground, label, trim = (_draw_colour(generator, shape) for _ in range(3))
    ground = np.where(metal[..., None], grey(0.12, 0.4, np.ones(3)), ground)
    label = np.where(chance(0.35)[..., None], grey(0.5, 0.9, np.ones(3)), label)
    gloss = np.stack([np.where(metal, 0.5, mirrored), np.where(chance(0.7), mirrored, 0.04), mirrored], -1)
    steel = ((kind == CYLINDER) & chance(0.6)) | ((kind == CAPSULE) & chance(0.3))
    trim = np.where(steel[..., None], grey(0.2, 0.5, np.array([1.0, 0.98, 0.94])), trim)
    dark = flat & chance(0.6)
    trim = np.where(dark[..., None], grey(0.003, 0.02, np.array([0.9, 1.0, 1.2])), trim)
    gloss[..., 2] = np.where(steel, 0.5, np.where(flat, 0.05, gloss[..., 2]))
    return np.concatenate([np.stack([ground, label, trim], -1), gloss[..., None, :]], -2)


def _draw_trims(generator: np.random.Generator, kind: np.ndarray, half: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Where (B, N) trims begin, as in `SolidLook`: beyond 1 on solids that have none."""
    shape = kind.shape

    def chance(share: float) -> np.ndarray:
        return _chance(generator, shape, share)

    return np.select(
        [flat & chance(0.7), kind == CYLINDER, kind == CUP, kind == CAPSULE],
        [
            generator.uniform(0.86, 0.97, shape),
            np.where(chance(0.6), 1.0 - 0.004 / np.maximum(half[..., 2], 0.01), generator.uniform(0.7, 0.97, shape)),
            np.where(chance(0.3), generator.uniform(0.8, 0.97, shape), 2.0),
            np.where(chance(0.6), generator.uniform(0.6, 0.97, shape), 2.0),
        ],
        np.where(kind == BOX, -1.0, 2.0),
    )


def _draw_waves(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Waves (*shape, 2, 4) as in `SolidLook`: from broad stripes and patches to lines as fine as print."""
    length = np.exp(generator.uniform(np.log(0.004), np.log(0.06), (*shape, 2, 1)))
    direction = generator.normal(size=(*shape, 2, 3))
    straight = np.eye(3)[generator.integers(0, 3, (*shape, 2))]
    direction = np.where(_chance(generator, shape, 0.7)[..., None, None], straight, direction)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.concatenate([direction * 2 * np.pi / length, generator.uniform(0, 2 * np.pi, (*shape, 2, 1))], -1)


def _draw_prints(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Prints (*shape, 3) as in `SolidLook`."""
    whole = _chance(generator, shape, 0.3)  # nothing but the band
    return np.stack(
        [
            np.where(_chance(generator, shape, 0.75), np.where(whole, -3.0, generator.uniform(-0.8, 1.4, shape)), 3.0),
            generator.normal(0, 0.2, shape),
            np.where(_chance(generator, shape, 0.25), 3.0, generator.uniform(0.15, 0.8, shape)),
        ],
        -1,
    )


def shade_solids(cast: Cast, solids: Solids, light: LightDraw, look: SolidLook, surroundings: Tensor) -> Tensor:
    """Linear colour (B, 3, S, S), multiplied by coverage, of what was cast.

    Args:
        cast, solids: what `render.ray_casting.cast` gave for these solids.
        light: the light that falls on the hand's skin: its lights, without shadows, and its ambient light.
        look: what the solids are painted with.
        surroundings: (B, 3) mean linear colour of the background.
    """
    seen, number = cast.seen, solids.kind.shape[1]
    ambient, lamps = sky(light, surroundings), light.direction.shape[1]
    facing = (seen.view * seen.normal).sum(0).clamp_(0.0, 1.0)
    normal = F.pad(seen.normal, (0, 0, 0, 1), value=1.0)
    mirrored = torch.ones_like(normal)
    torch.sub(seen.normal * (2.0 * facing), seen.view, out=mirrored[:3])
    lit, shine = (_by_picture(ambient, directions, seen, number) for directions in (normal, mirrored))
    share = _paint_shares(seen, solids, look)

    polish = seen.each(torch.as_tensor(look.polish, device=share.device).flatten())
    lit.clamp_(min=0.0)
    peaks = exp_(log_(shine[:lamps].clamp_(1e-4, 1.0)).mul_(polish)).mul_((polish + 2.0) / 8.0)
    power = torch.as_tensor(light.colour, device=share.device).mT.contiguous()  # (B, 3, L)
    surface = _by_solid(torch.as_tensor(look.paint, device=share.device).flatten(0, 1), share, seen)
    fall, glow = (_by_picture(power, strength, seen, number) for strength in (lit[:lamps], peaks))
    # What is mirrored: light above and dark below with an edge between, as in a room.
    room = (mirrored[1] * -3.0 + torch.sin(mirrored[0] * 5.0)).add_(0.5).clamp_(0.0, 1.0).mul_(1.3).add_(0.4)
    glow.addcmul_(shine[lamps:].clamp_(min=0.0), room)
    grazing = (1.0 - facing).pow_(5)
    gloss = surface[3] + 0.6 * (surface[3] > 0) * (1.0 - surface[3]) * grazing
    colour = fall.add_(lit[lamps:]).mul_(surface[:3]).addcmul_(glow, gloss)
    return cast.spread(colour.mul_(cast.coverage.view(-1)[seen.pixel]))


def sky(light: LightDraw, surroundings: Tensor) -> Tensor:
    """Matrices (B, L + 3, 4) from (direction, 1) to the cosines with the lights and to the ambient light's colour."""

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=surroundings.device)

    bounce = on(light.bounce)[:, None]
    tint = 1 - bounce + bounce * surroundings / surroundings.mean(1, keepdim=True).clamp_min(0.02)
    ambient = on(light.ambient)[:, :, [1, 2, 3, 0]]
    ambient[:, :, 3] *= tint
    return torch.cat([F.pad(on(light.direction), (0, 1)), ambient], 1)


def _by_picture(matrices: Tensor, columns: Tensor, seen: Seen, number: int) -> Tensor:
    """Products (R, T) of the pictures' matrices (B, R, C) with the columns (C, T) of their pixels; a picture has `number` solids."""
    products = torch.empty((matrices.shape[1], columns.shape[1]), device=columns.device)
    for i, start, end in seen.runs:
        torch.mm(matrices[i // number], columns[:, start:end], out=products[:, start:end])
    return products


def _by_solid(matrices: Tensor, columns: Tensor, seen: Seen) -> Tensor:
    """Products (R, T) of the solids' matrices (B N, R, C) with the columns (C, T) of their pixels."""
    return _by_picture(matrices, columns, seen, 1)


def _paint_shares(seen: Seen, solids: Solids, look: SolidLook) -> Tensor:
    """Shares (3, T) of ground, print and trim in each pixel: trim over print over ground."""

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=seen.own.device)

    waves = on(look.waves).flatten(0, 1)  # (B N, 2, 4)
    metres = torch.cat([solids.half.flatten(0, 1), torch.ones_like(solids.half[..., 0]).view(-1, 1)], 1)
    waves = waves * metres[:, None]  # of places in half sizes
    wave = torch.empty((2, len(seen.pixel)), device=seen.own.device)
    for i, start, end in seen.runs:
        torch.addmm(waves[i, :, 3:], waves[i, :, :3], seen.own[:, start:end], out=wave[:, start:end])
    table = torch.cat([on(look.print), on(look.trim)[..., None]], -1).flatten(0, 1)
    bias, band, wide, edge = (seen.each(column) for column in table.unbind(1))
    box = seen.each((solids.kind == BOX).flatten())
    z, size = seen.own[2], seen.own.abs()
    trimmed = torch.where(box, (torch.maximum(size[0], size[1]) < edge) & (z > 0.99), size[2] > edge).float()
    printed = (wave.sin_().sum(0).sub_(bias)).mul_(4.0).add_(0.5).clamp_(0.0, 1.0)
    printed *= (z - band).abs_() < wide
    printed *= 1.0 - trimmed
    return torch.stack([1.0 - printed - trimmed, printed, trimmed])
