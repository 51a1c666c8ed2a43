"""Labelled pictures a second, by picture size and number of workers, and how long a large set takes.

    python benchmarks/synth.py [--sizes 128 256] [--workers 1 2] [--views 8] [--backgrounds FOLDER] [--json FILE]

First the stream: whole samples (colour, depth, mask, parts, joints, vertices, ...) as training takes them.

Then a set on disk, with `--views` cameras around each hand: the largest number of workers makes, encodes and writes shards in a
temporary folder, and their time is extrapolated to 320,000 pictures. The time until there is a shard for each worker (start, estimate,
banks of skins and backgrounds) counts once, the rest counts for every picture.

Last small sets, of less than a shard, from the start of `phalanx synth --out` to its end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from phalanx.synth import SynthConfig, stream
from phalanx.synth.sets.sets import CHUNKS, Plan, make_set

GOAL_RATE = 100.0  # pictures a second at 256 pixels with two workers
GOAL_RATIO = 1.8  # from one worker to two
GOAL_HOURS = 1.0  # of the set
SET = 320_000  # pictures


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


def project(config: SynthConfig, workers: int, shards: int, pictures: int = SET) -> dict[str, Any]:
    """Hours and bytes of a set of `pictures`, from writing `1 + shards` shards a worker."""
    plan = Plan(config, 0, (1 + shards) * workers * CHUNKS * config.pictures)
    steps: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        make_set(
            plan,
            folder,
            workers,
            say=lambda line: None,
            progress=lambda done, _: steps.append((time.perf_counter() - begin, done)),
        )
        size = sum(path.stat().st_size for path in Path(folder).glob("*.tar"))
    first_seconds, first = steps[workers - 1]
    last_seconds, last = steps[-1]
    rate = (last - first) / (last_seconds - first_seconds)
    return {
        "size": config.size,
        "views": config.views,
        "workers": workers,
        "written": last,
        "first_shards_seconds": first_seconds,
        "pictures_per_second": rate,
        "bytes_a_picture": size / last,
        "pictures": pictures,
        "hours": (first_seconds + max(0, pictures - first) / rate) / 3600,
        "gigabytes": size / last * pictures / 1e9,
    }


def small(size: int, pictures: int, workers: int) -> float:
    """Seconds that `phalanx synth --out` takes for a set of `pictures`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "phalanx", "synth", "--out", folder, "--size", str(size)]
        command += ["--count", str(pictures), "--workers", str(workers)]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the stream runs for each row")
    parser.add_argument("--chunk", type=int, default=SynthConfig.chunk, help="pictures made together")
    parser.add_argument("--views", type=int, default=8, help="cameras around each hand of the set")
    parser.add_argument(
        "--shards", type=int, default=2, help="shards of the set that are timed for each worker; 0: no set"
    )
    parser.add_argument("--small", type=int, nargs="*", default=[512, 1024], help="pictures of the small sets")
    parser.add_argument("--backgrounds", type=Path, default=None)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"stream": [], "ratios": []}
    print("size  workers  pictures/s")
    for size in arguments.sizes:
        config = SynthConfig(size=size, chunk=arguments.chunk, backgrounds=arguments.backgrounds)
        rates = {}
        for workers in arguments.workers:
            rates[workers] = measure(config, workers, arguments.seconds)
            figures["stream"].append({"size": size, "workers": workers, "pictures_per_second": rates[workers]})
            print(f"{size:4d}  {workers:7d}  {rates[workers]:10.1f}", flush=True)
        if 1 in rates and 2 in rates:
            ratio = rates[2] / rates[1]
            figures["ratios"].append({"size": size, "two_to_one": ratio})
            goal = f", {GOAL_RATE:.0f} pictures/s with two" if size == 256 else ""
            print(
                f"{size:4d}  two workers make {ratio:.2f} times what one makes (goal: {GOAL_RATIO}{goal})", flush=True
            )
    if arguments.shards > 0:
        config = SynthConfig(
            size=max(arguments.sizes),
            chunk=arguments.chunk,
            rig=f"ring{arguments.views}",
            backgrounds=arguments.backgrounds,
        )
        figures["set"] = found = project(config, max(arguments.workers), arguments.shards)
        print(
            f"set of {found['views']} views at {found['size']} x {found['size']}, {found['workers']} workers: "
            f"{found['written']} pictures written, {found['pictures_per_second']:.1f} pictures/s, "
            f"{found['bytes_a_picture'] / 1e3:.0f} kB each\n"
            f"{found['pictures']} of them take {found['hours']:.2f} hours (goal: {GOAL_HOURS:.0f}) and {found['gigabytes']:.0f} GB"
        )
    figures["small"] = []
    for pictures in arguments.small:
        size = min(arguments.sizes)
        seconds = {workers: small(size, pictures, workers) for workers in arguments.workers}
        figures["small"].append({"size": size, "pictures": pictures, "seconds": seconds})
        shown = ", ".join(f"{value:.1f} s with {workers}" for workers, value in seconds.items())
        print(f"set of {pictures} pictures at {size} x {size}: {shown}", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
