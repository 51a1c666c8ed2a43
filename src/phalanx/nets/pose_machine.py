"""A convolutional pose machine: heat maps of joints, refined from stage to stage on the same features.

Wei, Ramakrishna, Kanade and Sheikh, "Convolutional pose machines", CVPR 2016. The first stage says where joints are from the features
of the picture; each later stage sees those features and what the stage before it said, so that a joint that is clear helps to find one that
is not. A loss should be on all stages. What differs from the paper, and why:

- Features come from an encoder-decoder (`nets.hourglass.Hourglass`) that sees the whole picture, as Cai et al. 2018, Sec. 3.2,
  describe theirs ("encoder-decoder architecture similar to the Convolutional Pose Machines").
- Three 3x3 convolutions stand for each 7x7 one: the same field with half of the arithmetic.
- Convolutions have batch normalisation: networks start from nothing here, not from weights of another task.
- Maps have S/4 cells a side by default, not S/8: pictures have 64 to 128 pixels, not 368.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phalanx.nets.blocks import ConvUnit
from phalanx.nets.hourglass import Hourglass

JOINTS = 21


class PoseMachine(nn.Module):
    """Pictures (B, inputs, S, S) to features (B, width, h, w) and heat-map logits (B, joints, h, w) of every stage; the last are the best.

    `h = w = S / stride`; S must be a multiple of `4 * stride`. Read coordinates with `nets.readout.soft_argmax`.

    Args:
        stages: at least one; six in both papers that use this (Wei et al.; Chen 2020, Sec. 3.3.2).
        joints: heat maps.
        width: channels of the features and of the stages.
        inputs: channels of the picture (or of maps that stand for one).
        stride: pixels a cell, 4 or 8.
    """

    def __init__(
        self, stages: int = 3, joints: int = JOINTS, width: int = 48, inputs: int = 3, stride: int = 4
    ) -> None:
        super().__init__()
        if min(stages, joints, width, inputs) < 1 or stride not in (4, 8):
            raise ValueError(
                f"PoseMachine: positive counts and a stride of 4 or 8 expected, not {stages=} {joints=} {width=} {inputs=} {stride=}"
            )
        self.stride, self.width = stride, width
        half = max(8, width // 2)
        halve = [ConvUnit(inputs, half, stride=2), ConvUnit(half, width, stride=2)]
        if stride == 8:
            halve.append(ConvUnit(width, width, stride=2))
        self.features = nn.Sequential(*halve, Hourglass(width, 2), ConvUnit(width, width))
        self.stages = nn.ModuleList(
            _stage(width, joints, 1) if number == 0 else _stage(width + joints, joints, 3, width)
            for number in range(stages)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        side = 4 * self.stride
        if images.shape[-1] % side or images.shape[-2] % side:
            raise ValueError(f"PoseMachine: sides {tuple(images.shape[-2:])} are no multiples of {side}")
        features = self.features(images)  # (B, width, h, w)
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(torch.cat([features, maps[-1]], dim=1) if maps else features))  # (B, J, h, w)
        return features, maps


def _stage(inputs: int, joints: int, units: int, width: int | None = None) -> nn.Sequential:
    """Convolutions and a linear head whose maps start near 0."""
    width = inputs if width is None else width
    head = nn.Conv2d(width, joints, 1)
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    nn.init.zeros_(head.bias)
    return nn.Sequential(*(ConvUnit(inputs if unit == 0 else width, width) for unit in range(units)), head)
