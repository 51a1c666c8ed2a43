"""Translating pictures: an encoder-decoder that draws one of another, and a network that tells drawn ones from real ones.

Isola et al., "Image-to-image translation with conditional adversarial networks" (Pix2Pix), CVPR 2017: kernels of 4, strides of 2, skips
from each layer of the encoder to the decoder's of the same size (Sec. 3.2.1), and a discriminator that judges patches (Sec. 3.2.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError

_SLOPE = 0.2
"""Of leaky ReLUs."""

_WIDEST = 8
"""Channels grow to at most so many times the first layer's."""

_DARKEST = 1 / 255
"""Of a picture that changes are drawn of: darker values, and brighter ones than 1 less this, could not be changed."""

_NOISY = 2
"""Layers of the decoder, the first ones, that drop cells: Pix2Pix's way to random pictures (Sec. 3.2.1 and 6.1)."""


def check_side(size: int) -> None:
    """Raise InputError unless a side of `size` pixels can be halved as the networks here do it."""
    if size < 32 or size & (size - 1):
        raise InputError(f"size: must be 32, 64, 128, ... pixels, not {size}")


def check_pictures(images: Tensor, size: int) -> None:
    """Raise ValueError unless pictures (B, 3, H, W) have sides of `size` pixels."""
    if images.shape[-2:] != (size, size):
        raise ValueError(f"blend: pictures of {size} pixels expected, not {tuple(images.shape[-2:])}")


def adam(rate: float, parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
    """The optimiser of Pix2Pix and CycleGAN."""
    return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))


class _Translation(nn.Module):
    """An encoder-decoder from maps (B, inputs, S, S) to features (B, width, S, S)."""

    def __init__(self, size: int, width: int, inputs: int, dropout: float) -> None:
        super().__init__()
        if size < 16 or size & (size - 1):
            raise ValueError(f"{type(self).__name__}: a size of 16, 32, 64, ... expected, not {size}")
        self.dropout = dropout
        layers = int(math.log2(size)) - 2
        widths = [width * min(2**layer, _WIDEST) for layer in range(layers)]
        self.down = nn.ModuleList(
            _down(seen, features, first=layer == 0)
            for layer, (seen, features) in enumerate(zip([inputs, *widths], widths, strict=False))
        )
        ways = list(zip(widths[::-1], [*widths[-2::-1], width], strict=True))
        self.up = nn.ModuleList(
            _up(features if layer == 0 else 2 * features, fewer) for layer, (features, fewer) in enumerate(ways)
        )

    def features(self, maps: Tensor, random: torch.Generator | None = None) -> Tensor:
        x, seen = 2 * maps - 1, []
        for down in self.down:
            x = down(x)
            seen.append(x)
        for layer, up in enumerate(self.up):
            x = up(seen.pop() if layer == 0 else torch.cat((x, seen.pop()), dim=1))
            if self.dropout and layer < _NOISY:
                x = _dropped(x, self.dropout, random)
        return x


class PictureGenerator(_Translation):
    """`generator(maps (B, inputs, S, S) in [0, 1])` draws pictures `(B, 3, S, S)` in (0, 1).

    Otherwise than in Pix2Pix the last layer sees the maps themselves, too: at a few ten thousand pictures edges stay where they are for
    that alone.

    Args:
        size: S, a power of 2.
        width: channels of the first layer; they double down to 4 x 4 cells, up to 8 times as many.
        inputs: channels of what it sees.
        dropout: share of the cells that the decoder's first layers drop, also after training: the random vector z. 0: no z.
    """

    def __init__(self, size: int, width: int, inputs: int = 3, dropout: float = 0.0) -> None:
        super().__init__(size, width, inputs, dropout)
        self.last = nn.Sequential(
            nn.Conv2d(width + inputs, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, 3, 3, padding=1)
        )

    def forward(self, maps: Tensor, random: torch.Generator | None = None, base: Tensor | None = None) -> Tensor:
        """`random` draws z; None: the global generator. `base` (B, 3, S, S): a picture that it draws changes of, in logits."""
        drawn = self.last(torch.cat((self.features(maps, random), 2 * maps - 1), dim=1)).to(maps.dtype)
        return torch.sigmoid(drawn if base is None else drawn + torch.logit(base, eps=_DARKEST))


class DepthGenerator(_Translation):
    """`generator(images (B, 3, S, S) in [0, 1])` draws relative depth maps `(B, S, S)` in (0, 1).

    Args:
        size: S, a power of 2.
        width: channels of the first layer; they double down to 4 x 4 cells, up to 8 times as many.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__(size, width, 3, 0.0)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.last(self.features(images)).to(images.dtype))[:, 0]  # half precision goes in steps


class PatchDiscriminator(nn.Module):
    """`discriminator(maps (B, inputs, S, S) in [0, 1])` gives logits `(B, s - 2, s - 2)` of each patch being real; s is
    `S / 2**halvings`, 3 at least.

    A patch is 54 pixels wide with three halvings (most of a hand at 64 pixels, a finger at 256), 26 with two.

    Args:
        width: channels of the first layer.
        inputs: channels of what it judges.
        halvings: of the maps' size.
    """

    def __init__(self, width: int, inputs: int = 3, halvings: int = 3) -> None:
        super().__init__()
        last = width * 2 ** (halvings - 1)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, width, 4, 2, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            *(_judging(width * 2**layer, width * 2 ** (layer + 1)) for layer in range(halvings - 1)),
            nn.Conv2d(last, last, 3, 1, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(last, 1, 3),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(2 * maps - 1)[:, 0]


class DepthDiscriminator(PatchDiscriminator):
    """`discriminator(maps (B, S, S) in [0, 1])` gives logits of each patch of depth maps being real, as `PatchDiscriminator`."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps[:, None])


def real_or_drawn(real: Tensor, drawn: Tensor) -> Tensor:
    """What a discriminator descends: the negative of `E[log D(real)] + E[log(1 - D(drawn))]`, of logits, a scalar."""
    return functional.softplus(-real).mean() + functional.softplus(drawn).mean()


def taken_for_real(drawn: Tensor) -> Tensor:
    """What a generator descends: `-E[log D(drawn)]`, of logits, a scalar.

    It has the fixed points of `E[log(1 - D(drawn))]`, and gradients where the discriminator is sure (Goodfellow et al. 2014, Sec. 3).
    """
    return functional.softplus(-drawn).mean()


def _dropped(x: Tensor, share: float, random: torch.Generator | None) -> Tensor:
    """Maps with `share` of their cells at 0, the others larger by as much: `nn.Dropout`, with a generator of its own."""
    kept = torch.rand(x.shape, generator=random, device=None if random is not None else x.device).to(x.device) >= share
    return x * kept / (1 - share)


def _down(inputs: int, outputs: int, first: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=first)]
    layers += [] if first else [nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.LeakyReLU(_SLOPE))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _judging(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )
