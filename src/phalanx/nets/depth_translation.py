"""Translating colour to depth: an encoder-decoder that draws a depth map of a picture, and a network that tells drawn maps from real ones.

Isola et al., "Image-to-image translation with conditional adversarial networks" (Pix2Pix), CVPR 2017: kernels of 4, strides of 2, skips
from each layer of the encoder to the decoder's of the same size (Sec. 3.2.1), and a discriminator that judges patches (Sec. 3.2.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.2
"""Of leaky ReLUs."""

_WIDEST = 8
"""Channels grow to at most so many times the first layer's."""


class DepthGenerator(nn.Module):
    """`generator(images (B, 3, S, S) in [0, 1])` draws relative depth maps `(B, S, S)` in (0, 1).

    Args:
        size: S, a power of 2.
        width: channels of the first layer; they double down to 4 x 4 cells, up to 8 times as many.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 16 or size & (size - 1):
            raise ValueError(f"DepthGenerator: a size of 16, 32, 64, ... expected, not {size}")
        layers = int(math.log2(size)) - 2
        widths = [width * min(2**layer, _WIDEST) for layer in range(layers)]
        self.down = nn.ModuleList(
            _down(inputs, outputs, first=layer == 0)
            for layer, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False))
        )
        ways = list(zip(widths[::-1], [*widths[-2::-1], width], strict=True))
        self.up = nn.ModuleList(
            _up(inputs if layer == 0 else 2 * inputs, outputs) for layer, (inputs, outputs) in enumerate(ways)
        )
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x, seen = 2 * images - 1, []
        for down in self.down:
            x = down(x)
            seen.append(x)
        x = self.up[0](seen.pop())
        for up in self.up[1:]:
            x = up(torch.cat((x, seen.pop()), dim=1))
        return torch.sigmoid(self.last(x).to(images.dtype))[:, 0]  # in half precision depth would go in steps


class DepthDiscriminator(nn.Module):
    """`discriminator(maps (B, S, S) in [0, 1])` gives logits `(B, S / 8 - 2, S / 8 - 2)` of each patch being real; S at least 32.

    A patch is 54 pixels wide: most of a hand at 64 pixels, a finger at 256.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            _judging(width, 2 * width),
            _judging(2 * width, 4 * width),
            nn.Conv2d(4 * width, 4 * width, 3, 1, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(4 * width, 1, 3),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(2 * maps[:, None] - 1)[:, 0]


def real_or_drawn(real: Tensor, drawn: Tensor) -> Tensor:
    """What a discriminator descends: the negative of `E[log D(real)] + E[log(1 - D(drawn))]`, of logits, a scalar."""
    return functional.softplus(-real).mean() + functional.softplus(drawn).mean()


def taken_for_real(drawn: Tensor) -> Tensor:
    """What a generator descends: `-E[log D(drawn)]`, of logits, a scalar.

    It has the fixed points of `E[log(1 - D(drawn))]`, and gradients where the discriminator is sure (Goodfellow et al. 2014, Sec. 3).
    """
    return functional.softplus(-drawn).mean()


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
