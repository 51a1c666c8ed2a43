"""Gloves of work, sport, surgery, cleaning and winter: coats over the whole hand, or but for the ends of its fingers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.skeleton import FINGERS
from phalanx.synth.paint.surface import hand
from phalanx.synth.paint.worn import FINGER_RADIUS, Coat, Places, edge, painted

KINDS = ("work", "dipped", "sport", "surgical", "cleaning", "knit", "leather")
"""Canvas with a leather palm; knitted with a rubber palm; for cycling or training; thin; thick rubber; winter; fine leather."""

_GLOSS = {
    "work": (0.1, 0.3),
    "dipped": (0.1, 0.8),
    "sport": (0.25, 0.3),
    "surgical": (1.3, 1.3),
    "cleaning": (1.1, 0.9),
    "knit": (0.06, 0.06),
    "leather": (0.8, 0.8),
}  # of the two materials


@dataclass(frozen=True)
class Glove:
    """A glove.

    Attributes:
        kind: one of `KINDS`.
        cuff: where it ends at the arm, metres along the rest hand's y axis.
        finger_end: where it ends on fingers, as `Places.along`; above 3: it covers them.
        thickness: metres.
        colour, second: (3,) log reflectance of its two materials.
        turn: radians; moves its wrinkles and pattern.
        over_sleeve: as `Item` has it.
    """

    kind: str
    cuff: float
    finger_end: float
    thickness: float
    colour: np.ndarray
    second: np.ndarray
    turn: float
    over_sleeve: bool
    on_mesh: bool = True
    site: None = None

    def where(self, at: Places) -> Tensor:
        """As `Item` has it."""
        return at.y > self.cuff - 0.001

    def coat(self, at: Places) -> Coat:
        """As `Item` has it."""
        on_finger = at.finger >= 0
        ends = torch.where(on_finger, 0.03 * (self.finger_end - at.along), 1.0)
        up = at.y - self.cuff  # metres from the cuff's end
        inside = torch.minimum(up, ends)
        second, height, shade = _DESIGNS[self.kind](self, at, on_finger, up, ends)
        main, other = (painted(colour, len(up), up.device) for colour in (self.colour, self.second))
        colour = torch.lerp(main, other, second) + shade
        gloss = _GLOSS[self.kind]
        shine = (gloss[0] + (gloss[1] - gloss[0]) * second) * (1.0 + 0.5 * shade.clamp(-1.0, 1.0))
        thick = (self.thickness + height) * (inside / max(self.thickness, 0.0008)).clamp(0.0, 1.0)
        return Coat(edge(inside, 0.001), thick, colour, shine)

    def wrinkles(self, at: Places) -> Tensor:
        """Of loose material, about -1 to 1: across the fingers over their joints, and aslant on palm and back."""
        joints = torch.sin(2 * np.pi * at.along).clamp_min(0.0)  # where none are
        fine = torch.sin(14.0 * at.along + 2.5 * torch.sin(2.0 * at.angle + self.turn) + self.turn)
        bent = at.x + 0.006 * torch.sin(90.0 * at.y + self.turn)
        broad = torch.sin(330.0 * (at.y * 0.8 + 0.6 * bent) + 2.0 * torch.sin(120.0 * bent + 2.0 * self.turn))
        return torch.where(at.finger >= 0, fine * (1.0 - 0.8 * joints), broad * at.seen(0.018))


def _palmar(at: Places, rim: float = 0.25) -> Tensor:
    """1 on the side that fingers bend to, 0 on the back."""
    return edge(at.angle.abs() - 1.65, rim)


def _stitches(at: Places, width: float) -> Tensor:
    """Of knitted wool, -1 to 1: columns of small V; `width` in metres."""
    around = torch.where(at.finger >= 0, FINGER_RADIUS * at.angle, at.x) / width
    column = torch.remainder(around, 1.0) - 0.5
    return at.seen(width) * torch.sin(2 * np.pi * (at.y / width + column.abs())) * torch.cos(2 * np.pi * column)


def _ribs(at: Places, up: Tensor, long: float) -> tuple[Tensor, Tensor]:
    """A knitted cuff `long` metres: how much of it (N,), and its ribs, -1 to 1."""
    return edge(long - up, 0.002), at.seen(0.006) * torch.sin(28.0 * at.angle)


def _seams(at: Places, on_finger: Tensor) -> Tensor:
    """1 on the seams along the sides of the fingers."""
    return edge(0.09 - (at.angle.abs() - 1.5).abs(), 0.05) * on_finger * at.seen(0.005)


Design = tuple[
    Tensor, Tensor, Tensor
]  # of N places: how much is the second material, metres of height, what is added to log reflectance


def _work(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    palm = _palmar(at)
    tips = edge(at.along - 2.3, 0.1) * on_finger
    strap = edge(0.008 - (at.y - 0.068).abs(), 0.001) * (~on_finger) * (1.0 - palm)
    cuff = edge(0.05 - up, 0.004)
    stripe = edge(0.005 - (up - 0.045).abs(), 0.001)
    second = torch.maximum(torch.maximum(palm, tips), torch.maximum(strap, stripe))
    seam = _seams(at, on_finger)
    height = 0.0006 * second + 0.004 * cuff * (1.0 - up / 0.05).clamp(0.0, 1.0) + 0.0006 * glove.wrinkles(at)
    return second, height - 0.0005 * seam, 0.08 * glove.wrinkles(at) - 0.5 * seam


def _dipped(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    border = at.angle.abs() - 1.75 + 0.15 * torch.sin(60.0 * at.y + glove.turn)
    second = torch.maximum(edge(border, 0.12), edge(at.along - 2.35, 0.15) * on_finger) * edge(at.y - 0.012, 0.002)
    cuff, ribs = _ribs(at, up, 0.045)
    knit = _stitches(at, 0.005) * (1.0 - second) * (1.0 - cuff)
    rough = torch.sin(900.0 * at.x + 3.0 * torch.sin(700.0 * at.y)) * second * at.seen(0.007)
    rim = edge(0.0015 - up, 0.001)
    height = 0.0003 * second + 0.0004 * cuff * ribs + 0.0002 * knit + 0.00025 * rough
    return torch.maximum(second, rim), height, 0.2 * cuff * ribs + 0.12 * knit + 0.1 * rough


def _sport(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    palm = _palmar(at)
    strap = edge(0.022 - up, 0.001)
    hem = edge(0.0025 - ends, 0.001) * on_finger
    panels = edge(torch.sin(180.0 * at.x + 120.0 * at.y + glove.turn) - 0.55, 0.1) * (1.0 - palm)
    pads = palm * edge(torch.sin(170.0 * at.x + glove.turn) * torch.sin(150.0 * at.y) - 0.1, 0.4) * (~on_finger)
    second = torch.maximum(torch.maximum(palm, strap), torch.maximum(hem, panels))
    mesh = at.seen(0.006) * torch.sin(1000.0 * at.y) * torch.sin(1000.0 * at.x) * (1.0 - second)
    height = 0.0015 * pads + 0.0006 * strap + 0.0004 * hem + 0.00015 * mesh + 0.0003 * glove.wrinkles(at)
    return second, height, 0.25 * pads + 0.15 * mesh - 0.3 * _seams(at, on_finger) * (1.0 - hem)


def _surgical(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    roll = edge(0.0022 - up, 0.0008)
    wrinkles = glove.wrinkles(at)
    slack = edge(0.03 - at.y, 0.03)  # it is loose at the wrist
    height = 0.0010 * roll + (0.00025 + 0.0008 * slack) * wrinkles
    return torch.zeros_like(up), height, 0.1 * wrinkles - 0.25 * roll


def _cleaning(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    palm = _palmar(at) * edge(at.y - 0.02, 0.004)
    around = torch.where(on_finger, FINGER_RADIUS * at.angle, at.x)
    diamonds = at.seen(0.007) * palm * torch.sin(630.0 * (at.y + around)) * torch.sin(630.0 * (at.y - around))
    roll = edge(0.004 - up, 0.001)
    slack = edge(0.02 - at.y, 0.04)
    height = 0.0015 * roll + 0.0003 * diamonds + (0.0004 + 0.0025 * slack) * glove.wrinkles(at)
    return torch.maximum(roll, 0.3 * palm), height, 0.15 * diamonds + 0.05 * glove.wrinkles(at)


def _knit(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    cuff, ribs = _ribs(at, up, 0.05)
    stitches = _stitches(at, 0.0055) * (1.0 - cuff)
    if glove.turn < 2.0:
        second = edge(torch.sin(260.0 * at.y + glove.turn) - 0.2, 0.2)  # rings
    elif glove.turn < 3.5:
        second = torch.maximum(edge(at.along - 2.2, 0.1) * on_finger, cuff)  # tips and cuff
    elif glove.turn < 4.5:
        zigzag = at.y + 0.008 * (torch.remainder(at.x / 0.012, 1.0) - 0.5).abs()
        second = edge(0.003 - (torch.remainder(zigzag, 0.02) - 0.01).abs(), 0.001) * (~on_finger)
    else:
        second = torch.zeros_like(up)
    fuzz = torch.sin(400.0 * at.x + 5.0 * torch.sin(330.0 * at.y + glove.turn)) * at.seen(0.012)
    height = 0.0006 * cuff * ribs + 0.0004 * stitches + 0.0002 * glove.wrinkles(at)
    return second, height, 0.28 * cuff * ribs + 0.25 * stitches + 0.06 * fuzz


def _leather(glove: Glove, at: Places, on_finger: Tensor, up: Tensor, ends: Tensor) -> Design:
    joints = hand("cpu")[0].rest_joints
    back = 1.0 - _palmar(at)
    points = torch.zeros_like(up)  # three seams on the back, between the knuckles
    for first, other in ((1, 2), (2, 3), (3, 4)):
        x = 0.5 * float(joints[FINGERS[first][0], 0] + joints[FINGERS[other][0], 0])
        points = torch.maximum(points, edge(0.0012 - (at.x - 0.8 * x).abs(), 0.001))
    points = points * back * edge(0.02 - (at.y - 0.055).abs(), 0.002) * (~on_finger)
    gathered = edge(0.008 - (at.y - 0.008).abs(), 0.004) * torch.sin(30.0 * at.angle) * at.seen(0.006)
    seam, wrinkles = _seams(at, on_finger), glove.wrinkles(at)
    hem = edge(0.003 - up, 0.001)
    height = 0.0007 * points + 0.0005 * gathered - 0.0005 * seam + 0.00045 * wrinkles + 0.0005 * hem
    return hem, height, 0.12 * wrinkles - 0.5 * seam + 0.15 * gathered + 0.2 * points


_DESIGNS = {
    "work": _work,
    "dipped": _dipped,
    "sport": _sport,
    "surgical": _surgical,
    "cleaning": _cleaning,
    "knit": _knit,
    "leather": _leather,
}

_PAINTS = {
    "work": ([[0.80, 0.68, 0.45], [0.55, 0.57, 0.60], [0.90, 0.87, 0.78], [0.20, 0.30, 0.50], [0.85, 0.45, 0.12], [0.25, 0.25, 0.25]]),
    "dipped": ([[0.92, 0.92, 0.90], [0.35, 0.36, 0.38], [0.10, 0.10, 0.11], [0.20, 0.35, 0.65], [0.75, 0.85, 0.15], [0.85, 0.40, 0.15]]),
    "sport": ([[0.08, 0.08, 0.09], [0.75, 0.12, 0.12], [0.90, 0.90, 0.90], [0.10, 0.25, 0.65], [0.80, 0.90, 0.15], [0.35, 0.36, 0.38]]),
    "surgical": ([[0.92, 0.88, 0.78], [0.35, 0.55, 0.85], [0.25, 0.40, 0.80], [0.55, 0.80, 0.78], [0.10, 0.10, 0.12], [0.62, 0.52, 0.85]]),
    "cleaning": ([[0.96, 0.82, 0.12], [0.95, 0.75, 0.10], [0.92, 0.45, 0.58], [0.20, 0.55, 0.75], [0.15, 0.55, 0.30], [0.85, 0.30, 0.15]]),
    "knit": ([[0.15, 0.16, 0.20], [0.65, 0.13, 0.15], [0.88, 0.85, 0.78], [0.45, 0.46, 0.48], [0.15, 0.25, 0.45], [0.35, 0.40, 0.25]]),
    "leather": ([[0.07, 0.06, 0.06], [0.30, 0.18, 0.11], [0.50, 0.32, 0.18], [0.45, 0.08, 0.08], [0.72, 0.58, 0.40], [0.25, 0.25, 0.24]]),
}  # fmt: skip # displayed


def draw_glove(generator: np.random.Generator) -> Glove:
    """Draw one: of work and of winter most often."""
    kind = KINDS[int(generator.choice(len(KINDS), p=[0.2, 0.15, 0.13, 0.17, 0.08, 0.17, 0.1]))]
    paints = np.array(_PAINTS[kind])
    first, other = generator.choice(len(paints), 2, replace=False)
    colours = np.log(np.clip(paints[[first, other]] + generator.normal(0, 0.03, (2, 3)), 0.05, 0.97) ** 2.2)
    fingerless = generator.random() < {"sport": 0.7, "knit": 0.15, "work": 0.08}.get(kind, 0.0)
    low, high = {
        "work": (-0.07, -0.02),
        "dipped": (-0.05, -0.03),
        "sport": (-0.025, -0.008),
        "surgical": (-0.085, -0.045),
        "cleaning": (-0.16, -0.09),
        "knit": (-0.055, -0.03),
        "leather": (-0.05, -0.015),
    }[kind]
    thin, thick = {
        "work": (0.0015, 0.0035),
        "dipped": (0.0010, 0.0020),
        "sport": (0.0008, 0.0018),
        "surgical": (0.0003, 0.0005),
        "cleaning": (0.0008, 0.0018),
        "knit": (0.0012, 0.0030),
        "leather": (0.0008, 0.0018),
    }[kind]
    return Glove(
        kind,
        float(generator.uniform(low, high)),
        float(generator.uniform(0.7, 1.6)) if fingerless else 9.0,
        float(generator.uniform(thin, thick)),
        colours[0],
        colours[1],
        float(generator.uniform(0.0, 6.0)),
        bool(generator.random() < 0.5),
    )
