"""How the benchmarks of this folder time a call."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch


def milliseconds(call: Callable[[], object], repeats: int = 30) -> float:
    """Median wall time of a call after three warm-ups."""
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def milliseconds_on(call: Callable[[], object], device: str, seconds: float = 2.0) -> float:
    """Median time of a call after three warm-ups: of the core on the CPU, by the clock on a GPU."""
    on_gpu = device.startswith("cuda")
    wait, clock = (torch.cuda.synchronize, time.perf_counter) if on_gpu else (lambda: None, time.process_time)
    for _ in range(3):
        call()
    times: list[float] = []
    while sum(times) < seconds and len(times) < 200:
        wait()
        start = clock()
        call()
        wait()
        times.append(clock() - start)
    return float(np.median(times)) * 1000
