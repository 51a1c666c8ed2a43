"""Convolutional blocks.

Plain 3x3 convolutions with batch normalisation: on CPUs they run near the peak rate, where depthwise ones wait for memory.
Shapes are `(B, C, H, W)`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.core.isolated import settle_after_fork
from phalanx.core.precision import check_precision, faster_precision

Network = TypeVar("Network", bound=nn.Module)


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
        if len(self.second) == 1 and isinstance(self.second[0], PackedConvolution):
            return self.second[0].added(self.first(x), self.shortcut(x))
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


def folded_copy(network: Network) -> Network:
    """A copy on the CPU in float32 for inference, batch normalisation folded; the network stays as it was trained."""
    plain = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    fold_batch_norm(plain)
    return plain


@lru_cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether packed convolutions work in `dtype` on this CPU with this PyTorch: one is tried, once a process."""
    try:
        _packed_example(dtype)()
    except (RuntimeError, AttributeError):  # AttributeError: PyTorch was built without oneDNN
        return False
    return True


@lru_cache
def _faster_packed() -> torch.dtype:
    """The dtype in which a packed convolution takes less time on this CPU, measured once a process (some 10 ms)."""
    return faster_precision(_packed_example) if can_pack(torch.float32) else torch.float32


def inference_precision(precision: str = "auto") -> torch.dtype:
    """What convolutions compute in on this CPU: `auto` is the faster, bfloat16 or float32.

    Raises InputError if there is no such precision, or bfloat16 is asked for where packed convolutions cannot compute in it.
    """
    check_precision(precision)
    if precision == "auto":
        return _faster_packed()
    if precision == "bfloat16" and not can_pack(torch.bfloat16):
        raise InputError(
            "precision: PyTorch cannot compute packed convolutions in bfloat16 on this CPU; 'auto' takes what works"
        )
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _packed_example(dtype: torch.dtype) -> Callable[[], object]:
    """The call of a packed convolution like those that take most of our networks' time: 3x3, 96 channels, 16x16 cells."""
    weight = torch.full((96, 96, 3, 3), 0.01, dtype=dtype)
    x = torch.full((1, 96, 16, 16), 0.5, dtype=dtype).contiguous(memory_format=torch.channels_last)
    geometry = [[1, 1]] * 3  # padding, stride, dilation
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, 1, list(x.shape))
    return lambda: torch.ops.mkldnn._convolution_pointwise(x, packed, None, *geometry, 1, "relu", [], "")


class PackedConvolution(nn.Module):
    """A convolution with its ReLU, if it has one, for inference on CPUs: one call of oneDNN, weights laid out for it beforehand.

    On the CPU it takes, computes in and gives `dtype`; bfloat16 halves the weights to read, which is what a single picture waits for.
    On other devices, and where these calls do not work (`can_pack`), it is the convolution as it was, in float32.
    `shape (C, H, W)` is the input to expect; others work. Pickles and copies hold the weights as they were, and pack them anew.

    Raises RuntimeError if `dtype` is not float32 and cannot be packed here.
    """

    def __init__(self, convolution: nn.Conv2d, relu: bool, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        if dtype != torch.float32 and not can_pack(dtype):
            raise RuntimeError(f"PackedConvolution: cannot compute in {dtype} on this CPU")
        self.convolution = convolution
        self.relu = relu
        self._shape, self._dtype = shape, dtype
        self._geometry = [
            list(map(int, value)) for value in (convolution.padding, convolution.stride, convolution.dilation)
        ]
        self._pack()

    def _pack(self) -> None:
        settle_after_fork()  # a pool of forked processes unpickles what it is given
        self._packed: Tensor | None = None
        self._bias: Tensor | None = None
        if can_pack(self._dtype):
            weight, bias = self.convolution.weight.detach(), self.convolution.bias
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                weight.cpu().to(self._dtype), *self._geometry, self.convolution.groups, [1, *self._shape]
            )
            self._bias = None if bias is None else bias.detach().cpu().to(self._dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_bias")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack()

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is None or x.device.type != "cpu":
            # In its own precision: another machine may have packed, and left inputs in, one that cannot be packed here.
            result = self.convolution(x.to(self.convolution.weight.dtype)).to(x.dtype)
            return functional.relu(result, inplace=True) if self.relu else result
        return torch.ops.mkldnn._convolution_pointwise(
            x,
            self._packed,
            self._bias,
            *self._geometry,
            self.convolution.groups,
            "relu" if self.relu else "none",
            [],
            "",
        )

    def added(self, x: Tensor, other: Tensor) -> Tensor:
        """`ReLU(other + F(x))` in one call; `other` may be changed."""
        if self._packed is None or x.device.type != "cpu":
            return functional.relu(other + self(x), inplace=True)
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x,
            other.contiguous(memory_format=torch.channels_last),
            self._packed,
            self._bias,
            *self._geometry,
            self.convolution.groups,
            "add",
            1.0,
            "relu",
            [],
            "",
        )


def pack_convolutions(module: nn.Module, example: Tensor, dtype: torch.dtype) -> None:
    """Replace, in place, the convolutions of folded `ConvUnit`s in `module` by packed ones, for inputs of `module` like `example`.

    On the CPU, the module then wants inputs of `dtype`. Raises RuntimeError if that cannot be packed here (`inference_precision`).
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    units = [unit for unit in module.modules() if isinstance(unit, ConvUnit)]
    hooks = [
        unit.register_forward_pre_hook(lambda unit, inputs: shapes.update({unit: tuple(inputs[0].shape[1:])}))
        for unit in units
    ]
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    for unit in units:
        convolution = unit[0]
        assert isinstance(convolution, nn.Conv2d)
        unit[0] = PackedConvolution(convolution, isinstance(unit[-1], nn.ReLU), shapes[unit], dtype)
        del unit[1:]


def make_ready(module: nn.Module, example: Tensor, dtype: torch.dtype) -> None:
    """Make a network, in place, ready for inference on the CPU in `dtype`, for inputs like `example` (float32); training ends here.

    Batch normalisation is folded into the convolutions, whose weights are laid out for the CPU.
    """
    module.eval().requires_grad_(False)
    fold_batch_norm(module)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pack_convolutions(module, example.contiguous(memory_format=torch.channels_last), dtype)
