"""Training `methods.temporal` on clips: heat maps, mesh and pose of synthesis with 3D labels, then two stages with 2D labels alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.flow import flow_both_ways
from phalanx.data.hand_depth import scale_of
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.methods.temporal import (
    METHOD,
    ROOT,
    SYNTHESIS,
    TARGET,
    Clips,
    Temporal,
    TemporalConfig,
    in_metres,
    load,
    save_weights,
)
from phalanx.synth import SynthConfig, stream
from phalanx.train.augment import augment
from phalanx.train.card import synthesis
from phalanx.train.cutouts import cut_out
from phalanx.train.feed import BufferFeed, MixedFeed
from phalanx.train.feed import stored_feed as stored
from phalanx.train.paired import joined
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

Kept = Mapping[str, Tensor]
"""Clips as `keep_clips` keeps them, by name, one row a clip."""


@dataclass
class TemporalTraining:
    """Training on synthesis: on clips of one domain with 2D labels alone, and for the start on others with meshes beside."""

    model: TemporalConfig = field(default_factory=TemporalConfig)
    """The networks and their losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=45, warmup=500, average=4_000))
    """Budget, schedule, optimiser of stage 1, the heat maps; all count clips."""
    start: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=20, warmup=500, average=4_000))
    """Of mesh and pose of synthesis, which the thesis takes from another work."""
    mesh: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=15, learning_rate=2e-4, kernel_rate=2e-3, warmup=500, average=4_000)
    )
    """Of stage 2, heat maps and mesh."""
    whole: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=30, learning_rate=2e-4, kernel_rate=2e-3, warmup=500, average=4_000)
    )
    """Of stage 3, end to end."""
    synth: SynthConfig = field(
        default_factory=lambda: SynthConfig(
            scene="motion", domain="field", frames=8, frame_rate=10, dense=False, tiles=64, skins=8
        )
    )
    """Clips with 2D labels alone."""
    labelled: SynthConfig = field(
        default_factory=lambda: SynthConfig(scene="motion", domain="studio", frames=8, frame_rate=10, tiles=64, skins=8)
    )
    """Clips with 3D labels, of the start."""
    batch: int = 8
    """Clips a step; in the first two stages half of them with 3D labels."""
    reuse: int = 4
    """Times each generated clip is trained on."""
    seed: int = 1
    """Of the streams of clips."""
    workers: int = 2
    """Processes that generate, for each stream."""
    buffer: int = 500
    """Clips generated at a time, of each stream."""
    held_out: int = 32
    """Clips that a run is evaluated on."""
    start_from: Path | None = None
    """Weights to begin with, of the same networks; none: none."""


LABELLED_STREAM = 500_009
"""Added to the seed for the stream of clips with 3D labels."""

Evaluate = Callable[[nn.Module, int], dict[str, float]]


def keep_clips(frames: int, silhouettes: bool, sample: Sample) -> dict[str, Tensor]:
    """What is kept of a sample of whole clips of `frames` neighbouring pictures: pictures and silhouettes as bytes, flow both ways, and of
    vertices, where it has any, those beyond the wrist.

    Raises InputError as `data.flow.flow_both_ways`.
    """
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    assert sample.K is not None
    pictures = np.stack([image_bytes(image) for image in sample.image])  # (B T, S, S, 3)
    flows = [flow_both_ways(clip) for clip in pictures.reshape(-1, frames, *pictures.shape[1:])]
    forward, backward = (
        torch.from_numpy(np.stack(part)).permute(0, 1, 4, 2, 3).half() for part in zip(*flows, strict=True)
    )
    kept = {
        "image": (sample.image * 255).round().to(torch.uint8),
        "joints": sample.joints,
        "joints_2d": sample.joints_2d,
        "K": sample.K,
    }
    if silhouettes:
        found = [cut_out(*pair) for pair in zip(pictures, sample.joints_2d.numpy(), strict=True)]
        kept["silhouette"] = torch.from_numpy(np.stack(found))
    if sample.vertices is not None:
        kept["vertices"] = (sample.vertices - sample.joints[:, ROOT, None]).half()  # 0.1 mm at 20 cm
    return {"forward": forward, "backward": backward} | {n: v.unflatten(0, (-1, frames)) for n, v in kept.items()}


def clips_of(kept: Kept) -> Clips:
    """Clips as they are, without augmentation; 3D labels where there are vertices."""
    joints = kept["joints"]
    scale = scale_of(joints.flatten(0, 1)).view(joints.shape[:2])
    clips = Clips(
        kept["image"].float() / 255,
        kept["forward"].float(),
        kept["backward"].float(),
        kept["joints_2d"],
        kept["K"],
        joints[:, :, ROOT, 2],
        scale,
    )
    if "silhouette" in kept:
        clips.silhouettes = kept["silhouette"].float() / 255
    if "vertices" in kept:
        unit = scale[..., None, None]
        clips.pose = (joints - joints[:, :, ROOT : ROOT + 1]) / unit
        clips.mesh = kept["vertices"].float() / unit
    return clips


def finish_clips(window: int, kept: Kept, size: int, random: torch.Generator) -> Clips:
    """A batch of `window` neighbouring frames of each clip, with photometric augmentation that a clip's frames have in common."""
    first = int(torch.randint(kept["image"].shape[1] - window + 1, (), generator=random))
    flows = ("forward", "backward")
    chosen = {n: v[:, first : first + window - (1 if n in flows else 0)] for n, v in kept.items()}
    clips, state = clips_of(chosen), random.get_state()
    frames = []
    for number in range(window):
        random.set_state(state)  # the same draws for each frame
        frames.append(augment(clips.images[:, number], random))
    clips.images = torch.stack(frames, 1)
    return clips


def stored_feed(kept: Kept, seed: int, window: int) -> BufferFeed[Clips]:
    """Endless batches of stored clips, each time round in another order."""
    return stored(kept, seed, partial(finish_clips, window))


def start_feed(target: Feed, labelled: Feed, batch: int) -> Feed:
    """Batches of the first two stages: `batch` clips, half of them with 3D labels."""
    feeds = {TARGET: target, SYNTHESIS: labelled}
    return MixedFeed(feeds, dict.fromkeys(feeds, batch // 2))


def start_stages(
    evidence: LoopConfig,
    start: LoopConfig,
    mesh: LoopConfig,
    phases: tuple[Sequence[Phase], Sequence[Phase]],
    both: Callable[[], Feed],
    target: Callable[[], Feed],
    evaluate: Evaluate,
) -> list[Stage]:
    """All stages but the last: two on batches of both kinds, one on those with 2D labels; `phases` of the former and of the latter."""
    first, second = phases
    return [
        Stage("evidence", evidence, first, both, evaluate, lambda model: trained(model).players_of_evidence()),
        Stage("start", start, first, both, evaluate, lambda model: trained(model).players_of_start()),
        Stage("mesh", mesh, second, target, evaluate, lambda model: trained(model).players_of_mesh()),
    ]


@dataclass(frozen=True)
class Seen:
    """What a network says of N clips of T frames, in metres before the camera but for the meshes, and what is true."""

    forward: Tensor
    """(N, T, 21, 3)"""
    backward: Tensor
    """(N, T, 21, 3), gone through in reversed order."""
    truth: Tensor
    """(N, T, 21, 3)"""
    deep: Tensor
    """(N, T) root mean square of the depths of mesh vertices about their mean, forward, in lengths of a bone."""
    mesh_gap: Tensor
    """(N, T) mean distance of vertices forward and backward, in lengths of a bone."""


@torch.no_grad()
def seen(network: Temporal, kept: Kept, batch: int = 8) -> Seen:
    """Run a network through clips in both orders; computed where the network is."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    for first in range(0, len(kept["image"]), batch):
        clips = clips_of({name: value[first : first + batch] for name, value in kept.items()}).to(device)
        forward, backward = network.read_both(clips)
        mesh, other = forward.mesh.float(), backward.mesh.float()
        found = (
            in_metres(forward, clips),
            in_metres(backward, clips),
            mesh[..., 2].std(-1, unbiased=False),
            (mesh - other).norm(dim=-1).mean(-1),
        )
        parts.append([value.cpu() for value in found])
    joints, back, deep, gap = (torch.cat(values) for values in zip(*parts, strict=True))
    return Seen(joints, back, kept["joints"], deep, gap)


def figures(network: nn.Module, kept: Kept) -> dict[str, float]:
    """Held-out figures in mm: error of joints in forward order, the same from the wrist, and how far both orders are apart; and the
    depth of meshes in lengths of a bone."""
    found = seen(trained(network), kept)
    off = found.forward - found.truth
    return {
        "joints_mm": 1000 * float(off.norm(dim=-1).mean()),
        "relative_mm": 1000 * float((off - off[:, :, ROOT : ROOT + 1]).norm(dim=-1).mean()),
        "both_ways_mm": 1000 * float((found.forward - found.backward).norm(dim=-1).mean()),
        "mesh_depth": float(found.deep.mean()),
    }


def drawn_clips(synth: SynthConfig, seed: int, count: int, workers: int, silhouettes: bool) -> dict[str, Tensor]:
    """The first `count` clips of a stream, kept."""
    parts: list[dict[str, Tensor]] = []
    source = stream(synth, seed, workers)
    try:
        while sum(len(part["image"]) for part in parts) < count:
            parts.append(keep_clips(synth.frames, silhouettes, next(source)))
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
    return {name: value[:count] for name, value in joined(parts).items()}


def prepare(config: TemporalTraining) -> Prepared:
    """A run of `phalanx train temporal`. Raises InputError if settings or the weights to begin with are at fault."""
    size, window = config.model.size, config.model.window
    for name, synth in (("synth", config.synth), ("labelled", config.labelled)):
        if synth.size != size or synth.scene != "motion" or synth.rig is not None:
            raise InputError(
                f"{name}: needs clips of the scene motion of one camera and {size} pixels, the model's, not {synth.scene} and {synth.size}"
            )
        if synth.frames < window:
            raise InputError(f"{name}: needs clips of {window} frames at least, the model's window, not {synth.frames}")
    if not config.labelled.dense:
        raise InputError("labelled: needs clips with vertices; leave dense on")
    if config.batch < 4 or config.batch % 2:
        raise InputError(f"batch: must be even and 4 at least, not {config.batch}")
    phases = [Phase(1.0, size, config.batch, config.reuse)]
    for loop in (config.loop, config.start, config.mesh, config.whole):
        check_config(loop, phases, config.seed)

    def target(silhouettes: bool) -> BufferFeed[Clips]:
        return _synthetic(config.synth, config.seed, config, silhouettes, False)

    def both() -> Feed:
        labelled = _synthetic(config.labelled, config.seed + LABELLED_STREAM, config, False, True)
        return start_feed(target(False), labelled, config.batch)

    @cache
    def shown() -> dict[str, Tensor]:
        return drawn_clips(config.synth, config.seed + HELD_OUT_SEED, config.held_out, config.workers, False)

    def evaluate(network: nn.Module, size: int) -> dict[str, float]:
        return figures(network, shown())

    def alone() -> Feed:
        return target(True)

    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        [
            *start_stages(config.loop, config.start, config.mesh, (phases, phases), both, alone, evaluate),
            Stage("whole", config.whole, phases, alone, evaluate),
        ],
        fixed={name: value for name, value in asdict(config).items() if name not in (*LOOPS, "workers")},
        data=[synthesis(config.synth, "2D joints"), synthesis(config.labelled, "joints, vertices")],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


LOOPS = ("loop", "start", "mesh", "whole")
"""Settings that are budgets of stages."""


def run(config: TemporalTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def begun(config: TemporalConfig, seed: int, start_from: Path | None = None) -> Temporal:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = Temporal(config)
    if start_from is not None:
        model.start_from(load(start_from, trainable=True).state_dict())
    return model


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.temporal.load`."""
    save_weights(trained(network), path, HandModel.open_hand())


def trained(network: nn.Module) -> Temporal:
    """The method that the loop hands back."""
    assert isinstance(network, Temporal)
    return network


def _synthetic(
    synth: SynthConfig, seed: int, config: TemporalTraining, silhouettes: bool, labels: bool
) -> BufferFeed[Clips]:
    if not labels:
        synth = replace(synth, dense=False)

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(synth, seed, config.workers, first)

    keep = partial(keep_clips, synth.frames, silhouettes)
    chunks = max(1, config.buffer // synth.hands)
    return BufferFeed(open_stream, chunks, seed, keep, partial(finish_clips, config.model.window))
