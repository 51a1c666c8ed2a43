"""The tables of Wan et al. 2019 (Table 1; Fig. 5 to 7), made again on synthesis: `phalanx reproduce wan2019`.

What stands in for NYU, which cannot be shipped: depth of the domain `field`, seen by three cameras, whose shapes and sensors the
source, `studio`, lacks, as NYU's people and cameras were unknown to theirs. All else is as in the paper, at a scale of one's choice:

- **Joints**: 21, from the spheres. **Error**: mean distance in mm over joints and test frames, each of the three views being a
  frame, in the cube's frame: nothing is aligned.
- **Frames within t**: share of frames whose largest joint error is at most t.
- **Cubes** are cut where a detector would put them (`train.sphere_fitting.loose_middles`), alike for training and test.
- **Rows**: names as printed, and two of ours: "supervised", an upper bound, is the start, trained on labels of the same frames for as
  long; "longer start" is the start, trained on with the labelled synthetic frames that are mixed into fitting, and nothing else.

A run's folder keeps every row that is done; started again it goes on with the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_json, writable_folder, write_json, write_whole
from phalanx.data.cube_views import CubeViews
from phalanx.evaluate.published import published
from phalanx.hand.model import HandModel
from phalanx.methods.sphere_fitting import (
    FittingWeights,
    SphereFittingConfig,
    SphereFittingEstimator,
    load,
    save_weights,
)
from phalanx.synth import SynthConfig
from phalanx.train.loop import LoopConfig
from phalanx.train.sphere_fitting import FitConfig, StartConfig, draw_views, fit, joint_errors, start, supervise
from phalanx.view.curves import draw_curves

THRESHOLDS = np.arange(0.0, 81.0)  # mm, of the share of frames within
SEEDS = (1, 2, 3)
"""Of the main rows; the others have the first alone."""

START, NO_NOISE = "synth(aug. with noise)", "synth"
SINGLE, MULTI, HALF, MIXED = (
    "100% single view",
    "ours (100% multiple view)",
    "50% multi-view",
    "50% multi-view + 50% single view",
)
NO_VAE, NO_BONES, NO_COLLISION = "without vae loss", "without bone length loss", "without collision loss"
ON_TEST, SUPERVISED, LONGER = "train on test", "supervised", "longer start"
MAIN = (START, SINGLE, MULTI, SUPERVISED)
ROWS = (NO_NOISE, START, SINGLE, MULTI, HALF, MIXED, NO_VAE, NO_BONES, NO_COLLISION, ON_TEST, SUPERVISED, LONGER)


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    size: int
    """Cells of a depth map."""
    width: int
    """Channels of the hourglass."""
    frames: int
    """Recorded frames of three views to fit to."""
    test: int
    """Frames of three views to test on."""
    start: LoopConfig
    """Budget on synthetic depth."""
    fit: LoopConfig
    """Budget of each fitting."""
    prior_steps: int
    batch: int = 32
    fitted: int = 8
    """Frames of three views a step; as many maps of labelled frames are mixed in."""
    buffer: int = 8_000
    workers: int = 2


def _loop(rate: float, kernel: float, average: int, **budget: Any) -> LoopConfig:
    return LoopConfig(
        learning_rate=rate, kernel_rate=kernel, average=average, warmup=2_000, **({"minutes": None} | budget)
    )


SCALES = {
    "smoke": Scale(
        64, 16, 6, 4, _loop(1e-3, 0.02, 100, samples=48), _loop(3e-4, 4e-3, 50, samples=36), 30, 8, 2, 32, 0
    ),
    "cpu": Scale(
        64,
        48,
        3_000,
        300,
        _loop(1e-3, 0.02, 16_000, samples=120_000, evaluate_every=20_000),
        _loop(3e-4, 4e-3, 10_000, samples=80_000, evaluate_every=20_000),
        3_000,
    ),
    "paper": Scale(
        128,
        96,
        72_757,
        8_252,
        _loop(1e-3, 0.02, 100_000, samples=20_000_000, evaluate_every=500_000),
        _loop(3e-4, 4e-3, 50_000, samples=5_000_000, evaluate_every=250_000),
        20_000,
        buffer=50_000,
    ),
}
"""By name: seconds for tests; an evening on two cores, with maps of half as many cells a side; the paper's numbers."""


def reproduce(
    out: str | Path,
    scale: Scale,
    seeds: Sequence[int] = SEEDS,
    rows: Sequence[str] = ROWS,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train and test all rows that are not done yet in the folder `out`, then write `wan2019.md`, `.png` and `.json` there.

    Raises:
        InputError: a row of no such name, or a folder that holds another scale's run.
    """
    if unknown := [row for row in rows if row not in ROWS]:
        raise InputError(f"rows: {unknown[0]!r} is none of {', '.join(ROWS)}")
    folder = writable_folder(out)
    settings = json.loads(json.dumps(asdict(scale)))
    kept = folder / "scale.json"
    if kept.exists() and read_json(kept) != settings:
        raise InputError(f"{folder}: holds a run of another scale; choose another folder")
    write_json(kept, settings)
    field = SynthConfig(size=scale.size, chunk=24, rig="ring3", domain="field", depth_sensor="domain", tiles=4, skins=2)
    say("drawing the frames that stand for recordings")
    recordings = draw_views(field, 900_001, scale.frames, scale.size, scale.workers)
    test = draw_views(field, 900_002, scale.test, scale.size, scale.workers)
    done: dict[str, list[dict[str, Any]]] = {}
    # The start first: all others go on from it.
    for row in sorted(rows, key=lambda row: (row != START, ROWS.index(row))):
        for seed in seeds if row in MAIN else seeds[:1]:
            result = folder / "rows" / f"{ROWS.index(row):02d}_{seed}.json"
            if not result.exists():
                say(f"{row}, seed {seed}")
                network = _train(row, seed, scale, folder, recordings, test)
                writable_folder(result.parent)
                write_json(result, _scores(row, seed, network, test))
            done.setdefault(row, []).append(read_json(result))
    report = {"rows": done, "scale": settings, "closed": closed(done)}
    write_json(folder / "wan2019.json", report)
    with write_whole(folder / "wan2019.md") as temporary:
        temporary.write_text(as_markdown(done))
    curves = {
        f"{row} ({_mean(done[row]):.1f} mm)": (THRESHOLDS, np.mean([run["frames_within"] for run in done[row]], 0))
        for row in ROWS
        if row in done
    }
    draw_curves(folder / "wan2019.png", curves, "largest joint error (mm)", "frames within (%)")
    return report


def _train(
    row: str, seed: int, scale: Scale, folder: Path, recordings: CubeViews, test: CubeViews
) -> SphereFittingEstimator:
    """The network of a row; the start is kept as a weights file beside the rows, for the others to go on from."""
    studio = SynthConfig(size=scale.size, domain="studio", depth_sensor="ideal", tiles=4, skins=2)
    model = SphereFittingConfig(size=scale.size, width=scale.width)
    begin = StartConfig(
        model,
        replace(scale.start, seed=seed),
        studio,
        row != NO_NOISE,
        scale.batch,
        seed=seed,
        workers=scale.workers,
        buffer=scale.buffer,
        prior_steps=scale.prior_steps,
    )
    run, started = folder / "runs" / f"{ROWS.index(row):02d}_{seed}", folder / f"start_{seed}.safetensors"
    if row in (START, NO_NOISE):
        network = start(begin, run, dict, resume=True)
        if row == START:
            save_weights(network, started, HandModel.open_hand())
        return network
    if not started.exists():
        raise InputError(f"{started}: is not there; the row {START!r} makes it")
    network = load(started, trainable=True)
    weights = FittingWeights()
    terms = ("model_to_data", "data_to_model", "multi_view", "vae", "bone_length", "collision")
    leave_out = {NO_VAE: ("vae",), NO_BONES: ("bone_length",), NO_COLLISION: ("collision",), LONGER: terms}
    weights = replace(weights, **dict.fromkeys(leave_out.get(row, ()), 0.0))
    network.config = replace(model, weights=weights)
    loop = replace(scale.fit, seed=seed)
    if row == SUPERVISED:
        return supervise(network, recordings, loop, scale.batch, run, {}, resume=True)
    half = len(recordings) // 2
    sources = {
        SINGLE: [recordings.single_views()],
        HALF: [recordings[:half]],
        MIXED: [recordings[:half], recordings[half:].single_views()[::3]],
        ON_TEST: [test],
    }.get(row, [recordings])
    # As many maps a step, whatever the views; where there are both kinds, so many frames of each
    frames = scale.fitted * (3 if row == SINGLE else 1)
    mixture = FitConfig(loop, frames, labelled=3 * scale.fitted)
    begin = replace(begin, workers=min(scale.workers, 1), reuse=4)
    return fit(network, sources, begin, mixture, run, {}, resume=True)


def _scores(row: str, seed: int, network: SphereFittingEstimator, test: CubeViews) -> dict[str, Any]:
    errors = joint_errors(network, test).numpy()  # (N, 21) mm
    worst = errors.max(1)
    return {
        "row": row,
        "seed": seed,
        "epe_3d_mm": float(errors.mean()),
        "epe_3d_median_mm": float(np.median(errors)),
        "tips_mm": float(errors[:, [4, 8, 12, 16, 20]].mean()),
        "frames_within": [float((worst <= t).mean()) for t in THRESHOLDS],
    }


def _mean(runs: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([run["epe_3d_mm"] for run in runs]))


def closed(done: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Share of the gap between start and supervised that fitting closes, by row, over the seeds that all three have."""
    seeds = {row: {run["seed"] for run in runs} for row, runs in done.items()}
    ends = seeds.get(START, set()) & seeds.get(SUPERVISED, set())
    shares = {}
    for row in done:
        if row not in (START, SUPERVISED, NO_NOISE) and (common := seeds[row] & ends):
            begin, reached, end = (
                _mean([run for run in done[name] if run["seed"] in common]) for name in (START, row, SUPERVISED)
            )
            shares[row] = (begin - reached) / (begin - end)
    return shares


def as_markdown(done: dict[str, list[dict[str, Any]]]) -> str:
    """Measured beside published."""
    printed = {figure.method: figure for figure in published("nyu", "mean_mm", "wan_2019")}
    shares = closed(done)
    lines = [
        "| row | joint error, mm (`field`) | seeds | frames within 20 / 40 mm | gap closed | published, mm (NYU) |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row not in done:
            continue
        runs = done[row]
        values = [run["epe_3d_mm"] for run in runs]
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        within = np.mean([[run["frames_within"][20], run["frames_within"][40]] for run in runs], 0)
        share = f"{100 * shares[row]:.0f} %" if row in shares else ""
        paper = f"{printed[row].value:.2f}" if row in printed else ""
        shown = f"{100 * within[0]:.0f} % / {100 * within[1]:.0f} %"
        lines.append(f"| {row} | {np.mean(values):.2f}{spread} | {len(values)} | {shown} | {share} | {paper} |")
    return "\n".join(lines) + "\n"
