"""The comparisons of Cai et al. 2018 (Sec. 4.3; Fig. 5, 6 and 8), made again: `phalanx reproduce cai2018`.

RHD and STB are not shipped; pictures with sensed depth of our own stand in: the domain `studio` for RHD, the source with all labels, and
`field` for STB, the world to adapt to, which shares no skin, light, background, camera, sensor or build with it. All rows of a seed go on
from one start, trained on `studio`: its estimator (stage 1) and its regularizer (stage 2). What follows is stage 3. Root depth and hand
scale are known, in training and test, as printed.

- **w/o 2D + w/o depth regularizer**: the start itself.
- **w/ 2D**: half of each step from `studio` with all labels, half from `field` with 2D joints; with or without the regularizer.
- **w/ 2D + w/ 3D**: `field` alone with all labels, with or without the regularizer; and the same of `studio`, tested there.
- **palm-relative**: full supervision, with the palm's centre in the wrist's place (`train.depth_regularizer.palm_rooted`), and a start of
  its own.

The paper's gap between the rows that its goal is about, 2D alone and full supervision, is the table's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.methods.depth_regularizer import (
    METHOD,
    DepthRegularizer,
    DepthRegularizerConfig,
    load,
)
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_20_50
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import SETS, cached_start, start_folder, start_is_there
from phalanx.reproduce.pairs import PairsWorld, noise_pairs, reproduce_on_pairs
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.train.card import synthesis
from phalanx.train.depth_regularizer import (
    LABELLED,
    ROOT,
    WEIGHTS,
    Root,
    begun,
    feed_of,
    figures,
    generated_maps,
    palm_rooted,
    save,
    start_stages,
    train_on_pictures,
)
from phalanx.train.paired import camera_joints, restored, stored_feed
from phalanx.train.plan import Feed, LoopConfig, Phase
from phalanx.train.run import Prepared, silent
from phalanx.view.samples import draw_joints, sheet, write_sheet

HELP = """\
Starts on colour and depth of the domain studio with all labels, adapts to the domain field with 2D joints and depth in place of 3D labels,
and tests there. Writes cai2018.md (the table), cai2018.png (correct joints within an error), cai2018.json, and sheets of pictures with
joints and of generated beside sensed depth. The scale smoke takes a minute, cpu an hour on one core for three seeds, paper days on a GPU.

examples:
  phalanx reproduce cai2018 --out runs/cai2018
  phalanx reproduce cai2018 --out runs/few --seeds 1 --rows "w/ 2D + w/o depth regularizer" "w/ 2D + w/ depth regularizer"
"""

START = "w/o 2D + w/o depth regularizer"
TWO_D, ADAPTED = "w/ 2D + w/o depth regularizer", "w/ 2D + w/ depth regularizer"
FULL, FULL_MAPS = "w/ 2D + w/ 3D", "w/ 2D + w/ 3D + w/ depth regularizer"
SOURCE, SOURCE_MAPS = f"{FULL}, studio", f"{FULL_MAPS}, studio"
PALM = f"{FULL}, palm-relative"

SHOWN = 16
"""Pictures on a sheet."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/cai2018_*.yaml`."""

    source: int
    """Pictures of `studio` with all labels."""
    target: int
    """Pictures of `field` to adapt to."""
    test: int
    """Pictures to test on, of each domain."""
    model: DepthRegularizerConfig
    """The networks."""
    estimator: LoopConfig
    """Stage 1."""
    regularizer: LoopConfig
    """Stage 2."""
    whole: LoopConfig
    """Stage 3, of each row."""
    batch: int
    """Pictures a step."""
    workers: int
    """Processes that make pictures."""


@dataclass(frozen=True)
class StartTraining:
    """What a start is made of."""

    model: DepthRegularizerConfig
    loop: LoopConfig
    regularizer: LoopConfig
    pictures: int
    batch: int
    root: Root


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    @cached_property
    def _studio(self) -> dict[str, Tensor]:
        return self.kept("studio", self.scale.source + self.scale.test)

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        return self.kept("field", self.scale.target + self.scale.test)

    def pictures(self, domain: str, root: Root = "wrist") -> dict[str, Tensor]:
        """To train on, with their labels."""
        return _rooted({name: value[: -self.scale.test] for name, value in self._all(domain).items()}, root)

    def test(self, domain: str, root: Root = "wrist") -> Sample:
        """To test on."""
        return restored(_rooted({name: value[-self.scale.test :] for name, value in self._all(domain).items()}, root))

    def start(self, seed: int, root: Root = "wrist") -> StartTraining:
        """Settings of a start."""
        scale = self.scale
        first, second = (replace(loop, seed=seed, device=self.device) for loop in (scale.estimator, scale.regularizer))
        return StartTraining(scale.model, first, second, scale.source, scale.batch, root)

    def started(self, seed: int, root: Root = "wrist") -> DepthRegularizer:
        """A start, out of the cache or trained now."""
        weights = cached_start(METHOD, self._prepare, self.start(seed, root), self.cache, self.say)
        network = load(weights, trainable=True)
        network.config = self.scale.model
        return network

    def loop(self, seed: int) -> LoopConfig:
        """Budget of stage 3."""
        return replace(self.scale.whole, seed=seed, device=self.device)

    def start_training(self, seed: int, root: Root = "wrist") -> Training:
        """What a start takes."""
        folder, scale = start_folder(METHOD, self.start(seed, root), self.cache), self.scale
        pictures = (scale.estimator.samples or 0) + (scale.regularizer.samples or 0)
        return Training(folder, "start", pictures, self._bytes, start_is_there(folder))

    def training(self, folder: Path, regularizer: bool) -> Training:
        """What stage 3 takes."""
        kind = "with the regularizer" if regularizer else "without"
        return Training(folder, kind, self.scale.whole.samples or 0, self._bytes)

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(DepthRegularizer(self.scale.model))

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("start", "with the regularizer", "without"), by a few steps."""
        batch = self.scale.batch
        kept = noise_pairs(batch, self.scale.model.size)
        network = begun(self.scale.model, 0)
        if kind != "with the regularizer":
            network.config = _without_maps(network.config)

        def steps(count: int) -> None:
            loop = replace(self.loop(0), samples=count * batch)
            with tempfile.TemporaryDirectory() as folder:
                train_on_pictures(network, kept, None, loop, batch, folder, report=silent)

        return seconds_a_picture(steps, batch)

    def evaluation(self, domain: str, root: Root) -> Callable[[nn.Module, int], dict[str, float]]:
        """Figures of curves, of some pictures that are tested on."""
        shown = self.test(domain, root)[:128]
        return lambda network, size: figures(network, shown)

    def _prepare(self, config: StartTraining) -> Prepared:
        kept = self.pictures("studio", config.root)

        def feed() -> Feed:
            return feed_of({LABELLED: stored_feed(kept, config.loop.seed)}, config.batch)

        phases = [Phase(1.0, config.model.size, config.batch, 1)]
        evaluate = self.evaluation("studio", config.root)
        return Prepared(
            begun(config.model, config.loop.seed),
            start_stages(config.loop, config.regularizer, phases, feed, evaluate),
            fixed={name: value for name, value in asdict(config).items() if name not in ("loop", "regularizer")},
            data=[synthesis(SETS["studio"].config, "joints, depth")],
            start=None,
            weights=WEIGHTS,
            save=save,
        )

    def _all(self, domain: str) -> dict[str, Tensor]:
        return self._studio if domain == "studio" else self._field


@dataclass(frozen=True)
class Start:
    """A start, tested as it is stored, in half precision."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        return _tested(world.started(seed).eval().requires_grad_(False), world, folder, "field", "wrist")


@dataclass(frozen=True)
class Learn:
    """The start, trained on: stage 3."""

    supervision: Literal["weak", "full"]
    """Half of `studio` with all labels and half of `field` with 2D joints; or one domain alone, with all labels."""
    regularizer: bool
    """Whether depth maps are learnt from."""
    domain: str = "field"
    """Where full supervision is, and the test."""
    root: Root = "wrist"
    """What depths are relative to."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, self.root), world.training(folder, self.regularizer)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.started(seed, self.root)
        if not self.regularizer:
            network.config = _without_maps(network.config)
        labelled = world.pictures("studio" if self.supervision == "weak" else self.domain, self.root)
        weak = world.pictures("field", self.root) if self.supervision == "weak" else None
        evaluate = world.evaluation(self.domain, self.root)
        loop, batch = world.loop(seed), world.scale.batch
        found = train_on_pictures(network, labelled, weak, loop, batch, folder, evaluate, True, world.say)
        return _tested(found, world, folder, self.domain, self.root)


def _rooted(kept: dict[str, Tensor], root: Root) -> dict[str, Tensor]:
    return palm_rooted(kept) if root == "palm" else kept


def _without_maps(config: DepthRegularizerConfig) -> DepthRegularizerConfig:
    return replace(config, weights=replace(config.weights, depth_map=0.0))


def _tested(network: DepthRegularizer, world: World, folder: Path, domain: str, root: Root) -> Outcome:
    """Of every test picture, errors in mm (N, 42): of the 21 joints, and of their depths alone. Leaves sheets beside the table."""
    sample = world.test(domain, root)
    assert sample.joints is not None
    joints = camera_joints(network, sample, ROOT)
    off = 1000 * (joints - sample.joints)
    _show(network, world, folder, sample)
    return Outcome(torch.cat([off.norm(dim=-1), off[..., 2].abs()], 1).numpy(), np.arange(len(off)))


def _show(network: DepthRegularizer, world: World, folder: Path, sample: Sample) -> None:
    """Sheets: estimated joints on pictures; and, as Fig. 8, what the regularizer makes of true joints, right of sensed depth."""
    chosen = sample[:SHOWN]
    assert chosen.image is not None
    size = world.scale.model.size
    with torch.no_grad():
        places = network(chosen.image.to(next(network.parameters()).device))[0].cpu() * size - 0.5
    generated, target = generated_maps(network, chosen)
    pictures = [image_bytes(picture) for picture in chosen.image]
    drawn = [draw_joints(picture, points, 3) for picture, points in zip(pictures, places.double().numpy(), strict=True)]
    write_sheet(world.folder / f"cai2018_joints_{folder.name}.png", sheet(drawn, 8))
    maps = [tile for pair in zip(target, generated, strict=True) for tile in map(_grey, pair)]
    tiles = [tile for number, picture in enumerate(pictures) for tile in (picture, *maps[2 * number : 2 * number + 2])]
    large = [cv2.resize(tile, (2 * size, 2 * size), interpolation=cv2.INTER_NEAREST) for tile in tiles]
    write_sheet(world.folder / f"cai2018_depth_{folder.name}.png", sheet(large, 12))


def _grey(near: Tensor) -> np.ndarray:
    """A map of Eq. 4 (S, S) as an RGB picture; near is bright."""
    return np.repeat((255 * near.clamp(0, 1)).round().byte().numpy()[..., None], 3, axis=-1)


ROWS: tuple[Row[World], ...] = (
    Row(START, Start(), "main", START, gap=False),
    Row(TWO_D, Learn("weak", False), "main", TWO_D),
    Row(ADAPTED, Learn("weak", True), "main", ADAPTED),
    Row(FULL, Learn("full", False), "main", FULL),
    Row(FULL_MAPS, Learn("full", True), published=FULL_MAPS, gap=False),
    Row(SOURCE, Learn("full", False, "studio"), published=SOURCE, gap=False),
    Row(SOURCE_MAPS, Learn("full", True, "studio"), published=SOURCE_MAPS, gap=False),
    Row(PALM, Learn("full", False, root="palm"), gap=False),
)


def _joints(errors: np.ndarray) -> np.ndarray:
    return errors[:, :21]


FIGURES = (
    Figure("epe_3d_mm", "joint error, mm", lambda errors: float(_joints(errors).mean())),
    Figure("auc_20_50", "AUC", lambda errors: auc_trapezoid(_joints(errors), zimmermann_20_50()), 3, "auc"),
    Figure("epe_3d_median_mm", "median, mm", lambda errors: float(np.median(_joints(errors)))),
    Figure("z_mm", "error in z, mm", lambda errors: float(errors[:, 21:].mean())),
)


def _head(world: World) -> list[str]:
    scale, weights = world.scale, world.scale.model.weights
    terms = ", ".join(f"{name} {value:g}" for name, value in asdict(weights).items())
    return [
        f"Data: {scale.source} pictures of `studio` with all labels, {scale.target} of `field`, each with its sensed depth; tested on "
        f"{scale.test} others of `field` (rows of `studio`: of `studio`).",
        "Published: source RHD, target STB. Full supervision there is a curve without a number; with the regularizer it gains 0.031 of AUC "
        "on RHD and 0.001 on STB, and palm-relative depths 0.6 mm on STB.",
        "Compared: 21 joints in the camera's frame. Root: the depth of the wrist (of the palm's centre, where it stands in its place) is "
        "given. Scale: the length of the middle finger's first bone is given. Alignment: none. AUC: from 21 to 50 mm, 12 thresholds, by "
        "the trapezoid rule (Zimmermann and Brox 2017); the paper does not print its own.",
        f"Weights of the loss: {terms}. Units: squared heat maps summed over cells, depths in lengths of that bone, depth maps in their "
        "ranges.",
        f"Training: {scale.model.size} pixels, {scale.model.stages} stages of {scale.model.width} channels; starts of "
        f"{scale.estimator.samples} pictures and {scale.regularizer.samples} for the regularizer, then {scale.whole.samples}, "
        f"{scale.batch} a step; computed in {scale.whole.precision}.",
    ]


PAPER = Paper(
    "cai2018",
    "cai_2018",
    ROWS,
    FIGURES,
    Curve(
        "joint error (mm)", "joints within (%)", np.arange(0.0, 51.0), lambda errors, at: pck_curve(_joints(errors), at)
    ),
    (TWO_D, FULL),
    _head,
    lambda world, kind: world.seconds(kind),
)


reproduce = partial(reproduce_on_pairs, PAPER, Scale, World)
"""`phalanx reproduce cai2018`."""
