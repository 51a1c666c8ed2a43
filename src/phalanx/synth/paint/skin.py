"""Skin: a bank of textures that hold its detail, and the colours that go with them.

Detail is a function of the rest surface, so it moves with the hand; each process bakes it once into a bank of variants, of which
those with even and odd number come from different photographs (`paint.photographs`).
A texel holds eight bytes (`CHANNELS`) and is fetched as one 64-bit number. The logarithm of the colour is linear in the channels
(light is absorbed exponentially), so one small matrix a picture makes its skin: `skin_matrices`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.synth.paint.pigment import reflectance
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
            paint_variant(stream_generator(_BANK_SEED, i), texels, joints, i % 2),
            texels,
            TEXTURE_SIDE,
            TEXTURE_SIDE // side,
        )
        for i in range(variants)
    ]
    return torch.from_numpy(np.stack(bank)).view(variants, side, side).to(device)


# Mean log reflectance (linear) of skins in photographs, from the lightest to the darkest, evenly spaced in tone.
_LEVELS = np.array([-0.35, -0.60, -0.95, -1.50, -2.32, -3.3])
_EXPOSURE = np.log(1.4)  # photographs of hands are exposed for them
_BLOOD = 0.018  # share of the dermis that is blood, in most people
_MELANIN = np.geomspace(0.003, 0.45, 128)
_LESS_RED = np.array([-0.10, 0.03, 0.07])  # log, of brown skin: the model makes it redder than photographs do
_MELANIN_STEP = 0.05  # share of the epidermis
_BLOOD_STEP = 2.2  # times


def _kept_within(base: np.ndarray, tones: tuple[float, float]) -> np.ndarray:
    """What to add `(B,)` to the log reflectances `base (B, 3)` so that skins are no lighter and no darker on average than `tones`.

    Blood and chance would carry some of them past the border of two domains. There is none at the ends of the scale.
    """
    lightest, darkest = (np.interp(tone, np.linspace(0, 1, len(_LEVELS)), _LEVELS) for tone in tones)
    mean = base.mean(1)
    return np.clip(mean, darkest if tones[1] < 1 else -np.inf, lightest if tones[0] > 0 else np.inf) - mean


def _log_skin(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    return np.log(reflectance(melanin, blood)) + _EXPOSURE


def skin_matrices(generator: np.random.Generator, batch: int, tones: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Colours of `batch` skins: `(batch, 3, 6)`, log reflectance (linear light) from [1, palm, melanin, blood, cavity, nail].

    They follow from amounts of melanin and blood (`paint.pigment`). Tones run evenly from the lightest to the darkest; palms have less
    melanin than backs, the more so the darker the skin, and more blood; nails have still more of it, or are polished. `tones` are the
    least and greatest, from 0, the lightest, to 1, the darkest; no skin's mean log reflectance lies beyond an inner one.
    """

    def uniform(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, batch)

    dark = tones[0] + (tones[1] - tones[0]) * uniform(0, 1) ** 1.15
    level = np.interp(dark, np.linspace(0, 1, len(_LEVELS)), _LEVELS)
    known = _log_skin(_MELANIN, np.full(len(_MELANIN), _BLOOD)).mean(1)
    melanin = np.interp(-level, -known, _MELANIN)
    blood = np.clip(_BLOOD * np.exp(generator.normal(0.05, 0.38, batch)), 0.004, 0.06)
    plain = _log_skin(melanin, blood)
    base = plain + (level - _log_skin(melanin, np.full(batch, _BLOOD)).mean(1))[:, None]
    base = base + np.minimum(2.0 * dark, 1.0)[:, None] * _LESS_RED
    base = base + generator.normal(0, 0.06, (batch, 1)) * np.array([0.2, 0.0, -1.0])
    base = base + generator.normal(0, 0.05, (batch, 1))
    base = base + _kept_within(base, tones)[:, None]
    lacking = np.clip((0.1 + 0.72 * dark) * uniform(0.75, 1.2), 0.0, 0.82)  # melanin that the palm lacks
    palm = _log_skin(melanin * (1.0 - lacking), blood * uniform(1.0, 1.7)) - plain
    spot = (_log_skin(1.3 * melanin + _MELANIN_STEP, blood) - plain) * uniform(0.6, 1.1)[:, None]
    spot *= (1.0 + 0.8 * dark)[:, None]  # a darker skin's spots have more melanin
    spot[:, 2] = np.minimum(spot[:, 2], 0.9 * spot[:, 1])  # the model has little blue left to lose in dark skin
    full = (_log_skin(melanin, blood * _BLOOD_STEP) - plain) * uniform(0.7, 1.3)[:, None]
    cavity = uniform(0.25, 0.55)[:, None] * np.array([-0.7, -1.0, -1.0])
    cavity = cavity * (1.0 + 0.9 * dark)[:, None]  # creases of dark skin hold more melanin, too
    natural = _log_skin(
        melanin * (1.0 - lacking * uniform(0.6, 1.1)), blood * np.exp(generator.normal(0.15, 0.3, batch))
    )
    natural = natural - plain + generator.normal(0.05, 0.08, (batch, 1))
    polish = np.log(np.clip(generator.uniform(0.02, 1.0, (batch, 3)) ** 2.2, 0.003, 0.9))
    polish = np.where(
        generator.random((batch, 1)) < 0.5,
        np.log(np.array([0.5, 0.03, 0.05])) + generator.normal(0, 0.4, (batch, 3)),
        polish,
    )
    nail = np.where(generator.random((batch, 1)) < 0.12, np.minimum(polish, -0.05) - base, natural)
    return np.stack([base, palm, spot, full, cavity, nail], -1).astype(np.float32)
