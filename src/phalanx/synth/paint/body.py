"""Bodies in pictures: posed, dressed, lit and rasterised, one person after another within the box that they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.render.mesh import vertex_normals
from phalanx.render.visibility import NEAR, visibility
from phalanx.synth.body.model import BodySurface
from phalanx.synth.paint.body_cloth import paint_cloth
from phalanx.synth.paint.body_dress import covers, dress_bodies
from phalanx.synth.paint.body_look import BodyLook
from phalanx.synth.paint.body_skin import Points, paint_skin
from phalanx.synth.paint.body_surface import BodyTopology, body
from phalanx.synth.paint.body_textures import body_textures
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.light import LIGHTS, Balls, LightDraw, light_points, occlusion
from phalanx.synth.paint.shadows import body_balls

_NEAREST = (
    0.17  # metres: what is nearer is cut off; no face is longer than from there to `NEAR`, where they would be left out
)
_HIDDEN = 0.02  # metres by which whole pixels of others must be nearer than all of a person to hide it


def paint_bodies(
    surface: BodySurface,
    look: BodyLook,
    skin: np.ndarray | Tensor,
    light: LightDraw | None,
    K: Tensor,
    height: int,
    width: int,
    surroundings: Tensor,
    picture: np.ndarray | None = None,
    pictures: int | None = None,
    others: Balls | None = None,
) -> Layer:
    """Pictures of people without their hands; the nearer in front.

    Args:
        surface: P posed bodies in the frames of their cameras.
        look: how they look.
        skin: (P, 3, 6) colours of their skins, as `skin.skin_matrices` has them; those of their hands.
        light: on each of them; none: they stay black.
        K: (P, 3, 3) of the cameras that see them.
        surroundings: (P, 3) mean linear colour of what lies behind them.
        picture: (P,) number of the picture that each is in; none: one picture each.
        pictures: how many pictures there are; none: P.
        others: what else keeps light from each of them.
    """
    device = surface.vertices.device
    topology = body(str(device))[1]
    people = len(surface.vertices)
    picture = np.arange(people) if picture is None else picture
    count = people if pictures is None else pictures
    layer = Layer(
        torch.zeros((count, 3, height, width), device=device),
        torch.zeros((count, height, width), device=device),
        torch.zeros((count, height, width), device=device),
    )
    if not people:
        return layer
    skin = torch.as_tensor(skin, dtype=torch.float32, device=device)
    cover = covers(topology.place, look)
    naked = vertex_normals(surface.vertices, topology.faces[: topology.body])
    vertices = dress_bodies(surface, naked, cover, topology, look)
    attributes = _attributes(vertices, surface, topology, light, surroundings, others)
    for person in surface.joints[:, 0, 2].argsort().tolist():  # the nearest first: they hide others
        box = _box(vertices[person], K[person], height, width)
        if box is None:
            continue
        hidden = _hidden(layer, int(picture[person]), box, vertices[person])
        drawn = _paint(person, vertices, attributes, K, box, hidden, topology, look, skin[person], light)
        if drawn is not None:
            _put(layer, int(picture[person]), box, drawn)
    return layer


Box = tuple[int, int, int, int]
"""First column and row, and number of columns and rows."""


def _box(vertices: Tensor, K: Tensor, height: int, width: int) -> Box | None:
    """The part of the picture that vertices `(N, 3)` may cover, if any."""
    seen = vertices[vertices[:, 2] > NEAR]
    if not len(seen):
        return None
    pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
    left, top = (pixels.amin(0).floor() - 1).long().tolist()
    right, bottom = (pixels.amax(0).ceil() + 2).long().tolist()
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return (left, top, right - left, bottom - top) if left < right and top < bottom else None


def _hidden(layer: Layer, picture: int, box: Box, vertices: Tensor) -> Tensor | None:
    """Where `(h, w)` in its box others, drawn before, hide all that a person with `vertices (N, 3)` may have there; none: nowhere."""
    left, top, columns, rows = box
    before = layer.depth[picture, top : top + rows, left : left + columns]
    nearest = float(vertices[vertices[:, 2] > NEAR, 2].amin())
    hidden = (layer.coverage[picture, top : top + rows, left : left + columns] > 0.999) & (before < nearest - _HIDDEN)
    return hidden if bool(hidden.any()) else None


def _attributes(
    vertices: Tensor,
    surface: BodySurface,
    topology: BodyTopology,
    light: LightDraw | None,
    surroundings: Tensor,
    others: Balls | None,
) -> Tensor:
    """What is interpolated, `(P, W, C)` of the split vertices: light that arrives and is mirrored, 1 / depth, `place`, UV."""
    people, own = len(vertices), len(topology.rest)
    if light is None:
        diffuse = gloss = torch.zeros_like(vertices).permute(2, 1, 0)
    else:
        normals = vertex_normals(vertices, topology.outer)
        blocked = _blocked(surface, vertices, normals, topology, light, others)
        diffuse, gloss = light_points(
            vertices.permute(2, 1, 0).contiguous(), normals.permute(2, 1, 0).contiguous(), blocked, light, surroundings
        )
    values = [
        diffuse.permute(2, 1, 0),
        gloss.permute(2, 1, 0),
        1.0 / vertices[..., 2:].clamp_min(NEAR),
        F.pad(topology.place, (0, vertices.shape[1] - own), value=-1.0).T.expand(people, -1, -1),
    ]
    whole = torch.cat(values, -1).index_select(1, topology.split)
    return torch.cat([whole, topology.split_uv.expand(people, -1, -1)], -1)


def _blocked(
    surface: BodySurface,
    vertices: Tensor,
    normals: Tensor,
    topology: BodyTopology,
    light: LightDraw,
    others: Balls | None,
) -> list[Tensor]:
    """Shares `(V + X + Y, P)` of the sky, and of each light, that the body and others keep from its vertices."""
    device, own = vertices.device, len(topology.rest)
    own_balls = body_balls(surface, topology)
    balls = own_balls if others is None else own_balls.with_(others)
    lights = torch.as_tensor(light.direction, device=device)
    softness = torch.as_tensor(light.softness, device=device)
    coarse = topology.coarse
    radii = topology.ball_radius if others is None else balls.radii[:, None]
    found = occlusion(vertices[:, coarse], normals[:, coarse], balls.centres, radii, lights, softness)
    flat = found.permute(2, 1, 0).flatten(1)  # (C, (1 + L) P)
    spread = F.embedding_bag(topology.spread, flat, mode="sum", per_sample_weights=topology.spread_weights)
    shares = F.pad(spread.unflatten(1, (1 + LIGHTS, -1)), (0, 0, 0, 0, 0, vertices.shape[1] - own))
    sky, *each = shares.unbind(1)
    sky[:own] = 0.5 * sky[:own] + 1.2 * topology.closed[:, None]
    return [sky, *each]


@dataclass
class _Drawn:
    """A person within a box: `colour (3, h, w)` multiplied by `coverage (h, w)`, and depth."""

    colour: Tensor
    coverage: Tensor
    depth: Tensor


def _paint(
    person: int,
    vertices: Tensor,
    attributes: Tensor,
    K: Tensor,
    box: Box,
    hidden: Tensor | None,
    topology: BodyTopology,
    look: BodyLook,
    skin: Tensor,
    light: LightDraw | None,
) -> _Drawn | None:
    left, top, columns, rows = box
    fine = K[person].clone()  # the camera of the box, with twice as many pixels: u' = 2 (u - left) + 0.5
    fine[0, 2] -= left
    fine[1, 2] -= top
    fine[:2] *= 2.0
    fine[:2, 2] += 0.5
    seen = visibility(vertices[person, None], topology.faces, fine[None], 2 * rows, 2 * columns, back_faces=False)[0]
    if hidden is not None:
        seen.view(rows, 2, columns, 2).masked_fill_(hidden[:, None, :, None], -1)
    samples = _samples(seen, topology)
    if not len(samples.face):
        return None
    values = _interpolated(samples, vertices[person], fine, attributes[person], topology)
    cut = values[6] > 1.0 / _NEAREST
    depth, focal = 1.0 / values[6], float(K[person, 0, 0])
    if light is None:
        colour = torch.zeros_like(values[0:3])
        if cut.any():
            _cut_off(samples, colour, depth, cut)
        return _resolved(samples, colour, depth, rows, columns)
    points = Points(
        section=topology.section.index_select(0, samples.face + 1),
        diffuse=values[0:3],
        gloss=values[3:6],
        depth=depth,
        place=values[7:13],
        uv=values[13:15],
        cover=[None if inside is None else inside[0] for inside in covers(values[7:13], look[person : person + 1])],
        focal=focal,
        span=float(depth.median()) / focal,
    )
    textures = body_textures(str(vertices.device))
    albedo, shine = paint_skin(points, topology, textures, look, person, skin)
    paint_cloth(albedo, shine, points, textures, look, person, light)
    colour = albedo.exp_().mul_(points.diffuse).add_(points.gloss.mul_(shine))
    if cut.any():
        _cut_off(samples, colour, points.depth, cut)
    return _resolved(samples, colour, points.depth, rows, columns)


@dataclass
class _Samples:
    """The points of a box that are shaded: middles of `inner (I,)` pixels all of whose four samples lie on one section of the body, then
    the samples of others, each in its pixel `rim (R,)`.

    Attributes:
        coverage: (h w,) share of each pixel.
        face: (I + R,); x, y: (I + R,) in pixels of twice the size.
    """

    coverage: Tensor
    inner: Tensor
    rim: Tensor
    face: Tensor
    x: Tensor
    y: Tensor


def _samples(seen: Tensor, topology: BodyTopology) -> _Samples:
    """Points to be shaded of a box in which the faces `seen (2 h, 2 w)` are seen."""
    rows, columns = (side // 2 for side in seen.shape)
    four = seen.view(rows, 2, columns, 2).permute(1, 3, 0, 2).reshape(4, -1)
    section = topology.section.index_select(0, four.reshape(-1) + 1).view(4, -1)
    hit = section >= 0
    whole = hit[0] & (section == section[0]).all(0)
    coverage = hit.sum(0, dtype=torch.float32).mul_(0.25)
    inner = whole.nonzero()[:, 0]
    which, rim = (hit & ~whole).nonzero().unbind(1)
    pixel = torch.cat([inner, rim])
    face = torch.cat([four[0, inner], four[which, rim]]).long()
    y = torch.div(pixel, columns, rounding_mode="floor")
    x, y = (pixel - y * columns).float().mul_(2.0), y.float().mul_(2.0)
    x[: len(inner)] += 0.5
    y[: len(inner)] += 0.5
    x[len(inner) :] += which.remainder(2)
    y[len(inner) :] += which.div(2, rounding_mode="floor")
    return _Samples(coverage, inner, rim, face, x, y)


def _interpolated(samples: _Samples, vertices: Tensor, K: Tensor, attributes: Tensor, topology: BodyTopology) -> Tensor:
    """Attributes `(C, T)` of the samples' points, from those of the split vertices `(W, C)`."""
    place = vertices @ K.T
    place = place[:, :2] / place[:, 2:].clamp_min(NEAR)
    a, b, c = place[topology.faces].unbind(1)  # (F, 2)
    first, second = b - a, c - a
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    inverse = (1.0 / torch.where(area.abs() < 1e-8, 1e-8, area))[:, None]
    set_up = torch.cat([a, second.flip(1) * inverse, first.flip(1) * inverse], 1)  # (F, 6)
    ax, ay, sy, sx, fy, fx = set_up.index_select(0, samples.face).unbind(1)
    x, y = samples.x - ax, samples.y - ay
    one = (sy * x - sx * y).clamp_(0.0, 1.0)
    two = torch.minimum((fx * y - fy * x).clamp_min_(0.0), 1.0 - one)
    share = torch.stack([1.0 - one - two, one, two], -1)
    index = topology.split_faces.index_select(0, samples.face)
    return F.embedding_bag(index, attributes, mode="sum", per_sample_weights=share).t().contiguous()


def _cut_off(samples: _Samples, colour: Tensor, depth: Tensor, cut: Tensor) -> None:
    """Take the points where `cut (T,)` is true out of the picture, in place."""
    count = len(samples.inner)
    samples.coverage[samples.inner[cut[:count]]] = 0.0
    rim = samples.rim[cut[count:]]
    samples.coverage.index_add_(0, rim, torch.full_like(rim, -0.25, dtype=torch.float32))
    colour.masked_fill_(cut, 0.0)
    depth.masked_fill_(cut, torch.inf)


def _resolved(samples: _Samples, colour: Tensor, depth: Tensor, rows: int, columns: int) -> _Drawn:
    """The box's picture, from the colour `(3, T)` and depth `(T,)` of the points."""
    inner, rim, count = samples.inner, samples.rim, len(samples.inner)
    canvas = torch.zeros((3, rows * columns), device=colour.device)
    canvas.index_copy_(1, inner, colour[:, :count])
    canvas.index_add_(1, rim, colour[:, count:].mul(0.25))
    nearest = torch.full_like(samples.coverage, torch.inf).scatter_reduce_(0, rim, depth[count:], "amin")
    nearest.index_copy_(0, inner, depth[:count])
    nearest.masked_fill_(nearest.isinf(), 0.0)
    return _Drawn(canvas.view(3, rows, columns), samples.coverage.view(rows, columns), nearest.view(rows, columns))


def _put(layer: Layer, picture: int, box: Box, drawn: _Drawn) -> None:
    """Put a person into a picture of the layer, in place."""
    left, top, columns, rows = box
    part = slice(top, top + rows), slice(left, left + columns)
    before = Layer(
        layer.colour[picture, :, part[0], part[1]][None],
        layer.coverage[picture, part[0], part[1]][None],
        layer.depth[picture, part[0], part[1]][None],
    )
    after = Layer(drawn.colour[None], drawn.coverage[None], drawn.depth[None]).over(before)
    layer.colour[picture, :, part[0], part[1]] = after.colour[0]
    layer.coverage[picture, part[0], part[1]] = after.coverage[0]
    layer.depth[picture, part[0], part[1]] = after.depth[0]
