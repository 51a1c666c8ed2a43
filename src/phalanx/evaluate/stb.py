"""Protocol of STB, as Zimmermann and Brox, ICCV 2017, evaluate and most who came after.

- **Split**: the two sequences B1. `PROTOCOL`: both pictures of the stereo pair, 6,000 in all (Zimmermann and Brox; Spurr et al.);
  `PROTOCOL_SK`: the 3,000 colour pictures of the depth camera (Ge et al., CVPR 2019).
- **Joints**: 21, with the palm's centre in place of the wrist, which the set does not have. Of predictions it is taken halfway between
  wrist and ring MCP, as the reader makes a wrist out of it.
- **Root and scale**: the palm; predictions are multiplied by the ratio of true to predicted length of the bone from middle MCP to PIP.
- **Crop**: the square around the true joints, 1.6 times as wide. Left hands are mirrored; the predictor gets the side.
- **Alignment**: none beside. **Thresholds**: 20 from 0 to 50 mm and the 12 of them above 20 mm, area by the trapezoid rule.
- **With the wrist's depth known** (`_known_depth`, with errors in depth): as Cai et al., ECCV 2018, score; the head of `rooted.py` says
  how, and what of it is ours. The wrist is the root in the thesis of Chen, too.

Source: github.com/lmb-freiburg/hand3d (`eval_full.py`, `utils/general.py`), 3d-hand-shape/hand-graph-cnn (the colour pictures).
"""

from __future__ import annotations

import numpy as np

from phalanx.data.public.stb import STB
from phalanx.evaluate.protocol import Protocol, Truth
from phalanx.evaluate.rooted import known_depth_figures, palm_rooted_figures, rooted_kind
from phalanx.evaluate.steps import Figures

RING_MCP = 13


def score_stb(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres."""
    return palm_rooted_figures(predicted, truth, RING_MCP, None)


BOTH = rooted_kind("both pictures of the stereo pair (BB), sequences B1")
COLOUR = rooted_kind("colour pictures of the depth camera (SK), sequences B1", dataset="stb")
PROTOCOL = Protocol("stb", STB, "test_bb", 1.6, score_stb, BOTH, score_pixels=known_depth_figures)
PROTOCOL_SK = Protocol("stb_sk", STB, "test_sk", 1.6, score_stb, COLOUR, score_pixels=known_depth_figures)
