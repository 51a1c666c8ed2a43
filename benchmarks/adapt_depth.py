"""Whether a network fitted to a user's unlabelled frames errs less: synthetic frames of a sensor that no training has seen.

    python benchmarks/adapt_depth.py [--frames 200] [--minutes 5] [--seed 880001] [--threads 2] [--out DIR] [--json FILE]

The sensor is a coarse time-of-flight camera (`UNSEEN`): noise of 8 mm at one metre that is alike over five pixels, and wide seams.
`--frames` frames of hands with forearms, 256 x 256 pixels, are written as a user has them; `adapt depth` gets nothing else. Then
both networks are scored on the joints of these frames, and on as many further ones: mean distances in mm, as they are and after the best
rigid motion and scale.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from phalanx.adapt.depth import Adaptation, adapt_depth
from phalanx.adapt.recordings import RecordingFiles, read_recording
from phalanx.core.seeding import generator
from phalanx.geometry.alignment import similarity_align
from phalanx.hand.model import HandModel
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import SphereFittingEstimator, load
from phalanx.render import mesh
from phalanx.render.visibility import visibility
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.sense.depth_noise import draw_depth_noise
from phalanx.synth.sense.depth_sensor import sense_depth
from phalanx.synth.sense.sensors import DepthSensor
from phalanx.train.sphere_fitting import WEIGHTS, estimate_joints

SIZE, UNIT = 256, 0.25e-3
PARTS, KINDS = ("learnt", "further"), ("absolute", "aligned")
UNSEEN = DepthSensor(
    name="unseen",
    triangulates=False,
    focal=240.0,
    nearest=0.15,
    farthest=4.0,
    unit=UNIT,
    axial=(2e-3, 0.0, 6e-3),
    slant=(4e-4, 1.5),
    grain=5.0,
    lateral=1.5,
    mixed=4.0,
    mixed_lost=0.3,
    grazing=0.1,
    least_signal=0.01,
    hole_grain=3.0,
)


K = torch.tensor([[240.0, 0.0, 127.5], [0.0, 240.0, 127.5], [0.0, 0.0, 1.0]])


@torch.no_grad()
def record(folder: Path, seed: int, count: int) -> dict[str, torch.Tensor]:
    """Write `count` frames with a wall behind the hand; the joints (21, 3) of each file in metres."""
    folder.mkdir(parents=True)
    model = HandModel.open_hand()
    config = SynthConfig(size=64, chunk=16, tiles=1, skins=1, effects=0.0)
    joints: dict[str, torch.Tensor] = {}
    for number in range(-(-count // config.chunk)):
        sample = make_chunk(config, seed, number)
        assert sample.vertices is not None and sample.joints is not None
        random = generator(seed, number, 5)
        middles = sample.joints.mean(1)
        aside = torch.from_numpy(random.normal(0, 0.15, (len(middles), 3))).to(middles) * torch.tensor([1.0, 1.0, 0.0])
        turns = looking_at(middles / middles.norm(dim=1, keepdim=True) + aside)  # the camera looks there
        vertices, points = (values @ turns.mT for values in (sample.vertices, sample.joints))
        cameras = K.expand(len(points), 3, 3)
        faces = visibility(vertices, model.faces, cameras, SIZE, SIZE)
        depth = mesh.depth(vertices, model.faces, faces, mesh.barycentrics(vertices, model.faces, cameras, faces))
        wall = points[..., 2].amax(1) + torch.from_numpy(random.uniform(0.1, 1.5, len(points))).to(points)
        depth = torch.where(depth > 0, depth, wall[:, None, None])
        noise = draw_depth_noise(random, len(depth), SIZE, UNSEEN)
        for frame, truth in zip(sense_depth(depth, cameras, UNSEEN, noise), points, strict=True):
            if len(joints) < count:
                name = f"{len(joints):04d}.png"
                assert cv2.imwrite(str(folder / name), np.round(frame.numpy() / UNIT).clip(0, 65534).astype(np.uint16))
                joints[name] = truth
    return joints


def looking_at(towards: torch.Tensor) -> torch.Tensor:
    """Rotations (B, 3, 3) into the frame of a camera that looks along `towards` (B, 3)."""
    z = towards / towards.norm(dim=1, keepdim=True)
    x = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]).expand_as(z), z)
    x = x / x.norm(dim=1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(z, x), z], 1)


def errors(network: SphereFittingEstimator, maps: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Mean distances in mm of joints (N, 21, 3), as they are and after similarity alignment."""
    found = estimate_joints(network, maps)
    aligned = similarity_align(found, truth)
    return tuple(1000 * float((joints - truth).norm(dim=-1).mean()) for joints in (found, aligned))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=880_001)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="folder for frames and weights (default: a temporary one)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        camera = ",".join(str(float(K[place])) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
        truth = {part: record(folder / part, arguments.seed + n, arguments.frames) for n, part in enumerate(PARTS)}
        files = {part: RecordingFiles(folder / part, camera, UNIT) for part in PARTS}
        started = time.monotonic()
        config = Adaptation()
        config.loop.minutes = arguments.minutes
        figures = adapt_depth(files["learnt"], folder / "mine", config=config)
        report = {"minutes": (time.monotonic() - started) / 60, "side": figures["side"], "used": figures["frames"]}
        networks = {"before": load(trainable=True), "after": load(folder / "mine" / WEIGHTS, trainable=True)}
        for part in PARTS:
            recording = read_recording(files[part], networks["before"].eval(), load_finder())
            wanted = torch.stack([truth[part][name] for name in recording.names])
            maps, middles = recording.views.maps[:, 0], recording.views.middles[:, 0]
            report[f"{part}_middles_mm"] = 1000 * float((middles - wanted.mean(1)).norm(dim=1).median())
            for name, network in networks.items():
                values = errors(network, maps, wanted - middles[:, None])
                report |= {f"{part}_{kind}_{name}_mm": value for kind, value in zip(KINDS, values, strict=True)}
            gains = [
                100 * (1 - report[f"{part}_{kind}_after_mm"] / report[f"{part}_{kind}_before_mm"]) for kind in KINDS
            ]
            report |= {f"{part}_{kind}_gain_percent": gain for kind, gain in zip(KINDS, gains, strict=True)}
    for name, value in report.items():
        print(f"{name:32s} {value if isinstance(value, str) else round(value, 2)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
