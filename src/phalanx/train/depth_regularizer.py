"""Training `methods.depth_regularizer` in three stages: the estimator, the regularizer, and all of it with weak or full supervision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.hand.model import HandModel
from phalanx.losses.depth_maps import relative_depths
from phalanx.methods.base import Player
from phalanx.methods.depth_regularizer import (
    METHOD,
    DepthBatch,
    DepthRegularizer,
    DepthRegularizerConfig,
    concatenate,
    load,
    save_weights,
)
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, JoinedFeed, MixedFeed
from phalanx.train.loop import train
from phalanx.train.paired import (
    camera_joints,
    check_pairs,
    drawn_pictures,
    keep_pictures,
    restored,
    stored_feed,
    synthetic_feed,
)
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

ROOT = 0
"""The joint that relative depths are 0 at: the wrist, or the palm where that stands in its place (`palm_rooted`)."""

Root = Literal["wrist", "palm"]

LABELLED, WEAK = "labelled", "weak"
"""Kinds of pictures in a step."""

Kept = Mapping[str, Tensor]
Evaluate = Callable[[nn.Module, int], dict[str, float]]


@dataclass
class DepthRegularizerTraining:
    """Training on synthesis: a source with all labels, and a world that has 2D joints and depth (or all labels, too)."""

    model: DepthRegularizerConfig = field(default_factory=DepthRegularizerConfig)
    """The networks and their losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=20))
    """Stage 1, the estimator on the source: budget, schedule, optimiser."""
    regularizer: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=5, kernel_rate=0.0, learning_rate=2e-3))
    """Stage 2, the regularizer on the source."""
    whole: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=20, learning_rate=3e-4, kernel_rate=4e-3, average=8_000)
    )
    """Stage 3, all networks."""
    supervision: Literal["weak", "full"] = "weak"
    """Of stage 3: weak takes half of each step from the source and half from the target without 3D labels; full takes the target alone,
    with them."""
    root: Root = "wrist"
    """The joint that depths are relative to; palm puts the middle of wrist and ring MCP in the wrist's place."""
    source: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=64, domain="studio", depth_sensor="domain", tiles=64, skins=8)
    )
    """Pictures with all labels."""
    target: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=64, domain="field", depth_sensor="domain", tiles=64, skins=8)
    )
    """Pictures of the world to adapt to."""
    batch: int = 32
    """Pictures a step."""
    reuse: int = 2
    """Times each generated picture is trained on."""
    seed: int = 1
    """Of the streams of pictures."""
    workers: int = 2
    """Processes that generate, for each stream."""
    buffer: int = 4_000
    """Pictures generated at a time, of each stream."""
    held_out: int = 256
    """Pictures that a run is evaluated on, of the source in stage 1 and 2, of the target in stage 3."""
    start_from: Path | None = None
    """Weights to begin with, of the same networks; none: none."""


def palm_rooted(kept: Kept) -> dict[str, Tensor]:
    """Kept pictures with the palm's centre in the wrist's place, where STB has it (`data.public.stb`): the middle of wrist and ring MCP."""
    joints, joints_2d = kept["joints"].clone(), kept["joints_2d"].clone()
    joints[:, ROOT] = (joints[:, 0] + joints[:, 13]) / 2
    size = kept["image"].shape[-1]
    joints_2d[:, ROOT] = Camera(kept["K"], size, size).project(joints[:, :1])[:, 0]
    return {**kept, "joints": joints, "joints_2d": joints_2d}


def batch_of(labelled: bool, sample: Sample) -> DepthBatch:
    """What the method learns from: without 3D labels, the root's depth and the scale are all that is taken of 3D joints."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    assert sample.depth is not None
    z, scale = sample.joints[..., 2], scale_of(sample.joints)
    depths = relative_depths(z, ROOT, scale)
    return DepthBatch(
        sample.image,
        (sample.joints_2d + 0.5) / sample.image.shape[-1],
        sample.depth,
        z[:, ROOT],
        scale,
        depths if labelled else torch.zeros_like(depths),
        torch.full_like(scale, float(labelled)),
    )


def feed_of(feeds: Mapping[str, Feed], batch: int) -> Feed:
    """Steps of `batch` pictures: of one kind, or half of each."""
    counts = dict.fromkeys(feeds, batch // len(feeds))
    return JoinedFeed(MixedFeed(feeds, counts), partial(_as_batch, tuple(feeds)))


def _as_batch(kinds: Sequence[str], parts: Sequence[Sample]) -> DepthBatch:
    return concatenate([batch_of(kind == LABELLED, part) for kind, part in zip(kinds, parts, strict=True)])


def figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out errors: of joints in mm and of their depths alone, and in the picture in pixels; and Eq. 6 with true depths of joints."""
    model = trained(network)
    assert sample.joints is not None and sample.joints_2d is not None and sample.image is not None
    off = 1000 * (camera_joints(model, sample, ROOT) - sample.joints)
    return {
        "joints_mm": float(off.norm(dim=-1).mean()),
        "z_mm": float(off[..., 2].abs().mean()),
        "map_error": float(map_errors(model, sample).mean()),
    }


@torch.no_grad()
def generated_maps(network: DepthRegularizer, sample: Sample) -> tuple[Tensor, Tensor]:
    """Maps (N, S, S) that the regularizer makes of true joints, and those that the sensor read, both as Eq. 4 has them."""
    device = next(network.parameters()).device
    truth = batch_of(True, sample).to(device)
    generated, target = network.maps_of(truth, truth.depths)
    return generated.to("cpu"), target.to("cpu")


def map_errors(network: DepthRegularizer, sample: Sample) -> Tensor:
    """Eq. 6 of each picture (N,), with true joints."""
    generated, target = generated_maps(network, sample)
    return (generated - target).abs().mean(dim=(1, 2))


def prepare(config: DepthRegularizerTraining) -> Prepared:
    """A run of `phalanx train depth_regularizer`. Raises InputError if settings or the weights to begin with are at fault."""
    size = config.model.size
    for name, synth in (("source", config.source), ("target", config.target)):
        check_pairs(name, synth, size)
    if config.batch % 2:
        raise InputError(f"batch: half of each kind needs an even number, not {config.batch}")
    phases = [Phase(1.0, size, config.batch, config.reuse)]
    for loop in (config.loop, config.regularizer, config.whole):
        check_config(loop, phases, config.seed)

    def feed(synth: SynthConfig) -> BufferFeed[Sample]:
        return synthetic_feed(synth, config.seed, config.workers, config.buffer, partial(_keep, config.root))

    def source() -> Feed:
        return feed_of({LABELLED: feed(config.source)}, config.batch)

    def third() -> Feed:
        if config.supervision == "full":
            return feed_of({LABELLED: feed(config.target)}, config.batch)
        return feed_of({LABELLED: feed(config.source), WEAK: feed(config.target)}, config.batch)

    of_source, of_target = (cache(partial(_held_out, config, synth)) for synth in (config.source, config.target))
    stages = [
        *start_stages(config.loop, config.regularizer, phases, source, lambda net, size: figures(net, of_source())),
        Stage("whole", config.whole, phases, third, lambda network, size: figures(network, of_target())),
    ]
    weak = "2D joints, depth, root depth, scale" if config.supervision == "weak" else "joints, depth"
    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        stages,
        fixed={name: value for name, value in asdict(config).items() if name not in (*_LOOPS, "workers")},
        data=[synthesis(config.source, "joints, depth"), synthesis(config.target, weak)],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


_LOOPS = ("loop", "regularizer", "whole")


def run(config: DepthRegularizerTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def start_stages(
    estimator: LoopConfig,
    regularizer: LoopConfig,
    phases: Sequence[Phase],
    feed: Callable[[], Feed],
    evaluate: Evaluate,
) -> list[Stage]:
    """Stages 1 and 2, on pictures with all labels."""
    return [
        Stage("estimator", estimator, phases, feed, evaluate, _estimator_players),
        Stage("regularizer", regularizer, phases, feed, evaluate, _regularizer_players),
    ]


def train_on_pictures(
    model: DepthRegularizer,
    labelled: Kept | None,
    weak: Kept | None,
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    evaluate: Evaluate = lambda network, size: {},
    resume: bool = False,
    report: Say = say,
) -> DepthRegularizer:
    """Stage 3 on stored pictures in the folder `out`, as `train.paired.keep_pictures` keeps them; returns the averaged networks.

    Args:
        model: what is trained; it is changed. Without weight of `depth_map` the regularizer stays as it is.
        labelled: pictures whose labels are all learnt from; None: none.
        weak: pictures whose 3D labels are not looked at, but for the root's depth and the scale; None: none.
        loop: budget, schedule, optimiser.
        batch: pictures a step, half of them of each kind if there are both.
        evaluate: figures for the curve of the averaged networks.
    """
    kinds = {kind: kept for kind, kept in ((LABELLED, labelled), (WEAK, weak)) if kept is not None}
    if not kinds or batch % len(kinds):
        raise InputError(f"train: {len(kinds)} kinds of pictures cannot share a batch of {batch}")
    model.train().requires_grad_(True)
    stage = Stage(
        "whole",
        loop,
        [Phase(1.0, model.config.size, batch, 1)],
        lambda: feed_of({kind: stored_feed(kept, loop.seed) for kind, kept in kinds.items()}, batch),
        evaluate,
    )
    about = {
        "model": asdict(model.config),
        "batch": batch,
        "pictures": {kind: checksum(dict(kept)) for kind, kept in kinds.items()},
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    settings = {"loop": asdict(loop), **about}
    return trained(train(model, [stage], out, resume, report, about=about, settings=settings))


def begun(config: DepthRegularizerConfig, seed: int, start_from: Path | None = None) -> DepthRegularizer:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = DepthRegularizer(config)
    if start_from is not None:
        model.start_from(load(start_from, trainable=True).state_dict())
    return model


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.depth_regularizer.load`."""
    save_weights(trained(network), path, HandModel.open_hand())


def trained(network: nn.Module) -> DepthRegularizer:
    """The network as what it is."""
    assert isinstance(network, DepthRegularizer)
    return network


def _keep(root: Root, sample: Sample) -> dict[str, Tensor]:
    kept = keep_pictures(sample)
    return palm_rooted(kept) if root == "palm" else kept


def _held_out(config: DepthRegularizerTraining, synth: SynthConfig) -> Sample:
    keep = partial(_keep, config.root)
    return restored(drawn_pictures(synth, config.seed + HELD_OUT_SEED, config.held_out, config.workers, keep))


def _estimator_players(model: nn.Module) -> tuple[Player, ...]:
    return trained(model).estimator_players()


def _regularizer_players(model: nn.Module) -> tuple[Player, ...]:
    return trained(model).regularizer_players()
