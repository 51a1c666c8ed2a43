"""What clips without 3D labels do for the default estimator: `phalanx adapt video`, before and after.

    python benchmarks/adapt_video.py photos FOLDER [--samples 2800] [--json FILE]
    python benchmarks/adapt_video.py video FILE [--samples 2800] [--json FILE]
    python benchmarks/adapt_video.py field [--clips 32] [--samples 2800] [--json FILE]

`photos` adapts to runs of neighbouring frames of one video (the layout of `phalanx evaluate photos3d`, blocks of 50 in turn) with their 2D
labels, and again with no label at all, and scores 3D joints of the other blocks: by the protocol, and how much joints relative to the wrist
tremble from photo to photo (mean acceleration, mm a frame squared, with that of the truth; the photos are a few frames apart).

`video` adapts to one video without labels. Jitter and how much bones' lengths vary are those of the network's own joints, unfiltered, in
all frames; the same of the last eighth, which was not learnt from, and how `phalanx predict` trembles, unfiltered.

`field` adapts to synthetic clips of that domain: with their 2D labels and with none, with the terms of neighbouring frames and without, and
with the mesh's joints held at the pose's (`mesh_pose`); it scores other clips: 3D joints relative to the palm, one scale a frame, in mm.
Settings were chosen here.

The weights that come out are not kept. `--samples` counts stretches of clips (4 in a step) and synthetic hands (24).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from video import first, shake
from weak_photos import BLOCK, SHOWN, coco, part

from phalanx.adapt.video import VideoAdaptation, adapt_video
from phalanx.adapt.video_clips import ClipHands, own_joints, read_clips, seen_joints_of
from phalanx.adapt.video_files import VideoFiles
from phalanx.adapt.video_method import Lift, VideoWeights
from phalanx.adapt.video_report import measure, seen
from phalanx.adapt.weak_crops import nominal_crop
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.images import image_bytes
from phalanx.data.public.photos3d import read_photos3d
from phalanx.data.video import timed_frames
from phalanx.evaluate.photos3d import TimedPredictor, find_in_photos, score_photos3d
from phalanx.hand.model import HandModel
from phalanx.methods.compact import load_trainable
from phalanx.predict.predictor import Predictor
from phalanx.predict.tracker import Tracker
from phalanx.synth import SynthConfig, make_chunk

NONE = VideoWeights(carried=0.0, pose=0.0, mesh=0.0, lengths=0.0, shape=0.0, mesh_pose=0.0)
FRAMES, SIZE = 24, 192  # of clips of the field
LEARNT_SEED, JUDGED_SEED = 701, 702

Rows = dict[str, dict[str, Any]]


def config_of(samples: int, **changes: Any) -> VideoAdaptation:
    """As the command adapts, for so many samples."""
    config = VideoAdaptation(**changes)
    loop = replace(config.loop, samples=samples, evaluate_every=max(1, samples // 2))
    config.loop = replace(loop, precision="float32", kernel_precision="float32")  # the same for all, whatever is faster
    return config


def adapted(files: VideoFiles, out: Path, config: VideoAdaptation) -> tuple[Path, dict[str, Any]]:
    """The model, and figures of the run with minutes of the processor."""
    start = time.process_time()
    figures = adapt_video(files, out, config=config, say=partial(print, flush=True))
    return out.with_suffix(".onnx"), figures | {"processor_minutes": (time.process_time() - start) / 60}


def on_photos(folder: Path, samples: int, work: Path) -> Rows:
    """Figures on the blocks that nothing was learnt from."""
    photos = read_photos3d(folder)
    block = np.arange(len(photos)) // BLOCK
    clips = work / "clips"
    for number in np.unique(block[block % 2 == 0]).tolist():
        place, entries = clips / f"run{number}", []
        place.mkdir(parents=True)
        for row in (block == number).nonzero()[0].tolist():
            name = f"{row:04d}.png"
            cv2.imwrite(str(place / name), photos.image(row)[..., ::-1])
            points = photos.joints_2d[row]
            entries.append(
                {"file_name": f"run{number}/{name}", "size": 256, "points": points, "hand_type": photos.side}
            )
        coco(clips / f"run{number}.json", entries)
    models: dict[str, tuple[Path | None, float]] = {"as it ships": (None, 0.0)}
    focal = float(np.median(photos.K[block % 2 == 0][:, 0, 0]))
    camera = [focal, focal, 127.5, 127.5]
    for name, own, weights in (
        ("2D labels", False, VideoWeights()),
        ("2D labels, no neighbours", False, NONE),
        ("no label", True, VideoWeights()),
    ):
        files = VideoFiles(clips, own=own, camera=camera, side=photos.side)
        model, figures = adapted(files, work / name.replace(" ", "_"), config_of(samples, weights=weights))
        models[name] = model, figures["processor_minutes"]
    rows: Rows = {}
    others = np.unique(block[block % 2 == 1]).tolist()
    for name, (weights_file, minutes) in models.items():
        finder = TimedPredictor(Predictor(weights_file), photos.side, known_focal=True)
        judged = part(photos, (block % 2 == 1).nonzero()[0])
        found = find_in_photos(judged, {name: finder})[name]
        figures = score_photos3d(judged, found)
        trembling, true = [], []
        for number in others:
            inside = (block[block % 2 == 1] == number).nonzero()[0]
            trembling.append(
                shake([found.joints[row] if np.isfinite(found.joints[row]).all() else None for row in inside])
            )
            true.append(shake(list(judged.joints[inside])))
        rows[name] = {key: figures[key] for key in SHOWN}
        rows[name] |= {"acceleration_mm": float(np.mean(trembling)), "true_acceleration_mm": float(np.mean(true))}
        rows[name]["processor_minutes"] = minutes
        print(name, rows[name], flush=True)
    return rows


def on_video(file: Path, samples: int, work: Path) -> Rows:
    """Steadiness on one video, before and after adapting to it without labels."""
    clips = work / "clips"
    clips.mkdir()
    (clips / file.name).symlink_to(file.resolve())
    files = VideoFiles(clips)
    model, figures = adapted(files, work / "mine", config_of(samples))
    start = load_trainable().eval()
    hands = read_clips(files, start, Predictor, 10**6).hands
    rows: Rows = {}
    for name, weights, kind in (("as it ships", None, "before"), ("no label", model, "after")):
        network = load_trainable(None if weights is None else weights.with_suffix(".safetensors")).eval()
        row = measure(network, hands, hands)
        held = {f"last_eighth_{key[7:]}": value for key, value in figures[kind].items() if key.startswith("judged_")}
        tracker, joints = Tracker(Predictor(weights), max_hands=1), []
        for seconds, picture in timed_frames(file):
            tracker(picture, seconds)
            hand = first(tracker.unfiltered)
            joints.append(None if hand is None else hand.joints)
        rows[name] = {key[7:]: value for key, value in row.items() if key.startswith("judged_")} | held
        rows[name] |= {"predicted_acceleration_mm": shake(joints), "lost": sum(each is None for each in joints)}
        rows[name] |= {key: value for key, value in figures[kind].items() if key.startswith("synthetic_")}
        rows[name]["processor_minutes"] = figures["processor_minutes"] if weights else 0.0
    return rows


def write_field(folder: Path, count: int, seed: int) -> list[np.ndarray]:
    """Write clips of the domain `field` with their 2D labels, one folder a clip because each has its camera; their joints in metres."""
    true = []
    config = SynthConfig(
        scene="motion", domain="field", frames=FRAMES, chunk=FRAMES, size=SIZE, dense=False, tiles=64, skins=8
    )
    for number in range(count):
        sample = make_chunk(config, seed, number)
        assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
        assert sample.K is not None
        place, entries = folder / f"clip{number:03d}", []
        place.mkdir(parents=True)
        for row in range(FRAMES):
            name = f"{row:04d}.png"
            cv2.imwrite(str(place / name), image_bytes(sample.image[row])[..., ::-1])
            points = sample.joints_2d[row].double().numpy()
            entries.append({"file_name": f"{place.name}/{name}", "size": SIZE, "points": points, "hand_type": "right"})
        coco(folder / f"{place.name}.json", entries)
        true.append(sample.joints.double().numpy())
    return true


def field_errors(path: Path | None, hands: ClipHands, true: Sequence[np.ndarray]) -> dict[str, float]:
    """3D errors and steadiness on clips, of which `hands` has every frame."""
    network = load_trainable(path).eval()
    lift = Lift(HandModel.open_hand(), torch.device("cpu"))
    frames = np.concatenate([true[int(name[4:])] for name in dict.fromkeys(hands.names)])
    wanted = lift.sized(torch.from_numpy(frames).float()).numpy()
    poses = seen(network, hands)[1]
    figures = measure(network, hands, hands)
    return {"3d_mm": 100 * float(np.linalg.norm(poses - wanted, axis=-1).mean())} | {
        key[7:]: value for key, value in figures.items() if key.startswith("judged_")
    }


def label_quality(hands: ClipHands) -> dict[str, float]:
    """How good the estimator's own labels of labelled hands are, beside what it sees in the same places; 256ths of a crop."""
    network = load_trainable().eval()
    off = {"own": own_joints(hands, network) - hands.joints, "seen": seen_joints_of(hands, network)[0] - hands.joints}
    kept = np.isfinite(off["own"]).all(-1)
    pixels = 256 / nominal_crop()[1]
    figures = {"kept_percent": 100 * float(kept.mean())}
    pairs = np.array([pair for piece in hands.pieces() for pair in pairwise(piece)])
    for name, values in off.items():
        length = np.linalg.norm(values, axis=-1)
        change = np.linalg.norm(values[pairs[:, 1]] - values[pairs[:, 0]], axis=-1)
        figures[f"{name}_2d_px_of_256"] = pixels * float(length[kept].mean())
        figures[f"{name}_trembling_px_of_256"] = pixels * float(change[kept[pairs].all(1)].mean())
    return figures


def on_field(count: int, samples: int, work: Path) -> Rows:
    """Errors on half as many other clips."""
    write_field(work / "clips", count, LEARNT_SEED)
    true = write_field(work / "judged", count // 2, JUDGED_SEED)
    start = load_trainable().eval()
    judged = read_clips(VideoFiles(work / "judged"), start, Predictor, 10**6).hands
    rows: Rows = {"own labels": label_quality(judged), "as it ships": field_errors(None, judged, true)}
    print("own labels", rows["own labels"], flush=True)
    print("as it ships", rows["as it ships"], flush=True)
    for name, own, weights in (
        ("2D labels", False, VideoWeights()),
        ("2D labels, no neighbours", False, NONE),
        ("2D labels, mesh at pose", False, VideoWeights(mesh_pose=1.0)),
        ("no label", True, VideoWeights()),
        ("no label, no neighbours", True, NONE),
    ):
        files = VideoFiles(work / "clips", own=own, side="right")
        model, figures = adapted(files, work / name.replace(" ", "_"), config_of(samples, weights=weights))
        rows[name] = field_errors(model.with_suffix(".safetensors"), judged, true)
        rows[name]["processor_minutes"] = figures["processor_minutes"]
        print(name, rows[name], flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("photos", "video", "field"))
    parser.add_argument("path", nargs="?", type=Path, help="folder of photos with 3D joints, or a video")
    parser.add_argument("--clips", type=int, default=32, help="synthetic clips to learn from (default: 32)")
    parser.add_argument("--samples", type=int, default=2_800, help="stretches and synthetic hands (default: 2800)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    if (arguments.path is None) != (arguments.what == "field"):
        parser.error("photos and video want a path, field none")
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as work:
            if arguments.what == "photos":
                rows = on_photos(arguments.path, arguments.samples, Path(work))
            elif arguments.what == "video":
                rows = on_video(arguments.path, arguments.samples, Path(work))
            else:
                rows = on_field(arguments.clips, arguments.samples, Path(work))
    except InputError as error:
        print(f"adapt_video: {error}", file=sys.stderr)
        return 2
    for name, figures in rows.items():
        print(f"{name:26s}" + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
    if arguments.json:
        write_json(arguments.json, rows, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
