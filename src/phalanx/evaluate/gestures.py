"""Protocol of gesture sets: how much of a gesture's name the predicted pose tells.

- **Sets**: `rwth` (cam1, the middle frame of each sequence, the 30 gestures that do not move: not J, Z, Ä, Ö, Ü), `senz3d` (colour), and
  `folders`: pictures of one's own, a subfolder for each gesture.
- **Predicting**: the whole picture, side not told, no camera.
- **Features**: the 23 joint angles and where the palm points, its orientation matrix; each divided by its deviation over the pictures.
- **Classifying**: nearest neighbour, by 10-fold cross-validation, every gesture spread evenly over the folds; where persons are known, also
  with all of a person's pictures left out together, which is what an unknown user would see. A picture without a hand is wrong.

After Dibra et al., CVPRW 2018, sections 5.3 and 5.4, who learn a layer of 500 neurons on their angles, 10 folds; they do not say how folds
are cut, nor how many pictures of a sequence they take, so figures compare with reserve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.data.dataset import Dataset
from phalanx.data.folders import PictureFolder
from phalanx.data.images import image_bytes
from phalanx.data.rwth import RWTH
from phalanx.data.sample import Sample
from phalanx.data.senz3d import Senz3D
from phalanx.evaluate.predictions import predictor_or_default
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


def evaluate_gestures(
    name: str,
    folder: str | Path,
    predictor: Callable[..., Any] | None = None,
    json_path: str | Path | None = None,
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Predict the pictures of a set of gestures and classify them; returns the figures.

    Args:
        name: one of `SETS`.
        folder: of the set.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        json_path: file to write the figures to.
        whole: refuse a set that is not whole.
        progress: is called with pictures done and in all.

    Raises:
        InputError: files are at fault, or there are fewer than two gestures or ten pictures.
    """
    chosen = SETS[name]
    if json_path is not None:
        writable_file(json_path)
    dataset = chosen.dataset(folder, chosen.split, whole)
    predictor = predictor_or_default(predictor)
    features, gestures, persons = [], [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        progress(index + 1, len(dataset))
        gesture = chosen.gesture(sample)
        if name == "rwth" and gesture in MOVED:
            continue
        assert sample.image is not None
        hands = predictor(image_bytes(sample.image[0]))
        features.append(pose_features(hands[0]) if hands else None)
        gestures.append(gesture)
        persons.append(chosen.person(sample))
    scores = {"protocol": f"gestures_{name}", **score_gestures(features, gestures, persons)}
    if json_path is not None:
        write_json(json_path, scores, indent=1)
    return scores


def pose_features(hand: Any) -> np.ndarray:
    """(32,) of a `HandPrediction`: angles in degrees, and the orientation of the right hand that it is or mirrors."""
    return np.concatenate([list(hand.angles_degrees.values()), np.asarray(hand.orientation).ravel()])


def score_gestures(features: list[np.ndarray | None], gestures: list[int], persons: list[int | None]) -> dict[str, Any]:
    """Accuracies of N pictures: features (None: no hand was found), gesture and person of each."""
    labels = np.array(gestures)
    if len(labels) < FOLDS or len(np.unique(labels)) < 2:
        raise InputError(f"gestures: {len(labels)} pictures of {len(np.unique(labels))} gestures do not make a test")
    found = np.array([row is not None for row in features])
    if not found.any():
        raise InputError("gestures: no hand was found in any picture")
    values = np.stack([row for row in features if row is not None])
    values = values / np.maximum(values.std(0), 1e-6)

    def share(folds: np.ndarray) -> dict[str, float]:
        right = np.zeros(len(labels))
        right[found] = cross_validated(values, labels[found], folds[found], nearest_neighbour) == labels[found]
        interval = bootstrap_frames(lambda chosen: float(right[chosen].mean()), len(right), seed=0)
        return {"accuracy": interval.value, "low": interval.low, "high": interval.high}

    figures: dict[str, Any] = {
        "pictures": len(labels),
        "missed": int((~found).sum()),
        "gestures": len(np.unique(labels)),
        "chance": float(np.unique(labels, return_counts=True)[1].max() / len(labels)),
        "ten_folds": share(stratified_folds(labels, FOLDS, seed=0)),
    }
    if all(person is not None for person in persons) and len(set(persons)) > 1:
        figures["persons_left_out"] = share(grouped_folds(np.array(persons), len(set(persons)), seed=0))
    return figures
