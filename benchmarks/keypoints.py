"""The hand model fitted to recorded keypoints of real hands: joint distance, jumps of angles, missing joints, limits and speed.

    python benchmarks/keypoints.py FILE.npz [--side left] [--order mano] [--threads 1] [--missing 0.1] [--json FILE]

FILE holds one array (T, 21, 3) a recording, metres (DexYCB's joints are such; see docs/evaluation.md). Each frame is fitted by itself,
then each recording as one, then with a share of the joints taken out at random. A jump is a change of an angle by more than 30 degrees
between frames whose largest joint movement, the hand as a whole laid onto itself, is under 10 mm.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.fit.joints import fit_joints
from phalanx.fit.sequences import AT_REST, find_jumps, fit_recording, movements
from phalanx.hand.anatomy import LIMITS, rotations_to_angles
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.hand.plain import PlainHand
from phalanx.hand.skeleton import ORDERS

ANGLES = 20
"""Angles of fingers; the wrist's three are never fitted to joints."""


def distance(found: torch.Tensor, true: torch.Tensor) -> float:
    """Mean joint distance in millimetres."""
    return 1e3 * float((found - true).norm(dim=-1).mean())


def jumps_of(recordings: list[torch.Tensor], pose: HandPose) -> tuple[list[dict[str, Any]], int]:
    """Jumps of all recordings, and how many changes of an angle there are between frames that hardly move."""
    angles = np.split(
        rotations_to_angles(pose.rotations.double().numpy()), np.cumsum([len(part) for part in recordings])[:-1]
    )
    listed, changes = [], 0
    for number, (joints, found) in enumerate(zip(recordings, angles, strict=True)):
        moved = movements(joints.numpy())
        changes += ANGLES * int((moved < AT_REST).sum())
        for jump in find_jumps(found, moved):
            place = {"recording": number, "frame": jump.frame, "angle": jump.angle}
            listed.append(
                place | {"degrees": float(np.degrees(jump.change)), "movement_mm": 1e3 * float(jump.movement)}
            )
    return listed, changes


def timed(fit: Callable[[torch.Tensor], HandPose], recordings: list[torch.Tensor]) -> tuple[HandPose, float]:
    """Poses of all recordings one after the other, and how many a second."""
    started = time.perf_counter()
    pose = concatenate_poses([fit(part) for part in recordings])
    return pose, len(pose.shape) / (time.perf_counter() - started)


def fit_as_one(joints: torch.Tensor, one_hand: bool = False) -> HandPose:
    """`fit_recording`, with tensors."""
    return fit_recording(PlainHand.open_hand(), joints.numpy(), one_hand=one_hand).pose.map(torch.from_numpy)


def measure(recordings: list[torch.Tensor], missing: float) -> dict[str, Any]:
    """Figures of all recordings of right hands."""
    model = HandModel.open_hand()
    everything = torch.cat(recordings)
    fit_as_one(everything[:64])  # warm
    figures: dict[str, Any] = {"frames": len(everything)}

    def note(name: str, fit: Callable[[torch.Tensor], HandPose], given: list[torch.Tensor]) -> HandPose:
        pose, rate = timed(fit, given)
        jumps, changes = jumps_of(recordings, pose)
        figures[name] = {
            "joint_error_mean_mm": distance(model.joints(pose), everything),
            "jumps": len(jumps),
            "jumps_per_thousand": 1e3 * len(jumps) / changes,
            "poses_per_second": rate,
            "listed": jumps,
        }
        return pose

    note("frame by frame", lambda joints: fit_joints(model, joints), recordings)
    pose = note("recording", fit_as_one, recordings)
    note("one shape", lambda joints: fit_as_one(joints, True), recordings)
    angles = rotations_to_angles(pose.rotations.double())
    beyond = torch.maximum(angles - LIMITS[:, 1], LIMITS[:, 0] - angles).clamp_min(0)
    figures["beyond_limits_max_degrees"] = float(torch.rad2deg(beyond.max()))
    torch.manual_seed(0)
    spoilt = [torch.where(torch.rand(*part.shape[:2], 1) < missing, torch.nan, part) for part in recordings]
    note("joints missing", fit_as_one, spoilt)
    figures["joints missing"]["share"] = missing
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--side", choices=("left", "right"), default="left")
    parser.add_argument("--order", choices=tuple(ORDERS), default="mano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--missing", type=float, default=0.1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    mirror = np.array([-1.0 if args.side == "left" else 1.0, 1, 1])
    with np.load(args.file) as arrays:
        recordings = [
            torch.from_numpy((arrays[name][:, ORDERS[args.order]] * mirror).astype(np.float32)) for name in arrays.files
        ]
    figures = measure(recordings, args.missing)
    for name, value in figures.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for row, number in rows:
            if row != "listed":
                print(f"{f'{name} {row}'.strip():44s} {number:10.4g}")
    for jump in figures["recording"]["listed"]:
        print("jump: " + ", ".join(f"{key} {value}" for key, value in jump.items()))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
