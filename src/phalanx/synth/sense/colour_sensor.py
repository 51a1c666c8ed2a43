"""What colour cameras make of ideal renderings: blur of motion, light, noise, colour, compression.

A camera works in linear light, which here is the square of what is displayed (as the pictures of `chunks` are developed). Random
choices are drawn beforehand on the host; noise and compression are those of `effects`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.elementwise import sqrt_
from phalanx.core.errors import InputError
from phalanx.data.images import LUMA
from phalanx.synth.sense.effects import convolve, jpeg, noise_bank
from phalanx.synth.sense.sensors import PERFECT_CAMERA, ColourCamera

_MOMENTS = 17  # of the exposure that motion blur averages
_LONGEST = 0.12  # motion blur in picture widths
_STILL = 0.25  # pixels below which motion leaves no blur


@dataclass
class ColourDraw:
    """Random choices for the colour of B pictures."""

    exposure: np.ndarray  # (B,) factor of the light
    balance: np.ndarray  # (B, 3) gains after digitisation
    vignette: np.ndarray  # (B, 3) share lost in a corner, centre x, y in half widths
    noise: np.ndarray  # (B, 3) standard deviations: shot at full light, read, row; of full light
    tile: np.ndarray  # (B, 4) noise tile, row, column, sign
    rows: np.ndarray  # (B, S) unit noise of the rows
    band: np.ndarray  # (B, 3) depth, bands a picture, phase
    velocity: np.ndarray  # (B, 2) pixels moved during the exposure, right and down
    shutter: np.ndarray  # (B,) share of the time between frames that the shutter is open
    chroma: np.ndarray  # (B,) share of fine colour taken away
    quality: np.ndarray  # (B,) of JPEG

    def steady(self, place: np.ndarray) -> ColourDraw:
        """The same for clips: pictures of one `place` `(B,)` share all that does not change from frame to frame."""
        first = np.unique(place, return_index=True)[1][np.unique(place, return_inverse=True)[1]]
        lasting = ("exposure", "balance", "vignette", "band", "shutter", "chroma", "quality")
        return replace(self, **{name: getattr(self, name)[first] for name in lasting}, noise=self.noise[first])


def _log_uniform(generator: np.random.Generator, ends: tuple[float, float], count: int) -> np.ndarray:
    return np.exp(generator.uniform(np.log(ends[0]), np.log(ends[1]), count))


def draw_colour(generator: np.random.Generator, batch: int, size: int, camera: ColourCamera) -> ColourDraw:
    """Draw what `camera` does to `batch` pictures of `size` pixels."""
    gain = _log_uniform(generator, camera.gains, batch)
    averaged = _log_uniform(generator, camera.pixels, batch)
    electrons = camera.full_well / gain  # that make full light
    noise = [electrons**-0.5, camera.read_noise / electrons, camera.row_noise / electrons]
    red, blue = np.exp(camera.white_balance * generator.normal(0, 1, (2, batch)))
    banded = generator.random(batch) < camera.banding[0]
    length = camera.shake * size / 128 * np.exp(generator.normal(0, 0.8, batch))
    length = np.minimum(length, _LONGEST * size)
    way = generator.uniform(0, 2 * np.pi, batch)
    first = 8 if camera.processed else 0  # of the noise tiles the first eight are white
    return ColourDraw(
        exposure=np.exp2(camera.exposure * generator.normal(0, 1, batch)).astype(np.float32),
        balance=np.stack([red, np.ones(batch), blue], -1).astype(np.float32),
        vignette=np.stack(
            [camera.vignetting * generator.random(batch), *generator.normal(0, 0.3, (2, batch))], -1
        ).astype(np.float32),
        noise=(np.stack(noise, -1) / averaged[:, None]).astype(np.float32),
        tile=np.stack(
            [
                generator.integers(first, 32 if camera.processed else 8, batch),
                *generator.integers(0, 64, (2, batch)),
                generator.choice([-1, 1], batch),
            ],
            -1,
        ),
        rows=generator.standard_normal((batch, size), dtype=np.float32),
        band=np.stack(
            [
                banded * camera.banding[1] * generator.random(batch),
                generator.uniform(0.5, 6.0, batch),
                generator.uniform(0, 2 * np.pi, batch),
            ],
            -1,
        ).astype(np.float32),
        velocity=(length[:, None] * np.stack([np.cos(way), np.sin(way)], -1)).astype(np.float32),
        shutter=generator.uniform(*camera.shutter, batch).astype(np.float32),
        chroma=generator.uniform(*camera.chroma, batch).astype(np.float32),
        quality=generator.uniform(*(camera.jpeg or (100.0, 100.0)), batch).astype(np.float32),
    )


def sense_colour(images: Tensor, camera: ColourCamera, draw: ColourDraw, flow: Tensor | None = None) -> Tensor:
    """Pictures as `camera` delivers them, from ideal renderings. No gradients.

    Motion leaves things where they are in the middle of the exposure; a rolling shutter does not bend them.

    Args:
        images: `(B, 3, S, S)` as displayed, in [0, 1]; S a multiple of 16.
        camera: which camera.
        draw: what `draw_colour` drew for B pictures of S pixels.
        flow: `(B, 2, S, S)` pixels that what is seen at each pixel moves right and down from frame to frame; it blurs as far as the
            shutter is open (`draw.shutter`), on top of the camera's own motion (`draw.velocity`).

    Returns:
        `(B, 3, S, S)` in [0, 1].

    Raises:
        InputError: shapes that do not fit, values that are not finite.
    """
    batch, size = len(images), images.shape[-1]
    if images.ndim != 4 or images.shape[1:] != (3, size, size) or size % 16:
        raise InputError(f"images: must have shape (B, 3, S, S), S a multiple of 16, has {tuple(images.shape)}")
    if draw.rows.shape != (batch, size):
        raise InputError(f"draw: was made for pictures {draw.rows.shape}, not {(batch, size)}")
    if flow is not None and flow.shape != (batch, 2, size, size):
        raise InputError(f"flow: must have shape {(batch, 2, size, size)}, has {tuple(flow.shape)}")
    for name, values in (("images", images), ("flow", flow)):
        if values is not None and not bool(torch.isfinite(values).all()):
            raise InputError(f"{name}: has values that are not finite numbers")
    with torch.no_grad():
        return images.clone() if camera == PERFECT_CAMERA or not batch else _sense(images, camera, draw, flow)


def _sense(images: Tensor, camera: ColourCamera, draw: ColourDraw, flow: Tensor | None) -> Tensor:
    device, size = images.device, images.shape[-1]

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    light = images.float().clamp(0, 1).square()
    light = blur_motion(
        light, on(draw.velocity), None if flow is None else flow.float() * on(draw.shutter)[:, None, None, None]
    )

    line = torch.linspace(-1, 1, size, device=device)
    lost, across, down = on(draw.vignette).unbind(1)
    far = (line - across[:, None]).square()[:, None, :] + (line - down[:, None]).square()[:, :, None]  # (B, S, S)
    # The fourth power of the cosine of the field angle, which is that which takes `lost` away at a corner, far = 2.
    slope = ((1 - lost).rsqrt() - 1)[:, None, None] / 2
    depth, bands, phase = (v[:, None] for v in on(draw.band).unbind(1))
    flicker = 1 + depth * torch.cos(np.pi * bands * line + phase)  # (B, S) by row
    shone = flicker[:, :, None] * on(draw.exposure)[:, None, None] / (1 + slope * far).square()
    light *= shone[:, None]

    shot, read, row = (v[:, None, None, None] for v in on(draw.noise).unbind(1))
    bank = noise_bank(size, str(device))
    noise = torch.empty_like(light)
    for i, (tile, top, left, sign) in enumerate(draw.tile):
        noise[i] = bank[tile, :, top : top + size, left : left + size] * float(sign)
    noise *= sqrt_((light.clamp(0, 1) * shot.square()).add_(read.square()))
    noise += row * on(draw.rows)[:, None, :, None]
    light = light.add_(noise).clamp_(0, 1).mul_(on(draw.balance)[:, :, None, None])

    shown = sqrt_(light.clamp_(0, 1))
    if camera.chroma[1]:
        luma = (shown * shown.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        colour = shown - luma
        coarse = F.interpolate(F.avg_pool2d(colour, 4), scale_factor=4.0, mode="bilinear", align_corners=False)
        shown = shown + on(draw.chroma)[:, None, None, None] * (coarse - colour)
    if camera.jpeg:
        shown = jpeg(shown.clamp(0, 1), on(draw.quality))
    shown = shown.clamp(0, 1)
    if camera.bits:
        levels = 2**camera.bits - 1
        shown = shown.mul_(levels).round_().div_(levels)
    return shown


def blur_motion(light: Tensor, velocity: Tensor, flow: Tensor | None = None) -> Tensor:
    """The mean over an exposure during which the picture moves, as it is in the middle of the exposure.

    Args:
        light: `(B, 3, S, S)` linear.
        velocity: `(B, 2)` pixels that the whole picture moves right and down.
        flow: `(B, 2, S, S)` pixels that what is seen at each pixel moves besides.
    """
    size, device = light.shape[-1], light.device
    moment = torch.linspace(-0.5, 0.5, _MOMENTS, device=device)
    if flow is None:
        moving = torch.nonzero(velocity.square().sum(1) > _STILL**2)[:, 0]
        if not len(moving):
            return light
        way = velocity[moving]
        half = int(torch.ceil(0.5 * way.abs().max())) or 1
        offset = torch.arange(-half, half + 1, device=device, dtype=way.dtype)
        near = 1 - (offset[None, None, :, None] - way[:, :, None, None] * moment).abs()  # (N, 2, k, M), bilinear
        across, down = near.clamp_min(0).unbind(1)
        kernels = torch.einsum("nxm,nym->nyx", across, down) / _MOMENTS
        blurred = light.clone()
        blurred[moving] = convolve(light[moving], kernels)
        return blurred
    total = flow + velocity[:, :, None, None]
    pixel = torch.arange(size, device=device, dtype=light.dtype)
    here = torch.stack(torch.meshgrid(pixel, pixel, indexing="xy"), -1)  # (S, S, 2) x, y
    step = total.permute(0, 2, 3, 1)
    result = torch.zeros_like(light)
    for t in moment.tolist():
        grid = (2 * (here + t * step) + 1) / size - 1
        result += F.grid_sample(light, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return result / _MOMENTS
