"""What a camera, its software and a network do to a picture: blur, exposure, noise, resampling, compression.

Everything is batched torch on display-referred RGB in [0, 1]; random choices are drawn beforehand on the host, so that the
same draw gives the same picture everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.core.elementwise import exp_, log_, sqrt_
from phalanx.core.seeding import generator as stream_generator
from phalanx.data.images import LUMA
from phalanx.geometry.resampling import by_plane, means_of_squares, resized

_NOISE_SEED = 20_240_302
_LEAST_SHARE = 1e-4  # of a donor's amplitude that is mixed in
_NOISE_SIDE = 256  # pixels: noise on pictures twice as large, and on those that are no squares, repeats


@dataclass
class EffectsDraw:
    """Random choices for the effects on B pictures; index arrays say which pictures an effect is for."""

    amplitude: tuple[np.ndarray, np.ndarray, float, float]  # pictures, donors, share, radius in cycles per picture
    gain: np.ndarray  # (B, 3) exposure and white balance
    gamma: np.ndarray  # (B,)
    contrast: np.ndarray  # (B, 2) slope about a pivot, pivot
    vignette: np.ndarray  # (B, 3) strength, centre x, centre y
    grey: np.ndarray  # (B,) 0 keeps the colour, 1 takes it all
    blurred: np.ndarray  # pictures that are blurred
    kernels: np.ndarray  # (len(blurred), k, k)
    noise: np.ndarray  # (B, 3): shot, read, tile
    noise_shift: np.ndarray  # (B, 3): row, column, sign
    rescaled: list[tuple[np.ndarray, float, str]]  # pictures, factor, how they are enlarged again
    jpeg: np.ndarray  # pictures that are compressed
    quality: np.ndarray  # (len(jpeg),) 1..100
    coarse: np.ndarray  # pictures with few levels a channel
    levels: np.ndarray  # (len(coarse),)
    sharpened: np.ndarray
    sharpening: np.ndarray


def _kernels(generator: np.random.Generator, count: int, side: int, scale: float) -> np.ndarray:
    """Point-spread functions `(count, side, side)`: out of focus (disc) or moved (line), both softened."""
    half = side // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    angle = generator.uniform(0, np.pi, (count, 1, 1))
    along, across = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    radius = scale * np.exp(generator.normal(-0.3, 0.45, (count, 1, 1)))
    disc = 1 / (1 + np.exp(np.clip((np.hypot(x, y) - radius) / 0.35, -30, 30)))
    length = scale * np.exp(generator.normal(0.2, 0.6, (count, 1, 1)))
    width = 0.35 + 0.4 * scale * generator.random((count, 1, 1))
    line = np.exp(-0.5 * (across / width) ** 2) / (1 + np.exp(np.clip((np.abs(along) - length) / 0.35, -30, 30)))
    kernel = np.where(generator.random((count, 1, 1)) < 0.55, disc, line)
    return (kernel / kernel.sum((1, 2), keepdims=True)).astype(np.float32)


def draw_effects(generator: np.random.Generator, batch: int, size: int, strength: float = 1.0) -> EffectsDraw:
    """Draw the effects for `batch` pictures of `size` pixels; `strength` 0 leaves pictures almost as rendered."""
    good = generator.random(batch) < 0.45  # a sharp, clean picture, as most are

    def pick(share: float, also_good: bool = True) -> np.ndarray:
        return np.flatnonzero((generator.random(batch) < share * min(strength, 1.0)) & (also_good | ~good))

    moved = pick(0.15)
    exposure = np.exp(strength * generator.normal(0.06, 0.2, (batch, 1)))
    balance = np.exp(strength * generator.normal(0, 0.06, (batch, 3)))
    blurred = pick(0.4, also_good=False)
    side = 2 * int(np.ceil(3.5 * size / 128)) + 1
    rescaled = _draw_rescaled(generator, pick)
    shot, read = _draw_noise(generator, np.where(good, 0.25, 1.0) * strength)
    jpeg, sharpened, coarse = pick(0.6), pick(0.4), pick(0.03)
    grey = _draw_grey(generator, batch, strength)
    donors, share, radius = (
        generator.integers(0, batch, len(moved)),
        generator.uniform(0.1, 0.6),
        generator.uniform(1, 5),
    )
    gamma = np.exp(strength * generator.normal(0, 0.16, batch))
    contrast = np.exp(strength * generator.normal(0, 0.15, batch)), generator.uniform(0.3, 0.6, batch)
    vignette = strength * np.maximum(0, generator.normal(0, 0.22, batch)), *generator.normal(0, 0.3, (2, batch))
    return EffectsDraw(
        amplitude=(moved, donors, float(share), float(radius)),
        gain=(exposure * balance).astype(np.float32),
        gamma=gamma.astype(np.float32),
        contrast=np.stack(contrast, -1).astype(np.float32),
        vignette=np.stack(vignette, -1).astype(np.float32),
        grey=grey.astype(np.float32),
        blurred=blurred,
        kernels=_kernels(generator, len(blurred), side, size / 128),
        noise=np.stack([shot, read, generator.integers(0, 32, batch)], -1).astype(np.float32),
        noise_shift=np.stack([*generator.integers(0, 64, (2, batch)), generator.choice([-1, 1], batch)], -1),
        rescaled=rescaled,
        jpeg=jpeg,
        quality=_draw_quality(generator, good[jpeg]).astype(np.float32),
        coarse=coarse,
        levels=generator.integers(8, 48, len(coarse)).astype(np.float32),
        sharpened=sharpened,
        sharpening=generator.uniform(0.3, 1.6, len(sharpened)).astype(np.float32),
    )


def _draw_rescaled(
    generator: np.random.Generator, pick: Callable[[float, bool], np.ndarray]
) -> list[tuple[np.ndarray, float, str]]:
    """Two resamplings as in `EffectsDraw.rescaled`, for pictures that `pick(share, whether good ones too)` picks."""
    rescaled = []
    for _ in range(2):
        factor = float(generator.uniform(1.2, 2.5))
        chosen = pick(0.16, False)
        mode = str(generator.choice(["bilinear", "bicubic", "nearest-exact"], p=[0.55, 0.4, 0.05]))
        rescaled.append((chosen, factor, mode))
    return rescaled


def _draw_noise(generator: np.random.Generator, worse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shot and read noise `(B,)`, of full light, of pictures that are so much `worse (B,)` than others."""
    batch = len(worse)
    shot = worse * np.where(
        generator.random(batch) < 0.2, generator.uniform(0.01, 0.05, batch), generator.uniform(0, 0.012, batch)
    )
    read = worse * np.where(
        generator.random(batch) < 0.15, generator.uniform(0.005, 0.03, batch), generator.uniform(0, 0.006, batch)
    )
    return shot, read


def _draw_grey(generator: np.random.Generator, batch: int, strength: float) -> np.ndarray:
    """How much colour `(B,)` pictures lose: all of it, some, none; negative: they gain some."""
    all_of_it, some = generator.random(batch) < 0.06 * strength, generator.random(batch) < 0.3
    return np.where(all_of_it, 1.0, np.where(some, strength * generator.uniform(-0.3, 0.45, batch), 0.0))


def _draw_quality(generator: np.random.Generator, good: np.ndarray) -> np.ndarray:
    """Quality `(N,)` of JPEG, 1 to 100, of pictures that are `good (N,)` or not."""
    return np.where(good, generator.uniform(70, 97, len(good)), generator.uniform(22, 95, len(good)))


@lru_cache(maxsize=4)
def noise_bank(size: int, device: str) -> Tensor:
    """Unit noise `(32, 3, size + 64, size + 64)`: a quarter white, the rest correlated as demosaicking and denoising leave it."""
    generator = stream_generator(_NOISE_SEED)
    noise = torch.from_numpy(generator.standard_normal((32, 3, size + 64, size + 64), dtype=np.float32))
    for i in range(8, 32):
        tile = noise[i]
        if i % 2:  # channels that move together
            tile = 0.35 * tile + 0.9 * tile.mean(0, keepdim=True) * 3**0.5
        for _ in range(1 + i // 12):
            tile = 0.25 * (tile + tile.roll(1, -1)) + 0.25 * (tile + tile.roll(1, -1)).roll(1, -2)
        noise[i] = tile / tile.std()
    return noise.to(device)


def _add_noise(image: Tensor, strength: Tensor, tile: Tensor, row: int, column: int, sign: float) -> None:
    """Add the noise of a tile `(3, N, N)`, from (row, column) on, to an image `(3, H, W)`, in place; beyond the tile it begins anew."""
    side, (height, width) = tile.shape[-1], image.shape[-2:]
    for rows, own_rows in _runs(height, row, side):
        for columns, own_columns in _runs(width, column, side):
            part = tile[:, own_rows, own_columns]
            image[:, rows, columns].addcmul_(strength[:, rows, columns], part, value=sign)


def _runs(length: int, first: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Parts of `length` pixels, and what of `side` others lies over each if these are repeated from number `first` on."""
    start, own = 0, first % side
    while start < length:
        count = min(side - own, length - start)
        yield slice(start, start + count), slice(own, own + count)
        start, own = start + count, 0


@lru_cache(maxsize=4)
def _dct(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """The 8x8 DCT-II as a `(64, 64)` matrix, and the luminance and chrominance tables of JPEG, Annex K of ITU-T T.81, `(64,)`."""
    k = np.arange(8)
    basis = np.cos((2 * k[None, :] + 1) * k[:, None] * np.pi / 16) * np.sqrt(np.where(k == 0, 1, 2) / 8)[:, None]
    luma = [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
    chroma = np.full((8, 8), 99)
    chroma[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
    tables = [torch.tensor(np.asarray(t).reshape(64), dtype=torch.float32, device=device) for t in (luma, chroma)]
    return torch.tensor(np.kron(basis, basis), dtype=torch.float32, device=device), tables[0], tables[1]


def _quantise_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """DCT, quantise and invert 8x8 blocks of `planes (N, C, H, W)` (0..255) with steps `table (N, 64)`."""
    matrix = _dct(str(planes.device))[0]
    n, c, h, w = planes.shape
    blocks = (planes - 128.0).view(n, c, h // 8, 8, w // 8, 8).transpose(3, 4).reshape(n, -1, 64)
    step = table[:, None, :]
    blocks = (blocks @ matrix.T).div_(step).round_().mul_(step) @ matrix
    return blocks.add_(128.0).view(n, c, h // 8, w // 8, 8, 8).transpose(3, 4).reshape(n, c, h, w)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Lossy part of baseline JPEG with 4:2:0 chrominance, batched: 8x8 DCT coefficients rounded to the quality's steps.

    Args:
        images: `(N, 3, H, W)` in [0, 1]; H and W multiples of 16.
        quality: `(N,)` in 1..100, as libjpeg scales its tables.

    Returns:
        `(N, 3, H, W)`, not clamped.
    """
    _, luma, chroma = _dct(str(images.device))
    scale = torch.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality)[:, None] / 100.0
    r, g, b = images.unbind(1)
    y = (r * (255.0 * LUMA[0])).add_(g, alpha=255.0 * LUMA[1]).add_(b, alpha=255.0 * LUMA[2])
    red, coarse, blue = (means_of_squares(plane[:, None], 2)[:, 0] for plane in (r, y, b))
    colour = torch.stack([blue.mul_(255.0).sub_(coarse).mul_(0.564), red.mul_(255.0).sub_(coarse).mul_(0.713)], 1)
    y = _quantise_blocks(y[:, None], (luma * scale).round().clamp(1, 255))[:, 0].mul_(1 / 255)
    colour = _quantise_blocks(colour.add_(128.0), (chroma * scale).round().clamp(1, 255)).sub_(128.0).mul_(1 / 255)
    cb, cr = resized(colour, *images.shape[-2:]).unbind(1)
    result = torch.empty_like(images)
    torch.add(y, cr, alpha=1.402, out=result[:, 0])
    torch.add(y, cb, alpha=1.772, out=result[:, 2])
    torch.add(y, cr, alpha=-1.402 * LUMA[0] / LUMA[1], out=result[:, 1]).add_(cb, alpha=-1.772 * LUMA[2] / LUMA[1])
    return result


def mix_amplitude(images: Tensor, donors: Tensor, share: float, radius: float) -> Tensor:
    """Mix the low-frequency amplitude spectrum of `donors` into `images`, keeping the phase.

    After Yang and Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation", CVPR 2020, with a soft edge of the
    swapped region and a partial share.

    Args:
        images, donors: `(N, 3, H, W)`.
        share: how much of the amplitude comes from the donor at frequency zero, 0..1.
        radius: frequency, in cycles per picture, at which the share has fallen to a half.
    """
    height, width = images.shape[-2:]
    high = int(np.ceil(radius * (share / _LEAST_SHARE) ** 0.25))  # frequency beyond which nothing changes
    across = min(high + 1, width // 2 + 1)
    spectrum = torch.fft.rfft(images)
    own = torch.fft.fft(spectrum[..., :across], dim=-2)
    other = torch.fft.fft(torch.fft.rfft(donors)[..., :across], dim=-2)
    fy = torch.fft.fftfreq(height, 1.0 / height, device=images.device)[:, None]
    fx = torch.arange(across, device=images.device, dtype=fy.dtype)
    weight = share / (1.0 + (fx**2 + fy**2) / radius**2) ** 2
    weight[0, 0] = 0.5 * share  # the mean colour moves less, or pictures turn black and white
    low = (fy[:, 0].abs() <= high).nonzero()[:, 0]
    own_low, weight = own.index_select(-2, low), weight.index_select(0, low)
    ratio = (other.index_select(-2, low).abs() + 1e-3) / (own_low.abs() + 1e-3)
    own.index_copy_(-2, low, own_low * torch.lerp(torch.ones_like(ratio), ratio.clamp(0.05, 8.0), weight))
    spectrum[..., :across] = torch.fft.ifft(own, dim=-2)
    return torch.fft.irfft(spectrum, width)


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """Each picture `(N, 3, H, W)` with its own kernel `(N, k, k)`."""
    if images.device.type == "cpu":  # in a third of the time
        filters = iter(kernels.numpy().repeat(images.shape[1], axis=0))
        border = cv2.BORDER_REPLICATE
        return by_plane(images, lambda plane, out: cv2.filter2D(plane, -1, next(filters), out, borderType=border))
    n, _, height, width = images.shape
    pad = kernels.shape[-1] // 2
    padded = F.pad(images, (pad, pad, pad, pad), mode="replicate").reshape(1, n * 3, height + 2 * pad, width + 2 * pad)
    return F.conv2d(padded, kernels.repeat_interleave(3, 0)[:, None], groups=n * 3).view(n, 3, height, width)


def softened(images: Tensor) -> Tensor:
    """Means over 3x3 pixels of `(N, C, H, W)`; far quicker than `F.avg_pool2d`, which is not made for steps of 1."""
    if images.device.type == "cpu":
        return by_plane(images, lambda plane, out: cv2.blur(plane, (3, 3), out, borderType=cv2.BORDER_REPLICATE))
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = (wide[..., :-2] + wide[..., 1:-1]).add_(wide[..., 2:])
    return (rows[..., :-2, :] + rows[..., 1:-1, :]).add_(rows[..., 2:, :]).mul_(1 / 9)


def _expose(images: Tensor, draw: EffectsDraw) -> None:
    """Vignette, exposure, white balance, gamma, contrast and loss of colour, in place."""
    device, (height, width) = images.device, images.shape[-2:]
    columns, lines = (torch.linspace(-1, 1, side, device=device) for side in (width, height))
    for rows in cache_blocks(images, len(images)):
        picture = images[rows]  # (n, 3, H, W)
        drawn = (draw.vignette, draw.gain, draw.gamma, draw.contrast, draw.grey)
        vignette, gain, gamma, contrast, grey = (
            torch.as_tensor(values[rows], device=device)[..., None, None] for values in drawn
        )
        picture.mul_(gain)
        if draw.vignette[rows, 0].any():
            across, down = columns - vignette[:, 1], lines[:, None] - vignette[:, 2]
            light = (across.square() + down.square()).mul_(vignette[:, 0]).add_(1.0).reciprocal_()
            picture.mul_(light[:, None])
        picture.clamp_(1e-4, 1.0)
        slope, pivot = contrast[:, :, None].unbind(1)  # (n, 1, 1, 1)
        exp_(log_(picture).mul_(gamma[:, None])).mul_(slope).add_(pivot * (1 - slope))
        if draw.grey[rows].any():
            red, green, blue = picture.unbind(1)
            luma = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
            picture.lerp_(luma[:, None], grey[:, None])


def apply_effects(images: Tensor, draw: EffectsDraw) -> Tensor:
    """Apply the drawn effects to `images (B, 3, H, W)`; H and W multiples of 16. Result in [0, 1], rounded to 8 bits."""
    device, (height, width) = images.device, images.shape[-2:]

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    def change(chosen: np.ndarray, function: Callable[..., Tensor], *drawn: np.ndarray) -> None:
        """Put `function(pictures (n, 3, H, W), *drawn (n, 1, 1, 1))` in place of the chosen pictures."""
        for rows in cache_blocks(images, len(chosen)):
            index = on(chosen[rows])
            values = (on(value[rows]).view(-1, *(1,) * 3) for value in drawn)
            images.index_copy_(0, index, function(images.index_select(0, index), *values))

    pictures, donors, share, radius = draw.amplitude
    if len(pictures):
        own, other = images.index_select(0, on(pictures)), images.index_select(0, on(donors))
        images.index_copy_(0, on(pictures), mix_amplitude(own, other, share, radius))
    _expose(images, draw)
    if len(draw.blurred):
        blurred = on(draw.blurred)
        images.index_copy_(0, blurred, convolve(images.index_select(0, blurred), on(draw.kernels)))
    bank = noise_bank(width if width == height and width <= 2 * _NOISE_SIDE else _NOISE_SIDE, str(device))
    offsets = zip(images, draw.noise.tolist(), draw.noise_shift.tolist(), strict=True)
    for image, (shot, read, tile), (row, column, sign) in offsets:
        deviation = sqrt_(image.clamp(0, 1).mul_(shot**2).add_(read**2))
        _add_noise(image, deviation, bank[int(tile)], row, column, sign)
    for pictures, factor, mode in draw.rescaled:
        if len(pictures):
            few = max(8, round(height / factor)), max(8, round(width / factor))
            small = F.interpolate(images.index_select(0, on(pictures)), size=few, mode="area")
            images.index_copy_(0, on(pictures), resized(small, height, width, mode))
    change(draw.jpeg, lambda chosen, quality: jpeg(chosen.clamp_(0, 1), quality[:, 0, 0, 0]), draw.quality)
    change(draw.sharpened, lambda chosen, share: chosen.lerp_(softened(chosen), -share), draw.sharpening)
    change(draw.coarse, lambda chosen, levels: chosen.mul_(levels).round_().div_(levels), draw.levels)
    for rows in cache_blocks(images, len(images)):
        images[rows].clamp_(0, 1).mul_(255.0).round_().div_(255.0).add_(0.0)  # -0 becomes 0, as where bytes travel
    return images
