"""Protocol of MHP (Gomez-Donoso et al. 2017). No split and no protocol are official; figures of different papers hardly compare.

- **Split**: `test`, the sequences data_1, data_10 and data_20, as in the public reader Idein/chainer-hand-pose; all four cameras.
- **Joints**: 21, with the palm in place of the wrist, which the set does not have. Of predictions it is taken halfway between wrist and
  middle MCP, as the reader makes a wrist out of it.
- **Root and scale**: the palm; predictions are multiplied by the ratio of true to predicted length of the bone from middle MCP to PIP.
- **Crop**: the square around the true joints, 1.6 times as wide.
- **Alignment**: none beside. **Thresholds**: 20 from 0 to 50 mm and the 12 of them above 20 mm, area by the trapezoid rule. (Papers print
  the area from 20 to 50 mm, root-aligned, without saying which root.)
- **With the wrist's depth known** (`_known_depth`, with errors in depth): as Cai et al., ECCV 2018, score; the head of `rooted.py` says
  how, and what of it is ours. The wrist is the root in the thesis of Chen, too.
"""

from __future__ import annotations

import numpy as np

from phalanx.data.public.mhp import MHP
from phalanx.evaluate.protocol import Protocol, Truth
from phalanx.evaluate.rooted import known_depth_figures, palm_rooted_figures, rooted_kind
from phalanx.evaluate.steps import Figures

MIDDLE_MCP = 9


def score_mhp(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres."""
    return palm_rooted_figures(predicted, truth, MIDDLE_MCP, None)


KIND = rooted_kind("sequences data_1, data_10 and data_20")
PROTOCOL = Protocol("mhp", MHP, "test", 1.6, score_mhp, KIND, score_pixels=known_depth_figures)
