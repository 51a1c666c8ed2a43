"""Protocol of HGR (Kawulok et al. 2014): visible fingertips in the picture, and the hand's mask against the skin's.

Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPRW 2018, section 5.4 and Table 3, say: "MSE over
pixel errors, with image size 225x225 pixels", of visible 2D points, the caption says fingertips, on "all front facing images (since back
facing ones have almost no visible fingertip)", with an oracle segmentation, made by themselves; the 3D tips are put into the picture "by
solving a least-squares system to best fit to the groundtruth labels". They leave open which pictures they took for front facing, what was
cut out before it was brought to 225 pixels, the unknowns of the least-squares system, how predicted and labelled tips were paired,
and whether the mean runs over points or coordinates. Here:

- **Split**: HGR1 and HGR2, all 1,558 pictures (the paper speaks of 1,500); nothing was split officially.
- **Pictures**: the set does not say which face the front, and the paper's reason for leaving out backs is that tips are not seen, so
  pictures with labelled tips count. The fit has three unknowns (scale and shift, `scaled_orthographic`), which two tips all but meet:
  `fingertip_squared_error_px2` is of pictures with three labelled tips or more; `..._any_tips` of all, which flatters.
- **As seen**: `..._as_seen` is of predicted pixels as they are, without any fit, over all labelled tips; so are mean, median and curve.
  The fit knows no perspective: of a hand 20 cm from the camera whose tips are seen where they should be it leaves some 90 px^2.
- **Joints**: labelled points are tips if their category has "tip" in it, in capitals or not; categories are not documented anywhere,
  so that all that occur are counted in the figures, and others can be named. A tip whose category also names the finger is that
  finger's, if the category comes once a hand. The others are paired with the predicted tips of the remaining fingers by the
  assignment of least total distance in the picture. That helps the prediction: it is never farther than with the right names.
  Pictures with several marked hands or more than five tips have no tips that count (`ambiguous`).
- **Mean**: over tips, dx^2 + dy^2 being one error; the other reading is half of it. `_low`, `_high`: the 95 % interval over pictures.
- **Crop**: no detector. The skin mask is the oracle: the square around its largest connected part, 1.1 times as wide, is the
  predictor's box, and its side is 225 pixels of errors and masks. It holds the forearm where that is bare; a square around the hand
  alone would be smaller, and errors in it larger. **Side** is not told, nor is the camera.
- **Masks**: the silhouette of the predicted surface against skin, counted in that square as far as the picture reaches: IoU,
  precision, recall, F1 and accuracy of all pixels together; `mask_iou_mean` is the mean of the pictures'. Skin is not the hand alone: the
  forearm is part of it as far as it is bare. The surface has a forearm too, always of about 20 cm: where they end differs, and
  a sleeve costs the prediction.

Missed hands are left out of errors, are wrong in the curve, and have no pixel in their mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.data.images import image_bytes
from phalanx.data.public.hgr import HGR, OFFICIAL
from phalanx.data.sample import Sample
from phalanx.evaluate.compare import as_markdown
from phalanx.evaluate.hgr_labels import BEYOND, SIZE, HGRTruth, read_hgr, to_square
from phalanx.evaluate.predictions import (
    RUN,
    JointPredictions,
    check_hands,
    load_predictions,
    maker,
    predictor_or_default,
    save_predictions,
)
from phalanx.evaluate.published import beside_published
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox
from phalanx.hand.skeleton import TIPS
from phalanx.metrics.bootstrap import bootstrap_frames
from phalanx.metrics.curves import pck_curve
from phalanx.metrics.joints import scaled_orthographic, squared_pixel_errors
from phalanx.metrics.masks import f1, iou, mask_counts, pixel_accuracy, precision, recall
from phalanx.render.visibility import visibility

LEAST_TIPS = 3
"""Labelled tips of a picture that a fit of scale and shift can be told from the truth by."""

THRESHOLDS = np.arange(51.0)
"""Of the curve of tips, pixels."""

DIFFERS = (
    "pictures with three labelled tips or more, of all that there are; square around the set's own skin masks; fingers are paired by "
    "least distance where the labels do not name them"
)


def evaluate_hgr(
    folder: str | Path,
    predictor: Callable[..., Any] | None = None,
    predictions: str | Path | None = None,
    save: str | Path | None = None,
    json_path: str | Path | None = None,
    whole: bool = True,
    splits: Sequence[str] = tuple(OFFICIAL),
    tip_categories: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Predict and score the pictures of HGR, or score saved predictions; returns the figures.

    Args:
        folder: of the set.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        predictions: a file written through `save`; it is scored and nothing is predicted.
        save: NPZ to write the predictions to.
        json_path: file to write the figures to.
        whole: refuse a set that is not whole.
        splits: of `hgr1` and `hgr2`.
        tip_categories: categories of points that are tips, in place of those with "tip" in their name.
        progress: is called with pictures done and in all.

    Raises:
        InputError: files are at fault, or no picture has a labelled tip.
    """
    for target in (save, json_path):
        if target is not None:
            writable_file(target)
    sets = [HGR(folder, split, whole) for split in splits]
    if predictions is not None:
        if predictor is not None or save is not None:
            raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
        truth = read_hgr(sets, tip_categories, lambda sample, square: None, progress)
        runs = load_predictions(predictions, truth.keys)
    else:
        run, truth = predict_hgr(sets, predictor_or_default(predictor), tip_categories, progress)
        runs = {RUN: run}
        if save is not None:
            save_predictions(save, truth.keys, runs)
    report = {
        "schema": "phalanx.scores/1",
        "protocol": "hgr",
        "split": "+".join(splits),
        "whole": whole,
        "pictures": len(truth.keys),
        "ambiguous": truth.ambiguous,
        "categories": truth.categories,
        "thresholds_px": THRESHOLDS.tolist(),
        "runs": list(runs),
        **{name: score_hgr(run, truth) for name, run in runs.items()},
    }
    if json_path is not None:
        write_json(json_path, report, indent=1)
    return report


def predict_hgr(
    sets: Sequence[HGR],
    predictor: Callable[..., Any],
    tip_categories: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[JointPredictions, HGRTruth]:
    """Predictions and labels of every picture; the predictor gets picture and square, neither side nor camera."""
    joints, joints_2d, masks, ms = [], [], [], []

    def predict(sample: Sample, square: SquareBox) -> None:
        assert sample.image is not None
        left, top = (centre + 0.5 - square.side / 2 for centre in (square.centre_x, square.centre_y))
        image = image_bytes(sample.image[0])
        started = time.perf_counter()
        hands = predictor(image, box=(left, top, square.side, square.side), side="auto")
        ms.append((time.perf_counter() - started) * 1e3)
        joints.append(hands[0].joints if hands else np.full((21, 3), np.nan))
        joints_2d.append(hands[0].joints_2d if hands else np.full((21, 2), np.nan))
        masks.append(silhouette(hands[0], square) if hands else np.zeros((SIZE, SIZE), bool))

    truth = read_hgr(sets, tip_categories, predict, progress)
    pixels, metres = np.array(joints_2d, float), np.array(joints, float)
    run = JointPredictions(pixels, metres, np.array(ms), masks=np.array(masks), made_by=maker(predictor))
    check_hands(run, truth.keys, "predictor")
    return run, truth


def score_hgr(run: JointPredictions, truth: HGRTruth) -> dict[str, Any]:
    """Figures of one run, as the head of this module defines them; None where no picture has enough tips for a fit.

    Raises InputError if no hand was found at all, or the masks are not `SIZE` x `SIZE`.
    """
    used = truth.labelled.any(1)
    found = run.found & used
    if not found.any():
        raise InputError("predictions: no hand was found in any picture with labelled tips")
    figures: dict[str, Any] = {
        "missed": int((~run.found).sum()),
        "pictures_with_tips": int(used.sum()),
        "tips": int(truth.labelled.sum()),
    }
    tips_2d = np.full((len(truth.keys), len(TIPS), 2), np.nan)  # in pixels of the square
    for index in np.flatnonzero(run.found):
        tips_2d[index] = to_square(run.joints_2d[index, list(TIPS)], truth.squares[index])
    true, valid = paired_tips(tips_2d[found], truth.tips[found], truth.fingers[found], truth.labelled[found])
    shifts = squared_pixel_errors(tips_2d[found], true, valid)  # (F, 5), NaN where there is no tip
    seen = np.sqrt(shifts[valid])
    places = scaled_orthographic(run.joints[found][:, TIPS], true, valid)
    fitted = squared_pixel_errors(places, true, valid)
    enough = fitted[np.flatnonzero(valid.sum(1) >= LEAST_TIPS)]
    missed = np.full(int(truth.labelled[~found].sum()), np.inf)
    name = "fingertip_squared_error_px2"
    figures |= {
        name: float(np.nanmean(enough)) if len(enough) else None,
        f"{name}_low": None,
        f"{name}_high": None,
        "pictures_fitted": len(enough),
        f"{name}_any_tips": float(np.nanmean(fitted)),
        f"{name}_as_seen": float(np.square(seen).mean()),
        "fingertip_mean_px_as_seen": float(seen.mean()),
        "fingertip_median_px_as_seen": float(np.median(seen)),
        "tips_within": pck_curve(np.concatenate([seen, missed]), THRESHOLDS).tolist(),
    }
    if len(enough):
        interval = bootstrap_frames(lambda drawn: float(np.nanmean(enough[drawn])), len(enough), seed=0)
        figures |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    if run.masks is not None:
        figures |= _mask_figures(run.masks, truth.masks)
    figures["ms_per_image"] = float(run.ms.mean())
    return figures | ({"made_by": run.made_by} if run.made_by else {})


def paired_tips(
    predicted: np.ndarray, tips: np.ndarray, fingers: np.ndarray, labelled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labelled tips in the order of fingers: those that are named, and the others where the total distance is least.

    Args:
        predicted: (N, 5, 2) tips, thumb first, in the pixels of the labels.
        tips, fingers, labelled: as in `HGRTruth`.

    Returns:
        true tips (N, 5, 2), thumb first, 0 where there is none, and which there are (N, 5) bool.
    """
    from scipy.optimize import linear_sum_assignment

    true, valid = np.zeros_like(predicted), np.zeros(predicted.shape[:2], bool)
    for index in range(len(predicted)):
        order = fingers[index].copy()  # (5,) finger of each labelled tip
        unnamed = np.flatnonzero(labelled[index] & (order < 0))
        free = np.setdiff1d(np.arange(len(TIPS)), order[labelled[index]])
        distance = np.linalg.norm(tips[index, unnamed][:, None] - predicted[index, free][None], axis=-1)
        rows, columns = linear_sum_assignment(distance)
        order[unnamed[rows]] = free[columns]
        known = np.flatnonzero(labelled[index])
        true[index, order[known]], valid[index, order[known]] = tips[index, known], True
    return true, valid


def silhouette(hand: Any, square: SquareBox) -> np.ndarray:
    """Where the surface of a `HandPrediction` is seen in the square: (SIZE, SIZE) bool; nowhere if it has none."""
    if hand.vertices is None:
        return np.zeros((SIZE, SIZE), bool)
    camera = Camera(torch.from_numpy(np.asarray(hand.K, float)), hand.width, hand.height).crop(square, SIZE)
    vertices = torch.from_numpy(np.asarray(hand.vertices, np.float32))[None]
    faces = torch.from_numpy(np.asarray(hand.faces, np.int64))
    return visibility(vertices, faces, camera.K.float(), SIZE, SIZE)[0].numpy() >= 0


def hgr_table(report: dict[str, Any]) -> str:
    """Figures of all runs, and Table 3 of Dibra et al. beside the measured one, as Markdown."""
    columns = (
        ("tips, fitted (px²)", "fingertip_squared_error_px2", 1),
        ("as seen (px²)", "fingertip_squared_error_px2_as_seen", 1),
        ("as seen, median (px)", "fingertip_median_px_as_seen", 1),
        ("mask IoU", "mask_iou", 3),
        ("precision", "mask_precision", 3),
        ("recall", "mask_recall", 3),
        ("F1", "mask_f1", 3),
        ("accuracy", "mask_accuracy", 3),
        ("missed", "missed", 0),
    )
    rows = [["run", *(heading for heading, _, _ in columns)]]
    for run in report["runs"]:
        values = [(report[run].get(key), digits) for _, key, digits in columns]
        rows.append(
            [
                run if report["whole"] else f"{run} (part of the set)",
                *("" if value is None else f"{value:.{digits}f}" for value, digits in values),
            ]
        )
    name = "fingertip_squared_error_px2"
    measured = {run: report[run][name] for run in report["runs"] if report[run][name] is not None}
    beside = beside_published(measured, "hgr", name, dict.fromkeys(measured, DIFFERS)) if measured else ""
    return f"{as_markdown(rows)}\n{beside}"


def _mask_figures(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    if predicted.shape != true.shape:
        raise InputError(f"predictions: masks must have shape {true.shape}, have {predicted.shape}")
    counts = []
    for found, skin in zip(predicted, true, strict=True):
        inside = skin != BEYOND
        counts.append(mask_counts(found[inside][None, None], skin[inside][None, None] == 1)[0])  # as (1, 1, pixels)
    each = np.array(counts)  # (N, 4)
    scores = {"iou": iou, "precision": precision, "recall": recall, "f1": f1, "accuracy": pixel_accuracy}
    together = {f"mask_{name}": float(score(each.sum(0))) for name, score in scores.items()}
    return {**together, "mask_iou_mean": float(iou(each).mean())}
