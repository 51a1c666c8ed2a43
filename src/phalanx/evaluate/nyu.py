"""Protocol of the NYU hand pose set (Tompson et al., "Real-Time Continuous Pose Recovery of Human Hands Using Convolutional
Networks", ACM TOG 2014), as the depth community uses it.

- **Frames**: the 8,252 of the test split, first camera, in the order of their file numbers.
- **Joints**: 14 of the 36, `JOINTS` in the order of the files: two of each finger, three of the thumb, two sides of the wrist, the palm.
- **Root, scale, alignment**: none; joints are compared as they are, in millimetres in the camera's frame.
- **Camera**: `x = (u - 320) d / 588.03`, `y = (240 - v) d / 587.07`.
- **Figures**: mean distance over joints and frames; share of frames whose largest (and whose mean) error is at most t, t = 0 .. 80 mm.

Source of joints and constants: github.com/xinghaochen/awesome-hand-pose-estimation, `evaluation/`. Predictions are saved in the
community's text form (`data/joint_lines.py`) by `predict_nyu` or by other programs; scoring reads files only.

Our joints are not the points of the set: two sides of the wrist and the palm's middle are placed between our joints (`joints_14`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json, write_whole
from phalanx.core.json_values import Json
from phalanx.data.images import read_packed_depth
from phalanx.data.joint_lines import read_joint_lines
from phalanx.data.labels import check_distance
from phalanx.evaluate.kinds import Kind
from phalanx.evaluate.predictors import DepthHandPredictor
from phalanx.evaluate.steps import SCHEMA
from phalanx.metrics.frames import frames_with_mean_within, frames_within
from phalanx.metrics.joints import end_point_errors

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

KINDS = {
    "nyu": Kind(
        (
            ("mean (mm)", "mean_mm", 2),
            ("median (mm)", "median_mm", 2),
            ("first subject (mm)", "mean_first_subject_mm", 2),
            ("second subject (mm)", "mean_second_subject_mm", 2),
            ("frames within 20 mm (%)", "within_20_percent", 1),
            ("frames within 40 mm (%)", "within_40_percent", 1),
        ),
        "frames_with_max_error_within",
        "error threshold (mm)",
        "frames with all joints within (%)",
        "{name} ({mean_mm:.2f} mm)",
        expected=TEST_FRAMES,
        variants={"": ("", "14 joints of the first camera's frames, nothing aligned")},
    )
}
"""How scores are shown."""

HELP = """\
Files have the form that the depth community uses: a line for each frame, u v d of 14 joints (pixels, pixels, millimetres), in the order
of the test frames. Prints the mean joint error over all frames and the share of frames whose largest joint error is at most 20, 40
and 80 mm.

examples:
  phalanx evaluate nyu --predictions method.txt.gz --ground-truth nyu_test_groundtruth_label.txt.gz --json method.json
  phalanx evaluate nyu --frames NYU/test --predictions ours.txt --ground-truth test.txt
"""


def to_millimetres(pixels: np.ndarray) -> np.ndarray:
    """Joints `(N, 14, 3)` as u, v, d in the camera's frame, x right and y up, millimetres."""
    u, v, d = np.moveaxis(pixels, -1, 0)
    return np.stack([(u - CENTRE[0]) * d / FOCAL[0], (CENTRE[1] - v) * d / FOCAL[1], d], -1)


def score_nyu(predicted: np.ndarray, true: np.ndarray) -> dict[str, Json]:
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
    _refuse_xyz(predicted, true)
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


def _refuse_xyz(predicted: np.ndarray, true: np.ndarray) -> None:
    """Raise InputError if joints are x, y, z in millimetres instead of u, v, d: they agree with the truth only so read."""
    as_given = np.median(end_point_errors(to_millimetres(predicted), to_millimetres(true)))
    wanted = to_millimetres(true)
    for signs in ((1, 1, 1), (1, -1, 1)):
        if np.median(end_point_errors(predicted * signs, wanted)) < 0.5 * as_given:
            raise InputError("predicted: joints are x, y, z in millimetres; u v d in pixels and millimetres expected")


def joints_14(joints: np.ndarray) -> np.ndarray:
    """The 14 points `(..., 14, 3)` of right hands with our 21 joints `(..., 21, 3)`.

    The sides of the wrist lie a quarter of the knuckles' breadth beside ours, the little finger's first; the palm's middle
    half-way between wrist and knuckles.
    """
    wrist, knuckles = joints[..., 0, :], joints[..., [5, 9, 13, 17], :]
    breadth = 0.25 * (knuckles[..., 3, :] - knuckles[..., 0, :])  # from index to little finger
    palm = 0.5 * (wrist + knuckles.mean(-2))
    fingers = joints[..., [20, 18, 16, 14, 12, 10, 8, 6, 4, 3, 2], :]
    return np.concatenate([fingers, np.stack([wrist + breadth, wrist - breadth, palm], -2)], -2)


def predict_nyu(
    folder: str | Path,
    save: str | Path,
    predictor: DepthHandPredictor,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Predict the first camera's depth frames in a folder (or its `test`, or `dataset/test`) and save them as text; returns how many.

    A frame without a hand gets the joints of the frame before, as a tracker's user would have.

    Args:
        folder: with `depth_1_0000001.png` and so on.
        save: text file, a line for each frame: u v d of 14 joints.
        predictor: `predictor(depth (H, W) metres, K, side)` gives a `HandPrediction`, as `predict.depth.DepthPredictor` does.
        complain: is called with a sentence for every frame without a hand.
        progress: is called with the number of frames done and of all frames.

    Raises:
        InputError: there are no frames, or none with a hand; or the file cannot be written.
    """
    writable_file(save)
    root = next(
        (
            p
            for p in (Path(folder), Path(folder) / "test", Path(folder) / "dataset" / "test")
            if any(p.glob("depth_1_*.png"))
        ),
        None,
    )
    if root is None:
        raise InputError(f"{folder}: holds no depth_1_*.png, nor does its test or dataset/test")
    frames = sorted(root.glob("depth_1_*.png"))
    K = (*FOCAL, *CENTRE)
    found: list[np.ndarray | None] = []
    for number, path in enumerate(frames):
        try:
            points = joints_14(predictor(read_packed_depth(path), K, "right").joints)
            x, y, z = points.T
            found.append(np.stack([x / z * FOCAL[0] + CENTRE[0], y / z * FOCAL[1] + CENTRE[1], 1000 * z], -1))
        except InputError as error:
            found.append(None)
            complain(f"{path}: {error}")
        progress(number + 1, len(frames))
    known = [points for points in found if points is not None]
    if not known:
        raise InputError(f"{root}: no hand was found in any of {len(frames)} frames")
    last, lines = known[0], []
    for frame in found:
        last = last if frame is None else frame
        lines.append(" ".join(f"{value:.3f}" for value in last.ravel()))
    with write_whole(save) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    return len(frames)


def evaluate_nyu(
    predictions: str | Path, ground_truth: str | Path, json_path: str | Path | None = None, name: str | None = None
) -> dict[str, Json]:
    """Score a file of predictions against one of ground truth, both as `read_joint_lines` takes them; see `score_nyu`.

    `name` is the method's name in figures and tables (default: the file's name). Raises InputError for bad files.
    """
    if json_path is not None:
        writable_file(json_path)
    true = read_joint_lines(ground_truth, len(JOINTS))
    check_distance(true[..., 2], Path(ground_truth))  # both files in metres would agree with each other
    predicted = read_joint_lines(predictions, len(JOINTS))
    try:
        scores = {"name": name or method_name(predictions), **score_nyu(predicted, true)}
    except InputError as error:
        raise InputError(f"{predictions}: {error}") from error
    if json_path is not None:
        write_json(json_path, scores, indent=1)
    return scores


def show(scores: dict[str, Json]) -> None:
    """Print the figures of `evaluate_nyu` in a line."""
    thresholds, shares = scores["thresholds_mm"], scores["frames_with_max_error_within"]
    assert isinstance(thresholds, list) and isinstance(shares, list)
    within = {t: 100 * share for t, share in zip(thresholds, shares, strict=True) if isinstance(share, int | float)}
    print(
        f"{scores['name']}: mean joint error {scores['mean_mm']:.2f} mm (median {scores['median_mm']:.2f}) over {scores['frames']} frames"
        + ("; " if scores["frames"] == TEST_FRAMES else f", a part of the {TEST_FRAMES:,} of the test set; ")
        + "frames with all joints within "
        + ", ".join(f"{t} mm: {within[t]:.1f} %" for t in (20, 40, 80))
    )


def method_name(path: str | Path) -> str:
    """The name of a method: that of its file of predictions, without folder and endings."""
    return Path(path).name.removesuffix(".gz").removesuffix(".txt")
