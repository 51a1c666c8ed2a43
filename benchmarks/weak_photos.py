"""What weak labels do for the default estimator: on real photos with 2D joints alone, and on synthetic hands with depth beside them.

    python benchmarks/weak_photos.py FOLDER [--samples 6000] [--json FILE]
    python benchmarks/weak_photos.py --field 512 [--samples 6000] [--json FILE]
    python benchmarks/weak_photos.py --signal

The first adapts to the *2D* labels of half of the photos in FOLDER (the layout of `phalanx evaluate photos3d`) and scores 3D joints of the
other half: the estimator that ships; adapted as `phalanx adapt weak` does it; and given the same 2D labels alone, without the synthesis
that goes with them. Halves are blocks of 50 photos in turn, because neighbours are neighbouring frames of a video. These photos have no
depth, so the depth regularizer has nothing to be held against and is left out: what is measured is the rest of the method.

The second shows what depth adds, where there is some: hands of the synthetic domain `field` with labels in 2D; with their own depth, with
depth of other hands, or with 3D joints beside them, tested on other hands of it. It prints the mean error of 2D joints in 256ths of a
crop, and of root-relative 3D joints in mm, the scale being known.

The third shows what the depth regularizer says by itself: it is trained on 1,536 synthetic hands, and the depths that the estimator
that ships sees in 64 others are moved down its term alone. It prints their error, in 256ths of a crop, before and on the way.

The weights that come out are not kept. `--samples` counts hands learnt from, half of them synthetic; minutes of the processor are printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from phalanx.adapt.weak import WeakAdaptation, adapt_weak
from phalanx.adapt.weak_depth import DepthHands, PairedHands, finish_depth, keep_depth
from phalanx.adapt.weak_drawn import UnpairedFiles
from phalanx.adapt.weak_files import WeakFiles
from phalanx.adapt.weak_method import WeakMethod, weak_batch
from phalanx.adapt.weak_pictures import errors_2d, read_weak_pictures
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.images import image_bytes
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.photos3d import TimedPredictor, find_in_photos, score_photos3d
from phalanx.methods.compact import CompactEstimator, load_trainable
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk

BLOCK = 50  # photos
SHOWN = ("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm", "auc_20_50", "missed")
FIELD_FOCAL = 450.0  # pixels, of all pictures of the field
UNIT = 0.00025  # metres of a step of its depth


def coco(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a label file of hands, each with `file_name`, `size`, `points` (21, 2) and what else an annotation may have."""
    images, annotations = [], []
    for number, entry in enumerate(entries):
        points, width = entry.pop("points"), entry.pop("size")
        inside = ((points > -0.5) & (points < width - 0.5)).all(1)
        triples = np.c_[points, 2 * inside]
        images.append({"id": number, "file_name": entry.pop("file_name"), "width": width, "height": width})
        annotations.append({"image_id": number, "keypoints": triples.round(2).ravel().tolist(), **entry})
    write_json(path, {"images": images, "annotations": annotations}, indent=1)


def part(photos: Photos3D, rows: np.ndarray) -> Photos3D:
    """Those of the photos."""
    paths = tuple(photos.image_paths[row] for row in rows)
    return replace(
        photos, image_paths=paths, joints=photos.joints[rows], joints_2d=photos.joints_2d[rows], K=photos.K[rows]
    )


def config_of(samples: int, **changes: Any) -> WeakAdaptation:
    """As the command adapts, for so many hands."""
    config = WeakAdaptation(**changes)
    loop = replace(config.loop, samples=samples, evaluate_every=max(1, samples // 2))
    config.loop = replace(
        loop, precision="float32", kernel_precision="float32"
    )  # the same for all rows, whatever is faster
    return config


def on_photos(folder: Path, samples: int, work: Path) -> dict[str, dict[str, Any]]:
    """Figures of each estimator on the half of the photos that nothing was learnt from."""
    photos = read_photos3d(folder)
    learnt = (np.arange(len(photos)) // BLOCK) % 2 == 0
    pictures = work / "pictures"
    pictures.mkdir()
    entries = []
    for row in learnt.nonzero()[0].tolist():
        name = f"{row:04d}.png"
        cv2.imwrite(str(pictures / name), photos.image(row)[..., ::-1])
        entries.append({"file_name": name, "size": 256, "points": photos.joints_2d[row], "hand_type": photos.side})
    coco(pictures / "labels.json", entries)
    judged = part(photos, (~learnt).nonzero()[0])
    ways = {
        "adapted": config_of(samples),
        "2D labels alone": config_of(samples, hands=48, synthetic=0),
    }
    models: dict[str, Path | None] = {"as it ships": None}
    minutes: dict[str, float] = {}
    for name, config in ways.items():
        start = time.process_time()
        models[name] = work / f"{name.replace(' ', '_')}.onnx"
        adapt_weak(WeakFiles(pictures), work / name.replace(" ", "_"), config=config, say=partial(print, flush=True))
        minutes[name] = (time.process_time() - start) / 60
    rows: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        finder = TimedPredictor(Predictor(model), photos.side, known_focal=True)
        figures = score_photos3d(judged, find_in_photos(judged, {name: finder})[name])
        rows[name] = {key: figures[key] for key in SHOWN} | {"processor_minutes": minutes.get(name, 0.0)}
        print(name, rows[name], flush=True)
    return rows


def field(folder: Path, count: int, seed: int, with_3d: bool) -> WeakFiles:
    """Write right hands of the domain `field` as a user's folder, all of one focal length."""
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    entries: list[dict[str, Any]] = []
    for chunk in range(-(-count // 32)):
        sample = make_chunk(
            SynthConfig(size=192, domain="field", depth_sensor="domain", tiles=64, skins=8), seed, chunk
        )
        assert sample.image is not None and sample.sensed_depth is not None and sample.K is not None
        assert sample.joints is not None and sample.joints_2d is not None
        for row in range(len(sample)):
            name = f"{len(entries):05d}.png"
            side = max(64, round(192 * FIELD_FOCAL / float(sample.K[row, 0, 0] + sample.K[row, 1, 1]) * 2))
            shape, smooth = (side, side), cv2.INTER_AREA if side < 192 else cv2.INTER_LINEAR
            colour = cv2.resize(image_bytes(sample.image[row])[..., ::-1], shape, interpolation=smooth)
            steps = (sample.sensed_depth[row] / UNIT).round().clamp(0, 65_000).numpy().astype(np.uint16)
            cv2.imwrite(str(folder / "images" / name), colour)
            cv2.imwrite(str(folder / "depth" / name), cv2.resize(steps, shape, interpolation=cv2.INTER_NEAREST_EXACT))
            points = (sample.joints_2d[row].double().numpy() + 0.5) * side / 192 - 0.5
            entry = {"file_name": name, "size": side, "points": points, "hand_type": "right"}
            entries.append(entry | ({"joints_3d": sample.joints[row].tolist()} if with_3d else {}))
    coco(folder / "labels.json", entries)
    write_json(folder / "intrinsics.json", {"K": [FIELD_FOCAL, FIELD_FOCAL, 0, 0], "depth_unit": UNIT})
    return WeakFiles(folder)


@torch.no_grad()
def field_errors(estimator: CompactEstimator, files: WeakFiles) -> dict[str, float]:
    """Errors on hands with 3D joints: 2D in 256ths of a crop, 3D relative to the root in mm."""
    estimator = estimator.eval()
    hands = read_weak_pictures(files, estimator).hands
    hands = hands[(hands.with_depth & np.isfinite(hands.relative).all(1)).nonzero()[0].tolist()]
    errors = []
    for start in range(0, len(hands), 32):
        batch = weak_batch(hands[list(range(start, min(start + 32, len(hands))))], estimator.config.size)
        found = estimator(batch.sample.image)
        seen = torch.cat([found.joints_2d, found.depth[..., None]], dim=-1)
        true = torch.cat([batch.depth.joints, batch.depth.depths[..., None]], dim=-1)
        apart = (seen - seen[:, 9:10]) - (true - true[:, 9:10])
        errors.append((apart.norm(dim=-1) * batch.depth.width[:, None]).nanmean(1))
    return {
        "2d_px_of_256": float(errors_2d(hands, estimator).mean()),
        "3d_mm": 1000 * float(torch.cat(errors).mean()),
        "hands": len(hands),
    }


def on_field(count: int, samples: int, work: Path) -> dict[str, dict[str, Any]]:
    """Errors on 256 other hands of `field` after adapting to `count` with different labels."""
    weak = field(work / "weak", count, 7_001, with_3d=False)
    full = field(work / "full", count, 7_001, with_3d=True)
    judged = field(work / "judged", 256, 7_002, with_3d=True)
    colour = field(work / "colour", count, 7_001, with_3d=False)
    shutil.rmtree(Path(colour.folder) / "depth")
    field(work / "others", min(count, 256), 7_003, with_3d=False)
    others = UnpairedFiles(work / "others" / "depth", f"{FIELD_FOCAL},{FIELD_FOCAL},0,0", UNIT, "right")
    ways = {
        "2D": (weak, config_of(samples, depth_weight=0.0), None),
        "2D and depth": (weak, config_of(samples), None),
        "2D and depth of others": (
            colour,
            config_of(samples * 3 // 2),
            others,
        ),  # a third of what counts is their depth
        "2D and 3D": (full, config_of(samples, depth_weight=0.0), None),
    }
    rows: dict[str, dict[str, Any]] = {"as it ships": field_errors(load_trainable(), judged)}
    for name, (files, config, unpaired) in ways.items():
        start = time.process_time()
        out = work / name.replace(" ", "_")
        adapt_weak(files, out, config=config, say=partial(print, flush=True), unpaired=unpaired)
        spent = (time.process_time() - start) / 60
        rows[name] = field_errors(load_trainable(out.with_suffix(".safetensors")), judged) | {
            "processor_minutes": spent
        }
        print(name, rows[name], flush=True)
    return rows


def signal() -> dict[str, dict[str, Any]]:
    """The term and the error of depths, before they are moved down the term and after some steps."""
    synth = SynthConfig(size=128, depth_sensor="domain", tiles=16, skins=4)

    def drawn(seed: int, chunks: int) -> tuple[PairedHands, torch.Tensor]:
        samples = [make_chunk(synth, seed, number) for number in range(chunks)]
        kept = [keep_depth(sample) for sample in samples]
        joined = {name: torch.cat([each[name] for each in kept]) for name in kept[0]}
        hands = finish_depth(lambda: None, joined, synth.size, torch.Generator())
        return hands, torch.cat([sample.image for sample in samples if sample.image is not None])

    learnt, judged = drawn(1, 48)[0], drawn(9, 2)
    hands, images = judged[0].hands, judged[1]
    torch.manual_seed(0)
    method = WeakMethod(load_trainable().eval(), 1.0)
    (player,) = method.start()
    assert player.optimiser is not None
    descent = player.optimiser(player.parameters)
    for step in range(900):
        for group in descent.param_groups:
            group["lr"] = 0.5e-3 * (1 + np.cos(np.pi * step / 900)) + 1e-5
        (loss,) = player.losses(learnt[torch.randint(0, len(learnt), (64,))]).values()
        descent.zero_grad()
        loss.backward()
        descent.step()
    method.decoder.eval().requires_grad_(False)
    with torch.no_grad():
        seen = torch.cat([method.estimator(part).depth for part in images.split(16)])
    depths, rows = seen.clone().requires_grad_(True), {"true": _signal_row(method, hands, hands.depths)}
    move = torch.optim.Adam([depths], lr=2e-3)
    for step in range(41):
        if step in (0, 5, 10, 20, 40):
            rows[f"after {step} steps"] = _signal_row(method, hands, (depths - depths[:, 9:10]).detach())
        move.zero_grad()
        (len(hands) * method.map_error(replace(hands, depths=depths - depths[:, 9:10]))).backward()
        move.step()
    return rows


@torch.no_grad()
def _signal_row(method: WeakMethod, hands: DepthHands, depths: torch.Tensor) -> dict[str, Any]:
    error = 256 * (depths - hands.depths).abs()[hands.root_depth > 0].mean()
    return {"term": float(method.map_error(replace(hands, depths=depths))), "depth_px_of_256": float(error)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos with 3D joints (docs/evaluation.md)")
    parser.add_argument("--field", type=int, metavar="N", help="adapt to so many synthetic hands instead")
    parser.add_argument("--signal", action="store_true", help="what the depth regularizer's term says by itself")
    parser.add_argument("--samples", type=int, default=6_000, help="hands learnt from (default: 6000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    if sum((arguments.folder is not None, arguments.field is not None, arguments.signal)) != 1:
        parser.error("give a folder of photos, or --field, or --signal")
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as work:
            if arguments.signal:
                rows = signal()
            elif arguments.field is None:
                rows = on_photos(arguments.folder, arguments.samples, Path(work))
            else:
                rows = on_field(arguments.field, arguments.samples, Path(work))
    except InputError as error:
        print(f"weak_photos: {error}", file=sys.stderr)
        return 2
    for name, figures in rows.items():
        print(f"{name:18s}" + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
    if arguments.json:
        write_json(arguments.json, rows, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
