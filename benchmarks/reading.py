"""Pictures a second out of shards: read, decoded and handed over as batches.

    python benchmarks/reading.py [--size 256] [--workers 1 2] [--seconds 6] [--json FILE]

Makes a shard of synthetic pictures in a temporary folder (it stays in the system's cache of files, so disks are not measured) and reads
it in random order: colour, joints and cameras, as training a colour estimator takes them, then every field.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from phalanx.data.loading import ShardIndex, index_shards, load_batches
from phalanx.data.shards import write_shard
from phalanx.synth import SynthConfig, make_chunk

GOAL = 1000.0  # colour crops of 256 pixels a second with two workers
COLOUR = ("image", "joints", "joints_2d", "K")
BATCH = 32


def measure(index: ShardIndex, fields: tuple[str, ...] | None, workers: int, seconds: float) -> float:
    """Pictures a second, after the first batches."""
    batches = load_batches(index, BATCH, workers, fields, seed=0)
    for _ in range(4 * workers):
        next(batches)
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        count += len(next(batches))
    rate = count / (time.perf_counter() - begin)
    batches.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.tar"
        config = SynthConfig(size=arguments.size, tiles=20, skins=4)
        write_shard(path, (make_chunk(config, 0, number) for number in range(8)))
        index = index_shards([path])
        print(f"{'fields':8s}{'workers':>8s}{'pictures/s':>12s}")
        for name, fields in (("colour", COLOUR), ("all", None)):
            for workers in arguments.workers:
                rate = measure(index, fields, workers, arguments.seconds)
                found.append({"fields": name, "workers": workers, "pictures_per_second": rate})
                goal = f"  (goal: {GOAL:.0f})" if (name, workers, arguments.size) == ("colour", 2, 256) else ""
                print(f"{name:8s}{workers:8d}{rate:12.0f}{goal}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
