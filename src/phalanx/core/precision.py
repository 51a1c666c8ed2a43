"""The faster precision on this machine: measured, because what a CPU says of itself does not tell what PyTorch makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from phalanx.core.errors import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16"]
"""What users ask for; auto is the faster one on this machine."""

FASTER = 1.2
"""bfloat16 is chosen if it is so many times as fast: clocks waver, and float32 is the more exact of two that are nearly equal."""

_ROUNDS = 5, 30
"""Fewest rounds of measuring, and most: short work is measured more often, for other processes disturb it more."""
_LONG = 0.5
"""Seconds of measuring after which the fewest rounds are enough."""
_HOPELESS = 3.0
"""Times as slow as float32: where a call is not short, one is enough to know. Emulated bfloat16 may take seconds."""


def check_precision(precision: str) -> None:
    """Raise InputError if there is no such precision (`Precision`)."""
    if precision not in get_args(Precision):
        raise InputError(f"precision: must be 'auto', 'float32' or 'bfloat16', not {precision!r}")


def faster_precision(prepare: Callable[[torch.dtype], Callable[[], object]]) -> torch.dtype:
    """bfloat16 if the same work takes clearly less time in it (`FASTER`), else float32; also where bfloat16 cannot be done.

    Measured on one thread. The shortest of several calls counts; the two take turns, so that other processes disturb both.

    Args:
        prepare: gives the work in a precision, ready to be called again and again. In bfloat16 it, or the work, may raise RuntimeError.
    """
    import torch

    with _one_thread():
        full = prepare(torch.float32)
        full()
        try:
            return torch.bfloat16 if _is_faster(prepare(torch.bfloat16), full) else torch.float32
        except RuntimeError:
            return torch.float32


def _is_faster(half: Callable[[], object], full: Callable[[], object]) -> bool:
    half()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < _ROUNDS[0] or (len(pairs) < _ROUNDS[1] and sum(map(sum, pairs)) < _LONG):
        pairs.append((_seconds(half), _seconds(full)))
        if pairs[-1][0] > max(_HOPELESS * pairs[-1][1], _LONG / 10):
            return False
    return min(seconds for _, seconds in pairs) > FASTER * min(seconds for seconds, _ in pairs)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads wait for each other, and on a busy machine that takes longer than the work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
