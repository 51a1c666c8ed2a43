"""Our protocol of colour photos with 3D joints (`data/public/photos3d.py`).

- **Data**: 256x256 photos of left hands in the layout of the real-world test set of Ge et al., "3D Hand Shape and Pose Estimation from a
  Single RGB Image", CVPR 2019. All photos of the folder are scored; the figures give their number.
- **Crop**: theirs: the whole photo is the hand's box. The predictor gets the side. Each photo is predicted twice, with its camera and
  without.
- **Joints**: 21. **Root**: the wrist. **Scale**: one for each photo, which gives the root-relative joints their true norm
  (`metrics.joints.root_scaled`), so that the hand's size is taken out and its rotation is not: `epe_3d_root_scaled_mm`, and all areas.
- **Alignment**: none there; `epe_3d_procrustes_mm` is after the best similarity without reflection (Umeyama, PAMI 1991).
- **Definition map**: `_mapped` figures, `metrics/definition_map.py`: joints moved to where the set has them, fitted on the other half.
- **Thresholds**: areas from 0 and from 20 to 50 mm, exact integrals (`metrics.curves.auc`); the curve at 0, 1, ... 50 mm.
- **Source**: root, scale, alignment and thresholds are those of Zimmermann and Brox, ICCV 2017, as the field uses them. Ours are the scale
  by the norm of all joints, the map, the groups, and that missed hands are wrong at every threshold. None of the five papers
  whose figures are kept here (`published.py`) prints figures on this set.

Figures, groups and JSON keys: `docs/evaluation.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file
from phalanx.core.json_values import Json
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.groups import VIEWS, curled_fingers, views
from phalanx.evaluate.kinds import PHOTOS
from phalanx.evaluate.predictions import (
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
from phalanx.evaluate.steps import STEPS, Figures, Report, Steps, figures_of_runs, predict_or_load, score_and_write
from phalanx.evaluate.table import print_table
from phalanx.evaluate.worst import draw_worst
from phalanx.hand.prediction import Side
from phalanx.metrics.curves import auc, pck_curve
from phalanx.metrics.definition_map import alternating_halves, cross_mapped
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_scaled_errors

FOCAL_GIVEN, FOCAL_NOT_GIVEN = "focal_given", "focal_not_given"
THRESHOLDS = np.arange(51.0)  # millimetres, of the curve `joints_within`

KINDS = {
    "photos3d": replace(
        PHOTOS,
        remark="root-relative errors after one scale a photo that takes the hand's size out; the box is the whole photo, the side is given",
    )
}
"""How scores are shown."""

HELP = """\
Takes a folder with params.mat and pose_gt.mat in the layout of the real-world test set of Ge et al., CVPR 2019, and prints 2D error,
root-relative and aligned 3D error, AUC, missed hands and time, by view and by number of curled fingers.

example:
  phalanx evaluate photos3d path/to/photos --json scores.json --worst worst.png
"""

JointFinder = Callable[[np.ndarray, np.ndarray], FoundJoints]
"""Finds the joints of one hand: picture (256, 256, 3) uint8 RGB and camera matrix (3, 3) in; our predictor or another program."""


@dataclass(frozen=True)
class TimedPredictor:
    """A `Predictor`, or what is called like it, as a `JointFinder`.

    Attributes:
        predictor: `predictor(image, box=, K=, side=)` returns a list of hands with `joints_2d` and `joints`, the best first.
        side: of the hand.
        known_focal: whether the predictor gets the camera.
    """

    predictor: HandPredictor
    side: Side
    known_focal: bool

    def __call__(self, image: np.ndarray, K: np.ndarray) -> FoundJoints:
        height, width = image.shape[:2]
        camera = K if self.known_focal else None
        return ask(self.predictor, image, box=(0, 0, width, height), K=camera, side=self.side)[1]


def both_ways(predictor: HandPredictor | None, side: Side, known_focal: bool | None = None) -> dict[str, JointFinder]:
    """The predictor (None: the default one) with the camera, without it, or by default each in turn, by name of the run."""
    chosen = predictor_or_default(predictor)
    ways = {FOCAL_GIVEN: True, FOCAL_NOT_GIVEN: False}
    return {name: TimedPredictor(chosen, side, way) for name, way in ways.items() if known_focal in (None, way)}


def find_in_turns(
    pictures: Iterable[tuple[np.ndarray, np.ndarray]], names: Sequence[str], finders: Mapping[str, JointFinder]
) -> dict[str, JointPredictions]:
    """What every finder finds in every picture, in turns, so that anything else that slows the machine slows all alike.

    Args:
        pictures: picture and camera matrix of each, as a `JointFinder` takes them.
        names: of the pictures.
        finders: by name of the run.
    """
    answers: dict[str, list[FoundJoints]] = {run: [] for run in finders}
    for image, K in pictures:
        for run, find in finders.items():
            answers[run].append(find(image, K))
    return {
        run: joint_run(answers[run], names, run, maker(find.predictor) if isinstance(find, TimedPredictor) else "")
        for run, find in finders.items()
    }


def find_in_photos(
    photos: Photos3D, finders: Mapping[str, JointFinder], progress: Callable[[int, int], None] = STEPS.progress
) -> dict[str, JointPredictions]:
    """`find_in_turns` over photos. The first photo is shown once more before, untimed: some libraries load and compile late."""

    def shown() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for index in range(len(photos)):
            yield photos.image(index), photos.K[index]
            progress(index + 1, len(photos))

    for find in finders.values():
        find(photos.image(0), photos.K[0])
    return find_in_turns(shown(), photos.image_paths, finders)


def score_photos3d(photos: Photos3D, predictions: JointPredictions) -> Figures:
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
    steps: Steps = STEPS,
    known_focal: bool | None = None,
    worst: str | Path | None = None,
    worst_count: int = 20,
) -> Report:
    """Predict and score the photos of a folder, or score saved predictions; returns the figures.

    Args:
        folder: the photos and their labels, as `read_photos3d` takes them.
        steps: predictor and files.
        known_focal: predict only with the camera (True), only without (False), or once each (None).
        worst: PNG to draw the `worst_count` photos with the largest 2D error of the first run on.
        worst_count: how many.

    Returns:
        `photos`, the figures of each run under its name (`focal_given`, `focal_not_given`), and those of the first run once more
        at the top.

    Raises:
        InputError: files are bad, or `known_focal` comes with saved predictions.
    """
    if steps.predictions is not None and known_focal is not None:
        raise InputError("known_focal (--focal): chooses how to predict, but saved predictions are scored as they are")
    photos = read_photos3d(folder)
    return report_photos3d(
        photos, steps, lambda: both_ways(steps.predictor, photos.side, known_focal), worst, worst_count
    )


def report_photos3d(
    photos: Photos3D,
    steps: Steps,
    finders: Callable[[], Mapping[str, JointFinder]],
    worst: str | Path | None = None,
    worst_count: int = 20,
) -> Report:
    """Find hands in the photos with any finders, which `finders` makes only if they are needed, and score them.

    The other arguments and the result are those of `evaluate_photos3d`.
    """
    if worst is not None:
        writable_file(worst)

    def predict() -> tuple[Photos3D, dict[str, JointPredictions]]:
        return photos, find_in_photos(photos, finders(), steps.progress)

    _, runs = predict_or_load(steps, predict, lambda: photos, load_predictions, save_predictions, photo_names)
    report = score_photos(photos, steps, runs, {"protocol": "photos3d"})
    if worst is not None:
        draw_worst(photos, next(iter(runs.values())), worst_count, worst)
    return report


def photo_names(photos: Photos3D) -> Sequence[str]:
    """The names of the photos, which predictions are saved with."""
    return photos.image_paths


def score_photos(
    photos: Photos3D, steps: Steps, runs: Mapping[str, JointPredictions], about: Mapping[str, Json]
) -> Report:
    """Score and write runs: `about` and the figures of the first run stand at the head of the report."""

    def head(scores: dict[str, Figures]) -> Report:
        return {**about, "thresholds_mm": THRESHOLDS.tolist(), **next(iter(scores.values()))}

    return score_and_write(steps, runs, lambda run: score_photos3d(photos, run), head)


def show(report: Report) -> None:
    """Print the figures of all runs as a table."""
    print_table(figures_of_runs(report))


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
