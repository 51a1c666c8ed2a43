"""Protocol of HGR (Kawulok et al. 2014): visible fingertips in the picture, and the mask of the hand against that of the skin.

Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPRW 2018, section 5.4 and Table 3, print "MSE over
pixel errors, with image size 225x225 pixels", of visible 2D points (fingertips, by the caption), on "all front facing images (since back
facing ones have almost no visible fingertip)", with an oracle segmentation of their own; the 3D tips are put into the picture "by
solving a least-squares system to best fit to the groundtruth labels".

They do not say which pictures they took for front facing, what they cut out before scaling to 225 pixels, what the unknowns of the
least-squares system are, how they paired predicted and labelled tips, nor whether the mean is over points or coordinates. Here:

- **Split**: HGR1 and HGR2, all 1,558 pictures (the paper has 1,500); there is no official split.
- **Pictures**: the set does not label front facing pictures. The paper leaves out backs because their tips are not visible, so
  pictures with labelled tips count. The fit has three unknowns (scale and shift, `scaled_orthographic`), which two tips nearly meet:
  `fingertip_squared_error_px2` is over pictures with three labelled tips or more; `..._any_tips` is over all, and too small.
- **As seen**: `..._as_seen` is over predicted pixels as they are, without a fit, of all labelled tips; so are mean, median and curve.
  The fit has no perspective: for a hand 20 cm from the camera whose tips are predicted exactly it leaves some 90 px^2.
- **Joints**: labelled points are tips if their category contains "tip" in upper or lower case. The categories are not documented, so the
  figures count all that occur, and the caller can name others. A tip belongs to the finger that its category names, if the category
  occurs once in the hand.
- **Other tips** are paired with the predicted tips of the remaining fingers by the assignment of least total distance in the picture. This
  helps the prediction: the distance is never larger than with the right names. Pictures with several labelled hands or more than
  five tips are `ambiguous`: none of their tips count.
- **Mean**: over tips, with dx^2 + dy^2 as one error; the mean over coordinates is half of it. `_low`, `_high`: 95 % interval over pictures.
- **Crop**: no detector. The skin mask is the oracle: the square around its largest connected part, 1.1 times as wide, is the
  predictor's box, and its side is 225 pixels of errors and masks. It contains the forearm if that is bare; a square around the hand
  alone would be smaller, and errors in it larger. The predictor gets neither **side** nor camera.
- **Masks**: the silhouette of the predicted surface against skin, inside that square and the picture: IoU, precision, recall, F1 and
  accuracy of all pixels together; `mask_iou_mean` is the mean over pictures. The skin mask contains the forearm as far as it is bare;
  the surface has about 20 cm of forearm: they end at different places, and a sleeve counts against the prediction.

Missed hands are left out of errors, count as wrong in the curve, and have an empty mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.data.images import image_bytes
from phalanx.data.public.hgr import HGR, OFFICIAL
from phalanx.data.sample import Sample
from phalanx.evaluate.hgr_labels import BEYOND, SIZE, HGRTruth, read_hgr, to_square
from phalanx.evaluate.kinds import Kind
from phalanx.evaluate.markup import as_markdown, cells
from phalanx.evaluate.predictions import (
    RUN,
    FoundJoints,
    JointPredictions,
    ask,
    joint_run,
    load_predictions,
    maker,
    predictor_or_default,
    save_predictions,
)
from phalanx.evaluate.predictors import HandPredictor
from phalanx.evaluate.published import beside_published
from phalanx.evaluate.steps import STEPS, Figures, Report, Steps, figures_of_runs, predict_or_load, score_and_write
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.skeleton import TIPS
from phalanx.metrics.bootstrap import bootstrap_frames
from phalanx.metrics.curves import pck_curve
from phalanx.metrics.joints import scaled_orthographic, squared_pixel_errors
from phalanx.metrics.masks import f1, iou, mask_counts, pixel_accuracy, precision, recall
from phalanx.render.visibility import visibility

LEAST_TIPS = 3
"""Fewest labelled tips of a picture for the fit of scale and shift: fewer are met almost exactly whatever was predicted."""

THRESHOLDS = np.arange(51.0)
"""Of the curve of tips, pixels."""

DIFFERS = (
    "all pictures with three labelled tips or more; square around the set's own skin masks; fingers are paired by "
    "least distance where the labels do not name them"
)

KINDS = {
    "hgr": Kind(
        (
            ("tips, fitted (px² of 225x225)", "fingertip_squared_error_px2", 1),
            ("tips as seen (px²)", "fingertip_squared_error_px2_as_seen", 1),
            ("mask IoU", "mask_iou", 3),
            ("mask F1", "mask_f1", 3),
            ("missed", "missed", 0),
        ),
        "tips_within",
        "error threshold (pixels of 225)",
        "labelled fingertips within (%)",
        "{name} ({fingertip_median_px_as_seen:.1f} px median)",
        "thresholds_px",
        expected=1558,
        variants={"": ("", DIFFERS)},
    )
}
"""How scores are shown."""

HELP = """\
Squared errors of visible fingertips in pictures of 225x225 pixels, and the predicted silhouette against the mask of the skin. The boxes
come from those masks; the predictor does not get the side. Prints the figures beside those of Dibra et al., CVPRW 2018, Table 3. The
protocol, and what the paper leaves open, is in the head of phalanx/evaluate/hgr.py.

example:
  phalanx evaluate hgr path/to/HGR --json hgr.json && phalanx report hgr.json --out pages
"""


def evaluate_hgr(
    folder: str | Path,
    steps: Steps = STEPS,
    whole: bool = True,
    splits: Sequence[str] = tuple(OFFICIAL),
    tip_categories: Sequence[str] | None = None,
) -> Report:
    """Predict and score the pictures of HGR, or score saved predictions; returns the figures.

    Args:
        folder: of the set.
        steps: predictor and files.
        whole: refuse a set that is not whole.
        splits: of `hgr1` and `hgr2`.
        tip_categories: categories of points that are tips; None: those with "tip" in their name.

    Raises:
        InputError: files are bad, or no picture has a labelled tip.
    """
    sets = [HGR(folder, split, whole) for split in splits]

    def predict() -> tuple[HGRTruth, dict[str, JointPredictions]]:
        run, truth = predict_hgr(sets, predictor_or_default(steps.predictor), tip_categories, steps.progress)
        return truth, {RUN: run}

    def read() -> HGRTruth:
        return read_hgr(sets, tip_categories, lambda sample, square: None, steps.progress)

    truth, runs = predict_or_load(steps, predict, read, load_predictions, save_predictions)
    head: Report = {
        "protocol": "hgr",
        "split": "+".join(splits),
        "whole": whole,
        "pictures": len(truth.keys),
        "ambiguous": truth.ambiguous,
        "categories": truth.categories,
        "thresholds_px": THRESHOLDS.tolist(),
    }
    return score_and_write(steps, runs, lambda run: score_hgr(run, truth), lambda scores: head)


def predict_hgr(
    sets: Sequence[HGR],
    predictor: HandPredictor,
    tip_categories: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = STEPS.progress,
) -> tuple[JointPredictions, HGRTruth]:
    """Predictions and labels of every picture; the predictor gets picture and square, neither side nor camera."""
    answers: list[FoundJoints] = []
    masks: list[np.ndarray] = []

    def predict(sample: Sample, square: SquareBox) -> None:
        assert sample.image is not None
        left, top = (centre + 0.5 - square.side / 2 for centre in (square.centre_x, square.centre_y))
        box = (left, top, square.side, square.side)
        hand, found = ask(predictor, image_bytes(sample.image[0]), box=box, side="auto")
        answers.append(found)
        masks.append(np.zeros((SIZE, SIZE), bool) if hand is None else silhouette(hand, square))

    truth = read_hgr(sets, tip_categories, predict, progress)
    run = joint_run(answers, truth.keys, made_by=maker(predictor), masks=np.array(masks))
    return run, truth


def score_hgr(run: JointPredictions, truth: HGRTruth) -> Figures:
    """Figures of one run, as the head of this module defines them; None if no picture has enough tips for a fit.

    Raises InputError if no hand was found at all, or the masks are not `SIZE` x `SIZE`.
    """
    used = truth.labelled.any(1)
    found = run.found & used
    if not found.any():
        raise InputError("predictions: no hand was found in any picture with labelled tips")
    figures: Figures = {
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
    """Labelled tips in the order of fingers: named ones at their finger, the others so that the total distance is least.

    Args:
        predicted: (N, 5, 2) tips, thumb first, in the pixels of the labels.
        tips, fingers, labelled: as in `HGRTruth`.

    Returns:
        true tips (N, 5, 2), thumb first, 0 for fingers without a label, and which fingers have one (N, 5) bool.
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


def silhouette(hand: HandPrediction, square: SquareBox) -> np.ndarray:
    """Where the surface of a `HandPrediction` is seen in the square: (SIZE, SIZE) bool; nowhere if it has none."""
    if hand.vertices is None:
        return np.zeros((SIZE, SIZE), bool)
    camera = Camera(torch.from_numpy(np.asarray(hand.K, float)), hand.width, hand.height).crop(square, SIZE)
    vertices = torch.from_numpy(np.asarray(hand.vertices, np.float32))[None]
    faces = torch.from_numpy(np.asarray(hand.faces, np.int64))
    return visibility(vertices, faces, camera.K.float(), SIZE, SIZE)[0].numpy() >= 0


def hgr_table(report: Report) -> str:
    """Figures of all runs, and those of Table 3 of Dibra et al. beside the measured one, as Markdown."""
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
    runs = figures_of_runs(report)
    for run, figures in runs.items():
        rows.append([run if report["whole"] else f"{run} (part of the set)", *cells(figures, columns)])
    name = "fingertip_squared_error_px2"
    measured = {run: value for run, figures in runs.items() if isinstance(value := figures[name], float)}
    beside = beside_published(measured, "hgr", name, dict.fromkeys(measured, DIFFERS)) if measured else ""
    return f"{as_markdown(rows)}\n{beside}"


def show(report: Report) -> None:
    """Print `hgr_table`."""
    print(hgr_table(report))


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
