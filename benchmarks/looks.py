"""What looking again is worth: new synthetic pictures of hands that lie any way, predicted with and without it.

    python benchmarks/looks.py [--weights FILE] [--backgrounds DIR] [--pictures N] [--seed N]

`predict.looks` looks again, from crops turned to either side, where it is unsure. Both ways in turns, picture by picture: 2D error in
pixels of 256, root-relative error after one scale a hand in mm, and milliseconds.
"""

from __future__ import annotations

import argparse
import math
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from phalanx.evaluate.groups import VIEWS
from phalanx.evaluate.groups import views as views_of
from phalanx.predict import looks as module
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, stream
from phalanx.synth.scene.hands import FRAMINGS

WAYS = {"looking once": math.inf, "again where unsure": module.UNSURE, "always again": 0.0}


def relative_error(found: np.ndarray, true: np.ndarray) -> float:
    """Millimetres between joints (21, 3) relative to the wrist, after the found hand was given the true norm."""
    found, true = found - found[:1], true - true[:1]
    return float(1e3 * np.linalg.norm(found * np.linalg.norm(true) / np.linalg.norm(found) - true, axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="of the default estimator (default: those in the package)")
    parser.add_argument("--backgrounds", type=Path, help="photographs to put behind hands")
    parser.add_argument("--pictures", type=int, default=512, help="how many (default: 512)")
    parser.add_argument("--seed", type=int, default=4711, help="of the pictures (default: 4711)")
    arguments = parser.parse_args()
    predictor = Predictor(arguments.weights)
    config = SynthConfig(size=256, backgrounds=arguments.backgrounds, dense=False)
    rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    joints: list[np.ndarray] = []
    whole = {"hands": replace(FRAMINGS["hands"], closer=0.0)}  # pictures of a first look: hands in any direction
    with patch.dict(FRAMINGS, whole), closing(stream(config, arguments.seed)) as chunks:
        while len(joints) < arguments.pictures:
            chunk = next(chunks)
            assert chunk.image is not None and chunk.joints is not None
            assert chunk.joints_2d is not None and chunk.K is not None
            pictures = (chunk.image * 255).round().byte().permute(0, 2, 3, 1).numpy()
            for index, picture in enumerate(pictures[: arguments.pictures - len(joints)]):
                true, true_2d = chunk.joints[index].numpy(), chunk.joints_2d[index].numpy()
                joints.append(true)
                for way, unsure in WAYS.items():
                    start = time.perf_counter()
                    with patch.object(module, "UNSURE", unsure):
                        (hand,) = predictor(picture, box="whole", K=chunk.K[index].numpy(), side="right")
                    ms = 1e3 * (time.perf_counter() - start)
                    error = float(np.linalg.norm(hand.joints_2d - true_2d, axis=1).mean())
                    rows[way].append((error, relative_error(hand.joints, true), ms))
    group = np.asarray(views_of(np.array(joints), "right"))
    print(f"{'px / mm':20s}" + "".join(f"{name:>14s}" for name in ("all", *VIEWS)) + f"{'ms':>8s}")
    for way, values in rows.items():
        table = np.array(values)
        parts = [table.mean(0), *(table[group == view].mean(0) for view in VIEWS)]
        print(f"{way:20s}" + "".join(f"{part[0]:8.2f}{part[1]:6.1f}" for part in parts) + f"{table[:, 2].mean():8.1f}")


if __name__ == "__main__":
    main()
