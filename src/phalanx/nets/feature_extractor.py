"""A picture to one vector that describes it: a residual trunk, widened and averaged over the picture.

It stands where papers have ResNet-50 (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016), whose last layer
widens as many channels to 2,048 before they are averaged. Here the picture is folded 4x4 into channels first, and blocks are two plain 3x3
convolutions, as in `nets.pyramid`: on CPUs full-resolution layers wait for memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phalanx.nets.blocks import ConvUnit
from phalanx.nets.pyramid import trunk_stages


class FeatureExtractor(nn.Module):
    """Pictures (B, 3, S, S), S a multiple of `4 * 2**(len(widths) - 1)`, to features (B, features), none below 0, in float32 at least.

    Args:
        widths: channels of the trunk at S/4, S/8, ...
        depths: residual blocks at each of them.
        features: length of the vector.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], features: int) -> None:
        super().__init__()
        if not widths or len(widths) != len(depths) or min(*widths, *depths, features) < 1:
            raise ValueError(
                f"FeatureExtractor: as many widths as depths, all positive, not {widths=} {depths=} {features=}"
            )
        self.multiple = 4 * 2 ** (len(widths) - 1)
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), ConvUnit(48, widths[0]))
        self.stages = nn.Sequential(*trunk_stages(widths, depths))
        self.widen = ConvUnit(widths[-1], features, kernel=1)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] % self.multiple or images.shape[-2] % self.multiple:
            raise ValueError(f"FeatureExtractor: sides {tuple(images.shape[-2:])} are no multiples of {self.multiple}")
        x = self.widen(self.stages(self.stem(images)))  # (B, features, S/32, S/32)
        return x.mean(dim=(2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
