"""Protocol of Dexter+Object (Sridhar et al., ECCV 2016), fingertips in colour pictures.

- **Split**: the colour pictures of all 3,014 frames; frames with fewer than two labelled tips are left out.
- **Joints**: the five tips, those that are labelled.
- **Root, scale, alignment**: no root is labelled; predictions are moved to the centroid of the labelled tips and scaled to their mean
  distance from it, as the public evaluation of MengHao666/Minimal-Hand-pytorch does (`utils/align.py`). Papers differ here.
- **Crop**: the square around the labelled tips, 2.5 times as wide, since most of the hand lies beside them.
- **Thresholds**: 15 from 20 to 50 mm, area by the trapezoid rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.dexter_object import DexterObject
from phalanx.evaluate.protocol import Protocol, Truth, joint_figures, of_found
from phalanx.hand.skeleton import TIPS
from phalanx.metrics.curves import fifteen_20_50
from phalanx.metrics.joints import centroid_scaled, end_point_errors


def score_dexter_object(predicted: np.ndarray, truth: Truth) -> dict[str, Any]:
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


PROTOCOL = Protocol("dexter_object", DexterObject, "colour", 2.5, score_dexter_object)
