"""The table of DGGAN (Chen 2020, Table 3.1; Fig. 3.7 and 3.8), made again: `phalanx reproduce dggan`.

RHD and STB are not shipped; pictures and sensed depth of our own stand in. All rows of a seed go on from one start, which is trained on
pairs of the domain `studio`, as theirs is on STB. From there on they see colour and 3D labels of the domain `field`, where they are
tested, and what depth the row says:

- **Regression**: none, and no regularizer.
- **Regression + DR + DGGAN**: drawn maps, judged against depth of `field` that belongs to none of the pictures.
- **Regression + DR + true depth map**: each picture's own, and no generator.
- **Regression + DGGAN**, printed for MHP, which has no depth: judged against depth of the other domain, `studio`.
- **Ours**: the start itself; and the rows with depth again with true 2D joints in the regularizer, as Cai et al. 2018 have it, for
  which the start is trained anew with such a regularizer.

The start has seen true depth of `studio`, and so has "Regression" therefore. All rows see as many pictures in as many steps. The wrist's
depth and the length of a bone are given (`data.hand_depth.SCALE_BONE`).
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.methods.base import Player
from phalanx.methods.depth_gan import METHOD, DepthGAN, DepthGANConfig, load, relative_map
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_20_50
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import SETS, cached_start, start_folder, start_is_there
from phalanx.reproduce.pairs import PairsWorld, noise_pairs, reproduce_on_pairs
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training, slug
from phalanx.train.card import synthesis
from phalanx.train.depth_gan import (
    WEIGHTS,
    begun,
    drawn_errors,
    drawn_maps,
    figures,
    mixed,
    phase_of,
    players_apart,
    players_of_pose,
    save,
    train_on_pictures,
)
from phalanx.train.paired import camera_joints, restored, stored_feed
from phalanx.train.plan import Feed, LoopConfig, Stage, players_of
from phalanx.train.run import Prepared, silent
from phalanx.view.samples import sheet, write_sheet

HELP = """\
Starts on colour and depth of the domain studio; goes on with colour and 3D labels of the domain field, with depth that a network draws,
with true depth or without any, and tests there. Writes dggan.md (the table), dggan.png (correct joints within an error), dggan.json, and
sheets of drawn beside true depth. The scale smoke takes a minute, cpu an hour on one core, paper a day on a GPU.

examples:
  phalanx reproduce dggan --out runs/dggan
  phalanx reproduce dggan --out runs/few --seeds 1 --rows "Regression" "Regression + DR + DGGAN"
"""

START, REGRESSION = "start", "Regression"
DRAWN, TRUE = "Regression + DR + DGGAN", "Regression + DR + true depth map"
OTHER = "Regression + DGGAN"
DRAWN_2D, TRUE_2D = f"{DRAWN}, 2D into the regularizer", f"{TRUE}, 2D into the regularizer"

SHOWN = 24
"""Pictures on a sheet."""

DRAWN_FILE = "drawn.json"
"""In the folder of a row: how far drawn depth maps are from true ones."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/dggan_*.yaml`."""

    pairs: int
    """Pictures of `studio` with their depth."""
    pictures: int
    """Pictures of `field` with 3D labels."""
    others: int
    """Depth maps of `field` that are of none of the pictures."""
    test: int
    """Pictures of `field` to test on."""
    model: DepthGANConfig
    """The networks."""
    start: LoopConfig
    """Training on pairs."""
    together: LoopConfig
    """Each training after it; counts pictures, not the depth maps beside."""
    batch: int
    """Pictures a step, and depth maps of others."""
    workers: int
    """Processes that make pictures."""


@dataclass(frozen=True)
class StartTraining:
    """What a start is made of."""

    model: DepthGANConfig
    loop: LoopConfig
    pairs: int
    batch: int


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    @cached_property
    def studio(self) -> dict[str, Tensor]:
        """The pairs."""
        return self.kept("studio", self.scale.pairs)

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        return self.kept("field", self.scale.pictures + self.scale.others + self.scale.test)

    @cached_property
    def pictures(self) -> dict[str, Tensor]:
        """With labels and their own depth."""
        return {name: value[: self.scale.pictures] for name, value in self._field.items()}

    @cached_property
    def test(self) -> Sample:
        """Pictures that rows are tested on."""
        return restored({name: value[-self.scale.test :] for name, value in self._field.items()})

    def others(self, domain: str) -> dict[str, Tensor]:
        """Depth maps of a domain that are of none of the pictures."""
        if domain == "studio":
            return {"depth": self.studio["depth"]}
        return {"depth": self._field["depth"][self.scale.pictures : -self.scale.test]}

    def start(self, seed: int, regularizer_2d: bool) -> StartTraining:
        """Settings of a start."""
        model = replace(self.scale.model, regularizer_2d=regularizer_2d)
        loop = replace(self.scale.start, seed=seed, device=self.device)
        return StartTraining(model, loop, self.scale.pairs, self.scale.batch)

    def started(self, seed: int, regularizer_2d: bool) -> DepthGAN:
        """A start, out of the cache or trained now."""
        weights = cached_start(METHOD, self._prepare, self.start(seed, regularizer_2d), self.cache, self.say)
        network = load(weights, trainable=True)
        network.config = replace(self.scale.model, regularizer_2d=regularizer_2d)
        return network

    def loop(self, seed: int, kinds: int) -> LoopConfig:
        """Budget of a training after the start, whose batches hold so many kinds."""
        loop = self.scale.together
        assert loop.samples is not None
        counts = {name: kinds * getattr(loop, name) for name in ("samples", "average", "warmup", "evaluate_every")}
        return replace(loop, seed=seed, device=self.device, **counts)

    def evaluate(self, network: nn.Module, size: int) -> dict[str, float]:
        """For curves."""
        return figures(network, self.test[:128])

    def start_training(self, seed: int, regularizer_2d: bool) -> Training:
        """What a start takes."""
        folder = start_folder(METHOD, self.start(seed, regularizer_2d), self.cache)
        return Training(folder, "start", self.scale.start.samples or 0, self._bytes, start_is_there(folder))

    def training(self, folder: Path, depth: str) -> Training:
        """What a training after the start takes."""
        kinds = 2 if depth == "drawn" else 1
        return Training(folder, depth, self.loop(0, kinds).samples or 0, self._bytes)

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(DepthGAN(self.scale.model))

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("start", "none", "drawn", "true"), by a few steps."""
        batch = self.scale.batch
        kept = noise_pairs(batch, self.scale.model.size)
        network = begun(self.scale.model, 0)
        players = players_apart if kind == "start" else players_of if kind == "drawn" else players_of_pose
        others = {"depth": kept["depth"]} if kind == "drawn" else None

        kinds = 1 if others is None else 2

        def steps(count: int) -> None:
            loop = replace(self.loop(0, kinds), samples=count * kinds * batch)
            with tempfile.TemporaryDirectory() as folder:
                train_on_pictures(network, kept, others, loop, batch, folder, players, report=silent)

        return seconds_a_picture(steps, kinds * batch)

    def _prepare(self, config: StartTraining) -> Prepared:
        def feed() -> Feed:
            return mixed(stored_feed(self.studio, config.loop.seed), None, config.batch)

        phases = [phase_of(config.model.size, config.batch, 1, 1)]
        return Prepared(
            begun(config.model, config.loop.seed),
            [Stage("apart", config.loop, phases, feed, self.evaluate, players_apart)],
            fixed=asdict(config),
            data=[synthesis(SETS["studio"].config, "joints, depth")],
            start=None,
            weights=WEIGHTS,
            save=save,
        )


@dataclass(frozen=True)
class Start:
    """A start, tested as it is."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, False)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.started(seed, False).eval().requires_grad_(False)
        _show(network, world, folder)
        return _tested(network, world)


@dataclass(frozen=True)
class Learn:
    """The start, trained on with labelled pictures of `field`."""

    depth: Literal["none", "drawn", "true"]
    """What the regularizer is held against."""
    judged: str = "field"
    """Domain of the depth maps that drawn ones are judged against."""
    regularizer_2d: bool = False
    """Whether the regularizer gets the true 2D joints."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, self.regularizer_2d), world.training(folder, self.depth)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.started(seed, self.regularizer_2d)
        if self.depth == "none":
            network.config = replace(network.config, weights=replace(network.config.weights, depth_map=0.0))
        others = world.others(self.judged) if self.depth == "drawn" else None
        loop = world.loop(seed, 1 if others is None else 2)
        batch, say = world.scale.batch, world.say
        players, evaluate = self.players, world.evaluate
        found = train_on_pictures(network, world.pictures, others, loop, batch, folder, players, evaluate, True, say)
        if others is not None:
            _show(found, world, folder)
        return _tested(found, world)

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        """Who moves: both modules and the discriminator, or the estimating module alone."""
        return players_of(model) if self.depth == "drawn" else players_of_pose(model)


def _tested(network: DepthGAN, world: World) -> Outcome:
    """Distances in mm of estimated joints to the true ones."""
    assert world.test.joints is not None
    errors = 1000 * (camera_joints(network, world.test) - world.test.joints).norm(dim=-1)
    return Outcome(errors.numpy(), np.arange(len(errors)))


def _show(network: DepthGAN, world: World, folder: Path) -> None:
    """Write how far drawn maps are from true ones into the training's folder, and a sheet of both beside the table."""
    sample = world.test
    assert sample.image is not None and sample.depth is not None
    drawn, true = drawn_maps(network, sample.image), relative_map(sample.depth)
    flat = torch.where(sample.depth > 0, true, torch.nan).flatten(1).nanmedian(1).values[:, None, None]
    off = {"drawn_mm": drawn_errors(drawn, sample.depth), "flat_mm": drawn_errors(flat.expand_as(drawn), sample.depth)}
    write_json(writable_folder(folder) / DRAWN_FILE, {name: float(value.nanmean()) for name, value in off.items()})
    tiles = [
        tile
        for number in range(min(SHOWN, len(drawn)))
        for tile in (image_bytes(sample.image[number]), _grey(true[number]), _grey(drawn[number]))
    ]
    side = max(128, world.scale.model.size)
    large = [cv2.resize(tile, (side, side), interpolation=cv2.INTER_NEAREST) for tile in tiles]
    write_sheet(world.folder / f"dggan_{folder.name}.png", sheet(large, 12))


def _grey(relative: Tensor) -> np.ndarray:
    """A relative map (S, S) as an RGB picture, near is bright."""
    bright = (255 * (1 - relative)).round().byte().numpy()
    return np.repeat(bright[..., None], 3, axis=-1)


ROWS: tuple[Row[World], ...] = (
    Row(START, Start(), "main", gap=False),
    Row(REGRESSION, Learn("none"), "main", REGRESSION),
    Row(DRAWN, Learn("drawn"), "main", DRAWN),
    Row(TRUE, Learn("true"), "main", TRUE),
    Row(OTHER, Learn("drawn", judged="studio"), published=OTHER),
    Row(DRAWN_2D, Learn("drawn", regularizer_2d=True)),
    Row(TRUE_2D, Learn("true", regularizer_2d=True)),
)

FIGURES = (
    Figure("epe_3d_mm", "joint error, mm", lambda errors: float(errors.mean()), published="mean_mm"),
    Figure("auc_20_50", "AUC 20-50", lambda errors: auc_trapezoid(errors, zimmermann_20_50()), 3, "auc_20_50"),
    Figure("epe_3d_median_mm", "median, mm", lambda errors: float(np.median(errors)), published="median_mm"),
)


def _head(world: World) -> list[str]:
    scale, weights = world.scale, asdict(world.scale.model.weights)
    terms = ", ".join(f"{name} {value:g}" for name, value in weights.items())
    return [
        f"Data: started on {scale.pairs} pictures of `studio` with their sensed depth; trained on {scale.pictures} pictures of `field` "
        f"with 3D labels, drawn maps judged against the depth of {scale.others} others; tested on {scale.test} of `field`. "
        f'"{OTHER}": judged against depth of `studio`.',
        f'Published: of RHD, with RHD\'s depth; "{OTHER}" of MHP, with RHD\'s depth, where "{REGRESSION}" has 14.08 mm, 0.928, 10.75 mm.',
        "Compared: 21 joints in the camera's frame. Root: the depth of the wrist is given. Scale: the length of the middle finger's "
        "first bone is given. Alignment: none. Area under the curve: 12 thresholds, trapezoid rule (Zimmermann and Brox 2017).",
        f"Weights of the loss: {terms}. Units: heat maps squared and summed over cells, depths in lengths of that bone, "
        "depth maps in their ranges.",
        f"Training: {scale.model.size} pixels, {scale.model.stages} stages of {scale.model.width} channels; a start of "
        f"{scale.start.samples} pictures, then {scale.together.samples}, {scale.batch} a step; in {scale.together.precision}.",
        *_drawn_lines(world),
    ]


def _drawn_lines(world: World) -> list[str]:
    """How far drawn maps are from true ones, of what is done."""
    said = []
    for row in ROWS:
        found = [read_json(path) for path in sorted((world.folder / "runs").glob(f"{slug(row)}_[0-9]*/{DRAWN_FILE}"))]
        if found:
            drawn, flat = (np.mean([values[name] for values in found]) for name in ("drawn_mm", "flat_mm"))
            said.append(f'"{row.name}" {drawn:.1f} mm (flat ones {flat:.1f}; {len(found)} seeds)')
    if not said:
        return []
    return [
        "Drawn depth maps, brought to the range of the true ones, are off over the hand by: "
        + "; ".join(said)
        + ". Flat ones have the true map's median everywhere."
    ]


PAPER = Paper(
    "dggan",
    "chen_2020",
    ROWS,
    FIGURES,
    Curve("joint error (mm)", "joints within (%)", np.arange(0.0, 51.0), pck_curve),
    (REGRESSION, TRUE),
    _head,
    lambda world, kind: world.seconds(kind),
)


reproduce = partial(reproduce_on_pairs, PAPER, Scale, World)
"""`phalanx reproduce dggan`."""
