"""What surfaces near hands look like: textured in perspective, in the hand's light and soft shadow; and the light they give back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.synth.paint.clutter import PAINTERS, paint
from phalanx.synth.paint.light import LIGHTS, LightDraw, occlusion
from phalanx.synth.paint.place import PlaceDraw, Surfaces

_BANK_SEED = 20_261_130  # the bank is the same in every process, or workers would differ
_TILES, _SIDE, _LEVELS = 28, 256, 4
_SUITED = ("wall", "coloured_noise", "tiling", "cloth", "foliage")
_FARTHEST = 6.0  # metres that surfaces reach
_BLOCK = 4  # pictures painted together on the CPU: what fits a core's cache
_NOWHERE = 40.0  # metres: beyond it are edges that are not there
_SHADOW_STEP = 4  # pixels between the points of a surface at which light is found


@lru_cache(maxsize=4)
def texture_bank(painters: Collection[str], device: str) -> tuple[Tensor, ...]:
    """Tiles for surfaces at full, half, quarter and eighth resolution, `(N, 3, side, side)` uint8.

    They are painted by those of `painters` that suit; if none does, by all of them.
    """
    known = {painter.__name__ for painter, _ in PAINTERS} & set(painters)
    suited = known & set(_SUITED) or known
    tiles = np.stack([paint(stream_generator(_BANK_SEED, i), _SIDE, sorted(suited)) for i in range(_TILES)])
    levels = [torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous()]
    for _ in range(_LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1].float(), 2).round().to(torch.uint8))
    return tuple(level.to(device) for level in levels)


def _tiles_of(draw: PlaceDraw) -> np.ndarray:
    return (draw.tile * _TILES).astype(np.int64)


def mean_reflectance(draw: PlaceDraw, bank: tuple[Tensor, ...]) -> np.ndarray:
    """Mean linear reflectance (N, 3) of surfaces."""
    tiles = bank[-1][torch.as_tensor(_tiles_of(draw), device=bank[0].device), :, ::4, ::4].cpu().numpy() / 255.0
    colours = np.einsum("nij,njk->nik", draw.colour[..., :3], tiles.reshape(len(tiles), 3, -1)) + draw.colour[..., 3:]
    return np.square(np.clip(colours, 0.02, 0.97)).mean(-1)


def near_light(
    light: LightDraw, rows: np.ndarray, normal: np.ndarray, reflectance: np.ndarray, press: np.ndarray
) -> LightDraw:
    """The light that reaches hands at surfaces: lamps behind these are hidden, and light comes back from them
    in place of the sky behind.

    Args:
        light: of B pictures.
        rows: (N,) pictures with a surface.
        normal: (N, 3) of the surface, in the picture's frame; reflectance: (N, 3).
        press: (N,) as in `PlaceDraw`: surfaces further away do less.
    """
    apart = np.maximum(-press, 0.0)
    near = 1.0 / (1.0 + (apart / 0.08) ** 2)  # (N,)
    cosine = np.einsum("nlc,nc->nl", light.direction[rows], normal)  # (N, L)
    shown = np.clip(0.5 + 0.5 * (cosine + 0.05) / light.softness[rows].clip(0.05), 0.0, 1.0)
    colour, ambient = light.colour.copy(), light.ambient.copy()
    colour[rows] *= (1.0 - near[:, None] * (1.0 - shown))[..., None]
    slope = np.einsum("nci,ni->nc", ambient[rows][..., 1:], normal)  # (N, 3)
    arrives = np.maximum(ambient[rows][..., 0] + slope, 0.0)
    arrives = arrives + (np.maximum(cosine, 0.0)[..., None] * light.colour[rows]).sum(1)
    behind = np.maximum(ambient[rows][..., 0] - slope, 0.0)
    # Of the hemisphere about m a surface with the normal n takes (1 - m . n) / 2; some of it lies in the hand's own shadow.
    change = (0.75 * near)[:, None] * (0.75 * reflectance * arrives - behind)
    ambient[rows, :, 0] += 0.5 * change
    ambient[rows, :, 1:] -= 0.5 * change[..., None] * normal[:, None]
    return replace(light, colour=colour.astype(np.float32), ambient=ambient.astype(np.float32))


@dataclass
class Painted:
    """N surfaces as they are seen.

    Attributes:
        colour: (N, 3, S, S) linear, not multiplied by coverage.
        coverage: (N, S, S); depth: (N, S, S) metres, wherever there is coverage.
    """

    colour: Tensor
    coverage: Tensor
    depth: Tensor


def paint_surfaces(
    surfaces: Surfaces,
    draw: PlaceDraw,
    bank: tuple[Tensor, ...],
    K: Tensor,
    size: int,
    balls: Tensor,
    radii: Tensor,
    light: LightDraw,
    surroundings: Tensor,
) -> Painted:
    """Draw N surfaces as cameras see them.

    Args:
        surfaces: in the cameras' frames.
        draw: what they are painted with.
        bank: as of `texture_bank`.
        K: (N, 3, 3) of the cameras of `size`-pixel pictures.
        balls, radii: (N, S, 3) and (S,) of what throws shadows.
        light: as it arrives at the surface; surroundings: (N, 3) mean colour of the background.
    """
    device = K.device
    block = _BLOCK if device.type == "cpu" else max(1, len(surfaces))
    painted = Painted(
        torch.empty((len(surfaces), 3, size, size), device=device),
        *(torch.empty((len(surfaces), size, size), device=device) for _ in range(2)),
    )
    spread = _between(size, size // _SHADOW_STEP, device)
    curved = (surfaces.curvature > 0).numpy()
    for kind in (np.flatnonzero(~curved), np.flatnonzero(curved)):
        for start in range(0, len(kind), block):
            index = kind[start : start + block]
            rows = torch.as_tensor(index, device=device)
            geometry = _Geometry(surfaces[torch.from_numpy(index)], K[rows])
            pixels = _pixels(size, 1, device)
            point, inside = _meet(geometry, pixels)
            painted.coverage[rows] = _cover(geometry, pixels, point, inside)
            painted.depth[rows] = point[3]
            coarse, _ = _meet(geometry, _pixels(size, _SHADOW_STEP, device))
            lit = _light(geometry, coarse, balls[rows], radii, light[index], surroundings[rows])
            lit = spread @ lit @ spread.T
            painted.colour[rows] = _texture(geometry, point, draw[index], bank, K[rows]).mul_(lit)
    return painted


class _Geometry:
    """Surfaces of one kind on a device, float32: where their cameras stand in their frames, and where rays through pixels go there.

    `pixel_rays (N, 3, 3)` leads from (u, v, 1) to the surface's frame.
    """

    def __init__(self, surfaces: Surfaces, K: Tensor) -> None:
        camera = -(surfaces.axes @ surfaces.origin[..., None])[..., 0]
        self.axes, self.origin, self.camera, self.curvature, self.edges = (
            value.to(K.device, torch.float32)
            for value in (surfaces.axes, surfaces.origin, camera, surfaces.curvature, surfaces.edges)
        )
        self.pixel_rays = self.axes @ torch.linalg.inv(K)
        self.round = bool((surfaces.curvature > 0).any())


def _pixels(size: int, step: int, device: torch.device) -> Tensor:
    """Middles (size / step,) of groups of `step` pixels."""
    return torch.arange(size // step, device=device) * float(step) + 0.5 * (step - 1)


def _between(size: int, coarse: int, device: torch.device) -> Tensor:
    """Matrix (size, coarse) of linear interpolation between the middles of groups of pixels: far quicker than `F.interpolate`."""
    place = (torch.arange(size, device=device) + 0.5) * (coarse / size) - 0.5
    apart = place[:, None].clamp(0, coarse - 1) - torch.arange(coarse, device=device)
    return (1.0 - apart.abs()).clamp_min(0.0)


def _linear(weights: Tensor, line: Tensor) -> Tensor:
    """(N, side, side) of weights (N, 3) times (u, v, 1), for u and v in `line` (side,)."""
    across, down, straight = weights.unbind(-1)
    return (across[:, None] * line)[:, None] + (down[:, None] * line + straight[:, None])[..., None]


def _meet(geometry: _Geometry, line: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays meet the surfaces: (4, N, side, side) place in the surface's frame and depth; positive (N, side, side) where they do.

    Rays that miss have the place next to which they pass.
    """
    s, t, m = (_linear(geometry.pixel_rays[:, i], line) for i in range(3))
    a, b, c = geometry.camera[:, :, None, None].unbind(1)  # (N, 1, 1)
    if geometry.round:
        k = geometry.curvature[:, None, None]
        first = 0.5 * k * (s.square() + m.square())
        second = k * (a * s + c * m) + m
        third = 0.5 * k * (a.square() + c.square()) + c
        inside = second.square() - 4.0 * first * third
        depth = 2.0 * third / (inside.clamp_min(0).sqrt() - second).clamp_min(1e-4)
        inside = torch.where(second < 0, inside, -1.0)
    else:
        inside = -m
        depth = c / inside.clamp_min(1e-4)
    depth.clamp_(0.0, _FARTHEST)
    point = torch.empty((4, *depth.shape), device=depth.device)
    for place, (start, along) in zip(point, ((a, s), (b, t), (c, m)), strict=False):
        torch.addcmul(start, depth, along, out=place)
    point[3] = depth
    return point, inside


def _cover(geometry: _Geometry, line: Tensor, point: Tensor, inside: Tensor) -> Tensor:
    """How much (N, side, side) of each pixel a surface covers; `point` and `inside` as `_meet` gives them."""
    coverage = _soft(inside) if geometry.round else (inside > 0).float()
    for edge in geometry.edges.unbind(1):
        if bool((edge[:, 2] >= _NOWHERE).all()):
            continue
        if geometry.round:
            coverage *= _soft(edge[:, 1, None, None] * point[1] + edge[:, 2, None, None])
            continue
        # On a plane, the edge is a straight line in the picture: w . ray = 0.
        height = geometry.camera[:, 2]
        last = -(edge[:, :2] * geometry.camera[:, :2]).sum(-1) - edge[:, 2]
        w = torch.stack([edge[:, 0] * height, edge[:, 1] * height, last], -1)
        weights = (w[:, None] @ geometry.pixel_rays)[:, 0]
        weights = weights / weights[:, :2].norm(dim=-1, keepdim=True).clamp_min(1e-12)
        coverage *= _linear(weights, line).add_(0.5).clamp_(0, 1)
    return coverage


def _soft(value: Tensor) -> Tensor:
    """0 to 1 across the pixel in which `value (N, S, S)` becomes positive."""
    if value.shape[-1] < 2:
        return (value > 0).float()
    down, across = torch.gradient(value, dim=(1, 2))
    return (value / (down.square() + across.square()).sqrt().clamp_min(1e-9) + 0.5).clamp(0, 1)


def _normals(geometry: _Geometry, point: Tensor) -> Tensor:
    """(N, P, 3) in the cameras' frames, at points (3, N, P) of the surfaces."""
    k = geometry.curvature[:, None]
    own = torch.stack([k * point[0], torch.zeros_like(point[0]), 1.0 + k * point[2]], -1)
    return F.normalize(own, dim=-1) @ geometry.axes


def _light(
    geometry: _Geometry, point: Tensor, balls: Tensor, radii: Tensor, light: LightDraw, surroundings: Tensor
) -> Tensor:
    """Light (N, 3, s, s) that arrives at points (4, N, s, s) of surfaces, past the balls (N, S, 3)."""
    device = point.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    side = point.shape[-1]
    flat = point[:3].flatten(2)  # (3, N, P)
    normals = _normals(geometry, flat)
    # From the surface's origin, which is close to the hand: float32 is too coarse for squares of metres.
    places = flat.permute(1, 2, 0) @ geometry.axes
    direction = on(light.direction)
    blocked = occlusion(places, normals, balls - geometry.origin[:, None], radii, direction, on(light.softness))
    bounce = on(light.bounce)[:, None]
    tint = 1 - bounce + bounce * surroundings / surroundings.mean(1, keepdim=True).clamp_min(0.02)
    ambient = on(light.ambient)
    arrives = torch.baddbmm(
        (ambient[:, :, 0] * tint)[..., None], ambient[:, :, 1:], normals.transpose(1, 2)
    ).clamp_min_(0.0)
    arrives *= torch.exp(-1.3 * blocked[:, :1])
    for number in range(LIGHTS):
        cosine = (normals @ direction[:, number, :, None])[..., 0].clamp_min_(0.0)
        arrives += on(light.colour)[:, number, :, None] * (cosine * (1.0 - blocked[:, 1 + number]))[:, None]
    return arrives.view(len(balls), 3, side, side)


def _texture(geometry: _Geometry, point: Tensor, draw: PlaceDraw, bank: tuple[Tensor, ...], K: Tensor) -> Tensor:
    """Reflectance (N, 3, S, S) at points (4, N, S, S) of surfaces."""
    device = point.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device, dtype=torch.float32)

    k = geometry.curvature[:, None, None]
    round_ = (
        torch.where(k > 0, torch.atan2(k * point[0], 1.0 + k * point[2]) / k.clamp_min(1e-6), point[0])
        if geometry.round
        else point[0]
    )
    sides = 2.0 / on(draw.metres)[:, None, None]
    shift = on(draw.shift)[:, :, None, None]
    grid = torch.stack([round_ * sides + shift[:, 0], point[1] * sides + shift[:, 1]], -1)
    pixel = 1.0 / K[:, 0, 0]  # metres across a pixel at one metre
    tiles = _tiles_of(draw)
    texel = on(draw.metres) / _SIDE
    level = (
        torch.log2((pixel * geometry.origin.norm(dim=-1) / texel).clamp_min(1.0)).round().clamp_max(_LEVELS - 1).long()
    )
    found = []
    for i, own in enumerate(level.tolist()):
        tile = bank[own][int(tiles[i])].float()[None]
        found.append(
            F.grid_sample(tile, grid[i : i + 1], mode="bilinear", padding_mode="reflection", align_corners=False)
        )
    colour = torch.cat(found)
    # Far away a pixel spans many texels, whose mean is seen: at depth z and height h above the surface about z^2 / h f metres.
    spans = (pixel / (geometry.camera[:, 2].clamp_min(0.02) * texel * 2.0**level))[:, None, None] * point[3].square()
    if float(spans.amax()) > 2.0:
        mean = colour.mean((2, 3), keepdim=True)
        colour = torch.lerp(colour, mean, ((spans - 2.0) / 4.0).clamp(0, 1)[:, None])
    matrix = on(draw.colour)
    colour = torch.baddbmm(matrix[..., 3:], matrix[..., :3] / 255.0, colour.flatten(2)).clamp_(0.02, 0.97).square_()
    return colour.view(len(tiles), 3, *point.shape[2:])
