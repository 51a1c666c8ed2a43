"""What one shape for all photos of a person is worth: each photo by itself, and with the mean shape of all (`predict.same_person`).

    python benchmarks/same_person.py FOLDER

FOLDER has the photos of one hand that `phalanx evaluate photos3d` takes; side and camera are given. Errors are means, in pixels of the
photos and mm, not mapped: 2D, 3D relative to the wrist with its bone's length given, aligned; and how far lengths of bones differ from
photo to photo, in per cent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.photos3d import TimedPredictor, find_in_photos, score_photos3d
from phalanx.hand.skeleton import BONES
from phalanx.predict.predictor import Predictor
from phalanx.predict.same_person import of_person, shape_of_person

NAMES = ("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm")


def found_in(labels: Any, predictor: Predictor) -> Any:
    """Predictions of all photos."""
    finders = {"one": TimedPredictor(predictor, labels.side, known_focal=True)}
    return find_in_photos(labels, finders, lambda done, total: None)["one"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    labels, base = read_photos3d(parser.parse_args().folder), Predictor()
    hands = []
    for index in range(len(labels)):
        image = labels.image(index)
        box = (0, 0, image.shape[1], image.shape[0])
        hands += base(image, box=box, K=labels.K[index], side=labels.side)
    each = found_in(labels, base)
    shape = shape_of_person(hands)
    assert shape is not None
    together = found_in(labels, of_person(base, shape))
    a, b = np.array(BONES).T
    print(f"{len(hands)} hands of {len(labels)} photos; shape {', '.join(f'{value:.2f}' for value in shape)}")
    for name, found in (("each by itself", each), ("one shape", together)):
        scores = score_photos3d(labels, found)
        joints = found.joints[np.isfinite(found.joints).all((1, 2))]
        lengths = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
        spread = 100 * float(np.mean(lengths.std(0) / lengths.mean(0)))
        print(f"{name:16s}" + "".join(f"{scores[key]:9.2f}" for key in NAMES) + f"{spread:8.2f} %")


if __name__ == "__main__":
    main()
