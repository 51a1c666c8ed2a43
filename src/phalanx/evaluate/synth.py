"""Protocol on synthetic pictures: how good the estimator is on pictures like those that it was trained on, but did not see.

- **Pictures**: 256x256, of a fixed seed that no training uses, of a scene and a domain of `phalanx.synth`; right hands.
- **Predicting**: the whole picture is the hand's box. The predictor gets the side, and the camera matrix in one of two runs.
- **Figures**: those of `photos3d` (evaluate/photos3d.py), with their definitions. The labels are the hand model's own joints, so the
  definition map has nothing to correct; it is computed all the same.

Synthesis is the same on every machine, so the pictures need not be kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.json_values import Json
from phalanx.data.images import image_bytes
from phalanx.data.public.photos3d import SIZE, Photos3D
from phalanx.evaluate.kinds import PHOTOS
from phalanx.evaluate.photos3d import both_ways, find_in_turns, photo_names, score_photos
from phalanx.evaluate.predictions import JointPredictions, load_predictions, save_predictions
from phalanx.evaluate.steps import STEPS, Steps, predict_or_load
from phalanx.synth import SynthConfig, stream

SEED = 3_000_017
"""Of the test pictures."""

KINDS = {
    "synth": replace(
        PHOTOS,
        remark=(
            "root-relative errors after one scale a picture that takes the hand's size out, on pictures of the synthesis that the default "
            "estimator was trained on, of a seed that no training uses: they show how well it learnt them, not how it does on photographs"
        ),
        own_synthesis=True,
    )
}
"""How scores are shown."""

HELP = """\
The pictures are made from a seed that no training uses, the same on every machine. The figures are those of photos3d.

example:
  phalanx evaluate synth --domain field --json field.json
"""


def evaluate_synth(
    count: int = 512, scene: str = "hands", domain: str = "any", steps: Steps = STEPS, workers: int = 0
) -> dict[str, Json]:
    """Predict and score synthetic pictures, or score saved predictions; returns figures keyed as those of `evaluate_photos3d`.

    Args:
        count: pictures.
        scene, domain: as in `SynthConfig`.
        steps: predictor and files; with saved predictions the pictures are made again, for their labels.
        workers: processes that make pictures.

    Raises:
        InputError: the scene or domain is not known, the count is below 1, or files are bad.
    """
    if count < 1:
        raise InputError(f"count: must be 1 or more, got {count}")
    config = SynthConfig(size=SIZE, scene=scene, domain=domain, dense=False)
    names = tuple(f"{scene}_{domain}_{SEED}_{i}" for i in range(count))
    labels: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # joints, joints_2d, K of the pictures so far

    def pictures() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for image, joints, joints_2d, K in made_pictures(config, count, workers):
            labels.append((joints, joints_2d, K))
            yield image, K
            steps.progress(len(labels), count)

    def labelled() -> Photos3D:
        joints, joints_2d, K = (np.array(part) for part in zip(*labels, strict=True))
        return Photos3D(Path(), names, joints, joints_2d, K, "right")

    def predict() -> tuple[Photos3D, dict[str, JointPredictions]]:
        runs = find_in_turns(pictures(), names, both_ways(steps.predictor, "right"))
        return labelled(), runs

    def read() -> Photos3D:
        for _ in pictures():
            pass
        return labelled()

    photos, runs = predict_or_load(steps, predict, read, load_predictions, save_predictions, photo_names)
    return score_photos(photos, steps, runs, {"protocol": "synth", "scene": scene, "domain": domain, "seed": SEED})


def made_pictures(
    config: SynthConfig, count: int, workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """The first pictures (H, W, 3) of the stream of `SEED`, each with joints (21, 3), joints_2d (21, 2) and camera matrix (3, 3)."""
    made = 0
    with closing(stream(config, SEED, workers)) as chunks:
        while made < count:
            sample = next(chunks)
            assert sample.image is not None and sample.joints is not None
            assert sample.joints_2d is not None and sample.K is not None
            for i in range(min(len(sample), count - made)):
                joints, joints_2d, K = (
                    part[i].double().numpy() for part in (sample.joints, sample.joints_2d, sample.K)
                )
                yield image_bytes(sample.image[i]), joints, joints_2d, K
                made += 1
