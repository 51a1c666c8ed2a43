"""Things with textures in pictures of single hands: in the hands, before and behind them, and on the tables that they rest on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.render.solids import Solids
from phalanx.synth.nearby import Nearby, motions
from phalanx.synth.paint.compose import ComposeDraw, Layer
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.paint.place import on_surface
from phalanx.synth.shots import Shot
from phalanx.synth.things.held import Held, hold_things
from phalanx.synth.things.models import ROLES, Things, things_bank
from phalanx.synth.things.paint import Placed, draw_tints, paint_things

MOST = 3
"""Things about a hand, at most."""
HIDDEN = 0.6
"""Share of a hand that things in front of it may hide; if they hid more, they are left out."""
_SHARE = 0.07  # of the hands have things behind them
_ON_TABLES = 0.17  # the same of hands at a surface; not all surfaces are tables, or have room
_REPLACED = 0.45  # share of the plain shapes before hands that become things
_TRIES = 6
_HAND = 0.19  # metres


@dataclass
class Furnished:
    """The things of a shot: held, standing about, or both; and the bank that they are from."""

    held: Held | None
    standing: Standing | None
    bank: Things

    def solids(self, solids: Solids) -> Solids:
        """What hands hold, (B, N), without the solids that things have taken the place of."""
        kind = solids.kind.clone()
        if self.held is not None:
            kind[torch.as_tensor(self.held.hands, device=kind.device)] = -1
        return replace(solids, kind=kind)

    def composition(self, draw: ComposeDraw) -> ComposeDraw:
        """The composition without the plain shapes that gave way."""
        return draw if self.standing is None else self.standing.without_plain(draw)

    def put(
        self,
        front: Layer,
        shot: Shot,
        light: LightDraw,
        surroundings: Tensor,
        hands: Layer,
        behind: Tensor,
    ) -> Layer:
        """All that is in front, together with the things.

        Args:
            front: (B, S, S) what else there is.
            shot, light: what the pictures show.
            surroundings: (B, 3) mean linear colour of the background.
            hands: the hands.
            behind: (B, 3, S, S) background; tables in it are darkened at what stands on them, in place.
        """
        size = front.depth.shape[-1]
        if self.held is not None and len(self.held.hands):
            placed = self.held.placed(shot.pose.orientation, shot.pose.translation)
            rows = torch.as_tensor(self.held.hands, device=shot.device)
            front = _over(self._draw(placed, rows, shot, size, light, surroundings), front, rows)
        if self.standing is not None:
            self.standing.shade(behind, shot.K)
            rows = self.standing.placed.picture.unique().to(shot.device)
            about = self._draw(self.standing.placed, rows, shot, size, light, surroundings)
            number = shot.views.hand[rows.cpu().numpy()]
            front = _over(not_hiding(about, map_fields(hands, lambda value: value[rows]), number), front, rows)
        return front

    def _draw(
        self, placed: Placed, rows: Tensor, shot: Shot, size: int, light: LightDraw, surroundings: Tensor
    ) -> Layer:
        """Things in the pictures `rows` (N,), in order."""
        own = replace(placed, picture=torch.searchsorted(rows, placed.picture.to(rows)))
        lights = light[rows.cpu().numpy()]
        return paint_things(own, self.bank, shot.K[rows], size, size, lights, surroundings[rows])


def _over(things: Layer, front: Layer, rows: Tensor) -> Layer:
    """The layer `front` (B, S, S) with the things of some of its pictures."""
    both = things.over(map_fields(front, lambda value: value[rows]))
    return Layer(*(getattr(front, name).index_copy(0, rows, getattr(both, name)) for name in vars(both)))


def furnish(
    generator: np.random.Generator,
    folder: Path | None,
    shot: Shot,
    vertices: Tensor,
    nearby: Nearby | None,
    blocked: np.ndarray,
) -> Furnished | None:
    """Give some hands of a shot things with textures; None if there are none.

    Args:
        generator: of the chunk's things.
        folder: of things besides those of the package.
        shot: the hands; vertices: (B, V, 3) as they are clothed.
        nearby: surfaces at the hands.
        blocked: pictures before whose hands plain shapes would be put.

    Raises:
        InputError: the folder of things is at fault.
    """
    bank = things_bank(folder, str(shot.device))
    held = None
    if shot.views.held is not None:
        own = (shot.surface.vertices - shot.pose.translation[:, None]) @ shot.pose.orientation
        held = hold_things(generator, shot.views.held, own, bank)
    standing = stand_about(generator, shot, vertices, bank, nearby, blocked)
    if standing is None and (held is None or not len(held.hands)):
        return None
    return Furnished(held, standing, bank)


@dataclass
class Standing:
    """Things about the hands of a shot.

    Attributes:
        placed: the things in the frames of all pictures that show them.
        up, foot: (N, 3) for those on tables, the table's normal and where on it they stand, camera frame; up is 0 for others.
        reach: (N,) metres, half of what they cover of the table.
        replaced: pictures whose plain shapes give way to them.
    """

    placed: Placed
    up: Tensor
    foot: Tensor
    reach: np.ndarray
    replaced: np.ndarray

    def without_plain(self, draw: ComposeDraw) -> ComposeDraw:
        """The composition without the plain shapes that gave way."""
        kept = ~np.isin(draw.blocked, self.replaced)
        names = ("blocked", "thing", "thing_colour", "thing_texture", "thing_depth")
        return replace(draw, **{name: getattr(draw, name)[kept] for name in names})

    def shade(self, behind: Tensor, K: Tensor) -> None:
        """Darken tables about what stands on them, in `behind` (B, 3, S, S), in place."""
        size = behind.shape[-1]
        line = torch.arange(size, device=behind.device, dtype=torch.float32)
        plane = torch.stack(torch.broadcast_tensors(line, line[:, None], torch.ones((), device=behind.device)), -1)
        for i in self.up.any(1).nonzero()[:, 0].tolist():
            picture = int(self.placed.picture[i])
            ray = plane @ torch.linalg.inv(K[picture]).T
            up, foot = self.up[i].to(ray), self.foot[i].to(ray)
            slope = ray @ up
            step = (foot @ up) / slope.clamp_max(-1e-4)
            away = (ray * step[..., None] - foot).norm(dim=-1) / float(self.reach[i])
            behind[picture] *= 1.0 - 0.5 * torch.exp(-((away / 1.1) ** 3)) * (slope < -1e-4)


def stand_about(
    generator: np.random.Generator,
    shot: Shot,
    vertices: Tensor,
    things: Things,
    nearby: Nearby | None,
    blocked: np.ndarray,
) -> Standing | None:
    """Put things about some of the hands; None if there are none.

    Args:
        generator: of the chunk's things.
        shot: the hands.
        vertices: (B, V, 3) of the clothed hands.
        things: the bank.
        nearby: surfaces at hands; on those that are flat and look up, things stand.
        blocked: pictures before whose hands plain shapes would be put.
    """
    views = shot.views
    pictures = np.argsort(views.hand, kind="stable").reshape(shot.hands, -1)
    motion = motions(shot)
    found: list[tuple[int, _Place]] = []
    replaced = []
    for hand in range(shot.hands):
        first = int(pictures[hand, 0])
        row = np.flatnonzero(nearby.rows == first) if nearby is not None else np.zeros(0, int)
        wanted = generator.random() < (_ON_TABLES if len(row) else _SHARE)
        front = generator.random() < (_REPLACED if np.isin(pictures[hand], blocked).any() else 0.02)
        count = 1 + int(generator.choice(MOST, p=(0.75, 0.2, 0.05)))
        if not wanted and not front:
            continue
        points = vertices[first, ::5].cpu().double().numpy()
        places: list[_Place] = []
        if front and (place := _in_front(generator, things, points)) is not None:
            places.append(place)
            replaced += pictures[hand].tolist()
        for _ in range(count if wanted else 0):
            if len(row):
                assert nearby is not None
                place = _on_table(generator, things, nearby, int(row[0]), points, places)
            else:
                place = _behind(generator, things, points)
            if place is not None:
                places.append(place)
        found += [(hand, place) for place in places]
    if not found:
        return None
    hands, chosen = (list(values) for values in zip(*found, strict=True))
    rows = pictures[hands]  # (N, pictures of a hand)
    each = np.repeat(np.arange(len(rows)), rows.shape[1])
    move = motion[torch.from_numpy(rows.reshape(-1))]
    turn, step = move[:, :3, :3], move[:, :3, 3]

    def of(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(place, name) for place in chosen])[each])

    def moved(points: Tensor) -> Tensor:
        return (turn @ points[..., None])[..., 0] + step

    tint = torch.from_numpy(draw_tints(generator, len(rows))[each])
    placed = Placed(of("thing"), torch.from_numpy(rows.reshape(-1)), turn @ of("matrix"), moved(of("shift")), tint)
    up = (turn @ of("up")[..., None])[..., 0]
    return Standing(placed, up, moved(of("foot")), of("reach").numpy(), np.array(replaced, np.int64))


@dataclass
class _Place:
    """Where a thing is: number, matrix (3, 3) and shift (3,) of `Placed`; on a table its normal, foot and reach as in `Standing`."""

    thing: int
    matrix: np.ndarray
    shift: np.ndarray
    up: np.ndarray
    foot: np.ndarray
    reach: float


def _free(thing: int, turn: np.ndarray, middle: np.ndarray, size: np.ndarray) -> _Place:
    """A thing of this size (3,) on no table, about its middle."""
    return _Place(thing, turn, middle - turn @ np.array([0.0, 0.0, 0.5 * size[2]]), np.zeros(3), np.zeros(3), 1.0)


def _pick(generator: np.random.Generator, things: Things, roles: tuple[str, ...], most: float) -> int:
    """A thing for one of these roles, at most so many metres wide."""
    suited = np.flatnonzero(np.isin(things.role, [ROLES.index(role) for role in roles]))
    longest = things.size[suited].max(1)
    return int(generator.choice(suited[longest <= max(most, longest.min())]))


def _upright(generator: np.random.Generator, up: np.ndarray) -> np.ndarray:
    """A turn whose third column is `up`, at random about it."""
    other = np.cross(up, [0.0, 0.1, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    other /= np.linalg.norm(other)
    angle = generator.uniform(-np.pi, np.pi)
    first = np.cos(angle) * other + np.sin(angle) * np.cross(up, other)
    return np.stack([first, np.cross(up, first), up], -1)


def _lying(turn: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, float]:
    """Long thin things lie down: the turn, and how high the thing's middle is."""
    if size[2] > 4.5 * size[:2].max():
        return turn @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]), 0.5 * float(size[0])
    return turn, -1.0


def _up(generator: np.random.Generator) -> np.ndarray:
    """Up in the camera's frame: cameras look down a little, and are held askew a little."""
    pitch, roll = generator.normal(0.25, 0.3), generator.normal(0.0, 0.2)
    up = np.array([np.sin(roll), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)])
    return up / np.linalg.norm(up)


def _in_front(generator: np.random.Generator, things: Things, points: np.ndarray) -> _Place | None:
    """Something between camera and hand that hides a part of it."""
    nearest = points[:, 2].min()
    thing = _pick(generator, things, ("held", "small", "plant"), min(0.45, 0.8 * nearest))
    size = things.size[thing]
    free = generator.random() < 0.4
    turn = _upright(generator, _up(generator))
    if free:
        turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        turn[:, 0] *= np.linalg.det(turn)
    radius = 0.5 * float(np.linalg.norm(size))
    depth = nearest - radius - generator.uniform(0.004, 0.08)
    if depth - radius < 0.08:
        return None
    spot = points[generator.integers(len(points))]
    angle = generator.uniform(-np.pi, np.pi)
    aside = (generator.uniform(0.0, 0.05) + 0.5 * radius) * np.array([np.cos(angle), np.sin(angle)])
    return _free(thing, turn, np.array([*(spot[:2] / spot[2] * depth + aside), depth]), size)


def _behind(generator: np.random.Generator, things: Things, points: np.ndarray) -> _Place:
    """Something in the room behind the hand."""
    farthest = points[:, 2].max()
    large = generator.random() < 0.4
    thing = _pick(generator, things, ("furniture", "plant") if large else ("held", "small", "plant"), 3.0)
    size = things.size[thing]
    radius = 0.5 * float(np.linalg.norm(size))
    gap = generator.uniform(0.3, 2.2) if large else np.exp(generator.uniform(np.log(0.01), np.log(0.8)))
    depth = farthest + radius + gap
    middle = points.mean(0)
    aside = generator.uniform(-1, 1, 2) * (0.4 * radius + 0.6 * _HAND * depth / middle[2])
    turn = _upright(generator, _up(generator))
    return _free(thing, turn, np.array([*(middle[:2] / middle[2] * depth + aside), depth]), size)


def _on_table(
    generator: np.random.Generator, things: Things, nearby: Nearby, row: int, points: np.ndarray, others: list[_Place]
) -> _Place | None:
    """Something that stands on the surface that a hand is at, clear of the hand; None where the surface is round or is a wall."""
    surface = nearby.surfaces[torch.tensor([row])]
    up = surface.axes[0, 2].numpy()
    if not bool(nearby.seen[row]) or float(surface.curvature[0]) > 0 or up @ np.array([0.0, -0.85, -0.53]) < 0.25:
        return None
    own = surface.own(torch.from_numpy(points)[None])[0].numpy()
    for _ in range(_TRIES):
        thing = _pick(generator, things, ("held", "small", "plant"), 0.5)
        size = things.size[thing]
        turn, lying = _lying(_upright(generator, up), size)
        radius = 0.5 * float(np.linalg.norm(size[:2])) if lying < 0 else 0.5 * float(size[2])
        height = float(size[2]) if lying < 0 else float(size[0])
        near = own[generator.integers(len(own)), :2]
        angle = generator.uniform(-np.pi, np.pi)
        spot = near + (radius + generator.uniform(0.005, 0.15)) * np.array([np.cos(angle), np.sin(angle)])
        low = own[own[:, 2] < height + 0.01]
        if len(low) and np.linalg.norm(low[:, :2] - spot, axis=1).min() < radius + 0.003:
            continue
        foot = surface.origin[0].numpy() + spot @ surface.axes[0, :2].numpy()
        rim = foot + 0.7 * radius * (np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]) @ surface.axes[0, :2].numpy())
        if not bool(on_surface(surface, torch.from_numpy(rim)[None]).all()) or foot[2] < 0.12:
            continue
        if any(np.linalg.norm(foot - other.foot) < radius + 1.2 * other.reach for other in others if other.up.any()):
            continue
        middle = foot + up * (0.5 * height)
        return replace(_free(thing, turn, middle, size), up=up, foot=foot, reach=0.8 * radius)
    return None


def not_hiding(about: Layer, hands: Layer, number: np.ndarray) -> Layer:
    """The layer of things, empty in all pictures of hands most of which it would hide in one; `number` (B,) says whose each picture is."""
    hidden = (about.in_front(hands.depth) * about.coverage * hands.coverage).sum((1, 2))
    over = (hidden > HIDDEN * hands.coverage.sum((1, 2))).cpu().numpy()
    kept = torch.as_tensor(~np.isin(number, number[over]), device=hidden.device, dtype=hands.depth.dtype)[:, None, None]
    return Layer(about.colour * kept[:, None], about.coverage * kept, about.depth * kept)
