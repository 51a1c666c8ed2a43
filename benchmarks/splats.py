"""Depth maps of hands as clouds of splats: `splat_depth` beside a naive broadcast, values and gradients compared, and times of both.

    python benchmarks/splats.py [--size 128] [--batch 32] [--points 1000] [--radius 0.03] [--threads 2] [--seconds 4] [--json FILE]

Times are of a batch, forwards and backwards, of all cores together (the process's own time, not what others do with the cores), and by the
clock. The run fails where values or gradients differ, or, with the sizes above on the CPU, when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from timing import milliseconds_on
from torch import Tensor

from phalanx.core.seeding import generator
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.pose_space import sample_angles
from phalanx.render.splats import splat_depth

GOAL = 100.0  # milliseconds a batch of 32 maps of 128 x 128 of 1,000 points, forwards and backwards, on two cores
RATIO = 10.0  # times faster than the broadcast
CUBE = 0.25  # metres


def broadcast(points: Tensor, size: int, radius: float) -> Tensor:
    """Eq. 2-4 as printed: every point at every pixel."""
    lines = (torch.arange(size, dtype=points.dtype, device=points.device) + 0.5) / size
    x, y, z = points[..., None, None].unbind(2)  # (B, N, 1, 1)
    squared = (lines - x).square() + (lines[:, None] - y).square()
    heights = (1 - z) * (1 - squared / radius**2).square() * (squared < radius**2)
    return heights.max(1).values


def clouds(batch: int, count: int) -> Tensor:
    """Points (B, N, 3) on hands in random poses, turned at random, in the middle of the unit cube."""
    model, pose = HandModel.open_hand(), HandPose.zero(batch)
    pose.rotations = angles_to_rotations(torch.as_tensor(sample_angles(generator(0), batch)).float())
    turn = torch.linalg.qr(torch.randn(batch, 3, 3, generator=torch.Generator().manual_seed(0)))[0]
    pose.orientation = turn * torch.linalg.det(turn)[:, None, None]
    vertices = model(pose).vertices[:, model.parts != 1].detach()  # without the forearm
    chosen = torch.randint(vertices.shape[1], (count,), generator=torch.Generator().manual_seed(1))
    points = vertices[:, chosen]
    return (points - points.mean(1, keepdim=True)) / CUBE + 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--radius", type=float, default=0.03)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    points = clouds(arguments.batch, arguments.points).to(arguments.device)
    pull = torch.randn(arguments.batch, arguments.size, arguments.size, generator=torch.Generator().manual_seed(1))
    pull = pull.to(arguments.device)
    slices = 4 if arguments.batch % 4 == 0 else 1  # the broadcast of a whole batch takes 17 GB

    def both(draw: Callable[[Tensor], Tensor], parts: int = 1) -> tuple[Tensor, Tensor]:
        maps, slopes = [], []
        for some, pulled in zip(points.chunk(parts), pull.chunk(parts), strict=True):
            leaf = some.clone().requires_grad_()
            depth = draw(leaf)
            depth.backward(pulled)
            assert leaf.grad is not None
            maps.append(depth.detach())
            slopes.append(leaf.grad)
        return torch.cat(maps), torch.cat(slopes)

    size, radius = arguments.size, arguments.radius
    naive = partial(both, partial(broadcast, size=size, radius=radius), slices)
    ways = {
        name: partial(both, partial(splat_depth, size=size, radius=radius, backend=backend))
        for name, backend in (("warp", "warp"), ("torch", "torch"))
    }
    values, slopes = naive()
    for way in ways.values():
        found = way()
        torch.testing.assert_close(found[0], values, atol=1e-6, rtol=0)
        torch.testing.assert_close(found[1], slopes, atol=2e-3 * float(slopes.abs().max()), rtol=1e-4)
    times = {name: milliseconds_on(way, arguments.device, arguments.seconds) for name, way in ways.items()}
    clock = {name: min(_clock(way) for _ in range(10)) for name, way in ways.items()}
    began = time.process_time()
    naive()
    times["broadcast"] = 1000 * (time.process_time() - began)
    for name, value in times.items():
        walls = f", {clock[name]:.1f} by the clock at best" if name in clock else ""
        print(f"{name:10s}{value:9.1f} ms a batch{walls}")
    ratio = times["broadcast"] / times["warp"]
    print(f"{'ratio':10s}{ratio:9.1f}   (goals: {RATIO:.0f} times, {GOAL:.0f} ms)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"milliseconds": times, "clock": clock, "ratio": ratio}, indent=1) + "\n")
    usual = (arguments.device, size, arguments.batch, arguments.points) == ("cpu", 128, 32, 1000)
    if usual and (times["warp"] > GOAL or ratio < RATIO):
        sys.exit("a goal is missed")


def _clock(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
