"""A residual trunk at strides 4 to 32 with a light top-down path back to stride 4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.nets.blocks import ConvUnit, Residual


class Pyramid(nn.Module):
    """Trunk and top-down path: picture (B, 3, S, S), S a multiple of 32, to features at S/4 and a description of the whole.

    The picture is folded 4x4 into channels first (no full-resolution convolutions: they are bound by memory), most
    arithmetic is at S/8 and S/16. The way back adds each trunk stage through a 1x1 convolution (Lin et al. 2017,
    feature pyramids).

    Args:
        widths: channels of the trunk at S/4, S/8, S/16, S/32.
        depths: residual blocks at each of them.
        top_down: channels of the way back at S/16, S/8, S/4.
        detail: channels at S/2 of a second way into S/4, which sees edges before they are folded away; 0 for none. It
            starts as nothing (zero gain), so that a trained pyramid can be given one.

    Forward returns `(features (B, top_down[-1], S/4, S/4), pooled (B, widths[-1]))`.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], top_down: Sequence[int], detail: int = 0) -> None:
        super().__init__()
        if not len(widths) == len(depths) == 4 or len(top_down) != 3:
            raise ValueError(f"Pyramid: 4 widths, 4 depths, 3 top-down widths, got {widths}, {depths}, {top_down}")
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), ConvUnit(48, widths[0]))
        self.detail: nn.Module | None = None
        if detail:
            last = ConvUnit(detail, widths[0], stride=2, activation=False)
            nn.init.zeros_(last[1].weight)  # type: ignore[arg-type]
            self.detail = nn.Sequential(nn.PixelUnshuffle(2), ConvUnit(12, detail), last)
        self.stages = nn.ModuleList(trunk_stages(widths, depths))
        self.lateral = nn.ModuleList(
            ConvUnit(trunk, back, kernel=1, activation=False)
            for trunk, back in zip(reversed(widths[:3]), top_down, strict=True)
        )
        above = (widths[3], *top_down[:2])
        self.reduce = nn.ModuleList(
            ConvUnit(inputs, back, kernel=1, activation=False) for inputs, back in zip(above, top_down, strict=True)
        )
        self.merge = nn.ModuleList(ConvUnit(back, back) for back in top_down)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(images)  # (B, C, S/4, S/4)
        if self.detail is not None:
            x = functional.relu(x + self.detail(images), inplace=True)
        trunk = []
        for stage in self.stages:
            x = stage(x)
            trunk.append(x)
        pooled = trunk[-1].mean(dim=(2, 3), dtype=torch.float32)  # (B, C)
        x = trunk.pop()
        for lateral, reduce, merge in zip(self.lateral, self.reduce, self.merge, strict=True):
            raised = functional.interpolate(reduce(x), scale_factor=2.0, mode="nearest")
            x = merge(functional.relu(raised + lateral(trunk.pop()), inplace=True))
        return x, pooled


def trunk_stages(widths: Sequence[int], depths: Sequence[int]) -> list[nn.Sequential]:
    """Stages of a residual trunk, on features of `widths[0]` channels: each but the first halves the sides; `depths` are blocks in each."""
    stages = []
    channels = widths[0]
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = []
        for index in range(depth):
            blocks.append(Residual(channels, width, stride=2 if level and index == 0 else 1))
            channels = width
        stages.append(nn.Sequential(*blocks))
    return stages
