"""Whether the hand in a depth frame is found: synthetic frames of raised and hanging arms, and of people, of seeds that no training uses.

    python benchmarks/depth_search.py [--frames 500] [--seed 770001] [--threads 2] [--json FILE] [--worst FILE]

Half of the frames are of the scene `arms`, half of `people`, 256 x 256, each by one of all sensors; in each at least one hand is seen:
more than half of its joints lie within the frame, and 60 readings on it. Nothing is given. Counted: the middle that is found lies within
5 cm of the middle (mean of the joints) of one of the two hands, and the side is that hand's; the same where the hands' middles are 12 cm
apart or more, for of hands that touch either may be meant, and by how many readings are on the hand that is seen best; and how many of
the hands that are found would be refused, because the network is not sure of them. The median CPU time of a frame is that of the search
alone, one frame at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from phalanx.methods.hand_finder import load
from phalanx.predict.depth_search import SURE, find_hand
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train.hand_finder import both_hands
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

WITHIN = 0.05  # metres
APART = 0.12  # metres between the middles of hands that do not touch
READINGS = (60, 300, 600, 1500)


def summary(found: np.ndarray, sides: np.ndarray) -> dict[str, float]:
    """Of frames (N,) in which the hand was found, and its side, too: how many there are, and the shares in percent."""
    return {
        "frames": len(found),
        "found_percent": 100 * float(found.mean()),
        "side_percent": 100 * float(sides.sum()) / max(1, int(found.sum())),
        "both_percent": 100 * float(sides.mean()),
    }


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
        config = SynthConfig(
            size=256, chunk=16, tiles=1, skins=1, scene=scene, depth_sensor="domain", effects=0.0, colour=False
        )
        found, sides, seconds, apart, readings, doubted, index = [], [], [], [], [], [], 0
        while len(found) < arguments.frames // 2:
            sample = make_chunk(config, arguments.seed, index)
            index += 1
            joints, seen = both_hands(sample)
            shown = ((sample.hand_masks > 0.5) & (sample.sensed_depth > 0)[:, None]).flatten(2).sum(-1) * seen
            rows = zip(sample.sensed_depth, sample.K, joints.mean(2), seen, shown.amax(1), strict=True)
            for frame, K, hands, visible, count in rows:
                if not visible.any() or len(found) == arguments.frames // 2:
                    continue
                started = time.process_time()
                place = find_hand(finder, frame, K)
                seconds.append(time.process_time() - started)
                off = (hands - place.middle).norm(dim=1)
                found.append(float(off.min()) < WITHIN)
                sides.append(found[-1] and place.side == ("right", "left")[int(off.argmin())])
                doubted.append(place.hand < SURE)
                apart.append(float((hands[0] - hands[1]).norm()) >= APART)
                readings.append(int(count))
                if not found[-1] and len(wrong) < 24:
                    pixel = (K @ place.middle)[:2] / place.middle[2]
                    wrong.append(draw_joints(depth_picture(frame.numpy()), pixel.expand(21, 2).numpy(), 2))
        report[scene] = summary(np.array(found), np.array(sides)) | {
            "refused_percent": 100 * float(np.array(doubted)[np.array(found)].mean()),
            "ms_median": 1000 * float(np.median(seconds)),
        }
        touching = ~np.array(apart)
        parts = {"apart": ~touching, "touching": touching}
        for low, high in zip(READINGS, (*READINGS[1:], np.inf), strict=True):
            parts[f"{low}_readings"] = (np.array(readings) >= low) & (np.array(readings) < high)
        parts = {
            name: summary(np.array(found)[rows], np.array(sides)[rows]) for name, rows in parts.items() if rows.any()
        }
        print(scene, " ".join(f"{name} {value:.1f}" for name, value in report[scene].items()), flush=True)
        for name, figures in parts.items():
            print(f"  {name}:", " ".join(f"{key} {value:.1f}" for key, value in figures.items()), flush=True)
        report[scene]["parts"] = parts
    if arguments.worst and wrong:
        write_sheet(arguments.worst, sheet(wrong, 6))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
