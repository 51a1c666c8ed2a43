"""Depth maps of 41-sphere hands a second, forwards and backwards: `sphere_depth` beside its plain broadcast twin.

    python benchmarks/spheres.py [--size 128] [--batch 32] [--seconds 4] [--device cuda] [--json FILE]

On the CPU one thread is used, and its own time counts, not what others do with the core. Hands are in random poses, turned at random, in
a cube of 0.3 m. Values and gradients of both are compared before, and the run fails where they differ, or when the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
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
from phalanx.hand.spheres import sphere_centres, sphere_radii
from phalanx.render.spheres import sphere_depth, sphere_depth_broadcast

GOAL = 300.0  # maps a second, forwards and backwards, 128 pixels, batches of 32, on the CPU
EXTENT = 0.3  # metres


def sphere_hands(batch: int) -> tuple[Tensor, Tensor]:
    """Centres (B, 41, 3) about their mean and radii (B, 41)."""
    model, pose = HandModel.open_hand(), HandPose.zero(batch)
    pose.rotations = angles_to_rotations(torch.as_tensor(sample_angles(generator(0), batch)).float())
    turn = torch.linalg.qr(torch.randn(batch, 3, 3, generator=torch.Generator().manual_seed(0)))[0]
    pose.orientation = turn * torch.linalg.det(turn)[:, None, None]
    joints = model.joints(pose)
    centres = sphere_centres(joints)
    return (centres - centres.mean(1, keepdim=True)).detach(), sphere_radii(joints).detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    centres, radii = (array.to(arguments.device) for array in sphere_hands(arguments.batch))
    pull = torch.randn(arguments.batch, arguments.size, arguments.size, generator=torch.Generator().manual_seed(1))
    pull = pull.to(arguments.device)

    def both(draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        leaf = centres.clone().requires_grad_()
        depth = draw(leaf, radii, arguments.size, EXTENT)
        depth.backward(pull)
        assert leaf.grad is not None
        return depth.detach(), leaf.grad

    found, reference = both(sphere_depth), both(sphere_depth_broadcast)
    torch.testing.assert_close(found, reference, atol=1e-3, rtol=1e-4)  # sums of thousands of derivatives up to 5
    torch.testing.assert_close(found[0], reference[0], atol=1e-6, rtol=0)
    rates = {}
    for name, draw in (("sphere_depth", sphere_depth), ("broadcast", sphere_depth_broadcast)):
        rates[name] = 1000 * arguments.batch / milliseconds_on(partial(both, draw), arguments.device, arguments.seconds)
    ratio = rates["sphere_depth"] / rates["broadcast"]
    for name, rate in rates.items():
        print(f"{name:14s}{rate:10.0f} maps/s")
    print(f"{'ratio':14s}{ratio:10.1f}   (goal: {GOAL:.0f} maps/s at 128 pixels on the CPU)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"maps_per_second": rates, "ratio": ratio, "goal": GOAL}, indent=1) + "\n")
    if (arguments.device, arguments.size) == ("cpu", 128) and rates["sphere_depth"] < GOAL:
        sys.exit(f"sphere_depth draws {rates['sphere_depth']:.0f} maps a second, less than {GOAL:.0f}")


if __name__ == "__main__":
    main()
