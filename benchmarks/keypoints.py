"""The hand model fitted to recorded keypoints of real hands: joint distance, limits and speed.

    python benchmarks/keypoints.py FILE.npz [--side left] [--order mano] [--threads 2] [--json FILE]

FILE holds one array (T, 21, 3) a recording, metres (DexYCB's joints are such; see docs/evaluation.md). Each frame is fitted by itself,
then each recording with one shape.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from phalanx.fit.joints import fit_joints
from phalanx.fit.sequences import fit_recording
from phalanx.hand.anatomy import LIMITS, rotations_to_angles
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import ORDERS


def distance(found: torch.Tensor, true: torch.Tensor) -> float:
    """Mean joint distance in millimetres."""
    return 1e3 * float((found - true).norm(dim=-1).mean())


def measure(recordings: list[torch.Tensor]) -> dict[str, float]:
    """Figures of all recordings of right hands."""
    model = HandModel.open_hand()
    everything = torch.cat(recordings)
    fit_joints(model, everything[:64])  # warm
    started = time.perf_counter()
    pose = fit_joints(model, everything)
    seconds = time.perf_counter() - started
    joints, angles = model.joints(pose), rotations_to_angles(pose.rotations.double())
    beyond = torch.maximum(angles - LIMITS[:, 1], LIMITS[:, 0] - angles).clamp_min(0)
    one_shape = torch.cat([model.joints(fit_recording(model, part, one_hand=True).pose) for part in recordings])
    return {
        "frames": len(everything),
        "joint_error_mean_mm": distance(joints, everything),
        "joint_error_one_shape_mean_mm": distance(one_shape, everything),
        "beyond_limits_max_degrees": float(torch.rad2deg(beyond.max())),
        "poses_per_second": len(everything) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--side", choices=("left", "right"), default="left")
    parser.add_argument("--order", choices=tuple(ORDERS), default="mano")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    mirror = np.array([-1.0 if args.side == "left" else 1.0, 1, 1])
    with np.load(args.file) as arrays:
        recordings = [
            torch.from_numpy((arrays[name][:, ORDERS[args.order]] * mirror).astype(np.float32)) for name in arrays.files
        ]
    figures = measure(recordings)
    for name, value in figures.items():
        print(f"{name:36s} {value:10.4g}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
