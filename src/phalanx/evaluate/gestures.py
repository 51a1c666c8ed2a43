"""Protocol of gesture sets: how much of a gesture's name the predicted pose tells.

- **Sets**: `rwth` (cam1, the middle frame of each sequence, the 30 gestures that do not move: not J, Z, Ä, Ö, Ü), `senz3d` (colour), and
  `folders`: pictures of one's own, a subfolder for each gesture.
- **Predicting**: the whole picture, side not told, no camera.
- **Features**: the 23 joint angles and where the palm points, its orientation matrix; each divided by its deviation over the pictures.
- **Classifying**: nearest neighbour, by 10-fold cross-validation, every gesture spread evenly over the folds; where persons are known, also
  with all of a person's pictures left out together, which is what an unknown user would see. A picture without a hand is wrong.

Two steps: the features are saved, and whatever else writes such a file, with features of its own, is scored from it: `image_path (N,)` and
for each run `<run>/features (N, any)`, NaN where no hand was found.

After Dibra et al., CVPRW 2018, sections 5.3 and 5.4, who learn a layer of 500 neurons on their angles, 10 folds; they do not say how folds
are cut, nor how many pictures of a sequence they take, so figures compare with reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json, write_whole
from phalanx.data.dataset import Dataset
from phalanx.data.folders import PictureFolder
from phalanx.data.images import image_bytes
from phalanx.data.public.rwth import RWTH
from phalanx.data.public.senz3d import Senz3D
from phalanx.data.sample import Sample
from phalanx.evaluate.predictions import RUN, made_by, maker, predictor_or_default, read_runs
from phalanx.metrics.bootstrap import bootstrap_frames
from phalanx.metrics.classification import cross_validated, grouped_folds, nearest_neighbour, stratified_folds

FOLDS = 10
MOVED = (10, 26, 28, 29, 30)
"""Gestures of RWTH that are moved: J, Z, Ä, Ö, Ü."""


@dataclass(frozen=True)
class GestureSet:
    """Where gestures come from: reader, split, and what a sample's gesture and person are (None: not known)."""

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


@dataclass(frozen=True)
class GestureTruth:
    """What is shown in N pictures: texts that tell them apart, the gesture of each and its person (None: not known)."""

    keys: tuple[str, ...]
    gestures: tuple[int, ...]
    persons: tuple[int | None, ...]


def evaluate_gestures(
    name: str,
    folder: str | Path,
    predictor: Callable[..., Any] | None = None,
    json_path: str | Path | None = None,
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    predictions: str | Path | None = None,
    save: str | Path | None = None,
) -> dict[str, Any]:
    """Predict the pictures of a set of gestures, or take saved features, and classify them; returns the figures.

    Args:
        name: one of `SETS`.
        folder: of the set.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        json_path: file to write the figures to.
        whole: refuse a set that is not whole.
        progress: is called with pictures done and in all.
        predictions: a file written through `save`; it is scored and nothing is predicted.
        save: NPZ to write the features to.

    Raises:
        InputError: files are at fault, or there are fewer than two gestures or ten pictures.
    """
    for target in (save, json_path):
        if target is not None:
            writable_file(target)
    dataset = SETS[name].dataset(folder, SETS[name].split, whole)
    if predictions is not None:
        if predictor is not None or save is not None:
            raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
        truth = read_gestures(name, dataset, lambda sample: None, progress)
        runs = load_features(predictions, truth.keys)
    else:
        chosen = predictor_or_default(predictor)
        found: list[np.ndarray | None] = []

        def predict(sample: Sample) -> None:
            assert sample.image is not None
            hands = chosen(image_bytes(sample.image[0]))
            found.append(pose_features(hands[0]) if hands else None)

        truth = read_gestures(name, dataset, predict, progress)
        runs = {RUN: GestureRun(stacked_features(found), maker(chosen))}
        if save is not None:
            save_features(save, truth.keys, runs)
    report = {
        "schema": "phalanx.scores/1",
        "protocol": f"gestures_{name}",
        "whole": whole,
        "pictures": len(truth.keys),
        "gestures": len(set(truth.gestures)),
        "runs": list(runs),
        **{run: score_gestures(values, truth.gestures, truth.persons) for run, values in runs.items()},
    }
    if json_path is not None:
        write_json(json_path, report, indent=1)
    return report


def read_gestures(
    name: str, dataset: Dataset, visit: Callable[[Sample], None], progress: Callable[[int, int], None]
) -> GestureTruth:
    """Labels of the pictures of a set that count; `visit` is handed each sample on the way."""
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


def pose_features(hand: Any) -> np.ndarray:
    """(32,) of a `HandPrediction`: angles in degrees, and the orientation of the right hand that it is or mirrors."""
    return np.concatenate([list(hand.angles_degrees.values()), np.asarray(hand.orientation).ravel()])


@dataclass(frozen=True)
class GestureRun:
    """Features (N, F) of N pictures, NaN where no hand was found, and who made them (`JointPredictions.made_by`)."""

    features: np.ndarray
    made_by: str = ""


def stacked_features(found: Sequence[np.ndarray | None]) -> np.ndarray:
    """N rows of features (F,) as one array (N, F), NaN for those that are None."""
    size = next((len(row) for row in found if row is not None), 1)
    return np.array([np.full(size, np.nan) if row is None else row for row in found], float).reshape(len(found), size)


def save_features(path: str | Path, keys: Sequence[str], runs: Mapping[str, GestureRun]) -> None:
    """Write runs over the same pictures into one NPZ, whole or not at all; the head of this module says how it looks."""
    arrays = {"image_path": np.array(keys)}
    for name, run in runs.items():
        arrays[f"{name}/features"] = run.features
        if run.made_by:
            arrays[f"{name}/made_by"] = np.array(run.made_by)
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes all keys for flags


def load_features(path: str | Path, keys: Sequence[str]) -> dict[str, GestureRun]:
    """Read what `save_features` wrote for these pictures.

    Raises InputError naming the file and the fault: missing, damaged, of other pictures, an array missing or of another shape, a picture
    some of whose features are not finite.
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


def score_gestures(run: GestureRun, gestures: Sequence[int], persons: Sequence[int | None]) -> dict[str, Any]:
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

    figures: dict[str, Any] = {
        "missed": int((~found).sum()),
        "chance_percent": 100 * float(np.unique(labels, return_counts=True)[1].max() / len(labels)),
        **share("classification_accuracy_percent", stratified_folds(labels, FOLDS, seed=0)),
    }
    if all(person is not None for person in persons) and len(set(persons)) > 1:
        folds = grouped_folds(np.array(persons), len(set(persons)), seed=0)
        figures |= share("classification_accuracy_percent_persons_left_out", folds)
    return figures | ({"made_by": run.made_by} if run.made_by else {})
