"""The faster precision on this machine: measured, because what a CPU says of itself does not tell what PyTorch makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

from phalanx.core.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]
"""What users ask for; auto is the faster one on this machine."""

FASTER = 1.2
"""bfloat16 is chosen if it is so many times as fast: clocks waver, and float32 is the more exact of two that are nearly equal."""

_ROUNDS = 5
_HOPELESS = (
    3.0  # times as slow as float32: one call is enough to know, and where bfloat16 is emulated it may take seconds
)


def as_precision(precision: str) -> Precision:
    """`precision`, checked. Raises InputError if there is no such precision."""
    if precision == "auto" or precision == "float32" or precision == "bfloat16":
        return precision
    raise InputError(f"precision: must be 'auto', 'float32' or 'bfloat16', not {precision!r}")


def faster_precision(prepare: Callable[[torch.dtype], Callable[[], object]]) -> torch.dtype:
    """bfloat16 if the same work takes clearly less time in it (`FASTER`), else float32; also where bfloat16 cannot be done.

    Args:
        prepare: gives the work in a precision, ready to be called again and again. It may raise RuntimeError for bfloat16, there or
            when the work is called. The shortest of five calls counts; they take turns, so that other processes disturb both.
    """
    full = prepare(torch.float32)
    full()
    once = _seconds(full)
    try:
        half = prepare(torch.bfloat16)
        half()
        if _seconds(half) > _HOPELESS * once:
            return torch.float32
        pairs = [(_seconds(full), _seconds(half)) for _ in range(_ROUNDS)]
    except RuntimeError:
        return torch.float32
    return torch.bfloat16 if min(a for a, _ in pairs) > FASTER * min(b for _, b in pairs) else torch.float32


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
