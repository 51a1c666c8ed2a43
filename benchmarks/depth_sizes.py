"""How many depth frames of hands of a wrong size are refused: real frames whose unit is wrong, as they happen to users.

    python benchmarks/depth_sizes.py FOLDER [--camera 476.007,476.007,313.683,242.755] [--unit 0.000125] [--threads 1]

FOLDER holds frames of one raised right hand (the 19 of an SR305). Each is read as it is, mirrored, and with units that are several times
too large or too small. Counted: refused; of those that pass, how many are marked unsure (score below a half), and their sides.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import read_frame
from phalanx.methods.hand_finder import load
from phalanx.predict.depth import DepthPredictor

FACTORS = (5, 1 / 5, 3, 1 / 3, 2.5, 1 / 2.5)
UNSURE = 0.5


def judge(
    name: str, predictor: DepthPredictor, files: list[Path], camera: str, unit: float, mirror: bool = False
) -> None:
    """Predict all frames and print what became of them."""
    refused, scores, sides = 0, [], Counter[str]()
    for path in files:
        try:
            depth, K = read_frame(path, camera, unit)
            if mirror:
                depth, K = np.ascontiguousarray(depth[:, ::-1]), K.copy()
                K[0, 2] = depth.shape[1] - 1 - K[0, 2]
            hand = predictor(depth, K)
        except InputError:
            refused += 1
            continue
        scores.append(hand.score)
        sides[hand.side] += 1
    unsure = sum(score < UNSURE for score in scores)
    print(
        f"{name:10s} refused {refused} of {len(files)}; of the others {unsure} unsure, sides {dict(sides)}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--camera", default="476.007,476.007,313.683,242.755")
    parser.add_argument("--unit", type=float, default=0.125e-3, help="metres")
    parser.add_argument("--weights", help="of the finder (default: those in the package)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    predictor = DepthPredictor(finder=load(arguments.weights))
    files = sorted(arguments.folder.rglob("*.png"))
    judge("as it is", predictor, files, arguments.camera, arguments.unit)
    judge("mirrored", predictor, files, arguments.camera, arguments.unit, mirror=True)
    for factor in FACTORS:
        judge(f"x {factor:.2g}", predictor, files, arguments.camera, factor * arguments.unit)


if __name__ == "__main__":
    main()
