"""Depth frames in, the hand's joints out, as a table: for RealSense, Kinect, Azure, SR305 and others (docs/depth.md).

    pip install "phalanx[train]"     # depth frames need PyTorch
    python examples/depth_camera.py frames/ sr305 joints.csv

`frames/` holds PNG, TIFF, PGM, NPY or EXR files in order. For frames of your own code call `predict(depth, K)` with depth (H, W) in metres.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import phalanx
from phalanx.core.files import write_whole
from phalanx.data.depth_cameras import depth_frames, read_frame
from phalanx.hand.skeleton import JOINT_NAMES
from phalanx.predict.depth import DepthPredictor


def joints_to_csv(folder: Path, camera: str, table: Path) -> int:
    """Write a row a frame in which there is a hand; returns how many there are."""
    predict, rows = DepthPredictor(), 0
    with write_whole(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "side", "score", *(f"{name}_{axis}" for name in JOINT_NAMES for axis in "xyz")])
        for path in depth_frames(folder):
            try:
                depth, K = read_frame(path, camera)
                hand = predict(depth, K)
            except phalanx.InputError as problem:
                print(f"{path.name}: {problem}", file=sys.stderr)
                continue
            writer.writerow(
                [path.name, hand.side, f"{hand.score:.2f}", *(f"{value:.5f}" for value in hand.joints.reshape(-1))]
            )
            rows += 1
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        joints_to_csv(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except phalanx.InputError as problem:
        sys.exit(str(problem))
