"""Pictures a second that a network redraws (`phalanx synth --realism`), alone and in the stream.

    python benchmarks/realism_speed.py [--model FILE] [--size 128] [--workers 2] [--chunks 24] [--json FILE]

Without `--model` the network is untrained, with as many channels as `phalanx train tonality_gan` gives it; that takes as long.

First rendering alone and redrawing alone, on one thread, chunk by chunk in turns, in time of the processor, which other work on the
machine disturbs least. Then the whole stream of `--workers` processes, by the clock: plain, and redrawn. What the clock says holds for
idle cores only; the load of the machine stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from phalanx.methods.tonality_gan import TonalityGan, save_weights
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.synth.realism import redrawn
from phalanx.train.tonality_gan import TonalityTraining

GOAL = 60.0  # pictures of 128 pixels a second on two cores, rendered and redrawn


def untrained(folder: Path, size: int) -> Path:
    """Weights of a network as training begins with, of pictures of `size` pixels."""
    torch.manual_seed(0)
    save_weights(TonalityGan(replace(TonalityTraining().model, size=size)), folder / "untrained.safetensors")
    return folder / "untrained.safetensors"


def alone(config: SynthConfig, model: Path, chunks: int) -> dict[str, float]:
    """Median milliseconds of the processor for a picture to be rendered, and to be redrawn, on one thread, in turns."""
    spent: dict[str, list[float]] = {"rendered": [], "redrawn": []}
    for index in range(chunks + 1):
        start = time.process_time()
        images = make_chunk(config, 0, index).image
        between = time.process_time()
        assert images is not None
        redrawn(images, model, 1.0, 1, 0, index)
        spent["rendered"].append(between - start)
        spent["redrawn"].append(time.process_time() - between)
    # the first chunk makes banks and reads the network
    return {name: 1000 * float(np.median(seconds[1:])) / config.pictures for name, seconds in spent.items()}


def stream_rate(config: SynthConfig, workers: int, chunks: int) -> float:
    """Pictures a second by the clock of `workers` processes, after the first chunks of each."""
    with closing(stream(config, 0, workers)) as source:
        for _ in range(4 * workers):
            next(source)
        count, start = 0, time.perf_counter()
        for _ in range(chunks):
            count += len(next(source))
        return count / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="weights of phalanx train tonality_gan (default: untrained ones)")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--workers", type=int, default=2, help="processes of the stream")
    parser.add_argument("--chunks", type=int, default=24, help="chunks that are timed in each row")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or untrained(Path(folder), arguments.size)
        plain = SynthConfig(size=arguments.size)
        milliseconds = alone(plain, model, arguments.chunks)
        for name, each in milliseconds.items():
            print(
                f"{name:9s} {each:6.2f} ms of the processor a picture: {1000 / each:6.1f} a second and core", flush=True
            )
        cores = 2 * 1000 / sum(milliseconds.values())
        print(f"both: {cores:.1f} pictures a second of the processor time of two cores (goal: {GOAL:.0f})", flush=True)
        rates = {}
        for name, config in (("plain", plain), ("redrawn", replace(plain, realism=model))):
            rates[name] = stream_rate(config, arguments.workers, arguments.chunks)
            load = os.getloadavg()[0]
            print(
                f"stream, {name}, {arguments.workers} workers: {rates[name]:.1f} pictures a second by the clock (load {load:.1f})",
                flush=True,
            )
    if arguments.json:
        figures = {"milliseconds": milliseconds, "of_two_cores": cores, "stream": rates}
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
