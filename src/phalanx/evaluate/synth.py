"""Protocol on synthetic pictures: what the estimator makes of pictures like those it learnt from, but never saw.

- **Pictures**: 256x256, of a fixed seed that no training uses, of a scene and a domain of `phalanx.synth`; right hands.
- **Predicting**: the whole picture is the hand's box; the side is told, and the camera matrix in one of two runs.
- **Figures**: those of `photos3d` (evaluate/photos3d.py), with their definitions: joints are the hand model's own here, so the definition
  map has nothing to do but is computed all the same.

Synthesis is the same on every machine, so the pictures need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file
from phalanx.data.images import image_bytes
from phalanx.data.public.photos3d import SIZE, Photos3D
from phalanx.evaluate.photos3d import FOCAL_GIVEN, FOCAL_NOT_GIVEN, Estimate, estimator, report_photos3d
from phalanx.evaluate.predictions import (
    JointPredictions,
    load_predictions,
    maker,
    predictor_or_default,
    save_predictions,
)
from phalanx.synth import SynthConfig, stream

SEED = 3_000_017
"""Of the test pictures."""


def evaluate_synth(
    count: int = 512,
    scene: str = "hands",
    domain: str = "any",
    predictor: Callable[..., Any] | None = None,
    workers: int = 0,
    json_path: str | Path | None = None,
    quiet: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    predictions: str | Path | None = None,
    save: str | Path | None = None,
) -> dict[str, Any]:
    """Predict and score `count` synthetic pictures, or score saved predictions; returns figures keyed as `evaluate_photos3d`'s.

    Args:
        count: pictures.
        scene, domain: as in `SynthConfig`.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        workers: processes that make pictures.
        json_path: file to write the figures to.
        quiet: print no table.
        progress: is called with pictures done and in all.
        predictions: a file written through `save`; it is scored and nothing is predicted. The pictures are made again for their labels.
        save: NPZ to write the predictions to.

    Raises InputError for a scene or domain that is not known, a count below 1, and files at fault.
    """
    if count < 1:
        raise InputError(f"count: must be 1 or more, got {count}")
    for target in (save, json_path):
        if target is not None:
            writable_file(target)
    config = SynthConfig(size=SIZE, scene=scene, domain=domain, dense=False)
    names = tuple(f"{scene}_{domain}_{SEED}_{i}" for i in range(count))
    if predictions is not None:
        if predictor is not None or save is not None:
            raise InputError("predictions: saved predictions are scored as they are; give no predictor and no save")
        runs = load_predictions(predictions, names)
        truth = _pictures(config, names, workers, lambda image, K: None, progress)
    else:
        chosen = predictor_or_default(predictor)
        ways = {
            way: estimator(chosen, "right", known) for way, known in ((FOCAL_GIVEN, True), (FOCAL_NOT_GIVEN, False))
        }
        answers: dict[str, list[Estimate]] = {way: [] for way in ways}

        def predict(image: np.ndarray, K: np.ndarray) -> None:
            for way, estimate in ways.items():
                answers[way].append(estimate(image, K))

        truth = _pictures(config, names, workers, predict, progress)
        runs = {way: _run(some, maker(chosen)) for way, some in answers.items()}
        if save is not None:
            save_predictions(save, names, runs)
    about = {"protocol": "synth", "scene": scene, "domain": domain, "seed": SEED}
    return report_photos3d(truth, runs, json_path=json_path, quiet=quiet, about=about)


def _pictures(
    config: SynthConfig,
    names: tuple[str, ...],
    workers: int,
    visit: Callable[[np.ndarray, np.ndarray], None],
    progress: Callable[[int, int], None],
) -> Photos3D:
    """Labels of the pictures of these names; `visit` is handed each picture (256, 256, 3) and its camera (3, 3) on the way."""
    joints: list[np.ndarray] = []
    joints_2d: list[np.ndarray] = []
    K: list[np.ndarray] = []
    chunks = stream(config, SEED, workers)
    while len(joints) < len(names):
        sample = next(chunks)
        assert sample.image is not None and sample.joints is not None
        assert sample.joints_2d is not None and sample.K is not None
        for i in range(min(len(sample), len(names) - len(joints))):
            joints.append(sample.joints[i].double().numpy())
            joints_2d.append(sample.joints_2d[i].double().numpy())
            K.append(sample.K[i].double().numpy())
            visit(image_bytes(sample.image[i]), K[-1])
            progress(len(joints), len(names))
    chunks.close()
    return Photos3D(Path(), names, np.array(joints), np.array(joints_2d), np.array(K), "right")


def _run(answers: list[Estimate], made_by: str) -> JointPredictions:
    pixels = [np.full((21, 2), np.nan) if answer.joints_2d is None else answer.joints_2d for answer in answers]
    metres = [np.full((21, 3), np.nan) if answer.joints is None else answer.joints for answer in answers]
    ms = np.array([answer.ms for answer in answers])
    return JointPredictions(np.array(pixels, float), np.array(metres, float), ms, made_by=made_by)
