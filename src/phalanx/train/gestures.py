"""Training a classifier of gestures on a user's own pictures: a folder with a subfolder for each gesture in, one model file out.

    report = train_gestures("signs/", "signs.onnx")
    hands = phalanx.Predictor(gestures="signs.onnx")("photo.jpg")

    pictures -> the hand in each (`Predictor`) -> angles of its fingers -> cross-validation: accuracy, temperature, threshold
        -> the classifier, which learns all hands -> MODEL

The network and how it learns are in `nets/gestures.py`, what it knows of a hand in `predict/gestures.py`. Folds hold every gesture
evenly; where it is known who is in which picture, all pictures of a person are in one fold, so that the accuracy is that for strangers.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, read_head, reason, writable_file, write_json
from phalanx.data.images import OVERLAY, PICTURE_SUFFIXES
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import NO_GESTURE, HandPrediction
from phalanx.metrics.classification import grouped_folds, stratified_folds
from phalanx.nets.export import export_onnx
from phalanx.nets.gestures import Calibration, GestureConfig, calibrated, learn
from phalanx.predict.gestures import FINGER_ANGLES, METHOD, feature_parts, gesture_features
from phalanx.predict.predictor import Predictor

SCHEMA = "phalanx.gestures/1"
"""Of the report."""

FOLDS = 10
"""At most; of fewer hands a gesture there are as many as hands of the rarest one."""

FEWEST = 2
"""Hands of a gesture: one to learn, one to test."""


@dataclass
class GesturePictures:
    """The pictures of a folder, and what was passed over.

    Attributes:
        gestures: names, in order, without `NO_GESTURE`.
        paths: of the pictures.
        labels: of each, its place in `gestures`, or their number where it shows none of them.
        notes: sentences about what is not used.
    """

    gestures: list[str]
    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def train_gestures(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    persons: str | os.PathLike[str] | None = None,
    box: Any = None,
    palm: bool = False,
    seed: int = 0,
    predictor: Predictor | None = None,
    config: GestureConfig | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    json_path: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Train a classifier on the pictures in a folder and write it as one file; the same bytes for the same pictures and seed.

    Args:
        folder: with a subfolder of pictures for each gesture, whose name is the gesture's; in that called "none" are hands that show no
            gesture, and there need not be one.
        out: the model; `.onnx` is added to its name if it is not there.
        persons: CSV file with columns `photo` (path in `folder`) and `person`: folds then keep persons apart.
        box: where the hand is in every picture, as `Predictor` takes it: "whole" for pictures that it fills. None finds it; of several
            hands the surest counts.
        palm: the palm's orientation before the camera counts, too.
        seed: of folds and training.
        predictor: None makes the default one.
        config: how the classifier learns.
        say: called with lines for people: figures and confusions.
        complain: called with one sentence for each picture and folder that is passed over.
        progress: called with the number of steps done, and how many there are: a step is a picture, or a fold.
        json_path: the report is written there, too.

    Returns:
        The report; docs/gestures.md names its keys.

    Raises:
        InputError: there are no two gestures, or too few hands of one; an argument is at fault; `out` cannot be written.
    """
    out = Path(out)
    out = out if out.suffix.lower() == ".onnx" else out.with_name(out.name + ".onnx")
    for path in (out, *([] if json_path is None else [json_path])):
        writable_file(path)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed: must be a whole number from 0 on, not {seed!r}")
    config = GestureConfig() if config is None else config
    pictures = find_pictures(Path(folder))
    groups = None if persons is None else read_persons(Path(persons), Path(folder), pictures.paths)
    for note in pictures.notes:
        complain(note)
    steps = len(pictures.paths) + FOLDS + 1
    found, problems = _look(pictures, predictor or Predictor(), box, complain, lambda done: progress(done, steps))
    seen = [row for row, hand in enumerate(found) if hand is not None]
    missed = [
        str(path)
        for path, hand in zip(pictures.paths, found, strict=True)
        if hand is None and str(path) not in problems
    ]
    _check_hands(Path(folder), pictures, seen)
    features = np.stack([gesture_features(hand, palm) for hand in found if hand is not None])
    labels = np.array([pictures.labels[row] for row in seen])
    who = None if groups is None else groups[seen]
    folds = folds_of(labels, who, seed)
    calibration, logits = calibrated(
        features,
        labels,
        len(pictures.gestures),
        feature_parts(palm),
        folds,
        seed,
        config,
        lambda done, _: progress(len(pictures.paths) + done, steps),
    )
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "gestures": pictures.gestures,
        "pictures": len(pictures.paths),
        "hands": len(seen),
        "persons": None if who is None else len(np.unique(who)),
        "folds": int(folds.max()) + 1,
        **held_out_figures(logits, labels, calibration),
        "calibration": asdict(calibration),
        "seed": seed,
        "palm": palm,
        "training": asdict(config),
    }
    net = learn(features, labels, len(pictures.gestures), feature_parts(palm), seed, config)
    net.calibrate(calibration)
    about = {
        "gestures": pictures.gestures,
        "palm": palm,
        "threshold": calibration.threshold,
        "features": [*FINGER_ANGLES, *(["orientation"] if palm else [])],
    }
    example = torch.zeros(2, features.shape[1])
    meaning = PlainHand.open_hand().checksum()
    export_onnx(net, out, example, ["probabilities"], METHOD, about, meaning, report)
    progress(steps, steps)
    report = {**report, "model": str(out), "no_hand": missed, "skipped": problems}
    if json_path is not None:
        write_json(json_path, report, indent=1)
    for line in lines_of(report):
        say(line)
    return report


def find_pictures(folder: Path) -> GesturePictures:
    """The pictures in the subfolders of a folder, and in folders inside these, in the order of their names.

    Raises:
        InputError: there is no such folder, it has no subfolders with pictures, or only one.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; it must have a subfolder of pictures for each gesture")
    names = sorted(name for name in list_folder(folder) if not name.startswith("."))
    subfolders = [name for name in names if (folder / name).is_dir()]
    if not subfolders:
        raise InputError(f"{folder}: has no subfolders; pictures of a gesture belong into a subfolder of its name")
    inside = {name: _pictures_below(folder / name) for name in subfolders}
    used = [name for name in subfolders if inside[name]]
    if len(used) < 2:
        what = f"pictures of one gesture only, {used[0]}" if used else "no pictures in its subfolders"
        raise InputError(f"{folder}: has {what}; there must be two or more subfolders with pictures")
    gestures = [name for name in used if name != NO_GESTURE]
    found = GesturePictures(gestures)
    for name in used:
        found.paths += inside[name]
        found.labels += [gestures.index(name) if name != NO_GESTURE else len(gestures)] * len(inside[name])
    found.notes += [
        f"{folder / name}: holds no pictures, so there is no such gesture" for name in subfolders if not inside[name]
    ]
    loose = [name for name in names if name not in subfolders and _is_picture(folder / name)]
    if loose:
        found.notes.append(f"{folder}: {len(loose)} pictures lie in no subfolder and are not used, such as {loose[0]}")
    return found


def read_persons(path: Path, folder: Path, paths: Sequence[Path]) -> np.ndarray:
    """The person in each picture (N,), as text, from a CSV file with columns `photo` and `person`.

    Raises:
        InputError: the file cannot be read, lacks a column, or does not name a picture.
    """
    read_head(path, 1)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read: {reason(error) if isinstance(error, OSError) else 'is no CSV file'}"
        ) from error
    if not rows or not {"photo", "person"} <= set(rows[0]):
        raise InputError(f"{path}: must have columns photo and person")
    known = {str(Path(row["photo"] or "")): row["person"] or "" for row in rows}
    names = [str(each.relative_to(folder)) for each in paths]
    unknown = [name for name in names if not known.get(name)]
    if unknown:
        raise InputError(f"{path}: does not say who is in {len(unknown)} of the pictures, such as {unknown[0]}")
    found = np.array([known[name] for name in names])
    if len(np.unique(found)) < 2:
        raise InputError(f"{path}: all pictures are of one person, {found[0]}; leave the file out")
    return found


def folds_of(labels: np.ndarray, persons: np.ndarray | None, seed: int) -> np.ndarray:
    """The fold of each hand (N,): every gesture evenly, or, where they are known, persons apart."""
    if persons is not None:
        return _numbered(grouped_folds(persons, min(FOLDS, len(np.unique(persons))), seed))
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    return stratified_folds(labels, min(FOLDS, rarest), seed)


def held_out_figures(logits: np.ndarray, labels: np.ndarray, calibration: Calibration) -> dict[str, Any]:
    """What hands that were held out came to, in percent of those that show a gesture.

    `accuracy_percent`: the likeliest gesture is the right one. `named_right_percent`, `named_wrong_percent`, `none_percent`: as
    prediction names them, with the threshold; together 100. `none_named_percent`: of hands that show none, if there are any, those that
    are named all the same. `confusion`: rows true, columns named, both in the order of the gestures, then none.
    """
    count = logits.shape[1] - 1
    likeliest, named = logits[:, :count].argmax(1), calibration.names(logits)
    confusion = np.zeros((count + 1, count + 1), int)
    np.add.at(confusion, (labels, named), 1)
    shown = labels < count
    right, none = (named == labels)[shown].mean(), (named == count)[shown].mean()
    figures: dict[str, Any] = {
        "accuracy_percent": _percent((likeliest == labels)[shown].mean()),
        "named_right_percent": _percent(right),
        "named_wrong_percent": _percent(1 - right - none),
        "none_percent": _percent(none),
    }
    if not shown.all():
        figures["none_named_percent"] = _percent((named < count)[~shown].mean())
    return {**figures, "confusion": confusion.tolist()}


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """A report for people: figures, confusions, and pictures without a hand."""
    who = "" if report["persons"] is None else f", {report['persons']} persons apart"
    lines = [f"{path}: no hand was found" for path in report["no_hand"]]
    threshold = report["calibration"]["threshold"]
    right, wrong, none = (report[f"{name}_percent"] for name in ("named_right", "named_wrong", "none"))
    lines += [
        f"{report['hands']} hands of {len(report['gestures'])} gestures in {report['pictures']} pictures; "
        f"no hand in {len(report['no_hand'])}, {len(report['skipped'])} not readable",
        f"held out in {report['folds']} folds{who}: the likeliest gesture is right for {report['accuracy_percent']:.1f} % of the hands",
        f"as they are named, from a probability of {threshold:.2f} on: {right:.1f} % right, {wrong:.1f} % wrong, {none:.1f} % {NO_GESTURE}",
    ]
    if "none_named_percent" in report:
        lines.append(f"hands that show none of them: {report['none_named_percent']:.1f} % are named all the same")
    return [*lines, *confusion_lines(report["gestures"], report["confusion"]), f"-> {report['model']}"]


def confusion_lines(gestures: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """A table of how often each gesture (row) was called what (column); gestures without hands have no row."""
    names = [*gestures, NO_GESTURE]
    wide = max(map(len, names))
    columns = [max(3, min(len(name), 8)) for name in names]
    head = " ".join(f"{name[:width]:>{width}}" for name, width in zip(names, columns, strict=True))
    lines = [f"{'shown / named':>{max(wide, 13)}}  {head}"]
    for name, row in zip(names, counts, strict=True):
        if any(row):
            cells = " ".join(f"{value or '.':>{width}}" for value, width in zip(row, columns, strict=True))
            lines.append(f"{name:>{max(wide, 13)}}  {cells}")
    return lines


def _look(
    pictures: GesturePictures,
    predictor: Predictor,
    box: Any,
    complain: Callable[[str], object],
    step: Callable[[int], None],
) -> tuple[list[HandPrediction | None], dict[str, str]]:
    """The surest hand in each picture, or None, and what is wrong with pictures that cannot be read, by their paths."""
    found: list[HandPrediction | None] = []
    problems: dict[str, str] = {}
    for number, path in enumerate(pictures.paths, 1):
        try:
            hands = predictor(path, box=box)
        except InputError as error:
            if box is not None and str(path) not in str(error):
                raise
            hands = []
            problems[str(path)] = str(error)
            complain(str(error) if str(path) in str(error) else f"{path}: {error}")
        found.append(hands[0] if hands else None)
        step(number)
    return found, problems


def _check_hands(folder: Path, pictures: GesturePictures, seen: Sequence[int]) -> None:
    """Raises InputError where there are too few hands of a gesture."""
    labels = np.array(pictures.labels)
    hands = np.bincount(labels[list(seen)], minlength=len(pictures.gestures) + 1)
    for label, name in enumerate([*pictures.gestures, NO_GESTURE]):
        total = int((labels == label).sum())
        if total and hands[label] < FEWEST:
            raise InputError(
                f"{folder / name}: a hand was found in {hands[label]} of {total} pictures, and {FEWEST} are needed; "
                "where hands fill the pictures, --box whole looks at all of them"
            )


def _numbered(folds: np.ndarray) -> np.ndarray:
    """The same folds with numbers from 0 on, none left out."""
    return np.unique(folds, return_inverse=True)[1].reshape(-1)


def _percent(share: float) -> float:
    return round(100 * float(share), 2) + 0.0


def _is_picture(path: Path) -> bool:
    name = path.name
    return path.suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".") and not path.stem.endswith(OVERLAY)


def _pictures_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_picture(path) and path.is_file())
