"""Training the default estimator on the project's own synthesis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.core.json_values import Json
from phalanx.data.sample import Sample, concatenate
from phalanx.geometry.rotations import rotmat_angle
from phalanx.hand.model import HandModel
from phalanx.methods.compact import METHOD, CompactConfig, CompactEstimator, export, save_weights, targets
from phalanx.nets.export import Stored
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import panoramas, photographs, synthesis, things
from phalanx.train.feed import BufferFeed, JoinedFeed, MixedFeed, finish_pictures, pack, resize
from phalanx.train.plan import APART_SEEDS, HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say, starting_weights
from phalanx.train.run import run as carry_out


def default_phases() -> list[Phase]:
    """Small pictures first: they teach most for their price; the last 45 % of the time is at full size."""
    return [Phase(0.25, 64, 96, 3), Phase(0.55, 96, 96, 3), Phase(1.0, 128, 64, 2)]


@dataclass
class CompactTraining:
    """A training run of the default estimator."""

    model: CompactConfig = field(default_factory=CompactConfig)
    """The network and its losses."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Budget, schedule, optimiser."""
    synth: SynthConfig = field(default_factory=SynthConfig)
    """The pictures."""
    phases: list[Phase] = field(default_factory=default_phases)
    """Picture sizes over the run."""
    seed: int = 1
    """Of the stream of pictures."""
    workers: int = 2
    """Processes that generate."""
    buffer: int = 12_000
    """Pictures generated at a time."""
    held_out: int = 512
    """Pictures of another stream to evaluate on."""
    photographs_licence: str = ""
    """Licence of the photographs in `synth.backgrounds`, for the card."""
    panoramas_licence: str = ""
    """Licence of the panoramas in `synth.panoramas`, for the card."""
    things_licence: str = ""
    """Licence of the models in `synth.things`, for the card."""
    stored: Stored = "float16"
    """How the model for prediction (compact.onnx) keeps its weights: float32, float16, or int8, calibrated on held-out pictures."""
    start_from: Path | None = None
    """Weights (or the checkpoint) of a smaller or equal network to begin with."""
    scenes: dict[str, int] = field(default_factory=dict)
    """Pictures of each scene in a step, whatever the batches of `phases`; none: those of `synth` alone."""


def prepare(config: CompactTraining) -> Prepared:
    """A run of `phalanx train compact`. Raises InputError if its settings or the weights to begin with are at fault."""
    if config.workers < 1 or config.buffer < config.synth.chunk:
        raise InputError("train: needs at least one worker, and a buffer of at least one chunk")
    phases = config.phases
    if config.scenes:
        phases = [replace(phase, batch=sum(config.scenes.values())) for phase in phases]
    check_config(config.loop, phases, config.seed)  # before the minutes that pictures take
    torch.manual_seed(config.loop.seed)
    model = CompactEstimator(config.model)
    if config.start_from is not None:
        model.start_from(starting_weights(config.start_from))
    settings = asdict(config)
    pictures = cache(partial(held_out, config))
    return Prepared(
        model,
        [
            Stage(
                "synthesis",
                config.loop,
                phases,
                partial(synthetic_feed, config),
                lambda network, size: figures(network, resize(pictures(), size)),
            )
        ],
        fixed={name: settings[name] for name in ("model", "synth", "scenes", "seed", "buffer")},
        data=[
            *(synthesis(synth, "all") for synth in _syntheses(config).values()),
            *photographs(config.synth, config.photographs_licence),
            *panoramas(config.synth, config.panoramas_licence),
            *things(config.synth, config.things_licence),
        ],
        start=config.start_from,
        weights=f"{METHOD}.safetensors",
        save=_save,
        export=partial(_export, config, pictures),
    )


def run(config: CompactTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out` and export its weights; returns the weights file.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def synthetic_feed(config: CompactTraining) -> Feed:
    """Endless pictures as `config` has them."""
    feeds: dict[str, Feed] = {}
    for number, (scene, synth) in enumerate(_syntheses(config).items()):
        share = config.scenes[scene] / sum(config.scenes.values()) if config.scenes else 1.0
        chunks = max(1, math.ceil(share * config.buffer / synth.chunk))
        open_stream = partial(stream, synth, config.seed + APART_SEEDS * number, config.workers)
        feeds[scene] = BufferFeed(open_stream, chunks, config.seed, pack, finish_pictures)
    if not config.scenes:
        return next(iter(feeds.values()))
    return JoinedFeed(MixedFeed(feeds, config.scenes), concatenate)


def _syntheses(config: CompactTraining) -> dict[str, SynthConfig]:
    """What each scene is made with."""
    if not config.scenes:
        return {config.synth.scene: config.synth}
    return {scene: replace(config.synth, scene=scene) for scene in config.scenes}


def held_out(config: CompactTraining) -> Sample:
    """The pictures that a run is evaluated on: of its synthesis, but of another stream; of several scenes as many each."""
    parts: list[Sample] = []
    syntheses = _syntheses(config)
    for synth in syntheses.values():
        with closing(stream(synth, config.seed + HELD_OUT_SEED, config.workers, 0)) as source:
            count = max(1, config.held_out // (len(syntheses) * synth.chunk))
            parts += [_without_surface(next(source)) for _ in range(count)]
    return concatenate(parts)


def _without_surface(sample: Sample) -> Sample:
    sample.vertices = sample.depth = sample.sensed_depth = sample.parts = sample.ids = None
    return sample


@torch.no_grad()
def figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out errors: 2D and depth in 256ths of the crop, angle of the orientation and joint rotations in degrees.

    Computed where the network is, in single precision.
    """
    sums: dict[str, float] = {}
    device = next(network.parameters()).device
    total = 0
    for start in range(0, len(sample), 64):
        part = sample[start : start + 64].to(device)
        assert part.image is not None
        images = part.image.contiguous(memory_format=torch.channels_last)
        got = network(images)
        want = targets(part)
        assert want.joints_2d is not None and want.inside is not None and want.depth is not None
        inside = want.inside / want.inside.sum(1, keepdim=True).clamp_min(1)
        values = {
            "2d_px_of_256": 256 * ((got.joints_2d - want.joints_2d).norm(dim=-1) * inside).sum(1),
            "depth_px_of_256": 256 * ((got.depth - want.depth).abs() * inside).sum(1),
        }
        if want.orientation is not None:
            values["orientation_deg"] = rotmat_angle(got.orientation, want.orientation).rad2deg()
        if want.rotations is not None:
            values["rotations_deg"] = rotmat_angle(got.rotations[:, 1:], want.rotations[:, 1:]).rad2deg().mean(1)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.sum())
        total += len(part)
    return {name: value / total for name, value in sums.items()}


def _save(network: nn.Module, path: Path) -> None:
    assert isinstance(network, CompactEstimator)
    save_weights(network, path, HandModel.open_hand())


def _export(
    config: CompactTraining, pictures: Callable[[], Sample], network: nn.Module, path: Path, card: Mapping[str, Json]
) -> None:
    assert isinstance(network, CompactEstimator)
    shown = resize(pictures(), network.config.size).image if config.stored == "int8" else None
    export(network, path, HandModel.open_hand(), config.stored, shown, card)
