"""Speed of hands from depth frames: the network's one forward pass, and a frame from file values to hand model.

    python benchmarks/depth.py [--threads 2] [--weights FILE] [--precision auto] [--json FILE]

The network is timed with one stack and two at the paper's 128 x 128 cells, batch 1 and 32, as `methods.sphere_fitting.load` prepares
it; a frame is a synthetic 256 x 256 one in which the hand must be searched for. Wall times, medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from timing import milliseconds

from phalanx.hand.model import HandModel
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.predict.depth import DepthPredictor
from phalanx.synth import SynthConfig, make_chunk

GOAL = 60.0  # frames a second, one stack, one frame at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--weights", help="of a depth network (default: those in the package)")
    parser.add_argument("--precision", default="auto", help="of the network: auto, float32 or bfloat16")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: dict[str, float] = {}
    for stacks in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fresh.safetensors"
            save_weights(SphereFittingEstimator(SphereFittingConfig(stacks=stacks)), path, HandModel.open_hand())
            network = load(path, precision=arguments.precision)
        for batch, repeats in ((1, 60), (32, 8)):
            maps = torch.full((batch, 128, 128), 0.15)
            maps[:, 30:100, 30:100] = 0.0
            with torch.inference_mode():
                time = milliseconds(lambda: network(maps), repeats) / batch  # noqa: B023
            found[f"network_ms_stacks_{stacks}_batch_{batch}"] = time
            goal = f"  (goal: {GOAL:.0f})" if (stacks, batch) == (1, 1) else ""
            print(
                f"{stacks} stacks, batch {batch:2d}: {time:6.2f} ms a frame, {1000 / time:6.0f} frames/s{goal}",
                flush=True,
            )
    predictor = DepthPredictor(arguments.weights)
    sample = make_chunk(SynthConfig(size=256, chunk=8, tiles=2, skins=1, depth_sensor="kinect1"), 0, 0)
    assert sample.sensed_depth is not None and sample.K is not None
    frame, K = sample.sensed_depth[0].numpy(), sample.K[0].numpy()
    found["frame_ms"] = milliseconds(lambda: predictor(frame, K, side="right"), 20)
    print(f"whole frame, side given: {found['frame_ms']:6.1f} ms (the hand looked for, network, hand model fitted)")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
