"""Figures of hands whose root and scale are known, as RHD, STB and MHP are scored: rooted at the palm, and at the wrist of known depth.

- **Rooted at the palm** (figures without an ending): Zimmermann and Brox, ICCV 2017, by their code, github.com/lmb-freiburg/hand3d
  (`eval_full.py`, `data/BinaryDbReader.py`). Predictions are multiplied by the ratio of true to predicted length of `SCALE_BONE` and moved
  so that palms meet.
- **Known depth** (`_known_depth`): Cai et al., "Weakly-supervised 3D Hand Pose Estimation from Monocular RGB Images", ECCV 2018, section
  4.2 and equation 5: "the global hand scale and the root depth are known", the root is the wrist (STB's palm is moved there), and joints
  are compared in the global domain. (Chen, dissertation 2020, moves roots to the wrist, too, and does not state the rest.)
- So depths are relative to the wrist, multiplied by the scale and moved by the wrist's true depth; x and y follow from where joints are
  predicted in the picture. Nothing else is moved: a hand predicted beside its place is wrong here, and right if roots are moved onto
  each other.
- **Errors in depth**: `z_mean_mm_known_depth`, the mean absolute error in z over joints and frames, the second metric of section 4.2;
  `z_median_mm_known_depth` is ours.
- **What is ours**: the paper does not say which bone is the scale (here `SCALE_BONE`, as Zimmermann and Brox), which joints count (here
  all, with the wrist, whose error in depth is always 0; only the visible ones if the set labels them, as Zimmermann and Brox) nor how
  joints are pooled (here by joint, as they do). Its text has no thresholds: both areas of Zimmermann and Brox are given.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phalanx.evaluate.kinds import COLOUR_SET, Kind
from phalanx.evaluate.predictions import JointPredictions
from phalanx.evaluate.protocol import SCALE_BONE, Truth, joint_figures, of_found
from phalanx.evaluate.steps import Figures
from phalanx.metrics.curves import zimmermann_0_50, zimmermann_20_50
from phalanx.metrics.joints import bone_scaled, end_point_errors, z_errors

PALM = "the palm is the root, the length of a bone known, as Zimmermann and Brox 2017 score"
DEPTH = "the wrist is the root, its depth and the length of a bone known, joints in the camera's frame, as Cai et al. 2018 score"


def rooted_kind(scored: str, dataset: str = "") -> Kind:
    """How scores with both kinds of figures are shown; `scored` says which joints or pictures, `dataset` is that of `Kind`."""
    variants = {
        "": ("palm", f"{PALM}; {scored}"),
        "_known_depth": ("wrist of known depth", f"{DEPTH}; {scored}"),
    }
    return replace(COLOUR_SET, variants=variants, dataset=dataset)


def with_palm(joints: np.ndarray, knuckle: int) -> np.ndarray:
    """Joints `(N, 21, 3)` with the palm, halfway between wrist and the MCP number `knuckle`, in place of the wrist."""
    return np.concatenate([(joints[:, :1] + joints[:, [knuckle]]) / 2, joints[:, 1:]], axis=1)


def palm_rooted_figures(predicted: np.ndarray, truth: Truth, knuckle: int, counted: np.ndarray | None) -> Figures:
    """Figures as in Zimmermann and Brox, ICCV 2017: the palm is the root, the true length of `SCALE_BONE` the scale.

    Args:
        predicted: (N, 21, 3) metres.
        truth: the labels.
        knuckle: the palm lies between it and the wrist.
        counted: (N, 21) bool, the joints that count; None: all.
    """
    true = with_palm(truth.joints, knuckle)

    def errors(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(bone_scaled(with_palm(joints, knuckle), true[which], SCALE_BONE), true[which])

    return joint_figures(of_found(predicted, errors), counted, {"0_50": zimmermann_0_50(), "20_50": zimmermann_20_50()})


def known_depth_joints(joints: np.ndarray, joints_2d: np.ndarray, true: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Predicted joints in the camera's frame, given the true depth of the wrist and the true length of `SCALE_BONE`.

    Args:
        joints: (N, 21, 3) predicted, metres, in any frame parallel to the camera's.
        joints_2d: (N, 21, 2) predicted, pixels.
        true: (N, 21, 3) metres, camera frame.
        K: (N, 3, 3) camera matrices.

    Returns:
        (N, 21, 3) metres. A predicted bone without length has no scale: all joints then lie at the wrist's depth.
    """
    scaled = bone_scaled(joints, true, SCALE_BONE)  # wrist on wrist: depths are those of the true hand
    ones = np.ones((*joints_2d.shape[:2], 1))
    rays = np.concatenate([joints_2d, ones], -1) @ np.linalg.inv(K).transpose(0, 2, 1)  # (N, 21, 3), z = 1
    return rays * scaled[..., 2:]


def known_depth_figures(run: JointPredictions, truth: Truth) -> Figures:
    """Figures with the wrist's depth and the scale known, over the visible joints; see the head of this module.

    Empty for predictions whose pixels are all 0: they do not say where hands are seen.
    """
    assert truth.K is not None
    if not run.joints_2d[run.found].any():
        return {}
    cameras = truth.K

    def place(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return known_depth_joints(joints, run.joints_2d[which], truth.joints[which], cameras[which])

    def errors(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return end_point_errors(place(joints, which), truth.joints[which])

    def depth_errors(joints: np.ndarray, which: np.ndarray) -> np.ndarray:
        return z_errors(place(joints, which), truth.joints[which])

    grids = {"0_50": zimmermann_0_50(), "20_50": zimmermann_20_50()}
    figures = joint_figures(of_found(run.joints, errors), truth.visible, grids)
    depth = joint_figures(of_found(run.joints, depth_errors), truth.visible, grids)
    return {
        **{f"{name}_known_depth": value for name, value in figures.items() if name != "thresholds_mm"},
        **{f"z_{name}_known_depth": depth[name] for name in ("mean_mm", "median_mm")},
    }
