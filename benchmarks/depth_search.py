"""Whether the hand in a depth frame is found: synthetic frames of raised and hanging arms, and of people, of seeds that no training uses.

    python benchmarks/depth_search.py [--frames 500] [--seed 770001] [--threads 2] [--json FILE] [--worst FILE]

Half of the frames are of the scene `arms`, half of `people`, 256 x 256, each by one of all sensors; in each at least one hand is seen:
more than half of its joints lie within the frame, and 60 readings on it. Nothing is given. Counted: the middle that is found lies within
5 cm of the middle (mean of the joints) of one of the two hands, and the side is that hand's. The median time of a frame is that of the
search alone, one frame at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from phalanx.methods.hand_finder import load
from phalanx.predict.depth_search import find_hand
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train.hand_finder import both_hands
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

WITHIN = 0.05  # metres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--seed", type=int, default=770_001)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--weights", help="of the finder (default: those in the package)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worst", type=Path, help="picture of frames in which the hand was not found")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    finder = load(arguments.weights)
    report, wrong = {}, []
    for scene in ("arms", "people"):
        config = SynthConfig(size=256, chunk=16, tiles=1, skins=1, scene=scene, depth_sensor="domain", effects=0.0)
        found, sides, seconds, index = [], [], [], 0
        while len(found) < arguments.frames // 2:
            sample = make_chunk(config, arguments.seed, index)
            index += 1
            joints, seen = both_hands(sample)
            for frame, K, hands, visible in zip(sample.sensed_depth, sample.K, joints.mean(2), seen, strict=True):
                if not visible.any() or len(found) == arguments.frames // 2:
                    continue
                started = time.perf_counter()
                place = find_hand(finder, frame, K)
                seconds.append(time.perf_counter() - started)
                off = (hands - place.middle).norm(dim=1)
                found.append(float(off.min()) < WITHIN)
                if found[-1]:
                    sides.append(place.side == ("right", "left")[int(off.argmin())])
                elif len(wrong) < 24:
                    pixel = (K @ place.middle)[:2] / place.middle[2]
                    wrong.append(draw_joints(depth_picture(frame.numpy()), pixel.expand(21, 2).numpy(), 2))
        report[scene] = {
            "frames": len(found),
            "found_percent": 100 * float(np.mean(found)),
            "side_percent": 100 * float(np.mean(sides)),
            "both_percent": 100 * float(np.sum(sides)) / len(found),
            "ms_median": 1000 * float(np.median(seconds)),
        }
        print(scene, " ".join(f"{name} {value:.1f}" for name, value in report[scene].items()), flush=True)
    if arguments.worst and wrong:
        write_sheet(arguments.worst, sheet(wrong, 6))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
