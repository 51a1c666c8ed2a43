"""Photos beside their synthetic copies: the fitted hands drawn again by the synthesis, seen by the same cameras.

    python benchmarks/copies.py FOLDER [--weights FILE] [--backgrounds DIR] [--seeds N]

FOLDER is a set of `phalanx evaluate photos3d`. Where copies are as wrong as photos, the network lacks skill in those poses and views; where
only photos are wrong, the pictures differ. Both in colour and without. Errors are in pixels of 256, not mapped: about 3 of a photo's are
where the two put joints.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.groups import views as views_of
from phalanx.fit.joints import fit_joints
from phalanx.hand.model import HandModel
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.scene.hands import Views

SEED = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--weights", help="of the default estimator (default: those in the package)")
    parser.add_argument("--backgrounds", type=Path, help="photographs to put behind the copies")
    parser.add_argument("--seeds", type=int, default=2, help="copies of each photo (default: 2)")
    arguments = parser.parse_args()
    photos = read_photos3d(arguments.folder)
    count, number = len(photos), np.arange(len(photos))
    joints, K = photos.joints * [-1, 1, 1], photos.K.copy()  # left hands, mirrored
    K[:, 0, 2] = 255 - K[:, 0, 2]
    pose = fit_joints(HandModel.open_hand(), torch.as_tensor(joints, dtype=torch.float32))
    shown = Views(pose, torch.as_tensor(K, dtype=torch.float32), number, 0 * number, 0 * number, np.zeros(count))
    config = SynthConfig(size=256, chunk=count, backgrounds=arguments.backgrounds, tiles=100, skins=24, effects=0.7)
    predictor = Predictor(arguments.weights)
    group = np.asarray(views_of(photos.joints, photos.side))

    def errors(image: np.ndarray, index: int, true: np.ndarray, side: str, camera: np.ndarray) -> list[float]:
        grey = np.repeat(image.mean(2, keepdims=True).round().astype(np.uint8), 3, axis=2)
        found = [predictor(picture, box=(0, 0, 256, 256), K=camera, side=side)[0] for picture in (image, grey)]
        return [float(np.linalg.norm(hand.joints_2d - true, axis=1).mean()) for hand in found]

    rows = {"photos": [errors(photos.image(i), i, photos.joints_2d[i], photos.side, photos.K[i]) for i in range(count)]}
    for seed in range(arguments.seeds):
        with patch("phalanx.synth.shots.draw_scene", lambda *_: shown):
            copies = make_chunk(config, SEED + seed, 0)
        assert copies.image is not None and copies.joints_2d is not None
        pictures = (copies.image * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        rows[f"copies, seed {seed}"] = [
            errors(pictures[i], i, copies.joints_2d[i].numpy(), "right", K[i]) for i in range(count)
        ]
    print(f"{'':18s}{'all':>8s}{'palm':>8s}{'side':>8s}{'back':>8s}{'all, grey':>12s}")
    for name, values in rows.items():
        table = np.array(values)
        parts = [table[:, 0].mean(), *(table[group == view, 0].mean() for view in ("palm", "side", "back"))]
        print(f"{name:18s}" + "".join(f"{part:8.1f}" for part in parts) + f"{table[:, 1].mean():12.1f}")


if __name__ == "__main__":
    main()
