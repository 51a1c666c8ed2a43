"""Training `methods.multi_view`: a single view in four stages on two kinds of pictures, then several in two on frames of a rig."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.methods.base import Player
from phalanx.methods.multi_view import (
    JOINTS,
    MESHES,
    METHOD,
    MultiView,
    MultiViewConfig,
    Views,
    load,
    save_weights,
    to_world,
)
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, JoinedFeed, MixedFeed, finish_pictures, stored_feed
from phalanx.train.loop import train
from phalanx.train.paired import drawn_pictures
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

Made = TypeVar("Made", Sample, Views)

Kept = Mapping[str, Tensor]
"""Pictures as `keep_view` keeps them, or frames as `framed` makes them of these, by name."""


@dataclass
class MultiViewTraining:
    """Training on synthesis: on pictures of one domain with joints alone, and of another with meshes, both seen by one rig."""

    model: MultiViewConfig = field(default_factory=MultiViewConfig)
    """The networks and their losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30))
    """Budget, schedule, optimiser of stage 1 of a single view, the heat maps."""
    mesh: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=20))
    """Of stage 2, the mesh."""
    depth: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=5))
    """Of stage 3, the depths."""
    single: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=20, learning_rate=3e-4, kernel_rate=4e-3))
    """Of stage 4, a single view end to end."""
    fusion: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=5, warmup=500, average=4_000))
    """Of stage 1 of several views, the graph U-Net; counts frames."""
    whole: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=10, learning_rate=1e-4, kernel_rate=1e-3, warmup=500, average=4_000)
    )
    """Of stage 2 of several views, end to end; counts frames."""
    synth: SynthConfig = field(
        default_factory=lambda: SynthConfig(domain="field", rig="ring4", dense=False, tiles=64, skins=8)
    )
    """Pictures with joints alone."""
    meshes: SynthConfig = field(default_factory=lambda: SynthConfig(domain="studio", rig="ring4", tiles=64, skins=8))
    """Pictures with meshes."""
    batch: int = 32
    """Pictures a step in the stages of a single view, half of each kind."""
    frames: int = 8
    """Frames a step in those of several views, half of each kind, each with all views."""
    reuse: int = 2
    """Times each generated picture is trained on."""
    seed: int = 1
    """Of the streams of pictures."""
    workers: int = 2
    """Processes that generate, for each stream."""
    buffer: int = 4_000
    """Pictures generated at a time, of each stream."""
    held_out: int = 256
    """Pictures that a run is evaluated on."""
    start_from: Path | None = None
    """Weights to begin with, of the same networks; none: none."""


MESH_STREAM = 500_009
"""Added to the seed for the stream of pictures with meshes."""


@dataclass(frozen=True)
class SingleLoops:
    """Budgets of the four stages of a single view."""

    evidence: LoopConfig
    mesh: LoopConfig
    depth: LoopConfig
    whole: LoopConfig


Evaluate = Callable[[nn.Module, int], dict[str, float]]


def single_stages(
    loops: SingleLoops, phases: Sequence[Phase], feed: Callable[[], Feed], evaluate: Evaluate, meshes: bool
) -> list[Stage]:
    """The stages of a single view: four where there are meshes, else three, the second with the budgets of two."""
    begin = Stage(
        "evidence", loops.evidence, phases, feed, evaluate, lambda model: trained(model).players_of_evidence()
    )
    end = Stage("single", loops.whole, phases, feed, evaluate, lambda model: trained(model).players_of_single())
    if not meshes:
        both = _together(loops.mesh, loops.depth)
        return [begin, Stage("mesh and depth", both, phases, feed, evaluate, _without_meshes), end]
    return [
        begin,
        Stage("mesh", loops.mesh, phases, feed, evaluate, lambda model: trained(model).players_of_mesh()),
        Stage("depth", loops.depth, phases, feed, evaluate, lambda model: trained(model).players_of_depth()),
        end,
    ]


def single_feed(joints: BufferFeed[Sample], meshes: BufferFeed[Sample] | None, batch: int) -> Feed:
    """Batches of single views: `batch` pictures, half of them with meshes where there are such."""
    feeds = {JOINTS: joints} | ({} if meshes is None else {MESHES: meshes})
    return MixedFeed(feeds, dict.fromkeys(feeds, batch // len(feeds)))


def views_feed(feeds: Sequence[Feed], frames: int) -> Feed:
    """Batches of `frames` frames, as many from each feed."""
    named = {str(number): feed for number, feed in enumerate(feeds)}
    return JoinedFeed(MixedFeed(named, dict.fromkeys(named, frames // len(named))), joined_views)


def keep_view(sample: Sample) -> dict[str, Tensor]:
    """What is kept of a sample: the picture as bytes, joints, cameras, and of vertices, where it has any, those beyond the wrist."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    assert sample.K is not None and sample.world_to_camera is not None
    kept = {
        "image": (sample.image * 255).round().to(torch.uint8),
        "joints": sample.joints,
        "joints_2d": sample.joints_2d,
        "K": sample.K,
        "world_to_camera": sample.world_to_camera,
    }
    if sample.vertices is not None:
        kept["vertices"] = (sample.vertices - sample.joints[:, :1]).half()  # 0.1 mm at 20 cm
    return kept


def framed(kept: Kept, views: int) -> dict[str, Tensor]:
    """Pictures so kept, whose views of a hand follow one another, as frames: rows of V views, without what `Views` does not have."""
    names = ("image", "joints", "K", "world_to_camera")
    return {name: kept[name].unflatten(0, (-1, views)) for name in names}


def views_of(frames: Kept) -> Views:
    """Frames (`framed`) as they are, without augmentation."""
    return Views(
        to_world(frames["joints"][:, 0], frames["world_to_camera"][:, 0]),
        frames["world_to_camera"],
        frames["K"],
        frames["image"].float() / 255,
    )


def finish_single(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """A batch of kept pictures, with photometric augmentation."""
    sample = finish_pictures({name: kept[name] for name in ("image", "joints", "joints_2d", "K")}, size, random)
    if "vertices" in kept:
        sample.vertices = kept["vertices"].float() + kept["joints"][:, :1]
    return sample


def finish_views(frames: dict[str, Tensor], size: int, random: torch.Generator) -> Views:
    """A batch of frames, with photometric augmentation of each picture."""
    flat = {name: frames[name].flatten(0, 1) for name in ("image", "K")}
    sample, shape = finish_pictures(flat, size, random), frames["K"].shape[:2]
    assert sample.image is not None and sample.K is not None
    world = to_world(frames["joints"][:, 0], frames["world_to_camera"][:, 0])
    return Views(world, frames["world_to_camera"], sample.K.unflatten(0, shape), sample.image.unflatten(0, shape))


def finish_predicted(frames: dict[str, Tensor], size: int, random: torch.Generator) -> Views:
    """A batch of frames with stored predictions (`predicted_frames`)."""
    return Views(**frames)


def joined_views(parts: Sequence[Views]) -> Views:
    """Frames of several kinds in one batch."""
    names = [name for name, value in vars(parts[0]).items() if value is not None]
    return Views(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@torch.no_grad()
def predicted_frames(network: MultiView, frames: Kept, batch: int = 32) -> dict[str, Tensor]:
    """What the network of one view says of frames (`framed`), with what it takes to join it; computed where the network is."""
    device = next(network.parameters()).device
    network.eval()
    count = len(frames["K"])
    found = []
    for first in range(0, count, batch):
        views = views_of({name: value[first : first + batch] for name, value in frames.items()})
        found.append(network.of_each(views.to(device)).cpu())
    world = to_world(frames["joints"][:, 0], frames["world_to_camera"][:, 0])
    return {
        "joints": world,
        "world_to_camera": frames["world_to_camera"],
        "K": frames["K"],
        "predicted": torch.cat(found),
    }


def view_error(network: nn.Module, frames: Kept) -> float:
    """Mean error in mm of each view's joints, of frames (`framed`) by any number of cameras."""
    stored = predicted_frames(trained(network), frames)
    return 1000 * float((stored["predicted"] - stored["joints"][:, None]).norm(dim=-1).mean())


@torch.no_grad()
def figures(network: nn.Module, frames: Kept) -> dict[str, float]:
    """Held-out errors of frames (`framed`) in mm: of each view's joints, and of the views' joined."""
    model = trained(network)
    stored = predicted_frames(model, frames)
    views = Views(**stored).to(next(model.parameters()).device)
    assert views.predicted is not None
    single, together = views.predicted - views.joints[:, None], model(views) - views.joints
    return {
        "view_mm": 1000 * float(single.norm(dim=-1).mean()),
        "joints_mm": 1000 * float(together.norm(dim=-1).mean()),
    }


def prepare(config: MultiViewTraining) -> Prepared:
    """A run of `phalanx train multi_view`. Raises InputError if settings or the weights to begin with are at fault."""
    size, views = config.model.size, config.model.views
    for name, synth in (("synth", config.synth), ("meshes", config.meshes)):
        if synth.size != size or synth.rig is None or synth.views != views:
            raise InputError(
                f"{name}: needs pictures of {size} pixels by a rig of {views} cameras, the model's, not {synth.size} and {synth.rig}"
            )
    if not config.meshes.dense:
        raise InputError("meshes: needs pictures with vertices; leave dense on")
    for name, count in (("batch", config.batch), ("frames", config.frames)):
        if count < 4 or count % 2:
            raise InputError(f"{name}: must be even and 4 at least, not {count}")
    single = [Phase(1.0, size, config.batch, config.reuse)]
    several = [Phase(1.0, size, config.frames, config.reuse)]
    loops = SingleLoops(config.loop, config.mesh, config.depth, config.single)
    for loop, phases in (
        *((loop, single) for loop in vars(loops).values()),
        (config.fusion, several),
        (config.whole, several),
    ):
        check_config(loop, phases, config.seed)
    seeds = config.seed, config.seed + MESH_STREAM

    def pictures() -> Feed:
        joints, meshes = (
            _synthetic(synth, seed, config, keep, finish_single)
            for synth, seed, keep in zip(
                (config.synth, config.meshes), seeds, (_without_vertices, keep_view), strict=True
            )
        )
        return single_feed(joints, meshes, config.batch)

    def frames() -> Feed:
        keep = partial(_framed_sample, views)
        feeds = [
            _synthetic(synth, seed, config, keep, finish_views)
            for synth, seed in zip((config.synth, config.meshes), seeds, strict=True)
        ]
        return views_feed(feeds, config.frames)

    shown = cache(partial(held_out, config))

    def evaluate(network: nn.Module, size: int) -> dict[str, float]:
        return figures(network, shown())

    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        [
            *single_stages(loops, single, pictures, evaluate, True),
            *view_stages(config.fusion, config.whole, several, frames, frames, evaluate),
        ],
        fixed={name: value for name, value in asdict(config).items() if name not in (*LOOPS, "workers")},
        data=[synthesis(config.synth, "joints"), synthesis(config.meshes, "joints, vertices")],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


LOOPS = ("loop", "mesh", "depth", "single", "fusion", "whole")
"""Settings that are budgets of stages."""


def view_stages(
    fusion: LoopConfig,
    whole: LoopConfig,
    phases: Sequence[Phase],
    stored: Callable[[], Feed],
    frames: Callable[[], Feed],
    evaluate: Evaluate,
) -> list[Stage]:
    """The stages of several views: the U-Net on a feed of predictions or of pictures, then all on pictures."""
    return [
        Stage("fusion", fusion, phases, stored, evaluate, lambda model: trained(model).players_of_fusion()),
        Stage("whole", whole, phases, frames, evaluate),
    ]


def run(config: MultiViewTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def train_on_frames(
    model: MultiView,
    kinds: Sequence[Kept],
    fusion: LoopConfig,
    whole: LoopConfig,
    frames: int,
    out: str | Path,
    evaluate: Evaluate = lambda network, size: {},
    resume: bool = False,
    report: Say = say,
) -> MultiView:
    """Train networks, whose single view is trained, to join views; in the folder `out`. Returns the averaged ones.

    Args:
        model: what is trained, and changed.
        kinds: frames (`framed`) of each kind; batches have as many of each. The U-Net learns from predictions of them made now.
        fusion, whole: budgets, schedules, optimisers of both stages; they count frames.
        frames: in a step.
        evaluate: figures for the curve of the averaged networks.
    """
    start = checksum({name: value.cpu() for name, value in model.state_dict().items()})

    def stored() -> Feed:
        found = [predicted_frames(model, kept) for kept in kinds]
        return views_feed([stored_feed(kept, fusion.seed, finish_predicted) for kept in found], frames)

    def pictures() -> Feed:
        return views_feed([stored_feed(kept, whole.seed, finish_views) for kept in kinds], frames)

    model.train().requires_grad_(True)
    phases = [Phase(1.0, model.config.size, frames, 1)]
    stages = view_stages(fusion, whole, phases, stored, pictures, evaluate)
    about = {
        "model": asdict(model.config),
        "frames": frames,
        "kinds": [checksum(dict(kept)) for kept in kinds],
        "start": start,
    }
    settings = {"loop": asdict(fusion), "whole": asdict(whole), **about}
    return trained(train(model, stages, out, resume, report, about=about, settings=settings))


def begun(config: MultiViewConfig, seed: int, start_from: Path | None = None) -> MultiView:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = MultiView(config)
    if start_from is not None:
        model.start_from(load(start_from, trainable=True).state_dict())
    return model


def held_out(config: MultiViewTraining) -> dict[str, Tensor]:
    """The frames that a run is evaluated on: of another stream."""
    seed = config.seed + HELD_OUT_SEED
    return framed(drawn_pictures(config.synth, seed, config.held_out, config.workers, keep_view), config.model.views)


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.multi_view.load`."""
    save_weights(trained(network), path, HandModel.open_hand())


def trained(network: nn.Module) -> MultiView:
    """The method that the loop hands back."""
    assert isinstance(network, MultiView)
    return network


def _without_meshes(model: nn.Module) -> tuple[Player, ...]:
    return trained(model).players_without_meshes()


def _together(first: LoopConfig, second: LoopConfig) -> LoopConfig:
    """The first with the budgets of both."""
    if first.samples is not None and second.samples is not None:
        return replace(first, samples=first.samples + second.samples)
    return replace(first, minutes=(first.minutes or 0) + (second.minutes or 0), samples=None)


def _without_vertices(sample: Sample) -> dict[str, Tensor]:
    return {name: value for name, value in keep_view(sample).items() if name != "vertices"}


def _framed_sample(views: int, sample: Sample) -> dict[str, Tensor]:
    return framed(keep_view(sample), views)


def _synthetic(
    synth: SynthConfig,
    seed: int,
    config: MultiViewTraining,
    keep: Callable[[Sample], dict[str, Tensor]],
    finish: Callable[[dict[str, Tensor], int, torch.Generator], Made],
) -> BufferFeed[Made]:
    def open_stream(first: int) -> Iterator[Sample]:
        return stream(synth, seed, config.workers, first)

    return BufferFeed(open_stream, max(1, config.buffer // synth.pictures), seed, keep, finish)
