"""The default estimator on one's own clips: `phalanx adapt video` learns from 2D keypoints and from how hands move, without 3D labels.

The terms stand in `adapt.video_method`, after TASSN (Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, 2020, chapter
4). Where no keypoints lie beside a clip, hands are followed and the estimator's own surest joints, steadied by flow, are its labels
(`adapt.video_clips`). Half of every step is synthesis with all labels, which keeps what the network knows. The last eighth of the frames is
held back and tells what came of it.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from phalanx.adapt.budget import Ticker
from phalanx.adapt.colour_model import model_and_folder, write_model
from phalanx.adapt.rehearsal import rehearsal
from phalanx.adapt.report import hold_back
from phalanx.adapt.video_clips import ARRAYS, ClipHands, VideoClips, nominal_pictures, read_clips
from phalanx.adapt.video_files import VideoFiles
from phalanx.adapt.video_method import FRAMES, ClipFeed, VideoMethod, VideoWeights
from phalanx.adapt.video_report import measure, picture, said, shown_rows, verdict
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.methods.compact import METHOD, load_trainable
from phalanx.nets.export import MOST_PICTURES
from phalanx.nets.weights import shipped_weights
from phalanx.predict.predictor import Predictor
from phalanx.train.card import NO_LICENCE, Source, begun_from, synthesis
from phalanx.train.checkpoint import check_no_run
from phalanx.train.compact import held_out, synthetic_feed
from phalanx.train.feed import MixedFeed
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Stage, check_config
from phalanx.view.samples import write_sheet

_SHOWN = 6  # frames in the picture


def _loop() -> LoopConfig:
    return LoopConfig(
        minutes=10.0,
        learning_rate=2e-4,
        kernel_rate=2e-3,
        warmup=200,
        average=600,
        evaluate_every=600,
        checkpoint_minutes=0.5,
    )


@dataclass
class VideoAdaptation:
    """How the default estimator is fitted to clips."""

    loop: LoopConfig = field(default_factory=_loop)
    """Budget, schedule, optimiser, device; the budget in minutes is for everything. Stretches count once, however many frames they have."""
    stretches: int = 4
    """Stretches of neighbouring frames in a step, two of a track."""
    synthetic: int = 24
    """Synthetic hands in a step; 0: none, so that the network forgets."""
    weights: VideoWeights = field(default_factory=VideoWeights)
    """Factors of the terms."""
    most: int = 1_200
    """Frames of hands that are taken; of more, stretches all over the clips."""
    buffer: int = 1_024
    """Synthetic hands made at a time,"""
    reuse: int = 4
    """and how often each is learnt from."""
    workers: int = 0
    """Processes that make them; 0: this one."""
    held_out: int = 128
    """Synthetic hands that tell what was forgotten."""


def adapt_video(
    files: VideoFiles,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    config: VideoAdaptation | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Fit the default estimator to clips and write it as the model `out`, an ONNX file for `Predictor`.

    Beside `mine.onnx` lie `mine.safetensors`, the weights for PyTorch and for going on, `mine.json`, their card, and a folder `mine/` with
    `adapted.json` (what was done, figures before and after), `adapted.png` (frames with labels, joints before and after) and `run/`,
    which a killed run goes on from.

    Args:
        files: clips and keypoints.
        out: the model; `.onnx` is added where the name does not end so.
        weights: to begin with (default: those in the package).
        config: how it is fitted (default: ten minutes).
        resume: go on with a run that was killed.
        say: is given lines about how it goes.
        complain: is given a sentence for everything that is passed over.
        progress: is given the seconds that are gone, and those of the budget, unless that is one in pictures.

    Returns:
        What `adapted.json` holds.

    Raises:
        InputError: the budget makes no sense or is gone once clips are read, there is no such device, files cannot be written, or see
            `read_clips` and `train.loop.train`.
    """
    config = config or VideoAdaptation()
    if (
        config.stretches < 2
        or config.stretches % 2
        or min(config.workers, config.synthetic, *asdict(config.weights).values()) < 0
    ):
        raise InputError(
            "adapt: needs an even number of stretches a step; workers, synthetic and weights must not be negative"
        )
    model_path, folder = model_and_folder(out)
    device = as_device(config.loop.device)
    tick = Ticker(config.loop, progress)
    begun = shipped_weights(METHOD) if weights is None else Path(weights)
    first = load_trainable(begun).eval().to(device)
    phases = [Phase(1.0, first.config.size, config.stretches + config.synthetic, config.reuse)]
    check_config(config.loop, phases)  # before the minutes that reading takes
    check_no_run(folder / "run", resume)
    start = begun_from(begun)
    clips = read_clips(
        files, first, partial(Predictor, None if weights is None else begun), config.most, complain, tick
    )
    for line in said(clips):
        say(line)
    learn, held = hold_back(len(clips.hands))
    learnt, judged = clips.hands[learn], clips.hands[held or learn]
    if not learnt.runs(FRAMES):
        raise InputError(
            f"{files.folder}: no clip shows a hand in {FRAMES} frames in a row, and how it moves cannot be learnt from fewer"
        )
    if not judged.runs(FRAMES):
        judged, held = learnt, []
    method = VideoMethod(copy.deepcopy(first), config.weights)
    synthetic = rehearsal(first.config, config.workers, config.buffer, config.held_out)
    kept_out = cache(partial(held_out, synthetic))
    before = measure(first, learnt, judged, kept_out())
    say(f"joints lie {before['judged_apart_mm']:.2f} mm from what the frames beside theirs say before")
    shown = judged[shown_rows(judged, _SHOWN)]
    write_sheet(folder / "adapted.png", picture(shown, first, first))

    def watch(present: nn.Module, size: int) -> dict[str, float]:
        assert isinstance(present, VideoMethod)
        write_sheet(folder / "adapted.png", picture(shown, first, present.estimator))
        few = judged[list(range(min(len(judged), 96)))]
        return measure(present.estimator, few, few, kept_out())

    loop = config.loop
    if math.isfinite(tick.seconds):
        loop = replace(loop, minutes=tick.left() / 60)

    def feed() -> MixedFeed:
        feeds: dict[str, Any] = {"clips": ClipFeed(learnt, loop.seed, tick)}
        counts = {"clips": config.stretches}
        if config.synthetic:
            feeds["synthetic"], counts["synthetic"] = synthetic_feed(synthetic), config.synthetic
        return MixedFeed(feeds, counts)

    names = ("stretches", "synthetic", "buffer", "reuse")
    settings = {name: getattr(config, name) for name in names} | {"weights": asdict(config.weights)}
    fixed = {"clips": _checksum(learnt), "start": start, **settings}
    about = {"adaptation": asdict(config)}
    stages = [Stage("adaptation", loop, phases, feed, watch)]
    average = train(method, stages, folder / "run", resume, say, None, fixed, about)
    assert isinstance(average, VideoMethod)
    after = measure(average.estimator, learnt, judged, kept_out())
    better, why = verdict(before, after, len(clips.hands), len(held), bool(judged.own.all()))
    figures = {
        **clips.counts,
        "skipped": clips.skipped,
        "camera": clips.camera,
        "labels": _labels(clips),
        "held_back": len(held),
        "before": before,
        "after": after,
        "steadier": better,
        "verdict": why,
        "minutes": tick.elapsed / 60,
    }
    data = [_source(Path(files.folder), clips), *([synthesis(synthetic.synth, "all")] if config.synthetic else [])]
    rows = np.unique(np.linspace(0, len(judged) - 1, min(len(judged), MOST_PICTURES // 2)).round().astype(int))
    own = nominal_pictures(judged[rows.tolist()], first.config.size)
    write_sheet(folder / "adapted.png", picture(shown, first, average.estimator))
    write_model(average.estimator, model_path, data, start, about, figures, own, kept_out())
    write_json(folder / "adapted.json", figures, indent=1)
    for line in why:
        say(line)
    say(
        f"-> {model_path}, {model_path.with_suffix('.safetensors').name}, {folder.name}/adapted.png, {folder.name}/adapted.json"
    )
    return figures


def _labels(clips: VideoClips) -> str:
    own = int(clips.hands.own.sum())
    given = len(clips.hands) - own
    named = [f"keypoints of {given} hands"] if given else []
    return " and ".join([*named, *([f"the estimator's own joints of {own} hands"] if own else [])])


def _checksum(hands: ClipHands) -> str:
    """Of what is learnt from, so that a run goes on with the same."""
    digest = hashlib.sha256("\n".join(hands.names).encode())
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(getattr(hands, name)).tobytes())
    return digest.hexdigest()


def _source(folder: Path, clips: VideoClips) -> Source:
    """The user's clips, for the card."""
    return {
        "kind": "a user's clips",
        "folder": folder.resolve().name,
        "clips": clips.counts["clips"],
        "frames": clips.counts["frames"],
        "licence": NO_LICENCE,
        "labels": _labels(clips),
    }
