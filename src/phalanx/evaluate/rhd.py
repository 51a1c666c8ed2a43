"""Protocol of RHD, as Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV 2017, evaluate.

- **Split**: evaluation, 2,728 pictures, of each the hand with more pixels in the mask.
- **Joints**: 21, with the palm (halfway between wrist and middle MCP) in place of the wrist; those that are visible.
- **Root and scale**: the palm; predictions are multiplied by the ratio of true to predicted length of the bone from middle MCP
  to PIP ("known scale": their code measures this bone and calls it the index finger's).
- **Crop**: the square around the true joints, 1.6 times as wide. Theirs is found by their own networks or twice the largest
  distance from the middle MCP.
- **Alignment**: none beside. **Thresholds**: 20 from 0 to 50 mm, area by the trapezoid rule; means and medians of each joint,
  then over joints.

Source: github.com/lmb-freiburg/hand3d (`eval_full.py`, `utils/general.py`, `data/BinaryDbReader.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.data.rhd import RHD
from phalanx.evaluate.protocol import Protocol, Truth, joint_figures, of_found
from phalanx.metrics.curves import zimmermann_0_50, zimmermann_20_50
from phalanx.metrics.joints import bone_scaled, end_point_errors

SCALE_BONE = (9, 10)


def with_palm(joints: np.ndarray) -> np.ndarray:
    """Joints `(N, 21, 3)` with the palm, halfway between wrist and middle MCP, in place of the wrist."""
    return np.concatenate([(joints[:, :1] + joints[:, 9:10]) / 2, joints[:, 1:]], axis=1)


def score_rhd(predicted: np.ndarray, truth: Truth) -> dict[str, Any]:
    """Figures of `predicted (N, 21, 3)` metres."""
    true = with_palm(truth.joints)
    visible = truth.visible.copy()
    visible[:, 0] |= truth.visible[:, 9]  # the palm is seen where either of its ends is

    def errors(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(bone_scaled(with_palm(joints), true[which], SCALE_BONE), true[which])

    return joint_figures(of_found(predicted, errors), visible, {"0_50": zimmermann_0_50(), "20_50": zimmermann_20_50()})


PROTOCOL = Protocol("rhd", RHD, "evaluation", 1.6, score_rhd)
