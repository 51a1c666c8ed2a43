"""Errors of surfaces, given as vertices in the unit of your choice; alignments of `metrics.joints` take them too."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.geometry.alignment import similarity_alignment
from phalanx.metrics.checks import check_extent, check_units, checked_points
from phalanx.metrics.joints import end_point_errors

FREIHAND_THRESHOLDS = (0.005, 0.015)
"""5 and 15 mm, in metres: the two F-scores of FreiHAND and HO-3D."""


def vertex_errors(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Distance of every vertex to the same vertex of the true surface: `(N, V, 3) x 2 -> (N, V)`.

    The mean is the mesh error of FreiHAND (Zimmermann et al., ICCV 2019, section 5; "MPVPE", after
    `metrics.joints.procrustes_aligned` "PA-MPVPE"). Both surfaces must have the same vertices; otherwise `f_scores`.
    """
    first, second, _ = checked_points(predicted, true, None, 3)
    return end_point_errors(first, second)


def nearest_distances(predicted: ArrayLike, true: ArrayLike) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Per frame, from each predicted vertex to the nearest true one, and back: `(N, V, 3), (N, W, 3)`.

    Returns two lists of N arrays, (V,) and (W,). Vertices need not correspond.
    """
    from scipy.spatial import cKDTree

    first, second = _two_surfaces(predicted, true)
    there, back = [], []
    for p, t in zip(first, second, strict=True):
        there.append(cKDTree(t).query(p)[0])
        back.append(cKDTree(p).query(t)[0])
    return there, back


def f_scores(predicted: ArrayLike, true: ArrayLike, thresholds: ArrayLike = FREIHAND_THRESHOLDS) -> np.ndarray:
    """F-score of each frame at each threshold: `(N, V, 3), (N, W, 3), (T,) -> (N, T)`, between 0 and 1.

    Knapitsch et al., "Tanks and Temples", SIGGRAPH 2017, as FreiHAND's evaluation code has it (`calculate_fscore`): the
    harmonic mean of the share of predicted vertices nearer than the threshold to any true vertex (precision) and of the
    share of true vertices nearer than that to any predicted one (recall); 0 if both are 0. Nearer means <. The figure of
    a set is the mean over frames. Default thresholds are in metres.
    """
    limits = as_array(thresholds, (None,), "thresholds")
    scores = []
    for there, back in zip(*nearest_distances(predicted, true), strict=True):
        precision = (there[:, None] < limits).mean(0)  # (T,)
        recall = (back[:, None] < limits).mean(0)
        total = precision + recall
        scores.append(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0))
    return np.array(scores)


def aligned_by_joints(vertices: ArrayLike, predicted_joints: ArrayLike, true_joints: ArrayLike) -> np.ndarray:
    """Predicted vertices under the similarity that takes predicted joints nearest to the true: `(N, V, 3) -> (N, V, 3)`.

    `predicted_joints` and `true_joints` are (N, J, 3). For surfaces whose vertices are not those of the truth, as
    FreiHAND scores them. (Its code, `align_by_trafo`, turns vertices about their own mean and multiplies them by the true
    joints' norm without dividing by the predicted ones'; this is the transform that was meant.)
    """
    surface = as_array(vertices, (None, None, 3), "vertices")
    first, second, _ = checked_points(predicted_joints, true_joints, None, 3)
    check_extent(second)
    if len(surface) != len(first):
        raise InputError(f"vertices: has {len(surface)} frames, the joints have {len(first)}")
    found = similarity_alignment(torch.tensor(first), torch.tensor(second))
    rotation, translation, scale = (part.numpy() for part in found)
    return scale[:, None, None] * (surface @ rotation.transpose(0, 2, 1)) + translation[:, None]


def _two_surfaces(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first = as_array(predicted, (None, None, 3), "predicted")
    second = as_array(true, (None, None, 3), "true")
    if len(first) != len(second):
        raise InputError(f"predicted: has {len(first)} frames, the truth has {len(second)}")
    if first.size == 0 or second.size == 0:
        raise InputError("predicted: at least one frame, and a vertex on both sides, expected")
    check_units(first, second)
    return first, second
