"""What the protocols of public sets share that score 3D joints.

Each is a module with a `PROTOCOL`: which set and split, how the hand is cut out, and the score, a function of predictions and
labels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.evaluate.kinds import COLOUR_SET, Kind
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
from phalanx.evaluate.steps import STEPS, Figures, Report, Steps, figures_of_runs, predict_or_load, score_and_write
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FOREARM
from phalanx.metrics.curves import curve_area_trapezoid, pck_curve_of_joints
from phalanx.metrics.summaries import mean_error, mean_of_joint_means, mean_of_joint_medians, median_error

SCALE_BONE = (9, 10)
"""From middle MCP to PIP: the bone whose length is given to protocols with a known scale."""

HELP = """\
The head of phalanx/evaluate/PROTOCOL.py gives split, joints, root, scale, crop, alignment and thresholds, with their source.
Prints mean and median error in millimetres and the area under the PCK curve.
"""
"""What the command line says of these protocols."""


@dataclass(frozen=True)
class Truth:
    """Labels of N hands, right or mirrored to right.

    Attributes:
        keys: N texts that tell the hands apart, made of `Sample.ids`.
        joints: (N, 21, 3) metres, camera frame.
        joints_2d: (N, 21, 2) pixels.
        valid, visible: (N, 21) bool.
        vertices: (N, V, 3) float32 metres, camera frame, if the protocol scores surfaces and the set has them.
        K: (N, 3, 3) camera matrices, if the set has them.
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
    """How a public set is scored. Its module gives the reasons and the sources.

    Attributes:
        name: of the protocol on the command line and in files of scores.
        dataset: its reader.
        split: the one that is scored.
        crop: side of the square that the predictor is given, over that of the square around the true joints.
        score: `(predicted joints (N, 21, 3) metres, truth) -> figures`; predictions of missed hands are NaN.
        kind: how the scores are shown.
        score_surfaces: `(predicted vertices (N, V, 3), predicted joints, truth) -> figures`, if surfaces are scored too.
        score_pixels: `(predictions, truth) -> figures` that need predicted pixels and true cameras beside joints; called if the set
            has cameras.
        read_theirs: `(path, keys) -> runs` reads a JSON file in the form of the set's authors, if they have one.
    """

    name: str
    dataset: type[Dataset]
    split: str
    crop: float
    score: Callable[[np.ndarray, Truth], Figures]
    kind: Kind = COLOUR_SET
    score_surfaces: Callable[[np.ndarray, np.ndarray, Truth], Figures] | None = None
    score_pixels: Callable[[JointPredictions, Truth], Figures] | None = None
    read_theirs: Callable[[str | Path, Sequence[str]], Mapping[str, JointPredictions]] | None = None


def evaluate_set(protocol: Protocol, folder: str | Path, steps: Steps = STEPS, whole: bool = True) -> Report:
    """Predict and score the hands of a set, or score saved predictions; returns the figures.

    Args:
        protocol: which.
        folder: of the set, as its reader takes it.
        steps: predictor and files; `predictions` may also be a file in the form of the set's authors.
        whole: refuse a set that is not whole: figures of a part do not compare with published ones.

    Raises:
        InputError: files are bad, or hands lack the joints that the protocol scores.
    """
    dataset = protocol.dataset(folder, protocol.split, whole)
    surfaces = protocol.score_surfaces is not None

    def predict() -> tuple[Truth, dict[str, JointPredictions]]:
        predictor = predictor_or_default(steps.predictor)
        run, truth = predict_set(dataset, predictor, protocol.crop, steps.progress, surfaces)
        return truth, {RUN: run}

    def load(path: str | Path, keys: Sequence[str]) -> Mapping[str, JointPredictions]:
        theirs = protocol.read_theirs if Path(path).suffix == ".json" else None
        return (theirs or load_predictions)(path, keys)

    def read() -> Truth:
        return read_truth(dataset, lambda sample: None, steps.progress, surfaces)

    truth, runs = predict_or_load(steps, predict, read, load, save_predictions)

    def head(scores: dict[str, Figures]) -> Report:
        about: Report = {"protocol": protocol.name, "split": protocol.split, "hands": len(truth.keys), "whole": whole}
        return {**about, "thresholds_mm": next(iter(scores.values()))["thresholds_mm"]}

    return score_and_write(steps, runs, lambda run: _score(protocol, run, truth), head)


def show_set(report: Report) -> None:
    """Print the figures of each run in a line."""
    for run, every in figures_of_runs(report).items():
        figures = {name: value for name, value in every.items() if isinstance(value, int | float)}
        text = ", ".join(
            f"{name} {value:.3f}" if "auc" in name else f"{name} {value:.4g}" for name, value in figures.items()
        )
        part = "" if report["whole"] else ", a part of the set"
        print(f"{report['protocol']} ({report['hands']} hands{part}), {run}: {text}")


def _score(protocol: Protocol, run: JointPredictions, truth: Truth) -> Figures:
    figures: Figures = {"missed": int((~run.found).sum()), **protocol.score(run.joints, truth)}
    if protocol.score_pixels is not None and truth.K is not None:
        figures |= protocol.score_pixels(run, truth)
    if run.made_by:
        figures["made_by"] = run.made_by
    if protocol.score_surfaces is not None and run.vertices is not None and truth.vertices is not None:
        figures |= protocol.score_surfaces(run.vertices, run.joints, truth)
    return figures


def predict_set(
    dataset: Dataset,
    predictor: HandPredictor,
    crop: float,
    progress: Callable[[int, int], None] = STEPS.progress,
    surfaces: bool = False,
) -> tuple[JointPredictions, Truth]:
    """Predictions and labels of every hand; the predictor gets picture, camera and the square around the true joints.

    Surfaces are kept only if they are scored: they take much memory.
    """
    answers: list[FoundJoints] = []
    vertices: list[np.ndarray | None] = []

    def predict(sample: Sample) -> None:
        assert sample.image is not None and sample.joints_2d is not None
        known = sample.joints_2d[0].numpy()
        if sample.valid is not None:
            known = known[sample.valid[0].numpy() > 0]
        low, high = known.min(0), known.max(0)
        side = crop * max(float((high - low).max()), 16.0)
        left, top = (low + high) / 2 + 0.5 - side / 2
        box = (float(left), float(top), side, side)
        K = None if sample.K is None else sample.K[0].numpy()
        hand, found = ask(predictor, image_bytes(sample.image[0]), box=box, K=K, side="right")
        answers.append(found)
        vertices.append(without_forearm(hand.vertices) if surfaces and hand is not None else None)

    truth = read_truth(dataset, predict, progress, surfaces)
    run = joint_run(answers, truth.keys, made_by=maker(predictor), vertices=stacked_surfaces(vertices))
    return run, truth


def without_forearm(vertices: np.ndarray | None) -> np.ndarray | None:
    """Surface (V, 3) as float32; the open hand's, known by its number of vertices, without the forearm."""
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
    progress: Callable[[int, int], None] = STEPS.progress,
    surfaces: bool = False,
) -> Truth:
    """Labels of every hand of a set, with surfaces if they are wanted and all hands have them.

    Each sample is passed to `visit` on the way. Raises InputError for hands without joints.
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


def joint_figures(errors: np.ndarray, valid: np.ndarray | None, grids: dict[str, np.ndarray]) -> Figures:
    """The usual figures of errors `(N, J)` in millimetres, infinite for missed hands, pooled as Zimmermann's evaluation code does.

    `grids` are thresholds by name: `auc_<name>` is the area over each by the trapezoid rule; the curve is over the first.
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
        # A missed hand makes a mean infinite, half of them missed a median: there is no such figure then
        **{name: value if np.isfinite(value) else None for name, value in pooled.items()},
        **{f"auc_{name}": curve_area_trapezoid(curves[name], grid) for name, grid in grids.items()},
        "thresholds_mm": grids[first].tolist(),
        "joints_within": curves[first].tolist(),
    }


def of_found(predicted: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Errors `(N, J)` in millimetres of `predicted (N, 21, 3)` metres, infinite for missed hands.

    `measure(joints, numbers)` gives the errors in metres of the hands found, from their joints and their numbers among the N.
    Raises InputError if no hand was found at all.
    """
    found = np.isfinite(predicted).all((1, 2))
    if not found.any():
        raise InputError("predictions: no hand was found in any picture")
    some = measure(predicted[found], np.flatnonzero(found)) * 1e3
    errors = np.full((len(predicted), some.shape[1]), np.inf)
    errors[found] = some
    return errors
