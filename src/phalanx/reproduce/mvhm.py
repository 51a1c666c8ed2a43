"""The table of MVHM (Chen 2020, Table 5.2), made again: `phalanx reproduce mvhm`.

MHP and STB are not shipped; hands of our own stand in, each seen by all cameras of a rig at once. The domain `field` stands for MHP and
STB, labelled with joints alone and tested on; `studio`, which has no light, skin, background, camera or build in common with it, for the
multi-view mesh set.

- **SV w/o MVHM**: the network of one view, trained on `field`; **SV w/ MVHM**: as many of `studio` with meshes beside.
- **MV w/o MVHM**, **MV w/ MVHM**: these networks with their views joined, on the same pictures.
- **the same of STB**: `field` by a stereo pair, and of one person.
- **triangulation**, which the thesis does not have: the default estimator, which learnt from other pictures and larger ones, in all views,
  and one hand fitted to what it says (`fit.views`).
- **best view**, likewise: of each test frame, the view in which the heat maps of SV w/ MVHM are highest, or whose error is least.

All rows of one kind make as many steps, with as many pictures of `field` in each; those of the set come beside. Rows of several views
go on from the row of one view with the same data and seed. The wrist's depth before each camera and the length of a bone are given
(`methods.multi_view`), but not to the triangulation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.hand_depth import scale_of
from phalanx.data.images import image_bytes
from phalanx.geometry.camera import Camera
from phalanx.methods.multi_view import METHOD, ROOT, MultiView, MultiViewConfig, Views, load, to_cameras
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_0_50, zimmermann_20_50
from phalanx.nets.readout import peaks
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import cached_start, kept_tensors, start_folder, start_is_there
from phalanx.reproduce.mvhm_triangulation import fitted_joints
from phalanx.reproduce.pairs import PairsWorld, reproduce_on_pairs
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training, slug
from phalanx.synth import SynthConfig
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.version import ENGINE
from phalanx.train.card import synthesis
from phalanx.train.feed import stored_feed
from phalanx.train.loop import train
from phalanx.train.multi_view import (
    WEIGHTS,
    Kept,
    SingleLoops,
    begun,
    figures,
    finish_single,
    framed,
    keep_view,
    predicted_frames,
    save,
    single_feed,
    single_stages,
    train_on_frames,
    view_error,
    views_of,
)
from phalanx.train.paired import drawn_pictures
from phalanx.train.plan import Feed, LoopConfig, Phase
from phalanx.train.run import Prepared, silent
from phalanx.view.samples import draw_joints, sheet, write_sheet

HELP = """\
Trains a network of one view on pictures of the domain field with joints alone, and with pictures of the domain studio that have meshes,
then joins the views of a rig, and tests on field. Writes mvhm.md (the table), mvhm.png (correct joints within an error), mvhm.json, and
sheets of test pictures with joints. The scale smoke takes a minute, cpu an hour and a half on one core for three seeds, paper days on a
GPU.

examples:
  phalanx reproduce mvhm --out runs/mvhm
  phalanx reproduce mvhm --out runs/few --seeds 1 --rows "SV w/ MVHM" "MV w/ MVHM"
"""

SINGLE, SINGLE_SET = "SV w/o MVHM", "SV w/ MVHM"
SEVERAL, SEVERAL_SET = "MV w/o MVHM", "MV w/ MVHM"
TRIANGULATED = "default estimator, triangulated and fitted"
STEREO, STEREO_SET = f"{SINGLE}, as STB", f"{SINGLE_SET}, as STB"
SUREST, BEST = "best view of SV w/ MVHM, by its heat maps", "best view of SV w/ MVHM, by its error"

SEEDS_OF = {"field": 900_021, "studio": 900_022, "stereo": 900_023}
"""Of the streams of pictures."""

STEREO_RIG = "upright_stereo@1"
"""STB's camera before one person."""

COUNTS = ("samples", "average", "warmup", "evaluate_every")
"""What of a training's budget counts pictures."""

VIEWS_FILE = "views.json"
"""In the folder of a row of several views: the error by how many of them are there."""

SHOWN = 6
"""Frames on a sheet."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/mvhm_*.yaml`."""

    rig: str
    """Cameras of `field` and `studio`."""
    hands: int
    """Of `field` to train on, each seen by all cameras."""
    mesh_hands: int
    """Of `studio`."""
    stereo_hands: int
    """Of one person in `field`, to train on, each seen by two cameras."""
    test: int
    """Hands to test on, of each."""
    model: MultiViewConfig
    """The networks."""
    evidence: LoopConfig
    """Stage 1 of a single view."""
    mesh: LoopConfig
    """Stage 2."""
    depth: LoopConfig
    """Stage 3."""
    single: LoopConfig
    """Stage 4."""
    fusion: LoopConfig
    """Stage 1 of several views; counts frames."""
    whole: LoopConfig
    """Stage 2; counts frames."""
    batch: int
    """Pictures a step."""
    frames: int
    """Frames a step of several views."""
    workers: int
    """Processes that make pictures."""


@dataclass(frozen=True)
class SingleTraining:
    """What the training of a single view is made of."""

    model: MultiViewConfig
    loop: LoopConfig
    mesh: LoopConfig
    depth: LoopConfig
    single: LoopConfig
    rig: str
    hands: int
    mesh_hands: int
    """0: no meshes."""
    batch: int


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        return self._made("field", "field", self.scale.rig, self.scale.hands + self.scale.test, False)

    @cached_property
    def _stereo(self) -> dict[str, Tensor]:
        return self._made("stereo", "field", STEREO_RIG, self.scale.stereo_hands + self.scale.test, False)

    @cached_property
    def studio(self) -> dict[str, Tensor]:
        """Pictures with meshes."""
        return self._made("studio", "studio", self.scale.rig, self.scale.mesh_hands, True)

    def pictures(self, rig: str) -> dict[str, Tensor]:
        """Of `field`, to train on."""
        kept, test = self._kept(rig)
        return {name: value[:-test] for name, value in kept.items()}

    def test(self, rig: str) -> dict[str, Tensor]:
        """Frames of `field` to test on."""
        kept, test = self._kept(rig)
        return framed({name: value[-test:] for name, value in kept.items()}, test // self.scale.test)

    def single(self, seed: int, meshes: bool, rig: str) -> SingleTraining:
        """Settings of the training of a single view."""
        scale = self.scale
        first, mesh, depth, single = (
            self._loop(loop, seed, meshes) for loop in (scale.evidence, scale.mesh, scale.depth, scale.single)
        )
        hands = scale.stereo_hands if rig == STEREO_RIG else scale.hands
        others = scale.mesh_hands if meshes else 0
        batch = scale.batch * _kinds(meshes)
        return SingleTraining(scale.model, first, mesh, depth, single, rig, hands, others, batch)

    def trained(self, seed: int, meshes: bool, rig: str) -> MultiView:
        """Networks whose single view is trained, out of the cache or now."""
        weights = cached_start(METHOD, self._prepare, self.single(seed, meshes, rig), self.cache, self.say)
        network = load(weights, trainable=True)
        network.config = self.scale.model
        return network.to(self.device)

    def loops(self, seed: int, meshes: bool) -> tuple[LoopConfig, LoopConfig]:
        """Budgets of both stages of several views."""
        return self._loop(self.scale.fusion, seed, meshes), self._loop(self.scale.whole, seed, meshes)

    def _loop(self, loop: LoopConfig, seed: int, meshes: bool) -> LoopConfig:
        """A budget, in which the set's pictures count, too."""
        counts = {name: _kinds(meshes) * getattr(loop, name) for name in COUNTS}
        return replace(loop, seed=seed, device=self.device, **counts)

    def single_training(self, seed: int, meshes: bool, rig: str) -> Training:
        """What a single view takes."""
        config = self.single(seed, meshes, rig)
        folder = start_folder(METHOD, config, self.cache)
        loops = (config.loop, config.mesh, config.depth, config.single)
        pictures = sum(loop.samples or 0 for loop in loops)
        kind = "one view, with meshes" if meshes else "one view"
        return Training(folder, kind, pictures, self._bytes, start_is_there(folder))

    def views_training(self, folder: Path, meshes: bool) -> Training:
        """What joining views takes."""
        return Training(folder, "several views", sum(loop.samples or 0 for loop in self.loops(0, meshes)), self._bytes)

    def seconds(self, kind: str) -> float:
        """Seconds a picture, or a frame, of a training ("one view", "one view, with meshes", "several views"), by a few steps."""
        scale = self.scale
        views, size = scale.model.views, scale.model.size
        network = begun(scale.model, 0)
        batch = scale.frames if kind == "several views" else scale.batch
        kept = noise_views(max(batch, 2) * views, size, 0 if kind == "one view" else network.single.vertices)

        def steps(count: int) -> None:
            loops = [
                replace(loop, samples=count * batch) for loop in (scale.evidence, scale.mesh, scale.depth, scale.single)
            ]
            with tempfile.TemporaryDirectory() as folder:
                if kind == "several views":
                    fusion, whole = (replace(loop, samples=count * batch) for loop in self.loops(0, False))
                    frames = [framed(kept, views)] * 2
                    train_on_frames(network, frames, fusion, whole, batch, folder, report=silent)
                    return
                meshes = kind != "one view"
                feed = partial(_feed, kept, kept if meshes else None, batch, 0)
                phases = [Phase(1.0, size, batch, 1)]
                stages = single_stages(SingleLoops(*loops), phases, feed, lambda network, size: {}, meshes)
                train(network, stages, folder, report=silent)

        # a step of every stage, so the mean over stages
        return seconds_a_picture(steps, (2 if kind == "several views" else 4) * batch)

    def _kept(self, rig: str) -> tuple[dict[str, Tensor], int]:
        """All pictures by a rig, and how many of them are for tests."""
        return (self._stereo if rig == STEREO_RIG else self._field), self.scale.test * len(load_rig(rig))

    def _made(self, name: str, domain: str, rig: str, hands: int, vertices: bool) -> dict[str, Tensor]:
        """The first hands of a stream, each seen by all cameras; made where they are not in the cache yet."""
        config = SynthConfig(size=self.scale.model.size, domain=domain, rig=rig, dense=vertices)
        count = hands * len(load_rig(rig))
        about = {"engine": ENGINE, "synth": asdict(config), "seed": SEEDS_OF[name], "pictures": count}
        path = self.cache / "views" / f"mvhm-{name}-{rig}-{config.size}px-{hands}-engine{ENGINE}.safetensors"
        size = count * (3 * config.size**2 + 6 * 1769 * vertices + 600)

        def draw() -> dict[str, Tensor]:
            drawn = drawn_pictures(config, SEEDS_OF[name], count, max(1, self.scale.workers), keep_view)
            return {key: value[:count] for key, value in drawn.items()}

        return kept_tensors(path, draw, size, about, self.say)

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(MultiView(self.scale.model))

    def _prepare(self, config: SingleTraining) -> Prepared:
        joints = self.pictures(config.rig)
        meshes = self.studio if config.mesh_hands else None
        shown = {name: value[:64] for name, value in self.test(config.rig).items()}
        loops = SingleLoops(config.loop, config.mesh, config.depth, config.single)

        def evaluate(network: nn.Module, size: int) -> dict[str, float]:
            return {"view_mm": view_error(network, shown)}

        field = SynthConfig(size=config.model.size, domain="field", rig=config.rig)
        sources = [synthesis(field, "joints")]
        if meshes is not None:
            sources.append(synthesis(replace(field, domain="studio", rig=self.scale.rig), "joints, vertices"))
        return Prepared(
            begun(config.model, config.loop.seed),
            single_stages(
                loops,
                [Phase(1.0, config.model.size, config.batch, 1)],
                partial(_feed, joints, meshes, config.batch, config.loop.seed),
                evaluate,
                meshes is not None,
            ),
            fixed={
                name: value for name, value in asdict(config).items() if name not in ("loop", "mesh", "depth", "single")
            },
            data=sources,
            start=None,
            weights=WEIGHTS,
            save=save,
        )


@dataclass(frozen=True)
class OneView:
    """A network of one view, tested in every view."""

    meshes: bool
    """Whether the mesh set is trained on, too."""
    rig: Literal["rig", "stereo"] = "rig"
    """That of the scale, or the stereo pair before one person."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.single_training(seed, self.meshes, self._rig(world))]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.trained(seed, self.meshes, self._rig(world))
        views = seen_by_one(network, world.test(self._rig(world)))
        assert views.predicted is not None
        show(world, folder, views, views.predicted)
        frames, cameras = views.predicted.shape[:2]
        off = errors_of(views.predicted, views.joints[:, None])
        return Outcome(off.flatten(0, 1).numpy(), np.repeat(np.arange(frames), cameras))

    def _rig(self, world: World) -> str:
        return world.scale.rig if self.rig == "rig" else STEREO_RIG


@dataclass(frozen=True)
class SeveralViews:
    """A network of one view, trained on to join all views."""

    meshes: bool
    """As in `OneView`."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.single_training(seed, self.meshes, world.scale.rig), world.views_training(folder, self.meshes)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        rig, scale = world.scale.rig, world.scale
        network = world.trained(seed, self.meshes, rig)
        kinds = [world.pictures(rig), *([world.studio] if self.meshes else [])]
        frames = [framed(kept, scale.model.views) for kept in kinds]
        shown = {name: value[:64] for name, value in world.test(rig).items()}
        fusion, whole = world.loops(seed, self.meshes)
        found = train_on_frames(
            network,
            frames,
            fusion,
            whole,
            scale.frames * len(kinds),
            folder,
            lambda network, size: figures(network, shown),
            True,
            world.say,
        )
        views = seen_by_one(found, world.test(rig))
        joints = _fused(found, views)
        show(world, folder, views, joints[:, None].expand(-1, scale.model.views, -1, -1))
        write_json(writable_folder(folder) / VIEWS_FILE, by_count(found, views))
        return Outcome(errors_of(joints, views.joints).numpy(), np.arange(len(joints)))


@dataclass(frozen=True)
class BestView:
    """Of each frame one view of "SV w/ MVHM"."""

    by: Literal["heat", "error"]
    """That with the highest heat maps, as a user can tell; or that with the least error, which nobody knows."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.single_training(seed, True, world.scale.rig)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.trained(seed, True, world.scale.rig)
        frames = world.test(world.scale.rig)
        views = seen_by_one(network, frames)
        assert views.predicted is not None
        off = errors_of(views.predicted, views.joints[:, None])  # (N, V, 42)
        worth = heights(network, frames) if self.by == "heat" else -off[..., :21].mean(-1)
        chosen = worth.argmax(1)
        return Outcome(off[torch.arange(len(off)), chosen].numpy(), np.arange(len(off)))


@dataclass(frozen=True)
class Triangulation:
    """The default estimator in every view, which learnt elsewhere, and one hand fitted to what it says."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return []

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        frames, rig = world.test(world.scale.rig), load_rig(world.scale.rig)
        views = views_of(frames)
        joints = torch.from_numpy(fitted_joints(frames, rig)).float()
        show(world, folder, views, joints[:, None].expand(-1, len(rig), -1, -1))
        return Outcome(errors_of(joints, views.joints).numpy(), np.arange(len(joints)))


def errors_of(joints: Tensor, truth: Tensor) -> Tensor:
    """Errors (..., 42) in mm of joints (..., 21, 3) in metres: of the 21 in the world, and of the same with both wrists in one place."""
    off = joints - truth
    relative = off - off[..., ROOT : ROOT + 1, :]
    return 1000 * torch.cat((off.norm(dim=-1), relative.norm(dim=-1)), dim=-1)


def seen_by_one(network: MultiView, frames: Kept) -> Views:
    """Frames with their pictures and with what the network of one view says of them; networks are then ready for inference."""
    network.eval().requires_grad_(False)
    return replace(views_of(frames), predicted=predicted_frames(network, frames)["predicted"])


@torch.no_grad()
def heights(network: MultiView, frames: Kept, batch: int = 32) -> Tensor:
    """(N, V) mean height of the peaks of a view's last heat maps."""
    device, views = next(network.parameters()).device, frames["image"].shape[1]
    images = frames["image"].flatten(0, 1)
    found = [
        peaks(network.single.see(part.to(device).float() / 255)[0][-1].float())[1].mean(1).cpu()
        for part in images.split(batch)
    ]
    return torch.cat(found).view(-1, views)


def by_count(network: MultiView, views: Views) -> dict[str, float]:
    """Mean error in mm, relative to nothing, where only the first 1, 2, ... of a frame's views in random order are there."""
    assert views.predicted is not None
    frames, cameras = views.predicted.shape[:2]
    order = torch.rand(frames, cameras, generator=torch.Generator().manual_seed(0)).argsort(1).argsort(1)
    found = {}
    for count in range(1, cameras + 1):
        joints = _fused(network, replace(views, present=order < count))
        found[str(count)] = 1000 * float((joints - views.joints).norm(dim=-1).mean())
    mean = views.predicted.mean(1)
    found["mean of all"] = 1000 * float((mean - views.joints).norm(dim=-1).mean())
    return found


@torch.no_grad()
def _fused(network: MultiView, views: Views) -> Tensor:
    device = next(network.parameters()).device
    assert views.predicted is not None
    present = None if views.present is None else views.present.to(device)
    return network.fuse(views.predicted.to(device), scale_of(views.joints).to(device), present).cpu()


def show(world: World, folder: Path, views: Views, joints: Tensor) -> None:
    """A sheet beside the table: test pictures, a frame a row, with estimated joints (N, V, 21, 3) of the world drawn on them."""
    assert views.images is not None
    tiles = []
    for frame in range(min(SHOWN, len(views))):
        size = views.images.shape[-1]
        for view in range(views.images.shape[1]):
            camera = Camera(views.K[frame, view], size, size)
            before = to_cameras(joints[frame, view][None], views.world_to_camera[frame, view][None, None])[0, 0]
            picture = image_bytes(views.images[frame, view])
            tiles.append(draw_joints(picture, camera.project(before).double().numpy(), max(1, 192 // size)))
    write_sheet(world.folder / f"mvhm_{folder.name}.png", sheet(tiles, views.images.shape[1]))


def _kinds(meshes: bool) -> int:
    return 2 if meshes else 1


def noise_views(count: int, size: int, vertices: int) -> dict[str, Tensor]:
    """As many pictures without meaning, as `train.multi_view.keep_view` keeps them, to try the speed of a training on."""
    kept = {
        "image": torch.zeros(count, 3, size, size, dtype=torch.uint8),
        "joints": torch.rand(count, 21, 3) + 0.5,
        "joints_2d": size * torch.rand(count, 21, 2),
        "K": torch.eye(3).repeat(count, 1, 1),
        "world_to_camera": torch.eye(4).repeat(count, 1, 1),
    }
    return kept | ({"vertices": torch.rand(count, vertices, 3).half()} if vertices else {})


def _feed(joints: Kept, meshes: Kept | None, batch: int, seed: int) -> Feed:
    others = None if meshes is None else stored_feed(meshes, seed, finish_single)
    return single_feed(stored_feed(joints, seed, finish_single), others, batch)


ROWS: tuple[Row[World], ...] = (
    Row(SINGLE, OneView(False), "main", SINGLE),
    Row(SINGLE_SET, OneView(True), "main", SINGLE_SET),
    Row(SEVERAL, SeveralViews(False), "main", SEVERAL),
    Row(SEVERAL_SET, SeveralViews(True), "main", SEVERAL_SET),
    Row(STEREO, OneView(False, "stereo"), published=SINGLE, gap=False, dataset="stb"),
    Row(STEREO_SET, OneView(True, "stereo"), published=SINGLE_SET, gap=False, dataset="stb"),
    Row(TRIANGULATED, Triangulation(), gap=False),
    Row(SUREST, BestView("heat")),
    Row(BEST, BestView("error"), gap=False),
)


def _joints(errors: np.ndarray) -> np.ndarray:
    return errors[:, :21]


def _measured(measure: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
    return lambda errors: measure(_joints(errors))


FIGURES = (
    Figure("epe_3d_mm", "joint error, mm", _measured(lambda errors: float(errors.mean())), published="mean_mm"),
    Figure("auc_0_50", "AUC 0-50", _measured(lambda errors: auc_trapezoid(errors, zimmermann_0_50())), 3, "auc_0_50"),
    Figure(
        "auc_20_50", "AUC 20-50", _measured(lambda errors: auc_trapezoid(errors, zimmermann_20_50())), 3, "auc_20_50"
    ),
    Figure("relative_mm", "from the wrist, mm", lambda errors: float(errors[:, 21:].mean())),
)


def _head(world: World) -> list[str]:
    scale, weights = world.scale, asdict(world.scale.model.weights)
    model, terms = scale.model, ", ".join(f"{name} {value:g}" for name, value in weights.items())
    single = [loop.samples for loop in (scale.evidence, scale.mesh, scale.depth, scale.single)]
    return [
        f"Data: {scale.hands} hands of `field` by {scale.rig} ({model.views} views each) with joints alone; the set has {scale.mesh_hands} "
        f"hands of `studio` by the same rig, with meshes; tested on {scale.test} other hands of `field`. "
        f'"as STB": {scale.stereo_hands} poses of one person in `field` by a stereo pair, tested on {scale.test} other poses.',
        "Published: of MHP; of STB where the row says so.",
        "Compared: 21 joints in the world (of one view: before its camera, which is the same). Root: the depth of the wrist before each "
        "camera is given. Scale: the length of the middle finger's first bone is given. Alignment: none; in the last column both wrists "
        "are laid on each other. Areas under the curve: 20 and 12 thresholds, trapezoid rule (Zimmermann and Brox 2017).",
        f"Weights of the loss: {terms}. Units: heat maps squared and summed over cells, all else in lengths of that bone, squared.",
        f"Training: {model.size} pixels, hourglasses: {model.stacks} of {model.width} channels; a single view {single} pictures in its "
        f"four stages, {scale.batch} a step, and with the set as many beside; several views {scale.fusion.samples} and "
        f"{scale.whole.samples} frames, "
        f"{scale.frames} a step, views dropped with a chance of {model.drop:g}; in {scale.evidence.precision}.",
        *_count_lines(world),
    ]


def _count_lines(world: World) -> list[str]:
    """The error by the number of views, of what is done."""
    said = []
    for row in ROWS:
        paths = sorted((world.folder / "runs").glob(f"{slug(row)}_[0-9]*/{VIEWS_FILE}"))
        if paths:
            found = [read_json(path) for path in paths]
            means = (f"{name} {np.mean([values[name] for values in found]):.1f}" for name in found[0])
            said.append(f'"{row.name}": {", ".join(means)} mm ({len(found)} seeds)')
    if not said:
        return []
    return [
        "With so many of a frame's views present, the others absent; last the plain mean of what all say, not joined: "
        + "; ".join(said)
        + "."
    ]


PAPER = Paper(
    "mvhm",
    "chen_2020",
    ROWS,
    FIGURES,
    Curve(
        "joint error (mm)",
        "joints within (%)",
        np.arange(0.0, 51.0),
        lambda errors, thresholds: pck_curve(_joints(errors), thresholds),
    ),
    (SINGLE, SEVERAL_SET),
    _head,
    lambda world, kind: world.seconds(kind),
)


reproduce = partial(reproduce_on_pairs, PAPER, Scale, World)
"""`phalanx reproduce mvhm`."""
