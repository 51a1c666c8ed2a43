"""Hands in whole frames: each is rendered in a square of its own, as large as it is seen; those of like size together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.hand.model import HandPose, HandSurface
from phalanx.hand.skeleton import FOREARM
from phalanx.render.visibility import NEAR
from phalanx.synth.paint.canvas import window
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.dress import DressDraw, dress
from phalanx.synth.paint.flesh import FleshDraw, flush, tendons
from phalanx.synth.paint.light import Balls, LightDraw, VertexLight, light_vertices
from phalanx.synth.paint.shade import Look, render, texture_side
from phalanx.synth.paint.skin import skin_bank
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE
from phalanx.synth.paint.surface import Topology, hand

_SIDES = (32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 448, 512, 576, 640, 768, 896, 1024, 1280, 1536, 2048, 4096)
_BODY_FROM = -0.056  # metres along the rest hand's y axis: there bodies begin
_NARROWS, _NARROW = 0.03, 0.55  # metres over which the hand's own forearm narrows, and to what share
_AT_ONCE = 128**2 * 8  # pixels rendered together


@dataclass
class HandsLook:
    """H hands as they are drawn: clothes, skin `colours (H, 3, 6)`, `variant (H,)` in the bank of `skins`, and flesh."""

    dress: DressDraw
    colours: np.ndarray
    variant: np.ndarray
    flesh: FleshDraw
    skins: int


@dataclass
class PaintedHand:
    """One hand in its square, mirrored back where it is a left one: a picture with its forearm, where the hand is, and the square's place.

    Attributes:
        hand: number among all; layer: one picture (1, 3, S, S).
        parts: (S, S) uint8, 0 = nothing, else 1 + the segment of the hand model that is seen.
        left, top: of the square's first pixel in the frame.
        whole: pixels that the hand alone would cover, beyond the frame too.
    """

    hand: int
    layer: Layer
    parts: Tensor
    left: int
    top: int
    whole: float

    def window(self, width: int, height: int) -> tuple[slice, slice, tuple[slice, slice]]:
        """Rows and columns that the square covers of a frame of `width` x `height` pixels, and which of its own they are."""
        side = len(self.parts)
        return window(self.left, self.top, side, side, width, height)

    @property
    def bare(self) -> Tensor:
        """Where (S, S) the hand is, and not its arm."""
        return (self.parts > 0) & (self.parts != 1 + FOREARM) & (self.layer.coverage[0] >= 0.5)


def scaled(points: Tensor, wrist: Tensor, scale: Tensor) -> Tensor:
    """Points (H, N, 3) of hands `scale (H,)` times as large about their wrists `(H, 3)`."""
    return wrist[:, None] + (points - wrist[:, None]) * scale[:, None, None]


def tucked(vertices: Tensor, surface: HandSurface, topology: Topology) -> Tensor:
    """Dressed hands `(H, V, 3)` whose forearms narrow where the body's own, which begins there, is to be seen."""
    y = topology.rest[:, 1]
    up = ((_BODY_FROM - y) / _NARROWS).clamp(0.0, 1.0)
    share = 1.0 - (1.0 - _NARROW) * up
    middle = topology.rest.clone()
    middle[:, [0, 2]] = topology.rest[y < _BODY_FROM][:, [0, 2]].mean(0)
    arm = surface.transforms[:, 1]
    axis = middle @ arm[:, :3, :3].mT + arm[:, None, :3, 3]
    return axis + (vertices - axis) * share[:, None]


def paint_crowd_hands(
    pose: HandPose,
    scale: Tensor,
    left: np.ndarray,
    K: Tensor,
    width: int,
    height: int,
    look: HandsLook,
    light: LightDraw | None,
    surroundings: Tensor,
    others: Balls | None = None,
) -> tuple[list[PaintedHand], Tensor, Tensor]:
    """Render all hands that reach into their frames.

    Args:
        pose: H right hands; left ones in their cameras' mirror images.
        scale: (H,) sizes; left: (H,) which are left ones.
        K: (H, 3, 3) cameras of the frames, not mirrored; all frames have `width` x `height` pixels.
        light: of each hand, in the mirror for left ones; none: they stay black.
        surroundings: (H, 3) mean colour of what lies behind.
        others: what else keeps light from each hand, in the mirror for left ones.

    Returns:
        The hands seen; joints (H, 21, 3) in the cameras' frames; vertices (H, V, 3) of bare skin, left ones in the mirror.
    """
    device = K.device
    model, topology = hand(str(device))
    surface = model(pose)
    vertices, cover, phase = dress(surface, topology, topology.rest_normals, look.dress, 1.0)
    vertices = scaled(tucked(vertices, surface, topology), pose.translation, scale)
    bare, joints = (scaled(value, pose.translation, scale) for value in (surface.vertices, surface.joints))
    surface = HandSurface(bare, joints, surface.transforms)
    lit = _dark(vertices) if light is None else light_vertices(surface, vertices, topology, light, surroundings, others)
    colours = torch.as_tensor(np.concatenate([look.colours, look.dress.colour], -1), device=device)
    whole = Look(
        lit,
        cover,
        phase,
        colours,
        torch.as_tensor(look.variant, device=device),
        look.dress,
        torch.zeros_like(cover) if light is None else flush(pose.rotations, look.flesh, None),
        torch.zeros_like(cover) if light is None else tendons(pose.rotations, look.flesh),
    )
    sign = torch.as_tensor(np.where(left, -1.0, 1.0), dtype=torch.float32, device=device)
    seen = vertices.clone()
    seen[..., 0] *= sign[:, None]  # in the cameras' frames
    squares = _squares(seen, K, width, height)
    inside = _inside(seen[:, model.parts != FOREARM], K, width, height)
    painted: list[PaintedHand] = []
    skins = None if light is None else look.skins
    for side in sorted({square[2] for square in squares.values()}):
        chosen = [number for number, square in squares.items() if square[2] == side]
        step = max(1, _AT_ONCE // side**2)
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            painted += _render(rows, side, squares, vertices, K, left, whole, skins, inside, width, height)
    joints = surface.joints.clone()
    joints[..., 0] *= sign[:, None]
    return painted, joints, surface.vertices


def _dark(vertices: Tensor) -> VertexLight:
    """No light at all on hands (H, V, 3)."""
    hands, count, _ = vertices.shape
    none = vertices.new_zeros(3, count, hands)
    return VertexLight(none, none, none[:2])


def _squares(vertices: Tensor, K: Tensor, width: int, height: int) -> dict[int, tuple[int, int, int]]:
    """Of each hand with vertices `(H, V, 3)` that reaches into the frame: first column, first row and side of its square."""
    usable = vertices[..., 2] > NEAR
    pixels = vertices @ K.mT
    pixels = pixels[..., :2] / pixels[..., 2:].clamp_min(NEAR)
    low = torch.where(usable[..., None], pixels, torch.inf).amin(1) - 1.5
    high = torch.where(usable[..., None], pixels, -torch.inf).amax(1) + 1.5
    found = {}
    for number, ((x0, y0), (x1, y1)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        x0, y0, x1, y1 = max(x0, -0.5), max(y0, -0.5), min(x1, width - 0.5), min(y1, height - 0.5)
        if x1 - x0 > 0.5 and y1 - y0 > 0.5:
            first_x, first_y = int(np.floor(x0)), int(np.floor(y0))
            need = max(int(np.ceil(x1)) - first_x, int(np.ceil(y1)) - first_y) + 1
            found[number] = (first_x, first_y, next(side for side in _SIDES if side >= need))
    return found


def _inside(vertices: Tensor, K: Tensor, width: int, height: int) -> Tensor:
    """Share (H,) of the hands that lies in the frame, by the vertices `(H, V, 3)` that face the camera's side of the frame."""
    pixels = vertices @ K.mT
    place = pixels[..., :2] / pixels[..., 2:].clamp_min(NEAR)
    limit = place.new_tensor([width - 0.5, height - 0.5])
    within = ((place > -0.5) & (place < limit)).all(-1) & (vertices[..., 2] > NEAR)
    return within.float().mean(1)


def _render(
    rows: list[int],
    side: int,
    squares: dict[int, tuple[int, int, int]],
    vertices: Tensor,
    K: Tensor,
    left: np.ndarray,
    look: Look,
    skins: int | None,
    inside: Tensor,
    width: int,
    height: int,
) -> list[PaintedHand]:
    index = torch.as_tensor(rows, device=vertices.device)
    topology = hand(str(vertices.device))[1]
    cut = K[index].clone()
    for i, number in enumerate(rows):
        x, y, _ = squares[number]
        centre = cut[i, 0, 2] - x
        cut[i, 0, 2] = side - 1 - centre if left[number] else centre
        cut[i, 1, 2] -= y
    bank = None if skins is None else _bank(skins, texture_side(side), str(vertices.device))
    picture = render(vertices[index], cut, side, topology, _rows(look, index, rows), bank)
    flip = torch.as_tensor(left[rows], device=vertices.device)
    picture = map_fields(
        picture, lambda value: torch.where(flip.view(-1, *(1,) * (value.ndim - 1)), value.flip(-1), value)
    )
    bare = (picture.parts > 0) & (picture.parts != 1 + FOREARM) & (picture.coverage >= 0.5)
    return [
        PaintedHand(
            number,
            Layer(picture.colour[i : i + 1], picture.coverage[i : i + 1], picture.depth[i : i + 1]),
            picture.parts[i],
            squares[number][0],
            squares[number][1],
            float(bare[i, : height - squares[number][1], : width - squares[number][0]].sum())
            / max(float(inside[number]), 0.01),
        )
        for i, number in enumerate(rows)
    ]


@lru_cache(maxsize=8)
def _bank(skins: int, side: int, device: str) -> Tensor:
    """`skin_bank` at any side: of the finest, averaged down, so that skins are painted once for hands of all sizes."""
    finest = skin_bank(skins, TEXTURE_SIDE, device)
    step = TEXTURE_SIDE // side
    if step == 1:
        return finest
    texels = finest.view(torch.uint8).view(skins, side, step, side, step, 8)
    return texels.float().mean((2, 4)).round_().to(torch.uint8).view(torch.int64)[..., 0].contiguous()


def _rows(look: Look, index: Tensor, rows: list[int]) -> Look:
    """What shading needs to know of some of the hands."""
    lit = map_fields(look.light, lambda value: value[..., index].contiguous())
    values = {name: getattr(look, name)[index] for name in ("cover", "phase", "colours", "skin", "blood", "tendons")}
    return replace(look, light=lit, dress=look.dress[np.array(rows)], **values)
