"""A network for one's own depth camera: `phalanx adapt depth` fits the sphere network to recordings without labels."""

from __future__ import annotations

import copy
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

from phalanx.adapt.recordings import RecordingFiles, fit_errors, read_recording
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.depth_cameras import DEPTH_CAMERAS
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import METHOD, SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.nets.weights import shipped_weights
from phalanx.predict.depth_search import spread
from phalanx.synth import SynthConfig
from phalanx.train.card import begun_from, recordings, synthesis, write_card
from phalanx.train.checkpoint import check_no_run
from phalanx.train.plan import LoopConfig, Phase, check_config
from phalanx.train.recordings import MixtureConfig
from phalanx.train.sphere_fitting import WEIGHTS, SphereFittingTraining, estimate_joints, train_on_recordings
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

_SHOWN = 6  # frames in the picture
_WATCHED = 256  # maps whose errors are reported
_READING = 0.25  # share of the minutes that frames may take to read
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
    errors before and after in mm, frames, what was passed over); `adapted.png` shows frames with the joints before and after.

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
        InputError: the budget makes no sense, there is no such device, or see `read_recording` and `train.loop.train`.
    """
    config = config or Adaptation()
    if config.workers < 0:
        raise InputError(f"workers: must not be negative, not {config.workers}")
    target, device = writable_folder(out), as_device(config.loop.device)
    started = time.monotonic()
    begun = shipped_weights(METHOD) if weights is None else Path(weights)
    first = load(begun, trainable=True).eval().to(device)
    check_config(config.loop, [Phase(1.0, first.config.size, config.maps)])  # before the minutes that reading takes
    start = begun_from(begun)  # before it may be written over
    finder = load_finder().to(device)
    check_no_run(target / "run", resume)  # before its list of frames is written over
    only = read_json(target / _FRAMES) if resume and (target / _FRAMES).is_file() else None
    minutes = math.inf if config.loop.minutes is None or only is not None else config.loop.minutes
    recording = read_recording(files, first, finder, complain, progress, 60 * _READING * minutes, only)
    write_json(target / _FRAMES, recording.read)  # a run that is killed goes on with these
    maps = recording.views.maps.flatten(0, 1)
    frames, views = recording.views.maps.shape[:2]
    unread = f", {recording.unread} not read for want of time" if recording.unread else ""
    say(f"{frames} frames of {views} views, {recording.side} hands, {len(recording.skipped)} passed over{unread}")
    watched = torch.stack(spread(list(maps), _WATCHED))
    before = float(fit_errors(first, watched).mean())
    say(f"spheres and depth differ by {before:.1f} mm before")
    synthetic = _synthetic(first.config, files.camera, config) if config.labelled else None
    loop = config.loop
    if loop.minutes is not None:
        loop = replace(loop, minutes=max(loop.minutes - (time.monotonic() - started) / 60, 0.5 * loop.minutes))
    mixture = MixtureConfig(loop, max(2, config.maps // views), config.labelled)

    def watch(present: SphereFittingEstimator) -> dict[str, float]:
        write_sheet(target / "adapted.png", _picture(maps, first, present))
        return {"fit_error_mm": float(fit_errors(present, watched).mean())}

    adapted = train_on_recordings(
        copy.deepcopy(first),
        [recording.views],
        synthetic,
        mixture,
        target / "run",
        resume=resume,
        watch=watch,
        report=say,
    )
    after = float(fit_errors(adapted.eval(), watched).mean())
    say(f"spheres and depth differ by {after:.1f} mm after")
    figures = {
        "frames": frames,
        "views": views,
        "skipped": recording.skipped,
        "fit_error_before_mm": before,
        "fit_error_after_mm": after,
        "minutes": (time.monotonic() - started) / 60,
        "camera": files.camera,
        "side": recording.side,
        "unread": recording.unread,
    }
    save_weights(adapted, target / WEIGHTS, HandModel.open_hand())
    data = [recordings(Path(files.folder), frames, views)]
    data += [] if synthetic is None else [synthesis(synthetic.synth, "joints")]
    settings = {"adaptation": asdict(config), "synthetic": synthetic and asdict(synthetic), "scores": figures}
    write_card((target / WEIGHTS).with_suffix(".json"), data, start, settings, target / "run")
    write_sheet(target / "adapted.png", _picture(maps, first, adapted))
    write_json(target / "adapted.json", figures, indent=1)
    say(f"-> {target / WEIGHTS}, adapted.png, adapted.json")
    return figures


def _synthetic(network: SphereFittingConfig, camera: str, config: Adaptation) -> SphereFittingTraining:
    """The labelled frames that are mixed in: as the camera senses if it is known, else as one of several does."""
    known = DEPTH_CAMERAS.get(camera)
    sensor = "domain" if known is None else known.like or known.name
    synth = SynthConfig(size=network.size, depth_sensor=sensor, tiles=4, skins=2)
    return SphereFittingTraining(network, synth=synth, turn=180.0, workers=config.workers, buffer=config.buffer)


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
