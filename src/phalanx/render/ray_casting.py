"""Rays through the pixels of pinhole cameras that meet simple solids: depth, coverage and normals in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from phalanx.render.solids import CAPSULE, CUP, TINY, Solids, enter, gradient

_NEAREST = 0.01  # metres: what comes nearer to the camera is not seen
_THIN = 2.5  # pixels

Run = tuple[int, int, int]
"""Number of a solid, and where its part of a list starts and ends."""


@dataclass
class Seen:
    """The T pixels in which solids are seen; the pixels of a solid follow one another.

    Attributes:
        pixel: (T,) int64 number of the pixel in all pictures.
        runs: for each solid its number b N + n, and where its pixels start and end.
        own: (3, T) the point that is seen, in the solid's own axes and half sizes.
        view, normal: (3, T) unit vectors towards the camera, and out of the surface; camera frame.
    """

    pixel: Tensor
    runs: list[Run]
    own: Tensor
    view: Tensor
    normal: Tensor

    def each(self, values: Tensor) -> Tensor:
        """Values (B N,) of the solids for each of the T pixels."""
        return _each(values, self.runs)


@dataclass
class Cast:
    """What the rays of B pictures of S pixels meet.

    Attributes:
        depth: (B, S, S) metres at the pixel's centre or, where that is free, of the nearest sample; 0 where nothing is met.
        coverage: (B, S, S) share of the pixel's samples that meet a solid.
        index: (B, S, S) int8, which of the picture's solids is seen; -1 where none is.
        seen: the same as a list of pixels, for shading.
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
    """Find what the rays of pictures of `size` pixels meet.

    One ray goes through each pixel's centre, several go through pixels on outlines: solids are convex, so a pixel whose neighbours'
    centres are all covered is covered. What lies less than a centimetre in front of the camera is not seen.

    Args:
        solids: N in each of B pictures, in the camera frame.
        K: (B, 3, 3) pinhole cameras.
        size: side of the square pictures in pixels.
        samples: rays along each side of a pixel that measure its coverage; depth and normal belong to the ray at its centre.
    """
    layers = _layers(solids, K, size)
    if not layers.solid:
        return _nothing(len(solids.kind), size, K.device)
    lenses = _lenses(solids, torch.linalg.inv(K))
    line = torch.arange(size, device=K.device, dtype=torch.float32)
    plane = torch.stack(torch.broadcast_tensors(line, line[:, None], torch.ones((), device=K.device)))  # (3, S, S)
    centres = _meet_centres(lenses, layers, plane, len(solids.kind))
    outlines = _outlines(layers, centres.hit)
    rim = _meet_rim(lenses, layers, plane, outlines, samples)
    coverage = _coverage(layers, centres, outlines, rim)
    depth, index = _nearest(layers, centres, rim)
    void = coverage == 0
    depth.masked_fill_(void, 0.0)
    index.masked_fill_(void, -1)
    return Cast(depth, coverage, index, _seen(lenses, layers, depth, index))


def _nothing(batch: int, size: int, device: torch.device) -> Cast:
    """Pictures in which nothing is seen."""
    empty = torch.zeros((batch, size, size), device=device)
    none = torch.zeros((3, 0), device=device)
    pixel = torch.zeros(0, dtype=torch.int64, device=device)
    index = torch.full((batch, size, size), -1, dtype=torch.int8, device=device)
    return Cast(empty, empty.clone(), index, Seen(pixel, [], none, none, none))


@dataclass(frozen=True)
class _Layers:
    """The L of all B N solids that may be seen, those of a kind one after the other.

    Attributes:
        kinds: kinds of all B N solids.
        solid: the number b N + n of each layer's solid.
        picture, member: its b, and its n.
        box: rows and columns of the picture that it may touch.
        thin: whether it may slip between the pixels' centres.
    """

    kinds: list[int]
    solid: list[int]
    picture: list[int]
    member: list[int]
    box: list[tuple[slice, slice]]
    thin: list[bool]

    def runs(self, counts: list[int]) -> list[Run]:
        """Where in a list the layers' parts, `counts (L,)` long, begin and end."""
        ends = list(accumulate(counts, initial=0))
        return list(zip(self.solid, ends[:-1], ends[1:], strict=True))


def _layers(solids: Solids, K: Tensor, size: int) -> _Layers:
    number, kinds = solids.kind.shape[1], solids.kind.flatten().tolist()
    windows, thin = _windows(solids, K, size)
    inside = [i for i, (left, top, right, bottom) in enumerate(windows) if left < right and top < bottom]
    chosen = sorted((i for i in inside if kinds[i] >= 0), key=lambda i: kinds[i])
    return _Layers(
        kinds,
        chosen,
        [i // number for i in chosen],
        [i % number for i in chosen],
        [(slice(windows[i][1], windows[i][3]), slice(windows[i][0], windows[i][2])) for i in chosen],
        [thin[i] for i in chosen],
    )


@dataclass(frozen=True)
class _Centres:
    """What the rays through the pixels' centres meet.

    Attributes:
        depth: (B, S, S) of the nearest solid, infinite where there is none.
        found: of each layer the depths in its box, infinite where it is not met.
        hit: (L, S, S) where each layer is met.
    """

    depth: Tensor
    found: list[Tensor]
    hit: Tensor


def _meet_centres(lenses: _Lenses, layers: _Layers, plane: Tensor, batch: int) -> _Centres:
    size, device = plane.shape[-1], plane.device
    columns = [plane[:, rows, across].flatten(1) for rows, across in layers.box]
    runs = layers.runs([part.shape[1] for part in columns])
    met = _enter_all(lenses, layers.kinds, runs, columns)
    depth = torch.full((batch, size, size), torch.inf, device=device)
    hit = torch.zeros((len(runs), size, size), dtype=torch.bool, device=device)
    found = [met[start:end].view(hit[k][layers.box[k]].shape) for k, (_, start, end) in enumerate(runs)]
    for z, layer, picture, box in zip(found, hit, layers.picture, layers.box, strict=True):
        torch.lt(z, torch.inf, out=layer[box])
        torch.minimum(depth[picture][box], z, out=depth[picture][box])
    return _Centres(depth, found, hit)


def _outlines(layers: _Layers, hit: Tensor) -> Tensor:
    """Where (L, S, S) a layer may cover a part of a pixel."""
    outlines = _grown(hit) & _grown(~hit, border=True)
    for outline, box, thin in zip(outlines, layers.box, layers.thin, strict=True):
        if thin:
            outline[box] = True
    return outlines


@dataclass(frozen=True)
class _Rim:
    """The R pixels at outlines, those of a layer one after the other.

    Attributes:
        pixel: (R,) number of the pixel in all pictures.
        count: (L,) how many are a layer's.
        met: (R, s^2) depth at which each sample's ray meets the layer, infinite where it does not.
    """

    pixel: Tensor
    count: Tensor
    met: Tensor


def _meet_rim(lenses: _Lenses, layers: _Layers, plane: Tensor, outlines: Tensor, samples: int) -> _Rim:
    device, area, several = plane.device, outlines[0].numel(), samples * samples
    place = outlines.view(-1).nonzero()[:, 0]
    steps = torch.arange(len(outlines) + 1, device=device) * area
    ends = torch.searchsorted(place, steps).tolist()
    counts = [b - a for a, b in pairwise(ends)]
    each = torch.tensor(counts, device=device)
    pixel = place + (torch.tensor(layers.picture, device=device) * area - steps[:-1]).repeat_interleave(each)
    offset = (torch.arange(samples, device=device) + 0.5) / samples - 0.5
    offsets = torch.stack(torch.broadcast_tensors(offset, offset[:, None], torch.zeros((), device=device))).flatten(1)
    sampled = (plane.flatten(1)[:, place % area, None] + offsets[:, None]).flatten(1)  # (3, R s^2)
    runs = layers.runs([count * several for count in counts])
    met = _enter_all(lenses, layers.kinds, runs, [sampled[:, a:b] for _, a, b in runs])
    return _Rim(pixel, each, met.view(-1, several))


def _coverage(layers: _Layers, centres: _Centres, outlines: Tensor, rim: _Rim) -> Tensor:
    """Share (B, S, S) of each pixel's samples that meet a solid."""
    device, several = rim.met.device, rim.met.shape[1]
    bits = torch.zeros((centres.depth.numel() * several,), dtype=torch.bool, device=device)
    bits[(rim.pixel[:, None] * several + torch.arange(several, device=device))[rim.met < torch.inf]] = True
    whole = torch.zeros_like(centres.depth, dtype=torch.bool)
    for layer, picture in zip(centres.hit & ~outlines, layers.picture, strict=True):
        whole[picture] |= layer
    coverage = whole.float()
    partly = bits.view(-1, several)[rim.pixel].float().mean(1)
    coverage.view(-1)[rim.pixel] = torch.where(whole.view(-1)[rim.pixel], 1.0, partly)
    return coverage


def _nearest(layers: _Layers, centres: _Centres, rim: _Rim) -> tuple[Tensor, Tensor]:
    """Depth (B, S, S), infinite where nothing is met, and which of the picture's solids (B, S, S) it belongs to, -1 for none."""
    depth = centres.depth.clone()
    flat = depth.view(-1)
    index = torch.full(depth.shape, -1, dtype=torch.int8, device=depth.device)
    for z, picture, box, member in zip(centres.found, layers.picture, layers.box, layers.member, strict=True):
        index[picture][box].masked_fill_((z == depth[picture][box]) & (z < torch.inf), member)
    # Where the centre is free, the nearest sample counts.
    nearest = rim.met.amin(1)
    beside = torch.full_like(flat, torch.inf).scatter_reduce_(0, rim.pixel, nearest, "amin")
    free = flat[rim.pixel] == torch.inf
    first = free & (nearest == beside[rim.pixel]) & (nearest < torch.inf)
    which = torch.tensor(layers.member, dtype=torch.int8, device=depth.device).repeat_interleave(rim.count)
    index.view(-1)[rim.pixel[first]] = which[first]
    flat[rim.pixel] = torch.where(free, beside[rim.pixel], flat[rim.pixel])
    return depth, index


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
    half = solids.half.clamp_min(TINY)
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
    direction[..., 2] += TINY
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
    rows = [[i, end - start] for i, start, end in runs]
    solid, count = torch.tensor(rows, dtype=torch.int64, device=values.device).view(-1, 2).T
    return values[solid].repeat_interleave(count)


def _enter_all(lenses: _Lenses, kinds: list[int], runs: list[Run], columns: list[Tensor]) -> Tensor:
    """Depth (T,) at which the rays of pixels meet the solid of their run; infinite where they do not. `columns`: (3, T_run) each."""
    rays = torch.empty((6, runs[-1][2] if runs else 0), device=lenses.middle.device)
    for (i, start, end), part in zip(runs, columns, strict=True):
        torch.mm(lenses.matrix[i, :6], part, out=rays[:, start:end])
    met = torch.empty_like(rays[0])
    for kind, span, of in _spans(kinds, runs):
        length = _each(lenses.length, [runs[k] for k in of]) if kind == CAPSULE else None
        met[span] = enter(kind, rays[:3, span], rays[3:, span], length)
    met += _each(lenses.middle, runs)
    return met.masked_fill_(met < _NEAREST, torch.inf)


def _seen(lenses: _Lenses, layers: _Layers, depth: Tensor, index: Tensor) -> Seen:
    size = depth.shape[-1]
    parts = [
        (index[picture] == member).view(-1).nonzero()[:, 0]
        for picture, member in zip(layers.picture, layers.member, strict=True)
    ]
    runs = layers.runs([len(part) for part in parts])
    place = torch.cat(parts)
    row = torch.div(place, size, rounding_mode="floor")
    columns = torch.stack([(place - row * size).float(), row.float(), torch.ones_like(row, dtype=torch.float32)])
    rays = torch.empty((9, len(place)), device=depth.device)
    pixel = torch.empty_like(place)
    for picture, (i, start, end) in zip(layers.picture, runs, strict=True):
        torch.add(place[start:end], picture * size * size, out=pixel[start:end])
        torch.mm(lenses.matrix[i], columns[:, start:end], out=rays[:, start:end])
    at, direction, view = rays.split(3)
    at.addcmul_(direction, depth.view(-1)[pixel] - _each(lenses.middle, runs))
    normal = torch.empty_like(at)
    for kind, span, of in _spans(layers.kinds, runs):
        length = _each(lenses.length, [runs[k] for k in of]) if kind == CAPSULE else None
        normal[:, span] = gradient(kind, at[:, span], direction[:, span], length)
    for i, start, end in runs:
        normal[:, start:end] = lenses.back[i] @ normal[:, start:end]
    normal *= (normal.square().sum(0) + TINY).rsqrt()
    at[2] *= _each(lenses.stretch, runs)
    return Seen(pixel, runs, at, view * -view.square().sum(0).rsqrt(), normal)
