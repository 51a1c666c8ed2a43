"""Skin: a bank of textures that hold its detail, and the colours that go with them.

Detail is a function of the rest surface, so it moves with the hand; each process bakes it once into a bank of variants.
A texel holds eight bytes (`CHANNELS`) and is fetched as one 64-bit number. The logarithm of the colour is linear in the channels
(light is absorbed exponentially), so one small matrix a picture makes its skin: `skin_matrices`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, Texels, paint_variant, unwrap
from phalanx.synth.paint.surface import hand

CHANNELS = ("palm", "melanin", "blood", "cavity", "nail", "gloss", "slope_u", "slope_v")
"""Bytes of a texel. Signed ones (melanin, blood, slopes) are stored about 128."""

SLOPE_SCALE = 0.35  # metres of height per unit of UV at the byte's end
_BANK_SEED = 20_240_303


def _pack(fields: dict[str, np.ndarray], texels: Texels, side: int, shrink: int = 1) -> np.ndarray:
    """Fields `(T,)` to a texture of eight bytes a texel, averaged down `shrink` times: `((side / shrink)**2,)` int64."""
    image = fields["height"][texels.nearest].reshape(side, side)
    slope_u, slope_v = np.gradient(image, 1.0 / side, axis=1), np.gradient(image, 1.0 / side, axis=0)

    def unsigned(values: np.ndarray) -> np.ndarray:
        return np.clip(np.round(255 * values), 0, 255)

    def signed(values: np.ndarray, scale: float) -> np.ndarray:
        return np.clip(np.round(127 * values / scale), -127, 127) + 128

    layers = [
        unsigned(fields[name])[texels.nearest]
        if name not in ("melanin", "blood")
        else signed(fields[name], 2.0)[texels.nearest]
        for name in CHANNELS[:6]
    ]
    layers += [signed(slope_u, SLOPE_SCALE).reshape(-1), signed(slope_v, SLOPE_SCALE).reshape(-1)]
    small = np.stack(layers, -1).reshape(side // shrink, shrink, side // shrink, shrink, 8).mean((1, 3)).round()
    return np.ascontiguousarray(small.reshape(-1, 8).astype(np.uint8)).view(np.int64)[:, 0]


@lru_cache(maxsize=4)
def skin_bank(variants: int, side: int, device: str) -> Tensor:
    """`variants` skins `(variants, side, side)` int64 on `device`, eight bytes a texel, the same in every process; `side` a
    power of two up to `TEXTURE_SIDE`: about a texel a pixel avoids flicker."""
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    joints = model.rest_joints.numpy().astype(np.float64)
    bank = [
        _pack(
            paint_variant(stream_generator(_BANK_SEED, i), texels, joints), texels, TEXTURE_SIDE, TEXTURE_SIDE // side
        )
        for i in range(variants)
    ]
    return torch.from_numpy(np.stack(bank)).view(variants, side, side).to(device)


# Skin from the lightest to the darkest, sRGB of photographs in neutral light.
_TONES = (
    np.array([[242, 214, 198], [228, 190, 168], [208, 162, 134], [174, 126, 98], [124, 86, 66], [70, 50, 42]]) / 255.0
)
_BLOOD = np.array([-0.02, -0.34, -0.26])  # change of log reflectance (linear light) a unit of blood brings


def _kept_within(base: np.ndarray, logs: np.ndarray, tones: tuple[float, float]) -> np.ndarray:
    """What to add `(B,)` to the log reflectances `base (B, 3)` so that skins are no lighter and no darker on average than `tones`.

    Blood and chance would carry some of them past the border of two domains. There is none at the ends of the scale.
    """
    places = np.linspace(0, 1, len(logs))
    lightest, darkest = (np.interp(tone, places, logs.mean(1)) for tone in tones)
    mean = base.mean(1)
    return np.clip(mean, darkest if tones[1] < 1 else -np.inf, lightest if tones[0] > 0 else np.inf) - mean


def skin_matrices(generator: np.random.Generator, batch: int, tones: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Colours of `batch` skins: `(batch, 3, 6)`, log reflectance (linear light) from [1, palm, melanin, blood, cavity, nail].

    Tones run evenly from the lightest to the darkest; palms are lighter than backs, the more so the darker the skin; nails are
    the skin's colour with more blood, or polished. `tones` are the least and greatest, from 0, the lightest, to 1, the darkest; no
    skin's mean log reflectance lies beyond an inner one.
    """
    spread = generator.uniform(0, 1, batch) ** 1.15
    tone = (tones[0] + (tones[1] - tones[0]) * spread) * (len(_TONES) - 1)
    low = np.minimum(tone.astype(int), len(_TONES) - 2)
    logs = np.log(_TONES**2.2)
    part = (tone - low)[:, None]
    base = logs[low] * (1 - part) + logs[low + 1] * part
    darker = logs[low + 1] - logs[low]  # direction of more melanin
    dark = tone / (len(_TONES) - 1)
    flush = generator.normal(0.15, 0.4, (batch, 1))
    yellow = generator.normal(0, 0.15, (batch, 1)) * np.array([0.2, 0.0, -1.0])
    base = base + flush * _BLOOD * (1.1 - 0.8 * dark[:, None]) + yellow + generator.normal(0, 0.05, (batch, 1))
    base = base + _kept_within(base, logs, tones)[:, None]
    palm = -darker * (0.1 + 0.95 * dark[:, None] ** 2) * generator.uniform(
        0.6, 1.2, (batch, 1)
    ) + _BLOOD * 0.35 * generator.uniform(0, 1.6, (batch, 1))
    melanin = darker * generator.uniform(0.25, 0.75, (batch, 1)) * (1.0 - 0.4 * dark[:, None])
    blood = _BLOOD * generator.uniform(0.5, 1.5, (batch, 1)) * (1.15 - 0.75 * dark[:, None])
    cavity = generator.uniform(0.15, 0.75, (batch, 1)) * np.array([-0.75, -1.0, -1.0])
    natural = (
        base
        - darker * (0.2 + 0.9 * dark[:, None]) * generator.uniform(0.3, 1.0, (batch, 1))
        + _BLOOD * generator.normal(0.35, 0.25, (batch, 1))
    )
    polish = np.log(np.clip(generator.uniform(0.02, 1.0, (batch, 3)) ** 2.2, 0.003, 0.9))
    polish = np.where(
        generator.random((batch, 1)) < 0.5,
        np.log(np.array([0.5, 0.03, 0.05])) + generator.normal(0, 0.4, (batch, 3)),
        polish,
    )
    nail = np.where(generator.random((batch, 1)) < 0.12, np.minimum(polish, -0.05), natural) - base
    return np.stack([base, palm, melanin, blood, cavity, nail], -1).astype(np.float32)
