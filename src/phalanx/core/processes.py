"""Processes that train together: each sees its share of a batch, and what is averaged over a batch is averaged over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, distributed

_ALONE = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within it this process counts as the only one: what it computes waits for no other."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def process_count() -> int:
    """How many processes of `torch.distributed` work together; 1 where no group was made, and within `alone`."""
    made = distributed.is_available() and distributed.is_initialized() and not _ALONE.get()
    return distributed.get_world_size() if made else 1


def mean_over_processes(total: Tensor) -> Tensor:
    """The mean of `total` over all processes, without a gradient; alone, `total` itself. All processes must call it together."""
    count = process_count()
    if count == 1:
        return total
    mean = total.detach().clone()
    distributed.all_reduce(mean)
    return mean / count


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, which gradients flow through: those of all processes' losses, added.

    Alone, `values` itself. All processes must call it together, and go back through it together.
    """
    return values if process_count() == 1 else _Sum.apply(values)


class _Sum(torch.autograd.Function):
    """The sum; its derivative is the sum of the derivatives. (PyTorch's own function for this is deprecated.)"""

    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total
