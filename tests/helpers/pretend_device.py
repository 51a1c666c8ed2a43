"""A device that is not there: what runs on a GPU can be tried on a machine without one.

Tensors on the device `PLACE` hold their values on the CPU and behave as CUDA's do: an operation on some of them and some of the CPU's
raises, and so do `.numpy()` and random numbers from a generator of the CPU. PyTorch's device `meta` lends its name, because
autograd and modules know it on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

PLACE = "meta"

aten = torch.ops.aten
_BETWEEN_DEVICES = {aten.copy_.default, aten._to_copy.default}
# CUDA takes indices from the CPU
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
_INDICES = {torch.int64, torch.int32, torch.uint8, torch.bool}


class PretendTensor(Tensor):
    """A tensor on the device; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        with torch.inference_mode(False):  # the values know it; views of wrappers could not be taken later
            made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device(PLACE),
            )
        made.held = held
        return made

    is_meta = property(lambda self: False)

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"can't convert {PLACE} device type tensor to numpy")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, **kwargs: Any) -> str:
        return f"pretend({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            copied.__dict__.update({name: value for name, value in self.__dict__.items() if name != "held"})
            memo[id(self)] = copied
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(function, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Makes on the device what is asked for there, and moves what is moved there."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(function, args, kwargs or {})


class _Data(TorchFunctionMode):
    """Brings Python's numbers and lists to the device; by itself PyTorch leaves them out on `meta`."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], PretendTensor):
            return function(args[0], _as_index(args[1]), *args[2:])
        if function in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            *like, data = args
            place = kwargs.pop("device", None) or (like[0].device if like else None)
            values = function(*(part.cpu() for part in like), data, **kwargs)
            return values if place is None else values.to(place)
        return function(*args, **kwargs)


def _as_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_as_index(part) for part in index)
    return torch.tensor(index) if isinstance(index, list | np.ndarray) else index


def _carry_out(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do the operation on the values; what comes out lies on the device if what went in does, or if it is asked for there."""
    if torch.is_inference_mode_enabled():  # where PyTorch leaves it to us to take operations apart
        with _Factories():
            parts = function.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
    given, form = tree_flatten((args, kwargs))
    there = [value for value in given if isinstance(value, PretendTensor)]
    asked = kwargs.get("device")
    wanted = bool(there) if asked is None else torch.device(asked).type == PLACE
    if there and function not in _BETWEEN_DEVICES:
        _check_together(function, args, given)
    if wanted and isinstance(generator := kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"Expected a {PLACE!r} device type for generator but found {generator.device.type!r}")
    args_here, kwargs_here = tree_unflatten([value.held if _is_there(value) else value for value in given], form)
    if asked is not None and wanted:
        kwargs_here["device"] = torch.device("cpu")
    result = function(*args_here, **kwargs_here)
    if function is aten.copy_.default:
        return args[0]
    if not wanted:
        return result
    known = {id(value.held): value for value in there}  # what is changed in place stays the same tensor

    def placed(value: Any) -> Any:
        return known[id(value)] if id(value) in known else PretendTensor(value)

    return tree_map(lambda value: placed(value) if isinstance(value, Tensor) else value, result)


def _is_there(value: Any) -> bool:
    return isinstance(value, PretendTensor)


def _check_together(function: Any, args: Any, given: list[Any]) -> None:
    here = [value for value in given if isinstance(value, Tensor) and not _is_there(value) and value.ndim]
    if function in _INDEXING and _is_there(args[0]):
        here = [value for value in here if value.dtype not in _INDICES]
    if here:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {function} has {PLACE} and cpu")


@contextmanager
def pretend_device() -> Iterator[str]:
    """The device exists; gives its name."""
    optimisers = sys.modules["torch.optim.optimizer"]
    fused = optimisers._get_fused_kernels_supported_devices()
    begin = torch.autocast.__init__

    def begin_on_cpu(cast: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(cast, "cpu" if device_type == PLACE else device_type, *args, **kwargs)

    with (
        mock.patch.object(optimisers, "_get_fused_kernels_supported_devices", lambda: [*fused, PLACE]),
        mock.patch.object(torch.autocast, "__init__", begin_on_cpu),
        _Data(),
        _Factories(),
    ):
        yield PLACE
