"""Plain rooms behind people: walls, ceiling and floor, with doors, windows, cupboards and pictures; met by each ray, lit as people are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import exp_
from phalanx.geometry.point_lists import interleaved, places
from phalanx.synth.paint.light import LightDraw, light_on_planes
from phalanx.synth.paint.table import folded

_NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)  # inwards
_RIGHT, _LEFT, _FLOOR, _CEILING, _AHEAD, _BEHIND = range(6)
_WALLS = np.array(
    [[0.86, 0.85, 0.82], [0.8, 0.77, 0.7], [0.74, 0.75, 0.76], [0.66, 0.62, 0.55], [0.55, 0.6, 0.66], [0.6, 0.66, 0.6], [0.72, 0.62, 0.56],
     [0.42, 0.43, 0.46], [0.88, 0.84, 0.72]]
)  # fmt: skip # displayed, as all colours here
_WALL_SHARES = np.array([0.36, 0.16, 0.14, 0.08, 0.07, 0.05, 0.05, 0.03, 0.06])
_WOODS = np.array(
    [
        [0.45, 0.3, 0.18],
        [0.6, 0.44, 0.28],
        [0.32, 0.2, 0.13],
        [0.75, 0.6, 0.42],
        [0.86, 0.84, 0.8],
        [0.5, 0.5, 0.5],
        [0.18, 0.16, 0.16],
    ]
)
_FLOORS = np.array([[0.5, 0.38, 0.26], [0.6, 0.58, 0.55], [0.4, 0.4, 0.42], [0.66, 0.56, 0.44], [0.3, 0.24, 0.2]])
_BRICK = np.array([[0.62, 0.36, 0.28], [0.72, 0.55, 0.42], [0.8, 0.76, 0.7], [0.5, 0.42, 0.38]])
_TILE, _GLOW, _SHELF, _BARS = "tile", "glow", "shelf", "bars"


@dataclass
class Patch:
    """A rectangle on a side of a room.

    Attributes:
        side: number of the side.
        box: (4,) metres: from u0 to u1 along the side, from v0 to v1 over the floor (on floor and ceiling the other direction).
        colour, frame: (3,) linear reflectance of it and of its frame, `rim` metres wide.
        kind: empty, or what is in it: a picture, light, shelves, window bars.
    """

    side: int
    box: tuple[float, float, float, float]
    colour: np.ndarray
    frame: np.ndarray
    rim: float
    kind: str = ""


@dataclass
class Room:
    """A room about a camera, in axes to the right, down and ahead.

    Attributes:
        turn: (3, 3) from its axes to the camera's frame.
        low, high: (3,) metres from the camera to its sides.
        colours: (6, 3) linear reflectance of its sides.
        brick: (4,) width and height of bricks or planks of the wall ahead, and how much they show; 0: plain, their shift.
        feet: (F, 2) metres to the right and ahead, where people stand.
        planks: width of the floor's boards, 0: none.
        lamp: (3,) metres: where the light is strongest; fall: metres over which it falls off.
        tile, grain: a tile for pictures and grain, and how much grain there is.
        patches: what is on its sides.
    """

    turn: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colours: np.ndarray
    brick: np.ndarray
    feet: np.ndarray
    planks: float
    lamp: np.ndarray
    fall: float
    tile: int
    grain: float
    patches: list[Patch]


def _linear(colour: np.ndarray) -> np.ndarray:
    return np.clip(colour, 0.03, 0.95) ** 2.2


def draw_room(
    generator: np.random.Generator, turn: np.ndarray, points: np.ndarray, feet: np.ndarray, tiles: int
) -> Room:
    """A room that holds a camera and people.

    Args:
        turn: (3, 3) from the room's axes to the camera's frame.
        points: (N, 3) joints of the people, camera frame; feet: (F, 3) those that are ankles.
        tiles: how many tiles there are.
    """
    own = np.concatenate([points @ turn, np.zeros((1, 3))])
    low, high = own.min(0), own.max(0)
    gap = np.exp(generator.uniform(np.log(0.35), np.log(3.5), 4))
    low[[0, 2]] -= gap[:2]
    high[[0, 2]] += gap[2:]
    high[1] += 0.06
    low[1] = min(high[1] - generator.uniform(2.35, 3.1), low[1] - 0.15)
    wall = _WALLS[generator.choice(len(_WALLS), p=_WALL_SHARES / _WALL_SHARES.sum())] + generator.normal(0, 0.025, 3)
    walls = np.tile(wall, (6, 1)) + generator.normal(0, 0.012, (6, 1))
    if generator.random() < 0.2:  # one wall in another colour
        walls[int(generator.choice([_RIGHT, _LEFT, _AHEAD]))] = generator.choice(_WALLS) + generator.normal(0, 0.05, 3)
    walls[_FLOOR] = generator.choice(_FLOORS) + generator.normal(0, 0.04, 3)
    walls[_CEILING] = 0.85 + generator.normal(0, 0.05)
    brick = np.zeros(4)
    if generator.random() < 0.12:
        size = generator.uniform(0.06, 0.09) if generator.random() < 0.7 else generator.uniform(0.15, 0.4)
        brick[:] = size * generator.uniform(2.2, 3.5), size, generator.uniform(0.15, 0.5), generator.uniform(0, 1)
        walls[[_RIGHT, _LEFT, _AHEAD, _BEHIND]] = generator.choice(_BRICK) + generator.normal(0, 0.04, 3)
    lamp = generator.uniform(low, high)
    lamp[1] = low[1] + 0.2
    patches = [patch for side in (_RIGHT, _LEFT, _AHEAD) for patch in _on_wall(generator, side, low, high)]
    patches += _on_ceiling(generator, low, high)
    return Room(
        turn,
        low,
        high,
        _linear(walls),
        brick,
        (feet @ turn)[:, [0, 2]],
        float(generator.uniform(0.08, 0.2)) * (generator.random() < 0.5),
        lamp,
        float(generator.uniform(1.5, 6.0)),
        int(generator.integers(tiles)),
        float(generator.uniform(0.0, 0.12)),
        patches,
    )


def _on_wall(generator: np.random.Generator, side: int, low: np.ndarray, high: np.ndarray) -> list[Patch]:
    """Skirting, doors, windows, cupboards, shelves and pictures."""
    axis = 0 if side == _AHEAD else 2
    first, last, tall = float(low[axis]), float(high[axis]), float(high[1] - low[1])
    patches = []
    if generator.random() < 0.6:
        rim = _linear(np.full(3, 0.85) if generator.random() < 0.6 else generator.choice(_WOODS))
        patches.append(Patch(side, (first - 1, last + 1, -1.0, generator.uniform(0.05, 0.12)), rim, rim, 0.0))
    if last - first < 0.8:
        return patches
    place = first + generator.uniform(-0.5, 0.4)
    while place < last:
        kind = str(
            generator.choice(
                ["none", "door", "window", "picture", "cupboard", "shelf", "dark"],
                p=[0.34, 0.13, 0.12, 0.14, 0.13, 0.08, 0.06],
            )
        )
        wide = float(generator.uniform(0.4, 1.3))
        wood = _linear(generator.choice(_WOODS) + generator.normal(0, 0.04, 3))
        other = _linear(generator.choice(_WOODS) + generator.normal(0, 0.04, 3))
        end = place + wide
        if kind == "door":
            patches.append(Patch(side, (place, place + 0.9, -1.0, 2.05), wood, other, 0.07))
            patches.append(Patch(side, (place + 0.12, place + 0.16, 0.98, 1.02), np.full(3, 0.3), other, 0.0))
            end = place + 0.9
        elif kind == "dark":  # an open door
            dim = _linear(generator.uniform(0.08, 0.4) * np.ones(3) + generator.normal(0, 0.03, 3))
            patches.append(Patch(side, (place, place + 0.9, -1.0, 2.05), dim, other, 0.08))
            end = place + 0.9
        elif kind == "window":
            sill, kind = generator.uniform(0.7, 1.1), _BARS if generator.random() < 0.4 else _GLOW
            sky = np.array([0.9, 1.0, 1.1]) * generator.uniform(0.6, 2.5)
            patches.append(
                Patch(
                    side,
                    (place, end, sill, min(sill + generator.uniform(0.9, 1.5), tall - 0.1)),
                    sky,
                    _linear(np.full(3, 0.85)),
                    0.06,
                    kind,
                )
            )
        elif kind == "picture":
            middle, half = generator.uniform(1.35, 1.8), 0.5 * generator.uniform(0.2, 0.8)
            end = place + min(wide, 0.9)
            patches.append(
                Patch(
                    side,
                    (place, end, middle - half, middle + half),
                    np.full(3, generator.uniform(0.5, 0.9)),
                    other,
                    generator.choice([0.0, 0.02, 0.04]),
                    _TILE,
                )
            )
        elif kind in ("cupboard", "shelf"):
            tall_one = float(generator.choice([0.75, 1.2, 1.9]))
            patches.append(
                Patch(side, (place, end, -1.0, tall_one), wood, 0.7 * wood, 0.025, _SHELF if kind == "shelf" else "")
            )
        place = end + generator.uniform(0.1, 1.2)
    return patches


def _on_ceiling(generator: np.random.Generator, low: np.ndarray, high: np.ndarray) -> list[Patch]:
    """Lamps: rows of panels, or one."""
    if generator.random() < 0.45:
        return []
    long, wide, apart = generator.uniform(0.5, 1.3), generator.uniform(0.2, 0.6), generator.uniform(1.6, 2.6)
    bright, rim = np.full(3, generator.uniform(1.5, 4.0)), np.full(3, 0.6)
    start = generator.uniform(0, apart, 2)
    return [
        Patch(_CEILING, (x, x + wide, z, z + long), bright, rim, 0.02, _GLOW)
        for x in np.arange(low[0] + start[0], high[0], apart)[:4]
        for z in np.arange(low[2] + start[1], high[2], apart)[:4]
    ]


def paint_room(room: Room, K: Tensor, height: int, width: int, light: LightDraw, tile: Tensor) -> Tensor:
    """`(3, H, W)` linear light of a room.

    Args:
        K: (3, 3).
        light: of this one picture.
        tile: (3, S, S) linear reflectance.
    """
    device = K.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=device)

    x = (torch.arange(width, device=device) - K[0, 2]) / K[0, 0]
    y = (torch.arange(height, device=device) - K[1, 2]) / K[1, 1]
    turn, low, high = on(room.turn), room.low.tolist(), room.high.tolist()
    ray = [(turn[0, i] * x[None] + (turn[1, i] * y + turn[2, i])[:, None]).flatten() for i in range(3)]
    ray = [torch.where(r.abs() < 1e-5, 1e-5, r) for r in ray]
    step = [torch.where(r > 0, high[i], low[i]) / r for i, r in enumerate(ray)]
    far, axis = torch.stack(step).min(0)
    normals = _NORMALS @ room.turn.T
    lit = light_on_planes(_repeated(light, 6), normals.astype(np.float32))
    lit = 0.45 * lit + 0.55 * lit.mean(0, keepdims=True)
    picture = torch.empty((3, height * width), device=device)
    positive = torch.stack(ray).gather(0, axis[None])[0] > 0
    for side in range(6):
        chosen = places((axis == side // 2) & (positive == (side % 2 == 0)))
        if len(chosen):
            depth = far.index_select(0, chosen)
            at = [r.index_select(0, chosen).mul_(depth) for r in ray]
            picture.index_copy_(
                1, chosen, _paint_side(room, side, at, depth / K[0, 0], on(lit[side]), float(lit.mean()), tile)
            )
    return picture.view(3, height, width)


def _paint_side(
    room: Room, side: int, at: list[Tensor], pixel: Tensor, lit: Tensor, level: float, tile: Tensor
) -> Tensor:
    """`(3, N)` of points of a side.

    Args:
        at: their places, three times (N,); pixel: (N,) metres that a pixel spans there.
        lit: (3,) light that falls on the side; level: of light in the room.
    """

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=pixel.device)[:, None]

    axis, low, high = side // 2, room.low.tolist(), room.high.tolist()
    u = at[2] if axis == 0 else at[0]
    v = at[2] if axis == 1 else high[1] - at[1]
    grain = torch.ones_like(u)
    if room.planks and side == _FLOOR:
        place = u / room.planks
        grain = (1.0 + 0.2 * _any(place.floor(), 0.0)) * (
            1.0 - 0.4 * _stripe(place.remainder(1.0) * room.planks, 0.004, pixel)
        )
    elif room.brick[0] > 0 and axis != 1:
        wide, tall, depth, _ = room.brick.tolist()
        row = (v / tall).floor()
        place = u / wide + 0.5 * row.remainder(2.0)
        joint = torch.maximum(
            _stripe(place.remainder(1.0) * wide, 0.01, pixel), _stripe(v.remainder(tall), 0.01, pixel)
        )
        grain = (1.0 + depth * _any(row, place.floor())) * (1.0 - depth * joint)
    elif room.grain > 0.03:
        tone = _at_tile(tile.mean(0, keepdim=True), u, v)[0]
        grain = 1.0 + room.grain * (tone / tone.mean().clamp_min(1e-3) - 1.0).clamp_(-1.0, 1.5)
    colour = on(room.colours[side]) * grain
    lamp = room.lamp.tolist()
    away = (at[0] - lamp[0]).square_() + (at[1] - lamp[1]).square_() + (at[2] - lamp[2]).square_()
    others = [torch.minimum(at[i] - low[i], high[i] - at[i]) for i in range(3) if i != axis]
    shade = (0.5 + 0.8 / (1.0 + away / room.fall**2)) * (1.0 - 0.3 * exp_(torch.minimum(*others) / -0.18))
    if side == _FLOOR:
        for x, z in room.feet.tolist():
            shade = shade * (1.0 - 0.45 * exp_(((u - x).square() + (v - z).square()) / -0.03))
    colour *= shade
    colour *= lit[:, None]
    u_low, u_high, v_low, v_high = (float(value) for value in (*u.aminmax(), *v.aminmax()))
    for patch in room.patches:
        u0, u1, v0, v1 = (float(value) for value in patch.box)
        if patch.side != side or u1 < u_low or u0 > u_high or v1 < v_low or v0 > v_high:
            continue
        inside = torch.minimum(torch.minimum(u - u0, u1 - u), torch.minimum(v - v0, v1 - v))
        near = places(inside > -0.5 * pixel)
        if not len(near):
            continue
        inside, step = inside.index_select(0, near), pixel.index_select(0, near)
        inner = _in_patch(patch, u.index_select(0, near), v.index_select(0, near), tile)
        bright = shade.index_select(0, near) * lit[:, None]
        if patch.kind in (_GLOW, _BARS):
            bright = torch.where(inside < patch.rim, bright, level)
        if patch.rim > 0:
            inner = torch.where(inside < patch.rim, on(patch.frame), inner)
        cover = (inside / step + 0.5).clamp_(0.0, 1.0)
        colour.index_copy_(1, near, torch.lerp(colour.index_select(1, near), inner * bright, cover))
    return colour


def _in_patch(patch: Patch, u: Tensor, v: Tensor, tile: Tensor) -> Tensor:
    """Reflectance `(3, N)` or `(3, 1)` at points of a patch."""
    colour = torch.as_tensor(patch.colour, dtype=torch.float32, device=u.device)[:, None]
    if patch.kind == _TILE:
        return _at_tile(tile, u, v) * 0.7 + 0.1
    if patch.kind == _BARS:
        return colour * torch.where((v / 0.055).remainder(1.0) > 0.4, 1.0, 0.7)
    if patch.kind == _SHELF:
        board = (v - patch.box[2]) / 0.36
        level, number = board.remainder(1.0), board.floor()
        books = _any((u / 0.045).floor(), number)
        filled = torch.where(level < 0.75 + 0.12 * books, 0.25 + 0.22 * books, 0.05)
        paint = colour * 0.5 + 0.5 * torch.stack([_any((u / 0.045).floor() + 7.0 * k, number) for k in range(3)]).mul_(
            0.15
        ).add_(0.25)
        return torch.where(level < 0.07, colour, filled * paint * 2.5)
    return colour


def _any(first: Tensor, second: Tensor | float) -> Tensor:
    """Numbers between -1 and 1 that depend on two whole ones."""
    return (torch.sin(first * 12.9898 + second * 78.233) * 43758.5453).frac()


def _at_tile(tile: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Values (C, N) of a tile (C, S, S) that lies two metres wide beside itself."""
    grid = interleaved([folded(u), folded(v)])[None, None]
    return F.grid_sample(tile[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0]


def _stripe(place: Tensor, wide: float, pixel: Tensor) -> Tensor:
    """1 where `place` is within 0 and `wide`, softened over a pixel, and less where pixels are wider."""
    return ((wide - place) / pixel + 0.5).clamp(0.0, 1.0) * (wide / pixel).clamp(0.0, 1.0)


def _repeated(light: LightDraw, count: int) -> LightDraw:
    return light[np.zeros(count, int)]
