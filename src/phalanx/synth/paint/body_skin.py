"""Skin, faces and hair of bodies, point by point: photographed pigments, then lips, brows, eyes, beards, hair, glasses over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from phalanx.geometry.point_lists import places, repeated
from phalanx.synth.paint.body_look import BodyLook
from phalanx.synth.paint.body_surface import EYE, HEAD, LOCKS, BodyTopology
from phalanx.synth.paint.body_textures import BodyTextures, level, sample
from phalanx.synth.paint.pigment import DIRECTIONS

TEXTURE_METRES = 1.9
"""About so many metres of the body lie along the texture's side."""
_BLOOD_STEP = 0.45  # by how much the blood of a light skin's `skin_matrices` darkens log green
_IRIS, _PUPIL, _GLINT = 0.0059, 0.0022, 0.0011  # metres, radii
_WHITE = (-0.95, -1.05, -1.1)  # log reflectance of the eye
_SMALLEST = 0.014  # metres that a pixel spans, beyond which no eye is seen
_DARK = -3.6  # log reflectance of lashes and frames


@dataclass
class Some:
    """M of the points: their numbers `index (M,)`, which rise, and of each person the first and last of these, `runs`."""

    index: Tensor
    runs: list[tuple[int, int]]


@dataclass
class Points:
    """T points of the surfaces of N people, one person after another.

    Attributes:
        ends: (N + 1,) where each one's points begin and end.
        section: (T,) of the body.
        diffuse, gloss: (3, T) light that arrives and that is mirrored.
        depth: (T,) metres; focal: pixels.
        place: (6, T) where they are, as of `BodyTopology.place`; uv: (2, T).
        span: metres that a pixel spans, about the middle of each one's points.
    """

    ends: Tensor
    section: Tensor
    diffuse: Tensor
    gloss: Tensor
    depth: Tensor
    focal: float
    place: Tensor
    uv: Tensor
    span: list[float]

    def some(self, index: Tensor) -> Some:
        """The points with the numbers `index (M,)`, which rise."""
        return Some(index, list(pairwise(torch.searchsorted(index, self.ends).tolist())))

    def of(self, values: np.ndarray | Tensor, some: Some | None = None) -> Tensor:
        """Values of the people, `(N,)` or `(N, C)`, at the points, or at M of them: `(M,)` or `(C, M)`; one person's alone are left to
        broadcast."""
        values = torch.as_tensor(values, dtype=torch.float32, device=self.ends.device).t()
        if len(self.span) == 1:
            return values
        runs = pairwise(self.ends.tolist()) if some is None else some.runs
        return repeated(values, [end - begin for begin, end in runs])

    def pixel(self, some: Some) -> Tensor:
        """Metres `(M,)` that a pixel spans at some of the points."""
        return self.depth.index_select(0, some.index) / self.focal

    def sample(
        self, pyramid: list[Tensor], metres: float, some: Some, u: Tensor, v: Tensor, finest: float = torch.inf
    ) -> Tensor:
        """Values `(C, M)` at `u`, `v` of a texture that repeats, from the level that suits each person; 0 for those whose pixels span more
        than the `finest`."""
        parts = [
            sample(level(pyramid, metres, span), u[begin:end], v[begin:end], repeat=True)
            if span <= finest
            else u.new_zeros(pyramid[0].shape[1], end - begin)
            for (begin, end), span in zip(some.runs, self.span, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def paint_skin(
    points: Points, covered: Tensor, topology: BodyTopology, textures: BodyTextures, look: BodyLook, skin: Tensor
) -> tuple[Tensor, Tensor]:
    """Log reflectance `(3, T)` and shine `(T,)` of the points, as if nothing but hair covered them.

    Args:
        covered: (T,) metres inside the garment that covers most.
        look: of the N people; skin: (N, 3, 6) their colours.
    """
    albedo = points.of(skin[:, :, 0]).expand(-1, len(covered)).contiguous()
    shine = torch.full_like(albedo[0], 0.45)
    bare = places(covered < 0.004)
    u, v = points.uv.index_select(1, bare)
    for person, (begin, end) in enumerate(points.some(bare).runs):
        pyramid = textures.skins[int(look.photograph[person]) % len(textures.skins)]
        amounts = sample(level(pyramid, TEXTURE_METRES, points.span[person]), u[begin:end], v[begin:end])
        found = torch.addmm(skin[person, :, :1], _pigments(skin[person], look.strength[person]), amounts)
        albedo.index_copy_(1, bare[begin:end], found)
    head = places((points.section == HEAD) | (points.section == EYE))
    if len(head):
        found, gloss = _paint_head(points, points.some(head), albedo.index_select(1, head), topology, textures, look)
        albedo.index_copy_(1, head, found)
        shine.index_copy_(0, head, gloss)
    locks = places(points.section == LOCKS)
    if len(locks):
        u, v = points.uv.index_select(1, locks)
        some = points.some(locks)
        strands = sample(textures.cloth[0][:, 2:3], 4.0 * u, 0.5 * v + points.of(look.phase[:, 1], some), repeat=True)[
            0
        ]
        albedo.index_copy_(1, locks, points.of(look.hair, some) + 0.35 * strands - 0.1)
        shine[locks] = 0.35
    return albedo, shine


def _pigments(skin: Tensor, strength: np.ndarray) -> Tensor:
    """(3, 3): what amounts of melanin, blood and shade add to the log reflectance of a `skin (3, 6)`; `strength (3,)` of each."""
    melanin = skin[:, 2] / -skin[1, 2]
    blood = skin[:, 3] / _BLOOD_STEP
    shade = skin.new_tensor(-DIRECTIONS[2])
    return torch.stack([melanin, blood, shade], 1) * torch.as_tensor(strength, device=skin.device)


def _smooth(values: Tensor) -> Tensor:
    """From 0 at -1 to 1 at 1."""
    return values.mul(0.5).add_(0.5).clamp_(0.0, 1.0)


def _paint_head(
    points: Points, head: Some, albedo: Tensor, topology: BodyTopology, textures: BodyTextures, look: BodyLook
) -> tuple[Tensor, Tensor]:
    """Log reflectance `(3, M)` and shine `(M,)` of the points of heads, from that of their skin."""

    def on(values: np.ndarray) -> Tensor:
        return points.of(values, head)

    u, v = points.uv.index_select(1, head.index)
    x, y, z = points.place[:3].index_select(1, head.index)
    pixel = points.pixel(head)
    texel = pixel / (TEXTURE_METRES / textures.regions.shape[-1])  # texels that a pixel spans
    hair, beard, lips = sample(textures.regions, u, v)
    fine = [texture[:, 2:] for texture in textures.cloth]
    strand, rough = points.sample(fine, TEXTURE_METRES / 9.0, head, 9.0 * u + on(look.phase[:, 0]), 9.0 * v)
    eye = topology.eyes[1]
    out, down = x.abs() - eye[0], y - eye[1]
    front = z < eye[2] + 0.035
    shine = torch.full_like(u, 0.5)
    tone = on(look.hair)

    if (look.freckles > 0).any():
        spots = (rough - 1.1).clamp_(0.0, 1.0) * on(look.freckles) * front
        albedo = albedo - spots * _colour([0.35, 0.6, 0.8], albedo)
    mouth = _smooth(lips / (1.0 + texel)) * front
    albedo = albedo + mouth * on(look.lips[:, :3])
    shine = shine + mouth * on(look.lips[:, 3])

    strength, high, rise = on(look.brow)
    along = ((out - 0.003) / 0.0215).clamp(-1.3, 1.3)
    middle = -0.0185 - rise - 0.0028 * (1.0 - (along - 0.3).square())
    thick = high * (1.0 - 0.55 * along.clamp_min(0.0)) * (1.0 + 0.25 * rough)
    brow = _smooth((thick - (down - middle).abs()) / (0.0012 + pixel)) * _smooth((1.0 - along.abs()) / 0.15) * front
    albedo = torch.lerp(albedo, tone + 0.15, brow * strength)

    if (look.beard[:, 0] > 0).any():
        density, _, border = on(look.beard)
        grown = _smooth((beard + border + 1.5 * rough) / (4.0 + texel)) * (1.0 - mouth) * (density > 0)
        albedo = torch.lerp(albedo, tone + 0.2 * strand, grown * density * (0.8 + 0.2 * strand).clamp(0, 1))
        shine = shine * (1.0 - 0.6 * grown)
    grown = _smooth((hair + on(look.hair_lift[:, 1]) + 1.2 * rough) / (1.5 + texel))
    lines = [texture[:, 2:3] for texture in textures.cloth]
    (strands,) = points.sample(lines, TEXTURE_METRES / 6.0, head, 3.0 * v, 6.0 * u)
    thick = on(np.where(look.hair_lift[:, 0] == 0, 0.4, 0.97))
    albedo = torch.lerp(albedo, tone + 0.3 * strands + 0.1 * rough, grown * thick)
    shine = shine * (1.0 - 0.4 * grown)
    near = np.array(points.span) <= _SMALLEST
    if not near.any():
        return albedo, shine
    shown, ball = on(near), points.section.index_select(0, head.index) == EYE
    albedo, shine = _paint_eyes(albedo, shine, out, down, x, front, ball, pixel, shown, look, on)
    return _paint_glasses(albedo, shine, out, down, z - eye[2], pixel, shown, look, on)


def _colour(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)[:, None]


def _paint_eyes(
    albedo: Tensor,
    shine: Tensor,
    out: Tensor,
    down: Tensor,
    x: Tensor,
    front: Tensor,
    ball: Tensor,
    pixel: Tensor,
    shown: Tensor,
    look: BodyLook,
    on: Callable[[np.ndarray], Tensor],
) -> tuple[Tensor, Tensor]:
    """White, iris, pupil and lashes over the points at `out`, `down` `(M,)` metres from the middle of their eye; `ball` says which are
    the eye's own, and not lids, and `shown` on whom all this is seen."""
    look_x, look_y = on((look.phase[:, 2:4] - 0.5) * [0.007, 0.003])  # gaze
    from_iris = torch.hypot(out - look_x * x.sign(), down - look_y)
    white = _colour(_WHITE, albedo) - 18.0 * (-down - 0.001).clamp_min(0.0) - (out.abs() / 0.016).square() * 0.5
    iris = on(look.iris).log() + 0.5 * (from_iris / _IRIS - 0.6)
    painted = torch.lerp(white, iris, _smooth((_IRIS - from_iris) / (0.0006 + pixel)))
    painted = torch.lerp(painted, _colour([-5.0] * 3, albedo), _smooth((_PUPIL - from_iris) / (0.0004 + pixel)))
    glint = torch.hypot(out + 0.0016 * x.sign(), down + 0.0018)
    painted = torch.lerp(painted, _colour([0.1] * 3, albedo), _smooth((_GLINT - glint) / (0.0004 + pixel)))
    opening = (1.0 - (out / 0.0145).square()).clamp_min(0.0)
    upper, lower = -0.0052 * opening, 0.0042 * opening
    inside = torch.where(opening > 0.02, torch.minimum(down - upper, lower - down), -1.0)
    seen = torch.maximum(_smooth(inside / (0.0004 + 0.7 * pixel)) * front, ball.float())
    lash = _smooth((0.0011 - (down - upper).abs()) / (0.0005 + pixel)) * (opening > 0.05) * front * 0.8
    lash = torch.maximum(
        lash, 0.35 * _smooth((0.0006 - (down - lower).abs()) / (0.0005 + pixel)) * (opening > 0.1) * front
    )
    albedo = torch.lerp(albedo, painted, seen * shown)
    albedo = torch.lerp(albedo, _colour([_DARK] * 3, albedo), lash * shown)
    return albedo, torch.where(ball & (shown > 0), 0.5, shine)


def _paint_glasses(
    albedo: Tensor,
    shine: Tensor,
    out: Tensor,
    down: Tensor,
    behind: Tensor,
    pixel: Tensor,
    shown: Tensor,
    look: BodyLook,
    on: Callable[[np.ndarray], Tensor],
) -> tuple[Tensor, Tensor]:
    """Frames round the eyes, between them and to the ears; arguments as of `_paint_eyes`, `behind` in metres behind the eye."""
    wears = look.glasses[:, 0] > 0
    if not wears.any():
        return albedo, shine
    half, thick, dark = on(np.where(wears[:, None], look.glasses, [1.0, 0.0, 0.0]))
    shown = shown * on(wears)
    power = on(2.0 + 4.0 * look.phase[:, 4])
    form = ((out.abs() / half) ** power + ((down - 0.003).abs() / (0.78 * half)) ** power) ** (1.0 / power)
    front = behind < 0.02
    rim = thick - (form - 1.0).abs() * half
    bridge = thick - (down + 0.006).abs() - (out + 0.8 * half).clamp_min(0.0)
    temple = (
        thick - (down + 0.004).abs() - 10.0 * (0.8 * half - out).clamp_min(0.0) - 10.0 * (behind - 0.09).clamp_min(0.0)
    )
    frame = torch.maximum(torch.maximum(rim, torch.where(out < 0, bridge, -1.0)), temple)
    seen = _smooth(frame / (0.0004 + 0.7 * pixel)) * (front | (temple > -pixel)) * shown
    glass = _smooth((1.0 - form) * half / (0.0004 + pixel)) * front * shown
    albedo = albedo + torch.log1p(-dark * glass)
    tone = look.phase[:, 5:6]
    plain = np.full((1, 3), _DARK + 0.3)
    paint = np.where(tone < 0.6, plain, np.concatenate([-1.0 - tone, np.full_like(tone, -1.8), tone - 2.2], 1))
    albedo = torch.lerp(albedo, on(paint), seen)
    return albedo, shine + 1.2 * torch.maximum(glass * dark, seen)
