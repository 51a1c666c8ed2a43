"""Protocol of colour photos with 3D joints (`data/public/photos3d.py`), ours: predict and save, then score what was saved.

- **Data**: 256x256 photos of left hands in the layout of the real-world test set of Ge et al., "3D Hand Shape and Pose Estimation from a
  Single RGB Image", CVPR 2019. All photos of the folder are scored; how many there are stands in the figures.
- **Crop**: theirs: the whole photo is the hand's box. The side is told. Each photo is predicted twice, with its camera and without.
- **Joints**: 21. **Root**: the wrist. **Scale**: one a photo, which gives the root-relative joints their true norm
  (`metrics.joints.root_scaled`), so that the hand's size is taken out and its rotation is not: `epe_3d_root_scaled_mm`, and all areas.
- **Alignment**: none there; `epe_3d_procrustes_mm` is after the best similarity without reflection (Umeyama, PAMI 1991).
- **Definition map**: `_mapped` figures, `metrics/definition_map.py`: joints put where the set has them, fitted on the other half.
- **Thresholds**: areas from 0 and from 20 to 50 mm, exact integrals (`metrics.curves.auc`); the curve at 0, 1, ... 50 mm.
- **Source**: root, scale, alignment and thresholds are after Zimmermann and Brox, ICCV 2017, and what the field has made of them; the scale
  by the norm of all joints, the map, the groups and that missed hands are wrong at every threshold are ours. None of the five papers
  whose figures are kept here (`published.py`) prints figures on this set.

Figures, groups and JSON keys: `docs/evaluation.md`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.groups import VIEWS, curled_fingers, views
from phalanx.evaluate.predictions import (
    JointPredictions,
    check_hands,
    load_predictions,
    maker,
    predictor_or_default,
    save_predictions,
)
from phalanx.evaluate.table import print_table
from phalanx.evaluate.worst import draw_worst
from phalanx.metrics.curves import auc, pck_curve
from phalanx.metrics.definition_map import alternating_halves, cross_mapped
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_scaled_errors

FOCAL_GIVEN, FOCAL_NOT_GIVEN = "focal_given", "focal_not_given"
THRESHOLDS = np.arange(51.0)  # millimetres, of the curve `joints_within`


@dataclass(frozen=True)
class Estimate:
    """One photo's answer: joints in pixels (21, 2) and metres (21, 3), both None if no hand was found, and its time."""

    joints_2d: np.ndarray | None
    joints: np.ndarray | None
    ms: float


Estimator = Callable[[np.ndarray, np.ndarray], Estimate]  # (256, 256, 3) uint8 RGB, K (3, 3) -> estimate


@dataclass(frozen=True)
class TimedPredictor:
    """A `Predictor`, or what is called like it, as an `Estimator` that times its calls.

    Attributes:
        predictor: `predictor(image, box=, K=, side=)` returns a list of hands with `joints_2d` and `joints`, best first.
        side: of the hand.
        known_focal: whether it is told the camera.
    """

    predictor: Callable[..., Any]
    side: str
    known_focal: bool

    def __call__(self, image: np.ndarray, K: np.ndarray) -> Estimate:
        height, width = image.shape[:2]
        start = time.perf_counter()
        hands = self.predictor(image, box=(0, 0, width, height), K=K if self.known_focal else None, side=self.side)
        ms = (time.perf_counter() - start) * 1e3
        if not hands:
            return Estimate(None, None, ms)
        return Estimate(np.asarray(hands[0].joints_2d), np.asarray(hands[0].joints), ms)


def estimator(predictor: Callable[..., Any], side: str, known_focal: bool) -> TimedPredictor:
    """A `TimedPredictor`."""
    return TimedPredictor(predictor, side, known_focal)


def predict_photos3d(photos: Photos3D, estimators: Mapping[str, Estimator]) -> dict[str, JointPredictions]:
    """Every photo through every estimator, in turns, so that whatever else slows the machine slows all alike.

    The first photo is predicted once more at the start, untimed, to load and compile what is loaded late.
    """
    runs = {
        name: JointPredictions(
            np.full((len(photos), 21, 2), np.nan),
            np.full((len(photos), 21, 3), np.nan),
            np.zeros(len(photos)),
            made_by=maker(estimate.predictor) if isinstance(estimate, TimedPredictor) else "",
        )
        for name, estimate in estimators.items()
    }
    for estimate in estimators.values():
        estimate(photos.image(0), photos.K[0])
    for index in range(len(photos)):
        image = photos.image(index)
        for name, estimate in estimators.items():
            answer = estimate(image, photos.K[index])
            runs[name].ms[index] = answer.ms
            if answer.joints_2d is not None and answer.joints is not None:
                runs[name].joints_2d[index], runs[name].joints[index] = answer.joints_2d, answer.joints
    return runs


def score_photos3d(photos: Photos3D, predictions: JointPredictions) -> dict[str, Any]:
    """All figures of one run: over all photos, `by_view` and `by_curled`, as plain numbers (None: nothing to average).

    Errors are means over the hands found; a missed hand's joints are wrong at every threshold of the AUC.
    """
    errors, found = _errors(photos, predictions), predictions.found
    view, curled = views(photos.joints, photos.side), curled_fingers(photos.joints)
    everything = np.ones(len(photos), dtype=bool)
    return {
        **_figures(errors, found, predictions.ms, everything),
        **({"made_by": predictions.made_by} if predictions.made_by else {}),
        "joints_within": pck_curve(errors["epe_3d_root_scaled_mm"], THRESHOLDS).tolist(),
        "by_view": {name: _figures(errors, found, predictions.ms, view == name) for name in VIEWS},
        "by_curled": {str(count): _figures(errors, found, predictions.ms, curled == count) for count in range(6)},
    }


def evaluate_photos3d(
    folder: str | Path,
    predictor: Callable[..., Any] | None = None,
    predictions: str | Path | None = None,
    known_focal: bool | None = None,
    save: str | Path | None = None,
    json_path: str | Path | None = None,
    worst: str | Path | None = None,
    worst_count: int = 20,
    quiet: bool = False,
) -> dict[str, Any]:
    """Predict and score the photos of a folder, or score saved predictions; print a table and return its figures.

    Args:
        folder: the photos and their labels, as `read_photos3d` takes them.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        predictions: a file written through `save`; it is scored and nothing is predicted.
        known_focal: only with the camera (True), only without (False), or once each (None).
        save: NPZ to write the predictions to.
        json_path: file to write the figures to, with the keys of the result.
        worst: PNG to draw the `worst_count` photos with the largest 2D error of the first run on.
        quiet: print no table.
    Returns:
        `photos`, the figures of each run under its name (`focal_given`, `focal_not_given`), and those of the first run
        once more at the top. Raises InputError for input that is at fault.
    """
    photos = read_photos3d(folder)
    for target in (save, json_path, worst):
        if target is not None:
            writable_file(target)  # complaints come before the minutes that predicting takes
    if predictions is not None:
        if predictor is not None or save is not None:
            raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
        runs = load_predictions(predictions, photos.image_paths)
    else:
        runs = predict_photos3d(photos, _both_ways(predictor_or_default(predictor), photos.side, known_focal))
        if save is not None:
            save_predictions(save, photos.image_paths, runs)
    return report_photos3d(photos, runs, json_path=json_path, worst=worst, worst_count=worst_count, quiet=quiet)


def report_photos3d(
    photos: Photos3D,
    runs: Mapping[str, JointPredictions],
    json_path: str | Path | None = None,
    worst: str | Path | None = None,
    worst_count: int = 20,
    quiet: bool = False,
    about: Mapping[str, Any] = MappingProxyType({"protocol": "photos3d"}),
) -> dict[str, Any]:
    """Score runs by any estimators and put the figures out; arguments and result as for `evaluate_photos3d`.

    `about` stands at the head of the figures.
    """
    for name, run in runs.items():
        check_hands(run, photos.image_paths, name)
    scores = {name: score_photos3d(photos, run) for name, run in runs.items()}
    head = {**about, "thresholds_mm": THRESHOLDS.tolist(), "runs": list(scores)}
    report = {**head, **next(iter(scores.values())), **scores}
    if json_path is not None:
        write_json(json_path, report, indent=2)
    if worst is not None:
        draw_worst(photos, next(iter(runs.values())), worst_count, worst)
    if not quiet:
        print_table(scores)
    return report


def _both_ways(predictor: Callable[..., Any], side: str, known_focal: bool | None) -> dict[str, Estimator]:
    ways = {FOCAL_GIVEN: True, FOCAL_NOT_GIVEN: False}
    return {name: estimator(predictor, side, way) for name, way in ways.items() if known_focal in (None, way)}


def _errors(photos: Photos3D, predictions: JointPredictions) -> dict[str, np.ndarray]:
    """Errors (N, 21) by JSON key; infinite for missed hands. Mapped ones are NaN where no map could be fitted."""
    found = predictions.found
    joints_2d, joints = predictions.joints_2d[found], predictions.joints[found]
    true_2d, true = photos.joints_2d[found], photos.joints[found]
    halves = alternating_halves(len(photos))[found]
    versions = {"": (joints_2d, joints)}
    if halves.any() and not halves.all():
        mapped = cross_mapped(joints_2d, true_2d, halves, align=False), cross_mapped(joints, true, halves, align=True)
        versions["_mapped"] = mapped
    errors = {
        f"{name}{suffix}": np.where(found, np.nan, np.inf)[:, None].repeat(21, axis=1)
        for suffix in ("", "_mapped")
        for name in ("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm")
    }
    for suffix, (version_2d, version) in versions.items():
        errors[f"epe_2d_px{suffix}"][found] = end_point_errors(version_2d, true_2d)
        errors[f"epe_3d_root_scaled_mm{suffix}"][found] = root_scaled_errors(version, true) * 1e3
        errors[f"epe_3d_procrustes_mm{suffix}"][found] = procrustes_errors(version, true) * 1e3
    return errors


def _figures(
    errors: Mapping[str, np.ndarray], found: np.ndarray, ms: np.ndarray, chosen: np.ndarray
) -> dict[str, float | int | None]:
    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if values.size and np.isfinite(values).all() else None

    def area(values: np.ndarray, low: float, high: float) -> float | None:
        return auc(values, low, high) if values.size and not np.isnan(values).any() else None

    figures: dict[str, float | int | None] = {"photos": int(chosen.sum()), "missed": int((chosen & ~found).sum())}
    figures |= {key: mean(values[chosen & found]) for key, values in errors.items()}
    for suffix in ("", "_mapped"):
        for low, high in ((0, 50), (20, 50)):
            values = errors[f"epe_3d_root_scaled_mm{suffix}"][chosen]
            figures[f"auc_{low}_{high}{suffix}"] = area(values, low, high)
    figures["ms_per_image"] = mean(ms[chosen])
    return figures
