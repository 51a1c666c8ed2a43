"""SqueezeNet as a regression: few weights, most of them in 1x1 convolutions.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016, in the lighter layout of its
authors' version 1.1 (pools after layers 1, 3 and 5). Batch normalisation, which theirs lacks, makes it trainable from nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.nets.blocks import ConvUnit

_LAYOUT = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels squeezed to and of either expansion, of the fire modules behind 64 channels; None is a pool."""


class Fire(nn.Module):
    """Squeeze by a 1x1 convolution, expand by 1x1 and 3x3: (B, inputs, H, W) -> (B, 2 * expanded, H, W)."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = ConvUnit(inputs, squeezed, kernel=1)
        self.same = ConvUnit(squeezed, expanded, kernel=1, activation=False)
        self.wide = ConvUnit(squeezed, expanded, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return functional.relu(torch.cat((self.same(x), self.wide(x)), dim=1), inplace=True)


class SqueezeNet(nn.Module):
    """Pictures (B, inputs, S, S) to numbers (B, outputs).

    The classifier's mean over cells would forget where things are; a 1x1 convolution to `narrow` channels and a linear layer over all
    cells stand in its place.

    Args:
        size: S, pixels.
        inputs: channels of the pictures.
        outputs: numbers.
        width: channels behind the first layer; 64 in print.
        narrow: channels that the linear layer sees.
    """

    def __init__(self, size: int, inputs: int, outputs: int, width: int = 64, narrow: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvUnit(inputs, width, stride=2), nn.MaxPool2d(3, 2, padding=1)]
        channels, cells = width, (size + 3) // 4
        for layer in _LAYOUT:
            if layer is None:
                layers.append(nn.MaxPool2d(3, 2, padding=1))
                cells = (cells + 1) // 2
            else:
                squeezed, expanded = (max(1, count * width // 64) for count in layer)
                layers.append(Fire(channels, squeezed, expanded))
                channels = 2 * expanded
        self.features = nn.Sequential(*layers, ConvUnit(channels, narrow, kernel=1))
        self.regression = nn.Linear(narrow * cells**2, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.regression(self.features(images).flatten(1))
