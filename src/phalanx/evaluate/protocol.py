"""What the protocols of public sets share: predict and save, then score what was saved.

A protocol is a module of this room with a `PROTOCOL`: which set and split, how the hand is cut out, and its score, a function of
what was predicted and what is true alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.data.dataset import Dataset
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.evaluate.predictions import (
    RUN,
    JointPredictions,
    check_hands,
    load_predictions,
    maker,
    predictor_or_default,
    save_predictions,
)
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FOREARM
from phalanx.metrics.curves import curve_area_trapezoid, pck_curve_of_joints
from phalanx.metrics.summaries import mean_error, mean_of_joint_means, mean_of_joint_medians, median_error

SCALE_BONE = (9, 10)
"""From middle MCP to PIP: the bone whose length is given where the scale is known."""


@dataclass(frozen=True)
class Truth:
    """Labels of N hands, right or mirrored to right.

    Attributes:
        keys: N texts that tell the hands apart, of `Sample.ids`.
        joints: (N, 21, 3) metres, camera frame.
        joints_2d: (N, 21, 2) pixels.
        valid, visible: (N, 21) bool.
        vertices: (N, V, 3) float32 metres, camera frame, where the protocol scores surfaces and the set has them.
        K: (N, 3, 3) camera matrices, where the set has them.
    """

    keys: tuple[str, ...]
    joints: np.ndarray
    joints_2d: np.ndarray
    valid: np.ndarray
    visible: np.ndarray
    vertices: np.ndarray | None = None
    K: np.ndarray | None = None


@dataclass(frozen=True)
class Protocol:
    """How a public set is scored. Its module says why and after whom.

    Attributes:
        name: of the protocol, as the command line has it.
        dataset: its reader.
        split: the one that is scored.
        crop: side of the square that the predictor is given, over that of the square around the true joints.
        score: `(predicted joints (N, 21, 3) metres, truth) -> figures`; predictions of missed hands are NaN.
        score_surfaces: `(predicted vertices (N, V, 3), predicted joints, truth) -> figures`, where surfaces are scored too.
        score_pixels: `(predictions, truth) -> figures` that need predicted pixels and true cameras beside joints; is called where the set
            has cameras.
        read_theirs: `(path, truth) -> runs` of a JSON file in the form of the set's authors, where they have one.
    """

    name: str
    dataset: type[Dataset]
    split: str
    crop: float
    score: Callable[[np.ndarray, Truth], dict[str, Any]]
    score_surfaces: Callable[[np.ndarray, np.ndarray, Truth], dict[str, Any]] | None = None
    score_pixels: Callable[[JointPredictions, Truth], dict[str, Any]] | None = None
    read_theirs: Callable[[Path, Truth], dict[str, JointPredictions]] | None = None


def evaluate_set(
    protocol: Protocol,
    folder: str | Path,
    predictor: Callable[..., Any] | None = None,
    predictions: str | Path | None = None,
    save: str | Path | None = None,
    json_path: str | Path | None = None,
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Predict and score the hands of a set, or score saved predictions; returns the figures.

    Args:
        protocol: which.
        folder: of the set, as its reader takes it.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        predictions: a file written through `save`, or in the form of the set's authors; it is scored and nothing is predicted.
        save: NPZ to write the predictions to.
        json_path: file to write the figures to.
        whole: refuse a set that is not whole; figures of a part do not compare with published ones.
        progress: is called with hands done and in all.

    Raises:
        InputError: files are at fault, or hands without the joints that the protocol scores.
    """
    for target in (save, json_path):
        if target is not None:
            writable_file(target)
    dataset = protocol.dataset(folder, protocol.split, whole)
    surfaces = protocol.score_surfaces is not None
    if predictions is not None:
        if predictor is not None or save is not None:
            raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
        truth = read_truth(dataset, lambda sample: None, progress, surfaces)
        if protocol.read_theirs is not None and Path(predictions).suffix == ".json":
            runs = protocol.read_theirs(Path(predictions), truth)
        else:
            runs = load_predictions(predictions, truth.keys)
    else:
        run, truth = predict_set(dataset, predictor_or_default(predictor), protocol.crop, progress, surfaces)
        runs = {RUN: run}
        if save is not None:
            save_predictions(save, truth.keys, runs)
    head = {"schema": "phalanx.scores/1", "protocol": protocol.name, "split": protocol.split, "hands": len(truth.keys)}
    try:
        scores = {name: _score(protocol, run, truth) for name, run in runs.items()}
    except InputError as error:
        raise error if predictions is None else InputError(f"{predictions}: {error}") from error
    report = {
        **head,
        "whole": whole,
        "thresholds_mm": next(iter(scores.values()))["thresholds_mm"],
        "runs": list(scores),
        **scores,
    }
    if json_path is not None:
        write_json(json_path, report, indent=1)
    return report


def _score(protocol: Protocol, run: JointPredictions, truth: Truth) -> dict[str, Any]:
    figures = {"missed": int((~run.found).sum()), **protocol.score(run.joints, truth)}
    if protocol.score_pixels is not None and truth.K is not None:
        figures |= protocol.score_pixels(run, truth)
    if run.made_by:
        figures["made_by"] = run.made_by
    if protocol.score_surfaces is not None and run.vertices is not None and truth.vertices is not None:
        figures |= protocol.score_surfaces(run.vertices, run.joints, truth)
    return figures


def predict_set(
    dataset: Dataset,
    predictor: Callable[..., Any],
    crop: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
    surfaces: bool = False,
) -> tuple[JointPredictions, Truth]:
    """Predictions and labels of every hand; the predictor gets picture, camera and the square around the true joints.

    Surfaces are kept only where they are scored: they take much room.
    """
    joints, joints_2d, ms = [], [], []
    vertices: list[np.ndarray | None] = []

    def predict(sample: Sample) -> None:
        assert sample.image is not None and sample.joints_2d is not None
        image = image_bytes(sample.image[0])
        known = sample.joints_2d[0].numpy()
        if sample.valid is not None:
            known = known[sample.valid[0].numpy() > 0]
        low, high = known.min(0), known.max(0)
        side = crop * max(float((high - low).max()), 16.0)
        left, top = (low + high) / 2 + 0.5 - side / 2
        started = time.perf_counter()
        K = None if sample.K is None else sample.K[0].numpy()
        hands = predictor(image, box=(float(left), float(top), side, side), K=K, side="right")
        ms.append((time.perf_counter() - started) * 1e3)
        joints.append(hands[0].joints if hands else np.full((21, 3), np.nan))
        joints_2d.append(hands[0].joints_2d if hands else np.full((21, 2), np.nan))
        vertices.append(without_forearm(hands[0].vertices) if surfaces and hands else None)

    truth = read_truth(dataset, predict, progress, surfaces)
    pixels, metres = np.array(joints_2d, float), np.array(joints, float)
    run = JointPredictions(pixels, metres, np.array(ms), stacked_surfaces(vertices), made_by=maker(predictor))
    check_hands(run, truth.keys, "predictor")
    return run, truth


def without_forearm(vertices: np.ndarray | None) -> np.ndarray | None:
    """Surface (V, 3) as float32, without the forearm if it is the open hand's; others, told by their number of vertices, as they are."""
    if vertices is None:
        return None
    forearm = _forearm()
    kept = vertices[~forearm] if len(vertices) == len(forearm) else vertices
    return np.asarray(kept, np.float32)


@lru_cache(maxsize=1)
def _forearm() -> np.ndarray:
    """(V,) bool: vertices of the open hand that belong to the forearm."""
    return HandModel.open_hand().parts.numpy() == FOREARM


def stacked_surfaces(surfaces: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """N surfaces (V, 3) as one array (N, V, 3), NaN for those that are None; None if all are."""
    known = [surface for surface in surfaces if surface is not None]
    if not known:
        return None
    missed = np.full_like(known[0], np.nan)
    return np.stack([missed if surface is None else surface for surface in surfaces])


def read_truth(
    dataset: Dataset,
    visit: Callable[[Sample], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    surfaces: bool = False,
) -> Truth:
    """Labels of every hand of a set, surfaces if they are wanted and all hands have them.

    `visit` is handed each sample on the way. Raises InputError for hands without joints.
    """
    keys, joints, joints_2d, valid, visible, vertices, K = [], [], [], [], [], [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.joints is None or sample.joints_2d is None or sample.image is None or sample.ids is None:
            raise InputError(f"{dataset.folder}: {dataset.name} {dataset.split} has hands without picture or joints")
        visit(sample)
        known = np.ones(21, bool) if sample.valid is None else sample.valid[0].numpy() > 0
        keys.append("_".join(str(number) for number in sample.ids[0].tolist()))
        joints.append(sample.joints[0].double().numpy())
        joints_2d.append(sample.joints_2d[0].double().numpy())
        valid.append(known)
        visible.append(known if sample.visible is None else sample.visible[0].numpy() > 0)
        if surfaces and sample.vertices is not None:
            vertices.append(sample.vertices[0].float().numpy())
        if sample.K is not None:
            K.append(sample.K[0].double().numpy())
        progress(index + 1, len(dataset))
    return Truth(
        tuple(keys),
        np.array(joints),
        np.array(joints_2d),
        np.array(valid),
        np.array(visible),
        np.array(vertices) if vertices and len(vertices) == len(keys) else None,
        np.array(K) if K and len(K) == len(keys) else None,
    )


def joint_figures(errors: np.ndarray, valid: np.ndarray | None, grids: dict[str, np.ndarray]) -> dict[str, Any]:
    """The usual figures of errors `(N, J)` in millimetres, infinite for missed hands, as Zimmermann's evaluation code pools them.

    `grids` are thresholds by name: `auc_<name>` is the area by the trapezoid rule over each; the curve is that of the first.
    """
    curves = {name: pck_curve_of_joints(errors, grid, valid) for name, grid in grids.items()}
    first = next(iter(grids))
    pooled = {
        "mean_mm": mean_of_joint_means(errors, valid),
        "median_mm": mean_of_joint_medians(errors, valid),
        "mean_over_all_mm": mean_error(errors, valid),
        "median_over_all_mm": median_error(errors, valid),
    }
    return {
        # Missed hands make a mean infinite, half of them a median: there is no such figure then
        **{name: value if np.isfinite(value) else None for name, value in pooled.items()},
        **{f"auc_{name}": curve_area_trapezoid(curves[name], grid) for name, grid in grids.items()},
        "thresholds_mm": grids[first].tolist(),
        "joints_within": curves[first].tolist(),
    }


def of_found(predicted: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Errors `(N, J)` in millimetres of `predicted (N, 21, 3)`: `measure(joints, numbers)` of the hands found (their joints and numbers
    among the N) in metres, infinite for the others. Raises InputError if no hand was found at all."""
    found = np.isfinite(predicted).all((1, 2))
    if not found.any():
        raise InputError("predictions: no hand was found in any picture")
    some = measure(predicted[found], np.flatnonzero(found)) * 1e3
    errors = np.full((len(predicted), some.shape[1]), np.inf)
    errors[found] = some
    return errors
