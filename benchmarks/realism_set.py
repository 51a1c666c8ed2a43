"""Writes a set of synthetic pictures for `realism.py`, with whichever engine of synthesis is on the path.

    PYTHONPATH=TREE/src python benchmarks/realism_set.py FOLDER --pictures 40000 --settings '{"size": 96}'

It uses little but `SynthConfig`, `stream` and `make_chunk`, so that an older or a patched source tree can run it. FOLDER gets parts of
1,024 pictures; those that are there are kept, and the others are made, whatever was killed before. With `--poses FILE` (NPZ: a `HandPose`
and the cameras K of each picture) the hands are not drawn but those of the file, again and again until there are enough pictures. In the
scene `holding` they keep their own fingers, which hold something; place, turn and camera are those of the file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from phalanx.data.sample import Sample, concatenate
from phalanx.hand.model import HandPose
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.synth.scene.hands import Views
from phalanx.synth.shots import draw_scene

PART = 1024  # pictures in a file
FIELDS = ("rotations", "shape", "orientation", "translation")  # of a pose
LABELS = ("joints", "joints_2d", *FIELDS, "K")


def packed(sample: Sample) -> dict[str, np.ndarray]:
    """Pictures and mask as bytes, labels as they are."""
    fields = sample.present()
    kept = {name: fields[name].numpy() for name in LABELS}
    return kept | {name: (fields[name] * 255).round().byte().numpy() for name in ("image", "mask")}


def copies(config: SynthConfig, seed: int, poses: dict[str, np.ndarray], part: int) -> Iterator[Sample]:
    """Chunks of pictures of the hands `poses`, from the first of part `part` on."""
    count, first = len(poses["K"]), part * PART
    while True:
        number = np.arange(first, first + config.chunk)
        index = number % count
        pose = HandPose(*(torch.as_tensor(poses[name][index]) for name in FIELDS))
        K, hand = torch.as_tensor(poses["K"][index]), np.arange(config.chunk)

        def shown(*given: Any, pose: HandPose = pose, K: Tensor = K, hand: np.ndarray = hand) -> Views:
            if config.scene != "holding":
                return Views(pose, K, hand, 0 * hand, 0 * hand, np.zeros(len(hand)))
            views = draw_scene(*given)
            own = replace(views.pose, orientation=pose.orientation, translation=pose.translation)
            return replace(views, pose=own, K=K)

        with patch("phalanx.synth.shots.draw_scene", shown):
            yield make_chunk(config, seed, first // config.chunk)
        first += config.chunk


def make(folder: Path, config: SynthConfig, seed: int, pictures: int, workers: int, poses: Path | None) -> None:
    """Write the parts that are missing in `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part_{number:04d}.npz" for number in range(-(-pictures // PART))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if not missing:
        return
    chunks = PART // config.pictures
    if poses is None:
        source = stream(config, seed, workers, missing[0] * chunks)
    else:
        with np.load(poses) as file:
            source = copies(config, seed, {name: file[name].astype(np.float32) for name in (*FIELDS, "K")}, missing[0])
    started, made = time.monotonic(), 0
    for number in range(missing[0], len(paths)):
        left = min(PART, pictures - number * PART)
        part = folder / ".part.npz"
        np.savez(part, **packed(concatenate([next(source) for _ in range(-(-left // config.pictures))])[:left]))
        part.replace(paths[number])
        made += left
        rate = made / (time.monotonic() - started)
        print(f"{folder}: {number + 1} of {len(paths)} parts, {rate:.0f} pictures/s", flush=True)
    source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, required=True)
    parser.add_argument("--settings", default="{}", help="of `SynthConfig`, as JSON")
    parser.add_argument("--seed", type=int, default=170)
    parser.add_argument("--workers", type=int, default=0, help="processes that make pictures; 0: this one")
    parser.add_argument("--poses", type=Path, help="NPZ of hands and cameras to draw")
    arguments = parser.parse_args()
    config = SynthConfig(**json.loads(arguments.settings))
    make(arguments.folder, config, arguments.seed, arguments.pictures, arguments.workers, arguments.poses)


if __name__ == "__main__":
    main()
