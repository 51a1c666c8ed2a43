"""Training `methods.sphere_fitting`: first on synthetic depth, then on recordings, without labels or, as an upper bound, with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.hand.sphere_priors import joints_of_spheres, sample_joints
from phalanx.hand.spheres import sphere_centres
from phalanx.methods.sphere_fitting import (
    ARCHITECTURE,
    METHOD,
    FittingBatch,
    SphereFittingConfig,
    SphereFittingEstimator,
    load,
    save_weights,
    untrained_prior,
)
from phalanx.nets.pose_vae import PoseVAE
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import synthesis
from phalanx.train.cubes import draw_views, keep_cubes
from phalanx.train.feed import BufferFeed
from phalanx.train.loop import train
from phalanx.train.plan import HELD_OUT_SEED, LoopConfig, Phase, Stage, check_config
from phalanx.train.recordings import LabelledFeed, MixtureConfig, UnlabelledFeed, finish_cubes
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

Watch = Callable[[SphereFittingEstimator], dict[str, float]]
HeldOut = Callable[[], dict[str, CubeViews]]

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""


@dataclass
class SphereFittingTraining:
    """Training on synthetic depth alone (Wan et al. 2019, Sec. 3.3)."""

    model: SphereFittingConfig = field(default_factory=SphereFittingConfig)
    """The network and its losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30, learning_rate=1e-3, kernel_rate=0.02))
    """Budget, schedule, optimiser."""
    synth: SynthConfig = field(default_factory=lambda: SynthConfig(tiles=8, skins=2, depth_sensor="ideal"))
    """The pictures; colour is not looked at."""
    noise: bool = True
    """Whether depth is made noisy (Sec. 4.1)."""
    turn: float = 0.0
    """Degrees by which maps are turned in their plane, at most, to either side."""
    batch: int = 32
    """Frames a step."""
    reuse: int = 2
    """Times each generated picture is trained on."""
    seed: int = 1
    """Of the stream of pictures."""
    workers: int = 2
    """Processes that generate."""
    buffer: int = 8_000
    """Pictures generated at a time."""
    prior_steps: int = 3_000
    """Steps that the prior on poses is trained for beforehand."""
    start_from: Path | None = None
    """Weights to begin with, prior included, of a network of the same size, width and stacks; none: none."""
    held_out: int = 512
    """Frames that a run is evaluated on."""


def train_prior(seed: int, steps: int, batch: int = 256) -> PoseVAE:
    """The prior on poses of Eq. 13, trained on sampled hands; takes about ten seconds a thousand steps."""
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        prior = untrained_prior()
    points = sphere_centres(sample_joints(generator(seed, 41), 40 * batch))
    descent = torch.optim.Adam(prior.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, max(steps, 1))
    for _ in range(steps):
        chosen = torch.randint(len(points), (batch,), generator=random)
        descent.zero_grad()
        prior.training_loss(points[chosen], random).backward()
        descent.step()
        schedule.step()
    return prior.eval()


@torch.no_grad()
def estimate_joints(network: SphereFittingEstimator, maps: Tensor, batch: int = 32) -> Tensor:
    """Joints `(N, 21, 3)` in metres, cube frame, of maps `(N, S, S)`; computed where the network is, and back where the maps are."""
    device = next(network.parameters()).device
    network.eval()
    parts = [joints_of_spheres(network(part.to(device, torch.float32))) for part in maps.split(batch)]
    return torch.cat(parts).to(maps.device)


def joint_errors(network: SphereFittingEstimator, views: CubeViews) -> Tensor:
    """Distances `(N, 21)` in mm of estimated joints to those of labelled frames, each view by itself."""
    assert views.joints is not None
    return 1000 * (estimate_joints(network, views.maps.flatten(0, 1)) - views.joints.flatten(0, 1)).norm(dim=-1)


def train_on_synthesis(
    config: SphereFittingTraining, out: str | Path, held_out: HeldOut, resume: bool = False, report: Say = say
) -> SphereFittingEstimator:
    """Train on synthetic depth in the folder `out`; returns the averaged network.

    Args:
        held_out: gives labelled frames by name, whose mean joint errors stand in the curve; called at the first evaluation.

    Raises:
        InputError: see `train.loop.train`.
    """
    model, stage = begun(config), stage_on_synthesis(config, held_out)
    return _trained(train(model, [stage], out, resume, report, about=asdict(config), settings=asdict(config)))


def begun(config: SphereFittingTraining) -> SphereFittingEstimator:
    """The network that a run begins with. Raises InputError if the weights to begin with are of another one."""
    check_config(config.loop, [_phase(config)], config.seed)
    torch.manual_seed(config.loop.seed)
    if config.start_from is None:
        return SphereFittingEstimator(config.model, train_prior(config.seed, config.prior_steps))
    model = load(config.start_from, trainable=True)
    for name in ARCHITECTURE:
        if getattr(model.config, name) != getattr(config.model, name):
            raise InputError(
                f"{config.start_from}: has a {name} of {getattr(model.config, name)}; give it as --model.{name}"
            )
    model.config = config.model
    return model


def stage_on_synthesis(config: SphereFittingTraining, held_out: HeldOut) -> Stage:
    """Training on labelled synthetic frames; `held_out` as `train_on_synthesis` has it."""
    feed = partial(synthetic_feed, config)
    return Stage("synthesis", config.loop, [_phase(config)], feed, _evaluation(held_out))


def prepare(config: SphereFittingTraining) -> Prepared:
    """A run of `phalanx train sphere_fitting`. Raises InputError if the weights to begin with are at fault."""

    def held_out() -> dict[str, CubeViews]:
        seed, size = config.seed + HELD_OUT_SEED, config.model.size
        return {"held_out": draw_views(config.synth, seed, config.held_out, size, config.workers)}

    return Prepared(
        begun(config),
        [stage_on_synthesis(config, held_out)],
        fixed=asdict(config),
        data=[synthesis(config.synth, "joints")],
        start=config.start_from,
        weights=WEIGHTS,
        save=_save,
    )


def run(config: SphereFittingTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) on synthetic depth in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: the weights to begin with are at fault, or see `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def train_on_recordings(
    model: SphereFittingEstimator,
    recordings: Sequence[CubeViews],
    synthetic: SphereFittingTraining | None,
    config: MixtureConfig,
    out: str | Path,
    held_out: HeldOut = dict,
    resume: bool = False,
    watch: Watch = lambda network: {},
    report: Say = say,
) -> SphereFittingEstimator:
    """Train a network on recordings without labels in the folder `out`; returns the averaged one.

    Args:
        model: as `train_on_synthesis` returned it; it is changed. Its `config.weights` are those of the terms.
        recordings: unlabelled frames, those of each kind apart (labels, where there are some, are not looked at).
        synthetic: what labelled frames to mix in; none: none.
        config: budget and mixture.
        held_out: labelled frames by name, as `train_on_synthesis` takes them.
        watch: figures for the curve, by name, of the network as it is at an evaluation.
        report: is given a line at every evaluation.
    """
    views = sum(part.maps.shape[1] for part in recordings)
    batch = config.frames * views + (0 if synthetic is None else config.labelled)

    def feed() -> UnlabelledFeed:
        labelled = None if synthetic is None else synthetic_feed(synthetic)
        return UnlabelledFeed(recordings, labelled, config, config.loop.seed)

    _one_process(config.loop)
    about = {
        "fit": {"frames": config.frames, "labelled": config.labelled},
        "model": asdict(model.config),
        "recordings": [checksum({"maps": part.maps, "to_first": part.to_first}) for part in recordings],
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    phase = Phase(1.0, model.config.size, batch, 1 if synthetic is None else synthetic.reuse)
    stage = Stage("recordings", config.loop, [phase], feed, _evaluation(held_out, watch))
    return _trained(
        train(
            _trainable(model),
            [stage],
            out,
            resume,
            report,
            about=about,
            settings={"loop": asdict(config.loop), **about},
        )
    )


def train_on_labels(
    model: SphereFittingEstimator,
    recordings: CubeViews,
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    held_out: HeldOut = dict,
    resume: bool = False,
    report: Say = say,
) -> SphereFittingEstimator:
    """Train a network, which is changed, on recordings with their labels in the folder `out`; returns the averaged one."""
    _one_process(loop)
    about = {
        "model": asdict(model.config),
        "recordings": checksum({"maps": recordings.maps}),
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    phase = Phase(1.0, model.config.size, batch, 1)
    stage = Stage("labels", loop, [phase], partial(LabelledFeed, recordings, True, loop.seed), _evaluation(held_out))
    return _trained(
        train(_trainable(model), [stage], out, resume, report, about=about, settings={"loop": asdict(loop), **about})
    )


def synthetic_feed(config: SphereFittingTraining) -> BufferFeed[FittingBatch]:
    """Endless labelled frames as `config` has them."""

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(config.synth, config.seed, config.workers, first)

    chunks = max(1, config.buffer // config.synth.pictures)
    keep, finish = partial(keep_cubes, config.model.size), partial(finish_cubes, config.noise, turn=config.turn)
    return BufferFeed(open_stream, chunks, config.seed, keep, finish)


def _phase(config: SphereFittingTraining) -> Phase:
    return Phase(1.0, config.model.size, config.batch, config.reuse)


def _one_process(loop: LoopConfig) -> None:
    if loop.processes != 1:
        raise InputError(f"train: recordings are trained on by one process, not by {loop.processes}")


def _trainable(model: SphereFittingEstimator) -> SphereFittingEstimator:
    model.train().requires_grad_(True)
    model.prior.requires_grad_(False)
    return model


def _evaluation(held_out: HeldOut, watch: Watch = lambda network: {}) -> Callable[[nn.Module, int], dict[str, float]]:
    frames = cache(held_out)

    def figures(network: nn.Module, size: int) -> dict[str, float]:
        errors = {
            f"{name}_mm": float(joint_errors(_trained(network), views).mean()) for name, views in frames().items()
        }
        return errors | watch(_trained(network).eval())

    return figures


def _save(network: nn.Module, path: Path) -> None:
    save_weights(_trained(network), path, HandModel.open_hand())


def _trained(network: nn.Module) -> SphereFittingEstimator:
    assert isinstance(network, SphereFittingEstimator)
    return network
