"""The table of TASSN (Chen 2020, Table 4.1), made again: `phalanx reproduce tassn`.

STB and MHP are not shipped; clips of moving hands of our own stand in, of the domain `field`, labelled with 2D joints alone and tested on.
The 3D labels that the thesis takes from the weights of Ge et al. 2019 are here those of the domain `studio`, which has no light, skin,
background, camera or build in common with `field` (`methods.temporal`).

- **TASSN w/o L_c**: Eq. 4.1 and 4.2 alone; **TASSN w/o L_c^m**: with consistency of poses; **TASSN**: of poses and meshes.
- **3D labels**, which the thesis does not have: the same network and steps, with 3D labels of `field` in place of all that.
- **start**: what stages 1 and 2 leave; **mean pose**: one hand for all frames, which is the mean of all test frames.
- **TASSN and ...**: with what is set beyond print (`TemporalWeights`): 2D joints of the pose at their labels, lengths of bones, prior.
- **from nothing**: mesh and pose begin with random weights in stage 3, so no 3D label has been seen.

Rows of a seed share stages 1 and 2, and make as many steps behind them. The wrist's depth and the length of a bone are given in all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.files import writable_folder
from phalanx.data.hand_depth import scale_of
from phalanx.data.images import image_bytes
from phalanx.geometry.camera import Camera
from phalanx.methods.base import Player
from phalanx.methods.temporal import METHOD, ROOT, Temporal, TemporalConfig, in_metres, load
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_0_50, zimmermann_20_50
from phalanx.metrics.video import acceleration_errors, jitter
from phalanx.nets.weights import checksum
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import cached_start, kept_tensors, start_folder, start_is_there
from phalanx.reproduce.pairs import PairsWorld, reproduce_on_pairs
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.synth import SynthConfig
from phalanx.synth.version import ENGINE
from phalanx.train.card import synthesis
from phalanx.train.loop import train
from phalanx.train.plan import Feed, LoopConfig, Phase, Stage
from phalanx.train.run import Prepared, silent
from phalanx.train.temporal import (
    WEIGHTS,
    Kept,
    Seen,
    begun,
    clips_of,
    drawn_clips,
    figures,
    save,
    seen,
    start_feed,
    start_stages,
    stored_feed,
    trained,
)
from phalanx.view.overlay import draw_turned
from phalanx.view.samples import draw_joints, sheet, write_sheet

HELP = """\
Trains the network on clips of the domain field with 2D labels alone, after a start on clips of the domain studio with 3D labels, with and
without consistency of forward and backward order, and tests on field. Writes tassn.md (the table), tassn.png (correct joints within an
error), tassn.json, and sheets of test clips with joints. The scale smoke takes a minute, cpu an hour and a quarter on one core for
one seed, paper days on a GPU.

examples:
  phalanx reproduce tassn --out runs/tassn
  phalanx reproduce tassn --out runs/few --seeds 1 --rows "TASSN w/o L_c" TASSN
"""

WITHOUT, POSE, WHOLE = "TASSN w/o L_c", "TASSN w/o L_c^m", "TASSN"
LABELS = "3D labels, the upper bound"

SEEDS_OF = {"field": 900_031, "studio": 900_032}
"""Of the streams of clips."""

SHOWN = 4
"""Clips on a sheet."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/tassn_*.yaml`."""

    clips: int
    """Of `field`, to train on."""
    labelled: int
    """Of `studio`, with 3D labels."""
    labelled_frames: int
    """Pictures of each of those; `start_window` at least. Few, so that there are as many hands as can be."""
    validation: int
    """Clips of `field` to choose settings by; the curves of trainings are of them."""
    test: int
    """Clips of `field` to test on."""
    frames: int
    """Pictures of a clip."""
    frame_rate: float
    """Pictures a second."""
    model: TemporalConfig
    """The networks, and the weights of print."""
    evidence: LoopConfig
    """Stage 1; counts clips, as all do."""
    start: LoopConfig
    """Mesh and pose of `studio`."""
    mesh: LoopConfig
    """Stage 2."""
    whole: LoopConfig
    """Stage 3."""
    batch: int
    """Clips a step in stages 2 and 3."""
    start_batch: int
    """Clips a step before, half of them of `studio`."""
    start_window: int
    """Neighbouring frames of each then."""
    project: float
    """Weight of the option of that name."""
    bones: float
    """Likewise."""
    prior: float
    """Likewise."""
    workers: int
    """Processes that make clips."""


@dataclass(frozen=True)
class StartTraining:
    """What stages 1 and 2 are made of."""

    model: TemporalConfig
    loop: LoopConfig
    start: LoopConfig
    mesh: LoopConfig
    clips: int
    labelled: int
    labelled_frames: int
    frames: int
    frame_rate: float
    batch: int
    start_batch: int
    start_window: int


class World(PairsWorld[Scale]):
    """What rows work with; clips are made or read when the first row asks for them."""

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        scale = self.scale
        return self._made("field", scale.clips + scale.validation + scale.test, scale.frames)

    @cached_property
    def studio(self) -> dict[str, Tensor]:
        """Clips with 3D labels."""
        return self._made("studio", self.scale.labelled, self.scale.labelled_frames)

    def clips(self, labels: bool) -> dict[str, Tensor]:
        """Of `field`, to train on; with silhouettes, or with 3D labels."""
        left = "silhouette" if labels else "vertices"
        return {name: value[: self.scale.clips] for name, value in self._field.items() if name != left}

    def validation(self) -> dict[str, Tensor]:
        """Clips of `field` to look at while training."""
        first = self.scale.clips
        return {name: value[first : first + self.scale.validation] for name, value in self._field.items()}

    def test(self) -> dict[str, Tensor]:
        """Clips of `field` to test on."""
        return {name: value[-self.scale.test :] for name, value in self._field.items()}

    def start(self, seed: int) -> StartTraining:
        """Settings of stages 1 and 2."""
        scale = self.scale
        return StartTraining(
            scale.model,
            self.loop(scale.evidence, seed),
            self.loop(scale.start, seed),
            self.loop(scale.mesh, seed),
            scale.clips,
            scale.labelled,
            scale.labelled_frames,
            scale.frames,
            scale.frame_rate,
            scale.batch,
            scale.start_batch,
            scale.start_window,
        )

    def started(self, seed: int) -> Temporal:
        """Networks that have gone through stages 1 and 2, out of the cache or now."""
        weights = cached_start(METHOD, self._prepare, self.start(seed), self.cache, self.say)
        network = load(weights, trainable=True)
        network.config = self.scale.model
        return network.to(self.device)

    def loop(self, loop: LoopConfig, seed: int) -> LoopConfig:
        """A budget of a seed on the run's device."""
        return replace(loop, seed=seed, device=self.device)

    def start_training(self, seed: int) -> Training:
        """What stages 1 and 2 take."""
        config = self.start(seed)
        folder = start_folder(METHOD, config, self.cache)
        clips = sum(loop.samples or 0 for loop in (config.loop, config.start, config.mesh))
        return Training(folder, "start", clips, self._bytes, start_is_there(folder))

    def whole_training(self, folder: Path) -> Training:
        """What stage 3 takes."""
        return Training(folder, "stage 3", self.scale.whole.samples or 0, self._bytes)

    def seconds(self, kind: str) -> float:
        """Seconds a clip of a training ("start", "stage 3"), by a few steps."""
        scale = self.scale
        network, batch = begun(scale.model, 0), scale.start_batch if kind == "start" else scale.batch
        kept = noise_clips(batch, scale.frames, scale.model.size, network.vertices)

        def steps(count: int) -> None:
            loop = replace(scale.whole, samples=count * batch)
            with tempfile.TemporaryDirectory() as folder:
                phases = [Phase(1.0, scale.model.size, batch, 1)]
                if kind == "start":
                    both = partial(self._both, kept, kept, batch, 0)
                    stages = start_stages(loop, loop, loop, (phases, phases), both, both, lambda network, size: {})[:2]
                else:
                    feed = partial(stored_feed, kept, 0, scale.model.window)
                    stages = [Stage("whole", loop, phases, feed, lambda network, size: {})]
                train(network, stages, folder, report=silent)

        return seconds_a_picture(steps, 2 * batch if kind == "start" else batch)

    def _made(self, name: str, clips: int, frames: int) -> dict[str, Tensor]:
        """The first clips of a stream; made where they are not in the cache yet."""
        scale = self.scale
        config = clip_synthesis(name, scale.model.size, frames, scale.frame_rate)
        about = {"engine": ENGINE, "synth": asdict(config), "seed": SEEDS_OF[name], "clips": clips}
        title = f"tassn-{name}-{config.size}px-{clips}x{frames}-{scale.frame_rate:g}hz-engine{ENGINE}"
        size = clips * frames * (12 * config.size**2 + 6 * 1769 + 600)

        def draw() -> dict[str, Tensor]:
            return drawn_clips(config, SEEDS_OF[name], clips, max(1, scale.workers), name == "field")

        return kept_tensors(self.cache / "clips" / f"{title}.safetensors", draw, size, about, self.say)

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(Temporal(self.scale.model))

    def _both(self, target: Kept, labelled: Kept, batch: int, seed: int) -> Feed:
        window = self.scale.start_window
        return start_feed(stored_feed(target, seed, window), stored_feed(labelled, seed, window), batch)

    def _prepare(self, config: StartTraining) -> Prepared:
        target, labelled, shown = self.clips(False), self.studio, self.validation()
        size, window, seed = config.model.size, config.model.window, config.loop.seed
        phases = [Phase(1.0, size, config.start_batch, 1)], [Phase(1.0, size, config.batch, 1)]
        stages = start_stages(
            config.loop,
            config.start,
            config.mesh,
            phases,
            partial(self._both, target, labelled, config.start_batch, seed),
            partial(stored_feed, target, seed, window),
            lambda network, size: figures(network, shown),
        )
        return Prepared(
            begun(config.model, seed),
            stages,
            fixed={name: value for name, value in asdict(config).items() if name not in ("loop", "start", "mesh")},
            data=[
                synthesis(clip_synthesis(name, size, config.frames, config.frame_rate), labels)
                for name, labels in (("field", "2D joints"), ("studio", "joints, vertices"))
            ],
            start=None,
            weights=WEIGHTS,
            save=save,
        )


@dataclass(frozen=True)
class Consistency:
    """Stage 3 behind the shared start."""

    pose: bool = True
    """Eq. 4.3."""
    mesh: bool = True
    """Eq. 4.4."""
    options: tuple[str, ...] = ()
    """What is set beyond print: `project`, `bones`, `prior`."""
    labels: bool = False
    """3D labels in place of all that."""
    nothing: bool = False
    """Mesh and pose begin with random weights."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed), world.whole_training(folder)]

    def config(self, scale: Scale) -> TemporalConfig:
        """The networks with the weights of this row."""
        changed = {name: getattr(scale, name) for name in self.options}
        changed |= {} if self.pose else {"pose_consistency": 0.0}
        changed |= {} if self.mesh else {"mesh_consistency": 0.0}
        return replace(scale.model, weights=replace(scale.model.weights, **changed))

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network, scale = world.started(seed), world.scale
        network.config = self.config(scale)
        if self.nothing:
            begin_again(network, seed)
        begin = checksum({name: value.cpu() for name, value in network.state_dict().items()})
        kept, shown = world.clips(self.labels), world.validation()
        loop = world.loop(scale.whole, seed)
        stage = Stage(
            "whole",
            loop,
            [Phase(1.0, scale.model.size, scale.batch, 1)],
            partial(stored_feed, kept, seed, scale.model.window),
            lambda network, size: figures(network, shown),
            _by_labels if self.labels else _by_equations,
        )
        about = {"row": asdict(self), "start": begin, "model": asdict(network.config)}
        network.train().requires_grad_(True)
        found = train(network, [stage], folder, True, world.say, about=about, settings={"loop": asdict(loop), **about})
        return tested(world, trained(found), folder)


@dataclass(frozen=True)
class Start:
    """What stages 1 and 2 leave."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        return tested(world, world.started(seed), folder)


@dataclass(frozen=True)
class MeanPose:
    """One hand for all frames, in lengths of a bone from the wrist: the mean of the test frames themselves, at the true wrist."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return []

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        kept = world.test()
        truth = kept["joints"]
        scale = scale_of(truth.flatten(0, 1)).view(*truth.shape[:2], 1, 1)
        root = truth[:, :, ROOT : ROOT + 1]
        mean = ((truth - root) / scale).flatten(0, 1).mean(0)
        joints = mean * scale + root
        flat = torch.zeros(truth.shape[:2])
        return outcome_of(Seen(joints, joints, truth, flat, flat), kept, world.scale.frame_rate)


def tested(world: World, network: Temporal, folder: Path) -> Outcome:
    """What trained networks say of the test clips; and a sheet of some."""
    kept = world.test()
    found = seen(network.requires_grad_(False), kept)
    show(world, folder, network, kept)
    return outcome_of(found, kept, world.scale.frame_rate)


COLUMNS = 47
"""Numbers of a frame in an outcome: the errors of 21 joints, the same from the wrist, both in mm; error of acceleration (m/s^2) and jitter
(m/s^3), NaN where neighbours lack; distance of both orders in mm; depth of the mesh, and its true one, in lengths of a bone."""


def outcome_of(found: Seen, kept: Kept, frame_rate: float) -> Outcome:
    """`COLUMNS` of each frame; frames of a clip belong together."""
    clips, frames = found.truth.shape[:2]
    off = found.forward - found.truth
    relative = off - off[:, :, ROOT : ROOT + 1]
    joints, truth = found.forward.double().numpy(), found.truth.double().numpy()
    acceleration, jerk = (np.full((clips, frames), np.nan) for _ in range(2))
    for clip in range(clips):
        acceleration[clip, 1:-1] = acceleration_errors(joints[clip], truth[clip], frame_rate).mean(-1)
        jerk[clip, 2:-1] = jitter(joints[clip], frame_rate).mean(-1)
    scale = scale_of(found.truth.flatten(0, 1)).view(clips, frames)
    deep = kept["vertices"][..., 2].float().std(-1, unbiased=False) / scale
    apart = 1000 * (found.forward - found.backward).norm(dim=-1).mean(-1)
    rest = [torch.from_numpy(acceleration), torch.from_numpy(jerk), apart, found.deep, deep]
    columns = [1000 * off.norm(dim=-1), 1000 * relative.norm(dim=-1), *(value[..., None] for value in rest)]
    errors = torch.cat([column.double() for column in columns], dim=-1).flatten(0, 1)
    assert errors.shape[1] == COLUMNS
    return Outcome(errors.numpy(), np.repeat(np.arange(clips), frames))


def begin_again(network: Temporal, seed: int) -> None:
    """Give mesh and pose random weights, in place; the hourglass stays as it is."""
    fresh = begun(network.config, seed)
    for part in ("trunk", "surface", "reader"):
        getattr(network, part).load_state_dict(getattr(fresh, part).state_dict())


def clip_synthesis(domain: str, size: int, frames: int, frame_rate: float) -> SynthConfig:
    """Clips of moving hands of a domain, with meshes."""
    return SynthConfig(
        size=size, scene="motion", domain=domain, frames=frames, frame_rate=frame_rate, tiles=64, skins=8
    )


def noise_clips(count: int, frames: int, size: int, vertices: int) -> dict[str, Tensor]:
    """As many clips without meaning, as `train.temporal.keep_clips` keeps them, to try the speed of a training on."""
    flow = torch.zeros(count, frames - 1, 2, size, size).half()
    K = torch.tensor([[size, 0.0, size / 2], [0.0, size, size / 2], [0.0, 0.0, 1.0]])
    return {
        "image": torch.zeros(count, frames, 3, size, size, dtype=torch.uint8),
        "forward": flow,
        "backward": flow,
        "joints": 0.1 * torch.rand(count, frames, 21, 3) + 0.5,
        "joints_2d": size * torch.rand(count, frames, 21, 2),
        "K": K.expand(count, frames, 3, 3),
        "silhouette": torch.zeros(count, frames, size, size, dtype=torch.uint8),
        "vertices": 0.1 * torch.rand(count, frames, vertices, 3).half(),
    }


@dataclass(frozen=True)
class Meshed:
    """A mesh as `view.overlay.draw_turned` draws it."""

    joints: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray


@torch.no_grad()
def show(world: World, folder: Path, network: Temporal, kept: Kept) -> None:
    """A sheet beside the table: test clips, one a row, with estimated joints drawn on them; then, of the last frame, the true mesh and the
    estimated one from the side."""
    shown = clips_of({name: value[:SHOWN] for name, value in kept.items()})
    device = network.faces.device
    reading = network.read(shown.images.to(device), shown.forward.to(device))
    joints = in_metres(reading, shown.to(device)).cpu()
    assert shown.mesh is not None and shown.pose is not None
    size, faces = shown.images.shape[-1], network.faces.cpu().numpy()
    scale, tiles = max(1, 192 // shown.images.shape[-1]), []
    for clip in range(len(shown)):
        for frame in range(joints.shape[1]):
            places = Camera(shown.K[clip, frame], size, size).project(joints[clip, frame]).double().numpy()
            tiles.append(draw_joints(image_bytes(shown.images[clip, frame]), places, scale))
        for mesh, pose in ((shown.mesh, shown.pose), (reading.mesh, reading.pose)):
            unit = float(shown.scale[clip, -1])
            points, surface = (unit * part[clip, -1].cpu().double().numpy() for part in (pose, mesh))
            hand = Meshed(points, surface, faces)
            tiles.append(draw_turned(hand, scale * size, scale * size))
    write_sheet(writable_folder(world.folder) / f"tassn_{folder.name}.png", sheet(tiles, joints.shape[1] + 2))


def _by_labels(model: nn.Module) -> tuple[Player, ...]:
    return trained(model).players_of_labels()


def _by_equations(model: nn.Module) -> tuple[Player, ...]:
    return trained(model).players()


ROWS: tuple[Row[World], ...] = (
    Row(WITHOUT, Consistency(pose=False, mesh=False), "main", WITHOUT),
    Row(POSE, Consistency(mesh=False), "main", POSE),
    Row(WHOLE, Consistency(), "main", WHOLE),
    Row(LABELS, Consistency(labels=True), "main"),
    Row("start, stages 1 and 2 alone", Start(), "main"),
    Row("mean pose", MeanPose(), gap=False),
    Row("TASSN and 2D joints", Consistency(options=("project",))),
    Row("TASSN and bones", Consistency(options=("bones",))),
    Row("TASSN and prior", Consistency(options=("prior",))),
    Row("TASSN and 2D joints, bones, prior", Consistency(options=("project", "bones", "prior"))),
    Row("2D joints, bones, prior w/o L_c", Consistency(False, False, ("project", "bones", "prior"))),
    Row("TASSN from nothing", Consistency(nothing=True)),
    Row("2D joints, bones, prior, from nothing", Consistency(options=("project", "bones", "prior"), nothing=True)),
)


def _mean(first: int, last: int) -> Callable[[np.ndarray], float]:
    def measure(errors: np.ndarray) -> float:
        return float(np.nanmean(errors[:, first:last]))

    return measure


def _joints(measure: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
    return lambda errors: measure(errors[:, :21])


def _depth(errors: np.ndarray) -> float:
    return 100 * float(errors[:, 45].mean() / errors[:, 46].mean())


FIGURES = (
    Figure("epe_3d_mm", "joint error, mm", _mean(0, 21), published="mean_mm"),
    Figure("auc_0_50", "AUC 0-50", _joints(lambda errors: auc_trapezoid(errors, zimmermann_0_50())), 3, "auc_0_50"),
    Figure("auc_20_50", "AUC 20-50", _joints(lambda errors: auc_trapezoid(errors, zimmermann_20_50())), 3, "auc_20_50"),
    Figure("relative_mm", "from the wrist, mm", _mean(21, 42)),
    Figure("acceleration", "acceleration error, m/s²", _mean(42, 43)),
    Figure("jitter", "jitter, m/s³", _mean(43, 44), 1),
    Figure("both_ways_mm", "forward to backward, mm", _mean(44, 45)),
    Figure("mesh_depth", "depth of meshes, % of the true", _depth, 0),
)


def _head(world: World) -> list[str]:
    scale = world.scale
    model, loops = scale.model, (scale.evidence, scale.start, scale.mesh, scale.whole)
    terms = ", ".join(f"{name} {value:g}" for name, value in asdict(model.weights).items())
    truth = world.test()["joints"].double().numpy()
    jerk = float(np.mean([jitter(clip, scale.frame_rate).mean() for clip in truth]))
    budgets = [loop.samples for loop in loops]
    return [
        f"Data: {scale.clips} clips of `field` of {scale.frames} frames, {scale.frame_rate:g} a second, with 2D labels alone, silhouettes "
        f"by GrabCut and flow by DIS; {scale.labelled} clips of `studio`, of {scale.labelled_frames}, with meshes for the start; "
        f"tested on {scale.test} other clips of `field`, settings chosen on {scale.validation} more.",
        "Published: of STB.",
        "Compared: 21 joints before the camera, clips gone through forward. Root: the wrist's depth is given. Scale: the length of the "
        "middle finger's first bone is given. Alignment: none; from the wrist: both wrists are laid on each other. Areas under the curve: "
        "20 and 12 thresholds, trapezoid rule (Zimmermann and Brox 2017).",
        f"The jitter of the truth is {jerk:.1f} m/s³. A flat mesh has no depth; the mean pose's is left out.",
        f"Weights of the loss: {terms}; in the options project {scale.project:g}, bones {scale.bones:g}, prior {scale.prior:g}. Units: "
        "heat maps squared and summed over cells, silhouettes in per cent of the pixels, all else in lengths of that bone, squared.",
        f"Training: {model.size} pixels, hourglasses: {model.stacks} of {model.width} channels; {budgets} clips in stage 1, the start with "
        f"3D labels, and stages 2 and 3; in the first two {scale.start_window} neighbouring frames of each and {scale.start_batch} clips a "
        f"step, then {model.window} and {scale.batch}; in "
        f"{scale.whole.precision}.",
    ]


PAPER = Paper(
    "tassn",
    "chen_2020",
    ROWS,
    FIGURES,
    Curve(
        "joint error (mm)",
        "joints within (%)",
        np.arange(0.0, 51.0),
        lambda errors, thresholds: pck_curve(errors[:, :21], thresholds),
    ),
    (WITHOUT, LABELS),
    _head,
    lambda world, kind: world.seconds(kind),
)


reproduce = partial(reproduce_on_pairs, PAPER, Scale, World)
"""`phalanx reproduce tassn`."""
