"""Training `methods.sphere_fitting`: started on synthetic depth, then fitted to recordings without labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_whole
from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import EXTENT, nearest_hand
from phalanx.geometry.grids import sampling_grid
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.hand.sphere_priors import joints_of_spheres, sample_joints
from phalanx.hand.spheres import sphere_centres
from phalanx.methods.sphere_fitting import (
    ARCHITECTURE,
    METHOD,
    FittingBatch,
    SphereFittingConfig,
    SphereFittingEstimator,
    add_noise,
    load,
    save_weights,
    untrained_prior,
)
from phalanx.nets.pose_vae import PoseVAE
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import write_card
from phalanx.train.feed import BufferFeed
from phalanx.train.loop import CHECKPOINT, HELD_OUT_SEED, LoopConfig, Phase, check_config, train

Watch = Callable[[SphereFittingEstimator], dict[str, float]]
_say = partial(print, flush=True)

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""
_LOOSE, _ASTRAY = (
    0.012,
    0.08,
)  # metres: spread of a cube's middle about the hand's, and how far one that was searched for may be


@dataclass
class StartConfig:
    """Training on synthetic depth alone (Sec. 3.3)."""

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


@dataclass
class FitConfig:
    """Fitting to recordings (Sec. 3.4), from weights that synthetic depth was learnt with."""

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=20, learning_rate=3e-4, kernel_rate=4e-3, average=4_000)
    )
    """Budget, schedule, optimiser."""
    frames: int = 8
    """Recorded frames of each kind a step; one of several views counts once."""
    labelled: int = 24
    """Synthetic frames a step, mixed in; with far fewer, single views lead a network astray."""


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


def loose_middles(sample: Sample, random: np.random.Generator) -> Tensor:
    """Middles `(B, 3)` of cubes as a detector would put them: half near the hand's own, half where the nearest thing is found.

    Labels decide where a picture is cut, as in the protocols of public sets, and nothing else.
    """
    assert sample.joints is not None and sample.K is not None
    middles = sample.joints.mean(1)
    loose = middles + torch.from_numpy(random.normal(0, _LOOSE, middles.shape)).to(middles)
    depth = sample.depth if sample.sensed_depth is None else sample.sensed_depth
    assert depth is not None
    found = nearest_hand(depth, sample.K)
    near = (found - middles).norm(dim=1) < _ASTRAY  # false where nothing is read
    searched = torch.from_numpy(random.random(len(middles)) < 0.5)
    return torch.where((near & searched)[:, None], found, loose)


def cut(sample: Sample, views: int, size: int) -> CubeViews:
    """The hands of a synthetic sample in cubes; the same for the same sample."""
    assert sample.ids is not None
    return cube_views(sample, views, size, loose_middles(sample, generator(*sample.ids[0].tolist(), 7)))


def draw_views(config: SynthConfig, seed: int, frames: int, size: int, workers: int = 0) -> CubeViews:
    """`frames` frames of the stream `seed`, with labels, by every camera of `config`'s rig; maps in half precision."""
    parts: list[CubeViews] = []
    with closing(stream(config, seed, workers)) as source:
        while sum(map(len, parts)) < frames:
            views = cut(next(source), config.views * config.times, size)
            views.maps = views.maps.half()
            parts.append(views)
    return concatenate_views(parts)[:frames]


def keep_cubes(size: int, sample: Sample) -> dict[str, Tensor]:
    """What training keeps of a synthetic sample."""
    views = cut(sample, 1, size)
    assert views.joints is not None
    return {"maps": views.maps.half(), "joints": views.joints, "middles": views.middles}


def turned(maps: Tensor, joints: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Maps `(B, V, S, S)` and joints `(B, V, 21, 3)` turned clockwise in the picture's plane by `angles (B,)` in radians."""
    turn = rotvec_to_rotmat(angles[:, None] * torch.tensor([0.0, 0.0, 1.0]))  # (B, 3, 3)
    grid = sampling_grid(turn.mT[:, :2], maps.shape[-1])  # where cells come from
    far = 0.5 * EXTENT
    seen = F.grid_sample(maps - far, grid, mode="nearest", align_corners=False) + far
    return seen, joints @ turn[:, None].mT


def finish_cubes(
    noise: bool, kept: Mapping[str, Tensor], size: int, random: torch.Generator, turn: float = 0.0
) -> FittingBatch:
    """A batch of labelled frames out of what was kept; `turn` in degrees, as `StartConfig` has it."""
    maps, joints = kept["maps"].float(), kept["joints"]
    if turn:
        angles = torch.deg2rad(turn * (2 * torch.rand(len(maps), generator=random) - 1))
        maps, joints = turned(maps, joints, angles)
    if noise:
        maps = add_noise(maps.flatten(0, 1), random).view_as(maps)
    still = torch.eye(4).expand(*maps.shape[:2], 4, 4)
    return FittingBatch(CubeViews(maps, still, kept["middles"], joints))


class FittingFeed:
    """Batches of recorded frames, drawn at random, with synthetic ones mixed in.

    Args:
        recordings: unlabelled frames; those of several views and of one apart.
        labelled: a feed of labelled frames, or None.
        config: how many of each.
        seed: of the draws.
    """

    def __init__(
        self, recordings: Sequence[CubeViews], labelled: BufferFeed[FittingBatch] | None, config: FitConfig, seed: int
    ) -> None:
        if not recordings or not all(len(views) for views in recordings):
            raise InputError("fitting: there are no recorded frames")
        self._recordings = tuple(CubeViews(views.maps, views.to_first, views.middles) for views in recordings)
        self._labelled, self._config, self._seed, self._step = labelled, config, seed, 0

    def next(self, batch: int, size: int, reuse: int) -> FittingBatch:
        """The next batch; `batch` counts its frames, for the loop's books."""
        random = generator(self._seed, self._step)
        self._step += 1
        drawn = tuple(
            views[torch.from_numpy(random.integers(0, len(views), self._config.frames))] for views in self._recordings
        )
        mixed = FittingBatch() if self._labelled is None else self._labelled.next(self._config.labelled, size, reuse)
        return FittingBatch(mixed.labelled, tuple(views.to("cpu") for views in drawn))

    def state(self) -> dict[str, int]:
        return {"step": self._step} | ({} if self._labelled is None else self._labelled.state())

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]
        if self._labelled is not None:
            self._labelled.restore({name: value for name, value in state.items() if name != "step"})


class LabelledFeed:
    """Batches of recorded frames with their labels, each view by itself: what an upper bound is trained on."""

    def __init__(self, recordings: CubeViews, noise: bool, seed: int) -> None:
        self._views, self._noise, self._seed, self._step = recordings.single_views(), noise, seed, 0

    def next(self, batch: int, size: int, reuse: int) -> FittingBatch:
        """The next `batch` frames."""
        random = generator(self._seed, self._step)
        self._step += 1
        drawn = self._views[torch.from_numpy(random.integers(0, len(self._views), batch))]
        if drawn.joints is None:
            raise InputError("supervise: the recordings have no labels")
        kept = {"maps": drawn.maps, "joints": drawn.joints, "middles": drawn.middles}
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        return finish_cubes(self._noise, kept, size, noise)

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]


@torch.no_grad()
def estimate_joints(network: SphereFittingEstimator, maps: Tensor, batch: int = 32) -> Tensor:
    """Joints `(N, 21, 3)` in metres, cube frame, of maps `(N, S, S)`."""
    network.eval()
    return torch.cat([joints_of_spheres(network(part.float())) for part in maps.split(batch)])


def joint_errors(network: SphereFittingEstimator, views: CubeViews) -> Tensor:
    """Distances `(N, 21)` in mm of estimated joints to those of labelled frames, each view by itself."""
    assert views.joints is not None
    return 1000 * (estimate_joints(network, views.maps.flatten(0, 1)) - views.joints.flatten(0, 1)).norm(dim=-1)


def start(
    config: StartConfig, out: str | Path, held_out: Callable[[], dict[str, CubeViews]], resume: bool = False
) -> SphereFittingEstimator:
    """Train on synthetic depth in the folder `out`; returns the averaged network.

    Args:
        held_out: gives labelled frames by name, whose mean joint errors stand in the curve; called once the network stands, so that
            a fault of its settings is said before the minutes that frames take.

    Raises:
        InputError: see `train.loop.train`.
    """
    check_config(config.loop, [Phase(1.0, config.model.size, config.batch, config.reuse)], config.seed)
    torch.manual_seed(config.loop.seed)
    if config.start_from is None:
        model = SphereFittingEstimator(config.model, train_prior(config.seed, config.prior_steps))
    else:
        model = load(config.start_from, trainable=True)
        for name in ARCHITECTURE:
            if getattr(model.config, name) != getattr(config.model, name):
                raise InputError(
                    f"{config.start_from}: has a {name} of {getattr(model.config, name)}; give it as --model.{name}"
                )
        model.config = config.model
    feed = labelled_feed(config)
    try:
        return _descend(model, feed, config.batch, config.reuse, config.loop, out, held_out(), resume, asdict(config))
    finally:
        feed.close()


def run(config: StartConfig, out: str | Path, resume: bool = False) -> Path:
    """Train (or go on training) on synthetic depth in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: the weights to begin with are at fault, or see `train.loop.train`.
    """

    def held_out() -> dict[str, CubeViews]:
        seed, size = config.seed + HELD_OUT_SEED, config.model.size
        return {"held_out": draw_views(config.synth, seed, config.held_out, size, config.workers)}

    network = start(config, out, held_out, resume)
    path = Path(out) / WEIGHTS
    save_weights(network, path, HandModel.open_hand())
    write_card(path.with_suffix(".json"), asdict(config))
    return path


def fit(
    model: SphereFittingEstimator,
    recordings: Sequence[CubeViews],
    synthetic: StartConfig | None,
    config: FitConfig,
    out: str | Path,
    held_out: dict[str, CubeViews],
    resume: bool = False,
    watch: Watch = lambda network: {},
    say: Callable[[str], None] = _say,
) -> SphereFittingEstimator:
    """Fit a network to recordings in the folder `out`; returns the averaged one.

    Args:
        model: as `start` returned it; it is changed. Its `config.weights` are those of the terms.
        recordings: unlabelled frames (labels, where there are some, are not looked at).
        synthetic: what labelled frames to mix in; none: none.
        config: budget and mixture.
        held_out: labelled frames by name, as `start` is given them.
        watch: figures for the curve, by name, of the network as it is at an evaluation.
        say: is given a line at every evaluation.
    """
    feed = None if synthetic is None else labelled_feed(synthetic)
    mixture = FittingFeed(recordings, feed, config, config.loop.seed)
    views = sum(part.maps.shape[1] for part in recordings)
    batch = config.frames * views + (config.labelled if feed is not None else 0)
    model.train().requires_grad_(True)
    model.prior.requires_grad_(False)
    reuse = 1 if synthetic is None else synthetic.reuse
    about = {"fit": asdict(config), "model": asdict(model.config)}
    try:
        return _descend(model, mixture, batch, reuse, config.loop, out, held_out, resume, about, watch, say)
    finally:
        if feed is not None:
            feed.close()


def supervise(
    model: SphereFittingEstimator,
    recordings: CubeViews,
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    held_out: dict[str, CubeViews],
    resume: bool = False,
) -> SphereFittingEstimator:
    """Train a network, which is changed, on recordings with their labels in the folder `out`; returns the averaged one."""
    model.train().requires_grad_(True)
    model.prior.requires_grad_(False)
    feed = LabelledFeed(recordings, True, loop.seed)
    return _descend(model, feed, batch, 1, loop, out, held_out, resume, {"model": asdict(model.config)})


def labelled_feed(config: StartConfig) -> BufferFeed[FittingBatch]:
    """Endless labelled frames as `config` has them."""

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(config.synth, config.seed, config.workers, first)

    chunks = max(1, config.buffer // config.synth.pictures)
    keep, finish = partial(keep_cubes, config.model.size), partial(finish_cubes, config.noise, turn=config.turn)
    return BufferFeed(open_stream, chunks, config.seed, keep, finish)


def _descend(
    model: SphereFittingEstimator,
    feed: BufferFeed[FittingBatch] | FittingFeed | LabelledFeed,
    batch: int,
    reuse: int,
    loop: LoopConfig,
    out: str | Path,
    held_out: dict[str, CubeViews],
    resume: bool,
    about: Mapping[str, object],
    watch: Watch = lambda network: {},
    say: Callable[[str], None] = _say,
) -> SphereFittingEstimator:
    folder = writable_folder(out)
    if not (folder / CHECKPOINT).exists():  # else the run that is there keeps its own
        with write_whole(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(about, indent=1, default=str) + "\n")

    def figures(network: torch.nn.Module, size: int) -> dict[str, float]:
        assert isinstance(network, SphereFittingEstimator)
        errors = {f"{name}_mm": float(joint_errors(network, views).mean()) for name, views in held_out.items()}
        return errors | watch(network.eval())

    phases = [Phase(1.0, model.config.size, batch, reuse)]
    average = train(model, feed, figures, phases, loop, out, resume, say, about=about)
    assert isinstance(average, SphereFittingEstimator)
    return average
