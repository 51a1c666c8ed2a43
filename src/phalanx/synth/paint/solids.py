"""Simple solids that hands hold: met by the camera's rays in closed form, measured against points, shaded in the hand's light."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.light import LightDraw

ELLIPSOID, CAPSULE, CYLINDER, CUP, BOX = range(5)
"""Kinds of solids. The axis of capsule, cylinder and cup is their own z; a cup is a cylinder without its end at +z."""

_NEAREST = 0.01  # metres: what comes nearer to the camera is not seen
_THIN = 2.5  # pixels
_TINY = 1e-9

Run = tuple[int, int, int]  # number of a solid, start and end of what is its own in a list


@dataclass
class Solids:
    """N solids in each of B pictures, in any one frame (the camera's to be seen, the hand's to be held); metres.

    Attributes:
        kind: (B, N) int64, -1 where there is none.
        half: (B, N, 3) half of the size along the solid's own axes. Capsules, cylinders and cups are round: `half[..., 0]` is their
            radius, and the half length `half[..., 2]` of a capsule reaches to its round ends.
        rotation: (B, N, 3, 3) from the solid's own axes to the frame.
        centre: (B, N, 3).
    """

    kind: Tensor
    half: Tensor
    rotation: Tensor
    centre: Tensor

    def __getitem__(self, rows: slice | Tensor | tuple[slice, slice | list[int]]) -> Solids:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> Solids:
        """The same on another device."""
        return map_fields(self, lambda value: value.to(device))

    def moved(self, rotation: Tensor, translation: Tensor) -> Solids:
        """The same seen from a frame to which `rotation (B, 3, 3)`, then `translation (B, 3)` lead, as from hand to camera."""
        centre = (rotation[:, None] @ self.centre[..., None])[..., 0] + translation[:, None]
        return Solids(self.kind, self.half, rotation[:, None] @ self.rotation, centre)


@dataclass
class Seen:
    """The T pixels in which solids are seen, those of a solid one after the other.

    Attributes:
        pixel: (T,) int64 number of the pixel in all pictures.
        runs: of each solid its number b N + n, and where its pixels start and end.
        own: (3, T) the place in the solid's own axes and half sizes.
        view: (3, T) unit vectors towards the camera; normal: (3, T).
    """

    pixel: Tensor
    runs: list[Run]
    own: Tensor
    view: Tensor
    normal: Tensor


@dataclass
class Cast:
    """What the rays of B pictures of S pixels meet.

    Attributes:
        depth: (B, S, S) metres at the pixel's centre (where that is free, of the nearest sample), 0 where nothing is met.
        coverage: (B, S, S) share of the pixel's samples that meet a solid.
        index: (B, S, S) int8, which of the picture's solids is seen, -1 where none is.
        seen: the same as a list, for shading.
    """

    depth: Tensor
    coverage: Tensor
    index: Tensor
    seen: Seen

    @property
    def normal(self) -> Tensor:
        """(B, 3, S, S) outward unit normals in the camera frame (inside a cup towards its axis), 0 where nothing is met."""
        return self.spread(self.seen.normal)

    def spread(self, values: Tensor) -> Tensor:
        """Values (3, T) of the pixels seen as pictures (B, 3, S, S), 0 elsewhere."""
        pictures = torch.zeros((3, self.depth.numel()), device=values.device)
        pictures[:, self.seen.pixel] = values
        return pictures.view(3, *self.depth.shape).transpose(0, 1)


def cast(solids: Solids, K: Tensor, size: int, samples: int = 2) -> Cast:
    """Meet `solids` (camera frame) with the rays of pictures of `size` pixels.

    Args:
        K: (B, 3, 3).
        samples: rays along each side of a pixel that measure its coverage; depth and normal belong to the ray at its centre.

    Rays go through the box round each solid's projection, and several a pixel where its outline runs: solids are convex, so a pixel
    whose neighbours' centres are all covered is covered. What is nearer to the camera's plane than a centimetre is not seen.
    """
    device, (batch, number) = K.device, solids.kind.shape
    area, several = size * size, samples * samples
    lenses = _lenses(solids, torch.linalg.inv(K))
    kinds = solids.kind.flatten().tolist()
    windows, thin = _windows(solids, K, size)
    # Solids that may be seen, those of a kind one after the other: layer k is solid number `layers[k]`.
    inside = [i for i, (left, top, right, bottom) in enumerate(windows) if left < right and top < bottom]
    layers = sorted((i for i in inside if kinds[i] >= 0), key=lambda i: kinds[i])
    if not layers:
        nothing = torch.zeros((batch, size, size), device=device)
        none = torch.zeros((3, 0), device=device)
        place = torch.zeros(0, dtype=torch.int64, device=device)
        index = torch.full((batch, size, size), -1, dtype=torch.int8, device=device)
        return Cast(nothing, nothing.clone(), index, Seen(place, [], none, none, none))
    pictures = [i // number for i in layers]
    boxes = [(slice(windows[i][1], windows[i][3]), slice(windows[i][0], windows[i][2])) for i in layers]
    line = torch.arange(size, device=device, dtype=torch.float32)
    plane = torch.stack(torch.broadcast_tensors(line, line[:, None], torch.ones((), device=device)))  # (3, S, S)

    # The rays through the pixels' centres.
    columns = [plane[:, rows, across].flatten(1) for rows, across in boxes]
    runs = _runs(layers, [part.shape[1] for part in columns])
    met = _enter_all(lenses, kinds, runs, columns)
    depth = torch.full((batch, size, size), torch.inf, device=device)
    hit = torch.zeros((len(layers), size, size), dtype=torch.bool, device=device)
    found = [met[start:end].view(hit[k][boxes[k]].shape) for k, (_, start, end) in enumerate(runs)]
    for z, layer, picture, box in zip(found, hit, pictures, boxes, strict=True):
        torch.lt(z, torch.inf, out=layer[box])
        torch.minimum(depth[picture][box], z, out=depth[picture][box])
    rim = _grown(hit) & _grown(~hit, border=True)
    for k, i in enumerate(layers):
        if thin[i]:
            rim[k][boxes[k]] = True

    # The rays of samples near outlines.
    place = rim.view(-1).nonzero()[:, 0]
    steps = torch.arange(len(layers) + 1, device=device) * area
    ends = torch.searchsorted(place, steps).tolist()
    counts = [b - a for a, b in pairwise(ends)]
    each = torch.tensor(counts, device=device)
    on_rim = place + (torch.tensor(pictures, device=device) * area - steps[:-1]).repeat_interleave(each)
    offset = (torch.arange(samples, device=device) + 0.5) / samples - 0.5
    offsets = torch.stack(torch.broadcast_tensors(offset, offset[:, None], torch.zeros((), device=device))).flatten(1)
    sampled = (plane.flatten(1)[:, place % area, None] + offsets[:, None]).flatten(1)  # (3, R s^2)
    fine_runs = _runs(layers, [count * several for count in counts])
    near = _enter_all(lenses, kinds, fine_runs, [sampled[:, a:b] for _, a, b in fine_runs]).view(-1, several)
    bits = torch.zeros((batch * area * several,), dtype=torch.bool, device=device)
    bits[(on_rim[:, None] * several + torch.arange(several, device=device))[near < torch.inf]] = True
    nearest = near.amin(1)
    beside = torch.full((batch * area,), torch.inf, device=device).scatter_reduce_(0, on_rim, nearest, "amin")

    # Together.
    hit &= ~rim
    whole = torch.zeros((batch, size, size), dtype=torch.bool, device=device)
    for layer, picture in zip(hit, pictures, strict=True):
        whole[picture] |= layer
    coverage, flat = whole.float(), depth.view(-1)
    partly = bits.view(-1, several)[on_rim].float().mean(1)
    coverage.view(-1)[on_rim] = torch.where(whole.view(-1)[on_rim], 1.0, partly)
    free = flat[on_rim] == torch.inf
    index = torch.full((batch, size, size), -1, dtype=torch.int8, device=device)
    for z, picture, box, i in zip(found, pictures, boxes, layers, strict=True):
        index[picture][box].masked_fill_((z == depth[picture][box]) & (z < torch.inf), i % number)
    first = free & (nearest == beside[on_rim]) & (nearest < torch.inf)
    which = torch.tensor([i % number for i in layers], dtype=torch.int8, device=device).repeat_interleave(each)
    index.view(-1)[on_rim[first]] = which[first]
    flat[on_rim] = torch.where(free, beside[on_rim], flat[on_rim])
    void = coverage == 0
    depth.masked_fill_(void, 0.0)
    index.masked_fill_(void, -1)
    seen = _seen(lenses, kinds, layers, depth, index)
    return Cast(depth, coverage, index, seen)


def _runs(layers: list[int], counts: list[int]) -> list[Run]:
    ends = list(accumulate(counts, initial=0))
    return list(zip(layers, ends[:-1], ends[1:], strict=True))


def _grown(mask: Tensor, border: bool = False) -> Tensor:
    """Masks (L, S, S) grown by a pixel all round; with `border` the picture's border is in them too."""
    wide = mask.clone()
    wide[..., 1:] |= mask[..., :-1]
    wide[..., :-1] |= mask[..., 1:]
    grown = wide.clone()
    grown[:, 1:] |= wide[:, :-1]
    grown[:, :-1] |= wide[:, 1:]
    if border:
        grown[:, [0, -1]] = True
        grown[..., [0, -1]] = True
    return grown


def _windows(solids: Solids, K: Tensor, size: int) -> tuple[list[list[int]], list[bool]]:
    """For each solid the columns and rows (left, top, right, bottom), ends excluded, that it may touch, and whether it is so thin that
    it may slip between the pixels' centres."""
    signs = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)], device=K.device)
    corners = (signs * solids.half[:, :, None]) @ solids.rotation.mT + solids.centre[:, :, None]  # (B, N, 8, 3)
    seen = corners @ K[:, None].mT
    place = seen[..., :2] / seen[..., 2:].clamp_min(_NEAREST)
    close = (corners[..., 2].amin(2) < 2 * _NEAREST)[..., None]
    low, high = torch.where(close, -1.0, place.amin(2)), torch.where(close, float(size), place.amax(2))
    # Pixel i reaches from i - 1/2 to i + 1/2.
    edges = torch.cat([(low + 0.5).floor(), (high + 0.5).floor() + 1], -1).nan_to_num(0.0).clamp(0, size)
    edges[corners[..., 2].amax(2) < _NEAREST] = 0
    width = 2 * solids.half.amin(-1) * K[:, None, 0, 0] / solids.centre[..., 2].clamp_min(_NEAREST)
    return edges.flatten(0, 1).int().tolist(), (width < _THIN).flatten().tolist()


@dataclass(frozen=True)
class _Lenses:
    """How pixels look at each of I solids, in its own axes and units: half sizes, of a capsule its radius.

    A ray's direction has depth 1 and is linear in the pixel (x, y, 1), and so is the place where it passes the depth of the solid's
    centre. Rays are measured from there, so that what is squared stays small.

    Attributes:
        matrix: (I, 9, 3) from the pixel to that place, to the direction and to the direction in the camera frame.
        middle: (I,) depth of the centre; length: (I,) half length of a capsule's tube.
        back: (I, 3, 3) from gradients in own units to the camera frame.
        stretch: (I,) own units along z in half sizes.
    """

    matrix: Tensor
    middle: Tensor
    length: Tensor
    back: Tensor
    stretch: Tensor


def _lenses(solids: Solids, inverse: Tensor) -> _Lenses:
    half = solids.half.clamp_min(_TINY)
    capsule = solids.kind == CAPSULE
    scale = half.clone()
    scale[..., 2] = torch.where(capsule, half[..., 0], half[..., 2])
    scale[..., 1] = torch.where((solids.kind >= CAPSULE) & (solids.kind <= CUP), half[..., 0], half[..., 1])
    turn = solids.rotation.mT / scale[..., None]  # camera -> own units
    direction = turn @ inverse[:, None]  # (B, N, 3, 3)
    middle = solids.centre[..., 2]
    place = middle[..., None, None] * direction
    place[..., 2] -= (turn @ solids.centre[..., None])[..., 0]
    # Along a slab zero would be divided by zero.
    direction[..., 2] += _TINY
    matrix = torch.cat([place, direction, inverse[:, None].expand_as(direction)], -2).flatten(0, 1)
    back = solids.rotation / scale[..., None, :]
    length = (half[..., 2] / half[..., 0] - 1.0).clamp_min(0.0)
    return _Lenses(matrix, middle.flatten(), length.flatten(), back.flatten(0, 1), (scale / half)[..., 2].flatten())


def _spans(kinds: list[int], runs: list[Run]) -> list[tuple[int, slice, list[int]]]:
    """Runs whose solids are of one kind, joined: the kind, the rays and the runs' numbers."""
    spans = []
    for kind in sorted({kinds[i] for i, _, _ in runs}):
        of = [k for k, (i, _, _) in enumerate(runs) if kinds[i] == kind]
        spans.append((kind, slice(runs[of[0]][1], runs[of[-1]][2]), of))
    return spans


def _each(values: Tensor, runs: list[Run]) -> Tensor:
    """Values (I,) of the solids for each of the pixels of their runs."""
    solid, count = torch.tensor([[i, end - start] for i, start, end in runs], device=values.device).view(-1, 2).T
    return values[solid].repeat_interleave(count)


def _enter_all(lenses: _Lenses, kinds: list[int], runs: list[Run], columns: list[Tensor]) -> Tensor:
    """Depth (T,) at which the rays of pixels meet the solid of their run; infinite where they do not. `columns`: (3, T_run) each."""
    rays = torch.empty((6, runs[-1][2] if runs else 0), device=lenses.middle.device)
    for (i, start, end), part in zip(runs, columns, strict=True):
        torch.mm(lenses.matrix[i, :6], part, out=rays[:, start:end])
    met = torch.empty_like(rays[0])
    for kind, span, of in _spans(kinds, runs):
        length = _each(lenses.length, [runs[k] for k in of]) if kind == CAPSULE else None
        met[span] = _enter(kind, rays[:3, span], rays[3:, span], length)
    met += _each(lenses.middle, runs)
    return met.masked_fill_(met < _NEAREST, torch.inf)


def _seen(lenses: _Lenses, kinds: list[int], layers: list[int], depth: Tensor, index: Tensor) -> Seen:
    batch, size, _ = depth.shape
    number = len(kinds) // batch
    parts = [(index[i // number] == i % number).view(-1).nonzero()[:, 0] for i in layers]
    runs = _runs(layers, [len(part) for part in parts])
    place = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64, device=depth.device)
    row = torch.div(place, size, rounding_mode="floor")
    columns = torch.stack([(place - row * size).float(), row.float(), torch.ones_like(row, dtype=torch.float32)])
    rays = torch.empty((9, len(place)), device=depth.device)
    pixel = torch.empty_like(place)
    for i, start, end in runs:
        torch.add(place[start:end], i // number * size * size, out=pixel[start:end])
        torch.mm(lenses.matrix[i], columns[:, start:end], out=rays[:, start:end])
    at, direction, view = rays.split(3)
    at.addcmul_(direction, depth.view(-1)[pixel] - _each(lenses.middle, runs))
    normal = torch.empty_like(at)
    for kind, span, of in _spans(kinds, runs):
        length = _each(lenses.length, [runs[k] for k in of]) if kind == CAPSULE else None
        normal[:, span] = _gradient(kind, at[:, span], direction[:, span], length)
    for i, start, end in runs:
        normal[:, start:end] = lenses.back[i] @ normal[:, start:end]
    normal *= (normal.square().sum(0) + _TINY).rsqrt()
    at[2] *= _each(lenses.stretch, runs)
    return Seen(pixel, runs, at, view * -view.square().sum(0).rsqrt(), normal)


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Discriminant, its root and 1 / a of a t^2 + 2 b t + c = 0."""
    discriminant = b * b - a * c
    return discriminant, discriminant.clamp_min(0.0).sqrt_(), a.clamp_min(_TINY).reciprocal_()


def _enter(kind: int, at: Tensor, direction: Tensor, length: Tensor | None) -> Tensor:
    """Steps (T,) along `direction` (3, T) from `at` (3, T) with which rays enter a solid in its own units; infinite where they do not."""
    (px, py, pz), (dx, dy, dz) = at, direction
    if kind == BOX:
        near, far = None, None
        for p, d in zip(at, direction, strict=True):
            inverse = d.reciprocal()
            wide = inverse.abs()
            middle = inverse.mul_(p).neg_()
            first, last = middle - wide, wide.add_(middle)
            near = first if near is None else torch.maximum(near, first, out=near)
            far = last if far is None else torch.minimum(far, last, out=far)
        assert near is not None and far is not None
        return torch.where(near <= far, near, torch.inf)
    across, towards, off = dx * dx + dy * dy, px * dx + py * dy, px * px + py * py
    if kind == ELLIPSOID:
        discriminant, root, inverse = _quadratic(across + dz * dz, towards + pz * dz, off.add_(pz * pz).sub_(1.0))
        return torch.where(discriminant > 0, root.add_(towards + pz * dz).neg_().mul_(inverse), torch.inf)
    discriminant, root, inverse = _quadratic(across, towards, off - 1.0)
    near = (root + towards).neg_().mul_(inverse)
    if kind == CAPSULE:
        assert length is not None
        height = pz + near * dz
        end = height.clamp(-length, length)  # of the ball that closes it where the tube does not reach
        z = pz - end
        ball, ball_root, ball_inverse = _quadratic(across + dz * dz, towards + z * dz, off + z * z - 1.0)
        on_ball = torch.where(ball > 0, (ball_root + towards + z * dz).neg_() * ball_inverse, torch.inf)
        return torch.where(discriminant > 0, torch.where(height == end, near, on_ball), torch.inf)
    far = (root - towards).mul_(inverse)
    inverse = dz.reciprocal()
    middle, wide = inverse * -pz, inverse.abs()
    first, last = middle - wide, middle + wide
    enter, leave = torch.maximum(near, first), torch.minimum(far, last)
    hit = (discriminant > 0) & (enter <= leave)
    if kind == CUP:  # through the open end the inside is seen, as far as wall or bottom
        enter = torch.where((first > near) & (dz < 0), leave, enter)
    return torch.where(hit, enter, torch.inf)


def _gradient(kind: int, point: Tensor, direction: Tensor, length: Tensor | None) -> Tensor:
    """The outward gradient (3, T) of a solid's surface in its own units at points (3, T) on it; on the inside of a cup inward."""
    x, y, z = point
    if kind == ELLIPSOID:
        return point
    if kind == CAPSULE:
        assert length is not None
        return torch.stack([x, y, z - z.clamp(-length, length)])
    if kind == BOX:
        size = point.abs()
        return torch.where(size >= size.amax(0), point, 0.0)
    end = z.square() > x * x + y * y
    outward = torch.stack([torch.where(end, 0.0, x), torch.where(end, 0.0, y), torch.where(end, z, 0.0)])
    if kind == CUP:  # rays from beyond the open end that leave through wall or bottom have met the inside
        dx, dy, dz = direction
        wall = x * dx + y * dy > 0.2 * (dx * dx + dy * dy).sqrt()
        outward = torch.where((end | wall) & (dz < 0), -outward, outward)
    return outward


def signed_distance(solids: Solids, points: Tensor) -> Tensor:
    """Distance (B, N, P) in metres of points (B, P, 3) from each solid, negative inside (a cup is full); infinite where there is none.

    Exact but for ellipsoids that are no balls: there to first order near the surface.
    """
    batch, number = solids.kind.shape
    turn = solids.rotation.mT.flatten(0, 1)  # (I, 3, 3)
    origin = turn @ solids.centre.reshape(-1, 3, 1)
    own = torch.baddbmm(-origin, turn, points.mT.repeat_interleave(number, 0) if number > 1 else points.mT)  # (I, 3, P)
    half = solids.half.reshape(-1, 3, 1)
    distance = torch.full((batch * number, points.shape[1]), torch.inf, device=points.device)
    kinds = solids.kind.flatten().tolist()
    for kind in set(kinds) - {-1}:
        chosen: slice | Tensor = slice(None)
        if kinds.count(kind) < len(kinds):
            chosen = torch.tensor([i for i, k in enumerate(kinds) if k == kind], device=points.device)
        p, h = own[chosen], half[chosen]  # (I, 3, P), (I, 3, 1)
        if kind == ELLIPSOID:
            inverse = 1.0 / h
            p = p * inverse
            size = p.square().sum(1).sqrt_()
            value = size * (size - 1.0) / p.mul_(inverse).square_().sum(1).sqrt_().clamp_min_(_TINY)
            value = torch.where(size < 1e-3, -h.amin(1), value)
        elif kind == CAPSULE:
            radius, length = h[:, 0], h[:, 2] - h[:, 0]
            beyond = (p[:, 2].abs() - length).clamp_min_(0.0)
            value = (p[:, 0].square() + p[:, 1].square() + beyond.square()).sqrt_() - radius
        else:
            if kind == BOX:
                beyond = p.abs() - h
            else:
                across = (p[:, 0].square() + p[:, 1].square()).sqrt_()
                beyond = torch.stack([across - h[:, 0], p[:, 2].abs() - h[:, 2]], 1)
            value = beyond.clamp_min(0.0).square_().sum(1).sqrt_() + beyond.amax(1).clamp_max_(0.0)
        distance[chosen] = value
    return distance.view(batch, number, points.shape[1])


@dataclass
class SolidLook:
    """What N solids in each of B pictures are painted with: a ground, a print on it, and a trim (lids, tips, a phone's screen).

    Attributes:
        paint: (B, N, 4, 3) linear reflectance red, green, blue and the share of light that is mirrored, of ground, print, trim.
        waves: (B, N, 2, 4) radians per metre along the solid's own axes, and phase: the print is where the sum of their sines is positive,
        print: (B, N, 3) more than the first of these; and along the axis within the third of the second (in half lengths).
        trim: (B, N) beyond this share of the half length (on a box's face at +z: within this share of width and height).
        polish: (B, N) exponent of the lights' reflections.
    """

    paint: np.ndarray
    waves: np.ndarray
    print: np.ndarray
    trim: np.ndarray
    polish: np.ndarray


def draw_looks(generator: np.random.Generator, solids: Solids) -> SolidLook:
    """Draw paints that suit each solid: labels and lids for tins, tips for pens, screens for flat boxes, stripes for balls."""
    kind, half = solids.kind.cpu().numpy(), solids.half.cpu().double().numpy()
    shape = kind.shape

    def chance(share: float) -> np.ndarray:
        return generator.random(shape) < share

    def colour() -> np.ndarray:
        drawn = PALETTE[generator.integers(0, len(PALETTE), shape)] / 255.0 + generator.normal(0, 0.05, (*shape, 3))
        return np.clip(drawn, 0.08, 0.97) ** 2.2

    mirrored = np.where(chance(0.5), generator.uniform(0.0, 0.03, shape), generator.uniform(0.03, 0.09, shape))
    metal = chance(0.15)
    ground, label, trim = colour(), colour(), colour()
    ground = np.where(metal[..., None], generator.uniform(0.12, 0.4, (*shape, 1)) * np.ones(3), ground)
    label = np.where(chance(0.35)[..., None], generator.uniform(0.5, 0.9, (*shape, 1)) * np.ones(3), label)
    gloss = np.stack([np.where(metal, 0.5, mirrored), np.where(chance(0.7), mirrored, 0.04), mirrored], -1)
    flat = (kind == BOX) & (half[..., 2] < 0.007)
    steel = ((kind == CYLINDER) & chance(0.6)) | ((kind == CAPSULE) & chance(0.3))
    trim = np.where(steel[..., None], generator.uniform(0.2, 0.5, (*shape, 1)) * np.array([1.0, 0.98, 0.94]), trim)
    dark = flat & chance(0.6)
    trim = np.where(dark[..., None], generator.uniform(0.003, 0.02, (*shape, 1)) * np.array([0.9, 1.0, 1.2]), trim)
    gloss[..., 2] = np.where(steel, 0.5, np.where(flat, 0.05, gloss[..., 2]))
    trim_from = np.select(
        [flat & chance(0.7), kind == CYLINDER, kind == CUP, kind == CAPSULE],
        [
            generator.uniform(0.86, 0.97, shape),
            np.where(chance(0.6), 1.0 - 0.004 / np.maximum(half[..., 2], 0.01), generator.uniform(0.7, 0.97, shape)),
            np.where(chance(0.3), generator.uniform(0.8, 0.97, shape), 2.0),
            np.where(chance(0.6), generator.uniform(0.6, 0.97, shape), 2.0),
        ],
        np.where(kind == BOX, -1.0, 2.0),
    )
    # From broad stripes and patches to lines as fine as print.
    length = np.exp(generator.uniform(np.log(0.004), np.log(0.06), (*shape, 2, 1)))
    direction = generator.normal(size=(*shape, 2, 3))
    straight = np.eye(3)[generator.integers(0, 3, (*shape, 2))]
    direction = np.where(chance(0.7)[..., None, None], straight, direction)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    waves = np.concatenate([direction * 2 * np.pi / length, generator.uniform(0, 2 * np.pi, (*shape, 2, 1))], -1)
    whole = chance(0.3)  # nothing but the band
    printed = np.stack(
        [
            np.where(chance(0.75), np.where(whole, -3.0, generator.uniform(-0.8, 1.4, shape)), 3.0),
            generator.normal(0, 0.2, shape),
            np.where(chance(0.25), 3.0, generator.uniform(0.15, 0.8, shape)),
        ],
        -1,
    )
    paint = np.concatenate([np.stack([ground, label, trim], -1), gloss[..., None, :]], -2)
    polish = np.exp(generator.uniform(np.log(8), np.log(150), shape))
    return SolidLook(*(array.astype(np.float32) for array in (paint, waves, printed, trim_from, polish)))


def shade_solids(cast: Cast, solids: Solids, light: LightDraw, look: SolidLook, surroundings: Tensor) -> Tensor:
    """Colour (B, 3, S, S), linear, multiplied by coverage, of what was cast.

    Args:
        cast, solids: what `cast` gave for these solids.
        light: as for the hand's skin: its lights, without their shadows, and its ambient light.
        look: what they are painted with.
        surroundings: (B, 3) mean linear colour of the background.
    """
    seen, device = cast.seen, cast.depth.device
    number, total = solids.kind.shape[1], len(seen.pixel)

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    # For each picture, from (direction, 1) to the cosines with its lights and to its ambient light's colour.
    bounce = on(light.bounce)[:, None]
    tint = 1 - bounce + bounce * surroundings / surroundings.mean(1, keepdim=True).clamp_min(0.02)
    ambient = on(light.ambient)[:, :, [1, 2, 3, 0]]
    ambient[:, :, 3] *= tint
    sky = torch.cat([F.pad(on(light.direction), (0, 1)), ambient], 1)  # (B, L + 3, 4)
    lamps = light.direction.shape[1]
    power, paint = on(light.colour).mT.contiguous(), on(look.paint).flatten(0, 1)  # (B, 3, L), (B N, 4, 3)
    waves = on(look.waves).flatten(0, 1)  # (B N, 2, 4)
    metres = torch.cat([solids.half.flatten(0, 1), torch.ones_like(solids.half[..., 0]).view(-1, 1)], 1)
    waves = waves * metres[:, None]  # of places in half sizes

    normal = F.pad(seen.normal, (0, 0, 0, 1), value=1.0)
    facing = (seen.view * seen.normal).sum(0).clamp_(0.0, 1.0)
    mirrored = torch.ones_like(normal)
    torch.sub(seen.normal * (2.0 * facing), seen.view, out=mirrored[:3])
    lit, shine = torch.empty((2, lamps + 3, total), device=device).unbind(0)
    wave = torch.empty((2, total), device=device)
    for i, start, end in seen.runs:
        run = slice(start, end)
        torch.mm(sky[i // number], normal[:, run], out=lit[:, run])
        torch.mm(sky[i // number], mirrored[:, run], out=shine[:, run])
        torch.addmm(waves[i, :, 3:], waves[i, :, :3], seen.own[:, run], out=wave[:, run])

    # Which paint: trim over print over ground.
    table = torch.cat([on(look.print), on(look.trim)[..., None], on(look.polish)[..., None]], -1).flatten(0, 1)
    bias, band, wide, edge, polish = (_each(column, seen.runs) for column in table.unbind(1))
    box = _each((solids.kind == BOX).flatten(), seen.runs)
    z = seen.own[2]
    size = seen.own.abs()
    trimmed = torch.where(box, (torch.maximum(size[0], size[1]) < edge) & (z > 0.99), size[2] > edge).float()
    printed = (wave.sin_().sum(0).sub_(bias)).mul_(4.0).add_(0.5).clamp_(0.0, 1.0)
    printed *= (z - band).abs_() < wide
    printed *= 1.0 - trimmed
    share = torch.stack([1.0 - printed - trimmed, printed, trimmed])

    lit.clamp_(min=0.0)
    peaks = shine[:lamps].clamp_(1e-4, 1.0).log_().mul_(polish).exp_().mul_((polish + 2.0) / 8.0)
    surface, fall, glow = (torch.empty((rows, total), device=device) for rows in (4, 3, 3))
    for i, start, end in seen.runs:
        run = slice(start, end)
        torch.mm(paint[i], share[:, run], out=surface[:, run])
        torch.mm(power[i // number], lit[:lamps, run], out=fall[:, run])
        torch.mm(power[i // number], peaks[:, run], out=glow[:, run])
    # What is mirrored: light above and dark below with an edge between, as in a room.
    room = (mirrored[1] * -3.0 + torch.sin(mirrored[0] * 5.0)).add_(0.5).clamp_(0.0, 1.0).mul_(1.3).add_(0.4)
    glow.addcmul_(shine[lamps:].clamp_(min=0.0), room)
    grazing = (1.0 - facing).pow_(5)
    gloss = surface[3] + 0.6 * (surface[3] > 0) * (1.0 - surface[3]) * grazing
    colour = fall.add_(lit[lamps:]).mul_(surface[:3]).addcmul_(glow, gloss)
    return cast.spread(colour.mul_(cast.coverage.view(-1)[seen.pixel]))
