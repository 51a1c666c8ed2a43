"""The steps of every evaluation on pictures: predict or load, save, score, write.

A protocol reads its labels, asks the predictor and scores one run; the steps in between are here, once for all protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_json
from phalanx.core.json_values import Json
from phalanx.evaluate.predictors import HandPredictor

SCHEMA = "phalanx.scores/1"
"""`schema` of files of scores."""

Figures = dict[str, Json]
"""The figures of a run by name: numbers, None where there is no such figure, lists, and figures of groups."""

Report = dict[str, Json]
"""What is written and shown: the head, `runs`, and under the name of each run its `Figures`."""

Truth = TypeVar("Truth")
Run = TypeVar("Run")


@dataclass(frozen=True)
class Steps:
    """What an evaluation predicts with, and which files it reads and writes.

    Attributes:
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        predictions: a file that was written through `save`: it is scored, and nothing is predicted.
        save: NPZ file to write the predictions to.
        json_path: file to write the figures to.
        progress: is called with the number of pictures done and of all pictures.
    """

    predictor: HandPredictor | None = None
    predictions: str | Path | None = None
    save: str | Path | None = None
    json_path: str | Path | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


STEPS = Steps()
"""Predict with the default predictor, and write nothing."""


def predict_or_load(
    steps: Steps,
    predict: Callable[[], tuple[Truth, Mapping[str, Run]]],
    read: Callable[[], Truth],
    load: Callable[[str | Path, Sequence[str]], Mapping[str, Run]],
    save: Callable[[str | Path, Sequence[str], Mapping[str, Run]], None],
    keys: Callable[[Truth], Sequence[str]] = attrgetter("keys"),
) -> tuple[Truth, Mapping[str, Run]]:
    """The labels of all pictures and the runs by name: predicted now, and saved if `steps` says so, or loaded from a file.

    Args:
        steps: the files, and the predictor.
        predict: reads the labels and predicts every picture on the way.
        read: reads the labels alone.
        load: `(path, keys) -> runs` reads a file of predictions.
        save: `(path, keys, runs)` writes one.
        keys: texts that tell the pictures apart, of the labels.

    Raises:
        InputError: a file cannot be read or written, or saved predictions come together with a predictor.
    """
    for target in (steps.save, steps.json_path):
        if target is not None:
            writable_file(target)  # a complaint must come before the minutes that predicting takes
    if steps.predictions is None:
        truth, runs = predict()
        if steps.save is not None:
            save(steps.save, keys(truth), runs)
        return truth, runs
    if steps.predictor is not None or steps.save is not None:
        raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
    truth = read()
    return truth, load(steps.predictions, keys(truth))


def score_and_write(
    steps: Steps,
    runs: Mapping[str, Run],
    score: Callable[[Run], Figures],
    head: Callable[[dict[str, Figures]], Mapping[str, Json]],
) -> Report:
    """The report: `schema`, the head, `runs` (their names) and the figures of each run under its name; written if `steps` says so.

    Args:
        steps: the files.
        runs: by name.
        score: gives the figures of one run.
        head: gives what stands before the figures of the runs, from those figures.

    Raises:
        InputError: a run cannot be scored, or the file cannot be written.
    """
    try:
        scores = {name: score(run) for name, run in runs.items()}
    except InputError as error:
        raise error if steps.predictions is None else InputError(f"{steps.predictions}: {error}") from error
    report: Report = {"schema": SCHEMA, **head(scores), "runs": list(scores), **scores}
    if steps.json_path is not None:
        write_json(steps.json_path, report, indent=1)
    return report


def figures_of_runs(report: Mapping[str, Json]) -> dict[str, Figures]:
    """The figures of each run in a report, by the run's name."""
    runs = report["runs"]
    assert isinstance(runs, list)
    return {name: figures for name in runs if isinstance(name, str) and isinstance(figures := report[name], dict)}
