"""Protocols of DexYCB (Chao et al., "DexYCB: A Benchmark for Capturing Hand Grasping of Objects", CVPR 2021): hand pose.

- **Splits**: the test parts of the authors' four setups: `dexycb` of s0 (unseen sequences), `dexycb_s1` of s1 (unseen people),
  `dexycb_s2` of s2 (an unseen camera), `dexycb_s3` of s3 (unseen grasped objects). Pictures without a labelled hand are left out, as in
  theirs.
- **Joints**: 21, all of which count; theirs are in our order. Left hands are mirrored; the predictor gets the side.
- **Root and scale**: theirs are `mean_mm` (root-relative: wrist on wrist, nothing scaled) and `mean_mm_absolute` (in the camera's frame).
  `_scaled` is ours, since one colour picture does not tell size: root-relative, and one scale for each hand, which gives its joints
  the norm of the true ones.
- **Crop**: the square around the true joints, 1.6 times as wide. Theirs come from detectors of the entries.
- **Alignment**: `_aligned` after rotation, translation and scale by orthogonal Procrustes, as their code does it, reflections
  included.
- **Thresholds**: 100 from 0 to 50 mm, area by the trapezoid rule; means of each joint, then over joints. Missed hands are beyond all.

Source: github.com/NVlabs/dex-ycb-toolkit (`dex_ycb_toolkit/hpe_eval.py`, `dex_ycb.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.dexycb import DexYCB
from phalanx.evaluate.aligned import ALIGNMENTS, KIND, aligned_figures
from phalanx.evaluate.protocol import Protocol, Truth
from phalanx.evaluate.steps import Figures


class LabelledDexYCB(DexYCB):
    """Pictures of a split in which a hand is labelled; reads the labels of all when opened."""

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.keep(self.with_hand())
        if not len(self):
            raise InputError(f"{folder}: no hand is labelled in the split {split}")


def score_dexycb(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres in the camera's frame."""
    return aligned_figures(predicted, truth.joints, ALIGNMENTS)


PROTOCOL = Protocol("dexycb", LabelledDexYCB, "s0_test", 1.6, score_dexycb, KIND)
PROTOCOL_S1 = Protocol("dexycb_s1", LabelledDexYCB, "s1_test", 1.6, score_dexycb, KIND)
PROTOCOL_S2 = Protocol("dexycb_s2", LabelledDexYCB, "s2_test", 1.6, score_dexycb, KIND)
PROTOCOL_S3 = Protocol("dexycb_s3", LabelledDexYCB, "s3_test", 1.6, score_dexycb, KIND)
