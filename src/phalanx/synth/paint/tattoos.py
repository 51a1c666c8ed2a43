"""Tattoos: stamps of ink on the back of the hand, the forearm and the fingers, and bands around them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.synth.paint.worn import FINGER_RADIUS, WRIST_RADIUS, Coat, Places, painted

_SIDE = 128  # pixels of a stamp
_FONTS = (cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SIMPLEX)
_LETTERS = "ABCDEFGHIJKLMNOPRSTUVWXYZ"
_FINGER_SEGMENT = 0.038  # metres, about


@dataclass(frozen=True)
class Tattoo:
    """A stamp, or a band.

    Attributes:
        spot: a finger, 0 thumb to 4 little finger; -1: the back of the hand; -2: round the forearm.
        middle: (2,) of it: on the back metres along x and y; else radians around, and along as `Places` has it.
        half: (2,) half its size in metres, across and along; of a band the first is the length of what repeats.
        turn: radians by which a stamp is turned.
        stamp: (S, S) float32, how much ink, 0 to 1.
        band: whether it repeats all around.
        ink: (3,) log reflectance.
    """

    spot: int
    middle: tuple[float, float]
    half: tuple[float, float]
    turn: float
    stamp: np.ndarray
    band: bool
    ink: np.ndarray
    over_sleeve: bool = False
    on_mesh: bool = False

    @property
    def site(self) -> int | None:
        """As `Item` has it."""
        return max(self.spot, -1)

    def _on_stamp(self, at: Places) -> tuple[Tensor, Tensor]:
        """Where places lie on the stamp, -1 to 1 across and along."""
        around = torch.remainder(at.angle - self.middle[0] + np.pi, 2 * np.pi) - np.pi
        if self.spot >= 0:
            u, v = FINGER_RADIUS * around, _FINGER_SEGMENT * (at.along - self.middle[1])
        elif self.spot == -2:
            u, v = WRIST_RADIUS * around, at.y - self.middle[1]
        else:
            u, v = at.x - self.middle[0], at.y - self.middle[1]
        if self.band:
            return torch.remainder(u / self.half[0], 2.0) - 1.0, v / self.half[1]
        cos, sin = float(np.cos(self.turn)), float(np.sin(self.turn))
        return (cos * u + sin * v) / self.half[0], (cos * v - sin * u) / self.half[1]

    def where(self, at: Places) -> Tensor:
        """As `Item` has it."""
        u, v = self._on_stamp(at)
        near = torch.maximum(u.abs(), v.abs()) < 1.0
        if self.spot >= 0:
            return near & (at.finger == self.spot)
        near = near & (at.finger < 0)
        return near & (at.angle.abs() < 1.6) if self.spot == -1 else near

    def coat(self, at: Places) -> Coat:
        """As `Item` has it."""
        u, v = self._on_stamp(at)
        stamp = torch.as_tensor(self.stamp, device=u.device)[None, None]
        cover = F.grid_sample(stamp, torch.stack([u, -v], -1)[None, None], align_corners=False)[0, 0, 0]
        return Coat(cover, torch.zeros_like(u), painted(self.ink, len(u), u.device), torch.zeros_like(u), film=True)


def _curve(canvas: np.ndarray, points: np.ndarray, width: int, filled: bool = False) -> None:
    """Draw a closed curve `(N, 2)`, -1 to 1, on the canvas."""
    places = ((points * 0.9 + 1.0) * 0.5 * _SIDE * 16).round().astype(np.int32)
    if filled:
        cv2.fillPoly(canvas, [places], 255, cv2.LINE_AA, 4)
    else:
        cv2.polylines(canvas, [places], True, 255, width, cv2.LINE_AA, 4)


def _line_drawing(generator: np.random.Generator, canvas: np.ndarray) -> None:
    """A flower, a star, a heart, a spiral or a mandala in lines."""
    t = np.linspace(0, 2 * np.pi, 200)
    width, petals = int(generator.integers(2, 5)), int(generator.integers(3, 9))
    kind = int(generator.integers(5))
    if kind == 0:
        for size in (1.0, 0.65, 0.35):
            r = size * (0.72 + 0.28 * np.cos(petals * t + size * 4.0))
            _curve(canvas, np.stack([r * np.cos(t), r * np.sin(t)], 1), width)
    elif kind == 1:
        corners = np.arange(2 * petals) * np.pi / petals
        r = np.where(np.arange(2 * petals) % 2, 0.42, 1.0)
        _curve(canvas, np.stack([r * np.sin(corners), -r * np.cos(corners)], 1), width)
    elif kind == 2:
        x, y = np.sin(t) ** 3, (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 17
        _curve(canvas, np.stack([x, -y], 1), width)
        _curve(canvas, 0.6 * np.stack([x, -y], 1), 2)
    elif kind == 3:
        turn = np.linspace(0, 6 * np.pi, 300)
        forth = np.stack([np.cos(turn), np.sin(turn)], 1) * (turn / turn[-1])[:, None]
        _curve(canvas, np.concatenate([forth, forth[::-1]]), width)
    else:
        for i in range(petals):
            middle = 0.5 * np.array([np.cos(2 * np.pi * i / petals), np.sin(2 * np.pi * i / petals)])
            _curve(canvas, middle + 0.48 * np.stack([np.cos(t), np.sin(t)], 1), 2)


def _filled_shape(generator: np.random.Generator, canvas: np.ndarray) -> None:
    """Pointed blades in mirror symmetry."""
    for _ in range(int(generator.integers(2, 5))):
        root, tip = generator.uniform(-0.4, 0.9, 2), generator.uniform(-1.0, 1.0, 2)
        bulge = generator.normal(0, 0.35, 2) + [0.25, 0.0]
        t = np.linspace(0, 1, 30)[:, None]
        there = (1 - t) ** 2 * root + 2 * t * (1 - t) * (0.5 * (root + tip) + bulge) + t**2 * tip
        back = (1 - t) ** 2 * tip + 2 * t * (1 - t) * (0.5 * (root + tip) + 0.3 * bulge) + t**2 * root
        blade = np.concatenate([there, back]).clip(-1, 1)
        for mirror in (1.0, -1.0):
            _curve(canvas, blade * [mirror, 1.0], 1, filled=True)


def _letters(generator: np.random.Generator, canvas: np.ndarray, count: int) -> None:
    font, width = _FONTS[int(generator.integers(len(_FONTS)))], int(generator.integers(3, 6))
    text = "".join(generator.choice(list(_LETTERS), count))
    if generator.random() < 0.3 and count > 2:
        text = str(int(generator.integers(1900, 2030)))
    (wide, high), _ = cv2.getTextSize(text, font, 1.0, width)
    scale = 0.9 * _SIDE / max(wide, high)
    width = max(2, int(width * min(scale, 1.5)))
    place = int((_SIDE - wide * scale) / 2), int((_SIDE + high * scale) / 2)
    cv2.putText(canvas, text, place, font, scale, 255, width, cv2.LINE_AA)


def _band(generator: np.random.Generator, canvas: np.ndarray) -> None:
    """One to three stripes, with or without teeth or links between."""
    rows = np.arange(_SIDE)
    for edge in np.linspace(0.12, 0.88, int(generator.integers(1, 4))):
        canvas[np.abs(rows / _SIDE - edge) < generator.uniform(0.03, 0.11)] = 255
    if generator.random() < 0.5:
        teeth = np.abs(rows / _SIDE * 2 - 1.0) * 0.5 + 0.2  # the height of the pattern in each column
        inner = np.abs(rows[:, None] / _SIDE - 0.5) < 0.5 * teeth[None, :] * 0.6
        canvas[inner] = 255


def draw_tattoo(generator: np.random.Generator) -> Tattoo:
    """Draw one: bands, letters, line drawings or filled shapes, mostly in blackish blue that has faded."""
    canvas = np.zeros((_SIDE, _SIDE), np.uint8)
    kind, site = generator.random(), int(generator.choice([-2, -1, 1, 2, 3, 4], p=[0.35, 0.35, 0.08, 0.08, 0.08, 0.06]))
    band = kind < 0.25 and site != -1
    if band:
        _band(generator, canvas)
    elif kind < 0.45:
        _letters(generator, canvas, 1 if site >= 0 else int(generator.integers(2, 7)))
    elif kind < 0.75:
        _line_drawing(generator, canvas)
    else:
        _filled_shape(generator, canvas)
    faded = float(generator.uniform(0.45, 0.92))
    stamp = cv2.GaussianBlur(canvas, (0, 0), generator.uniform(0.5, 2.0)).astype(np.float32) / 255 * faded
    ink = np.array([0.020, 0.026, 0.034]) * generator.uniform(0.6, 1.6)
    if generator.random() < 0.15:
        ink = np.array([[0.35, 0.02, 0.03], [0.02, 0.15, 0.06], [0.02, 0.06, 0.35]])[int(generator.integers(3))]
    half = float(generator.uniform(0.012, 0.028))
    if site >= 0:
        middle = (
            float(generator.normal(0.0, 0.2)),
            float(generator.choice([0.55, 1.5])) + float(generator.normal(0.0, 0.05)),
        )
        size = (0.012, float(generator.uniform(0.002, 0.005))) if band else (0.006, 0.007)
    elif site == -2:
        middle = (
            float(generator.choice([0.0, np.pi])) + float(generator.normal(0.0, 0.3)),
            -float(generator.uniform(0.03, 0.12)),
        )
        size = (0.011, 0.3 * half) if band else (half, 1.4 * half)
    else:
        middle, size = (float(generator.normal(0.0, 0.01)), float(generator.uniform(0.03, 0.065))), (half, half)
    return Tattoo(site, middle, size, float(generator.normal(0.0, 0.4)), stamp, band, np.log(ink))
