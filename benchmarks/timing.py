"""How the benchmarks of this folder time a call on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


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
