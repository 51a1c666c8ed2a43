"""Protocol of HO-3D, versions 2 and 3 (Hampali et al., "HOnnotate", CVPR 2020): the authors' challenge, joints and surfaces.

- **Split**: evaluation, 11,524 pictures of version 2 and 20,137 of version 3, with the ground truth released in 2025
  (`evaluation_xyz.json`, and for surfaces `evaluation_verts.json`). The two versions are two sets: figures do not compare.
- **Joints**: 21. Theirs come in MANO's order with OpenGL axes; the reader turns both into ours.
- **Root and scale**: `_scaled` is theirs ("scale and translation aligned"): wrist on wrist, and the true length from wrist to middle
  MCP (joints 0 and 4 of their order). `_absolute` is theirs, too: joints as they are predicted, in the camera's frame. Figures
  without an ending are ours: wrist on wrist, nothing scaled.
- **Crop**: the square around the true joints, 1.6 times as wide. Theirs, `handBoundingBox`, holds hand and wrist alone.
- **Alignment**: `_aligned` is theirs: rotation, translation and scale by orthogonal Procrustes, reflections included.
- **Thresholds**: 100 from 0 to 50 mm, area by the trapezoid rule; means of each joint, then over joints. They print cm, here are
  millimetres. Missed hands are beyond all thresholds.
- **Surfaces**, where predictions have them: as in `freihand.py`, which their code repeats (F-scores at 5 and 15 mm, as predicted and
  aligned; MANO's surface with its distances).
- **Saved predictions** may also be in their form, `pred.json`: joints and vertices of all pictures in the order of
  `evaluation.txt`, metres, OpenGL axes, MANO's order (ours is recognised by the lengths of bones).

Sources: github.com/shreyashampali/ho3d (`eval.py`, `pred.py`), HOnnotate's issue 4 (order of joints in evaluation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.ho3d import HO3D, OPENCV_FROM_OPENGL, in_our_order
from phalanx.evaluate.aligned import ALIGNMENTS, KIND, aligned_figures
from phalanx.evaluate.freihand import score_surfaces
from phalanx.evaluate.pred_json import pred_json_run, read_pred_json
from phalanx.evaluate.predictions import JointPredictions
from phalanx.evaluate.protocol import Protocol, Truth
from phalanx.evaluate.steps import Figures
from phalanx.metrics.joints import bone_scaled, end_point_errors

BONE = (0, 9)
"""From wrist to middle MCP."""


class LabelledHO3D(HO3D):
    """Refuses a copy whose evaluation has no ground truth."""

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        if self.xyz is None:
            raise InputError(
                f"{self.folder / 'evaluation_xyz.json'}: is missing; the ground truth of evaluation was released later than the set"
            )


def scale_and_translation(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Errors with wrist on wrist and the true length of `BONE`."""
    return end_point_errors(bone_scaled(joints, true, BONE), true)


def score_ho3d(predicted: np.ndarray, truth: Truth) -> Figures:
    """Figures of `predicted (N, 21, 3)` metres in the camera's frame."""
    return aligned_figures(predicted, truth.joints, {**ALIGNMENTS, "_scaled": scale_and_translation})


def score_ho3d_surfaces(vertices: np.ndarray, joints: np.ndarray, truth: Truth) -> Figures:
    """Figures of surfaces (N, V, 3) as FreiHAND's, without those that are scaled about the camera."""
    figures = score_surfaces(vertices, joints, truth)
    return {name: value for name, value in figures.items() if not name.endswith("_scaled")}


def read_theirs(path: str | Path, keys: Sequence[str]) -> dict[str, JointPredictions]:
    """The one run in a file of the authors' form, which must have an entry for each hand that is scored.

    Raises InputError as `read_pred_json`.
    """
    joints, vertices = read_pred_json(Path(path), len(keys), list(range(len(keys))))
    joints = in_our_order(joints * OPENCV_FROM_OPENGL)
    return pred_json_run(Path(path), joints, (vertices * OPENCV_FROM_OPENGL).astype(np.float32))


KIND_HO3D = replace(
    KIND,
    columns=(
        *KIND.columns[:-1],
        ("absolute (mm)", "mean_mm_absolute", 2),
        ("mesh aligned (mm)", "mesh_mean_mm_aligned", 2),
        ("F@5 aligned by joints", "f_5_mm_aligned_by_joints", 3),
        ("F@15 aligned by joints", "f_15_mm_aligned_by_joints", 3),
        KIND.columns[-1],
    ),
)
PROTOCOL = Protocol(
    "ho3d", LabelledHO3D, "evaluation", 1.6, score_ho3d, KIND_HO3D, score_ho3d_surfaces, read_theirs=read_theirs
)
