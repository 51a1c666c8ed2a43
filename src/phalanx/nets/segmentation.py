"""Two networks that say of each pixel whether it is hand.

`SlimSegNet` is OurSegNet of Dibra et al. 2018, Sec. 3.1: SegNet (Badrinarayanan et al. 2015, VGG-16's 13 convolutions and five pools there
and back, places of maxima kept) without two convolutions and one pool on the way down, and without eight convolutions and one upsampling
on the way back. Which ones is not said: here blocks of 2, 2, 3 and 4 convolutions, and one convolution a level on the way back before the
last, which gives the classes.

`HandSegNet` is that of Zimmermann and Brox 2017: VGG's blocks of 2, 2, 4 and 5 convolutions with three pools, two 1x1 convolutions, and
bilinear upsampling.

Both have batch normalisation, take pictures (B, 3, S, S), S a multiple of 16, and give logits (B, S, S) of "hand".
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from phalanx.nets.blocks import ConvUnit


def _block(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ConvUnit(inputs if index == 0 else outputs, outputs) for index in range(depth)))


class SlimSegNet(nn.Module):
    """Encoder and decoder; `width` is the channels of the first block, 64 in print."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths, depths = (width, 2 * width, 4 * width, 8 * width), (2, 2, 3, 4)
        before = (3, *widths[:3])
        self.down = nn.ModuleList(
            _block(inputs, outputs, depth) for inputs, outputs, depth in zip(before, widths, depths, strict=True)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        after = (*reversed(widths[:3]), width)
        self.up = nn.ModuleList(
            ConvUnit(inputs, outputs) for inputs, outputs in zip(reversed(widths), after, strict=True)
        )
        self.classes = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x, places = images, []
        for block in self.down:
            x, where = self.pool(block(x))
            places.append(where)
        for convolution in self.up:
            x = convolution(self.unpool(x, places.pop()))
        return self.classes(x)[:, 0]


class HandSegNet(nn.Module):
    """Encoder at stride 8 and bilinear upsampling; `width` is the channels of the first block, 64 in print."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths, depths = (width, 2 * width, 4 * width, 8 * width), (2, 2, 4, 5)
        layers: list[nn.Module] = []
        inputs = 3
        for number, (outputs, depth) in enumerate(zip(widths, depths, strict=True)):
            layers += [nn.MaxPool2d(2)] if number else []
            layers.append(_block(inputs, outputs, depth))
            inputs = outputs
        self.features = nn.Sequential(*layers, ConvUnit(inputs, inputs, kernel=1))
        self.classes = nn.Conv2d(inputs, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        coarse = self.classes(self.features(images))
        return functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
