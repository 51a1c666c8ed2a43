"""Where things that hands wear lie: coordinates of the surface along and around fingers and wrist, and coats that cover parts of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.anatomy import AXES, FLEXION
from phalanx.hand.skeleton import FINGERS
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, unwrap
from phalanx.synth.paint.surface import hand

FINGER_RADIUS, WRIST_RADIUS = 0.0085, 0.028  # metres, about: what an angle of 1 is around them
_TEXTURE_ACROSS = 0.45  # metres, about, across the whole texture
_BETWEEN_VERTICES = 0.005  # metres


@dataclass
class Places:
    """N places on the rest surface.

    Attributes:
        x, y, z: (N,) metres, hand frame.
        finger: (N,) 0 thumb to 4 little finger; -1: palm and arm.
        along: (N,) joints from the finger's base: 0 at its first joint, 1 at the next, 3 at the tip. 0 off fingers.
        angle: (N,) radians around the finger, or around the wrist off fingers; 0 on the back, positive towards the thumb.
        grain: metres between places, or between pixels that show them: finer patterns cannot be seen.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    finger: Tensor
    along: Tensor
    angle: Tensor
    grain: float

    def chosen(self, which: Tensor) -> Places:
        """Some of the places, by number."""
        fields = (self.x, self.y, self.z, self.finger, self.along, self.angle)
        return _places((values.index_select(0, which) for values in fields), self.grain)

    def seen(self, wavelength: float) -> float:
        """How much of a pattern is seen, 0 to 1: the less, the finer it is for its places."""
        return min(max(wavelength / self.grain - 2.0, 0.0) / 2.0, 1.0)


def _places(values: Iterable[Tensor], grain: float) -> Places:
    """The places of the six columns `(N,)` of `_coordinates`."""
    x, y, z, finger, along, angle = values
    return Places(x, y, z, finger, along, angle, grain)


@dataclass
class Coat:
    """What an item does at N places.

    Attributes:
        cover: (N,) 0 to 1.
        height: (N,) metres that it stands off.
        colour: (3, N) log reflectance, linear light.
        gloss: (N,) what it mirrors; skin 0.1 to 1.7.
        film: whether it is but a colour of the skin, which keeps its relief and gloss.
    """

    cover: Tensor
    height: Tensor
    colour: Tensor
    gloss: Tensor
    film: bool = False


class Item(Protocol):
    """Something that a hand wears."""

    @property
    def site(self) -> int | None:
        """The finger that it is on, as `Places.finger`; none: it covers all of them."""

    @property
    def over_sleeve(self) -> bool:
        """Whether it lies over a sleeve that reaches it, and not under it."""

    @property
    def on_mesh(self) -> bool:
        """Whether it is so large that it changes the form of the mesh, whose vertices are some 5 mm apart."""

    def where(self, at: Places) -> Tensor:
        """Which of N places (N,) it may cover."""

    def coat(self, at: Places) -> Coat:
        """What it does at the places."""


def _coordinates(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`(N, 6)` float32, the fields of `Places`, of rest points `(N, 3)` with skin weights `(N, 17)`."""
    joints = hand("cpu")[0].rest_joints.numpy().astype(np.float64)
    fingers = np.stack([weights[:, 2 + 3 * k : 5 + 3 * k].sum(1) for k in range(5)], 1)
    finger = np.where(fingers.max(1) > 0.5, fingers.argmax(1), -1)
    along = np.zeros(len(points))
    middle = np.array([-0.001, 0.0, 0.003])  # of the wrist
    angle = np.arctan2(points[:, 0] - middle[0], middle[2] - points[:, 2])
    for k, chain in enumerate(FINGERS):
        mine = np.flatnonzero(finger == k)
        reach = np.full(len(mine), -np.inf)
        for number in range(3):
            start, end = joints[chain[number]], joints[chain[number + 1]]
            direction = (end - start) / np.linalg.norm(end - start)
            inward = np.cross(AXES.numpy()[FLEXION[1 + 3 * k + number]], direction)
            inward /= np.linalg.norm(inward)
            away = points[mine] - start
            share = away @ (end - start) / ((end - start) @ (end - start))
            here = (share >= 0.0) | (number == 0)
            reach[here] = number + (share[here] if number == 2 else np.minimum(share[here], 1.0))
            angle[mine[here]] = np.arctan2(away[here] @ np.cross(direction, inward), -away[here] @ inward)
        along[mine] = reach
    return np.concatenate([points, np.stack([finger, along, angle], 1)], 1).astype(np.float32)


@lru_cache(maxsize=4)
def _atlas(side: int, device: str) -> Tensor:
    """`(side * side, 6)` of the texels, as `_coordinates` has them."""
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    step = TEXTURE_SIDE // side
    chosen = texels.nearest.reshape(TEXTURE_SIDE, TEXTURE_SIDE)[step // 2 :: step, step // 2 :: step].reshape(-1)
    return torch.from_numpy(_coordinates(texels.position, texels.weights)[chosen]).to(device)


@lru_cache(maxsize=4)
def _fingers(side: int, device: str) -> Tensor:
    return _atlas(side, device)[:, 3].contiguous()


@lru_cache(maxsize=4)
def _of_vertices(device: str) -> Tensor:
    """`(6, V)`, as `_coordinates` has them."""
    model = hand("cpu")[0]
    found = _coordinates(model.template.double().numpy(), model.skin_weights.double().numpy())
    return torch.from_numpy(found).to(device).t().contiguous()


def places_of_texels(texel: Tensor, side: int, grain: float) -> Places:
    """The places of texels `(N,)`, flat numbers into a texture of `side` texels; `grain` in metres a pixel of the picture."""
    found = _atlas(side, str(texel.device)).index_select(0, texel)
    return _places(found.t().contiguous().unbind(0), max(grain, _TEXTURE_ACROSS / side))


def fingers_of_texels(texel: Tensor, side: int) -> Tensor:
    """The finger of each texel `(N,)`, as `Places` has it."""
    return _fingers(side, str(texel.device)).index_select(0, texel)


def places_of_vertices(device: torch.device) -> Places:
    """The places of the hand model's V vertices."""
    return _places(_of_vertices(str(device)).unbind(0), _BETWEEN_VERTICES)


def edge(inside: Tensor, width: float = 0.0006) -> Tensor:
    """0 outside, 1 inside, over a rim of `width`; `inside` in the same units."""
    return (inside / width + 0.5).clamp(0.0, 1.0)


def painted(colour: np.ndarray, count: int, device: torch.device) -> Tensor:
    """One colour `(3,)`, log reflectance, at `count` places: `(3, count)`."""
    return torch.as_tensor(colour, dtype=torch.float32, device=device)[:, None].expand(3, count)
