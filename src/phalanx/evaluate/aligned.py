"""Figures of joints under the alignments that tables print beside each other: root-relative, scaled, Procrustes.

The protocols of HO-3D, DexYCB and InterHand2.6M share the words: figures without an ending are root-relative (wrist on wrist, nothing
scaled), `_scaled` ones have one scale for each hand besides, `_aligned` ones come after Procrustes, `_absolute` ones are of joints as they
are predicted, in the camera's frame. Which scale, and which Procrustes, each protocol states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from phalanx.evaluate.kinds import COLOUR_SET
from phalanx.evaluate.protocol import joint_figures, of_found
from phalanx.evaluate.steps import Figures
from phalanx.metrics.curves import freihand_0_50
from phalanx.metrics.joints import end_point_errors, orthogonal_aligned, root_aligned, root_scaled_errors

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(predicted (M, 21, 3), true (M, 21, 3)) -> errors (M, 21)`, all in metres."""


def root_relative(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Errors with wrist on wrist."""
    return end_point_errors(root_aligned(joints, true), true)


def orthogonal(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Errors after Procrustes as FreiHAND's code has it, reflections included."""
    return end_point_errors(orthogonal_aligned(joints, true), true)


ALIGNMENTS: Mapping[str, Measure] = {
    "": root_relative,
    "_scaled": root_scaled_errors,
    "_aligned": orthogonal,
    "_absolute": end_point_errors,
}
"""By the ending of figures; the scale gives root-relative joints the norm of the true ones."""

KIND = replace(
    COLOUR_SET,
    columns=(
        ("root-relative (mm)", "mean_mm", 2),
        ("scaled (mm)", "mean_mm_scaled", 2),
        ("Procrustes (mm)", "mean_mm_aligned", 2),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC scaled", "auc_0_50_scaled", 3),
        ("AUC Procrustes", "auc_0_50_aligned", 3),
        ("missed", "missed", 0),
    ),
    remark="figures without an ending are root-relative, with the predicted size of the hand",
)
"""How the scores are shown."""


def aligned_figures(predicted: np.ndarray, true: np.ndarray, alignments: Mapping[str, Measure]) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres, NaN for missed hands, over all joints of `true (N, 21, 3)`.

    100 thresholds from 0 to 50 mm, areas by the trapezoid rule. Raises InputError if no hand was found at all.
    """
    errors = {ending: errors_of_found(predicted, true, measure) for ending, measure in alignments.items()}
    return {
        name: value
        for ending, distances in errors.items()
        for name, value in figures_of_ending(distances, None, ending).items()
    }


def errors_of_found(predicted: np.ndarray, true: np.ndarray, measure: Measure) -> np.ndarray:
    """Errors (N, 21) in millimetres under an alignment, infinite for missed hands."""
    return of_found(predicted, lambda joints, which: measure(joints, true[which]))


def figures_of_ending(errors: np.ndarray, counted: np.ndarray | None, ending: str) -> Figures:
    """Figures of errors (N, J) in millimetres whose keys have an ending; the thresholds, which all share, have none."""
    figures = joint_figures(errors, counted, {"0_50": freihand_0_50()})
    return {name if name == "thresholds_mm" else f"{name}{ending}": value for name, value in figures.items()}
