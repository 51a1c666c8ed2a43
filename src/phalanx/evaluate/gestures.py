"""Protocol of gesture sets: how well a classifier recognises gestures by the predicted pose.

- **Sets**: `rwth` (cam1, the middle frame of each sequence, the 30 gestures that do not move: not J, Z, Ä, Ö, Ü), `senz3d` (colour), and
  `folders`: your own pictures, a subfolder for each gesture.
- **Predicting**: the predictor gets the whole picture, neither side nor camera.
- **Features**: the 23 joint angles and the orientation matrix of the palm, each divided by its deviation over the pictures.
- **Classifying**: nearest neighbour, by 10-fold cross-validation, every gesture spread evenly over the folds. If the persons are known,
  also with all pictures of a person left out together, as for an unknown user. A picture without a hand counts as wrong.
- **Saved features**: an NPZ with `image_path (N,)` and for each run `<run>/features (N, any)`, NaN if no hand was found. Features of
  other programs are scored from such a file.

After Dibra et al., CVPRW 2018, sections 5.3 and 5.4, who train a layer of 500 neurons on their angles, 10 folds. They do not say how they
cut the folds, nor how many pictures of a sequence they use, so compare the figures with care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset
from phalanx.data.folders import PictureFolder
from phalanx.data.images import image_bytes
from phalanx.data.public.rwth import RWTH
from phalanx.data.public.senz3d import Senz3D
from phalanx.data.sample import Sample
from phalanx.evaluate.kinds import Kind
from phalanx.evaluate.predictions import RUN, made_by, maker, predictor_or_default, read_runs, write_runs
from phalanx.evaluate.steps import STEPS, Figures, Report, Steps, figures_of_runs, predict_or_load, score_and_write
from phalanx.hand.prediction import HandPrediction
from phalanx.metrics.bootstrap import bootstrap_frames
from phalanx.metrics.classification import cross_validated, grouped_folds, nearest_neighbour, stratified_folds

FOLDS = 10
MOVED = (10, 26, 28, 29, 30)
"""Gestures of RWTH that need a movement: J, Z, Ä, Ö, Ü."""


@dataclass(frozen=True)
class GestureSet:
    """A set of gestures: reader, split, and functions that give a sample's gesture and person (None: not known)."""

    dataset: type[Dataset]
    split: str
    gesture: Callable[[Sample], int]
    person: Callable[[Sample], int | None]


def _gesture(sample: Sample) -> int:
    assert sample.gesture is not None
    return int(sample.gesture[0])


def _id(sample: Sample) -> int:
    assert sample.ids is not None
    return int(sample.ids[0, 0])


SETS = {
    "rwth": GestureSet(RWTH, "cam1", _gesture, lambda sample: _id(sample) // 10_000),
    "senz3d": GestureSet(Senz3D, "colour", _gesture, _id),
    "folders": GestureSet(PictureFolder, "all", _id, lambda sample: None),
}


_KIND = Kind(
    (
        ("gestures recognised, ten folds (%)", "classification_accuracy_percent", 1),
        ("from", "classification_accuracy_percent_low", 1),
        ("to", "classification_accuracy_percent_high", 1),
        ("persons left out (%)", "classification_accuracy_percent_persons_left_out", 1),
        ("by chance (%)", "chance_percent", 1),
        ("missed", "missed", 0),
    )
)
_SCORED = "nearest neighbour on angles{}; not refined on this set"
KINDS = {
    "gestures_rwth": replace(_KIND, dataset="rwth", variants={"": ("", _SCORED.format(", one picture a sequence"))}),
    "gestures_senz3d": replace(_KIND, dataset="senz3d", variants={"": ("", _SCORED.format(""))}),
    "gestures_folders": _KIND,
}
"""How scores are shown, by set."""

HELP = """\
Predicts every picture and classifies the predicted angles by nearest neighbour, with ten-fold cross-validation, and with persons left
out if they are known. The protocol is in the head of phalanx/evaluate/gestures.py.

example:
  phalanx evaluate gestures folders my_signs/ --json signs.json
"""


@dataclass(frozen=True)
class GestureTruth:
    """Labels of N pictures: texts that tell them apart, the gesture of each and its person (None: not known)."""

    keys: tuple[str, ...]
    gestures: tuple[int, ...]
    persons: tuple[int | None, ...]


def evaluate_gestures(name: str, folder: str | Path, steps: Steps = STEPS, whole: bool = True) -> Report:
    """Predict the pictures of a set of gestures, or load saved features, and classify them; returns the figures.

    Args:
        name: one of `SETS`.
        folder: of the set.
        steps: predictor and files; the predictions are features, in the form that the head of this module describes.
        whole: refuse a set that is not whole.

    Raises:
        InputError: files are bad, or there are fewer than two gestures or ten pictures.
    """
    dataset = SETS[name].dataset(folder, SETS[name].split, whole)

    def predict() -> tuple[GestureTruth, dict[str, GestureRun]]:
        predictor = predictor_or_default(steps.predictor)
        found: list[np.ndarray | None] = []

        def visit(sample: Sample) -> None:
            assert sample.image is not None
            picture = image_bytes(sample.image[0])
            hands = predictor(
                picture, box=(0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
            )  # one hand fills it
            found.append(pose_features(hands[0]) if hands else None)

        truth = read_gestures(name, dataset, visit, steps.progress)
        return truth, {RUN: GestureRun(stacked_features(found), maker(predictor))}

    def read() -> GestureTruth:
        return read_gestures(name, dataset, lambda sample: None, steps.progress)

    truth, runs = predict_or_load(steps, predict, read, load_features, save_features)
    head: Report = {
        "protocol": f"gestures_{name}",
        "whole": whole,
        "pictures": len(truth.keys),
        "gestures": len(set(truth.gestures)),
    }
    return score_and_write(
        steps, runs, lambda run: score_gestures(run, truth.gestures, truth.persons), lambda scores: head
    )


def show(report: Report) -> None:
    """Print the accuracies of each run in a line."""
    name = "classification_accuracy_percent"
    for run, figures in figures_of_runs(report).items():
        parts = [
            f"{text}: {figures[key]:.1f} % right ({figures[f'{key}_low']:.1f} to {figures[f'{key}_high']:.1f})"
            for text, key in (("ten folds", name), ("persons left out", f"{name}_persons_left_out"))
            if key in figures
        ]
        part = "" if report["whole"] else ", a part of the set"
        print(
            f"{report['pictures']} pictures of {report['gestures']} gestures{part}, {run}: {figures['missed']} missed; "
            f"{'; '.join(parts)}; by chance {figures['chance_percent']:.1f} %"
        )


def read_gestures(
    name: str, dataset: Dataset, visit: Callable[[Sample], None], progress: Callable[[int, int], None]
) -> GestureTruth:
    """Labels of the pictures of a set that count; each sample is passed to `visit` on the way."""
    keys, gestures, persons = [], [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        progress(index + 1, len(dataset))
        gesture = SETS[name].gesture(sample)
        if name == "rwth" and gesture in MOVED:
            continue
        assert sample.ids is not None
        visit(sample)
        keys.append("_".join(str(number) for number in sample.ids[0].tolist()))
        gestures.append(gesture)
        persons.append(SETS[name].person(sample))
    return GestureTruth(tuple(keys), tuple(gestures), tuple(persons))


def pose_features(hand: HandPrediction) -> np.ndarray:
    """(32,) of a `HandPrediction`: angles in degrees, and the orientation of the hand, of a left hand as a mirrored right one."""
    return np.concatenate([list(hand.angles_degrees.values()), np.asarray(hand.orientation).ravel()])


@dataclass(frozen=True)
class GestureRun:
    """Features (N, F) of N pictures, NaN if no hand was found, and `made_by` as in `JointPredictions`."""

    features: np.ndarray
    made_by: str = ""


def stacked_features(found: Sequence[np.ndarray | None]) -> np.ndarray:
    """N rows of features (F,) as one array (N, F), NaN for those that are None."""
    size = next((len(row) for row in found if row is not None), 1)
    return np.array([np.full(size, np.nan) if row is None else row for row in found], float).reshape(len(found), size)


def save_features(path: str | Path, keys: Sequence[str], runs: Mapping[str, GestureRun]) -> None:
    """Write runs over the same pictures into one NPZ, whole or not at all; the head of this module describes it."""
    arrays = {"image_path": np.array(keys)}
    for name, run in runs.items():
        arrays[f"{name}/features"] = run.features
        if run.made_by:
            arrays[f"{name}/made_by"] = np.array(run.made_by)
    write_runs(path, arrays)


def load_features(path: str | Path, keys: Sequence[str]) -> dict[str, GestureRun]:
    """Read what `save_features` wrote for these pictures.

    Raises InputError that names the file and the fault: missing, damaged, of other pictures, an array missing or of another shape, a
    picture some of whose features are not finite.
    """
    path = Path(path)
    arrays, names = read_runs(path, keys)
    runs = {}
    for name in names:
        features = arrays.get(f"{name}/features")
        if features is None or features.dtype.kind != "f" or features.ndim != 2 or len(features) != len(keys):
            found = "missing" if features is None else f"{features.dtype} {features.shape}"
            raise InputError(f"{path}: {name}/features: floats of shape ({len(keys)}, any) expected, is {found}")
        broken = ~np.isfinite(features).all(1) & ~np.isnan(features).all(1)
        if broken.any():
            raise InputError(
                f"{path}: {name}: picture {keys[int(np.argmax(broken))]}: features have numbers that are not finite "
                "(where no hand was found all are NaN)"
            )
        runs[name] = GestureRun(features.astype(float), made_by(arrays, name))
    return runs


def score_gestures(run: GestureRun, gestures: Sequence[int], persons: Sequence[int | None]) -> Figures:
    """Accuracies of N pictures in percent, with intervals of 95 %: features, gesture and person of each."""
    labels = np.array(gestures)
    if len(labels) < FOLDS or len(np.unique(labels)) < 2:
        raise InputError(f"gestures: {len(labels)} pictures of {len(np.unique(labels))} gestures do not make a test")
    found = np.isfinite(run.features).all(1)
    if not found.any():
        raise InputError("gestures: no hand was found in any picture")
    values = run.features[found]
    values = values / np.maximum(values.std(0), 1e-6)

    def share(name: str, folds: np.ndarray) -> dict[str, float]:
        right = np.zeros(len(labels))
        right[found] = cross_validated(values, labels[found], folds[found], nearest_neighbour) == labels[found]
        interval = bootstrap_frames(lambda chosen: 100 * float(right[chosen].mean()), len(right), seed=0)
        return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}

    figures: Figures = {
        "missed": int((~found).sum()),
        "chance_percent": 100 * float(np.unique(labels, return_counts=True)[1].max() / len(labels)),
        **share("classification_accuracy_percent", stratified_folds(labels, FOLDS, seed=0)),
    }
    if all(person is not None for person in persons) and len(set(persons)) > 1:
        folds = grouped_folds(np.array(persons), len(set(persons)), seed=0)
        figures |= share("classification_accuracy_percent_persons_left_out", folds)
    return figures | ({"made_by": run.made_by} if run.made_by else {})
