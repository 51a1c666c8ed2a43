"""Where hands stand in panoramas: which panorama, which way up, lit by it, seen before the part of it that the camera sees, and how both
are exposed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.synth.paint.light import LIGHTS, LightDraw, light_on_planes, mirrored, turned
from phalanx.synth.paint.panorama import PanoramaBank, seen

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SKIN = 0.35  # reflectance that cameras are taken to expect of the hand
_GREY = 0.2  # what auto-exposure brings the mean to, linear
_SEEN = np.array(
    [[0, 0, -1], [0.8, 0, -0.6], [-0.8, 0, -0.6], [0, 0.8, -0.6], [0, -0.8, -0.6]]
)  # normals of what is seen
_CONTRAST = (0.25, 5.0)  # what is darker or lighter than the hand by more is exposed for as if it were not
_HAND_COUNTS = 0.6  # share of the hand in what is exposed for, the rest is the background's


@dataclass
class StandpointDraw:
    """Random standpoints for N hands."""

    inside: np.ndarray  # (N,) whether the hand stands in a panorama
    panorama: np.ndarray  # (N,) number in the bank
    heading: np.ndarray  # (N,) radians about the vertical
    pitch: np.ndarray  # (N,) radians by which the camera looks down, where nothing says it
    roll: np.ndarray  # (N,) radians by which it is tilted
    shade: np.ndarray  # (N, LIGHTS) how much of each light arrives: things that are not seen stand before some
    wall: np.ndarray  # (N,) whether there is a wall behind the hand, lit as the hand is
    lean: np.ndarray  # (N, 3) how the wall's normal differs from straight to the camera
    detail: np.ndarray  # (N,) contrast of fine detail that panoramas are too coarse for
    aperture: np.ndarray  # (N,) metres: the diameter of the lens's opening
    exposure: np.ndarray  # (N,) by what factor exposure is off
    balance: np.ndarray  # (N,) how much of the light's colour the camera's white balance takes, 0 to 1

    def __getitem__(self, index: np.ndarray) -> StandpointDraw:
        return map_fields(self, lambda value: value[index])


def draw_standpoints(
    generator: np.random.Generator, hands: int, share: float, panoramas: int, looking_down: tuple[float, float]
) -> StandpointDraw:
    """Draw standpoints of `hands` hands.

    Args:
        share: of the hands that stand in a panorama.
        panoramas: how many there are.
        looking_down: mean and deviation, in degrees, of how far cameras look down.
    """
    down, deviation = np.deg2rad(looking_down)
    return StandpointDraw(
        generator.random(hands) < share,
        generator.integers(0, panoramas, hands),
        generator.uniform(-np.pi, np.pi, hands),
        generator.normal(down, deviation, hands),
        generator.normal(0, np.deg2rad(6), hands),
        np.where(generator.random((hands, LIGHTS)) < 0.15, generator.uniform(0, 0.6, (hands, LIGHTS)), 1.0),
        generator.random(hands) < 0.12,
        generator.normal(0, 0.4, (hands, 3)),
        np.where(generator.random(hands) < 0.5, generator.uniform(0.1, 0.5, hands), 0.0),
        np.exp(generator.normal(np.log(0.003), 0.9, hands)),
        np.exp(generator.normal(0.0, 0.3, hands)),
        generator.uniform(0.2, 0.95, hands),
    )


def downward(draw: StandpointDraw, turn: np.ndarray) -> np.ndarray:
    """Which way is down `(N, 3)` in the frames of cameras that stand alone; `turn (N,)` as of `Views`."""
    roll = draw.roll + turn
    level, forward = np.cos(draw.pitch), np.sin(draw.pitch)
    return np.stack([-np.sin(roll) * level, np.cos(roll) * level, forward], 1)


def to_frame(down: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Rotations `(N, 3, 3)` from panoramas' frames to frames in which `down (N, 3)` is downwards."""
    down = down / np.linalg.norm(down, axis=1, keepdims=True)
    ahead = np.where(np.abs(down[:, 2:]) < 0.9, [0.0, 0.0, 1.0], [0.0, -1.0, 0.0])
    ahead = ahead - (ahead * down).sum(1, keepdims=True) * down
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(down, ahead)
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
    return np.stack([c * right + s * ahead, down, c * ahead - s * right], -1)


def stand_in(
    light: LightDraw, draw: StandpointDraw, bank: PanoramaBank, to_camera: np.ndarray, mirror: np.ndarray
) -> LightDraw:
    """`light` of B pictures, of those `inside` replaced by that of their panoramas, in their cameras' frames.

    Args:
        to_camera: (B, 3, 3) from the panoramas' frames.
        mirror: (B,) which pictures are mirror images, of what a camera of `to_camera` sees.
    """
    number = draw.panorama
    own = replace(
        light,
        direction=bank.light.direction[number],
        colour=bank.light.colour[number] * draw.shade[..., None].astype(np.float32),
        softness=bank.light.softness[number],
        ambient=bank.light.ambient[number],
        bounce=np.zeros_like(light.bounce),  # what is around lights the hand already
    )
    own = mirrored(turned(own, to_camera), mirror)
    arrays = {}
    for name, value in vars(light).items():
        inside = draw.inside.reshape(-1, *(1,) * (value.ndim - 1))
        arrays[name] = np.where(inside, getattr(own, name), value)
    return LightDraw(**arrays)


def look_around(
    behind: Tensor,
    draw: StandpointDraw,
    bank: PanoramaBank,
    light: LightDraw,
    to_camera: np.ndarray,
    K: Tensor,
    distance: np.ndarray,
) -> None:
    """Put what P cameras see of their panoramas in place of what is `behind (P, 3, S, S)`, linear, of those inside.

    Args:
        behind: other backgrounds; they become walls, or lend their fine detail.
        light: in the panoramas, as it falls on the hand.
        to_camera: (P, 3, 3) from the panoramas' frames.
        K: (P, 3, 3).
        distance: (P,) metres to the hand, which is in focus.
    """
    device = behind.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    walls = np.flatnonzero(draw.inside & draw.wall)
    if len(walls):
        normal = np.array([0.0, 0.0, -1.0]) + draw.lean[walls]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        rows = torch.as_tensor(walls, device=device)
        lit = on(light_on_planes(light[walls], normal))[:, :, None, None]
        behind.index_copy_(0, rows, behind.index_select(0, rows).mul_(lit))
    open_ = np.flatnonzero(draw.inside & ~draw.wall)
    if len(open_):
        rows = torch.as_tensor(open_, device=device)
        few = draw[open_]
        view = seen(bank, few.panorama, to_camera[open_], K[rows], behind.shape[-1], few.aperture / distance[open_])
        fine = behind.index_select(0, rows).mean(1, keepdim=True).sqrt_()
        fine.sub_(fine.mean((2, 3), keepdim=True)).mul_(on(few.detail)[:, None, None, None]).add_(1.0)
        behind.index_copy_(0, rows, view.mul_(fine))


def exposures(behind: Tensor, light: LightDraw, draw: StandpointDraw) -> np.ndarray:
    """Factors `(P, 3)` by which cameras develop the colours that they see: 1 where they do not stand in a panorama.

    White balance takes some of the colour of the light on the hand. Exposure weighs the hand, taken to be skin that faces the camera
    or leans to any side, against what is `behind (P, 3, S, S)`.
    """
    mean = behind.mean((2, 3)).cpu().numpy() @ _LUMINANCE
    each = [light_on_planes(light, np.tile(normal, (len(mean), 1))) for normal in _SEEN]
    lit = np.mean(each, 0) + 1e-3  # (P, 3)
    grey = lit @ _LUMINANCE
    hand = _SKIN * grey
    counted = hand * (mean / hand).clip(*_CONTRAST) ** (1 - _HAND_COUNTS)
    white = (grey[:, None] / lit) ** draw.balance[:, None]
    factor = _GREY * (draw.exposure / counted)[:, None] * white
    return np.where(draw.inside[:, None], factor, 1.0).astype(np.float32)


def exposed(light: LightDraw, factor: np.ndarray) -> LightDraw:
    """The light of B pictures times `factor (B, 3)` of each colour."""
    return replace(light, colour=light.colour * factor[:, None], ambient=light.ambient * factor[..., None])
