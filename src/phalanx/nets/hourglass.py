"""Stacked hourglasses: maps at S/4 from a depth map, refined from one stack to the next.

Newell, Yang and Deng, "Stacked hourglass networks for human pose estimation", ECCV 2016. An hourglass goes down to a few cells
that see the whole picture and back up, with a skip at every scale; every stack predicts, and its prediction is fed back to
the next. What differs from the paper, and why:

- The input is 128 pixels wide, not 256, so maps are 32 x 32 and three halvings, not four, reach the same 4 x 4 cells.
- Blocks are two plain 3x3 convolutions (`Residual`), not pre-activated bottlenecks of 256 channels: on a CPU a plain block of 64
  channels takes about the time of a bottleneck of 128, with more arithmetic, twice as many 3x3 convolutions, and a batch
  normalisation behind each that folds away.
- Channels grow by half at each halving instead of staying the same: weights go where cells are few. Strided blocks stand for
  max pooling and the block behind it.
- The picture comes in as 2x2 pixels folded into channels and two convolutions, instead of 7x7 at full resolution and three
  blocks: full-resolution channels are bound by memory.
- One 3x3 convolution between hourglass and head instead of a block and a 1x1 convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.nets.blocks import ConvUnit, Residual, make_ready


def wider(width: int) -> int:
    """Channels at half the resolution: half as many more, a multiple of 8."""
    return 8 * round(1.5 * width / 8)


class Hourglass(nn.Module):
    """Encoder, decoder and a skip at every scale: (B, width, h, w) -> the same; h and w multiples of `2**depth`.

    Each level is a skip beside: halve, the next level (at last one block), back to `width` channels, double by repeating.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        below = wider(width)
        self.down = Residual(width, below, stride=2)
        self.inner: nn.Module = Hourglass(below, depth - 1) if depth > 1 else Residual(below, below)
        self.up = Residual(below, width)
        self.skip = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(x)))  # (B, width, h/2, w/2)
        return self.skip(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")


class StackedHourglass(nn.Module):
    """Depth maps (B, inputs, S, S) to a list of maps (B, outputs, S/4, S/4), one of each stack; the last is the best.

    With 41 spheres (82 outputs), the defaults and S = 128, a frame takes 0.41 billion multiply-adds in one stack, 0.32 in each further one.

    Args:
        inputs: channels of the picture; a depth map has one, scaled by the caller to about -1..1.
        outputs: channels of the maps, of any meaning; they are linear, and start near 0.
        width: channels at S/4.
        stacks: hourglasses one behind the other. A loss should be on all predictions.
        depth: halvings in each hourglass; S must be a multiple of `4 * 2**depth`.

    `precision` is what convolutions work in on the CPU; `prepare` may lower it. The heads keep theirs, so maps are float32.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 64, stacks: int = 1, depth: int = 3) -> None:
        super().__init__()
        if min(inputs, outputs, width // 2, stacks, depth) < 1:
            raise ValueError(
                f"StackedHourglass: positive counts and a width of 2 or more, got {inputs=}, {outputs=}, {width=}, {stacks=}, {depth=}"
            )
        self.multiple = 4 * 2**depth
        self.precision = torch.float32
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2),
            ConvUnit(4 * inputs, width // 2),
            ConvUnit(width // 2, width, stride=2),
            Residual(width, width),
        )
        self.hourglasses = nn.ModuleList(
            nn.Sequential(Hourglass(width, depth), ConvUnit(width, width)) for _ in range(stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(stacks))
        self.features_back = nn.ModuleList(ConvUnit(width, width, 1, activation=False) for _ in range(stacks - 1))
        self.maps_back = nn.ModuleList(ConvUnit(outputs, width, 1, activation=False) for _ in range(stacks - 1))
        for head in self.heads:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def forward(self, depth: Tensor) -> list[Tensor]:
        """Raises ValueError if the sides of `depth` (B, inputs, S, S) are not multiples of `4 * 2**depth`."""
        return self.with_features(depth)[0]

    def with_features(self, depth: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps, and the features (B, width, S/4, S/4) that the last ones are read from; raises as `forward` does."""
        if depth.shape[-1] % self.multiple or depth.shape[-2] % self.multiple:
            raise ValueError(f"StackedHourglass: sides {tuple(depth.shape[-2:])} are no multiples of {self.multiple}")
        x = self.stem(depth.to(self.precision) if depth.device.type == "cpu" else depth)  # (B, width, S/4, S/4)
        predictions: list[Tensor] = []
        for stack, (hourglass, head) in enumerate(zip(self.hourglasses, self.heads, strict=True)):
            features = hourglass(x)  # (B, width, S/4, S/4)
            with torch.autocast(depth.device.type, enabled=False):  # coordinates are read out of these
                predictions.append(head(features.to(head.weight.dtype)))  # (B, outputs, S/4, S/4)
            if stack < len(self.maps_back):
                x = x + self.features_back[stack](features) + self.maps_back[stack](predictions[-1].to(x.dtype))
        return predictions, features


def prepare(network: StackedHourglass, size: int, precision: torch.dtype) -> None:
    """Make `network`, in place, ready for inference on pictures of `size` on the CPU, in float32 or bfloat16; training ends here.

    Batch normalisation is folded into the convolutions, whose weights are laid out for the CPU. Inputs and outputs stay float32.
    """
    first = network.stem[1]
    assert isinstance(first, ConvUnit) and isinstance(first[0], nn.Conv2d)
    make_ready(network, torch.zeros(1, first[0].in_channels // 4, size, size, dtype=torch.float32), precision)
    network.precision = precision
