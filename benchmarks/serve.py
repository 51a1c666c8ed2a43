"""The page's server under load: `phalanx serve` as a process of its own, asked over loopback.

    python benchmarks/serve.py [--hostile 2000] [--frames 60] [--pages 8]

It prints the milliseconds from a webcam's frame sent to its answer, for one page and for several at once (each page's median, to see
that they share); then sends hostile requests (random and broken files, wrong methods, names, origins and lengths) and prints how they
were refused, and the server's memory before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import httpx2
import numpy as np
import websockets

ROOT = Path(__file__).parents[1]


def memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def webcam(port: int, frame: bytes, count: int) -> list[float]:
    """Milliseconds of each frame."""
    spent = []
    async with websockets.connect(f"ws://localhost:{port}/api/webcam", origin=f"http://localhost:{port}") as socket:  # type: ignore[arg-type]
        for _ in range(count):
            start = time.perf_counter()
            await socket.send(frame)
            answer = json.loads(await socket.recv())
            assert "hands" in answer, answer
            spent.append(1e3 * (time.perf_counter() - start))
    return spent


async def several(port: int, frame: bytes, count: int, pages: int) -> list[list[float]]:
    return await asyncio.gather(*(webcam(port, frame, count) for _ in range(pages)))


def hostile(port: int, count: int, process: subprocess.Popen[bytes]) -> Counter[int]:
    """How many requests got each status."""
    draw, picture = random.Random(0), (ROOT / "examples" / "open.jpg").read_bytes()
    found: Counter[int] = Counter()
    with httpx2.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
        for number in range(count):
            body = draw.choice(
                [
                    draw.randbytes(draw.randrange(2000)),
                    picture[: draw.randrange(len(picture))],
                    bytes(value ^ (draw.random() < 0.001) * draw.randrange(256) for value in picture[:4000])
                    + picture[4000:],
                    b"\x89PNG\r\n\x1a\n" + draw.randbytes(100),
                    b"PK\x03\x04" + draw.randbytes(200),
                ]
            )
            path = draw.choice(
                ["/api/picture", "/api/picture", "/api/clip", "/", "/../x", f"/{draw.randrange(1 << 30)}"]
            )
            headers = draw.choice(
                [{}, {}, {"origin": "http://evil.example"}, {"host": "evil.example"}, {"x-page": "x" * 3000}]
            )
            answer = client.request(draw.choice(6 * ["POST"] + ["GET", "PUT"]), path, content=body, headers=headers)
            found[answer.status_code] += 1
            if number % 500 == 499:
                print(f"{number + 1} hostile requests: the server has {memory(process):.0f} MB", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostile", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--port", type=int, default=8765)
    args = parser.parse_args()
    image = cv2.resize(cv2.imread(str(ROOT / "examples" / "open.jpg")), (640, 480))
    frame = cv2.imencode(".jpg", image)[1].tobytes()
    process = subprocess.Popen([sys.executable, "-m", "phalanx", "serve", "--port", str(args.port), "--quiet"])
    try:
        for _ in range(100):
            time.sleep(0.2)
            try:
                httpx2.get(f"http://localhost:{args.port}/")
                break
            except httpx2.HTTPError:
                continue
        alone = asyncio.run(webcam(args.port, frame, args.frames))[5:]
        print(f"one page: {np.median(alone):.0f} ms a frame in the median, {np.percentile(alone, 95):.0f} in 95 of 100")
        medians = [
            float(np.median(each)) for each in asyncio.run(several(args.port, frame, args.frames // 2, args.pages))
        ]
        print(f"{args.pages} pages at once: medians {min(medians):.0f} to {max(medians):.0f} ms")
        before = memory(process)
        statuses = hostile(args.port, args.hostile, process)
        print(
            f"{args.hostile} hostile requests: "
            + ", ".join(f"{n} x {status}" for status, n in sorted(statuses.items()))
        )
        print(f"memory {before:.0f} MB before, {memory(process):.0f} MB after")
        print(f"still serving: {len(asyncio.run(webcam(args.port, frame, 2))) == 2}")
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
