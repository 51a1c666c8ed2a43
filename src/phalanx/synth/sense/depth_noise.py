"""What is random about depth pictures: fields of noise on the sensor's pixels, and which part of them each picture sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator as stream_generator
from phalanx.synth.sense.sensors import DepthSensor

FIELD_SIDE = 256
"""Side of the noise fields in the sensor's pixels, a power of two; they tile."""

_NOISE_SEED = 20_260_105
_RAGGED = 0.35  # spread (log) of the limits below which a pixel is lost


@dataclass
class DepthNoiseDraw:
    """Random choices for the depth of B pictures: which part of the noise fields they see, and how they lie on the sensor."""

    shift: np.ndarray  # (B, 2) int32 column, row in the noise fields
    flip: np.ndarray  # (B, 2) int32, 1 or -1: the fields are read backwards
    sign: np.ndarray  # (B,) float32, 1 or -1: of the noise along the ray
    phase: np.ndarray  # (B, 2) float32, where between the sensor's pixels the crop lies, -0.5..0.5
    turn: (
        np.ndarray
    )  # (B, 2) float32 cosine and sine of the angle from the crop's rows to the sensor's, clockwise as seen


def draw_depth_noise(
    generator: np.random.Generator, batch: int, size: int, sensor: DepthSensor, turn: np.ndarray | None = None
) -> DepthNoiseDraw:
    """Draw the noise of `batch` depth pictures of `size` pixels.

    As many numbers are drawn for any size and sensor: what a generator gives afterwards does not depend on them.

    Args:
        turn: `(batch,)` radians by which each crop was cut turned out of the sensor's picture; none: upright.

    Raises:
        InputError: `turn` has another length.
    """
    turned = np.zeros(batch) if turn is None else np.asarray(turn, dtype=np.float64)
    if turned.shape != (batch,):
        raise InputError(f"turn: must have shape ({batch},), has {turned.shape}")
    return DepthNoiseDraw(
        shift=generator.integers(0, FIELD_SIDE, (batch, 2), dtype=np.int32),
        flip=generator.choice(np.array([-1, 1], dtype=np.int32), (batch, 2)),
        sign=generator.choice(np.array([-1, 1], dtype=np.float32), batch),
        phase=generator.uniform(-0.5, 0.5, (batch, 2)).astype(np.float32),
        turn=np.stack([np.cos(turned), np.sin(turned)], -1).astype(np.float32),
    )


def _smooth_noise(generator: np.random.Generator, grain: float) -> np.ndarray:
    """Unit Gaussian noise `(N, N)` that tiles, alike over `grain` pixels."""
    noise = generator.standard_normal((FIELD_SIDE, FIELD_SIDE))
    if grain > 0:
        frequency = np.fft.fftfreq(FIELD_SIDE)
        low = np.exp(-2.0 * (np.pi * grain * frequency) ** 2)
        noise = np.fft.irfft2(np.fft.rfft2(noise) * low[:, None] * low[None, : FIELD_SIDE // 2 + 1], s=noise.shape)
        noise /= noise.std()
    return noise


@lru_cache(maxsize=16)
def noise_fields(grain: float, lateral_grain: float, hole_grain: float, device: str) -> tuple[Tensor, ...]:
    """Five fields `(N * N,)`: noise along the ray, displacement in x and y, factor of limits, uniform in 0..1.

    The grains are those of `DepthSensor`. The same in every process.
    """
    generator = stream_generator(_NOISE_SEED)
    fields = [_smooth_noise(generator, g) for g in (grain, lateral_grain, lateral_grain, hole_grain)]
    fields[3] = np.exp(_RAGGED * fields[3])
    fields.append(generator.random((FIELD_SIDE, FIELD_SIDE)))
    return tuple(torch.from_numpy(f.reshape(-1).astype(np.float32)).to(device) for f in fields)
