"""Training `methods.dense_hand`: 2D evidence first, then the mesh, then with new hands made of those that are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.sample import Sample
from phalanx.hand.mano import load_mano
from phalanx.hand.mesh_parameters import ROOT, at_depth, mano_pose
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FOREARM
from phalanx.methods.base import Player
from phalanx.methods.dense_hand import (
    BACKGROUNDS,
    LABELLED,
    METHOD,
    DenseHand,
    DenseHandConfig,
    load,
    normalised_skeleton,
    pixels_off,
    save_weights,
    true_skeleton,
)
from phalanx.metrics.masks import iou, mask_counts
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig, stream
from phalanx.synth.paint.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.scene.domains import DOMAINS
from phalanx.train.card import photographs, synthesis
from phalanx.train.feed import BufferFeed, MixedFeed, finish_pictures, pack, stored_feed, unpack
from phalanx.train.loop import train
from phalanx.train.paired import joined
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

BATCH = 64
"""Pictures looked at at a time where none are trained on."""


@dataclass
class DenseHandTraining:
    """Training on synthesis: the start of 2D evidence, the mesh, and the mesh with new hands."""

    model: DenseHandConfig = field(default_factory=DenseHandConfig)
    """The networks and their losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30))
    """Budget, schedule, optimiser of the start, of 2D evidence alone."""
    warm: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30))
    """Of the mesh, until new hands are made: in print 20 epochs."""
    together: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30, learning_rate=3e-4, kernel_rate=4e-3))
    """Of the mesh with new hands; their backgrounds count as pictures, too."""
    synth: SynthConfig = field(default_factory=lambda: SynthConfig(size=64, domain="studio", tiles=64, skins=8))
    """The pictures, and what is behind new hands."""
    batch: int = 32
    """Pictures a step."""
    reuse: int = 2
    """Times each generated picture is trained on."""
    seed: int = 1
    """Of the stream of pictures."""
    workers: int = 2
    """Processes that generate."""
    buffer: int = 4_000
    """Pictures generated at a time."""
    held_out: int = 256
    """Pictures that a run is evaluated on."""
    mano: Path | None = None
    """The user's own MANO_RIGHT.pkl in place of the open hand; the pictures show the open hand."""
    start_from: Path | None = None
    """Weights to begin with, of the same networks; none: none."""
    photographs_licence: str = ""
    """Licence of the photographs in `synth.backgrounds`, for the card."""


BACKGROUND_STREAM = 500_017
"""Added to the seed for the stream of backgrounds."""


def keep_masked(sample: Sample) -> dict[str, Tensor]:
    """What training keeps of a sample: picture, mask of the hand without its forearm, joints and camera."""
    if sample.mask is None or sample.parts is None:
        raise InputError("dense_hand: pictures with masks and parts expected")
    mask = torch.where(sample.parts == 1 + FOREARM, 0.0, sample.mask)
    return pack(Sample(sample.image, mask=mask, joints=sample.joints, joints_2d=sample.joints_2d, K=sample.K))


def labelled_feed(synth: SynthConfig, seed: int, workers: int, buffer: int) -> BufferFeed[Sample]:
    """Endless batches of pictures as they are made, `buffer` at a time."""

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(synth, seed, workers, first)

    return BufferFeed(open_stream, max(1, buffer // synth.pictures), seed, keep_masked, finish_pictures)


def stored_pictures(kept: Mapping[str, Tensor], seed: int) -> BufferFeed[Sample]:
    """Endless batches of stored pictures, as `keep_masked` keeps them, each time round in another order."""
    return stored_feed(kept, seed, finish_pictures)


def background_feed(synth: SynthConfig, seed: int, chunk: int = 32) -> BufferFeed[Sample]:
    """Endless batches of what is behind hands of a stream, without hands."""

    def open_stream(first: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield drawn_backgrounds(synth, seed, chunk, first)
            first += 1

    return BufferFeed(open_stream, 4, seed, dict, finish_background)


def drawn_backgrounds(synth: SynthConfig, seed: int, count: int, number: int = 0) -> dict[str, Tensor]:
    """Batch `number` of `count` pictures of what is behind hands of a stream, as bytes: `image` alone."""
    domain = DOMAINS[synth.domain]
    bank = tile_bank(synth.tiles, synth.backgrounds, synth.photograph_share, "cpu", domain.painters, domain.half)
    drawn = draw_backgrounds(generator(seed, number), count, len(bank))
    return {"image": (255 * backgrounds(drawn, bank, synth.size)).round().to(torch.uint8)}


def finish_background(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """Pictures of `background_feed` as floats."""
    return unpack(kept)


def mixed(labelled: BufferFeed[Sample], behind: BufferFeed[Sample] | None, model: DenseHandConfig, batch: int) -> Feed:
    """A method's batches: `batch` pictures and, if there is such a feed, a background for each new hand."""
    feeds = {LABELLED: labelled} | ({} if behind is None else {BACKGROUNDS: behind})
    return MixedFeed(feeds, dict(zip(feeds, counts(model, batch), strict=False)))


def counts(model: DenseHandConfig, batch: int) -> tuple[int, int]:
    """Pictures and backgrounds in a step with new hands."""
    return batch, min(batch, model.seeds) * model.generated


@dataclass
class Found:
    """What a network finds in N pictures."""

    joints: Tensor
    """(N, 21, 3) metres, camera frame; the root's true depth is given."""
    masks: Tensor
    """(N, S, S) what the hand covers, to the wrist."""
    pixels_off: Tensor
    """(N,) of Eq. 12, from true joints."""
    path: Tensor | None
    """(iterations + 1, N, 21, 3) joints on the way of refinement, if there is one."""


@torch.no_grad()
def found_hands(network: DenseHand, sample: Sample, iterations: int = 0, batch: int = BATCH) -> Found:
    """Hands in pictures with cameras, refined by so many iterations; computed where the network is, and back where the sample is.

    Args:
        network: ready for inference.
        sample: pictures with joints and cameras.
        iterations: of Eq. 13.
        batch: pictures at a time.
    """
    network.eval()
    device, size = next(network.parameters()).device, network.config.size
    parts: list[list[Tensor]] = []
    paths = []
    for start in range(0, len(sample), batch):
        part = sample[start : start + batch].to(device)
        assert part.image is not None and part.K is not None and part.joints is not None
        depth = part.joints[:, ROOT, 2]
        found = network.estimate(part.image, part.K)
        parameters = found.parameters
        if iterations:
            refined = network.refine(part.image, part.K, found, iterations)
            parameters = refined.parameters
            paths.append(
                torch.stack([at_depth(network.hand.joints(step, part.K, size), depth) for step in refined.path])
            )
        vertices, joints, _ = network.hand(parameters, part.K, size)
        off = pixels_off(normalised_skeleton(joints, part.K, size), true_skeleton(part)[..., :2])
        parts.append([at_depth(joints, depth), network.masks(vertices, part.K), off])
    home = sample.K.device if sample.K is not None else device
    joints, masks, off = (torch.cat(values).to(home) for values in zip(*parts, strict=True))
    return Found(joints, masks, off, torch.cat(paths, 1).to(home) if paths else None)


def figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out figures without refinement: error of joints in mm, of heat maps' joints and of the mesh's in 224ths of the picture, share
    of hands within tau of Eq. 12, intersection over union of masks."""
    model = _trained(network)
    assert sample.image is not None and sample.joints is not None and sample.mask is not None
    found = found_hands(model, sample)
    truth = true_skeleton(sample)[..., :2]
    device = next(model.parameters()).device
    peaks = torch.cat([model.found_joints(part.to(device)).to(truth.device) for part in sample.image.split(BATCH)])
    return {
        "joints_mm": float(1000 * (found.joints - sample.joints).norm(dim=-1).mean()),
        "px_of_224": float(found.pixels_off.mean()),
        "maps_px_of_224": float(pixels_off(peaks, truth).mean()),
        "below_tau": float((found.pixels_off < model.config.threshold).float().mean()),
        "mask_iou": float(iou(mask_counts(found.masks.numpy(), sample.mask.numpy()).sum(0))),
    }


def evidence_figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out figures of the start: joints of heat maps, and those read out of the features, in 224ths of the picture."""
    model = _trained(network)
    assert sample.image is not None
    device, truth = next(model.parameters()).device, true_skeleton(sample)[..., :2]
    said: list[list[Tensor]] = []
    with torch.no_grad():
        for images in sample.image.split(BATCH):
            images = images.to(device)
            said.append([model.found_joints(images), model.readout(model.features(images)).unflatten(1, (-1, 2))])
    maps, read = (pixels_off(torch.cat(values).to(truth.device), truth) for values in zip(*said, strict=True))
    return {"maps_px_of_224": float(maps.mean()), "features_px_of_224": float(read.mean())}


def prepare(config: DenseHandTraining) -> Prepared:
    """A run of `phalanx train dense_hand`. Raises InputError if settings, the hand or the weights to begin with are at fault."""
    if config.synth.size != config.model.size or not config.synth.dense:
        raise InputError(
            f"synth: needs pictures of {config.model.size} pixels, the model's size, with masks, not {config.synth.size}"
        )
    alone = phase_of(config.model.size, config.batch, config.reuse)
    both = phase_of(config.model.size, sum(counts(config.model, config.batch)), config.reuse)
    for loop, phase in ((config.loop, alone), (config.warm, alone), (config.together, both)):
        check_config(loop, [phase], config.seed)
    hand, mean_pose = chosen_hand(config.mano)

    def pictures(behind: bool) -> Feed:
        feed = labelled_feed(config.synth, config.seed, config.workers, config.buffer)
        other = background_feed(config.synth, config.seed + BACKGROUND_STREAM) if behind else None
        return mixed(feed, other, config.model, config.batch)

    shown = cache(partial(held_out, config))
    return Prepared(
        begun(config.model, config.loop.seed, config.start_from, hand, mean_pose),
        [
            Stage(
                "evidence",
                config.loop,
                [alone],
                partial(pictures, False),
                lambda network, size: evidence_figures(network, shown()),
                players_of_evidence,
            ),
            Stage(
                "warm", config.warm, [alone], partial(pictures, False), lambda network, size: figures(network, shown())
            ),
            Stage(
                "together",
                config.together,
                [both],
                partial(pictures, True),
                lambda network, size: figures(network, shown()),
            ),
        ],
        fixed={
            name: value for name, value in asdict(config).items() if name not in ("loop", "warm", "together", "workers")
        },
        data=[synthesis(config.synth, "joints, masks"), *photographs(config.synth, config.photographs_licence)],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


def run(config: DenseHandTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def phase_of(size: int, batch: int, reuse: int = 1) -> Phase:
    """The only phase of a stage."""
    return Phase(1.0, size, batch, reuse)


Evaluate = Callable[[nn.Module, int], dict[str, float]]


def train_on_pictures(
    model: DenseHand,
    kept: Mapping[str, Tensor],
    behind: Mapping[str, Tensor] | None,
    loops: Sequence[LoopConfig],
    batch: int,
    out: str | Path,
    evaluate: Evaluate = lambda network, size: {},
    resume: bool = False,
    report: Say = say,
) -> DenseHand:
    """Train the mesh on stored pictures in the folder `out`, first without new hands and then with; returns the averaged network.

    Args:
        model: what is trained, and changed.
        kept: pictures, as `keep_masked` keeps them.
        behind: backgrounds, `image` alone; None: no new hands are made, and the second stage is as the first.
        loops: budgets of both; pictures alone count, not the backgrounds beside.
        batch: pictures a step.
        evaluate: figures for the curve of the averaged networks.
    """
    model.train().requires_grad_(True)
    first, second = loops
    kinds = counts(model.config, batch)
    whole = batch if behind is None else sum(kinds)
    second = scaled(second, whole / batch)

    def feed(with_new: bool) -> Feed:
        others = (
            stored_feed(behind, second.seed + BACKGROUND_STREAM, finish_background) if with_new and behind else None
        )
        return mixed(stored_pictures(kept, first.seed), others, model.config, batch)

    size = model.config.size
    stages = [
        Stage("warm", first, [phase_of(size, batch)], partial(feed, False), evaluate),
        Stage("together", second, [phase_of(size, whole)], partial(feed, True), evaluate),
    ]
    about = {
        "model": asdict(model.config),
        "batch": batch,
        "pictures": checksum(dict(kept)),
        "behind": None if behind is None else checksum(dict(behind)),
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    return _trained(train(model, stages, out, resume, report, about=about, settings=about))


def scaled(loop: LoopConfig, factor: float) -> LoopConfig:
    """A budget whose counts of pictures are so many times as large."""
    counts_of: dict[str, Any] = {}
    for name in ("samples", "average", "warmup", "evaluate_every"):
        value = getattr(loop, name)
        counts_of[name] = None if value is None else round(factor * value)
    return replace(loop, **counts_of)


def chosen_hand(mano: Path | None) -> tuple[HandModel, Tensor | None]:
    """The open hand, or MANO's with its mean pose. Raises InputError if the file is at fault or of a left hand."""
    if mano is None:
        return HandModel.open_hand(), None
    found = load_mano(mano)
    if found.side != "right":
        raise InputError(f"mano: {mano} is of a left hand; pictures are of right ones")
    return found.model, mano_pose(found)


def begun(
    config: DenseHandConfig,
    seed: int,
    start_from: Path | None = None,
    hand: HandModel | None = None,
    mean_pose: Tensor | None = None,
) -> DenseHand:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = DenseHand(config, hand, mean_pose)
    if start_from is not None:
        model.start_from(load(start_from, hand, True, mean_pose).state_dict())
    return model


def held_out(config: DenseHandTraining) -> Sample:
    """The pictures that a run is evaluated on: of another stream."""
    parts: list[dict[str, Tensor]] = []
    with closing(stream(config.synth, config.seed + HELD_OUT_SEED, config.workers)) as source:
        while sum(len(part["image"]) for part in parts) < config.held_out:
            parts.append(keep_masked(next(source)))
    return unpack(joined(parts))


def players_of_evidence(model: nn.Module) -> tuple[Player, ...]:
    """Who moves in the start."""
    return _trained(model).players_of_evidence()


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.dense_hand.load`."""
    save_weights(_trained(network), path)


def _trained(network: nn.Module) -> DenseHand:
    assert isinstance(network, DenseHand)
    return network
