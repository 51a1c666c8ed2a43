"""Protocol of FreiHAND (Zimmermann et al., "FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB
Images", ICCV 2019): joints, and surfaces where the predictions have them.

- **Split**: evaluation, 3,960 pictures, whose labels came in a later release.
- **Joints**: 21. **Root**: none. **Scale**: figures without an ending are theirs, of joints as they are predicted, in the camera's frame.
  `_scaled` is ours: the set gives the length from middle MCP to PIP (their predictors may use it), and predictions are scaled to
  it about the camera, so that they stay where they are seen.
- **Crop**: the square around the true joints, 1.6 times as wide; the pictures are cut out already.
- **Alignment**: `_aligned` after rotation, translation and scale by orthogonal Procrustes, as their code does it, reflections
  included.
- **Thresholds**: 100 from 0 to 50 mm, area by the trapezoid rule.
- **Surfaces**: F-scores at 5 and 15 mm, means over pictures: `f_5_mm` of the surface as it is predicted, `f_5_mm_scaled` scaled as the
  joints are, and `f_5_mm_aligned_by_joints` under the similarity that takes predicted joints nearest to the true (no reflection).
- **MANO's surface**: if there are as many predicted vertices as true ones (778), they are taken for the same, as their code does: then
  also `mesh_mean_mm` and its area, and all again `_aligned`, by orthogonal Procrustes on the vertices. `f_5_mm_aligned` is what papers
  with MANO's surface print as F@5.
- **Our surface** is not MANO's and has 1,555 vertices without the forearm, which is left out: vertices do not correspond, so that
  only F-scores hold. They use the nearest vertex, not the nearest point of the surface, and at the wrist the two surfaces end
  differently: a perfect fit does not reach 1. Surfaces are saved as float32 metres, 74 MB before compression; float16 would round by up to
  a quarter of a millimetre at these distances.
- **Missed hands** have F-scores of 0.
- **Saved predictions** may also be in their form, `pred.json`: two lists with an entry for each picture, in the order of the numbers:
  joints (21, 3) and vertices (V, 3), metres. It has no missed hands and no pixels.

Source: github.com/lmb-freiburg/freihand (`eval.py`, `pred.py`, `utils/eval_util.py`). Its transform by joints differs (`aligned_by_joints`
says how), so that aligned F-scores of other surfaces than MANO's compare with no published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.freihand import OFFICIAL, FreiHAND
from phalanx.evaluate.kinds import COLOUR_SET
from phalanx.evaluate.pred_json import pred_json_run, read_pred_json
from phalanx.evaluate.predictions import JointPredictions
from phalanx.evaluate.protocol import SCALE_BONE, Protocol, Truth, joint_figures, of_found
from phalanx.evaluate.steps import Figures
from phalanx.metrics.curves import freihand_0_50
from phalanx.metrics.joints import end_point_errors, orthogonal_aligned
from phalanx.metrics.surfaces import FREIHAND_THRESHOLDS, aligned_by_joints, f_scores, vertex_errors

BLOCK = 256
"""How many surfaces are scored at once."""


def known_scale(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Factors (N,) that make the bone from middle MCP to PIP of `joints (N, 21, 3)` as long as that of `true (N, 21, 3)`."""
    bone, length = (
        np.linalg.norm(points[:, SCALE_BONE[1]] - points[:, SCALE_BONE[0]], axis=-1) for points in (joints, true)
    )
    return np.divide(length, bone, out=np.ones_like(bone), where=bone > 0)


def score_freihand(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres in the camera's frame."""
    true = truth.joints

    def raw(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(joints, true[which])

    def scaled(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(joints * known_scale(joints, true[which])[:, None, None], true[which])

    def aligned(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(orthogonal_aligned(joints, true[which]), true[which])

    grids = {"0_50": freihand_0_50()}
    figures = joint_figures(of_found(predicted, raw), None, grids)
    for ending, measure in (("scaled", scaled), ("aligned", aligned)):
        others = joint_figures(of_found(predicted, measure), None, grids)
        figures |= {f"{name}_{ending}": value for name, value in others.items() if name != "thresholds_mm"}
    return figures


def score_surfaces(vertices: np.ndarray, joints: np.ndarray, truth: Truth) -> Figures:
    """Figures of predicted surfaces (N, V, 3) with their joints (N, 21, 3), metres in the camera's frame; NaN where missed.

    Raises InputError if there is not one surface, or the truth has none.
    """
    if truth.vertices is None:
        raise InputError("freihand: there are no true surfaces")
    found = np.flatnonzero(np.isfinite(vertices).all((1, 2)) & np.isfinite(joints).all((1, 2)))
    if not len(found):
        raise InputError("predictions: no surface is there in any picture")
    count, same = len(vertices), vertices.shape == truth.vertices.shape
    kinds = ("", "_scaled", "_aligned_by_joints", *(("_aligned",) if same else ()))
    scores = {kind: np.zeros((count, len(FREIHAND_THRESHOLDS))) for kind in kinds}
    errors = {kind: np.full(vertices.shape[:2], np.inf) for kind in ("", "_scaled", "_aligned") if same}
    for start in range(0, len(found), BLOCK):
        which = found[start : start + BLOCK]
        surface, true = vertices[which].astype(float), truth.vertices[which].astype(float)
        versions = {
            "": surface,
            "_scaled": surface * known_scale(joints[which], truth.joints[which])[:, None, None],
            "_aligned_by_joints": aligned_by_joints(surface, joints[which], truth.joints[which]),
        }
        if same:
            versions["_aligned"] = orthogonal_aligned(surface, true)
        for kind, version in versions.items():
            scores[kind][which] = f_scores(version, true)
            if kind in errors:
                errors[kind][which] = vertex_errors(version, true) * 1e3
    figures: Figures = {}
    for kind, values in scores.items():
        for threshold, mean in zip(FREIHAND_THRESHOLDS, values.mean(0).tolist(), strict=True):
            figures[f"f_{round(threshold * 1e3)}_mm{kind}"] = mean
    for kind, distances in errors.items():
        mesh = joint_figures(distances, None, {"0_50": freihand_0_50()})
        figures |= {f"mesh_{name}{kind}": mesh[name] for name in ("mean_mm", "auc_0_50")}
    return figures


def read_theirs(path: str | Path, keys: Sequence[str]) -> dict[str, JointPredictions]:
    """The one run in a file of the authors' form; see the head of this module. Raises InputError as `read_pred_json`."""
    numbers = [int(key.split("_")[1]) for key in keys]  # keys are 0_HAND_0; a part of the set has some of them
    joints, vertices = read_pred_json(Path(path), OFFICIAL["evaluation"]["hands"], numbers)
    return pred_json_run(Path(path), joints, vertices)


KIND = replace(
    COLOUR_SET,
    columns=(
        ("mean (mm)", "mean_mm", 2),
        ("scaled (mm)", "mean_mm_scaled", 2),
        ("aligned (mm)", "mean_mm_aligned", 2),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC scaled", "auc_0_50_scaled", 3),
        ("AUC aligned", "auc_0_50_aligned", 3),
        ("mesh (mm)", "mesh_mean_mm", 2),
        ("mesh aligned (mm)", "mesh_mean_mm_aligned", 2),
        ("F@5", "f_5_mm", 3),
        ("F@15", "f_15_mm", 3),
        ("F@5 aligned by joints", "f_5_mm_aligned_by_joints", 3),
        ("F@15 aligned by joints", "f_15_mm_aligned_by_joints", 3),
        ("missed", "missed", 0),
    ),
)
PROTOCOL = Protocol(
    "freihand", FreiHAND, "evaluation", 1.6, score_freihand, KIND, score_surfaces, read_theirs=read_theirs
)
