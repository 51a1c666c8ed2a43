"""Whether pictures redrawn by TAGAN help the default estimator on photographs: continued with half of them redrawn, and without.

    python benchmarks/blended_photos.py OUT --photos FOLDER --model MODEL [--pictures 12288] [--samples 8192] [--seeds 1 2]

FOLDER is one of `phalanx evaluate photos3d`; nothing is chosen by it. MODEL is of `phalanx train tonality_gan`, for pictures of 128 pixels.
The set `plain` is drawn once; in `half` each picture of it is redrawn with a probability of a half. Both continue the shipped weights for
as many steps, with the same seeds. Errors are in 2D, pixels of 256, and in 3D, root-relative and aligned, not mapped, with the side and K
given; intervals are a bootstrap over runs of four neighbouring photos, and over seeds. Stages that are done are kept in OUT.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from realism import (
    RUN,
    SET_SEED,
    SETTINGS,
    difference,
    draw,
    read_part,
    read_parts,
    write_npz,
)
from realism import train as continued

from phalanx.core.errors import InputError
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.photos3d import TimedPredictor, find_in_photos
from phalanx.methods.compact import METHOD
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_scaled_errors
from phalanx.nets.weights import shipped_weights
from phalanx.predict.predictor import Predictor
from phalanx.synth.realism import check_realism, redrawn
from phalanx.train.plan import LoopConfig

SIZE = 128
ERRORS = {"px": "2D, px", "relative_mm": "3D root-relative, mm", "aligned_mm": "3D aligned, mm"}


def redraw(out: Path, model: Path) -> None:
    """The set `half` of `plain`, part by part."""
    check_realism(model, SIZE)
    folder = out / "half"
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(read_parts(out / "plain")):
        if (folder / path.name).exists():
            continue
        part = read_part(path)
        with torch.no_grad():
            image = redrawn(part["image"].float() / 255, model, 0.5, 1, SET_SEED, number)
        arrays = {name: value.numpy() for name, value in part.items()}
        write_npz(folder / path.name, **arrays | {"image": (255 * image).round().to(torch.uint8).numpy()})


def errors_on(photos: Photos3D, weights: Path) -> dict[str, np.ndarray]:
    """Mean errors (N,) of the joints of each photo."""
    finder = TimedPredictor(Predictor(weights), photos.side, known_focal=True)
    found = find_in_photos(photos, {"it": finder})["it"]
    missed = ~np.isfinite(found.joints).all(axis=(1, 2))
    if missed.any():
        raise InputError(f"{int(missed.sum())} photos have no prediction")
    return {
        "px": end_point_errors(found.joints_2d, photos.joints_2d).mean(1),
        "relative_mm": 1000 * root_scaled_errors(found.joints, photos.joints).mean(1),
        "aligned_mm": 1000 * procrustes_errors(found.joints, photos.joints).mean(1),
    }


def score(out: Path, photos: Photos3D, seeds: list[int]) -> None:
    """Print the table."""
    errors = {"shipped": [errors_on(photos, shipped_weights(METHOD))]}
    for name in ("plain", "half"):
        errors[name] = [errors_on(photos, out / name / f"run_{seed}" / f"{METHOD}.safetensors") for seed in seeds]
    together = np.arange(len(photos)) // RUN
    print("| pictures | " + " | ".join(f"{title} | half - plain, 95 %" for title in ERRORS.values()) + " |")
    print("|" + "---|" * (1 + 2 * len(ERRORS)))
    for name, runs in errors.items():
        cells = [name]
        for kind in ERRORS:
            own, base = (np.stack([run[kind] for run in one]) for one in (runs, errors["plain"]))
            cells.append(f"{own.mean():.2f} ({', '.join(f'{value:.2f}' for value in own.mean(1))})")
            change = difference(own, base, together)
            cells.append("" if name != "half" else f"{change.value:+.2f} ({change.low:+.2f} to {change.high:+.2f})")
        print("| " + " | ".join(cells) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of `phalanx evaluate photos3d`")
    parser.add_argument("--model", type=Path, required=True, help="weights of `phalanx train tonality_gan`")
    parser.add_argument("--pictures", type=int, default=12_288)
    parser.add_argument("--samples", type=int, default=8_192, help="pictures of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    loop = LoopConfig(  # as benchmarks/realism.py continues the shipped weights
        samples=told.samples,
        learning_rate=1.25e-4,
        kernel_rate=2.5e-3,
        warmup=2_000,
        average=4_000,
        evaluate_every=4_096,
        checkpoint_minutes=1.0,
        precision="bfloat16",
        kernel_precision="bfloat16",
    )
    try:
        photos = read_photos3d(told.photos)
        draw(told.out / "plain", None, told.pictures, SET_SEED, {**SETTINGS, "size": SIZE})
        redraw(told.out, told.model)
        for seed in told.seeds:
            for name in ("plain", "half"):
                continued(told.out, name, [seed], loop, 64)
        score(told.out, photos, told.seeds)
    except InputError as error:
        print(f"blended_photos: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
