"""How much the estimator's expected errors say about the side of a hand: new synthetic hands, looked at as right and as left ones.

    python benchmarks/sides.py [--weights FILE] [--backgrounds DIR] [--pictures N] [--seed N]

Half of the pictures are mirrored. Squares are as far off as a detector's. Printed: how often the side with the smaller expected error
is the true one, by how much smaller it is, and what a logistic model of the logarithm of their ratio makes of it, whose best weight is
`predict.sides.ERROR_WEIGHT`; of an estimator that has learnt handedness, how often that is right, and the weights of both together; and
what scores hands have, against `predict.merge.HOPELESS`.
"""

from __future__ import annotations

import argparse
import math
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalanx.methods.compact import load
from phalanx.predict.looks import Look, box_around_joints, see_all
from phalanx.predict.networks import NetworkEstimator
from phalanx.predict.posing import score
from phalanx.synth import SynthConfig, stream

SIZE = 192
RATIOS = (0.0, 0.05, 0.1, 0.2, 0.4, math.inf)
WEIGHTS = (2, 4, 6, 8, 10, 12, 14, 16, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="of the default estimator (default: those in the package)")
    parser.add_argument("--backgrounds", type=Path, help="photographs to put behind hands")
    parser.add_argument("--pictures", type=int, default=256, help="how many (default: 256)")
    parser.add_argument("--seed", type=int, default=977, help="of the pictures (default: 977)")
    arguments = parser.parse_args()
    network = NetworkEstimator(load(arguments.weights, precision="float32"))
    random = np.random.default_rng(arguments.seed)
    config = SynthConfig(size=SIZE, dense=False, chunk=16, tiles=64, skins=8, backgrounds=arguments.backgrounds)
    # log ratio of expected errors, of the wrong side over the true one; how much more the true one looks right; its score
    rows: list[tuple[float, float, float]] = []
    with closing(stream(config, arguments.seed)) as chunks:
        while len(rows) < arguments.pictures:
            chunk = next(chunks)
            assert chunk.image is not None and chunk.joints_2d is not None
            pictures = (chunk.image * 255).round().byte().permute(0, 2, 3, 1).numpy()
            for picture, joints in zip(pictures, chunk.joints_2d.numpy(), strict=True):
                left = bool(random.random() < 0.5)
                if left:
                    picture, joints = np.ascontiguousarray(picture[:, ::-1]), joints * [-1, 1] + [SIZE - 1, 0]
                true = box_around_joints(joints, SIZE, SIZE)
                across, down, grow, turn = random.normal(size=4) * [0.05 * true.side, 0.05 * true.side, 0.08, 0.2]
                square = replace(
                    true,
                    centre_x=true.centre_x + across,
                    centre_y=true.centre_y + down,
                    side=true.side * math.exp(grow),
                    angle=true.angle + turn,
                )
                views = see_all(network, picture, [Look(0, square, left), Look(1, square, not left)])
                ratio = math.log(views[1].expected_error / views[0].expected_error)
                right, wrong = (view.evidence.right for view in views)
                learnt = 0.0 if right is None or wrong is None else float(right[0] - wrong[0])
                rows.append((ratio, learnt, score(views[0].sigma)))
    ratio, learnt, scores = np.array(rows).T
    print(f"{len(rows)} hands, the smaller expected error is the true side's: {(ratio > 0).mean():.1%}")
    for low, high in pairwise(RATIOS):
        among = (abs(ratio) >= low) & (abs(ratio) < high)
        share = f"{(ratio[among] > 0).mean():.1%}" if among.any() else "none"
        print(f"  log ratio {low:.2f} to {high:.2f}: {share} of {among.sum()}")
    print("weight: mean negative log-likelihood")
    for weight in WEIGHTS:
        print(f"  {weight:2d}: {np.log1p(np.exp(-weight * ratio)).mean():.4f}")
    if learnt.any():
        print(f"learnt handedness is right: {(learnt > 0).mean():.1%}")
        weights = both_weights(ratio, learnt)
        said = np.stack([ratio, learnt], 1) @ weights
        print(
            f"together: {(said > 0).mean():.1%}, weights {weights[0]:.2f}, {weights[1]:.2f}, {np.log1p(np.exp(-said)).mean():.4f}"
        )
    print("scores, percentiles 0, 1, 5, 50: " + ", ".join(f"{v:.2f}" for v in np.percentile(scores, [0, 1, 5, 50])))


def both_weights(ratio: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Of a logistic model, without an offset, in which both speak for the true side."""
    speaks, weights = np.stack([ratio, learnt], 1), np.zeros(2)
    for _ in range(50):
        surprise = 1 / (1 + np.exp(speaks @ weights))
        curvature = speaks.T @ (speaks * (surprise * (1 - surprise))[:, None]) + 1e-3 * np.eye(2)
        weights += np.linalg.solve(curvature, speaks.T @ surprise - 1e-3 * weights)
    return weights


if __name__ == "__main__":
    main()
