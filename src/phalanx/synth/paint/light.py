"""Light on the hand, for each vertex: coloured lights that reach round the terminator, ambient light of low order, gloss, and
occlusion and soft shadows from ball proxies. Faces interpolate it: light under skin is smooth at the scale of a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import exp_, log_, sqrt_
from phalanx.core.records import map_fields
from phalanx.hand.model import HandSurface
from phalanx.synth.paint.surface import Topology, balls, face_edges, sum_faces, vertex_normals

LIGHTS = 2
_BLEND = (0.8, 1.0, 1.08)  # light between skins has gone through skin: where sky is blocked, less red is lost
_BROAD = 0.8  # share of the broad lobe (d'Eon and Luebke 2007 mix two likewise)
_CPU_BLOCK = 4  # pictures whose occlusion is found together: what fits a core's cache


@dataclass
class LightDraw:
    """Random light for B pictures; camera frame, linear colours."""

    direction: np.ndarray  # (B, LIGHTS, 3) unit, towards the light
    colour: np.ndarray  # (B, LIGHTS, 3)
    softness: np.ndarray  # (B, LIGHTS) tangent of the light's angular radius
    ambient: np.ndarray  # (B, 3, 4) colour of the constant and the x, y, z parts
    bounce: np.ndarray  # (B,) share of the background's mean colour in the ambient light
    wrap: np.ndarray  # (B, 3) how far light reaches round the terminator, per colour
    gloss: np.ndarray  # (B, 2) strength, exponent
    bump: np.ndarray  # (B,) strength of the relief
    occlusion: np.ndarray  # (B,) strength

    def __getitem__(self, index: np.ndarray) -> LightDraw:
        return map_fields(self, lambda value: value[index])


@dataclass
class Balls:
    """Balls that keep light from each of B things: `centres (B, S, 3)` in the camera's frame, `radii (B, S)`, 0 for none."""

    centres: Tensor
    radii: Tensor

    def with_(self, others: Balls) -> Balls:
        """These and others."""
        return Balls(torch.cat([self.centres, others.centres], 1), torch.cat([self.radii, others.radii], 1))


@dataclass
class VertexLight:
    """Light at V vertices of B hands, linear; components first, pictures last.

    Attributes:
        diffuse: (3, V, B) light that arrives; gloss: (3, V, B) light that is mirrored to the camera.
        relief: (2, V, B) by how much light grows for each UV slope of the relief.
    """

    diffuse: Tensor
    gloss: Tensor
    relief: Tensor


def turned(draw: LightDraw, rotations: np.ndarray) -> LightDraw:
    """The same light seen from frames turned by `rotations (B, 3, 3)`: directions and the ambient light's slope turn with them."""
    rotations = rotations.astype(np.float32)
    ambient = draw.ambient.copy()
    ambient[:, :, 1:] = draw.ambient[:, :, 1:] @ rotations.transpose(0, 2, 1)
    return replace(draw, direction=draw.direction @ rotations.transpose(0, 2, 1), ambient=ambient)


def mirrored(draw: LightDraw, chosen: np.ndarray) -> LightDraw:
    """The same light, with left and right exchanged in the `chosen` `(B,)` pictures."""
    sign = np.where(chosen, -1.0, 1.0).astype(np.float32)
    direction, ambient = draw.direction.copy(), draw.ambient.copy()
    direction[..., 0] *= sign[:, None]
    ambient[..., 1] *= sign[:, None]
    return replace(draw, direction=direction, ambient=ambient)


def light_on_planes(draw: LightDraw, normals: np.ndarray) -> np.ndarray:
    """Light `(B, 3)` on white planes with the unit `normals (B, 3)`, one in each picture: irradiance over pi, nothing in the way."""
    sky = np.maximum(draw.ambient[:, :, 0] + (draw.ambient[:, :, 1:] @ normals[..., None])[..., 0], 0.0)
    lit = np.maximum((draw.direction * normals[:, None]).sum(-1), 0.0)  # (B, LIGHTS)
    return (sky + (lit[..., None] * draw.colour).sum(1)).astype(np.float32)


def temperature_colour(kelvin: np.ndarray) -> np.ndarray:
    """Linear RGB `(..., 3)`, green 1, of a black body: a fit to the Planckian locus good to a few per cent in 2500-12000 K."""
    t = 6500.0 / np.asarray(kelvin)
    return np.stack([t**0.85, np.ones_like(t), t**-1.25], -1)


def draw_light(generator: np.random.Generator, batch: int) -> LightDraw:
    """Draw lights: mostly from above and from the camera's side, neutral to warm; some are coloured or from behind."""
    direction = generator.normal(size=(batch, LIGHTS, 3)) + np.array([[0.0, -0.7, -0.9], [0.0, -0.2, -0.1]])
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    kelvin = np.exp(generator.normal(np.log(5800), 0.22, (batch, LIGHTS))).clip(2500, 12000)
    tint = np.where(generator.random((batch, LIGHTS, 1)) < 0.08, generator.uniform(0.15, 1.2, (batch, LIGHTS, 3)), 1.0)
    power = np.stack(
        [
            generator.uniform(0.3, 1.1, batch),
            np.where(generator.random(batch) < 0.6, generator.uniform(0.0, 0.4, batch), 0.0),
        ],
        -1,
    )
    colour = temperature_colour(kelvin) ** 0.7 * tint * power[..., None]
    level = generator.uniform(0.1, 0.45, (batch, 1))
    ambient = np.zeros((batch, 3, 4))
    ambient[:, :, 0] = level * temperature_colour(np.exp(generator.normal(np.log(6300), 0.15, batch))) ** 0.7
    ambient[:, :, 1:] = level[..., None] * (
        generator.normal(0, 0.12, (batch, 1, 3)) + generator.normal(0, 0.03, (batch, 3, 3))
    )
    ambient[:, :, 2] -= level * generator.uniform(0, 0.35, (batch, 1))  # more light from above
    # A flat, even light (a phone's flash, an overcast sky) is common: all but remove the direction.
    flat = generator.random(batch) < 0.25
    colour[flat] *= 0.3
    ambient[flat] *= 2.2
    wrap = generator.uniform(0.1, 0.4, (batch, 1)) * np.array([1.35, 0.85, 0.7])
    gloss = np.stack(
        [
            np.where(
                generator.random(batch) < 0.25,
                generator.uniform(0.25, 0.7, batch),
                generator.uniform(0.02, 0.25, batch),
            ),
            np.exp(generator.uniform(np.log(6), np.log(45), batch)),
        ],
        -1,
    )
    arrays = (
        direction,
        colour,
        np.exp(generator.uniform(np.log(0.05), np.log(0.6), (batch, LIGHTS))),
        ambient,
        generator.uniform(0.0, 0.5, batch),
        wrap,
        gloss,
        generator.uniform(0.3, 1.3, batch),
        generator.uniform(0.3, 1.4, batch),
    )
    return LightDraw(*(array.astype(np.float32) for array in arrays))


def occlusion(
    points: Tensor, normals: Tensor, centres: Tensor, radii: Tensor, lights: Tensor, softness: Tensor
) -> Tensor:
    """How much of the ambient light, and of each light, balls keep from points.

    Args:
        points, normals: `(B, C, 3)`.
        centres: `(B, S, 3)`; radii: `(S,)`, or `(B, 1, S)`.
        lights: `(B, L, 3)` unit vectors towards the lights; softness: `(B, L)`, tangent of their angular radius.

    Returns:
        `(B, 1 + L, C)`: blocked share of the hemisphere (a ball of radius r at distance d in direction u blocks about
        max(0, n . u) r^2 / d^2; summed, not clamped), then the blocked share of each light.
    """
    one = torch.ones_like(points[..., :1])
    ones = torch.ones_like(centres[..., :1])
    beyond = torch.cat([centres, ones], -1).transpose(1, 2)  # (B, 4, S)
    squares = torch.cat([beyond, centres.square().sum(-1)[:, None]], 1)  # (B, 5, S)
    distance2 = torch.bmm(torch.cat([-2.0 * points, points.square().sum(-1, keepdim=True), one], -1), squares)
    distance2.clamp_min_(1e-6)  # (B, C, S)
    towards = torch.bmm(torch.cat([normals, -(normals * points).sum(-1, keepdim=True)], -1), beyond)  # n . (c - p)
    inverse = distance2.rsqrt()
    share = towards.clamp_min_(0.0).mul_(inverse).mul_(inverse.mul_(radii).square_()).clamp_max_(1.0)
    blocked, half = [share.sum(-1)], share.new_full((), 0.5)
    for light in range(lights.shape[1]):
        direction = lights[:, light, :, None]  # (B, 3, 1)
        along = (centres @ direction).transpose(1, 2) - points @ direction  # (B, C, S)
        beside = sqrt_(torch.addcmul(distance2, along, along, value=-1.0).clamp_min_(1e-8))
        penumbra = along.clamp_min(0.0).mul_(softness[:, light, None, None]).add_(0.002)
        cover = torch.addcdiv(half, torch.sub(radii, beside, out=beside), penumbra, value=0.5).clamp_(0.0, 1.0)
        # What lies behind the point casts nothing on it.
        cover.mul_(along.sub_(0.5 * radii).mul_(200.0).clamp_(0.0, 1.0))
        blocked.append(cover.sum(-1).clamp_max_(1.0))
    return torch.stack(blocked, 1)


def light_vertices(
    surface: HandSurface,
    vertices: Tensor,
    topology: Topology,
    draw: LightDraw,
    surroundings: Tensor,
    others: Balls | None = None,
) -> VertexLight:
    """Light that arrives at each vertex, and that it mirrors.

    Args:
        surface: the posed hand (for its ball proxies).
        vertices: `(B, V, 3)` what is rendered (sleeves may stand off), camera frame.
        surroundings: `(B, 3)` mean linear colour of the background.
        others: what else keeps light from each hand.
    """
    device = vertices.device
    place = vertices.permute(2, 1, 0).contiguous()  # (3, V, B): components first, pictures last
    edges = face_edges(place, topology.faces)
    normals = vertex_normals(*edges, topology.around)
    direction = torch.as_tensor(draw.direction, device=device)
    blocked = _blocked(surface, place, normals, topology, draw, others)
    diffuse, gloss = light_points(place, normals, blocked, draw, surroundings)
    relief = _relief(*edges, direction[:, 0], topology) * torch.as_tensor(draw.bump, device=device)
    return VertexLight(diffuse, gloss, relief)


def light_points(
    place: Tensor, normals: Tensor, blocked: Sequence[Tensor], draw: LightDraw, surroundings: Tensor
) -> tuple[Tensor, Tensor]:
    """Light `(3, V, B)` that arrives at points of surfaces, and light that they mirror to the camera.

    Args:
        place, normals: `(3, V, B)`, camera frame.
        blocked: shares `(V, B)` that something keeps from them, of the sky and then of each light.
        surroundings: `(B, 3)` mean linear colour of the background.
    """
    diffuse = _ambient(normals, blocked[0], draw, surroundings)
    shine = [torch.zeros_like(light) for light in diffuse]
    view = place * -(place.square().sum(0) + 1e-12).rsqrt()
    for light in range(LIGHTS):
        _add_light(diffuse, shine, light, normals, view, 1.0 - blocked[1 + light], draw)
    grazing = (1.0 - (normals * view).sum(0)).clamp_(0.0, 1.0)
    grazing = grazing.square().square() * grazing
    strength = torch.as_tensor(draw.gloss[:, 0], device=place.device)
    gloss = [strength * (s * (0.35 + 0.65 * grazing) + 0.35 * grazing * d) for s, d in zip(shine, diffuse, strict=True)]
    return torch.stack(diffuse), torch.stack(gloss)


def _blocked(
    surface: HandSurface,
    place: Tensor,
    normals: Tensor,
    topology: Topology,
    draw: LightDraw,
    others: Balls | None = None,
) -> tuple[Tensor, ...]:
    """What balls keep from vertices at `place (3, V, B)`, as `occlusion` has it: `(V, B)` of the sky, then of each light."""
    device, batch = place.device, place.shape[-1]
    block = _CPU_BLOCK if device.type == "cpu" else batch
    centres, radii = balls(surface, topology), topology.ball_radius.expand(batch, 1, -1)
    if others is not None:
        centres, radii = torch.cat([centres, others.centres], 1), torch.cat([radii, others.radii[:, None]], 2)
    arguments = (
        place[:, topology.coarse].permute(2, 1, 0),
        normals[:, topology.coarse].permute(2, 1, 0),
        centres,
        radii,
        torch.as_tensor(draw.direction, device=device),
        torch.as_tensor(draw.softness, device=device),
    )
    parts = zip(*(argument.split(block) for argument in arguments), strict=True)
    coarse = torch.cat([occlusion(*part) for part in parts])
    coarse = coarse.permute(2, 1, 0).flatten(1)  # (C, (1 + L) B) of (B, 1 + L, C)
    spread = F.embedding_bag(topology.spread, coarse, mode="sum", per_sample_weights=topology.spread_weights)
    return spread.unflatten(1, (1 + LIGHTS, -1)).unbind(1)


def _ambient(normals: Tensor, blocked: Tensor, draw: LightDraw, surroundings: Tensor) -> list[Tensor]:
    """Ambient light of each colour `(V, B)` at vertices with `normals (3, V, B)`; `blocked (V, B)` is the blocked share of their sky."""

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=normals.device)

    open_sky = -1.1 * on(draw.occlusion) * blocked  # log
    ambient = on(draw.ambient).permute(2, 1, 0)[:, :, None]  # (4, 3, 1, B)
    bounce = on(draw.bounce)[:, None]
    tint = 1 - bounce + bounce * surroundings / surroundings.mean(1, keepdim=True).clamp_min(0.02)
    tint = tint.T[:, None]  # (3, 1, B)
    found = []
    for c, blend in enumerate(_BLEND):
        sky = (
            ambient[0, c] * tint[c]
            + ambient[1, c] * normals[0]
            + ambient[2, c] * normals[1]
            + ambient[3, c] * normals[2]
        )
        found.append(sky.clamp_min_(0.0).mul_(exp_(blend * open_sky)))
    return found


def _add_light(
    diffuse: list[Tensor], shine: list[Tensor], light: int, normals: Tensor, view: Tensor, lit: Tensor, draw: LightDraw
) -> None:
    """Add a light to each colour of `diffuse` and `shine` `(V, B)`.

    Args:
        light: number of the light.
        normals, view: `(3, V, B)` unit vectors out of the surface and towards the camera.
        lit: `(V, B)` how much of the light arrives.
    """

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=normals.device)

    towards = on(draw.direction)[:, light].T[:, None]  # (3, 1, B)
    wrap, exponent = on(draw.wrap).T[:, None], on(draw.gloss).T[1]
    cosine = (normals * towards).sum(0)  # (V, B)
    half = view + towards
    peak = (normals * half).sum(0) * (half.square().sum(0) + 1e-12).rsqrt()
    peak = exp_(log_(peak.clamp_(1e-3, 1.0)).mul_(exponent))
    # Skin mirrors in two lobes: a broad one, and one four times as sharp where it is oily.
    sharp = peak.square().square()
    peak.mul_(_BROAD * (exponent + 8.0) / 40.0).addcmul_(sharp, (1.0 - _BROAD) * (4.0 * exponent + 8.0) / 40.0)
    peak.mul_(cosine > 0).mul_(lit)
    for c in range(3):
        colour = on(draw.colour[:, light, c])  # (B,)
        fall = (cosine + wrap[c]).clamp_min_(0.0).div_(1.0 + wrap[c])
        diffuse[c].addcmul_(fall * fall.sqrt(), lit * colour)
        shine[c].addcmul_(peak, colour)


def _relief(edge1: Tensor, edge2: Tensor, towards: Tensor, topology: Topology) -> Tensor:
    """How `(2, V, B)` the light from `towards (B, 3)` leans along u and v, from the tangents dP/du and dP/dv of each face.

    Faces are given by their edges `(3, F, B)`.
    """
    key = towards.T[:, None]
    lean1, lean2 = (edge1 * key).sum(0), (edge2 * key).sum(0)  # (F, B)
    g11, g12, g22 = edge1.square().sum(0), (edge1 * edge2).sum(0), edge2.square().sum(0)
    relief = []
    for axis in range(2):
        a, b = topology.uv_inverse[:, 0, axis, None], topology.uv_inverse[:, 1, axis, None]
        squared = (a * a * g11 + 2 * a * b * g12 + b * b * g22).clamp_min_(1e-6)
        relief.append((a * lean1 + b * lean2) / squared)
    summed = sum_faces(torch.stack(relief, 1), topology.around).transpose(0, 1)  # (2, V, B)
    return summed / (topology.around < len(topology.faces)).sum(1)[:, None]
