"""Protocol of Dexter+Object (Sridhar et al., ECCV 2016), fingertips in colour pictures.

- **Split**: the colour pictures of all 3,014 frames, without those that have fewer than two labelled tips.
- **Joints**: the five tips, those that are labelled.
- **Root, scale, alignment**: no root is labelled; predictions are moved to the centroid of the labelled tips and scaled to their mean
  distance from it, as the public evaluation of MengHao666/Minimal-Hand-pytorch does (`utils/align.py`). Papers differ here.
- **Crop**: the square around the labelled tips, 2.5 times as wide, since most of the hand lies outside it.
- **Thresholds**: 15 from 20 to 50 mm, area by the trapezoid rule.
"""

from __future__ import annotations

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.dexter_object import DexterObject
from phalanx.evaluate.kinds import TRUE_CROPS, Kind
from phalanx.evaluate.protocol import Protocol, Truth, joint_figures, of_found
from phalanx.evaluate.steps import Figures
from phalanx.hand.skeleton import TIPS
from phalanx.metrics.curves import fifteen_20_50
from phalanx.metrics.joints import centroid_scaled, end_point_errors


def score_dexter_object(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres."""
    kept = truth.valid[:, TIPS].sum(1) >= 2
    if not kept.any():
        raise InputError("Dexter+Object: no frame has two labelled tips")
    true, valid = truth.joints[kept][:, TIPS], truth.valid[kept][:, TIPS]  # (N, 5, 3), (N, 5)

    def errors(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        tips = centroid_scaled(joints[:, TIPS], true[which], valid[which])
        return end_point_errors(tips, true[which], valid[which])

    figures = joint_figures(of_found(predicted[kept], errors), valid, {"20_50": fifteen_20_50()})
    return {"frames": int(kept.sum()), **figures}


KIND = Kind(
    (
        ("mean (mm)", "mean_mm", 2),
        ("median (mm)", "median_mm", 2),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm)",
    "fingertips within (%)",
    "{name} (AUC 20-50 {auc_20_50:.3f})",
    crops=TRUE_CROPS,
)
PROTOCOL = Protocol("dexter_object", DexterObject, "colour", 2.5, score_dexter_object, KIND)
