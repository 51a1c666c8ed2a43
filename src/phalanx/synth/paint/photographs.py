"""Photographed detail of skin: what six photographs of skin have of melanin, blood and shade beyond their broad colour.

`scripts/build_skin_assets.py` made them, in the texture layout of the open hand, from photographic skins of MakeHuman's community (CC0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import cv2
import numpy as np

from phalanx.data.images import read_image

SPAN = 0.6
"""Amount (change of log green) at the end of a stored byte."""


@lru_cache(maxsize=1)
def photographs() -> np.ndarray:
    """Amounts `(N, S, S, 3)` float32 of melanin, blood and shade, as `pigment.separate` has them; 0 off the hand."""
    folder = resources.files("phalanx.synth") / "assets"
    names = sorted(item.name for item in folder.iterdir() if item.name.startswith("skin_"))
    pictures = []
    for name in names:
        with resources.as_file(folder / name) as path:
            pictures.append(read_image(path).astype(np.float32))
    return (np.stack(pictures) - 128.0) * np.float32(SPAN / 127.0)


@dataclass(frozen=True)
class Detail:
    """Detail `(T,)` of T texels: amounts of melanin and blood, and shade, which is higher in creases and pores."""

    melanin: np.ndarray
    blood: np.ndarray
    shade: np.ndarray


def mix_detail(generator: np.random.Generator, pixel: np.ndarray, side: int, half: int | None = None) -> Detail:
    """Detail of somebody who is nobody of the photographs: a mixture of two of them, each with strengths of its own, under a smooth warp.

    Args:
        pixel: (T,) flat index of the texels into the texture of `side` texels.
        half: take only the photographs with even (0) or odd (1) number, so that two halves have none in common.
    """
    known = photographs()
    usable = np.arange(len(known)) if half is None else np.arange(half, len(known), 2)
    first, second = generator.choice(usable, 2, replace=False)
    share = generator.uniform(0.0, 0.5)  # the second only adds to the first: even shares would blur
    strength = generator.uniform(0.7, 1.5, 3)
    strength[:2] *= generator.choice([1.0, 1.0, 0.4])
    norm = np.sqrt((1.0 - share) ** 2 + share**2)
    bend = cv2.resize(generator.normal(0, 1, (7, 7, 2)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    row, column = pixel // side, pixel % side
    at = np.stack([column, row], -1) + bend.reshape(-1, 2)[pixel] * generator.uniform(0.5, 2.5)
    # cv2.remap takes at most 32767 columns: go in rows of 4096.
    count = -(-len(pixel) // 4096) * 4096
    padded = np.zeros((count, 2), np.float32)
    padded[: len(pixel)] = at
    grid = padded.reshape(-1, 4096, 2)
    found = [
        cv2.remap(known[chosen], grid, None, cv2.INTER_LINEAR).reshape(-1, 3)[: len(pixel)]
        for chosen in (first, second)
    ]
    mixed = ((1.0 - share) * found[0] + share * found[1]) / norm * strength
    return Detail(*mixed.T.astype(np.float64))
