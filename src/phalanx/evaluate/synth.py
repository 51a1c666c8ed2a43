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
from phalanx.data.images import image_bytes
from phalanx.data.photos3d import SIZE, Photos3D
from phalanx.evaluate.photos3d import FOCAL_GIVEN, FOCAL_NOT_GIVEN, estimator, report_photos3d
from phalanx.evaluate.predictions import JointPredictions, predictor_or_default
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
) -> dict[str, Any]:
    """Predict and score `count` synthetic pictures; print a table and return its figures, keyed as `evaluate_photos3d`'s.

    Args:
        count: pictures.
        scene, domain: as in `SynthConfig`.
        predictor: called like `phalanx.predict.Predictor()`, which is the default.
        workers: processes that make pictures.
        json_path: file to write the figures to.
        quiet: print no table.
        progress: is called with pictures done and in all.

    Raises InputError for a scene or domain that is not known, and a count below 1.
    """
    if count < 1:
        raise InputError(f"count: must be 1 or more, got {count}")
    predictor = predictor_or_default(predictor)
    config = SynthConfig(size=SIZE, scene=scene, domain=domain, dense=False)
    ways = {
        name: estimator(predictor, "right", known) for name, known in ((FOCAL_GIVEN, True), (FOCAL_NOT_GIVEN, False))
    }
    joints: list[np.ndarray] = []
    joints_2d: list[np.ndarray] = []
    K: list[np.ndarray] = []
    answers: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {name: [] for name in ways}
    chunks = stream(config, SEED, workers)
    while len(joints) < count:
        sample = next(chunks)
        assert sample.image is not None and sample.joints is not None
        assert sample.joints_2d is not None and sample.K is not None
        for i in range(min(len(sample), count - len(joints))):
            image = image_bytes(sample.image[i])
            joints.append(sample.joints[i].double().numpy())
            joints_2d.append(sample.joints_2d[i].double().numpy())
            K.append(sample.K[i].double().numpy())
            for name, estimate in ways.items():
                answer = estimate(image, K[-1])
                found = answer.joints_2d is not None and answer.joints is not None
                answers[name].append(
                    (answer.joints_2d, answer.joints, answer.ms)  # type: ignore[arg-type]
                    if found
                    else (np.full((21, 2), np.nan), np.full((21, 3), np.nan), answer.ms)
                )
            progress(len(joints), count)
    chunks.close()
    names = tuple(f"{SEED}_{i}" for i in range(count))
    truth = Photos3D(Path(), names, np.array(joints), np.array(joints_2d), np.array(K), "right")
    runs = {
        name: JointPredictions(*(np.array(part, float) for part in zip(*some, strict=True)))
        for name, some in answers.items()
    }
    about = {"protocol": "synth", "scene": scene, "domain": domain, "seed": SEED}
    return report_photos3d(truth, runs, json_path=json_path, quiet=quiet, about=about)
