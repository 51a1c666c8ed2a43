"""A network for one's own depth camera: `phalanx adapt depth` fits the sphere network to recordings without labels."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phalanx.adapt.recordings import RecordingFiles, read_recording
from phalanx.adapt.report import Judge
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.cube_views import CubeViews
from phalanx.data.depth_cameras import DEPTH_CAMERAS
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import SIDES, Side
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import METHOD, SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.nets.weights import shipped_weights
from phalanx.predict.depth_search import spread
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train.card import begun_from, recordings, synthesis, write_card
from phalanx.train.checkpoint import CHECKPOINT, check_no_run
from phalanx.train.cubes import draw_views
from phalanx.train.curve import CURVE
from phalanx.train.plan import HELD_OUT_SEED, LoopConfig, Phase, check_config
from phalanx.train.recordings import MixtureConfig
from phalanx.train.sphere_fitting import (
    WEIGHTS,
    SphereFittingTraining,
    estimate_joints,
    joint_errors,
    train_on_recordings,
)
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

_SHOWN = 6  # frames in the picture
_READING = 0.25  # share of the minutes that frames may take to read
_FIRST = 0.1  # share of what is left after it that making the first batch may take
_SHORT = 60.0  # seconds below which no process is started: that takes as long as many batches
_MEASURED = 64  # labelled synthetic frames on which joints are measured before and after
_FRAMES = "frames.json"  # which frames the run is of


def _loop() -> LoopConfig:
    return LoopConfig(minutes=10.0, learning_rate=3e-4, kernel_rate=4e-3, average=4_000, evaluate_every=1_000)


@dataclass
class Adaptation:
    """How a network is fitted to recordings."""

    loop: LoopConfig = field(default_factory=_loop)
    """Budget, schedule, optimiser, device."""
    maps: int = 24
    """Recorded maps a step; all views of a frame count."""
    labelled: int = 24
    """Synthetic maps a step, mixed in; 0: none. With far fewer, single views lead a network astray."""
    workers: int = 1
    """Processes that make them."""
    buffer: int = 2_000
    """Of them, made at a time."""


def adapt_depth(
    files: RecordingFiles,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    config: Adaptation | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Fit a network to recordings and write it, pictures and figures into the folder `out`.

    `sphere_fitting.safetensors` are the weights for `DepthPredictor`, with their card beside them; `adapted.json` says what was done (fit
    errors before and after in mm, frames, what was passed over) and whether that lowered the error on frames held back, and if not, why
    (`adapt.report`); `adapted.png` shows frames with the joints before and after. The budget in minutes is for everything.

    Args:
        files: the recordings.
        weights: to begin with (default: those in the package).
        config: how it is fitted (default: ten minutes).
        resume: go on with a run that was killed.
        say: is given lines about how it goes.
        complain: is given a sentence for every frame that is passed over.
        progress: is given how many frames are read, and how many there are.

    Returns:
        What `adapted.json` holds.

    Raises:
        InputError: the budget makes no sense or, once frames are read, turns out too small for a step, there is no such device, or see
            `read_recording` and `train.loop.train`.
    """
    config = config or Adaptation()
    if config.workers < 0:
        raise InputError(f"workers: must not be negative, not {config.workers}")
    target, device = writable_folder(out), as_device(config.loop.device)
    clock = _Clock(None if config.loop.samples is not None else config.loop.minutes)
    begun = shipped_weights(METHOD) if weights is None else Path(weights)
    first = load(begun, trainable=True).eval().to(device)
    check_config(config.loop, [Phase(1.0, first.config.size, config.maps)])  # before the minutes that reading takes
    start = begun_from(begun)  # before it may be written over
    finder = load_finder().to(device)
    check_no_run(target / "run", resume)  # before its list of frames is written over
    only = _frames_of_run(target / _FRAMES) if resume and (target / _FRAMES).is_file() else None
    seconds = _READING * clock.seconds if only is None else math.inf
    names = None
    if only is not None:
        files, names = replace(files, side=only.side), only.names
    recording = read_recording(files, first, finder, complain, progress, seconds, names)
    maps = recording.views.maps.flatten(0, 1)
    frames, views = recording.views.maps.shape[:2]
    unread = f", {recording.unread} not read for want of time" if recording.unread else ""
    say(f"{frames} frames of {views} views, {recording.side} hands, {len(recording.skipped)} passed over{unread}")
    judge = Judge(recording)
    begin = time.monotonic()
    before = judge.measure(first)
    say(f"spheres and depth differ by {before['learnt']['fit_error_mm']:.1f} mm before")
    write_sheet(target / "adapted.png", _picture(maps, first, first))
    closing = 2 * (time.monotonic() - begin)  # the same comes twice: when training ends, and then
    synthetic, labelled, first_batch = None, None, 0.0
    if config.labelled:
        synthetic, labelled, first_batch = _synthetic(first.config, files.camera, config, clock.left - closing)
    if not (target / "run" / CHECKPOINT).exists():  # what is left of a run that goes on is its own affair
        clock.check(first_batch, closing)
    # A run that is killed goes on with these.
    write_json(target / _FRAMES, {"side": recording.side, "frames": recording.read})
    loop = config.loop
    if math.isfinite(clock.seconds):
        loop = replace(loop, minutes=max(clock.left - closing, 1.0) / 60)
    mixture = MixtureConfig(loop, max(2, config.maps // views), config.labelled)

    def watch(present: SphereFittingEstimator) -> dict[str, float]:
        write_sheet(target / "adapted.png", _picture(maps, first, present))
        return {"fit_error_mm": judge.fit_error(present)}

    adapted = train_on_recordings(
        copy.deepcopy(first),
        [judge.learnt],
        synthetic,
        mixture,
        target / "run",
        resume=resume,
        watch=watch,
        report=say,
    )
    after = judge.measure(adapted.eval())
    say(f"spheres and depth differ by {after['learnt']['fit_error_mm']:.1f} mm after")
    joints = [] if labelled is None else [float(joint_errors(network, labelled).mean()) for network in (first, adapted)]
    seen = _maps_seen(target / "run")
    lowered, why = judge.verdict(before, after, joints, seen)
    figures = {
        "frames": frames,
        "views": views,
        "skipped": recording.skipped,
        "fit_error_before_mm": before["learnt"]["fit_error_mm"],
        "fit_error_after_mm": after["learnt"]["fit_error_mm"],
        "lowered": lowered,
        "verdict": why,
        "held_back": {"frames": judge.held, "before": before["judged"], "after": after["judged"]},
        "synthetic_joints_mm": joints,
        "maps_trained_on": seen,
        "minutes": clock.elapsed / 60,
        "camera": files.camera,
        "side": recording.side,
        "unsure_of_side": recording.unsure,
        "unread": recording.unread,
    }
    save_weights(adapted, target / WEIGHTS, HandModel.open_hand())
    data = [recordings(Path(files.folder), frames, views)]
    data += [] if synthetic is None else [synthesis(synthetic.synth, "joints")]
    settings = {"adaptation": asdict(config), "synthetic": synthetic and asdict(synthetic), "scores": figures}
    write_card((target / WEIGHTS).with_suffix(".json"), data, start, settings, target / "run")
    write_sheet(target / "adapted.png", _picture(maps, first, adapted))
    write_json(target / "adapted.json", figures, indent=1)
    for line in why:
        say(line)
    say(f"-> {target / WEIGHTS}, adapted.png, adapted.json")
    return figures


class _Clock:
    """The time that everything may take together, and what of it is gone."""

    def __init__(self, minutes: float | None) -> None:
        self.seconds = math.inf if minutes is None else 60 * minutes
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - self.elapsed

    def check(self, first_batch: float, closing: float) -> None:
        """Raise InputError if there is no time for a step, with a first batch before and measurements behind it."""
        needed = first_batch + closing
        if self.left < needed:
            enough = math.ceil(10 * 2 * (self.elapsed + needed) / 60) / 10
            raise InputError(
                f"minutes: {self.seconds / 60:g} are too few to train a step: loading and reading took {self.elapsed:.0f} s, the "
                f"first batch and measuring take about {needed:.0f} s more on this machine; give {enough:g} or more"
            )


@dataclass(frozen=True)
class _RunFrames:
    names: list[str]
    side: Side


def _frames_of_run(path: Path) -> _RunFrames:
    """Which frames a run that was killed is of, and which side they show."""
    kept = read_json(path)
    if not isinstance(kept, dict) or not isinstance(kept.get("frames"), list) or kept.get("side") not in SIDES:
        raise InputError(
            f"{path}: is damaged or of an earlier version, so that its run cannot go on; begin in another folder"
        )
    return _RunFrames(kept["frames"], kept["side"])


def _maps_seen(run: Path) -> int:
    """How many maps a run has trained on, as the last row of its curve has it."""
    with (run / CURVE).open(newline="") as file:
        return int(float([row["seen"] for row in csv.DictReader(file)][-1]))


def _synthetic(
    network: SphereFittingConfig, camera: str, config: Adaptation, left: float
) -> tuple[SphereFittingTraining, CubeViews, float]:
    """The labelled frames that are mixed in, some to measure joints on, and about how many seconds the first batch takes.

    They are as the camera senses if it is known, else as one of several does. Of short budgets, `left` seconds, little may go into making
    the first of them: the buffer is smaller then, and no process is started.
    """
    known = DEPTH_CAMERAS.get(camera)
    sensor = "domain" if known is None else known.like or known.name
    synth = SynthConfig(size=network.size, depth_sensor=sensor, tiles=4, skins=2)
    training = SphereFittingTraining(network, synth=synth, turn=180.0, workers=config.workers, buffer=config.buffer)
    measured = draw_views(
        synth, training.seed + HELD_OUT_SEED, _MEASURED, network.size
    )  # prepares what chunks are made of, too
    started = time.monotonic()
    make_chunk(synth, training.seed, 0)
    chunk = time.monotonic() - started
    workers = config.workers if left > _SHORT else 0
    chunks = config.buffer / synth.pictures
    if math.isfinite(left):
        least = -(-config.labelled // synth.pictures)
        chunks = max(least, min(chunks, max(1, workers) * _FIRST * left / chunk))
    buffer = math.ceil(chunks) * synth.pictures
    return replace(training, workers=workers, buffer=buffer), measured, chunk * math.ceil(chunks) / max(1, workers)


def _picture(maps: Tensor, before: SphereFittingEstimator, after: SphereFittingEstimator) -> np.ndarray:
    """Frames, and below each its joints before and after."""
    chosen = torch.stack(spread(list(maps), _SHOWN)).float()
    shown = [depth_picture(torch.where(depth < EXTENT / 2, depth + 1.0, 0.0).numpy()) for depth in chosen]
    nothing = np.zeros((21, 2))
    tiles = [draw_joints(tile, nothing, 2, np.zeros(21, dtype=bool)) for tile in shown]
    for network in (before, after):
        joints = estimate_joints(network, chosen)
        pixels = ((joints[..., :2] / EXTENT + 0.5) * chosen.shape[-1] - 0.5).numpy()
        tiles += [draw_joints(tile, pose, 2) for tile, pose in zip(shown, pixels, strict=True)]
    return sheet(tiles, len(chosen))
