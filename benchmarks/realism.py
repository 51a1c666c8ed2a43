"""What an engine of synthesis is worth: how well its hands are told from real ones, and how an estimator trained on it errs on photos.

    python benchmarks/realism.py real   OUT --people DIR                        once: the hands in photos of many people
    python benchmarks/realism.py copies OUT --photos DIR --engine OLD/src       once: the fixed copies of the photos with 3D joints
    python benchmarks/realism.py held   OUT --samples DIR --engine NEW/src      once, if at all: hands that hold things
    python benchmarks/realism.py make   OUT old --engine OLD/src                for each engine: its set of pictures
    python benchmarks/realism.py tell   OUT old --engine OLD/src                its area under the ROC
    python benchmarks/realism.py train  OUT old --seeds 1 2 3                   the default estimator, continued on its set
    python benchmarks/realism.py score  OUT old --photos DIR                    its errors
    python benchmarks/realism.py report OUT --base old                          the table

Each stage keeps what it finished, can be killed and started again, and may run beside others. `--engine` is the `src` of any source tree
that has `phalanx.synth`: today's, that of an older commit, or one in which a patch switches something off; without it, this one. Choices
are made by `tell` and by photos without labels, never by `score`. A set may have parts of `realism_set.py` beside those of `make`.

`tell`: `realism_crops.py`; behind each area stands the distance of the mean scores in standard deviations. `score`: 2D errors with the side
given, in pixels of 256 and not mapped, and sides that are guessed wrongly, on photos of `phalanx evaluate photos3d`, on their mirror
images, on the fixed copies, and on copies that hold things (`realism_held.py`). The interval of a difference to the base is a bootstrap
over runs of four neighbouring photos, with all of their copies, or over the hands that hold things, and over seeds. Other weights are
compared in the same way: OUT/NAME/run_1/compact.safetensors is what `score OUT NAME --seeds 1` looks at.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from realism_crops import crops_of, hand_crop, look, read_people, told_apart
from realism_held import read_held
from realism_set import FIELDS, PART
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.core.precision import Precision
from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.groups import views as views_of
from phalanx.fit.joints import fit_joints
from phalanx.hand.model import HandModel
from phalanx.methods.compact import METHOD, CompactEstimator, config_of, save_weights
from phalanx.metrics.bootstrap import Interval, bootstrap_sequences
from phalanx.nets.weights import read_weights, shipped_weights
from phalanx.predict.predictor import Predictor
from phalanx.train.checkpoint import CHECKPOINT
from phalanx.train.feed import BufferFeed, finish_pictures
from phalanx.train.loop import train as descend
from phalanx.train.plan import LoopConfig, Phase, Stage

SET_SEED, TELL_SEED, COPIES_SEED = 170, 171, 500
SIZE = 96  # of the crops that are told apart, and of the sets unless `--size` says otherwise
COPIES_SIZE = 256  # of the photos with 3D joints and of their copies
SETTINGS = {"tiles": 800, "skins": 32}  # of `SynthConfig`
BUFFER = 13  # parts of a set in memory at a time
RUN = 4  # neighbouring photos that are drawn together
ERRORS = ("photos_px", "photos_wrong", "mirrored_wrong", "copies_px", "copies_wrong")
HELD = ("held_px", "held_wrong")  # where there are such copies
WAYS = {
    "as they are": (False, False),
    "levelled": (True, False),
    "shading": (True, True),
}  # whether levelled, whether coarse
COLUMNS = (
    "engine",
    *(f"AUC, {way}" for way in WAYS),
    "photos px",
    "difference, 95 %",
    "palms px",
    "wrong sides",
    "mirrored",
    "copies px",
    "difference, 95 %",
    "copies wrong",
    "gap of palms px",
    "held px",
    "difference, 95 %",
    "held wrong",
)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays, whole or not at all."""
    with write_whole(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def draw(
    folder: Path, engine: Path | None, pictures: int, seed: int, settings: dict[str, object], poses: Path | None = None
) -> None:
    """Have an engine draw a set into `folder`, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("realism_set.py")), str(folder)]
    command += ["--pictures", str(pictures), "--seed", str(seed), "--settings", json.dumps(settings)]
    environment = dict(os.environ)
    if engine is not None:
        if not (engine / "phalanx" / "synth").is_dir():
            raise InputError(f"{engine}: is no source tree with phalanx.synth")
        environment["PYTHONPATH"] = str(engine.resolve())
    subprocess.run(command + ([] if poses is None else ["--poses", str(poses)]), env=environment, check=True)


def read_parts(folder: Path) -> list[Path]:
    """The parts of a set, in order."""
    parts = sorted(folder.glob("part_*.npz"))
    if not parts:
        raise InputError(f"{folder}: holds no pictures; make the set first")
    return parts


def read_part(path: Path) -> dict[str, Tensor]:
    """A part of a set as `train.feed.pack` has pictures."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def pictures_of(folder: Path) -> np.ndarray:
    """All pictures (N, H, W, 3) of a set."""
    return np.concatenate([read_part(path)["image"].permute(0, 2, 3, 1).numpy() for path in read_parts(folder)])


def real(out: Path, people: Path, most: int | None) -> None:
    """Find the hands in photos of people; keep their crops, and their poses to be drawn."""
    paths, person = read_people(people)
    predictor = Predictor()
    crops, poses, of = [], [], []
    for path, who in list(zip(paths, person, strict=True))[:most]:
        image, hand = look(predictor, path, SIZE)
        if hand is None:
            continue
        crops.append(hand_crop(predictor, image, hand))
        wrist = hand.joints[0] / hand.scale
        poses.append((hand.rotations, hand.shape, hand.orientation, wrist, hand.K))
        of.append(who)
    fields = {name: np.stack(values) for name, values in zip((*FIELDS, "K"), zip(*poses, strict=True), strict=True)}
    write_npz(out / "real.npz", crops=np.stack(crops), person=np.array(of), **fields)
    print(f"{len(crops)} of {len(paths)} photos, {len(set(of))} people")


def draw_copies(out: Path, photos_folder: Path, engine: Path | None, times: int) -> None:
    """Draw the hands of photos with 3D joints: left hands as right ones, mirrored, `times` times each."""
    photos = read_photos3d(photos_folder)
    mirror = photos.side == "left"
    joints, K = photos.joints * [-1 if mirror else 1, 1, 1], photos.K.copy()
    if mirror:
        K[:, 0, 2] = COPIES_SIZE - 1 - K[:, 0, 2]
    pose = fit_joints(HandModel.open_hand(), torch.as_tensor(joints, dtype=torch.float32))
    write_npz(out / "photo_poses.npz", K=K, **{name: getattr(pose, name).numpy() for name in FIELDS})
    settings = {**SETTINGS, "size": COPIES_SIZE, "effects": 0.7, "tiles": 100}
    draw(out / "photo_copies", engine, times * len(photos), COPIES_SEED, settings, out / "photo_poses.npz")


def draw_held(out: Path, samples: Path, engine: Path | None, times: int) -> None:
    """Draw hands that hold things before the cameras of the public samples, `times` for each."""
    held = read_held(samples, COPIES_SIZE)
    write_npz(out / "held_poses.npz", K=held.K, **{name: getattr(held.pose, name).numpy() for name in FIELDS})
    settings = {**SETTINGS, "size": COPIES_SIZE, "effects": 0.7, "tiles": 100, "scene": "holding"}
    draw(out / "held_copies", engine, times * len(held.K), COPIES_SEED, settings, out / "held_poses.npz")


def tell(out: Path, name: str, engine: Path | None, times: int, seeds: int) -> None:
    """The area under the ROC of a network that tells an engine's hands from real ones: mean and standard deviation over folds and seeds."""
    with np.load(out / "real.npz") as file:
        known, person = file["crops"], file["person"]
    folder = out / name
    if not (kept := folder / "made.npz").exists():
        settings = {**SETTINGS, "size": SIZE}
        draw(folder / "like", engine, times * len(known), TELL_SEED, settings, out / "real.npz")
        write_npz(kept, crops=crops_of(Predictor(), pictures_of(folder / "like")))
    with np.load(kept) as file:
        made = file["crops"]
    found = {}
    for way, (level, coarse) in WAYS.items():
        folds = np.concatenate([told_apart(known, made, person, level, coarse, seed) for seed in range(seeds)])
        mean, deviation = folds.mean(0).tolist(), folds.std(0).tolist()
        found[way] = {
            "area": mean[0],
            "area_deviation": deviation[0],
            "distance": mean[1],
            "distance_deviation": deviation[1],
        }
    (folder / "told.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(name, json.dumps(found))


def open_feed(folder: Path, seed: int) -> BufferFeed:
    """Batches from a set on disk, part by part, again and again; a last part that is not full is left out."""
    parts = read_parts(folder)
    parts = parts[:-1] if len(parts) > 1 and len(read_part(parts[-1])["K"]) < PART else parts
    buffer = max(number for number in range(1, BUFFER + 1) if len(parts) % number == 0)

    def passes(start: int) -> Iterator[dict[str, Tensor]]:
        for number in count(start):
            yield read_part(parts[number % len(parts)])

    return BufferFeed(passes, buffer, seed, lambda part: part, finish_pictures)


def train(out: Path, name: str, seeds: list[int], loop: LoopConfig, batch: int) -> None:
    """Continue the default estimator from the shipped weights on a set, at the size of its pictures."""
    hand = HandModel.open_hand()
    values, state = read_weights(shipped_weights(METHOD), METHOD, hand.checksum())
    size = read_part(read_parts(out / name)[0])["image"].shape[-1]
    for seed in seeds:
        folder = out / name / f"run_{seed}"
        weights = folder / f"{METHOD}.safetensors"
        if weights.exists():
            continue
        config = replace(loop, seed=seed)
        network = CompactEstimator(config_of(values))
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
        stage = Stage(
            name,
            config,
            [Phase(1.0, size, batch, 1)],
            lambda seed=seed: open_feed(out / name, seed),
            lambda network, size: {},
        )
        average = descend(
            network, [stage], folder, (folder / CHECKPOINT).exists(), partial(print, name, seed, flush=True)
        )
        save_weights(average, weights, hand)


def score(out: Path, name: str, photos_folder: Path, seeds: list[int], most: int | None) -> None:
    """Errors of the estimators that were trained on a set; `shipped` is the one that they began from."""
    photos = read_photos3d(photos_folder)
    sets = {"copies": labelled(out / "photo_copies")}
    if (out / "held_copies").is_dir():
        sets["held"] = labelled(out / "held_copies")
    other = "right" if photos.side == "left" else "left"
    for seed in seeds:
        folder = out / name / f"run_{seed}"
        weights = shipped_weights(METHOD) if name == "shipped" else folder / f"{METHOD}.safetensors"
        if (kept := folder / "errors.npz").exists() or not weights.exists():
            continue
        predictor = Predictor(weights)

        def look_at(
            image: np.ndarray, K: np.ndarray, true: np.ndarray, side: str, predictor: Predictor = predictor
        ) -> tuple:
            box = (0, 0, *image.shape[1::-1])
            (hand,) = predictor(image, box=box, K=K, side=side)
            guessed = predictor(image, box=box, K=K)
            wrong = not guessed or guessed[0].side != side
            return float(np.linalg.norm(hand.joints_2d - true, axis=1).mean()), wrong

        seen, mirrored = [], []
        for index in range(len(photos))[:most]:
            image, joints_2d, camera = photos.image(index), photos.joints_2d[index], photos.K[index].copy()
            seen.append(look_at(image, camera, joints_2d, photos.side))
            camera[0, 2] = image.shape[1] - 1 - camera[0, 2]
            flipped = joints_2d * [-1, 1] + [image.shape[1] - 1, 0]
            mirrored.append(look_at(np.ascontiguousarray(image[:, ::-1]), camera, flipped, other))
        found = {"photos": seen, "mirrored": mirrored}
        for kind, drawn in sets.items():
            found[kind] = [look_at(*each, "right") for each in list(zip(*drawn, strict=True))[:most]]
        errors = {}
        for kind, pairs in found.items():
            errors[f"{kind}_px"], errors[f"{kind}_wrong"] = (np.array(values) for values in zip(*pairs, strict=True))
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(kept, **{kind: values for kind, values in errors.items() if kind in ERRORS + HELD})
        px = ", ".join(f"{kind} {errors[f'{kind}_px'].mean():.2f} px" for kind in ("photos", *sets))
        print(name, seed, f"{px}, {errors['photos_wrong'].sum()} wrong sides", flush=True)


def labelled(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (N, H, W, 3) of a set, their cameras (N, 3, 3) and the joints in them (N, 21, 2)."""
    parts = [read_part(path) for path in read_parts(folder)]
    K, joints = (np.concatenate([part[name].numpy() for part in parts]) for name in ("K", "joints_2d"))
    return pictures_of(folder), K, joints


def errors_of(out: Path, name: str) -> dict[str, np.ndarray]:
    """Errors (seeds, pictures) by kind."""
    files = sorted((out / name).glob("run_*/errors.npz"))
    loaded = [dict(np.load(file)) for file in files]
    kinds = [kind for kind in ERRORS + HELD if loaded and all(kind in each for each in loaded)]
    return {kind: np.stack([each[kind] for each in loaded]) for kind in kinds}


def drawn_together(out: Path, kind: str, pictures: int) -> np.ndarray:
    """Numbers (pictures,) of what a bootstrap draws as one: a run of photos with all of their copies, or a hand that holds things."""
    if kind == "photos_px":
        return np.arange(pictures) // RUN
    held = kind == "held_px"
    with np.load(out / ("held_poses.npz" if held else "photo_poses.npz")) as file:
        hand = np.arange(pictures) % len(file["K"])
    return hand if held else hand // RUN


def difference(errors: np.ndarray, base: np.ndarray, together: np.ndarray, seed: int = 0) -> Interval:
    """Mean of the paired differences (seeds, pictures) and its interval of 95 %, over pictures `together (pictures,)` and over seeds."""
    seeds = min(len(errors), len(base))
    paired = errors[:seeds] - base[:seeds]
    random = np.random.default_rng(seed)

    def mean(photos: np.ndarray) -> float:
        whole = len(photos) == paired.shape[1] and (photos == np.arange(paired.shape[1])).all()
        drawn = np.arange(seeds) if whole else random.integers(0, seeds, seeds)
        return float(paired[drawn][:, photos].mean())

    return bootstrap_sequences(mean, together, seed, 2000)


def report(out: Path, base: str, photos_folder: Path | None) -> None:
    """A table of all that is there, in Markdown."""
    names = sorted(
        path.name for path in out.iterdir() if any(path.glob("run_*/errors.npz")) or (path / "told.json").exists()
    )
    names.sort(key=lambda name: (name != "shipped", name != base))
    reference = errors_of(out, base)
    palm = None
    if photos_folder is not None:
        photos = read_photos3d(photos_folder)
        palm = np.asarray(views_of(photos.joints, photos.side)) == "palm"
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for name in names:
        told = (
            json.loads((out / name / "told.json").read_text(encoding="utf-8"))
            if (out / name / "told.json").exists()
            else {}
        )
        cells = [name]
        cells += [
            "{area:.4f} ± {area_deviation:.4f} ({distance:.2f})".format(**told[way]) if way in told else ""
            for way in WAYS
        ]
        if errors := errors_of(out, name):
            shown = errors["photos_px"].shape[1]
            palms = np.ones(shown, bool) if palm is None else palm[:shown]
            of_copies = errors["copies_px"]
            palms_of_copies = palms[np.arange(of_copies.shape[1]) % shown]
            changes = {
                kind: ""
                if name == base or not reference
                else "{:+.2f} ({:+.2f} to {:+.2f})".format(
                    *difference(errors[kind], reference[kind], drawn_together(out, kind, errors[kind].shape[1]))
                )
                for kind in ("photos_px", "copies_px", "held_px")
                if kind in errors
            }
            on_palms, on_copied = errors["photos_px"][:, palms].mean(), of_copies[:, palms_of_copies].mean()
            cells += [
                f"{errors['photos_px'].mean():.2f}",
                changes["photos_px"],
                f"{on_palms:.2f}",
                f"{errors['photos_wrong'].sum(1).mean():.1f} of {shown}",
                f"{errors['mirrored_wrong'].sum(1).mean():.1f}",
                f"{of_copies.mean():.2f}",
                changes["copies_px"],
                f"{errors['copies_wrong'].sum(1).mean():.1f} of {of_copies.shape[1]}",
                f"{on_palms - on_copied:.2f}",
                f"{errors['held_px'].mean():.2f}" if "held_px" in errors else "",
                changes.get("held_px", ""),
                f"{errors['held_wrong'].sum(1).mean():.1f} of {errors['held_wrong'].shape[1]}"
                if "held_wrong" in errors
                else "",
            ]
        print("| " + " | ".join(cells + [""] * (len(COLUMNS) - len(cells))) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = parser.add_subparsers(dest="stage", required=True)
    of = {
        name: stages.add_parser(name) for name in ("real", "copies", "held", "make", "tell", "train", "score", "report")
    }
    for name, stage in of.items():
        stage.add_argument("out", type=Path)
        if name in ("make", "tell", "train", "score"):
            stage.add_argument("name", help="of the engine, in the table")
        if name in ("copies", "held", "make", "tell"):
            stage.add_argument("--engine", type=Path, help="src of a source tree (default: this one)")
        if name in ("train", "score"):
            stage.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
        if name in ("copies", "score", "report"):
            stage.add_argument(
                "--photos", type=Path, required=name != "report", help="a folder of `phalanx evaluate photos3d`"
            )
        if name in ("real", "score"):
            stage.add_argument("--most", type=int, help="photos to look at (default: all)")
    of["real"].add_argument("--people", type=Path, required=True, help="photos with persons.csv")
    of["copies"].add_argument("--times", type=int, default=2, help="copies of each photo")
    of["held"].add_argument("--samples", type=Path, required=True, help="MMPose's test data: freihand, panoptic, ...")
    of["held"].add_argument("--times", type=int, default=16, help="pictures of each hand")
    of["make"].add_argument("--pictures", type=int, default=40_000)
    of["make"].add_argument("--size", type=int, default=SIZE, help="side of the pictures")
    of["tell"].add_argument("--times", type=int, default=2, help="copies of each photo")
    of["tell"].add_argument("--judges", type=int, default=1, help="seeds of the folds and networks")
    of["train"].add_argument("--samples", type=int, default=40_000)
    of["train"].add_argument("--average", type=int, default=4_000, help="pictures of the mean of the weights")
    of["train"].add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    of["train"].add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    of["train"].add_argument("--batch", type=int, default=64)
    of["report"].add_argument("--base", default="old")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    try:
        if told.stage == "real":
            real(told.out, told.people, told.most)
        elif told.stage == "copies":
            draw_copies(told.out, told.photos, told.engine, told.times)
        elif told.stage == "held":
            draw_held(told.out, told.samples, told.engine, told.times)
        elif told.stage == "make":
            draw(told.out / told.name, told.engine, told.pictures, SET_SEED, {**SETTINGS, "size": told.size})
        elif told.stage == "tell":
            tell(told.out, told.name, told.engine, told.times, told.judges)
        elif told.stage == "train":
            train(told.out, told.name, told.seeds, _loop(told), told.batch)
        elif told.stage == "score":
            score(told.out, told.name, told.photos, told.seeds, told.most)
        else:
            report(told.out, told.base, told.photos)
    except InputError as error:
        print(f"realism: {error}", file=sys.stderr)
        return 2
    return 0


def _loop(told: argparse.Namespace) -> LoopConfig:
    """A quarter of the rates of the shipped weights' last stage: they are to be continued, not learnt anew."""
    precision: Precision = told.precision
    return LoopConfig(
        samples=told.samples,
        learning_rate=1.25e-4 * told.rate,
        kernel_rate=2.5e-3 * told.rate,
        warmup=2_000,
        average=told.average,
        evaluate_every=10_000,
        checkpoint_minutes=1.0,
        precision=precision,
        kernel_precision=precision,
    )


if __name__ == "__main__":
    sys.exit(main())
