"""How the detector's confidence and the estimator's score together say whether there is a hand: what `predict.merge.belief` has.

    python benchmarks/belief.py [--frames 64] [--handless FOLDER] [--weights FILE]

Claims of the detector from a confidence of 0.08, in synthetic frames of one to six people (half of them of the domain `field`, all of a
seed that no training uses) and in pictures without hands (`scripts/draw_handless.py`, of another seed than training's), are looked at by
the estimator. Weight and offset are those of a logistic regression of hands on both log-odds, that of the detector having the weight 1.
Printed: both, average precision with and without the estimator, and what share of the claims so believed with 0.4 to 0.6, and with 0.75 to
0.85, are hands; and for several thresholds, how many of 100 pictures without hands show one, and how many of the claimed hands stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from detection import opened

from phalanx.data.images import PICTURE_SUFFIXES, image_bytes, read_photo
from phalanx.predict.detection import find_hands, overlap
from phalanx.predict.predictor import Predictor
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.train.detector_claims import clear_hands

SEED = 880_001
CHUNK = 8
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
DOMAINS = ("any", "field")
FAINT = 0.08
HIT = 0.3  # overlap from which a claim is the hand

Row = tuple[float, float, bool]
"""Confidence of the detector, score of the estimator, whether it is a hand."""


def looked_at(
    predictor: Predictor, image: np.ndarray
) -> Iterator[tuple[tuple[float, float, float, float], float, float]]:
    """Box, confidence and score of each claim."""
    claims = [
        claim
        for claim in find_hands(predictor.load_detector(), image, 24, FAINT)
        if claim.square.overlaps(*image.shape[1::-1])
    ]
    hands = predictor.follow(image, [c.square for c in claims], ["right" if c.right > 0.5 else "left" for c in claims])
    for claim, hand in zip(claims, hands, strict=True):
        yield claim.box, claim.score, 0.0 if hand is None else hand.score


def of_frames(predictor: Predictor, count: int) -> Iterator[Row]:
    """Claims in synthetic frames; those at hands that nobody is asked to find are left out."""
    chunks = -(-count // CHUNK)
    for index in range(chunks):
        config = FramesConfig(domain=DOMAINS[index % 2], people=(1, 6), tiles=48, skins=8, chunk=CHUNK)
        frames = make_frames(config, SEED, index)
        wanted = clear_hands(frames)
        for i in range(len(frames)):
            image = image_bytes(frames.image[i])
            boxes = [tuple(box) for box in frames.boxes[i].tolist()]
            taken: set[int] = set()
            for box, confidence, score in looked_at(predictor, image):
                best = max(range(len(boxes)), key=lambda n: overlap(box, boxes[n]))
                there = bool(frames.present[i, best]) and overlap(box, boxes[best]) > HIT
                if there and (best in taken or not bool(wanted[i, best])):
                    continue
                taken |= {best} if there else set()
                yield confidence, score, there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--handless", type=Path, help="folder of pictures without hands")
    parser.add_argument("--most", type=int, default=150, help="of them")
    parser.add_argument("--weights", help="of the detector (default: those in the package)")
    arguments = parser.parse_args()
    predictor = Predictor(detector=opened(arguments.weights))
    rows: list[Row] = list(of_frames(predictor, arguments.frames))
    pictures = np.full(len(rows), -1)  # of each row, the number of the picture without hands
    count = 0
    if arguments.handless:
        paths = sorted(path for path in arguments.handless.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        for count, path in enumerate(paths[:: max(len(paths) // arguments.most, 1)], 1):
            claims = list(looked_at(predictor, read_photo(path)[0]))
            rows += [(confidence, score, False) for _, confidence, score in claims]
            pictures = np.append(pictures, np.full(len(claims), count))
    confidence, score, hit = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    given, measured = log_odds(confidence), np.stack([log_odds(score), np.ones_like(score)], 1)
    line = np.zeros(2)
    for _ in range(50):
        said = 1 / (1 + np.exp(-given - measured @ line))
        curvature = measured.T @ (measured * (said * (1 - said))[:, None]) + 1e-3 * np.eye(2)
        line -= np.linalg.solve(curvature, measured.T @ (said - hit) + 1e-3 * line)
    said = 1 / (1 + np.exp(-given - measured @ line))
    print(f"{len(rows)} claims, {int(hit.sum())} hands: weight {line[0]:.2f}, offset {line[1]:.2f}")
    print(f"average precision: detector {precision(confidence, hit):.3f}, both {precision(said, hit):.3f}")
    for low, high in ((0.4, 0.6), (0.75, 0.85)):
        near = (said > low) & (said < high)
        print(f"believed with {low} to {high}: {int(near.sum())}, of which hands {100 * hit[near].mean():.0f} %")
    for threshold in THRESHOLDS:
        shown = len(np.unique(pictures[(pictures > 0) & (said > threshold)]))
        stays = (said[hit == 1] > threshold).mean()
        print(
            f"from {threshold}: {100 * shown / max(count, 1):.1f} of 100 pictures without hands, {100 * stays:.0f} % of the hands"
        )


def log_odds(p: np.ndarray) -> np.ndarray:
    """Of probabilities."""
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


def precision(sureness: np.ndarray, hit: np.ndarray) -> float:
    """Average precision of claims."""
    order = np.argsort(-sureness, kind="stable")
    true = np.cumsum(hit[order])
    return float((true / np.arange(1, len(hit) + 1) * hit[order]).sum() / hit.sum())


if __name__ == "__main__":
    main()
