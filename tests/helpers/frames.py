"""Depth frames and cameras as users have them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

UNIT = 0.001
"""Metres that a value of 1 stands for in these frames."""


def write_depth(path: Path, depth: Any) -> None:
    """Write depth (H, W) in metres as a 16-bit picture, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.round(np.asarray(depth) / UNIT).astype(np.uint16))


def camera_text(K: Any) -> str:
    """A camera matrix (3, 3) as `--camera` takes it."""
    return f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}"
