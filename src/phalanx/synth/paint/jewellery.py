"""Rings, watches, bracelets, plasters and bandages: coats around fingers and wrist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.paint.worn import FINGER_RADIUS, WRIST_RADIUS, Coat, Places, edge, painted

METALS = np.array([[0.75, 0.6, 0.28], [0.6, 0.6, 0.6], [0.03, 0.03, 0.035], [0.5, 0.28, 0.2]])
"""Linear reflectance of gold, silver, blackened steel and copper."""


def _mirrored_room(angle: Tensor, turn: float) -> Tensor:
    """What polished metal mirrors around a finger or wrist, log: bright windows and dark corners."""
    return 0.8 * torch.sin(2.0 * angle + turn) + 0.5 * torch.sin(5.0 * angle + 2.0 * turn)


@dataclass(frozen=True)
class Ring:
    """A ring on the first segment of a finger, with or without a stone.

    Attributes:
        finger: 0 thumb to 4 little finger; place: along the segment, 0 to 1.
        half_width, thickness: metres.
        metal: (3,) log reflectance; turn: radians by which it is turned round the finger.
        stone: (3,) log reflectance, none: a plain ring; radius: metres, of the stone.
    """

    finger: int
    place: float
    half_width: float
    thickness: float
    metal: np.ndarray
    turn: float
    stone: np.ndarray | None
    radius: float
    over_sleeve: bool = False
    on_mesh: bool = False

    @property
    def site(self) -> int | None:
        """As `Item` has it."""
        return self.finger

    def _offset(self, at: Places) -> Tensor:
        """Metres along the finger from the middle of the ring."""
        return (at.along - self.place) * 0.038

    def where(self, at: Places) -> Tensor:
        """As `Item` has it."""
        reach = self.half_width if self.stone is None else max(self.half_width, self.radius)
        return (at.finger == self.finger) & (self._offset(at).abs() < reach + 0.0006)

    def coat(self, at: Places) -> Coat:
        """As `Item` has it."""
        offset = self._offset(at)
        across = (offset / self.half_width).clamp(-1.0, 1.0)
        cover = edge(self.half_width - offset.abs())
        height = self.thickness * (1.0 - across.square()).sqrt() * cover
        colour = painted(self.metal, len(offset), offset.device) + _mirrored_room(at.angle, self.turn)
        gloss = torch.full_like(offset, 2.2)
        if self.stone is not None:
            side = FINGER_RADIUS * (torch.remainder(at.angle - 0.3 * self.turn + np.pi, 2 * np.pi) - np.pi)
            away = torch.hypot(offset, side) / self.radius
            on = edge(1.0 - away, 0.2)
            facets = 0.7 * torch.sin(3.0 * torch.atan2(side, offset) + self.turn) + 0.6 * (away < 0.45)
            colour = torch.lerp(colour, painted(self.stone, len(offset), offset.device) + facets, on)
            cover = torch.maximum(cover, on)
            height = torch.maximum(height, (0.002 + 0.3 * self.radius) * on * (1.2 - away).clamp(0.0, 1.0))
            gloss = gloss + 1.5 * on
        return Coat(cover, height, colour, gloss)


@dataclass(frozen=True)
class Wristband:
    """A watch with its strap, a bracelet or a string of beads.

    Attributes:
        middle, half_width, thickness: metres, of the band; middle along the rest hand's y axis.
        band: (3,) log reflectance; band_gloss.
        links: of the band, or beads, in a round; 0: smooth.
        case: half the side or the radius of a watch's case in metres, 0: no watch; square: whether it is a square with round corners.
        metal, face: (3,) log reflectance of the case and of the dial or screen; hands: whether there are hands and marks on it.
        turn: radians by which it is turned round the wrist.
    """

    middle: float
    half_width: float
    thickness: float
    band: np.ndarray
    band_gloss: float
    links: int
    case: float
    square: bool
    metal: np.ndarray
    face: np.ndarray
    hands: bool
    turn: float
    over_sleeve: bool = False

    @property
    def site(self) -> int | None:
        """As `Item` has it."""
        return -1

    @property
    def on_mesh(self) -> bool:
        """As `Item` has it: cases of watches are."""
        return self.case > 0

    def where(self, at: Places) -> Tensor:
        """As `Item` has it."""
        return (at.finger < 0) & ((at.y - self.middle).abs() < max(self.half_width, 1.2 * self.case) + 0.0006)

    def coat(self, at: Places) -> Coat:
        """As `Item` has it."""
        offset = at.y - self.middle
        cover = edge(self.half_width - offset.abs())
        colour = painted(self.band, len(offset), offset.device)
        height = self.thickness * cover * (1.0 - 0.5 * (offset / self.half_width).clamp(-1.0, 1.0).square())
        if self.links:
            between = torch.cos(self.links * at.angle)
            height = height * (0.75 + 0.25 * between)
            colour = colour - 0.7 * (-between - 0.6).clamp(0.0, 1.0) / 0.4
        gloss = torch.full_like(offset, self.band_gloss)
        if self.case:
            side = WRIST_RADIUS * (torch.remainder(at.angle - self.turn + np.pi, 2 * np.pi) - np.pi)
            u, v = side / self.case, offset / self.case
            away = (u.abs().pow(5) + v.abs().pow(5)).pow(0.2) if self.square else torch.hypot(u, v)
            rim, dial = edge(1.0 - away, 0.08), edge(0.82 - away, 0.08)
            inner = self._dial(u, v, away)
            case = painted(self.metal, len(offset), offset.device) + 0.7 * torch.sin(2.0 * torch.atan2(v, u) + 1.0)
            colour = torch.lerp(torch.lerp(colour, case, rim), inner, dial)
            cover = torch.maximum(cover, rim)
            height = torch.maximum(height, rim * (0.006 + 0.0006 * (1.0 - dial)))
            gloss = torch.lerp(gloss, torch.full_like(gloss, 2.0), rim) + dial
        return Coat(cover, height, colour, gloss)

    def _dial(self, u: Tensor, v: Tensor, away: Tensor) -> Tensor:
        colour = painted(self.face, len(u), u.device)
        if not self.hands:
            return colour
        ink = -2.5 if float(self.face.mean()) > -1.5 else 2.5
        angle = torch.atan2(u, v)
        marks = (torch.cos(12.0 * angle) > 0.8) & (away > 0.62) & (away < 0.74)
        for reach, turn in ((0.45, 2.1), (0.62, 0.7)):
            along = u * np.sin(turn) + v * np.cos(turn)
            across = u * np.cos(turn) - v * np.sin(turn)
            marks = marks | ((across.abs() < 0.07) & (along > -0.1) & (along < reach))
        return (colour + ink * marks).clamp_max(-0.1)


@dataclass(frozen=True)
class Bandage:
    """A plaster round a finger, gauze over its end, or a bandage round the wrist and palm.

    Attributes:
        finger: 0 thumb to 4 little finger, -1: the wrist.
        start, end: where it lies: along the finger as `Places.along`; round the wrist metres along the rest hand's y axis.
        thickness: metres.
        colour: (3,) log reflectance; pad: (3,) what is added over the pad of a plaster.
        wraps: turns of a wound bandage a metre, 0: a plaster.
        lean: how wraps lean.
    """

    finger: int
    start: float
    end: float
    thickness: float
    colour: np.ndarray
    pad: np.ndarray
    wraps: float
    lean: float
    over_sleeve: bool = False
    on_mesh: bool = True

    @property
    def site(self) -> int | None:
        """As `Item` has it."""
        return None if self.finger < 0 else self.finger  # some reach the thumb

    def _inside(self, at: Places) -> Tensor:
        """Metres from the nearer end."""
        if self.finger < 0:
            return torch.minimum(at.y - self.start, self.end - 0.35 * at.x.abs() - at.y)
        return 0.028 * torch.minimum(at.along - self.start, self.end - at.along)

    def where(self, at: Places) -> Tensor:
        """As `Item` has it."""
        mine = at.finger == self.finger
        if self.finger < 0:  # the ball of the thumb is wrapped, too, but not its upper segments
            mine = mine | ((at.finger == 0) & (at.along < 0.3))
        return mine & (self._inside(at) > -0.001)

    def coat(self, at: Places) -> Coat:
        """As `Item` has it."""
        inside = self._inside(at)
        cover = edge(inside, 0.001)
        colour = painted(self.colour, len(inside), inside.device)
        if self.wraps:
            turns = self.wraps * ((at.y if self.finger < 0 else 0.028 * at.along) + 0.004 * self.lean * at.angle)
            phase = torch.remainder(turns, 1.0)
            colour = colour - 0.45 * (1.0 - phase / 0.12).clamp(0.0, 1.0) + 0.04 * torch.sin(2500.0 * at.y)
            height = self.thickness * (0.75 + 0.25 * phase)
        else:
            over_pad = edge(1.2 - at.angle.abs(), 0.15)
            dots = torch.sin(2600.0 * FINGER_RADIUS * at.angle) * torch.sin(75.0 * at.along)
            colour = colour + over_pad * torch.as_tensor(self.pad, dtype=torch.float32, device=inside.device)[:, None]
            colour = colour - 0.5 * (dots > 0.75) * (1.0 - over_pad)
            height = self.thickness * (0.5 + 0.5 * over_pad)
        return Coat(cover, height * (inside / 0.0015).clamp(0.0, 1.0), colour, torch.full_like(inside, 0.15))
