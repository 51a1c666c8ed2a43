"""A recording of your own camera for colour and depth in, a model for it and the length of your hand out; no label anywhere.

    pip install "phalanx[train]"
    python examples/adapt_without_labels.py recording/ mine 10        # minutes

`recording/` holds pictures, the registered depth frames in `recording/depth/` under the same names, and `intrinsics.json` (docs/rgbd.md).
It prints joints of the first picture before and after. The length, from wrist to middle finger tip, helps every later prediction.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import phalanx
from phalanx.adapt.rgbd import RgbdAdaptation, adapt_rgbd
from phalanx.adapt.rgbd_pairs import RgbdFiles
from phalanx.data.images import PICTURE_SUFFIXES


def adapt(recording: Path, out: Path, config: RgbdAdaptation) -> float | None:
    """Adapt, and show what that changes; returns the hand's length in metres, where a camera is known."""
    figures = adapt_rgbd(RgbdFiles(recording), out, config=config)
    length = figures["hand_length"]
    first = min(path for path in recording.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    before = phalanx.Predictor()(first)
    after = phalanx.Predictor(out.with_suffix(".onnx"))(first, hand_length=length)
    if before and after:
        moved = 1e3 * np.linalg.norm(after[0].joints - before[0].joints, axis=1).mean()
        print(f"{first.name}: joints are {moved:.1f} mm from where they were")
    print(
        f"hand_length={length}; predict with --weights {out.with_suffix('.onnx')}"
        + (f" --hand-length {length:.3f}" if length else "")
    )
    return length


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    settings = RgbdAdaptation()
    settings.loop.minutes = float(sys.argv[3])
    try:
        adapt(Path(sys.argv[1]), Path(sys.argv[2]), settings)
    except phalanx.InputError as problem:
        sys.exit(str(problem))
