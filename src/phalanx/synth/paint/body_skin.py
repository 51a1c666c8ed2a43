"""Skin, faces and hair of bodies, point by point: photographed pigments, then lips, brows, eyes, beards, hair, glasses over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
class Points:
    """T points of one person's surface.

    Attributes:
        section: (T,) of the body.
        diffuse, gloss: (3, T) light that arrives and that is mirrored.
        depth: (T,) metres; focal: pixels.
        place: (6, T) where they are, as of `BodyTopology.place`; uv: (2, T).
        cover: (T,) metres inside each garment; none: not worn.
        span: metres that a pixel spans, about the middle of all points.
    """

    section: Tensor
    diffuse: Tensor
    gloss: Tensor
    depth: Tensor
    focal: float
    place: Tensor
    uv: Tensor
    cover: list[Tensor | None]
    span: float

    @property
    def covered(self) -> Tensor:
        """Metres `(T,)` inside the garment that covers most."""
        worn = [inside for inside in self.cover if inside is not None]
        return torch.stack(worn).amax(0) if worn else torch.full_like(self.depth, -1.0)

    def pixel(self, index: Tensor) -> Tensor:
        """Metres `(N,)` that a pixel spans at the points `index (N,)`."""
        return self.depth.index_select(0, index) / self.focal


def paint_skin(
    points: Points, topology: BodyTopology, textures: BodyTextures, look: BodyLook, person: int, skin: Tensor
) -> tuple[Tensor, Tensor]:
    """Log reflectance `(3, T)` and shine `(T,)` of the points, as if nothing but hair covered them; `skin` is (3, 6)."""
    albedo = skin[:, 0, None].repeat(1, len(points.section))
    shine = torch.full_like(albedo[0], 0.45)
    bare = (points.covered < 0.004).nonzero()[:, 0]
    if len(bare):
        u, v = points.uv[0].index_select(0, bare), points.uv[1].index_select(0, bare)
        pyramid = textures.skins[int(look.photograph[person]) % len(textures.skins)]
        texture = level(pyramid, TEXTURE_METRES, points.span)
        albedo.index_add_(1, bare, _pigments(skin, look, person) @ sample(texture, u, v))
    head = ((points.section == HEAD) | (points.section == EYE)).nonzero()[:, 0]
    if len(head):
        found, gloss = _paint_head(points, head, albedo.index_select(1, head), topology, textures, look, person)
        albedo.index_copy_(1, head, found)
        shine.index_copy_(0, head, gloss)
    locks = (points.section == LOCKS).nonzero()[:, 0]
    if len(locks):
        u, v = points.uv.index_select(1, locks)
        strands = sample(textures.cloth[0], 4.0 * u, 0.5 * v + float(look.phase[person, 1]), repeat=True)[2]
        colour = torch.as_tensor(look.hair[person], device=albedo.device)[:, None] + 0.35 * strands - 0.1
        albedo.index_copy_(1, locks, colour)
        shine[locks] = 0.35
    return albedo, shine


def _pigments(skin: Tensor, look: BodyLook, person: int) -> Tensor:
    """(3, 3): what amounts of melanin, blood and shade add to the log reflectance of this skin."""
    melanin = skin[:, 2] / -skin[1, 2]
    blood = skin[:, 3] / _BLOOD_STEP
    shade = skin.new_tensor(-DIRECTIONS[2])
    return torch.stack([melanin, blood, shade], 1) * torch.as_tensor(look.strength[person], device=skin.device)


def _smooth(values: Tensor) -> Tensor:
    """From 0 at -1 to 1 at 1."""
    return values.mul(0.5).add_(0.5).clamp_(0.0, 1.0)


def _paint_head(
    points: Points,
    head: Tensor,
    albedo: Tensor,
    topology: BodyTopology,
    textures: BodyTextures,
    look: BodyLook,
    person: int,
) -> tuple[Tensor, Tensor]:
    """Log reflectance `(3, N)` and shine `(N,)` of the points `head (N,)` of the head, from that of their skin."""

    def colour(values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=albedo.device)[:, None]

    u, v = points.uv.index_select(1, head)
    x, y, z = points.place[:3].index_select(1, head)
    pixel = points.pixel(head)
    texel = pixel / (TEXTURE_METRES / textures.regions.shape[-1])  # texels that a pixel spans
    hair, beard, lips = sample(textures.regions, u, v)
    strand = sample(
        level(textures.cloth, TEXTURE_METRES / 9.0, points.span),
        9.0 * u + float(look.phase[person, 0]),
        9.0 * v,
        repeat=True,
    )
    rough = strand[3]
    eye = topology.eyes[1]
    out, down = x.abs() - eye[0], y - eye[1]
    front = z < eye[2] + 0.035
    shine = torch.full_like(u, 0.5)
    tone = colour(look.hair[person])

    if look.freckles[person] > 0:
        spots = (rough - 1.1).clamp_(0.0, 1.0) * float(look.freckles[person]) * front
        albedo = albedo - spots * colour([0.35, 0.6, 0.8])
    mouth = _smooth(lips / (1.0 + texel)) * front
    albedo = albedo + mouth * colour(look.lips[person, :3])
    shine = shine + mouth * float(look.lips[person, 3])

    strength, high, rise = look.brow[person].tolist()
    along = ((out - 0.003) / 0.0215).clamp(-1.3, 1.3)
    middle = -0.0185 - rise - 0.0028 * (1.0 - (along - 0.3).square())
    thick = high * (1.0 - 0.55 * along.clamp_min(0.0)) * (1.0 + 0.25 * rough)
    brow = _smooth((thick - (down - middle).abs()) / (0.0012 + pixel)) * _smooth((1.0 - along.abs()) / 0.15) * front
    albedo = torch.lerp(albedo, tone + 0.15, brow * strength)

    density, _, border = look.beard[person].tolist()
    if density > 0:
        grown = _smooth((beard + border + 1.5 * rough) / (4.0 + texel)) * (1.0 - mouth)
        albedo = torch.lerp(albedo, tone + 0.2 * strand[2], grown * density * (0.8 + 0.2 * strand[2]).clamp(0, 1))
        shine = shine * (1.0 - 0.6 * grown)
    lift, line = look.hair_lift[person].tolist()
    grown = _smooth((hair + line + 1.2 * rough) / (1.5 + texel))
    strands = sample(level(textures.cloth, TEXTURE_METRES / 6.0, points.span), 3.0 * v, 6.0 * u, repeat=True)[2]
    albedo = torch.lerp(albedo, tone + 0.3 * strands + 0.1 * rough, grown * (0.4 if lift == 0 else 0.97))
    shine = shine * (1.0 - 0.4 * grown)
    if points.span > _SMALLEST:
        return albedo, shine
    albedo, shine = _paint_eyes(
        albedo, shine, out, down, x, front, points.section.index_select(0, head) == EYE, pixel, look, person
    )
    return _paint_glasses(albedo, shine, out, down, z - eye[2], pixel, look, person)


def _paint_eyes(
    albedo: Tensor,
    shine: Tensor,
    out: Tensor,
    down: Tensor,
    x: Tensor,
    front: Tensor,
    ball: Tensor,
    pixel: Tensor,
    look: BodyLook,
    person: int,
) -> tuple[Tensor, Tensor]:
    """White, iris, pupil and lashes over the points at `out`, `down` `(N,)` metres from the middle of their eye; `ball` says which are
    the eye's own, and not lids."""

    def colour(values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=albedo.device)[:, None]

    look_x, look_y = ((look.phase[person, 2:4] - 0.5) * [0.007, 0.003]).tolist()  # gaze
    from_iris = torch.hypot(out - look_x * x.sign(), down - look_y)
    white = colour(_WHITE) - 18.0 * (-down - 0.001).clamp_min(0.0) - (out.abs() / 0.016).square() * 0.5
    iris = colour(look.iris[person]).log() + 0.5 * (from_iris / _IRIS - 0.6)
    painted = torch.lerp(white, iris, _smooth((_IRIS - from_iris) / (0.0006 + pixel)))
    painted = torch.lerp(painted, colour([-5.0] * 3), _smooth((_PUPIL - from_iris) / (0.0004 + pixel)))
    glint = torch.hypot(out + 0.0016 * x.sign(), down + 0.0018)
    painted = torch.lerp(painted, colour([0.1] * 3), _smooth((_GLINT - glint) / (0.0004 + pixel)))
    opening = (1.0 - (out / 0.0145).square()).clamp_min(0.0)
    upper, lower = -0.0052 * opening, 0.0042 * opening
    inside = torch.where(opening > 0.02, torch.minimum(down - upper, lower - down), -1.0)
    seen = torch.maximum(_smooth(inside / (0.0004 + 0.7 * pixel)) * front, ball.float())
    lash = _smooth((0.0011 - (down - upper).abs()) / (0.0005 + pixel)) * (opening > 0.05) * front * 0.8
    lash = torch.maximum(
        lash, 0.35 * _smooth((0.0006 - (down - lower).abs()) / (0.0005 + pixel)) * (opening > 0.1) * front
    )
    albedo = torch.lerp(albedo, painted, seen)
    albedo = torch.lerp(albedo, colour([_DARK] * 3), lash)
    return albedo, torch.where(ball, 0.5, shine)


def _paint_glasses(
    albedo: Tensor, shine: Tensor, out: Tensor, down: Tensor, behind: Tensor, pixel: Tensor, look: BodyLook, person: int
) -> tuple[Tensor, Tensor]:
    """Frames round the eyes, between them and to the ears; arguments as of `_paint_eyes`, `behind` in metres behind the eye."""
    half, thick, dark = look.glasses[person].tolist()
    if half <= 0:
        return albedo, shine
    power = 2.0 + 4.0 * float(look.phase[person, 4])
    form = ((out.abs() / half) ** power + ((down - 0.003).abs() / (0.78 * half)) ** power) ** (1.0 / power)
    front = behind < 0.02
    rim = thick - (form - 1.0).abs() * half
    bridge = thick - (down + 0.006).abs() - (out + 0.8 * half).clamp_min(0.0)
    temple = (
        thick - (down + 0.004).abs() - 10.0 * (0.8 * half - out).clamp_min(0.0) - 10.0 * (behind - 0.09).clamp_min(0.0)
    )
    frame = torch.maximum(torch.maximum(rim, torch.where(out < 0, bridge, -1.0)), temple)
    shown = _smooth(frame / (0.0004 + 0.7 * pixel)) * (front | (temple > -pixel))
    glass = _smooth((1.0 - form) * half / (0.0004 + pixel)) * front
    albedo = albedo + torch.log1p(-dark * glass)
    tone = float(look.phase[person, 5])
    paint = [_DARK + 0.3] * 3 if tone < 0.6 else [-1.0 - tone, -1.8, -2.2 + tone]
    albedo = torch.lerp(albedo, torch.tensor(paint, device=albedo.device)[:, None], shown)
    return albedo, shine + 1.2 * torch.maximum(glass * dark, shown)
