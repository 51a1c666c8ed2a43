"""Bodies in pictures: dressed and lit all at once, rasterised together with the others in their picture, painted one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import exp_
from phalanx.geometry.point_lists import interleaved, places, transposed
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
from phalanx.synth.paint.quads import seen_quads
from phalanx.synth.paint.shadows import body_balls
from phalanx.synth.paint.surface import face_edges, vertex_normals

_NEAREST = (
    0.17  # metres: what is nearer is cut off; no face is longer than from there to `NEAR`, where they would be left out
)
_SECTIONS = 16  # more than there are


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
    hidden: Tensor | None = None,
) -> Layer:
    """Pictures of people without their hands; the nearer in front.

    Args:
        surface: P posed bodies in the frames of their cameras.
        look: how they look.
        skin: (P, 3, 6) colours of their skins, as `skin.skin_matrices` has them; those of their hands.
        light: on each of them; none: they stay black.
        K: (P, 3, 3) of the cameras that see them; one camera for all in a picture.
        surroundings: (P, 3) mean linear colour of what lies behind them.
        picture: (P,) number of the picture that each is in; none: one picture each.
        pictures: how many pictures there are; none: P.
        others: what else keeps light from each of them.
        hidden: (pictures, height, width) metres beyond which nothing need be painted, as other things will be put before it; none: all is.
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
    naked = _normals(surface.vertices, topology.faces[: topology.body], topology.around_body)
    vertices = dress_bodies(surface, naked, cover, topology, look)
    attributes = _attributes(vertices, surface, topology, light, surroundings, others)
    for number in range(count):
        for turn, own in enumerate(_together(np.flatnonzero(picture == number), vertices)):
            index = torch.as_tensor(own, device=device)
            box = _box(vertices[index].flatten(0, 1), K[own[0]], height, width)
            if box is None:
                continue
            points = _points(vertices[index], K[own[0]], box, topology, None if hidden is None else hidden[number])
            values = _interpolated(points, attributes[index], topology)
            if light is None or not len(points.face):
                colour = torch.zeros_like(values[0:3])
            else:
                colour = _paint(points, values, float(K[own[0], 0, 0]), topology, look[own], skin[index], light[own])
            cut, depth = values[6] > 1.0 / _NEAREST, 1.0 / values[6]
            if cut.any():
                points, colour, depth = _cut_off(points, colour, depth, cut)
            drawn = _resolved(points, colour, depth, box)
            there = Layer(
                *(_within(each[number : number + 1], box) for each in (layer.colour, layer.coverage, layer.depth))
            )
            if turn:
                drawn = drawn.over(there)
            for field in ("colour", "coverage", "depth"):
                getattr(there, field).copy_(getattr(drawn, field))
    return layer


def _together(people: np.ndarray, vertices: Tensor) -> list[np.ndarray]:
    """Which of the `people (N,)` of a picture are rasterised together; those who are cut off hide themselves alone where they are."""
    place = vertices[torch.as_tensor(people, device=vertices.device), :, 2]
    near = torch.where(place > NEAR, place, torch.inf).amin(1) < _NEAREST
    alone = near.cpu().numpy()
    return [*people[alone, None], people[~alone]] if not alone.all() else list(people[:, None])


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


def _within(picture: Tensor, box: Box) -> Tensor:
    """The part `(..., h, w)` of a picture `(..., H, W)` that is in the box."""
    left, top, columns, rows = box
    return picture[..., top : top + rows, left : left + columns]


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
        normals = _normals(vertices, topology.outer, topology.around)
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


def _normals(vertices: Tensor, faces: Tensor, around: Tensor) -> Tensor:
    """Unit normals `(P, V, 3)` of vertices, from the `faces (F, 3)`; `around (V, A)` says which lie around each."""
    place = vertices.permute(2, 1, 0).contiguous()  # components first, people last: the quickest
    return vertex_normals(*face_edges(place, faces), around).permute(2, 1, 0)


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


def _paint(
    points: _Points,
    values: Tensor,
    focal: float,
    topology: BodyTopology,
    look: BodyLook,
    skin: Tensor,
    light: LightDraw,
) -> Tensor:
    """Colours `(3, T)` of the points of N people, from their attributes `values (15, T)`; `skin (N, 3, 6)`."""
    depth, ends = 1.0 / values[6], points.ends.tolist()
    middle = [float(depth[begin:end].median()) if end > begin else 1.0 for begin, end in pairwise(ends)]
    whole = Points(
        ends=points.ends,
        section=topology.section[1:].repeat(len(ends) - 1).index_select(0, points.face),
        diffuse=values[0:3],
        gloss=values[3:6],
        depth=depth,
        focal=focal,
        place=values[7:13],
        uv=values[13:15],
        span=[metres / focal for metres in middle],
    )
    cover = covers(whole.place, look, whole.of)
    worn = [inside for inside in cover if inside is not None]
    covered = torch.stack(worn).amax(0) if worn else torch.full_like(depth, -1.0)
    textures = body_textures(str(depth.device))
    albedo, shine = paint_skin(whole, covered, topology, textures, look, skin)
    paint_cloth(albedo, shine, whole, cover, covered, textures, look, light)
    return exp_(albedo).mul_(whole.diffuse).add_(whole.gloss.mul_(shine))


@dataclass
class _Points:
    """The T points of a box that are shaded, one person after another: middles of pixels all of whose four samples lie on one section of
    one body, and the samples of others.

    Attributes:
        coverage: (h w,) share of each pixel.
        pixel: (T,) of each point; rim: (T,) which are samples.
        ends: (N + 1,) where each one's points begin and end.
        face: (T,) of all N people's, one after another; share: (T, 3) of each of its corners.
    """

    coverage: Tensor
    pixel: Tensor
    rim: Tensor
    ends: Tensor
    face: Tensor
    share: Tensor


def _points(vertices: Tensor, K: Tensor, box: Box, topology: BodyTopology, hidden: Tensor | None) -> _Points:
    """Points to be shaded of a box of a picture, in which N people with `vertices (N, V, 3)` are seen by the camera `K`; none of pixels
    where all that is seen lies beyond `hidden (H, W)`."""
    people = len(vertices)
    left, top, columns, rows = box
    fine = K.clone()  # the camera of the box, with twice as many pixels: u' = 2 (u - left) + 0.5
    fine[0, 2] -= left
    fine[1, 2] -= top
    fine[:2] *= 2.0
    fine[:2, 2] += 0.5
    number = torch.arange(people, device=K.device)
    mesh = (topology.faces + number[:, None, None] * vertices.shape[1]).flatten(0, 1)
    seen = visibility(vertices.flatten(0, 1)[None], mesh, fine[None], 2 * rows, 2 * columns, back_faces=False)[0]
    touched, row, four = seen_quads(seen[None])
    if hidden is not None:
        nearest = vertices[..., 2].index_select(1, topology.faces.flatten()).view(people, -1, 3).amin(2).flatten()
        nearest = torch.cat([nearest.new_full((1,), torch.inf), nearest]).index_select(0, four.flatten() + 1)
        limit = _within(hidden, box).flatten().index_select(0, touched)
        shown = places(nearest.view(4, -1).amin(0) < limit)
        touched, row, four = touched.index_select(0, shown), row.index_select(0, shown), four.index_select(1, shown)
    section = topology.section[1:] + number.to(torch.int16)[:, None] * _SECTIONS  # of all people
    section = torch.cat([section.new_full((1,), -1), section.flatten()])
    of = section.index_select(0, four.flatten() + 1).view(4, -1)
    hit = of >= 0
    whole = hit[0] & (of[0] == of[1]) & (of[0] == of[2]) & (of[0] == of[3])
    share = hit.view(torch.uint8).sum(0, dtype=torch.uint8).float().mul_(0.25)
    coverage = torch.zeros(rows * columns, device=K.device).index_copy_(0, touched, share)
    inner, edge = places(whole), places(~whole)
    beside = places(hit.index_select(1, edge))
    which = torch.div(beside, max(len(edge), 1), rounding_mode="floor")
    at = torch.cat([inner, edge.index_select(0, beside - which * len(edge))])  # of `touched`
    sample = at.clone()  # of `four`, row after row
    sample[len(inner) :] += which * len(touched)
    aside = torch.full((2, len(at)), 0.5, device=K.device)
    aside[0, len(inner) :], aside[1, len(inner) :] = which.remainder(2), which.div(2, rounding_mode="floor")
    owner = of.flatten().index_select(0, sample).div_(_SECTIONS, rounding_mode="floor")
    each = [places(owner == person) for person in range(people)]
    order = torch.cat(each)
    at, face = at.index_select(0, order), four.flatten().index_select(0, sample.index_select(0, order)).long()
    pixel, row = touched.index_select(0, at), row.index_select(0, at)
    x = aside[0].index_select(0, order).add_((pixel - row * columns).float(), alpha=2.0)
    y = aside[1].index_select(0, order).add_(row.float(), alpha=2.0)
    share = _shares(x, y, transposed(_set_up(vertices, fine, topology).flatten(0, 1).index_select(0, face)))
    ends = torch.tensor([0, *(len(own) for own in each)], device=K.device).cumsum(0)
    return _Points(coverage, pixel, order >= len(inner), ends, face, share)


def _cut_off(points: _Points, colour: Tensor, depth: Tensor, cut: Tensor) -> tuple[_Points, Tensor, Tensor]:
    """The points, their colour `(3, T)` and depth `(T,)` without those where `cut (T,)` is true."""
    kept = places(~cut)
    coverage = points.coverage.index_add(0, points.pixel, -torch.where(points.rim, 0.25, 1.0) * cut)
    left = replace(points, coverage=coverage, pixel=points.pixel[kept], rim=points.rim[kept])
    return left, colour[:, kept], depth[kept]


def _set_up(vertices: Tensor, K: Tensor, topology: BodyTopology) -> Tensor:
    """Set-up `(N, F, 6)` of the faces' screen barycentrics for N people with `vertices (N, V, 3)`: corner 0, and what x and y add."""
    place = vertices @ K.T
    place = place[..., :2] / place[..., 2:].clamp_min(NEAR)
    a, b, c = place.index_select(1, topology.faces.flatten()).unflatten(1, (-1, 3)).unbind(2)  # (N, F, 2)
    first, second = b - a, c - a
    area = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    inverse = (1.0 / torch.where(area.abs() < 1e-8, 1e-8, area))[..., None]
    return torch.cat([a, second.flip(-1) * inverse, first.flip(-1) * inverse], -1)


def _shares(x: Tensor, y: Tensor, set_up: Tensor) -> Tensor:
    """Screen barycentrics `(T, 3)` of points at `x`, `y` `(T,)` in faces with `set_up (6, T)`."""
    ax, ay, sy, sx, fy, fx = set_up
    x, y = x - ax, y - ay
    one = (sy * x - sx * y).clamp_(0.0, 1.0)
    two = torch.minimum((fx * y - fy * x).clamp_min_(0.0), 1.0 - one)
    return interleaved([1.0 - one - two, one, two])


def _interpolated(points: _Points, attributes: Tensor, topology: BodyTopology) -> Tensor:
    """Attributes `(C, T)` of points, from those of the split vertices `(N, W, C)`."""
    first = torch.arange(len(points.ends) - 1, device=points.face.device) * len(topology.split)
    index = (topology.split_faces + first[:, None, None]).flatten(0, 1).index_select(0, points.face)
    return transposed(F.embedding_bag(index, attributes.flatten(0, 1), mode="sum", per_sample_weights=points.share))


def _resolved(points: _Points, colour: Tensor, depth: Tensor, box: Box) -> Layer:
    """The picture of the box, from the colour `(3, T)` and depth `(T,)` of its points."""
    inner, rim = places(~points.rim), places(points.rim)
    middles, samples = points.pixel.index_select(0, inner), points.pixel.index_select(0, rim)
    canvas = torch.zeros((3, len(points.coverage)), device=depth.device)
    canvas.index_copy_(1, middles, colour.index_select(1, inner))
    canvas.index_add_(1, samples, colour.index_select(1, rim).mul_(0.25))
    nearest = torch.zeros_like(points.coverage)
    nearest.index_copy_(0, middles, depth.index_select(0, inner))
    nearest.index_fill_(0, samples, torch.inf)
    nearest.scatter_reduce_(0, samples, depth.index_select(0, rim), "amin")
    _, _, columns, rows = box
    coverage = points.coverage.view(1, rows, columns)
    return Layer(canvas.view(1, 3, rows, columns), coverage, nearest.view(1, rows, columns))
