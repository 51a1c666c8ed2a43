"""Textures of bodies: what photographs of skin have of melanin, blood and shade, where hair grows, how cloth and hair vary, prints.

`scripts/build_body_textures.py` made the pictures from photographic skins of MakeHuman's community (CC0), in MakeHuman's layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.data.images import read_image
from phalanx.geometry.point_lists import interleaved
from phalanx.synth.paint.clutter import fractal_noise

SPAN = 1.6
"""Amount (change of log green) at the end of a stored byte of `body_skin_*.jpg`."""
NEAR = 0.35
"""Texels for each step about 128 of a byte of `body_regions.png`."""

_SEED = 20_240_311
_LEVELS = 3
_CLOTH_SIDE = 256
_PRINT_SIDE = 64
PRINTS = 48


@dataclass(frozen=True)
class BodyTextures:
    """Textures of all bodies, on one device.

    Attributes:
        skins: pyramids `(1, 3, S, S)` of each photograph: amounts of melanin, blood and shade, as `pigment.separate` has them.
        regions: `(1, 3, S, S)` signed distances in texels, positive inside, of where hair and beard grow, and of the lips.
        cloth: pyramid `(1, 4, C, C)` of unit deviation, which repeats: slopes of folds along u and v, strands along v, fine speckles.
        prints: `(PRINTS, P, P)` coverage of what is printed on clothes.
    """

    skins: list[list[Tensor]]
    regions: Tensor
    cloth: list[Tensor]
    prints: Tensor


@lru_cache(maxsize=4)
def body_textures(device: str) -> BodyTextures:
    """The textures on `device`, the same in every process."""
    folder = resources.files("phalanx.synth") / "assets"
    names = sorted(item.name for item in folder.iterdir() if item.name.startswith("body_skin_"))
    pictures = {}
    for name in [*names, "body_regions.png"]:
        with resources.as_file(folder / name) as path:
            array = np.ascontiguousarray(read_image(path), np.float32) - 128.0
        pictures[name] = torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()
    skins = []
    for name in names:
        skins.append(_pyramid(pictures[name] * (SPAN / 127.0), device))
    generator = stream_generator(_SEED, 0)
    cloth = torch.from_numpy(_cloth(generator)).permute(2, 0, 1)[None].contiguous()
    prints = torch.from_numpy(np.stack([_print(generator) for _ in range(PRINTS)]))
    return BodyTextures(
        skins, (pictures["body_regions.png"] * NEAR).to(device), _pyramid(cloth, device), prints.to(device)
    )


def _pyramid(texture: Tensor, device: str) -> list[Tensor]:
    levels = [texture]
    for _ in range(_LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return [level.to(device) for level in levels]


def level(pyramid: list[Tensor], repeat: float, metres: float) -> Tensor:
    """The level of a pyramid with about a texel a pixel, where a pixel spans `metres`, and the texture lies once on `repeat` metres."""
    texels = max(metres / repeat * pyramid[0].shape[-1], 1.0)
    return pyramid[min(int(texels).bit_length() - 1, len(pyramid) - 1)]


def sample(texture: Tensor, u: Tensor, v: Tensor, repeat: bool = False) -> Tensor:
    """Values `(C, T)` of a texture `(1, C, S, S)` between its texels at `u`, `v` `(T,)`, from 0 to 1 across it."""
    if repeat:
        u, v = u - u.floor(), v - v.floor()
    grid = interleaved([u, v]).mul_(2.0).sub_(1.0)[None, None]  # (1, 1, T, 2)
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0]


def _cloth(generator: np.random.Generator) -> np.ndarray:
    """`cloth` of `BodyTextures`, `(C, C, 4)`."""
    side = _CLOTH_SIDE
    folds = fractal_noise(generator, side, 2.1)[..., 0]
    folds = np.abs(folds) + 0.5 * fractal_noise(generator, side, 2.2)[..., 0]  # ridges and hollows
    folds = cv2.GaussianBlur(np.tile(folds, (3, 3)), (0, 0), 2.0)[side : 2 * side, side : 2 * side]
    slopes = [np.roll(folds, -1, axis) - np.roll(folds, 1, axis) for axis in (1, 0)]
    strands = generator.normal(0, 1, (side, side))
    kernel = np.exp(-0.5 * (np.fft.fftfreq(side, 1 / side) / 14.0) ** 2)
    spread = np.fft.ifft(np.fft.fft(strands, axis=0) * np.fft.fft(kernel / kernel.sum())[:, None], axis=0).real
    spread = spread + 0.7 * np.roll(spread, 1, 1) + 0.7 * np.roll(spread, -1, 1)
    layers = np.stack([*slopes, spread, fractal_noise(generator, side, 0.35)[..., 0]], -1)
    return np.clip(layers / layers.std((0, 1)), -3, 3).astype(np.float32)


def _print(generator: np.random.Generator) -> np.ndarray:
    """Letters or a figure `(P, P)`, from 0 to 1."""
    side = 4 * _PRINT_SIDE
    canvas = np.zeros((side, side), np.uint8)
    kind = generator.integers(4)
    if kind < 2:
        for row in range(int(generator.integers(1, 4))):
            text = "".join(chr(generator.integers(65, 91)) for _ in range(generator.integers(3, 9)))
            font = int(generator.integers(0, 6))
            (width, _), _ = cv2.getTextSize(text, font, 1.0, 3)
            scale = 0.9 * side / width
            at = (int(0.05 * side), int(side * (0.35 + 0.28 * row)))
            cv2.putText(canvas, text, at, font, min(scale, 2.6), 255, int(generator.integers(3, 9)), cv2.LINE_AA)
    elif kind == 2:
        for _ in range(int(generator.integers(1, 5))):
            centre = generator.integers(side // 4, 3 * side // 4, 2).tolist()
            axes = generator.integers(side // 12, side // 4, 2).tolist()
            thick = int(generator.choice([-1, 6, 12]))
            cv2.ellipse(canvas, centre, axes, float(generator.uniform(0, 180)), 0, 360, 255, thick, cv2.LINE_AA)
    else:
        corners = generator.integers(side // 8, 7 * side // 8, (int(generator.integers(3, 7)), 2))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255, cv2.LINE_AA)
    return cv2.resize(canvas, (_PRINT_SIDE, _PRINT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
