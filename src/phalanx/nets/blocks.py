"""Convolutional blocks.

Plain 3x3 convolutions with batch normalisation: on CPUs with bf16 instructions they run near the peak rate, where
depthwise ones wait for memory. Shapes are `(B, C, H, W)`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation and, unless `activation=False`, ReLU: (B, C_in, H, W) -> (B, C_out, H/s, W/s)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if activation:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Residual(nn.Module):
    """Basic residual block (He et al. 2016, Fig. 2): ReLU(x + F(x)), F two 3x3 convolutions; halves H and W if `stride` is 2.

    The last normalisation starts at zero gain, so that a fresh block is the identity (or its shortcut).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvUnit(inputs, outputs, stride=stride)
        self.second = ConvUnit(outputs, outputs, activation=False)
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool: list[nn.Module] = [nn.AvgPool2d(stride)] if stride != 1 else []
            self.shortcut = nn.Sequential(*pool, ConvUnit(inputs, outputs, kernel=1, activation=False))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(x) + self.second(self.first(x)), inplace=True)


def fold_batch_norm(module: nn.Module) -> None:
    """Replace, in place, every convolution + batch normalisation of `ConvUnit`s in `module` by one convolution with bias.

    Only for inference: the module must be in evaluation mode, whose running statistics are folded in.

    Raises RuntimeError if the module is in training mode.
    """
    if module.training:
        raise RuntimeError("fold_batch_norm: the module is in training mode")
    for unit in module.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit[1], nn.BatchNorm2d):
            unit[0] = nn.utils.fusion.fuse_conv_bn_eval(unit[0], unit[1])  # type: ignore[type-var]
            unit[1] = nn.Identity()
