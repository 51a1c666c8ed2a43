"""Protocol of RHD, as Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV 2017, evaluate.

- **Split**: evaluation, 2,728 pictures, of each the hand with more pixels in the mask.
- **Joints**: 21, with the palm (halfway between wrist and middle MCP) in place of the wrist; those that are visible.
- **Root and scale**: the palm; predictions are multiplied by the ratio of true to predicted length of the bone from middle MCP
  to PIP ("known scale": their code measures this bone and calls it the index finger's).
- **Crop**: the square around the true joints, 1.6 times as wide. Theirs is found by their own networks or twice the largest
  distance from the middle MCP.
- **Alignment**: none beside. **Thresholds**: 20 from 0 to 50 mm, area by the trapezoid rule; means and medians of each joint,
  then over joints.
- **With the wrist's depth known** (`_known_depth`, with errors in depth): as Cai et al., ECCV 2018, score; the head of `rooted.py` says
  how, and what of it is ours. The wrist is the root in the thesis of Chen, too.

Source: github.com/lmb-freiburg/hand3d (`eval_full.py`, `utils/general.py`, `data/BinaryDbReader.py`).
"""

from __future__ import annotations

import numpy as np

from phalanx.data.public.rhd import RHD
from phalanx.evaluate.protocol import Protocol, Truth
from phalanx.evaluate.rooted import known_depth_figures, palm_rooted_figures, rooted_kind
from phalanx.evaluate.steps import Figures

MIDDLE_MCP = 9


def score_rhd(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres."""
    visible = truth.visible.copy()
    visible[:, 0] |= truth.visible[:, MIDDLE_MCP]  # the palm is seen where either of its ends is
    return palm_rooted_figures(predicted, truth, MIDDLE_MCP, visible)


PROTOCOL = Protocol(
    "rhd", RHD, "evaluation", 1.6, score_rhd, rooted_kind("visible joints"), score_pixels=known_depth_figures
)
