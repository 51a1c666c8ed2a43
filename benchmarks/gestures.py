"""Gestures by joint angles, beside MediaPipe's landmarks and beside pixels, with the same classifier, on photos of digits.

    python benchmarks/gestures.py SCORED [--learnt FOLDER] [--mediapipe-python PATH] [--kept FOLDER] [--json FILE]

SCORED is a folder of photos, a subfolder a gesture, with `persons.csv` (photo, person). The classifier is that of `nets/gestures.py` and
learns nine tenths of the persons; the others are tested, ten times over. A photo in which no hand is found counts as wrong. `--learnt`
names a folder of other people's photos of the same gestures: in a second run those of nine folds are learnt, too, but only photos of
SCORED are tested. (Our detector has learnt from these others, and so nothing is scored on them.)

Rows: `angles` is what `phalanx gestures train` does; `angles, whole photo` the same with `--box whole`, without the detector;
`mediapipe ...` are its landmarks, of MediaPipe's own detector at its usual threshold: in the picture and in metres, from the wrist, over
their size, left hands mirrored, turned until the middle knuckle lies above the wrist (in metres: until the palm lies in one plane); and
the angles of our hand fitted to its landmarks in metres. `pixels` are grey values of the photo, 32 x 32, from their 1st to their 99th
percentile. All rows have the same classifier, without mixed hands, and the likeliest gesture counts.

For `angles` and the best of MediaPipe's rows, also as prediction names hands, with `none` where unsure, in percent of all photos; the
calibration of a fold comes from the hands held out in the nine others. Of others: one gesture in turn is not learnt, half of the persons
learn, the others calibrate and show it: how many of its hands get a name all the same.

Photos are looked at once; `--kept` keeps what was found in them, to score it again.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from child import Child

from phalanx.core.files import write_json
from phalanx.data.images import read_photo
from phalanx.fit.joints import fit_joints
from phalanx.hand.angles import ANGLE_NAMES, rotations_to_angles
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FINGERS
from phalanx.metrics.bootstrap import bootstrap_sequences
from phalanx.metrics.classification import grouped_folds
from phalanx.nets.gestures import GestureConfig, Parts, calibrated, calibration_of, learn, logits_of
from phalanx.predict.gestures import FINGER_ANGLES, feature_parts, gesture_features
from phalanx.predict.predictor import Predictor
from phalanx.train.gestures import FOLDS, find_pictures, read_persons

WORKER = Path(__file__).with_name("mediapipe_hands_worker.py")
INDEX, MIDDLE, LITTLE = 5, 9, 17  # knuckles
SIDE = 32  # pixels of what the row of pixels sees
SEED = 0


@dataclass
class Photos:
    """What was found in N photos of a set, NaN where no hand was.

    Attributes:
        labels, persons: (N,) of each photo, which number of `gestures` it shows, and who is in it.
        found: features by row of the table, (N, F) each.
    """

    gestures: list[str]
    labels: np.ndarray
    persons: np.ndarray
    found: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Row:
    """How a row of the table classifies: what is mixed as a whole, and the settings."""

    parts: Parts
    config: GestureConfig


def rows_of(features: dict[str, np.ndarray]) -> dict[str, Row]:
    """The rows that were looked for."""
    plain = GestureConfig(mixed=0.0)
    whole = {name: [list(range(values.shape[1]))] for name, values in features.items()}
    parts = {
        "angles": feature_parts(),
        "angles with palm": feature_parts(palm=True),
        "mediapipe angles": feature_parts(),
    }
    for name, dimensions in (("mediapipe picture", 2), ("mediapipe metres", 3)):
        joints = ([0], *FINGERS)
        parts[name] = [[joint * dimensions + axis for joint in each for axis in range(dimensions)] for each in joints]
    return {name: Row(parts.get(name, whole[name]), plain) for name in features}


def look(folder: Path, mediapipe_python: str | None) -> Photos:
    """Look at the photos of a folder, each once by everybody."""
    pictures = find_pictures(folder)
    predictor, child = Predictor(), Child([mediapipe_python, str(WORKER), "1"]) if mediapipe_python else None
    found: dict[str, list[np.ndarray | None]] = {}
    theirs: list[dict[str, Any] | None] = []
    for number, path in enumerate(pictures.paths):
        image, _ = read_photo(path)
        for name, box in (("angles", None), ("angles, whole photo", "whole")):
            hands = predictor(image, box=box)
            found.setdefault(name, []).append(gesture_features(hands[0], palm=True) if hands else None)
        found.setdefault("pixels", []).append(pixels(image))
        if child is not None:
            size = {"height": image.shape[0], "width": image.shape[1]}
            hands = child.ask(size, np.ascontiguousarray(image).tobytes())["hands"]
            theirs.append(hands[0] if hands else None)
        print(f"\r{folder.name}: {number + 1} of {len(pictures.paths)} photos", end="", flush=True)
    print()
    features = {name: stacked(values) for name, values in found.items()}
    features = {"angles with palm": features.pop("angles"), **features}
    count = len(FINGER_ANGLES)
    features["angles, whole photo"] = features["angles, whole photo"][:, :count]
    features = {"angles": features["angles with palm"][:, :count], **features}
    if child is not None:
        child.close()
        features |= landmarks(theirs)
    persons = read_persons(folder / "persons.csv", folder, pictures.paths)
    return Photos(pictures.gestures, np.array(pictures.labels), persons, features)


def stacked(values: list[np.ndarray | None]) -> np.ndarray:
    """(N, F), NaN for None."""
    size = next(len(each) for each in values if each is not None)
    return np.stack([np.full(size, np.nan) if each is None else each for each in values])


def pixels(image: np.ndarray) -> np.ndarray:
    """Grey values (1024,), 0 to 1 between the 1st and the 99th percentile."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, (1, 99))
    return np.clip((small.ravel() - low) / max(high - low, 1.0), 0, 1)


def landmarks(found: list[dict[str, Any] | None]) -> dict[str, np.ndarray]:
    """MediaPipe's landmarks as features, left hands as right ones."""
    flat, metric = np.full((len(found), 21, 2), np.nan), np.full((len(found), 21, 3), np.nan)
    for row, hand in enumerate(found):
        if hand is not None:
            mirror = -1.0 if hand["side"] == "left" else 1.0
            flat[row] = np.array(hand["joints_2d"]) * [mirror, 1]
            metric[row] = np.array(hand["joints"]) * [mirror, 1, 1]
    flat, metric = flat - flat[:, :1], metric - metric[:, :1]
    up = flat[:, MIDDLE] / np.linalg.norm(flat[:, MIDDLE], axis=1, keepdims=True)
    turn = np.stack((np.stack((-up[:, 1], up[:, 0]), 1), -up), 1)  # takes `up` to (0, -1)
    distal = metric[:, MIDDLE] / np.linalg.norm(metric[:, MIDDLE], axis=1, keepdims=True)
    palmar = np.cross(metric[:, INDEX], metric[:, LITTLE])
    palmar /= np.linalg.norm(palmar, axis=1, keepdims=True)
    frame = np.stack((np.cross(distal, palmar), distal, palmar), 1)
    palm = metric @ frame.swapaxes(1, 2)
    angles = np.full((len(found), len(FINGER_ANGLES)), np.nan)
    seen = np.isfinite(metric).all((1, 2))
    pose = fit_joints(HandModel.open_hand(), torch.from_numpy(metric[seen]).float())
    columns = [ANGLE_NAMES.index(name) for name in FINGER_ANGLES]
    angles[seen] = np.degrees(rotations_to_angles(pose.rotations.double().numpy()))[:, columns]
    return {
        "mediapipe picture": by_size(flat @ turn.swapaxes(1, 2)),
        "mediapipe metres": by_size(palm),
        "mediapipe angles": angles,
    }


def by_size(joints: np.ndarray) -> np.ndarray:
    """Joints (N, 21, D) over the distance of the farthest from the wrist: (N, 21 D)."""
    size = np.linalg.norm(joints, axis=2).max(1)
    return (joints / size[:, None, None]).reshape(len(joints), -1)


def likeliest(
    features: np.ndarray, labels: np.ndarray, gestures: int, folds: np.ndarray, scored: np.ndarray, row: Row
) -> np.ndarray:
    """(N,) the likeliest gesture of each photo scored, -1 where there is no hand."""
    answers = np.full(len(labels), -1)
    seen = np.isfinite(features).all(1)
    for fold in np.unique(folds[scored]).tolist():
        test, rest = (folds == fold) & scored & seen, (folds != fold) & seen
        net = learn(features[rest], labels[rest], gestures, row.parts, SEED, row.config)
        answers[test] = logits_of(net, features[test])[:, :-1].argmax(1)
    return answers


def as_named(features: np.ndarray, labels: np.ndarray, gestures: int, folds: np.ndarray, parts: Parts) -> np.ndarray:
    """(N,) as prediction names each photo: a gesture, C for none, -1 where there is no hand."""
    answers = np.full(len(labels), -1)
    seen = np.isfinite(features).all(1)
    labels, folds = labels[seen], folds[seen]
    _, logits = calibrated(features[seen], labels, gestures, parts, folds, SEED)
    names = np.empty(len(labels), int)
    for fold in np.unique(folds).tolist():
        names[folds == fold] = calibration_of(logits[folds != fold], labels[folds != fold]).names(logits[folds == fold])
    answers[seen] = names
    return answers


def others_named(photos: Photos, folds: np.ndarray, scored: np.ndarray, name: str, parts: Parts) -> float:
    """Percent of the hands of a gesture that was not learnt which get a name: half of the persons are learnt, the others judge."""
    named = []
    features, labels, left = photos.found[name], photos.labels, len(photos.gestures) - 1
    seen, learnt = np.isfinite(features).all(1), folds % 2 == 1
    for gesture in range(len(photos.gestures)):
        known = seen & (labels != gesture)
        numbers = labels - (labels > gesture)
        net = learn(features[known & learnt], numbers[known & learnt], left, parts, SEED)
        calibration = calibration_of(logits_of(net, features[known & ~learnt]), numbers[known & ~learnt])
        shown = features[seen & scored & ~learnt & (labels == gesture)]
        named.append(calibration.names(logits_of(net, shown)) < left)
    return 100 * float(np.concatenate(named).mean())


def joined(scored: Photos, learnt: Photos | None) -> tuple[Photos, np.ndarray]:
    """Both sets as one, and which of its photos are scored."""
    if learnt is None:
        return scored, np.ones(len(scored), bool)
    if learnt.gestures != scored.gestures:
        raise SystemExit("both folders must have the same gestures")
    persons = np.concatenate([np.char.add("scored ", scored.persons), np.char.add("learnt ", learnt.persons)])
    found = {name: np.concatenate([scored.found[name], learnt.found[name]]) for name in scored.found}
    labels = np.concatenate([scored.labels, learnt.labels])
    return Photos(scored.gestures, labels, persons, found), np.arange(len(labels)) < len(scored)


def score(photos: Photos, scored: np.ndarray, chosen: Collection[str]) -> dict[str, dict[str, float]]:
    """Figures of the rows chosen, in percent of the photos scored."""
    folds = grouped_folds(photos.persons, FOLDS, SEED)
    folds[scored] = grouped_folds(photos.persons[scored], FOLDS, SEED)  # the same with and without others
    labels, count = photos.labels, len(photos.gestures)
    rows = {name: row for name, row in rows_of(photos.found).items() if name in chosen}
    report: dict[str, dict[str, float]] = {}
    for name, row in rows.items():
        right = (likeliest(photos.found[name], labels, count, folds, scored, row) == labels)[scored]
        interval = bootstrap_sequences(
            lambda drawn, right=right: 100 * float(right[drawn].mean()), photos.persons[scored], SEED
        )
        missed = int((~np.isfinite(photos.found[name]).all(1))[scored].sum())
        of_found = 100 * float(right.sum() / max(len(right) - missed, 1))
        report[name] = {
            "accuracy_percent": interval.value,
            "accuracy_percent_low": interval.low,
            "accuracy_percent_high": interval.high,
            "missed": missed,
            "accuracy_of_found_percent": of_found,
        }
        print(
            f"{name:20} {interval.value:5.1f} % right ({interval.low:.1f} to {interval.high:.1f}), no hand in {missed}; "
            f"where there is one {of_found:.1f} %",
            flush=True,
        )
    for name in ("angles", *best_of_theirs(report)):
        parts = rows[name].parts
        answers = as_named(photos.found[name], labels, count, folds, parts)[scored]
        shares = [float(100 * part.mean()) for part in (answers == labels[scored], answers == count, answers < 0)]
        right, none, missed = shares
        others = others_named(photos, folds, scored, name, parts)
        wrong = 100 - sum(shares)
        report[name] |= {"named_right_percent": right, "named_wrong_percent": wrong, "none_percent": none}
        report[name] |= {"no_hand_percent": missed, "others_named_percent": others}
        print(
            f"{name:20} as named: {right:.1f} % right, {wrong:.1f} % wrong, {none:.1f} % none, {missed:.1f} % no hand; "
            f"of others {others:.1f} % named",
            flush=True,
        )
    return report


def best_of_theirs(report: dict[str, dict[str, float]]) -> list[str]:
    """The row of MediaPipe's with the most right, if there is any."""
    theirs = [name for name in report if name.startswith("mediapipe")]
    return sorted(theirs, key=lambda name: -report[name]["accuracy_percent"])[:1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scored", type=Path)
    parser.add_argument(
        "--learnt", type=Path, help="folder of photos of other people, which are learnt, too, in a second run"
    )
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument(
        "--kept", type=Path, metavar="FOLDER", help="keep what was found in the photos, and do not look again"
    )
    parser.add_argument("--json", type=Path, help="write the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scored = kept(arguments.scored, "scored", arguments)
    learnt = kept(arguments.learnt, "learnt", arguments) if arguments.learnt else None
    print(f"{len(scored)} photos of {len(np.unique(scored.persons))} persons; nine tenths of these are learnt")
    report = {"these": score(*joined(scored, None), rows_of(scored.found))}
    if learnt is not None:
        print(f"with {len(learnt)} photos of {len(np.unique(learnt.persons))} other persons")
        report["with others"] = score(*joined(scored, learnt), ["angles", *best_of_theirs(report["these"])])
    if arguments.json:
        write_json(arguments.json, report, indent=1)


def kept(folder: Path, name: str, arguments: argparse.Namespace) -> Photos:
    """What was found in a folder, now or earlier."""
    file = None if arguments.kept is None else arguments.kept / f"{name}.npz"
    if file is not None and file.is_file():
        with np.load(file) as arrays:
            found = {key.removeprefix("found/"): arrays[key] for key in arrays.files if key.startswith("found/")}
            return Photos(arrays["gestures"].tolist(), arrays["labels"], arrays["persons"], found)
    photos = look(folder, arguments.mediapipe_python)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        found = {f"found/{key}": values for key, values in photos.found.items()}
        np.savez(file, gestures=np.array(photos.gestures), labels=photos.labels, persons=photos.persons, **found)
    return photos


if __name__ == "__main__":
    main()
