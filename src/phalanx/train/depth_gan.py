"""Training `methods.depth_gan`: both modules apart on pictures with their depth maps, then together with depth maps of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.data.hand_depth import hand_depth
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.methods.base import Player
from phalanx.methods.depth_gan import (
    COLOUR,
    DEPTH,
    METHOD,
    DepthGAN,
    DepthGANConfig,
    limits,
    load,
    relative_map,
    save_weights,
)
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, MixedFeed
from phalanx.train.loop import train
from phalanx.train.paired import (
    Keep,
    camera_joints,
    check_pairs,
    drawn_pictures,
    keep_pictures,
    restored,
    stored_feed,
    synthetic_feed,
)
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config, players_of
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

PlayersOf = Callable[[nn.Module], tuple[Player, ...]]


@dataclass
class DepthGANTraining:
    """Training on synthesis: the start on pairs of one domain, the rest on pictures and unpaired depth maps of another."""

    model: DepthGANConfig = field(default_factory=DepthGANConfig)
    """The networks and their losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30))
    """Budget, schedule, optimiser of the start, in which both modules are trained apart."""
    together: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=30, learning_rate=3e-4, kernel_rate=4e-3, average=8_000)
    )
    """Of the end-to-end training."""
    pairs: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=64, domain="studio", depth_sensor="domain", tiles=64, skins=8)
    )
    """Pictures of the start, with their depth maps."""
    synth: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=64, domain="field", depth_sensor="domain", tiles=64, skins=8)
    )
    """Pictures of the end-to-end training; and, of other hands, its depth maps."""
    batch: int = 32
    """Pictures a step; end to end, as many depth maps are judged beside."""
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


DEPTH_STREAM = 500_009
"""Added to the seed for the stream whose depth maps are judged: no picture of it is shown."""


def keep_depth(sample: Sample) -> dict[str, Tensor]:
    """The hand's depth alone, in half precision: what is judged beside drawn maps."""
    return {"depth": hand_depth(sample).half()}


def mixed(colour: BufferFeed[Sample], depth: BufferFeed[Sample] | None, batch: int) -> Feed:
    """A method's batches: `batch` pictures and, if there is such a feed, as many depth maps of others."""
    feeds = {COLOUR: colour} | ({} if depth is None else {DEPTH: depth})
    return MixedFeed(feeds, dict.fromkeys(feeds, batch))


def phase_of(size: int, batch: int, kinds: int, reuse: int) -> Phase:
    """The only phase of a stage whose batches have as many kinds."""
    return Phase(1.0, size, kinds * batch, reuse)


@torch.no_grad()
def drawn_maps(network: DepthGAN, images: Tensor, batch: int = 64) -> Tensor:
    """Depth maps (N, S, S), 0 to 1, that the network draws of pictures (N, 3, S, S)."""
    device = next(network.parameters()).device
    return torch.cat([network.draw(part.to(device)).to(images.device) for part in images.split(batch)])


def drawn_errors(drawn: Tensor, depth: Tensor) -> Tensor:
    """How far drawn maps (N, S, S) are from the hand's depth (N, S, S) in metres, mm, of each picture (N,); without readings NaN.

    The mean over the hand's readings, where the drawn map is brought to the true map's range: it has none of its own.
    """
    read = depth > 0
    off = (drawn - relative_map(depth)).abs() * limits(depth)[1][:, None, None]
    return 1000 * torch.where(read, off, 0.0).sum(dim=(1, 2)) / read.sum(dim=(1, 2))


def figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out errors in mm: of joints, of their depths alone, and of drawn depth maps over the hand."""
    model = _trained(network)
    assert sample.image is not None and sample.joints is not None and sample.depth is not None
    off = 1000 * (camera_joints(model, sample) - sample.joints)
    drawn = drawn_errors(drawn_maps(model, sample.image), sample.depth)
    return {
        "joints_mm": float(off.norm(dim=-1).mean()),
        "z_mm": float(off[..., 2].abs().mean()),
        "drawn_mm": float(drawn.nanmean()),
    }


def prepare(config: DepthGANTraining) -> Prepared:
    """A run of `phalanx train depth_gan`. Raises InputError if settings or the weights to begin with are at fault."""
    size = config.model.size
    for name, synth in (("pairs", config.pairs), ("synth", config.synth)):
        check_pairs(name, synth, size)
    alone, both = (phase_of(size, config.batch, kinds, config.reuse) for kinds in (1, 2))
    check_config(config.loop, [alone], config.seed)
    check_config(config.together, [both], config.seed)

    def feed(synth: SynthConfig, keep: Keep, seed: int) -> BufferFeed[Sample]:
        return synthetic_feed(synth, seed, config.workers, config.buffer, keep)

    def pairs() -> Feed:
        return mixed(feed(config.pairs, keep_pictures, config.seed), None, config.batch)

    def unpaired() -> Feed:
        colour = feed(config.synth, keep_pictures, config.seed)
        return mixed(colour, feed(config.synth, keep_depth, config.seed + DEPTH_STREAM), config.batch)

    apart = cache(partial(held_out, config, config.pairs))
    together = cache(partial(held_out, config, config.synth))
    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        [
            Stage(
                "apart",
                config.loop,
                [alone],
                pairs,
                lambda network, size: figures(network, apart()),
                players_apart,
            ),
            Stage("together", config.together, [both], unpaired, lambda network, size: figures(network, together())),
        ],
        fixed={name: value for name, value in asdict(config).items() if name not in ("loop", "together", "workers")},
        data=[
            synthesis(config.pairs, "joints, depth"),
            synthesis(config.synth, "joints"),
            synthesis(config.synth, "depth of others"),
        ],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


def run(config: DepthGANTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def train_on_pictures(
    model: DepthGAN,
    colour: Mapping[str, Tensor],
    depth: Mapping[str, Tensor] | None,
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    players: PlayersOf = players_of,
    evaluate: Callable[[nn.Module, int], dict[str, float]] = lambda network, size: {},
    resume: bool = False,
    report: Say = say,
) -> DepthGAN:
    """Train networks, which are changed, on stored pictures in the folder `out`; returns the averaged ones.

    Args:
        model: what is trained.
        colour: pictures with joints and their depth, as `keep_pictures` keeps them.
        depth: depth maps of others, as `keep_depth` keeps them; None: none are shown.
        loop: budget, schedule, optimiser; it counts pictures and depth maps of others.
        batch: pictures a step, and depth maps of others.
        players: who moves, and so what is learnt from.
        evaluate: figures for the curve of the averaged networks.
    """
    model.train().requires_grad_(True)
    feed = partial(_stored, colour, depth, batch, loop.seed)
    stage = Stage(
        "pictures", loop, [phase_of(model.config.size, batch, 1 if depth is None else 2, 1)], feed, evaluate, players
    )
    about = {
        "model": asdict(model.config),
        "batch": batch,
        "colour": checksum(dict(colour)),
        "depth": None if depth is None else checksum(dict(depth)),
        "players": [player.name for player in players(model)],
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    settings = {"loop": asdict(loop), **about}
    return _trained(train(model, [stage], out, resume, report, about=about, settings=settings))


def _stored(colour: Mapping[str, Tensor], depth: Mapping[str, Tensor] | None, batch: int, seed: int) -> Feed:
    others = None if depth is None else stored_feed(depth, seed + DEPTH_STREAM)
    return mixed(stored_feed(colour, seed), others, batch)


def begun(config: DepthGANConfig, seed: int, start_from: Path | None = None) -> DepthGAN:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = DepthGAN(config)
    if start_from is not None:
        model.start_from(load(start_from, trainable=True).state_dict())
    return model


def held_out(config: DepthGANTraining, synth: SynthConfig) -> Sample:
    """The pictures that a run is evaluated on: of another stream."""
    return restored(drawn_pictures(synth, config.seed + HELD_OUT_SEED, config.held_out, config.workers))


def players_apart(model: nn.Module) -> tuple[Player, ...]:
    """Who moves in the start."""
    return _trained(model).players_apart()


def players_of_pose(model: nn.Module) -> tuple[Player, ...]:
    """The estimating module alone."""
    return _trained(model).players_of_pose()


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.depth_gan.load`."""
    save_weights(_trained(network), path, HandModel.open_hand())


def _trained(network: nn.Module) -> DepthGAN:
    assert isinstance(network, DepthGAN)
    return network
