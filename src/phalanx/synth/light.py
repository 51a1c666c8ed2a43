"""Light on the hand, per vertex: coloured lights with a subsurface wrap, low-order ambient light, occlusion and soft cast
shadows from ball proxies, gloss. Interpolated over the faces afterwards: light under skin is smooth at the scale of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.hand.model import HandSurface
from phalanx.synth.surface import Topology, average_faces, balls, vertex_normals

LIGHTS = 2
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


def temperature_colour(kelvin: np.ndarray) -> np.ndarray:
    """Linear RGB `(..., 3)`, green 1, of a black body: a fit to the Planckian locus good to a few per cent in 2500-12000 K."""
    t = 6500.0 / np.asarray(kelvin)
    return np.stack([t**0.85, np.ones_like(t), t**-1.25], -1)


def draw_light(generator: np.random.Generator, batch: int) -> LightDraw:
    """Draw lights: mostly from above and from the camera's side, neutral to warm; sometimes coloured or from behind."""
    direction = generator.normal(size=(batch, LIGHTS, 3)) + np.array([[0.0, -0.7, -0.9], [0.0, -0.2, -0.1]])
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    kelvin = np.exp(generator.normal(np.log(5800), 0.22, (batch, LIGHTS))).clip(2500, 12000)
    tint = np.where(generator.random((batch, LIGHTS, 1)) < 0.08, generator.uniform(0.15, 1.2, (batch, LIGHTS, 3)), 1.0)
    power = np.stack(
        [
            generator.uniform(0.2, 0.85, batch),
            np.where(generator.random(batch) < 0.6, generator.uniform(0.0, 0.4, batch), 0.0),
        ],
        -1,
    )
    colour = temperature_colour(kelvin) ** 0.7 * tint * power[..., None]
    level = generator.uniform(0.15, 0.6, (batch, 1))
    ambient = np.zeros((batch, 3, 4))
    ambient[:, :, 0] = level * temperature_colour(np.exp(generator.normal(np.log(6300), 0.15, batch))) ** 0.7
    ambient[:, :, 1:] = level[..., None] * (
        generator.normal(0, 0.12, (batch, 1, 3)) + generator.normal(0, 0.03, (batch, 3, 3))
    )
    ambient[:, :, 2] -= level * generator.uniform(0, 0.35, (batch, 1))  # more light from above
    # A flat, even light (a phone's flash, an overcast sky) is common: all but remove the direction.
    flat = generator.random(batch) < 0.2
    colour[flat] *= 0.3
    ambient[flat] *= 1.8
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
        generator.uniform(0.6, 1.4, batch),
    )
    return LightDraw(*(array.astype(np.float32) for array in arrays))


def occlusion(
    points: Tensor, normals: Tensor, centres: Tensor, radii: Tensor, lights: Tensor, softness: Tensor
) -> tuple[Tensor, Tensor]:
    """How much of the ambient light and of each light the balls keep from each point.

    Args:
        points, normals: `(B, C, 3)`.
        centres: `(B, S, 3)`; radii: `(S,)`.
        lights: `(B, L, 3)` unit vectors towards the lights; softness: `(B, L)`, tangent of their angular radius.

    Returns:
        Blocked share of the hemisphere, not clamped, `(B, C)`, after Quilez, "Sphere ambient occlusion" (2006);
        blocked share of each light `(B, C, L)`.
    """
    distance2 = torch.baddbmm(
        (points.square().sum(-1))[:, :, None] + centres.square().sum(-1)[:, None],
        points,
        centres.transpose(1, 2),
        alpha=-2.0,
    )
    distance2 = distance2.clamp_min_(1e-6)  # (B, C, S)
    towards = torch.bmm(normals, centres.transpose(1, 2)) - (normals * points).sum(-1)[:, :, None]  # n . (c - p)
    inverse = distance2.rsqrt()
    ambient = (towards * inverse).clamp_min_(0.0).mul_(radii.square()).mul_(inverse.square()).clamp_max_(1.0).sum(-1)
    shadows = []
    for light in range(lights.shape[1]):
        direction = lights[:, light]  # (B, 3)
        along = (centres @ direction[..., None]).transpose(1, 2) - points @ direction[..., None]  # (B, C, S)
        beside = (distance2 - along.square()).clamp_min_(1e-8).sqrt_()
        penumbra = (along.clamp_min(0.0) * softness[:, light, None, None]).add_(0.002)
        cover = ((radii - beside) / penumbra * 0.5 + 0.5).clamp_(0.0, 1.0)
        cover = cover * ((along - 0.5 * radii) * 200.0).clamp_(
            0.0, 1.0
        )  # what lies behind the point casts nothing on it
        shadows.append(cover.sum(-1).clamp_max_(1.0))
    return ambient, torch.stack(shadows, -1)


def light_vertices(
    surface: HandSurface, vertices: Tensor, topology: Topology, draw: LightDraw, surroundings: Tensor
) -> dict[str, Tensor]:
    """Light arriving at and glossily leaving each vertex.

    Args:
        surface: the posed hand (for its ball proxies).
        vertices: `(B, V, 3)` what is rendered (sleeves may stand off), camera frame.
        surroundings: `(B, 3)` mean linear colour of the background.

    Returns:
        `diffuse (V, B, 3)`, `gloss (V, B, 3)`, `relief (V, B, 2)`: by how much light grows per UV slope of the relief.
    """
    device = vertices.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    first = vertices.transpose(0, 1).contiguous()  # (V, B, 3)
    normals, corners = vertex_normals(first, topology)
    direction = on(draw.direction)
    block = _CPU_BLOCK if device.type == "cpu" else len(vertices)
    arguments = (
        first[topology.coarse].transpose(0, 1),
        normals[topology.coarse].transpose(0, 1),
        balls(surface, topology),
        direction,
        on(draw.softness),
    )
    found = [
        occlusion(p, n, c, topology.ball_radius, l, s)
        for p, n, c, l, s in zip(*(a.split(block) for a in arguments), strict=True)
    ]
    blocked, shadow = (torch.cat([pair[i] for pair in found]) for i in (0, 1))
    coarse = torch.cat([blocked[..., None], shadow], -1).transpose(0, 1).flatten(1)  # (C, B * (1 + L))
    spread = F.embedding_bag(topology.spread, coarse, mode="sum", per_sample_weights=topology.spread_weights)
    spread = spread.unflatten(1, (vertices.shape[0], 1 + LIGHTS))  # (V, B, 1 + L)
    open_sky = torch.exp(-1.1 * on(draw.occlusion)[:, None] * spread[..., :1])  # (V, B, 1)
    lit = 1.0 - spread[..., 1:]
    ambient = on(draw.ambient)
    bounce = on(draw.bounce)[:, None]
    base = ambient[:, :, 0] * (1 - bounce + bounce * surroundings / surroundings.mean(1, keepdim=True).clamp_min(0.02))
    round_light = base + torch.einsum("vbc,bkc->vbk", normals, ambient[:, :, 1:])
    # Light between skins has gone through skin: what is blocked loses less red.
    diffuse = round_light.clamp_min_(0.0) * open_sky ** torch.tensor([0.8, 1.0, 1.08], device=device)
    view = -F.normalize(first, dim=-1)
    wrap, gloss = on(draw.wrap), on(draw.gloss)
    shine = torch.zeros_like(diffuse)
    for light in range(LIGHTS):
        towards, colour = direction[:, light], on(draw.colour[:, light])
        cosine = (normals * towards).sum(-1, keepdim=True)  # (V, B, 1)
        fall = ((cosine + wrap) / (1.0 + wrap)).clamp_min_(0.0)
        diffuse = diffuse + fall * fall.sqrt() * lit[..., light : light + 1] * colour
        half = F.normalize(towards + view, dim=-1)
        peak = (normals * half).sum(-1, keepdim=True).clamp_(1e-3, 1.0) ** gloss[:, 1:]
        shine = shine + peak * (cosine > 0) * lit[..., light : light + 1] * colour * (gloss[:, 1:] + 8.0) / 40.0
    grazing = (1.0 - (normals * view).sum(-1, keepdim=True).clamp(0.0, 1.0)) ** 5
    shine = gloss[:, :1] * (shine * (0.35 + 0.65 * grazing) + 0.35 * grazing * diffuse)
    # Relief: the light's direction in UV space, from the gradient vectors of u and v on each face.
    edge = torch.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)  # (F, B, 3, 2)
    tangent = edge @ topology.uv_inverse[:, None]  # (F, B, 3, 2): dP/du, dP/dv
    along = (tangent * direction[:, 0, :, None]).sum(2)  # (F, B, 2)
    squared = tangent.square().sum(2).clamp_min_(1e-6)
    relief = average_faces(along / squared, topology) / (topology.around < len(topology.faces)).sum(1)[:, None, None]
    return {"diffuse": diffuse, "gloss": shine, "relief": relief * on(draw.bump)[:, None]}
