"""Cloth of sleeves: a bank of weaves, knits and folds on the rest surface, finer than the mesh."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.geometry.point_lists import places
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, Noise, Texels, unwrap
from phalanx.synth.paint.surface import hand

FABRICS = ("weave", "rib", "crumpled", "knit", "fleece")
"""Of the bank, in order."""

SOFT_EDGE = 0.0015  # metres: unit of how far something is under cloth
_SLOPE_SCALE = 0.6  # metres of height per unit of UV at a byte's end
_SHADE_SCALE = 0.6  # log reflectance at a byte's end
_BANK_SEED = 20_261_130


def _paint_fabric(name: str, noise: Noise, texels: Texels) -> tuple[np.ndarray, np.ndarray]:
    """Height in metres and change of log reflectance, `(T,)` each."""
    x, y, z = texels.position.T
    around = np.arctan2(x, -z)
    folds = 1.0 - 2.0 * np.abs(noise((0.030, 0.010, 0.030)))
    if name == "rib":
        ribs = np.sin(46.0 * around + 0.5 * noise(0.03))
        return 0.0006 * ribs + 0.0004 * noise(0.015), 0.22 * ribs + 0.03 * noise(0.004)
    if name == "crumpled":
        small = 1.0 - 2.0 * np.abs(noise((0.012, 0.005, 0.012)))
        return 0.0022 * folds + 0.0008 * small, 0.10 * folds + 0.05 * noise(0.003)
    if name == "knit":
        column = np.mod(around * 0.028 / 0.0055, 1.0) - 0.5
        stitch = np.sin(2 * np.pi * (y / 0.0055 + np.abs(column))) * np.cos(2 * np.pi * column)
        return 0.0005 * stitch + 0.0008 * folds, 0.2 * stitch + 0.05 * noise(0.004)
    if name == "fleece":
        pile = noise(0.0025) + 0.6 * noise(0.006)
        return 0.0006 * pile + 0.0010 * folds, 0.16 * pile
    threads = np.sin(1500.0 * y) * np.sin(1500.0 * 0.028 * around)
    return 0.0012 * folds + 0.00006 * threads, 0.06 * folds + 0.10 * threads + 0.06 * noise((0.02, 0.0015, 0.02))


@lru_cache(maxsize=4)
def cloth_bank(side: int, device: str) -> Tensor:
    """Slopes along u and v, and shade, of all `FABRICS`: `(5 * side * side,)` int32, a byte each and one that is not used."""
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    shrink, layers = TEXTURE_SIDE // side, []

    def signed(image: np.ndarray, scale: float) -> np.ndarray:
        small = image.reshape(side, shrink, side, shrink).mean((1, 3))
        return np.clip(np.round(127 * small / scale), -127, 127) + 128

    for number, name in enumerate(FABRICS):
        noise = Noise(stream_generator(_BANK_SEED, number), texels.position)
        height, shade = (
            values[texels.nearest].reshape(TEXTURE_SIDE, TEXTURE_SIDE) for values in _paint_fabric(name, noise, texels)
        )
        slopes = (signed(np.gradient(height, 1.0 / TEXTURE_SIDE, axis=axis), _SLOPE_SCALE) for axis in (1, 0))
        layers.append(np.stack([*slopes, signed(shade, _SHADE_SCALE), np.zeros((side, side))], -1).astype(np.uint8))
    return torch.from_numpy(np.stack(layers)).view(torch.int32).flatten().to(device)


def paint_cloth(
    albedo: Tensor,
    slope: Tensor,
    relief: Tensor,
    cover: Tensor,
    texel: Tensor,
    weave: Tensor,
    picture: Tensor,
    side: int,
) -> None:
    """Put folds, threads and hems on the sleeves of T points, in place.

    Args:
        albedo: (3, T) log reflectance; slope: (T,) how much each point leans from the light.
        relief: (2, T) how light leans along u and v.
        cover: (T,) how far under cloth, in units of `SOFT_EDGE`.
        texel: (T,) flat number in a texture of `side` texels.
        weave: (B, 5) of pictures: number of the fabric, strength, width of the hem in metres, fabric of the hem, lift of the hem.
        picture: (T,) of the points.
    """
    under = places(cover > 0.0)
    if not len(under):
        return
    fabric, strength, hem, hem_fabric, _ = weave.index_select(0, picture.index_select(0, under)).unbind(1)
    inside = cover.index_select(0, under) * SOFT_EDGE
    which = torch.where(inside < hem, hem_fabric, fabric).long()
    packed = cloth_bank(side, str(albedo.device)).index_select(0, which * (side * side) + texel.index_select(0, under))
    bytes_ = packed.view(torch.uint8).view(-1, 4).t()[:3].float().sub_(128.0).mul_(strength / 127.0)
    seam = (1.0 - (inside - hem).abs() / 0.0008).clamp_(0.0, 1.0) * (hem > 0) + (1.0 - inside / 0.001).clamp_(0.0, 1.0)
    albedo.index_add_(1, under, (bytes_[2] * _SHADE_SCALE - 0.35 * seam).expand(3, -1))
    lean = (bytes_[:2] * relief.index_select(1, under)).sum(0).mul_(_SLOPE_SCALE)
    slope.index_add_(0, under, lean * cover.index_select(0, under).clamp(0.0, 1.0))
