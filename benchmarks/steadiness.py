"""Choosing between weights of the default estimator without labels of real hands: errors on new synthetic hands, and steadiness on photos.

    python benchmarks/steadiness.py [--weights FILE ...] [--photos FOLDER] [--every 6]

Errors are those of training's evaluation (`train.compact.figures`) on 448 pictures of bare hands and 448 of hands that hold things, of
a seed that no training uses. Steadiness: photos of one hand each are turned, shrunk, and made darker or lighter; printed is how far the
joints move against the picture, in percent of the hand's extent, and how often a mirror image gets the other side, as it should.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from phalanx.data.images import PICTURE_SUFFIXES, read_photo
from phalanx.data.sample import Sample, concatenate
from phalanx.hand.prediction import HandPrediction
from phalanx.methods.compact import load_trainable
from phalanx.nets.weights import shipped_weights
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, stream
from phalanx.train.compact import figures

SEED, CHUNKS = 5_550_001, 14
TURN, SHRINK, GAMMA = 35.0, (0.75, 1.1), (0.6, 1.5)  # degrees at most; ranges of the others


def synthetic(scene: str) -> Sample:
    """New labelled pictures."""
    with closing(stream(SynthConfig(scene=scene, tiles=64, skins=16, dense=False), SEED, 0, 0)) as source:
        return concatenate([next(source) for _ in range(CHUNKS)])


def steadiness(predictor: Predictor, paths: list[Path]) -> tuple[np.ndarray, float]:
    """How far joints move in each photo, percent of the hand's extent; share of the mirror images whose side changes."""

    def look(image: np.ndarray, side: str = "auto") -> HandPrediction | None:
        found = predictor(image, box="whole", side=side)  # type: ignore[arg-type]
        return found[0] if found else None

    draw = np.random.default_rng(0)
    moves, sides = [], []
    for path in paths:
        image = read_photo(path)[0]
        height, width = image.shape[:2]
        turn, shrink, gamma = draw.uniform(-TURN, TURN), draw.uniform(*SHRINK), draw.uniform(*GAMMA)
        hand = look(image)
        if hand is None:
            continue
        move = cv2.getRotationMatrix2D((width / 2, height / 2), turn, shrink)
        turned = cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        changed = look((255 * (turned / 255) ** gamma).astype(np.uint8), hand.side)
        mirrored = look(np.ascontiguousarray(image[:, ::-1]))
        if mirrored is not None:
            sides.append(mirrored.side != hand.side)
        if changed is not None:
            wanted = hand.joints_2d @ move[:, :2].T + move[:, 2]
            off = np.linalg.norm(wanted - changed.joints_2d, axis=1).mean()
            moves.append(100 * off / np.ptp(wanted, axis=0).max())
    return np.array(moves), float(np.mean(sides))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[shipped_weights("compact")], help="default: those in the package"
    )
    parser.add_argument("--photos", type=Path, help="folder of photos of one hand each, searched recursively")
    parser.add_argument("--every", type=int, default=6, help="photo of them (default: 6)")
    arguments = parser.parse_args()
    sets = {scene: synthetic(scene) for scene in ("hands", "holding")}
    paths: list[Path] = []
    if arguments.photos:
        paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)[
            :: arguments.every
        ]
    for weights in arguments.weights:
        network = load_trainable(weights).eval()
        for scene, sample in sets.items():
            print(
                f"{weights} {scene}: "
                + ", ".join(f"{name} {value:.2f}" for name, value in figures(network, sample).items()),
                flush=True,
            )
        if paths:
            moves, sides = steadiness(Predictor(weights), paths)
            print(
                f"{weights} {len(moves)} photos: joints move by {np.median(moves):.2f} % (median), {moves.mean():.2f} % (mean), "
                f"{100 * sides:.1f} % of the mirror images have the other side",
                flush=True,
            )


if __name__ == "__main__":
    main()
