"""Synthetic pictures per second: `python benchmarks/synth.py [--sizes 128 256] [--workers 1 2] [--backgrounds FOLDER]`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from phalanx.synth import SynthConfig, stream


def measure(config: SynthConfig, workers: int, seconds: float) -> float:
    """Pictures per second of `workers` processes, after the first two chunks of each."""
    chunks = stream(config, seed=0, workers=workers)
    for _ in range(4 * workers):
        next(chunks)
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        count += len(next(chunks))
    rate = count / (time.perf_counter() - begin)
    chunks.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--backgrounds", type=Path, default=None)
    arguments = parser.parse_args()
    print("size  workers  pictures/s")
    for size in arguments.sizes:
        for workers in arguments.workers:
            rate = measure(SynthConfig(size=size, backgrounds=arguments.backgrounds), workers, arguments.seconds)
            print(f"{size:4d}  {workers:7d}  {rate:10.1f}", flush=True)


if __name__ == "__main__":
    main()
