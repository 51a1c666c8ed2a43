"""Protocol of FreiHAND (Zimmermann et al., "FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB
Images", ICCV 2019), joints only: its surface is MANO's, ours is another.

- **Split**: evaluation, 3,960 pictures, whose labels came in a later release.
- **Joints**: 21. **Root**: none. **Scale**: the length from middle MCP to PIP is given; predictions are scaled to it about the
  camera, so that they stay where they are seen.
- **Crop**: the square around the true joints, 1.6 times as wide; the pictures are cut out already.
- **Alignment**: `_aligned` after rotation, translation and scale by orthogonal Procrustes, as their code does it, reflections
  included; the others as they are in the camera's frame.
- **Thresholds**: 100 from 0 to 50 mm, area by the trapezoid rule.

Source: github.com/lmb-freiburg/freihand (`eval.py`, `utils/eval_util.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.data.freihand import FreiHAND
from phalanx.evaluate.protocol import SCALE_BONE, Protocol, Truth, joint_figures, of_found
from phalanx.metrics.curves import freihand_0_50
from phalanx.metrics.joints import end_point_errors, orthogonal_aligned


def to_known_scale(joints: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Joints `(N, 21, 3)` with the bone from middle MCP to PIP as long as `length (N,)`, seen where they were: scaled about the camera."""
    bone = np.linalg.norm(joints[:, SCALE_BONE[1]] - joints[:, SCALE_BONE[0]], axis=-1)
    scale = np.divide(length, bone, out=np.ones_like(bone), where=bone > 0)
    return joints * scale[:, None, None]


def score_freihand(predicted: np.ndarray, truth: Truth) -> dict[str, Any]:
    """Figures of `predicted (N, 21, 3)` metres in the camera's frame."""
    true = truth.joints
    length = np.linalg.norm(true[:, SCALE_BONE[1]] - true[:, SCALE_BONE[0]], axis=-1)

    def raw(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(to_known_scale(joints, length[which]), true[which])

    def aligned(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(orthogonal_aligned(joints, true[which]), true[which])

    grids = {"0_50": freihand_0_50()}
    after = joint_figures(of_found(predicted, aligned), None, grids)
    figures = joint_figures(of_found(predicted, raw), None, grids)
    return figures | {f"{name}_aligned": value for name, value in after.items() if name != "thresholds_mm"}


PROTOCOL = Protocol("freihand", FreiHAND, "evaluation", 1.6, score_freihand)
