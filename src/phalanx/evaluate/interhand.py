"""Protocols of InterHand2.6M (Moon et al., ECCV 2020): single hands, as the authors' MPJPE of "single hand sequences".

- **Split**: test, of version 1.0, pictures of one hand. `interhand` takes all annotations (H+M in the paper), `interhand_human` those that
  people made (H), by the authors' list of them (`aid_human_annot_test.txt`, see the reader). Hands whose wrist is not valid have none.
- **Joints**: 21 of each side, those that are valid; theirs come tips first, the wrist last. Left hands are mirrored; the predictor gets
  the side. As in theirs, means are of each joint of each side, then over these 42.
- **Root and scale**: figures without an ending are theirs: wrist on wrist, nothing scaled (their networks get the wrist's true depth).
  `_scaled` and `_aligned` are ours, since one colour picture does not tell size: root-relative, and one scale for each hand, which
  gives its joints the norm of the true ones; and after Procrustes (rotation without reflection, translation, scale; Umeyama 1991).
  Both are over the valid joints of hands with three or more.
- **Crop**: the square around the true valid joints, 1.6 times as wide. Theirs is the annotated box, 1.25 times as wide.
- **Thresholds**: they print none; ours are 100 from 0 to 50 mm, area by the trapezoid rule, as for HO-3D. Missed hands are beyond all.
- **Not scored**: interacting hands, the distance between wrists (MRRPE), handedness.

Source: github.com/facebookresearch/InterHand2.6M (`data/InterHand2.6M/dataset.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.interhand import InterHand
from phalanx.evaluate.aligned import KIND, figures_of_ending
from phalanx.evaluate.protocol import Protocol, Truth, of_found
from phalanx.evaluate.steps import Figures
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_aligned, root_scaled_errors

ENOUGH = 3
"""Valid joints without which a hand has neither a scale nor an orientation."""


class SingleHands(InterHand):
    """Hands of pictures that show one."""

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.keep(~self.interacting)
        if not len(self):
            raise InputError(f"{folder}: has no picture of a single hand in the split {split}")


class SingleHandsByPeople(SingleHands):
    """Those of them that people annotated."""

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.keep(self.by_people())
        if not len(self):
            raise InputError(f"{folder}: has no single hand that people annotated in the split {split}")


def score_interhand(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres, of hands that `Sample.ids` say are left or right."""
    true, valid = truth.joints, truth.valid
    left = np.array([int(key.split("_")[2]) % 2 for key in truth.keys])

    def root_relative(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(root_aligned(joints, true[which], valid=valid[which]), true[which], valid[which])

    def scaled(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return root_scaled_errors(joints, true[which], valid[which])

    def aligned(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return procrustes_errors(joints, true[which], valid[which])

    figures = figures_of_ending(*by_side(of_found(predicted, root_relative), valid, left), "")
    enough = valid.sum(1) >= ENOUGH
    true, valid, left = true[enough], valid[enough], left[enough]
    if np.isfinite(predicted[enough]).all((1, 2)).any():
        for ending, measure in (("_scaled", scaled), ("_aligned", aligned)):
            figures |= figures_of_ending(*by_side(of_found(predicted[enough], measure), valid, left), ending)
    return figures


def by_side(errors: np.ndarray, valid: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors and `valid` (N, 21) with joints of left hands (`left` (N,) is 1) in columns of their own: (N, 42) each."""
    rows = np.arange(len(errors))
    spread, counted = np.zeros((len(errors), 2, 21)), np.zeros((len(errors), 2, 21), dtype=bool)
    spread[rows, left], counted[rows, left] = errors, valid
    return spread.reshape(-1, 42), counted.reshape(-1, 42)


PROTOCOL = Protocol("interhand", SingleHands, "test", 1.6, score_interhand, KIND)
PROTOCOL_HUMAN = Protocol("interhand_human", SingleHandsByPeople, "test", 1.6, score_interhand, KIND)
