"""The default estimator on one's own pictures: `phalanx adapt weak` learns from 2D joints and, where there is one, a depth map beside each.

The terms are those of Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018, put on
the network that users run: 2D joints; a *depth regularizer*, a decoder from joints to a depth map, which is trained first, on our own
synthesis, and then kept as it is, and whose map of the estimated joints is held against the measured one; and steps half of synthesis, so
that what the network knows already stays. Where a hand has 3D joints they are learnt, too.

Ours, where the paper has something else: the network and its losses on 2D joints (`methods.compact`); relative depths in crop units, so
that metres come from the depth at the root and the focal length (`adapt.weak_pictures`); and the root, which is the middle knuckle. Its
depth is that of the surface before it, in synthesis as in recordings, so that the decoder learns what lies between skin and joint.

Where there are depth frames of other hands, depth is drawn for the pictures that have none (`adapt.weak_drawn`, after DGGAN).
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from phalanx.adapt.budget import Ticker
from phalanx.adapt.colour_model import model_and_folder, write_model
from phalanx.adapt.rehearsal import rehearsal
from phalanx.adapt.report import hold_back
from phalanx.adapt.weak_depth import PairedHands, finish_depth, keep_depth
from phalanx.adapt.weak_drawn import (
    DrawnDepth,
    UnpairedDepth,
    UnpairedFeed,
    UnpairedFiles,
    kept_unpaired,
    read_unpaired,
)
from phalanx.adapt.weak_files import WeakFiles
from phalanx.adapt.weak_method import WeakFeed, WeakMethod, weak_batch
from phalanx.adapt.weak_pictures import (
    WeakHands,
    WeakPictures,
    errors_2d,
    nominal_crops,
    read_weak_pictures,
)
from phalanx.adapt.weak_report import drawn_term, measure, picture, said, spread, terms, verdict
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.mixture import Mixture
from phalanx.methods.base import Player
from phalanx.methods.compact import METHOD, CompactEstimator, load_trainable
from phalanx.nets.export import MOST_PICTURES
from phalanx.nets.weights import shipped_weights
from phalanx.synth import stream
from phalanx.train.card import NO_LICENCE, Source, begun_from, synthesis
from phalanx.train.checkpoint import CHECKPOINT, check_no_run
from phalanx.train.compact import CompactTraining, held_out, synthetic_feed
from phalanx.train.compact import figures as synthetic_figures
from phalanx.train.descent import decided
from phalanx.train.feed import BufferFeed, MixedFeed
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Stage, check_config
from phalanx.train.processes import single
from phalanx.view.samples import write_sheet

_SHOWN = 6  # hands in the picture
_WATCHED = 64  # hands, at most, that are measured during training
_UNPAIRED = "unpaired.npz"  # depth of other hands, as it was read: a run that is killed goes on with it


def _loop() -> LoopConfig:
    return LoopConfig(
        minutes=10.0,
        learning_rate=3e-4,
        kernel_rate=4e-3,
        warmup=500,
        average=2_000,
        evaluate_every=2_000,
        checkpoint_minutes=0.5,
    )


@dataclass
class WeakAdaptation:
    """How the default estimator is fitted to weakly labelled pictures."""

    loop: LoopConfig = field(default_factory=_loop)
    """Budget, schedule, optimiser, device; the budget in minutes is for everything."""
    hands: int = 24
    """The user's hands in a step."""
    synthetic: int = 24
    """Synthetic hands in a step; 0: none, so that the network forgets."""
    depth_weight: float = 1.0
    """Factor of the depth regularizer's term, the mean difference of maps in 0 to 1; 0 leaves it out. Small, because the way down this
    difference does not lead to better depths where they are nearly right (`benchmarks/weak_photos.py --signal`)."""
    drawn_weight: float = 1.0
    """Factor of the same term of depth that is drawn for hands without; 0 leaves it out, and no unpaired depth is read."""
    unpaired_share: float = 0.15
    """Of the time, that reading unpaired depth may take."""
    regularizer_share: float = 0.2
    """Of the time left after reading, that the depth regularizer and what draws depth are trained for,"""
    regularizer_minutes: float = 2.0
    """at most these minutes; not at all where no hand has depth and none is drawn."""
    regularizer_samples: int = 40_000
    """Maps that it is trained on if the budget is in pictures."""
    regularizer_batch: int = 64
    """Synthetic depth maps in its steps."""
    buffer: int = 1_024
    """Synthetic hands made at a time,"""
    reuse: int = 4
    """and how often each is learnt from."""
    workers: int = 0
    """Processes that make them; 0: this one."""
    held_out: int = 128
    """Synthetic hands that tell what was forgotten."""


def adapt_weak(
    files: WeakFiles,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    config: WeakAdaptation | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    unpaired: UnpairedFiles | None = None,
) -> dict[str, Any]:
    """Fit the default estimator to weakly labelled pictures and write it as the model `out`, an ONNX file for `Predictor`.

    Beside `mine.onnx` lie `mine.safetensors`, the weights for PyTorch and for going on, `mine.json`, their card, and a folder `mine/` with
    `adapted.json` (what was done, figures before and after), `adapted.png` (hands with their labels, and the joints before and after) and
    `run/`, which a killed run goes on from.

    Args:
        files: pictures and labels.
        out: the model; `.onnx` is added where the name does not end so.
        weights: to begin with (default: those in the package).
        config: how it is fitted (default: ten minutes).
        resume: go on with a run that was killed.
        say: is given lines about how it goes.
        complain: is given a sentence for everything that is passed over.
        progress: is given the seconds that are gone, and those of the budget, unless that is one in pictures.
        unpaired: depth frames of other hands, against which depth that is drawn for pictures without is judged.

    Returns:
        What `adapted.json` holds.

    Raises:
        InputError: the budget makes no sense or is gone once pictures are read, there is no such device, files cannot be written, or see
            `read_weak_pictures`, `read_unpaired` and `train.loop.train`.
    """
    config = config or WeakAdaptation()
    if config.hands < 2 or min(config.workers, config.synthetic, config.depth_weight, config.drawn_weight) < 0:
        raise InputError("adapt: needs at least two hands a step; workers, synthetic and weights must not be negative")
    model_path, folder = model_and_folder(out)
    device = as_device(config.loop.device)
    tick = Ticker(config.loop, progress)
    begun = shipped_weights(METHOD) if weights is None else Path(weights)
    first = load_trainable(begun).eval().to(device)
    check_config(config.loop, _phases(config, first))  # before the minutes that reading takes
    check_no_run(folder / "run", resume)
    start = begun_from(begun)
    pictures = read_weak_pictures(files, first, complain, tick)
    for line in said(pictures):
        say(line)
    learn, held = _held_back(pictures.hands.names)
    learnt, judged = pictures.hands[learn], pictures.hands[held or learn]
    deep = bool(learnt.with_depth.any()) and config.depth_weight > 0
    others = None
    if unpaired is not None and config.drawn_weight > 0 and not learnt.with_depth.all():
        going_on = resume and (folder / "run" / CHECKPOINT).exists() and (folder / _UNPAIRED).exists()
        others = kept_unpaired(folder / _UNPAIRED, unpaired) if going_on else None
        if others is None:
            others = read_unpaired(unpaired, config.unpaired_share * tick.seconds, complain, tick)
            others.keep(folder / _UNPAIRED, unpaired)
        say(f"{len(others)} depth frames of other hands; {len(others.skipped)} passed over")
    elif unpaired is not None:
        say(f"depth that is drawn is {drawn_term(learnt, True, None)}")
    torch.manual_seed(config.loop.seed)  # of the weights of what judges depths
    drawn = None if others is None else DrawnDepth()
    method = WeakMethod(copy.deepcopy(first), config.depth_weight if deep else 0.0, drawn, config.drawn_weight)
    shown = spread(judged, _SHOWN)
    synthetic = rehearsal(first.config, config.workers, config.buffer, config.held_out)
    kept_out = cache(partial(held_out, synthetic))
    before = measure(first, learnt, judged, kept_out())
    say(f"labelled joints are {before['judged_2d_px_of_256']:.1f} 256ths of a crop off before")
    write_sheet(folder / "adapted.png", picture(shown, first, first))

    def watch(present: nn.Module, size: int) -> dict[str, float]:
        assert isinstance(present, WeakMethod)
        write_sheet(folder / "adapted.png", picture(shown, first, present.estimator))
        few = spread(judged, _WATCHED)
        figures = {"2d_px_of_256": float(errors_2d(few, present.estimator).mean())}
        return figures | {
            f"synthetic_{name}": value for name, value in synthetic_figures(present.estimator, kept_out()).items()
        }

    stages = _stages(config, method, learnt, others, synthetic, tick, watch)
    if (
        len(stages) > 1 and not (folder / "run" / CHECKPOINT).exists()
    ):  # or the regularizer's stage would decide for the estimator
        stages = _with_precision(stages, method, learnt, others)
    names = ("hands", "synthetic", "depth_weight", "drawn_weight", "buffer", "reuse")
    settings = {name: getattr(config, name) for name in names}
    judging = None if others is None else others.checksum()
    fixed = {"pictures": _checksum(learnt), "unpaired": judging, "start": start, "depth": deep, **settings}
    average = train(method, stages, folder / "run", resume, say, None, fixed, {"adaptation": asdict(config)})
    assert isinstance(average, WeakMethod)
    after = measure(average.estimator, learnt, judged, kept_out())
    lowered, why = verdict(before, after, len(pictures.hands), len(held))
    figures = {
        **pictures.counts,
        "depth_left_out": pictures.left_out,
        "sources": pictures.sources,
        "skipped": pictures.skipped + ([] if others is None else others.skipped),
        "held_back": len(held),
        "terms": terms(pictures, deep, config.depth_weight, config.synthetic, config.hands)
        | {"drawn depth": drawn_term(learnt, unpaired is not None, None if others is None else len(others))},
        "before": before,
        "after": after,
        "lowered": lowered,
        "verdict": why,
        "minutes": tick.elapsed / 60,
    }
    data = [_source(Path(files.folder), pictures), *([synthesis(synthetic.synth, "all")] if config.synthetic else [])]
    own = nominal_crops(spread(judged, MOST_PICTURES // 2), first.config.size).image
    assert own is not None
    write_model(average.estimator, model_path, data, start, {"adaptation": asdict(config)}, figures, own, kept_out())
    write_sheet(folder / "adapted.png", picture(shown, first, average.estimator))
    write_json(folder / "adapted.json", figures, indent=1)
    for line in why:
        say(line)
    say(
        f"-> {model_path}, {model_path.with_suffix('.safetensors').name}, {folder.name}/adapted.png, {folder.name}/adapted.json"
    )
    return figures


def _held_back(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Numbers of the hands to learn from, and of those held back, by the names of their pictures, sorted: no picture has both."""
    learn, held = hold_back(len(names))
    while held and names[held[0]] == names[learn[-1]]:
        learn.append(held.pop(0))
    return learn, held


def _phases(config: WeakAdaptation, estimator: CompactEstimator, unpaired: int = 0) -> list[Phase]:
    return [Phase(1.0, estimator.config.size, config.hands + config.synthetic + unpaired, config.reuse)]


def _stages(
    config: WeakAdaptation,
    method: WeakMethod,
    learnt: WeakHands,
    others: UnpairedDepth | None,
    synthetic: CompactTraining,
    tick: Ticker,
    watch: Callable[[nn.Module, int], dict[str, float]],
) -> list[Stage]:
    """The stage of what judges depths, where anything does, and the estimator's."""
    judged = bool(method.start())
    loop, own = config.loop, replace(config.loop, warmup=0, average=1_000, evaluate_every=1 << 62)
    own = own if own.samples is None else replace(own, samples=config.regularizer_samples)
    if math.isfinite(tick.seconds):
        left = tick.left() / 60
        own = replace(own, minutes=min(config.regularizer_share * left, config.regularizer_minutes))
        loop = replace(loop, minutes=left - (own.minutes or 0.0 if judged else 0.0))
    sensed = replace(synthetic.synth, depth_sensor="domain")
    chunks = max(1, math.ceil(config.buffer / sensed.chunk))

    def weak_feed() -> MixedFeed:
        feeds: dict[str, Any] = {"weak": WeakFeed(learnt, loop.seed, tick)}
        counts = {"weak": config.hands}
        if config.synthetic:
            feeds["synthetic"], counts["synthetic"] = synthetic_feed(synthetic), config.synthetic
        if others is not None:
            feeds["unpaired"], counts["unpaired"] = UnpairedFeed(others, loop.seed), config.hands
        return MixedFeed(feeds, counts)

    def depth_feed() -> BufferFeed[PairedHands]:
        open_stream = partial(stream, sensed, synthetic.seed, config.workers)
        return BufferFeed(open_stream, chunks, synthetic.seed, keep_depth, partial(finish_depth, tick))

    def start(method: nn.Module) -> tuple[Player, ...]:
        assert isinstance(method, WeakMethod)
        return method.start()

    def adaptation(method: nn.Module) -> tuple[Player, ...]:
        assert isinstance(method, WeakMethod)
        return method.adaptation()

    first = method.estimator
    phases = [Phase(1.0, first.config.size, config.regularizer_batch, 8 * config.reuse)]
    both = _phases(config, first, 0 if others is None else config.hands)
    stages = [Stage("adaptation", loop, both, weak_feed, watch, adaptation)]
    if judged:
        stages.insert(0, Stage("regularizer", own, phases, depth_feed, lambda method, size: {}, start))
    return stages


def _with_precision(
    stages: Sequence[Stage], method: WeakMethod, learnt: WeakHands, others: UnpairedDepth | None
) -> list[Stage]:
    """The stages in the precision that is faster for the last of them."""
    last, few = stages[-1], min(8, len(learnt))
    size = last.phases[0].size
    parts: dict[str, Any] = {"weak": weak_batch(learnt[list(range(few))], size)}
    if others is not None:
        parts["unpaired"] = UnpairedFeed(others, last.config.seed).next(few, size, 1)
    batch = Mixture(parts)
    fabric = single(last.config.device)
    made = decided(last.config, method.to(fabric.device), last.players, batch, fabric)
    return [
        replace(stage, config=replace(stage.config, precision=made.precision, kernel_precision=made.kernel_precision))
        for stage in stages
    ]


def _checksum(hands: WeakHands) -> str:
    """Of what is learnt from, so that a run goes on with the same."""
    digest = hashlib.sha256("\n".join(hands.names).encode())
    for values in (hands.tiles, hands.joints, hands.relative, hands.depth):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _source(folder: Path, pictures: WeakPictures) -> Source:
    """The user's pictures, for the card."""
    counts = pictures.counts
    labels: Sequence[str] = [
        f"{what} of {count} hands"
        for what, count in (
            ("2D joints", counts["hands"]),
            ("depth", counts["hands with depth"]),
            ("3D joints", counts["hands with 3D joints"]),
        )
        if count
    ]
    return {
        "kind": "a user's pictures",
        "folder": folder.resolve().name,
        "pictures": counts["pictures with joints"],
        "licence": NO_LICENCE,
        "labels": ", ".join(labels),
    }
