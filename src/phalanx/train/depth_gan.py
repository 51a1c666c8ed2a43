"""Training `methods.depth_gan`: both modules apart on pictures with their depth maps, then together on pictures and depth maps of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import hand_depth
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.hand.model import HandModel
from phalanx.losses.depth_maps import absolute_depths
from phalanx.methods.base import Player
from phalanx.methods.depth_gan import (
    COLOUR,
    DEPTH,
    METHOD,
    ROOT,
    DepthGAN,
    DepthGANConfig,
    load,
    relative_map,
    save_weights,
    scale_of,
)
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, MixedFeed, finish_pictures
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

Keep = Callable[[Sample], dict[str, Tensor]]
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


def keep_pictures(sample: Sample) -> dict[str, Tensor]:
    """What training keeps of a sample with sensed depth: the picture as bytes, the hand's depth in half precision, joints and camera."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    assert sample.K is not None
    image = (sample.image * 255).round().to(torch.uint8)
    kept = {"joints": sample.joints, "joints_2d": sample.joints_2d, "K": sample.K}
    return {"image": image, **keep_depth(sample), **kept}


def keep_depth(sample: Sample) -> dict[str, Tensor]:
    """The hand's depth alone, in half precision."""
    return {"depth": hand_depth(sample).half()}


def finish(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """A batch of what was kept: pictures, if there are some, with photometric augmentation; depth in metres."""
    depth = kept["depth"].float()
    if "image" not in kept:
        return Sample(depth=depth)
    sample = finish_pictures({name: value for name, value in kept.items() if name != "depth"}, size, random)
    sample.depth = depth
    return sample


def stored_feed(kept: Mapping[str, Tensor], seed: int) -> BufferFeed[Sample]:
    """Endless batches of stored pictures, each time round in another order; `kept` as `keep_pictures` or `keep_depth` gives it."""

    def again(start: int) -> Iterator[Mapping[str, Tensor]]:
        while True:
            yield kept

    return BufferFeed(again, 1, seed, dict, finish)


def synthetic_feed(synth: SynthConfig, keep: Keep, seed: int, workers: int, buffer: int) -> BufferFeed[Sample]:
    """Endless batches of pictures as they are made."""

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(synth, seed, workers, first)

    return BufferFeed(open_stream, max(1, buffer // synth.pictures), seed, keep, finish)


def mixed(colour: BufferFeed[Sample], depth: BufferFeed[Sample] | None, batch: int) -> Feed:
    """A method's batches: `batch` pictures and, if there is such a feed, as many depth maps of others."""
    feeds = {COLOUR: colour} | ({} if depth is None else {DEPTH: depth})
    return MixedFeed(feeds, dict.fromkeys(feeds, batch))


def phase_of(size: int, batch: int, kinds: int, reuse: int) -> Phase:
    """The only phase of a stage whose batches have as many kinds."""
    return Phase(1.0, size, kinds * batch, reuse)


@torch.no_grad()
def camera_joints(network: DepthGAN, sample: Sample, batch: int = 64) -> Tensor:
    """Joints (N, 21, 3) in metres, camera frame, as the network estimates them; the true depth of the root and the true scale are given.

    Computed where the network is, and back where the sample is.
    """
    assert sample.image is not None and sample.joints is not None and sample.K is not None
    device, size = next(network.parameters()).device, sample.image.shape[-1]
    parts = [network(images.to(device)) for images in sample.image.split(batch)]
    places, relative = (torch.cat(values).to(sample.image.device) for values in zip(*parts, strict=True))
    depths = absolute_depths(relative, sample.joints[:, ROOT, 2], scale_of(sample.joints))
    return Camera(sample.K, size, size).unproject(places * size - 0.5, depths)


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
    nearest = torch.where(read, depth, torch.inf).amin(dim=(1, 2))
    span = depth.amax(dim=(1, 2)) - nearest
    off = (drawn - relative_map(depth)).abs() * span.clamp_min(0)[:, None, None]
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
        if synth.size != size or synth.depth_sensor is None:
            raise InputError(
                f"{name}: needs pictures of {size} pixels, the model's size, and a depth sensor, not {synth.size} and {synth.depth_sensor}"
            )
    alone, both = (phase_of(size, config.batch, kinds, config.reuse) for kinds in (1, 2))
    check_config(config.loop, [alone], config.seed)
    check_config(config.together, [both], config.seed)

    def feed(synth: SynthConfig, keep: Keep, seed: int) -> BufferFeed[Sample]:
        return synthetic_feed(synth, keep, seed, config.workers, config.buffer)

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
                lambda model: _trained(model).players_apart(),
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


def begun(config: DepthGANConfig, seed: int, start_from: Path | None = None) -> DepthGAN:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = DepthGAN(config)
    if start_from is not None:
        model.start_from(load(start_from, trainable=True).state_dict())
    return model


def held_out(config: DepthGANTraining, synth: SynthConfig) -> Sample:
    """The pictures that a run is evaluated on: of another stream."""
    count = max(1, config.held_out // synth.pictures)
    with closing(stream(synth, config.seed + HELD_OUT_SEED, config.workers, 0)) as source:
        kept = [keep_pictures(next(source)) for _ in range(count)]
    return restored({name: torch.cat([part[name] for part in kept]) for name in kept[0]})


def restored(kept: Mapping[str, Tensor]) -> Sample:
    """What was kept as a sample, without augmentation."""
    return Sample(**{n: v.float() / 255 if n == "image" else v.float() for n, v in kept.items()})


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.depth_gan.load`."""
    save_weights(_trained(network), path, HandModel.open_hand())


def _trained(network: nn.Module) -> DepthGAN:
    assert isinstance(network, DepthGAN)
    return network
