"""The protocol of the NYU hand pose set (Tompson et al., "Real-Time Continuous Pose Recovery of Human Hands Using Convolutional
Networks", ACM TOG 2014), as the depth community keeps to it.

- **Frames**: the 8,252 of the test split, first camera, in the order of their file numbers.
- **Joints**: 14 of the 36, `JOINTS` in the order of the files: two of each finger, three of the thumb, two sides of the wrist, the palm.
- **Root, scale, alignment**: none; joints are compared where they are, in millimetres in the camera's frame.
- **Camera**: `x = (u - 320) d / 588.03`, `y = (240 - v) d / 587.07`.
- **Figures**: mean distance over joints and frames; share of frames whose largest (and whose mean) error is at most t, t = 0 .. 80 mm.

Source: github.com/xinghaochen/awesome-hand-pose-estimation, `evaluation/`; joints and constants as there. Predictions are saved by
whoever made them, in the community's text form (`data/joint_lines.py`); this file is the second step, scoring.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.data.joint_lines import read_joint_lines
from phalanx.metrics.frames import frames_with_mean_within, frames_within
from phalanx.metrics.joints import end_point_errors

SCHEMA = "phalanx.scores/1"
JOINTS = (
    *(f"{finger}_{joint}" for finger in ("little", "ring", "middle", "index") for joint in ("tip", "pip")),
    "thumb_tip",
    "thumb_ip",
    "thumb_mcp",
    "wrist_side_1",
    "wrist_side_2",
    "palm",
)
TEST_FRAMES = 8252
FIRST_SUBJECT = 2440
"""Test frames of the first of the two subjects; the others show the second, whose hand is smaller."""
FOCAL, CENTRE = (588.03, 587.07), (320.0, 240.0)  # pixels
THRESHOLDS = np.arange(81.0)  # millimetres
_UNIT_RATIO = 100.0  # depths of prediction and truth that differ more are not in one unit


def to_millimetres(pixels: np.ndarray) -> np.ndarray:
    """Joints `(N, 14, 3)` as u, v, d in the camera's frame, x right and y up, millimetres."""
    u, v, d = np.moveaxis(pixels, -1, 0)
    return np.stack([(u - CENTRE[0]) * d / FOCAL[0], (CENTRE[1] - v) * d / FOCAL[1], d], -1)


def score_nyu(predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """All figures of predicted joints `(N, 14, 3)`, u, v (pixels) and d (millimetres), as plain numbers; lengths in millimetres.

    Raises InputError if the shapes differ or the depths are not in one unit.
    """
    if predicted.shape != true.shape:
        raise InputError(f"predicted: {len(predicted)} frames, but the ground truth has {len(true)}")
    ratio = np.median(predicted[..., 2]) / np.median(true[..., 2])
    if not 1 / _UNIT_RATIO < ratio < _UNIT_RATIO:
        raise InputError(
            f"predicted: depths are {ratio:.3g} times the true ones (metres instead of millimetres?); u v d in pixels and "
            "millimetres expected"
        )
    errors = end_point_errors(to_millimetres(predicted), to_millimetres(true))  # (N, 14)
    subjects = {"first_subject": errors[:FIRST_SUBJECT], "second_subject": errors[FIRST_SUBJECT:]}
    return {
        "schema": SCHEMA,
        "protocol": "nyu",
        "frames": len(errors),
        "mean_mm": float(errors.mean()),
        "median_mm": float(np.median(errors)),
        "per_joint_mm": dict(zip(JOINTS, errors.mean(0).tolist(), strict=True)),
        **{f"mean_{name}_mm": float(part.mean()) for name, part in subjects.items() if len(true) == TEST_FRAMES},
        "thresholds_mm": THRESHOLDS.tolist(),
        "frames_with_max_error_within": frames_within(errors, THRESHOLDS).tolist(),
        "frames_with_mean_error_within": frames_with_mean_within(errors, THRESHOLDS).tolist(),
    }


def evaluate_nyu(
    predictions: str | Path, ground_truth: str | Path, json_path: str | Path | None = None, name: str | None = None
) -> dict[str, Any]:
    """Score a file of predictions against one of ground truth, both as `read_joint_lines` takes them; see `score_nyu`.

    `name` is what the method is called in figures and tables (default: the file's name). Raises InputError for files at fault.
    """
    if json_path is not None:
        writable_file(json_path)
    true = read_joint_lines(ground_truth, len(JOINTS))
    predicted = read_joint_lines(predictions, len(JOINTS))
    try:
        scores = {"name": name or method_name(predictions), **score_nyu(predicted, true)}
    except InputError as error:
        raise InputError(f"{predictions}: {error}") from error
    if json_path is not None:
        write_json(json_path, scores, indent=1)
    return scores


def method_name(path: str | Path) -> str:
    """The name of a file of predictions without folder and endings, as the method's name."""
    return Path(path).name.removesuffix(".gz").removesuffix(".txt")
