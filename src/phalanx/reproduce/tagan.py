"""The tables of TAGAN (Chen 2020, Tables 2.1 to 2.3), made again in one: `phalanx reproduce tagan`.

STB, CMU's hands and the thesis' own photographs (RHTD) are not shipped. Pictures of our own stand in:

| in print | here |
|---|---|
| STB, with labels | pictures of the domain `field` with 2D and 3D labels, and others to test on |
| RHTD: photographs without labels, for backgrounds and for the discriminator | other pictures of `field`, whose labels nobody looks at |
| hands of the AR simulator | pictures of the domain `studio` with masks |
| CMU-PS, where networks trained on STB are tested | pictures of the domain `any` |

Compositions (`train.compositions`) are the same for all rows and seeds: some for each picture without labels, by the joints that the
default estimator sees there. Each row trains an estimator from nothing (`methods.lifted_pose`), as many steps as the others:

- **field**: its labelled pictures alone; in all others half of each step is
- **w/ CBG**: the composed hands before a plain ground each; **w/ RBG**: before the picture; **w/ TAGAN**: these redrawn by the network
  of `methods.tonality_gan`; **w/ pix2pix**, **w/ CycleGAN**: by those networks. One network a seed, which no label has taught.
- **true labels**: the pictures without labels, with theirs after all: the upper bound, which the thesis does not have.

Gains are those over **w/ RBG**, plain blending, and the gap is from there to the upper bound.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.fit.pose_retrieval import PoseIndex
from phalanx.methods.cycle_gan import CycleConfig, CycleGan
from phalanx.methods.lifted_pose import LiftedPose, LiftedPoseConfig
from phalanx.methods.tonality_gan import Pix2Pix, TonalityConfig, TonalityGan
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_0_50
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import kept_tensors
from phalanx.reproduce.pairs import PairsWorld, frozen_pictures, reproduce_on_pairs
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.synth.version import ENGINE
from phalanx.train import tonality_gan as drawing
from phalanx.train.compositions import compose
from phalanx.train.feed import pack, unpack
from phalanx.train.lifted_pose import begun, estimated, figures, joint_errors, train_on_pictures
from phalanx.train.plan import Feed, LoopConfig
from phalanx.train.run import silent
from phalanx.view.samples import draw_joints, sheet, write_sheet

HELP = """\
Composes rendered hands with pictures of the domain field, has a network that learnt from such pictures without labels redraw them, and
trains estimators on labelled pictures of field with these beside; tests on field, and across on the domain any. Writes tagan.md (the
table), tagan.png (correct joints within an error), tagan.json, and sheets of compositions and of test pictures. The scale smoke takes a
minute, cpu an hour on one core for one seed of all rows, paper days on a GPU.

examples:
  phalanx reproduce tagan --out runs/tagan
  phalanx reproduce tagan --out runs/few --seeds 1 --rows "field + AR hand w/ RBG" "field + AR hand w/ TAGAN"
"""

ALONE = "field"
CLEAR, REAL, TAGAN, PIX, CYCLE = (
    f"field + AR hand w/ {name}" for name in ("CBG", "RBG", "TAGAN", "pix2pix", "CycleGAN")
)
LABELS = "field + true labels, the upper bound"

Blender = Literal["TAGAN", "pix2pix", "CycleGAN"]

BLENDERS: tuple[Blender, ...] = ("TAGAN", "pix2pix", "CycleGAN")

CROP = 368
"""Side of a convolutional pose machine's pictures in print, pixels: errors in pixels are those of such a picture."""

SHOWN = 12
"""Compositions on a sheet."""

HELD_OUT = 96
"""Pictures without labels that blenders are evaluated on, and do not learn from; fewer where there are few."""

JUDGED = 600
"""Compositions that they are evaluated on at the end."""

BLENDED_FILE = "blended.json"
"""In the folder of a blender: figures at its end."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/tagan_*.yaml`."""

    labelled: int
    """Pictures of `field` with labels."""
    unlabelled: int
    """Pictures of `field` without: grounds of compositions, and what blenders learn from."""
    rendered: int
    """Pictures of `studio` whose hands are put before them."""
    rounds: int
    """Compositions of each picture without labels, each with a hand out of another part of those."""
    test: int
    """Pictures of `field` to test on, and of `any`."""
    model: LiftedPoseConfig
    """The estimator."""
    blender: TonalityConfig
    """TAGAN, and Pix2Pix."""
    cycle: CycleConfig
    """CycleGAN."""
    drawing: LoopConfig
    """Training of a blender; CycleGAN counts pictures of both kinds."""
    estimator: LoopConfig
    """Training of each row."""
    drawing_batch: int
    """Pictures a step of a blender's training."""
    batch: int
    """Pictures a step of an estimator's."""
    workers: int
    """Processes that make pictures."""


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    def kept(
        self, name: str, frames: int, wanted: tuple[str, ...] = ("image", "joints", "joints_2d", "K")
    ) -> dict[str, Tensor]:
        scale = self.scale
        return frozen_pictures(name, self.cache, frames, scale.model.size, scale.workers, self.say, wanted, pack)

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        scale = self.scale
        return self.kept("field", scale.labelled + scale.unlabelled + scale.test)

    @property
    def labelled(self) -> dict[str, Tensor]:
        """Of `field`, with labels."""
        return _labels({name: value[: self.scale.labelled] for name, value in self._field.items()})

    @property
    def unlabelled(self) -> dict[str, Tensor]:
        """Of `field`; the upper bound alone looks at their labels."""
        first = self.scale.labelled
        return _labels({name: value[first : first + self.scale.unlabelled] for name, value in self._field.items()})

    @cached_property
    def test(self) -> Sample:
        """Of `field`."""
        return unpack(_labels({name: value[-self.scale.test :] for name, value in self._field.items()}))

    @cached_property
    def across(self) -> Sample:
        """Of `any`."""
        return unpack(_labels(self.kept("any", self.scale.test)))

    @cached_property
    def compositions(self) -> dict[str, Tensor]:
        """`rounds` for each picture without labels, as `train.compositions.compose` makes them."""
        scale = self.scale
        about = {name: getattr(scale, name) for name in ("labelled", "unlabelled", "rendered", "rounds", "test")}
        about |= {"size": scale.model.size, "engine": ENGINE}
        name = "-".join(str(value) for value in about.values())
        path = self.cache / "compositions" / f"tagan-{name}.safetensors"
        size = 6 * scale.rounds * scale.unlabelled * scale.model.size**2
        return kept_tensors(path, self._composed, size, about, self.say)

    def _composed(self) -> dict[str, Tensor]:
        size, real = self.scale.model.size, self.unlabelled["image"]
        places = drawing.examined(real.float() / 255)[1] * (size / 128) - 0.5
        rendered = self.kept("studio", self.scale.rendered, ("image", "mask", "joints", "joints_2d", "K"))
        rounds = []
        for number in range(self.scale.rounds):
            part = {name: value[number :: self.scale.rounds] for name, value in rendered.items()}
            index = PoseIndex.build(part["joints_2d"].double().numpy())
            rounds.append(compose(real, places, part, index, number))
        return {name: torch.cat([one[name] for one in rounds]) for name in rounds[0]}

    def composed(self, image: Tensor) -> dict[str, Tensor]:
        """Compositions that look like `image` (N, 3, S, S), with their labels."""
        return _labels(self.compositions) | {"image": image}

    def blended(self, kind: Blender, seed: int) -> Tensor:
        """All compositions (N, 3, S, S) redrawn by a network of the seed, which is trained where it is not there yet."""
        return drawing.blended(self.blender(kind, seed), self.compositions["image"], seed)

    def blender(self, kind: Blender, seed: int) -> drawing.Blending:
        """The network of a seed that redraws compositions; leaves a sheet beside the table, and figures in its folder."""
        folder, batch, size = self.blender_folder(kind, seed), self.scale.drawing_batch, self.scale.model.size
        real, rendered = self.unlabelled["image"], self.compositions["image"]
        held_out = min(HELD_OUT, len(real) // 5)
        learnt = {"image": real[held_out:]}
        torch.manual_seed(seed)
        network, feed = _untrained(kind, self.scale), partial(drawing.photograph_feed, learnt, seed)
        if kind == "CycleGAN":
            feed = partial(drawing.unpaired_feed, learnt, {"image": rendered}, batch // 2, seed)

        def evaluate(network: nn.Module, size: int) -> dict[str, float]:
            drawing.show(network, rendered, folder)
            return drawing.figures(network, real[:held_out], rendered[:held_out])

        loop, about = self.loop(self.scale.drawing, seed), {"kind": kind, "batch": batch, "size": size}
        found = drawing.train_on_pictures(network, feed, batch, size, loop, folder, about, evaluate, self.say)
        found = found.eval().requires_grad_(False)
        if not (folder / BLENDED_FILE).exists():
            write_json(
                writable_folder(folder) / BLENDED_FILE, drawing.figures(found, real[:held_out], rendered[:JUDGED])
            )
        return found  # type: ignore[return-value]

    def blender_folder(self, kind: Blender, seed: int) -> Path:
        """Where it trains."""
        return self.folder / "blenders" / f"{kind.lower()}_{seed}"

    def loop(self, loop: LoopConfig, seed: int) -> LoopConfig:
        """A budget, of a seed."""
        return replace(loop, seed=seed, device=self.device)

    def evaluate(self, network: nn.Module, size: int) -> dict[str, float]:
        """For curves."""
        return figures(network, self.test[:128])

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("estimator", or a blender's name), by a few steps."""
        scale = self.scale
        noise = torch.randint(256, (scale.batch, 3, scale.model.size, scale.model.size), dtype=torch.uint8)

        def estimator_steps(count: int) -> None:
            loop = replace(self.loop(scale.estimator, 0), samples=count * scale.batch)
            kept = {
                "image": noise,
                "joints": torch.rand(scale.batch, 21, 3) + 0.5,
                "joints_2d": 50 * torch.rand(scale.batch, 21, 2),
            }
            with tempfile.TemporaryDirectory() as folder:
                train_on_pictures(begun(scale.model, 0), {"noise": kept}, loop, scale.batch, folder, report=silent)

        def drawing_steps(count: int) -> None:
            batch, size, kept = (
                scale.drawing_batch,
                scale.model.size,
                {"image": noise.repeat(scale.drawing_batch, 1, 1, 1)},
            )
            loop = replace(self.loop(scale.drawing, 0), samples=count * batch)
            feed: Callable[[], Feed] = partial(drawing.photograph_feed, kept, 0)
            if kind == "CycleGAN":
                feed = partial(drawing.unpaired_feed, kept, kept, batch // 2, 0)
            with tempfile.TemporaryDirectory() as folder:
                network = _untrained(kind, scale)
                drawing.train_on_pictures(network, feed, batch, size, loop, folder, {}, report=silent)

        if kind == "estimator":
            return seconds_a_picture(estimator_steps, scale.batch)
        return seconds_a_picture(drawing_steps, scale.drawing_batch)


@dataclass(frozen=True)
class Learn:
    """An estimator trained from nothing."""

    beside: Literal["nothing", "clear", "plain", "true"] | Blender
    """What half of each step is: compositions of a kind, or pictures with true labels."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        scale = world.scale
        size = checkpoint_bytes(LiftedPose(scale.model))
        needed = [Training(folder, "estimator", scale.estimator.samples or 0, size)]
        if self.beside in BLENDERS:
            network = _untrained(self.beside, scale)
            place = world.blender_folder(self.beside, seed)
            done = (place / BLENDED_FILE).exists()
            budget = scale.drawing.samples or 0
            needed.append(Training(place, self.beside, budget, checkpoint_bytes(network), done))
        return needed

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        scale, sets = world.scale, {"field": world.labelled}
        if self.beside == "true":
            sets["beside"] = world.unlabelled
        elif self.beside != "nothing":
            sets["beside"] = world.composed(self.pictures(world, seed))
        loop = world.loop(scale.estimator, seed)
        network = begun(scale.model, seed)
        found = train_on_pictures(network, sets, loop, scale.batch, folder, world.evaluate, world.say).eval()
        _show(found, world, folder, sets)
        in_3d, in_2d = joint_errors(found, world.test)
        across = joint_errors(found, world.across)[1]
        errors = torch.cat((in_3d, CROP * in_2d, CROP * across), dim=1)
        return Outcome(errors.numpy(), np.arange(len(errors)))

    def pictures(self, world: World, seed: int) -> Tensor:
        """Compositions (N, 3, S, S) as the row has them."""
        if self.beside == "clear":
            return world.compositions["clear"]
        if self.beside == "plain":
            return world.compositions["image"]
        assert self.beside in BLENDERS
        return world.blended(self.beside, seed)


def _untrained(kind: str, scale: Scale) -> nn.Module:
    if kind == "CycleGAN":
        return CycleGan(scale.cycle)
    return TonalityGan(scale.blender) if kind == "TAGAN" else Pix2Pix(scale.blender)


def _labels(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What estimators learn from."""
    return {name: kept[name] for name in ("image", "joints", "joints_2d")}


def _show(network: LiftedPose, world: World, folder: Path, sets: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Sheets beside the table: what was learnt from, with labels; and test pictures of both domains, with estimated joints."""
    size = world.scale.model.size
    learnt = [
        draw_joints(image_bytes(kept["image"][n].float() / 255), kept["joints_2d"][n].double().numpy(), 3)
        for kept in sets.values()
        for n in range(min(SHOWN, len(kept["image"])))
    ]
    write_sheet(world.folder / f"tagan_learnt_{folder.name}.png", sheet(learnt, SHOWN))
    tiles = []
    for sample in (world.test[:SHOWN], world.across[:SHOWN]):
        assert sample.image is not None
        places = estimated(network, sample.image)[0].double().numpy() * size - 0.5
        tiles += [draw_joints(image_bytes(image), at, 3) for image, at in zip(sample.image, places, strict=True)]
    write_sheet(world.folder / f"tagan_joints_{folder.name}.png", sheet(tiles, SHOWN))


def _printed(name: str | None = None) -> dict[str, str]:
    """Names of a row's published figures: of Hand3D in Table 2.1, of the CPM in Tables 2.2 and 2.3."""
    tail, spaced = ("", "") if name is None else (f"+AR Hand w/ {name}", f" + AR Hand w/ {name}")
    hand3d, within, across = f"Hand3D trained on STB{tail}", f"CPM trained on STB{spaced}", f"CPM trained on STB{tail}"
    return {
        "epe_3d_mm": hand3d,
        "auc_0_50": hand3d,
        "epe_2d_px": within,
        "pck_2d_20": within,
        "epe_across_px": across,
        "pck_across_20": across,
    }


ROWS: tuple[Row[World], ...] = (
    Row(ALONE, Learn("nothing"), "main", _printed()),
    Row(CLEAR, Learn("clear"), "main", _printed("CBG")),
    Row(REAL, Learn("plain"), "main", _printed("RBG")),
    Row(TAGAN, Learn("TAGAN"), "main", _printed("TAGAN")),
    Row(LABELS, Learn("true"), "main"),
    Row(PIX, Learn("pix2pix")),
    Row(CYCLE, Learn("CycleGAN")),
)


def _in_3d(errors: np.ndarray) -> np.ndarray:
    return errors[:, :21]


def _mean(part: slice, errors: np.ndarray) -> float:
    return float(errors[:, part].mean())


def _within_20(part: slice, errors: np.ndarray) -> float:
    return float(100 * (errors[:, part] <= 20).mean())


_WITHIN, _ACROSS = slice(21, 42), slice(42, 63)

FIGURES = (
    Figure("epe_3d_mm", "3D, mm", partial(_mean, slice(0, 21)), published="mean_mm", dataset="stb"),
    Figure(
        "auc_0_50", "3D, AUC", lambda errors: auc_trapezoid(_in_3d(errors), zimmermann_0_50()), 3, "auc", dataset="stb"
    ),
    Figure("epe_2d_px", "2D, px", partial(_mean, _WITHIN), published="mean_2d_px", dataset="stb", gains=True),
    Figure("pck_2d_20", "2D, PCK@20", partial(_within_20, _WITHIN), 1, "pck_2d_20_percent", "stb"),
    Figure("epe_across_px", "across, px", partial(_mean, _ACROSS), 2, "mean_2d_px", "panoptic_hands", True),
    Figure("pck_across_20", "across, PCK@20", partial(_within_20, _ACROSS), 1, "pck_2d_20_percent", "panoptic_hands"),
)


def _head(world: World) -> list[str]:
    scale = world.scale
    weights = ", ".join(f"{name} {value:g}" for name, value in asdict(scale.blender.weights).items())
    terms = ", ".join(f"{name} {value:g}" for name, value in asdict(scale.model.weights).items())
    return [
        f"Data: {scale.labelled} pictures of `field` with labels; {scale.unlabelled} others without, each {scale.rounds} times with a hand "
        f"of {scale.rendered} pictures of `studio` before it; tested on {scale.test} others of `field`, across on {scale.test} of `any`.",
        "Published: Hand3D and a CPM of STB, across of CMU-PS; what AUC is there is not printed.",
        "Compared: 21 joints. 3D: from the wrist, before the camera; the middle finger's first bone is given; no alignment. "
        f"AUC: 0 to 50 mm (Zimmermann and Brox 2017). 2D and across: pixels of a picture of {CROP}; PCK@20: joints within 20, per cent.",
        f"Weights of the losses: of the blender {weights}; of the estimator {terms}.",
        f"Training: {scale.model.size} pixels; estimators from nothing on {scale.estimator.samples} pictures, {scale.batch} a step, "
        f"{scale.model.stages} stages of {scale.model.width} channels, in {scale.estimator.precision}, pictures as they are; blenders on "
        f"{scale.drawing.samples} pictures, {scale.drawing_batch} a step, {scale.blender.generator} channels at the first layer.",
        *_blender_lines(world),
    ]


def _blender_lines(world: World) -> list[str]:
    """What is known of the blenders that are done."""
    lines = []
    for kind in BLENDERS:
        found = [
            read_json(path) for path in sorted((world.folder / "blenders").glob(f"{kind.lower()}_*/{BLENDED_FILE}"))
        ]
        if found:
            values = {name: ", ".join(f"{one[name]:.3g}" for one in found) for name in found[0]}
            lines.append(
                f"{kind}, by seed: moves joints of the default estimator by {values['moved_px']} pixels of 128 in the median; distance of "
                f"features to `field` {values['distance']} % of that of compositions; varies {values['varies']} % as much; "
                f"the discriminator is right on {values['judged_right']} of the patches."
            )
    return lines


PAPER = Paper(
    "tagan",
    "chen_2020",
    ROWS,
    FIGURES,
    Curve(
        "joint error (mm)", "joints within (%)", np.arange(0.0, 81.0), lambda errors, at: pck_curve(_in_3d(errors), at)
    ),
    (REAL, LABELS),
    _head,
    lambda world, kind: world.seconds(kind),
)


reproduce = partial(reproduce_on_pairs, PAPER, Scale, World)
"""`phalanx reproduce tagan`."""
