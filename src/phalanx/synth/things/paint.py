"""What things look like in pictures: found by rasterising, textured from the atlas, in the same light as the hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.geometry.point_lists import places
from phalanx.render.visibility import NEAR, visibility
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.paint.solids import sky
from phalanx.synth.things.models import Things

_SAMPLES = 2  # along each side of a pixel, for coverage
_SMALLEST = 16  # pixels: windows in which things are drawn have sides of this times a power of two
_POLISH = 40.0  # exponent of the lights' reflections


@dataclass
class Placed:
    """N things in pictures.

    Attributes:
        thing, picture: (N,) which thing, and in which picture.
        matrix, shift: (N, 3, 3) and (N, 3) from the thing's frame to the camera's: x to matrix x + shift.
        tint: (N, 3, 4) colour matrix and offset that repaint it, of linear colours.
    """

    thing: Tensor
    picture: Tensor
    matrix: Tensor
    shift: Tensor
    tint: Tensor

    def __getitem__(self, rows: Tensor) -> Placed:
        return map_fields(self, lambda value: value[rows])

    def __len__(self) -> int:
        return len(self.thing)

    def __add__(self, other: Placed) -> Placed:
        return join_fields([self, other])

    def to(self, device: torch.device) -> Placed:
        """The same on another device, in single precision."""
        return map_fields(self, lambda value: value.to(device, torch.float32 if value.is_floating_point() else None))


def draw_tints(generator: np.random.Generator, count: int) -> np.ndarray:
    """Colour matrices and offsets (N, 3, 4): half the things keep their own colours, others are stained, or their colours change places."""
    gain = np.exp(generator.normal(0.0, 0.22, (count, 1, 1))) * np.exp(generator.normal(0.0, 0.06, (count, 3, 1)))
    order = np.stack([np.eye(3)[generator.permutation(3)] for _ in range(count)]).reshape(-1, 3, 3)
    kept = generator.random((count, 1, 1)) < 0.5
    mixed = np.where(kept, np.eye(3), order)
    keep = np.where(kept, 1.0, generator.uniform(0.3, 1.2, (count, 1, 1)))
    matrix = (keep * mixed + (1.0 - keep) / 3.0) * gain
    stain = generator.uniform(0.02, 0.7, (count, 3, 1)) ** 2
    share = np.where(generator.random((count, 1, 1)) < 0.2, generator.uniform(0.3, 0.8, (count, 1, 1)), 0.0)
    return np.concatenate([matrix * (1.0 - share), share * stain], -1)


def paint_things(
    placed: Placed, things: Things, K: Tensor, height: int, width: int, light: LightDraw, surroundings: Tensor
) -> Layer:
    """Draw things into B pictures of `height` x `width` pixels.

    Args:
        placed: what stands where; parts nearer than 5 cm to the camera are not drawn.
        things: the bank, on the pictures' device.
        K: (B, 3, 3).
        light: of the B pictures.
        surroundings: (B, 3) mean linear colour of the background.
    """
    batch, device = len(K), K.device
    layer = Layer(
        torch.zeros(batch, 3, height, width, device=device),
        *(torch.zeros(batch, height, width, device=device) for _ in range(2)),
    )
    for picture, left, top, drawn in painted_singly(placed, things, K, height, width, light, surroundings):
        part = slice(top, top + drawn.depth.shape[1]), slice(left, left + drawn.depth.shape[2])
        under = _part(layer, picture, *part)
        both = drawn.over(under)
        for field in ("colour", "coverage", "depth"):
            getattr(under, field).copy_(getattr(both, field))
    return layer


def painted_singly(
    placed: Placed, things: Things, K: Tensor, height: int, width: int, light: LightDraw, surroundings: Tensor
) -> Iterator[tuple[int, int, int, Layer]]:
    """The things of `paint_things` one by one: the picture, first column and row of the window that one is in, and it `(1, ..., h, w)`."""
    device = K.device
    if not len(placed):
        return
    placed = placed.to(device)
    corners, normals = (array[placed.thing].flatten(1, 2) for array in (things.corners, things.normals))
    corners = (corners @ placed.matrix.mT + placed.shift[:, None]).unflatten(1, (-1, 3))
    normals = (normals @ torch.linalg.inv(placed.matrix)).unflatten(1, (-1, 3))
    inside = (
        torch.arange(corners.shape[1], device=device)
        < torch.as_tensor(things.count, device=device)[placed.thing][:, None]
    )
    boxes, sides = _windows(corners, inside, K[placed.picture], height, width)
    illuminated = sky(light, surroundings)
    power = torch.as_tensor(light.colour, device=device)
    for side in sorted(set(sides) - {0}):
        rows = torch.tensor([i for i, own in enumerate(sides) if own == side], device=device)
        chosen, most = placed[rows], int(torch.as_tensor(things.count)[placed.thing[rows].cpu()].max())
        lens = K[chosen.picture].clone()
        lens[:, :2, 2] -= boxes[rows]
        drawn = _draw(
            chosen,
            things,
            corners[rows, :most],
            normals[rows, :most],
            lens,
            side,
            illuminated[chosen.picture],
            power[chosen.picture],
        )
        for i, (picture, (x, y)) in enumerate(zip(chosen.picture.tolist(), boxes[rows].int().tolist(), strict=True)):
            yield picture, x, y, _part(drawn, i, slice(0, min(height - y, side)), slice(0, min(width - x, side)))


def _part(layer: Layer, picture: int, rows: slice, columns: slice) -> Layer:
    """A part of one picture of a layer, in place."""
    return map_fields(layer, lambda value: value[picture : picture + 1, ..., rows, columns])


def _windows(corners: Tensor, inside: Tensor, K: Tensor, height: int, width: int) -> tuple[Tensor, list[int]]:
    """Upper left corners (N, 2) of square windows that hold the things' pictures, and their sides; 0 for things that are not seen."""
    z = corners[..., 2]
    near = (z < NEAR) | ~inside[..., None]
    flat = corners[..., :2] / z.clamp_min(NEAR)[..., None]
    pixels = flat * K[:, [0, 1], [0, 1]][:, None, None] + K[:, None, None, :2, 2]
    pixels[..., 0] += flat[..., 1] * K[:, 0, 1][:, None, None]
    end = torch.tensor([width, height], device=K.device)
    low = torch.where(near[..., None], torch.inf, pixels).amin((1, 2)).floor().clamp_min(0)
    high = torch.minimum(torch.where(near[..., None], -torch.inf, pixels).amax((1, 2)).ceil() + 1, end)
    sides = []
    for across, down in (high - low).tolist():
        side = _SMALLEST
        while side < max(across, down):
            side *= 2
        sides.append(min(side, max(height, width)) if min(across, down) > 0 else 0)
    limit = end - torch.tensor(sides, device=K.device)[:, None]
    return torch.minimum(low.clamp(max=1e6), limit.float()).clamp_min(0), sides


def _draw(
    placed: Placed,
    things: Things,
    corners: Tensor,
    normals: Tensor,
    K: Tensor,
    side: int,
    illuminated: Tensor,
    power: Tensor,
) -> Layer:
    """Layers (N, side, side) of single things.

    Args:
        corners, normals: (N, F, 3, 3) camera frame.
        K: (N, 3, 3) of the windows.
        illuminated: (N, L + 3, 4) of `solids.sky`; power: (N, L, 3) of the lamps.
    """
    number, faces = corners.shape[:2]
    fine = K.clone()
    fine[:, :2] *= _SAMPLES
    fine[:, :2, 2] += 0.5 * (_SAMPLES - 1)
    soup = torch.arange(3 * faces, device=K.device).view(-1, 3)
    found = visibility(corners.flatten(1, 2), soup, fine, side * _SAMPLES, side * _SAMPLES)
    coverage = F.avg_pool2d((found >= 0).float(), _SAMPLES)
    starts = [(i, j) for i in range(_SAMPLES) for j in range(_SAMPLES)]
    face = reduce(
        torch.maximum, [found[:, i::_SAMPLES, j::_SAMPLES] for i, j in starts]
    )  # of one sample: each pixel is shaded once
    pixel = places(face >= 0)
    of = pixel // (side * side)
    counts = torch.bincount(of, minlength=number).tolist()
    triangle = face.view(-1).index_select(0, pixel).long() + of * faces
    middle = 0.5 * (_SAMPLES - 1)
    x = (pixel % side * _SAMPLES).float() + middle
    y = (pixel // side % side * _SAMPLES).float() + middle
    weights, z = _barycentric(corners, torch.linalg.inv(fine), triangle, x, y)
    ray = _by_thing(torch.linalg.inv(fine), torch.stack([x, y, torch.ones_like(x)]), counts)
    smooth = normals.flatten(0, 1).flatten(1).index_select(0, triangle).T.reshape(3, 3, -1)  # (corners, 3, P)
    normal = F.normalize((weights[:, None] * smooth).sum(0), dim=0)
    view = -F.normalize(ray, dim=0)
    facing = (normal * view).sum(0)
    normal = torch.where(facing < 0, normal - 2.0 * facing * view, normal)
    patch = things.patch[placed.thing, :faces].flatten(0, 1).index_select(0, triangle)
    paint = F.pad(_texels(things, patch, weights), (0, 0, 0, 1), value=1.0)
    paint = _by_thing(placed.tint, paint, counts).clamp_(0.004, 0.95)
    mirrored = torch.as_tensor(things.mirrored, device=K.device)[placed.thing].index_select(0, of)
    colour = _lit(normal, view, illuminated, power, paint, mirrored, counts)
    shown = torch.zeros(3, number * side * side, device=K.device)
    colour *= coverage.view(-1).index_select(0, pixel)
    for picture, values in zip(shown, colour, strict=True):
        picture.index_copy_(0, pixel, values)
    depth = torch.zeros(number * side * side, device=K.device)
    depth.index_copy_(0, pixel, z)
    pictures = shown.view(3, number, side, side).transpose(0, 1)
    return Layer(pictures, coverage, depth.view(number, side, side))


def _by_thing(matrices: Tensor, columns: Tensor, counts: list[int]) -> Tensor:
    """Products (R, P) of the things' matrices (N, R, C) with the columns (C, P) of their pixels, thing after thing."""
    parts = columns.split(counts, 1)
    return torch.cat([matrix @ part for matrix, part in zip(matrices, parts, strict=True)], 1)


def _barycentric(corners: Tensor, inverse: Tensor, triangle: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates (3, P) and depth (P,) at pixels (x, y) of triangles, numbers in (N, F, 3, 3); `inverse` (N, 3, 3) of the
    cameras."""
    first = corners.roll(-1, 2)
    planes = torch.linalg.cross(first, corners.roll(-2, 2) - first)
    volume = (corners[:, :, 0] * planes[:, :, 0]).sum(-1).flatten()
    own = (planes.flatten(1, 2) @ inverse).view(-1, 9).index_select(0, triangle).T.reshape(3, 3, -1)
    weights = own[:, 0] * x + own[:, 1] * y + own[:, 2]
    total = weights.sum(0)
    total = torch.where(total == 0, 1.0, total)
    return (weights / total).clamp_(0.0, 1.0), volume.index_select(0, triangle) / total


def _texels(things: Things, patch: Tensor, weights: Tensor) -> Tensor:
    """Linear colours (3, P) at barycentric `weights (3, P)` of triangles whose patches are `patch (P, 3)`."""
    last = patch[:, 2] - 1
    across, down = weights[1] * last, weights[2] * last
    left, top = across.long(), down.long()
    start = (patch[:, 1] + top) * things.width + patch[:, 0] + left
    step = (left < last).long()
    below = (top < last).long() * things.width
    right, under = (across - left)[:, None], (down - top)[:, None]

    def at(place: Tensor) -> Tensor:
        return things.atlas.index_select(0, place).float()

    upper = torch.lerp(at(start), at(start + step), right)
    lower = torch.lerp(at(start + below), at(start + below + step), right)
    return torch.lerp(upper, lower, under).div_(255.0).square_().T


def _lit(
    normal: Tensor,
    view: Tensor,
    illuminated: Tensor,
    power: Tensor,
    paint: Tensor,
    mirrored: Tensor,
    counts: list[int],
) -> Tensor:
    """Linear colours (3, P) of surfaces: what `solids.shade_solids` does, for a single paint a pixel."""
    lamps = power.shape[1]
    facing = (normal * view).sum(0).clamp(0.0, 1.0)
    away = 2.0 * facing * normal - view
    lit, shine = (
        _by_thing(illuminated, F.pad(direction, (0, 0, 0, 1), value=1.0), counts) for direction in (normal, away)
    )
    lit = lit.clamp_min(0.0)
    peaks = shine[:lamps].clamp(1e-4, 1.0) ** _POLISH * ((_POLISH + 2.0) / 8.0)
    fall, glow = (_by_thing(power.mT, strength, counts) for strength in (lit[:lamps], peaks))
    room = (away[1] * -3.0 + torch.sin(away[0] * 5.0) + 0.5).clamp(0.0, 1.0) * 1.3 + 0.4
    glow = glow + shine[lamps:].clamp_min(0.0) * room
    gloss = mirrored + 0.6 * (mirrored > 0) * (1.0 - mirrored) * (1.0 - facing) ** 5
    return (fall + lit[lamps:]) * paint + glow * gloss
