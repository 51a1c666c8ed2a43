"""From triangles to pixels: per-pixel shading of the visible surface at double resolution, averaged down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import exp_
from phalanx.core.records import join_fields
from phalanx.geometry.point_lists import interleaved, places, transposed
from phalanx.render.visibility import visibility
from phalanx.synth.paint.cloth import paint_cloth
from phalanx.synth.paint.coats import paint_coats
from phalanx.synth.paint.dress import DressDraw
from phalanx.synth.paint.flesh import tendon_slopes
from phalanx.synth.paint.light import VertexLight
from phalanx.synth.paint.quads import seen_quads
from phalanx.synth.paint.skin import SLOPE_SCALE
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE
from phalanx.synth.paint.surface import Topology

# Red light travels furthest under skin, and so shows the least relief (d'Eon and Luebke 2007).
_RELIEF_SEEN = (0.75, 1.05, 1.15)
_GLINT = 2.0  # what is mirrored changes more with slope than what comes back from under the skin
_CPU_BLOCK = 1 << 16  # pixels shaded together, but at least a picture's: what fits a core's cache


@dataclass
class Picture:
    """A rendered hand: `colour (B, 3, S, S)` linear, multiplied by `coverage (B, S, S)`; `depth (B, S, S)` metres, 0 = nothing; `parts`
    `(B, S, S)` uint8, 0 = nothing, else 1 + the segment of the hand model that is seen (of several at a rim, the last)."""

    colour: Tensor
    coverage: Tensor
    depth: Tensor
    parts: Tensor


@dataclass
class Look:
    """What shading needs to know of each vertex and each picture.

    Attributes:
        light: at V vertices of B hands.
        cover, phase: (B, V), as `dress` gives them.
        colours: (B, 3, 8) log reflectance from [1, palm, melanin, blood, cavity, nail, cloth, stripe].
        skin: (B,) int64 variant in the bank.
        dress: for the cloth of sleeves, and what else is worn.
        blood, tendons: (B, V), as `flesh` gives them.
    """

    light: VertexLight
    cover: Tensor
    phase: Tensor
    colours: Tensor
    skin: Tensor
    dress: DressDraw
    blood: Tensor
    tendons: Tensor


def texture_side(size: int) -> int:
    """Side of the skin texture that suits pictures of `size` pixels: about a texel a pixel on a hand that fills the picture."""
    side = 64
    while side < min(2 * size, TEXTURE_SIDE):
        side *= 2
    return side


def render(vertices: Tensor, K: Tensor, size: int, topology: Topology, look: Look, bank: Tensor | None) -> Picture:
    """Render posed surfaces `(B, V, 3)` seen by the cameras `K (B, 3, 3)` of `size`-pixel pictures; black ones without a bank of skins."""
    batch, device = len(vertices), vertices.device
    fine = K.clone()  # the camera of twice as many pixels: u' = 2 u + 0.5
    fine[:, :2] *= 2.0
    fine[:, :2, 2] += 0.5
    block = max(1, _CPU_BLOCK // size**2) if device.type == "cpu" else batch
    parts = []
    for start in range(0, batch, block):
        rows = slice(start, min(start + block, batch))
        seen = visibility(vertices[rows], topology.faces, fine[rows], 2 * size, 2 * size, back_faces=False)
        parts.append(_shade(vertices[rows], fine[rows], seen, topology, look, bank, rows))
    return join_fields(parts)


def _vertex_table(vertices: Tensor, K: Tensor, topology: Topology, look: Look, rows: slice) -> tuple[Tensor, Tensor]:
    """Attributes `(n * W, 15)` of the split vertices and set-up `(n * F, 6)` of the faces' screen barycentrics."""
    n = len(vertices)
    projected = torch.bmm(vertices, K.transpose(1, 2))
    inverse_depth = 1.0 / projected[..., 2:]
    place = projected[..., :2] * inverse_depth  # (n, V, 2)
    own = [
        look.light.diffuse[..., rows].permute(2, 1, 0),
        look.light.gloss[..., rows].permute(2, 1, 0),
        look.light.relief[..., rows].permute(2, 1, 0),
        look.cover[rows, :, None],
        look.phase[rows, :, None],
        inverse_depth,
        look.blood[rows, :, None],
        look.tendons[rows, :, None],
    ]
    own_vertices = torch.cat(own, -1).index_select(1, topology.split)
    attributes = torch.cat([own_vertices, topology.split_uv[None].expand(n, -1, -1)], -1)
    a, b, c = place.index_select(1, topology.faces.flatten()).unflatten(1, (-1, 3)).unbind(2)  # (n, F, 2)
    e1, e2 = b - a, c - a
    area = e1[..., 0] * e2[..., 1] - e1[..., 1] * e2[..., 0]
    inverse = 1.0 / torch.where(area.abs() < 1e-8, 1e-8, area)
    set_up = torch.stack(
        [
            a[..., 0],
            a[..., 1],
            e2[..., 1] * inverse,
            -e2[..., 0] * inverse,
            -e1[..., 1] * inverse,
            e1[..., 0] * inverse,
        ],
        -1,
    )
    return attributes.flatten(0, 1), set_up.flatten(0, 1)


def _shade(
    vertices: Tensor, K: Tensor, seen: Tensor, topology: Topology, look: Look, bank: Tensor | None, rows: slice
) -> Picture:
    """Shade the n pictures `rows` in which `seen (n, 2S, 2S)` faces are seen."""
    points = _points(seen, topology)
    values = _interpolate(points, _vertex_table(vertices, K, topology, look, rows), topology)
    grain = 2.0 * vertices[..., 2].mean(1) / K[:, 0, 0]
    colour = values.new_zeros(3, values.shape[1]) if bank is None else _colour(points, values, look, bank, rows, grain)
    return _resolve(points, colour, 1.0 / values[10], seen)


@dataclass
class _Points:
    """The T points of n pictures that are shaded: I pixels at their centres, then R samples of the others.

    A pixel all of whose four samples lie on one segment of the hand is shaded once; at rims, where segments meet, every sample is.

    Attributes:
        coverage, segment: (n S S,) share of each pixel that is covered, and 1 + the last segment seen in it.
        inner, rim: (I,), (R,) pixels of the points, in all pictures.
        face: (T,) face that is seen; picture: (T,) in which picture.
        x, y: (T,) where, in pixels of twice the size.
        runs: (picture, start, end) of points that follow one another.
    """

    coverage: Tensor
    segment: Tensor
    inner: Tensor
    rim: Tensor
    face: Tensor
    picture: Tensor
    x: Tensor
    y: Tensor
    runs: list[tuple[int, int, int]]


def _points(seen: Tensor, topology: Topology) -> _Points:
    n, size, device = len(seen), seen.shape[-1] // 2, seen.device
    touched, line, four = seen_quads(seen)
    part = topology.face_parts.index_select(0, four.view(-1) + 1).view(4, -1)
    hit = part >= 0
    whole = hit[0] & (part[0] == part[1]) & (part[0] == part[2]) & (part[0] == part[3])
    coverage = torch.zeros(n * size * size, device=device)
    coverage.index_copy_(0, touched, hit.sum(0, dtype=torch.float32).mul_(0.25))
    segment = torch.zeros(n * size * size, dtype=torch.uint8, device=device)
    segment.index_copy_(0, touched, part.amax(0).add_(1).to(torch.uint8))
    within, found = places(whole), places(hit & ~whole)
    sample = torch.div(found, max(len(touched), 1), rounding_mode="floor")
    beside = found - sample * len(touched)
    order = beside.sort(stable=True)  # by picture
    beside, sample = order.values, sample[order.indices]
    inner, rim = touched.index_select(0, within), touched.index_select(0, beside)

    pixel = torch.cat([inner, rim])  # (T,)
    face = torch.cat([four[0, within], four.view(-1)[sample * len(touched) + beside]]).long()
    row = line.index_select(0, torch.cat([within, beside]))
    picture = torch.div(row, size, rounding_mode="floor")
    x, y = (pixel - row * size).float().mul_(2.0), (row - picture * size).float().mul_(2.0)
    x[: len(inner)] += 0.5
    y[: len(inner)] += 0.5
    x[len(inner) :] += (sample % 2).float()
    y[len(inner) :] += (sample // 2).float()
    edges = torch.arange(n + 1, device=device) * (size * size)
    starts = torch.cat([torch.searchsorted(inner, edges), torch.searchsorted(rim, edges) + len(inner)]).tolist()
    runs = [(i, starts[k + i], starts[k + i + 1]) for k in (0, n + 1) for i in range(n)]
    return _Points(coverage, segment, inner, rim, face, picture, x, y, runs)


def _interpolate(points: _Points, tables: tuple[Tensor, Tensor], topology: Topology) -> Tensor:
    """Attributes `(15, T)` of the points, from the `tables` of vertices and faces."""
    table, set_up = tables
    corner = transposed(set_up.index_select(0, points.face + points.picture * len(topology.faces)))  # (6, T)
    x, y = points.x - corner[0], points.y - corner[1]
    b1 = (corner[2] * x + corner[3] * y).clamp_(0.0, 1.0)
    b2 = torch.minimum((corner[4] * x + corner[5] * y).clamp_min_(0.0), 1.0 - b1)
    share = interleaved([1.0 - b1 - b2, b1, b2])
    index = topology.split_faces.index_select(0, points.face) + (points.picture * len(topology.split))[:, None]
    return transposed(F.embedding_bag(index, table, mode="sum", per_sample_weights=share))


def _colour(points: _Points, values: Tensor, look: Look, bank: Tensor, rows: slice, grain: Tensor) -> Tensor:
    """Linear colour `(3, T)` of the points with attributes `values (15, T)`; `grain (n,)` in metres a pixel."""
    diffuse, gloss, relief = values[0:3], values[3:6], values[6:8]
    cover, phase, uv = values[8], values[9], values[13:15]
    side = bank.shape[-1]
    texel = (uv * side).long().clamp_(0, side - 1)
    skin = look.skin[rows][points.picture] * (side * side)
    texel = texel[1] * side + texel[0]
    packed = bank.view(-1).index_select(0, skin + texel)
    bytes_ = packed.view(torch.uint8).view(-1, 8).t().float()  # (8, T)
    cloth = cover.clamp(0.0, 1.0)
    bare = 1.0 - cloth
    channels = _channels(bytes_, cloth, bare, phase, values[11])
    albedo = torch.empty((3, len(cloth)), device=cloth.device)
    shine = (bytes_[5] * bare).mul_(1.6 / 255.0).add_(0.1)
    colours, weave = _seen_from_afar(look, rows, grain)
    for i, begin, end in points.runs:
        torch.mm(colours[i], channels[:, begin:end], out=albedo[:, begin:end])
    slopes = (bytes_[6:8] - 128.0).mul_(SLOPE_SCALE / 127.0)
    slopes.addcmul_(tendon_slopes(side, str(bank.device)).index_select(1, texel), values[12])
    slope = slopes.mul_(relief).sum(0).mul_(bare)
    paint_cloth(albedo, slope, relief, cover, texel, weave, points.picture, side)
    worn = look.dress.worn_by()
    for owner in range(rows.start, rows.stop):
        if owner in worn:
            runs = [torch.arange(begin, end) for i, begin, end in points.runs if rows.start + i == owner]
            own = torch.cat(runs).to(cloth.device)
            cell = float(grain[owner - rows.start])
            paint_coats(worn[owner], own, albedo, shine, slope, relief, cloth, texel, side, cell)
    shine.mul_((1.0 - _GLINT * slope).clamp_(0.2, 3.0))
    for c, softness in enumerate(_RELIEF_SEEN):
        diffuse[c].mul_((1.0 - softness * slope).clamp_(0.35, 1.8))
    return exp_(albedo).mul_(diffuse).add_(gloss.mul_(shine))


def _seen_from_afar(look: Look, rows: slice, grain: Tensor) -> tuple[Tensor, Tensor]:
    """Colours `(n, 3, 8)` and weave `(n, 5)` of the pictures, without stripes and threads too fine for their pixels, which would flicker.

    `grain (n,)` in metres a pixel.
    """
    colours = look.colours[rows].clone()
    stripes, weave = (torch.as_tensor(v[rows], device=grain.device) for v in (look.dress.stripes, look.dress.weave))
    wavelength = 2.0 * torch.pi / stripes.norm(dim=1).clamp_min(1e-3)
    colours[..., 7] *= (0.5 * wavelength / grain - 1.0).clamp(0.0, 1.0)[:, None]
    weave = weave.clone()
    weave[:, 1] *= (0.012 / grain - 1.0).clamp(0.0, 1.0)
    return colours, weave


def _channels(bytes_: Tensor, cloth: Tensor, bare: Tensor, phase: Tensor, blood: Tensor) -> Tensor:
    """What colours `(8, T)` are mixed from, in the order of `Look.colours`.

    Args:
        bytes_: (8, T) of the bank's texels.
        cloth, bare: (T,) how much of each point is cloth, and how much skin.
        phase: (T,) of the cloth's stripes.
        blood: (T,) beyond that of the bank.
    """
    channels = torch.empty((8, len(cloth)), device=cloth.device)
    channels[0] = bare
    torch.mul(bytes_[0], bare, out=channels[1]).mul_(1 / 255.0)
    torch.mul(bytes_[1] - 128.0, bare, out=channels[2]).mul_(2.0 / 127.0)
    torch.mul((bytes_[2] - 128.0).mul_(2.0 / 127.0).add_(blood), bare, out=channels[3])
    torch.mul(bytes_[3], bare, out=channels[4]).mul_(1 / 255.0)
    torch.mul(bytes_[4], bare, out=channels[5]).mul_(1 / 255.0)
    channels[6] = cloth
    torch.mul(cloth, (torch.sin(phase) * 6.0).clamp_(0.0, 1.0), out=channels[7])
    return channels


def _resolve(points: _Points, colour: Tensor, depth: Tensor, seen: Tensor) -> Picture:
    """Pictures from the colour `(3, T)` and depth `(T,)` of the points; `seen (n, 2S, 2S)` as in `_shade`."""
    n, size, inner, rim = len(seen), seen.shape[-1] // 2, points.inner, points.rim
    canvas = torch.zeros((3, n * size * size), device=seen.device)
    canvas.index_copy_(1, inner, colour[:, : len(inner)])
    canvas.index_add_(1, rim, colour[:, len(inner) :].mul_(0.25))
    inner_depth, rim_depth = depth.split([len(inner), len(rim)])
    nearest = torch.full_like(points.coverage, torch.inf).scatter_reduce_(0, rim, rim_depth, "amin")
    front = (rim_depth < nearest.index_select(0, rim) + 0.01).float()  # not what shows behind the rim
    flat = torch.zeros_like(nearest).index_add_(0, rim, rim_depth * front)
    flat /= torch.zeros_like(nearest).index_add_(0, rim, front).clamp_min_(1.0)
    flat.index_copy_(0, inner, inner_depth)
    return Picture(
        canvas.view(3, n, size, size).transpose(0, 1),
        points.coverage.view(n, size, size),
        flat.view(n, size, size),
        points.segment.view(n, size, size),
    )
