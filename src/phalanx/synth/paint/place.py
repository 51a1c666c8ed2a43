"""Things within reach of hands: tables and walls that they rest on or are near to, and thighs. Where they are; `place_paint` paints them.

A surface is flat, or a cylinder. It has a frame of its own: origin where it is touched, first axis across a cylinder, second along it,
third the normal, out of the surface. With curvature k, 0 for planes, its points (s, t, n) satisfy k / 2 (s^2 + n^2) + n = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.synth.paint.clutter import PALETTE

SUNK = 0.004  # metres: no part of a hand lies further below a surface
_SHARE = 0.34  # of the hands get a surface, unless none fits
_CANDIDATES = 16
_REFINED = 8  # of the places beside the best
_POINTS = 150  # of a hand that are looked at while places are tried
_EDGES = 5
_LEAST_COSINE = 0.22  # between normal and direction to the camera: surfaces seen at less tell little, and alias
_TOUCHING = 0.004  # metres
_FAR = 50.0  # metres: an edge that is nowhere
# What lies on a surface, as the normal in the hand's frame: palm, back, little finger's side, thumb's side, finger tips.
_LYING = np.array([[0, 0, -1.0], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, -0.75, -0.65]])
_LYING_SHARE = np.array([0.34, 0.16, 0.2, 0.06, 0.24])


@dataclass
class PlaceDraw:
    """Random surfaces for H hands, of which C places are tried."""

    chosen: np.ndarray  # (H,) whether there is one
    press: np.ndarray  # (H,) metres by which skin is pressed in; negative: as far away
    curvature: np.ndarray  # (H,) one over metres
    lying: np.ndarray  # (H, C, 3) normals in the hand's frame
    free: np.ndarray  # (H, C, 3) normals in the frame of the ray to the hand, for those that lie on nothing
    is_free: np.ndarray  # (H, C)
    liking: np.ndarray  # (H, C) by which candidates that are as good differ
    jitter: np.ndarray  # (H, R, 3) by which the best is turned to lie still better
    turn: np.ndarray  # (H,) of the axes about the normal, radians
    aside: np.ndarray  # (H,) metres by which cylinders are moved across
    extent: np.ndarray  # (H, 4) metres to the ends at +s, -s, +t, -t
    tile: np.ndarray  # (H,) share of the bank
    metres: np.ndarray  # (H,) side of the tile
    shift: np.ndarray  # (H, 2) of the tile, in sides
    colour: np.ndarray  # (H, 3, 4) colour matrix and offset
    infrared: np.ndarray  # (H,) reflectance

    def __getitem__(self, index: np.ndarray) -> PlaceDraw:
        return map_fields(self, lambda value: value[index])


def draw_places(generator: np.random.Generator, hands: int) -> PlaceDraw:
    """Draw surfaces: tables and walls of all sizes, one in seven a thigh; three in four are touched."""
    C = _CANDIDATES
    chosen = generator.random(hands) < _SHARE
    touched = generator.random(hands) < 0.75
    near = np.exp(generator.uniform(np.log(0.004), np.log(0.09), hands))
    press = np.where(touched, generator.uniform(0.0005, 0.003, hands), -near)
    round_ = generator.random(hands) < 0.15
    curvature = np.where(round_, 1.0 / generator.uniform(0.07, 0.09, hands), 0.0)
    kind = generator.choice(len(_LYING), (hands, C), p=_LYING_SHARE)
    lying = _LYING[kind] + generator.normal(0, 0.28, (hands, C, 3))
    free = generator.normal(size=(hands, C, 3)) * 0.6 + np.array([0, 0, -1.0])
    is_free = generator.random((hands, C)) < np.where(touched, 0.3, 0.75)[:, None]
    wide = generator.random((hands, 1)) < 0.45
    extent = np.exp(generator.uniform(np.log(0.05), np.log(0.9), (hands, 4)))
    extent = np.where(wide, 2.5, extent)
    extent = np.where(round_[:, None], [[_FAR, _FAR, 0.0, 0.0]] + generator.uniform(0.15, 0.4, (hands, 4)), extent)
    gain = np.exp(generator.normal(0.0, 0.3, (hands, 1, 1))) * np.exp(generator.normal(0, 0.05, (hands, 3, 1)))
    keep = generator.uniform(0.3, 1.3, (hands, 1, 1))
    matrix = (keep * np.eye(3) + (1 - keep) / 3) * gain
    # Most things have a colour of their own, and are less motley than the painter had them.
    motley = generator.uniform(0.15, 1.0, (hands, 1, 1))
    ground = PALETTE[generator.integers(0, len(PALETTE), hands)] / 255.0 + generator.normal(0, 0.05, (hands, 3))
    offset = (1 - motley) * ground[..., None].clip(0.05, 0.98)
    return PlaceDraw(
        chosen,
        press,
        curvature,
        _unit(lying),
        _unit(free),
        is_free,
        generator.gumbel(0, 0.6, (hands, C)),
        generator.normal(0, 0.09, (hands, _REFINED, 3)) * np.linspace(0, 1.6, _REFINED)[:, None],
        generator.uniform(-np.pi, np.pi, hands),
        generator.normal(0, 0.02, hands),
        extent,
        generator.random(hands),
        np.exp(generator.uniform(np.log(0.25), np.log(1.2), hands)),
        generator.uniform(-1, 1, (hands, 2)),
        np.concatenate([matrix * motley, offset], -1),
        generator.uniform(0.08, 0.85, hands),
    )


@dataclass
class Surfaces:
    """N surfaces, float64 on the CPU.

    Attributes:
        axes: (N, 3, 3) rows are the surface's axes in the frame they are given in; origin: (N, 3).
        curvature: (N,).
        edges: (N, 5, 3): a point (s, t) is on the surface where e0 s + e1 t + e2 > 0 for each of them.
    """

    axes: Tensor
    origin: Tensor
    curvature: Tensor
    edges: Tensor

    def __getitem__(self, index: Tensor) -> Surfaces:
        return map_fields(self, lambda value: value[index])

    def __len__(self) -> int:
        return len(self.origin)

    def moved(self, motion: Tensor) -> Surfaces:
        """The same surfaces in other frames; `motion (N, 4, 4)` may mirror."""
        turn = motion[:, :3, :3]
        origin = (turn @ self.origin[..., None])[..., 0] + motion[:, :3, 3]
        return Surfaces(self.axes @ turn.transpose(1, 2), origin, self.curvature, self.edges)

    def own(self, points: Tensor) -> Tensor:
        """Points (N, P, 3) in the surfaces' frames."""
        return (points - self.origin[:, None]) @ self.axes.transpose(1, 2)


def heights(surfaces: Surfaces, points: Tensor) -> Tensor:
    """Metres (N, P) by which points (N, P, 3) stand above surfaces, wherever these end."""
    return _height(surfaces.own(points), surfaces.curvature[:, None])


def pressed(surfaces: Surfaces, rows: Tensor, vertices: Tensor) -> Tensor:
    """How much (B, V), 0 to 1, vertices (B, V, 3) touch: wholly from the surface down, not from a millimetre above it; 0 where nothing is.

    Args:
        surfaces: in the frames of the pictures `rows` (N,).
    """
    found = torch.zeros(vertices.shape[:2], device=vertices.device)
    if len(surfaces):
        points = vertices[rows].cpu().double()
        inside = on_surface(surfaces, points)
        touch = (1.0 - heights(surfaces, points) / 0.001).clamp(0, 1) * inside
        found[rows] = touch.to(found)
    return found


def on_surface(surfaces: Surfaces, points: Tensor) -> Tensor:
    """Whether (N, P) points (N, P, 3) stand over the surface, not beyond its edges."""
    own = surfaces.own(points)[..., :2].transpose(1, 2)
    return (surfaces.edges[..., :2] @ own + surfaces.edges[..., 2:]).amin(1) > 0


def settle(
    draw: PlaceDraw, points: Tensor, arm: Tensor, orientation: Tensor, cameras: Tensor, light: Tensor
) -> tuple[Surfaces, Tensor]:
    """Put surfaces where hands touch them.

    Of the drawn places those are left out that hide something of a hand; a place on which much of the hand lies is taken rather than
    others.

    Args:
        draw: for H hands, all of which get a surface if one fits.
        points: (H, P, 3) of the skin or cloth of the hand, float64, in any frame.
        arm: (P,) which of them belong to the forearm: tables end before it where it would run through them.
        orientation: (H, 3, 3) of the hand in that frame.
        cameras: (H, W, 3) places of the cameras, the first of which has to see the surface.
        light: (H, 3) direction of the brightest light; surfaces in its shadow are rarer.

    Returns:
        N surfaces, and the numbers (N,) of their hands.
    """
    first = ray_to_rotmat((points[:, ~arm].mean(1) - cameras[:, 0]).numpy())
    free = torch.from_numpy(draw.free) @ torch.as_tensor(first, dtype=torch.float64).transpose(1, 2)
    lying = torch.from_numpy(draw.lying) @ orientation.transpose(1, 2)
    normals = torch.where(torch.from_numpy(draw.is_free)[..., None], free, lying)  # (H, C, 3)
    every = max(1, points.shape[1] // _POINTS)
    few, few_arm = points[:, ::every], arm[::every]
    for stage in range(2):
        _, contact, fits = _try(draw, few, few_arm, cameras, normals)
        score = torch.where(fits, 6.0 * contact.sqrt(), -torch.inf)
        if stage == 0:
            lit = (normals @ light[..., None])[..., 0] > 0.15
            seen = (normals[:, :, None] * _unit(cameras - points[:, ~arm].mean(1, keepdim=True))[:, None]).sum(-1) > 0.1
            score += 2.0 * lit + 1.5 * seen.double().mean(-1) + torch.from_numpy(draw.liking)
        best = normals[torch.arange(len(normals)), score.argmax(1)]
        if stage == 0:
            normals = _unit(best[:, None] + torch.from_numpy(draw.jitter))
    place, _, exact = _try(draw, points, arm, cameras, best[:, None])
    rows = ((score.amax(1) > -torch.inf) & exact[:, 0]).nonzero()[:, 0]
    return _with_ends(place, draw)[rows], rows


def _try(
    draw: PlaceDraw, points: Tensor, arm: Tensor, cameras: Tensor, normals: Tensor
) -> tuple[Surfaces, Tensor, Tensor]:
    """Surfaces (H C) of the normals (H, C, 3), the share (H, C) of the hand that touches them, and whether (H, C) they can stay."""
    curved = draw.curvature > 0
    order = np.concatenate([np.flatnonzero(curved), np.flatnonzero(~curved)])
    parts = []
    for rows in (order[: curved.sum()], order[curved.sum() :]):
        index = torch.from_numpy(rows)
        if len(rows):
            place = _put(draw[rows], points[index], arm, normals[index])
            parts.append((place, *_contact(place, draw[rows], points[index], arm, cameras[index], normals.shape[1])))
    places, contacts, fits = zip(*parts, strict=True)
    back = torch.from_numpy(np.argsort(order))
    count = normals.shape[1]
    every = (back[:, None] * count + torch.arange(count)).flatten()
    return join_fields(places)[every], torch.cat(contacts)[back], torch.cat(fits)[back]


def _put(draw: PlaceDraw, points: Tensor, arm: Tensor, normals: Tensor) -> Surfaces:
    """Surfaces (H C) of these normals (H, C, 3), so far without ends but before arms, that touch the points (H, P, 3)."""
    hands, count = normals.shape[:2]
    curvature = torch.from_numpy(draw.curvature)[:, None].expand(hands, count)
    press = torch.from_numpy(draw.press)[:, None]
    axes = _axes(normals, torch.from_numpy(draw.turn))  # (H, C, 3, 3)
    palm = points[:, ~arm]
    lowest = (palm @ normals.transpose(1, 2)).argmin(1)  # (H, C)
    touch = (axes @ palm.gather(1, lowest[..., None].expand(-1, -1, 3))[..., None])[..., 0]  # (H, C, 3)
    level = touch[..., 2] + press
    if bool((curvature > 0).any()):
        aside = touch[..., 0] + torch.from_numpy(draw.aside)[:, None]
        every = points[:, None] @ axes.transpose(2, 3)
        inner = 1.0 / curvature - press
        depth = inner[..., None].square() - (every[..., 0] - aside[..., None]).square()
        reach = torch.where(depth > 0, every[..., 2] - depth.clamp_min(0).sqrt(), torch.inf)
        level = reach.amin(-1) + 1.0 / curvature
        touch = torch.stack([aside, touch[..., 1], level], -1)
    touch = torch.cat([touch[..., :2], level[..., None]], -1)
    origin = (touch[..., None, :] @ axes)[..., 0, :]
    edges = torch.zeros(hands * count, _EDGES, 3, dtype=torch.float64)
    edges[..., 2] = _FAR
    return Surfaces(axes.flatten(0, 1), origin.flatten(0, 1), curvature.flatten(), edges)


def _contact(
    place: Surfaces, draw: PlaceDraw, points: Tensor, arm: Tensor, cameras: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Share (H, C) of the hand that touches, and whether (H, C) the surface can stay; ends it before arms that would run through it."""

    def each(value: Tensor) -> Tensor:
        return value.repeat_interleave(count, 0)

    own = place.own(each(points))
    camera = place.own(each(cameras[:, :1]))
    height = _height(own, place.curvature[:, None])
    gap = each(torch.from_numpy(draw.press)).clamp_max(0).neg()
    touching = (height < gap[:, None] + _TOUCHING) & ~arm
    contact = touching.double().sum(1) / (~arm).sum()
    above = _height(camera, place.curvature[:, None])[:, 0]
    cosine = camera[:, 0, 2] / camera[:, 0].norm(dim=-1)
    fits = (above > 0.06) & (cosine > _LEAST_COSINE)
    if bool((place.curvature > 0).any()):
        fits &= (contact > 0) & (height > -SUNK).all(1) & _in_sight(own, camera, place.curvature)
        return contact.view(-1, count), fits.view(-1, count)
    hand, forearm, low = own[:, ~arm, :2], own[:, arm, :2], height[:, arm]
    fits &= (height[:, ~arm] > -SUNK).all(1)
    away = forearm.mean(1) - hand.mean(1)
    away = away / away.norm(dim=-1, keepdim=True).clamp_min(1e-9)  # (H C, 2) to the arm
    share = (above[:, None] / (above[:, None] - low).clamp_min(1e-6)).clamp(0, 1)
    crossing = camera[..., :2] + share[..., None] * (forearm - camera[..., :2])
    along = torch.minimum((forearm @ away[..., None])[..., 0], (crossing @ away[..., None])[..., 0])
    end = torch.where(low < -SUNK, along, _FAR).amin(1) - 0.012
    last = torch.where(touching[:, ~arm], (hand @ away[..., None])[..., 0], -_FAR).amax(1)
    fits &= end > last
    place.edges[:, 4, :2], place.edges[:, 4, 2] = -away, end
    return contact.view(-1, count), fits.view(-1, count)


def _in_sight(own: Tensor, camera: Tensor, curvature: Tensor) -> Tensor:
    """Whether (N,) cylinders leave free the lines from the camera (N, 1, 3) to all points (N, P, 3), in the surfaces' frames."""
    radius = 1.0 / curvature
    raised = torch.stack([torch.zeros_like(radius), radius], -1)[:, None]
    ends, start = own[..., [0, 2]] + raised, camera[..., [0, 2]] + raised  # from the axis
    line = ends - start
    share = (-(start * line).sum(-1) / line.square().sum(-1).clamp_min(1e-12)).clamp(0, 1)
    nearest = (start + share[..., None] * line).norm(dim=-1)
    return (nearest > radius[:, None] - SUNK).all(1)


def in_sight(surfaces: Surfaces, points: Tensor) -> Tensor:
    """Whether (N,) cameras at the origin are on the outer side of surfaces, and these hide none of the points (N, P, 3)."""
    camera = surfaces.own(torch.zeros_like(points[:, :1]))
    above = _height(camera, surfaces.curvature[:, None])[:, 0] > 0.02
    curved = surfaces.curvature > 0
    found = above.clone()
    if bool(curved.any()):
        found[curved] &= _in_sight(surfaces.own(points)[curved], camera[curved], surfaces.curvature[curved])
    return found


def _with_ends(place: Surfaces, draw: PlaceDraw) -> Surfaces:
    extent = torch.from_numpy(draw.extent)
    side = torch.tensor([[-1.0, 0], [1, 0], [0, -1], [0, 1]], dtype=torch.float64)
    edges = place.edges.clone()
    edges[:, :4, :2], edges[:, :4, 2] = side, extent
    return Surfaces(place.axes, place.origin, place.curvature, edges)


def _height(own: Tensor, curvature: Tensor) -> Tensor:
    implicit = 0.5 * curvature * (own[..., 0].square() + own[..., 2].square()) + own[..., 2]
    return 2.0 * implicit / (1.0 + (1.0 + 2.0 * curvature * implicit).clamp_min(0).sqrt())


def _axes(normals: Tensor, turn: Tensor) -> Tensor:
    """Axes (H, C, 3, 3), in rows, of the normals (H, C, 3), turned about them by `turn` (H,)."""
    other = torch.where(normals[..., :1].abs() < 0.7, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])).double()
    first = _unit(torch.linalg.cross(other, normals))
    second = torch.linalg.cross(normals, first)
    c, s = turn.cos()[:, None, None], turn.sin()[:, None, None]
    return torch.stack([c * first + s * second, c * second - s * first, normals], -2)


def _unit(vectors):  # type: ignore[no-untyped-def]
    """NumPy arrays or tensors of vectors (..., 3) at length 1."""
    return vectors / ((vectors**2).sum(-1)[..., None] ** 0.5 + 1e-12)
