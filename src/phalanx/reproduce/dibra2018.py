"""The tables of Dibra et al. 2018, made again: `phalanx reproduce dibra2018`.

Their sets are not shipped, and most are not public. Pictures with sensed depth of our own stand in: the domain `studio` for their
synthesis, `field` for reality, which shares no skin, light, background, camera, sensor or build with it. Masks are true ones, as in their
Table 3, up to the wrist, as their black wristband has it. Four tables in one folder:

- **dibra2018**, the refinements of Sec. 5.3 and Fig. 7. All rows of a seed go on from one start, SynthNet trained on `studio`, and are
  tested on other pictures of `field`, whose hands are smaller. RefNet sees pairs of `field` without labels, the cloud fixed or learnt;
  "labels of studio beside", a row of ours, sees as many labelled pictures of `studio`, too.
  "Labelled angles" sees angles that the fit computes from the labelled joints, on the mean hand; "labelled positions", the joint-regressing
  twin, the joints themselves. "Mapped" joints have gone through a linear map from skeleton to skeleton, learnt on the labelled frames.
- **dibra2018_targets**, Table 4: either target, trained on `studio` and tested on 300 unseen pictures of it.
- **dibra2018_masks**, Table 1: HandSegNet and OurSegNet, trained on few pictures of `field` ("real"), or on these and those of `studio`.
- **dibra2018_gestures**, Sec. 5.3: pictures of `field` within 12 degrees (root of the mean square over 20 angles) of one of ten base poses
  show that gesture. Half of them are learnt with the base pose itself as target, the palm free; the classifier of Sec. 5.4 tells those of
  the other half apart by their angles, ten-fold.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from phalanx.data.hand_depth import scale_of
from phalanx.data.loading import load_batches
from phalanx.fit.joints import fit_joints
from phalanx.geometry.alignment import rigid_align
from phalanx.hand.anatomy import rotations_to_angles
from phalanx.hand.model import HandModel
from phalanx.hand.pose_space import base_poses
from phalanx.hand.skeleton import TIPS
from phalanx.methods.refinable import (
    METHOD,
    PALM,
    HandSegmenter,
    RefinableConfig,
    RefinableNet,
    SegmenterConfig,
    in_bones,
    load,
    mask_of,
    palm_angles,
    surface_points,
)
from phalanx.metrics.angles import joint_angle_errors
from phalanx.metrics.classification import stratified_folds
from phalanx.metrics.curves import curve_area_trapezoid
from phalanx.metrics.frames import frames_within
from phalanx.metrics.joints import scaled_orthographic, squared_pixel_errors
from phalanx.metrics.masks import f1, iou, mask_counts, pixel_accuracy, precision, recall
from phalanx.nets.gestures import GestureConfig, held_out_logits
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import SETS, cached_start, frozen_set, start_folder, start_is_there
from phalanx.reproduce.pairs import PairsWorld, reproduce_papers
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.train.card import synthesis
from phalanx.train.paired import joined
from phalanx.train.plan import Feed, LoopConfig, Stage
from phalanx.train.refinable import (
    LABELS,
    PAIRS,
    WEIGHTS,
    begun,
    crops_feed,
    crops_of,
    crops_phase,
    depth_errors,
    figures,
    found_by,
    keep_crops,
    palm_errors,
    players_of_crops,
    save,
    train_on_crops,
    train_segmenter,
)
from phalanx.train.run import Prepared, silent
from phalanx.view.samples import sheet, write_sheet

HELP = """\
Trains SynthNet on labelled pictures of the domain studio, refines it on colour and depth of the domain field without labels, and tests
there; then the comparisons of Tables 1 and 4, of Fig. 7 and of gestures. Writes dibra2018.md (.png, .json), the same of
dibra2018_targets, dibra2018_masks and dibra2018_gestures, and sheets like Fig. 6. The scale smoke takes a minute, paper days on a GPU.

examples:
  phalanx reproduce dibra2018 --out runs/dibra2018
  phalanx reproduce dibra2018 --out runs/few --seeds 1 --rows "SynthNet" "RefNet"
"""

START, FIXED, LEARNT, BESIDE = "SynthNet", "RefNet, cloud fixed", "RefNet", "RefNet, labels of studio beside"
ANGLES, POSITIONS = "SynthNet, labelled angles", "joint regression, labelled positions"
ON_ANGLES, ON_POSITIONS = "trained on joint angles", "trained on joint positions"
HSN, HSN_SYNTH, OSN, OSN_SYNTH = "HandSegNet", "HandSegNet + Synth", "OurSegNet", "OurSegNet + Synth"
UNREFINED, CRAFTED = "gestures by SynthNet", "gestures, refined on crafted poses"

TESTED = 300
"""Unseen pictures of Table 4."""

GESTURES, NEAR = 10, 12.0
"""How many gestures, and within how many degrees of its base pose a hand shows one."""

FOLDS = 10
PICTURE = 225
"""Side of the pictures that errors of fingertips are measured in, pixels."""

SHOWN = 12
"""Pictures on a sheet."""

RIDGE = 1e-3
"""Of the map between skeletons, in squared lengths of a bone a frame."""

DEPTH, CLOUD, JOINTS, MAPPED, TURN, FINGERS, FINGERTIPS, EULER = (
    slice(0, 1),
    slice(1, 2),
    slice(2, 23),
    slice(23, 44),
    slice(44, 45),
    slice(45, 65),
    slice(65, 70),
    slice(70, 73),
)
"""Columns of the errors of a picture: depth (mean square of the synthesised images' difference), cloud to true surface (mm), joints from
the wrist and the same mapped (mm, scale given), the palm's turn and 20 angles (degrees), fingertips (px²), the palm's three angles."""

ROC = np.arange(0.0, 121.0, 3.0)
"""Thresholds of the curves of angles, degrees."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/dibra2018_*.yaml`."""

    source: int
    """Pictures of `studio` with labels."""
    pairs: int
    """Pictures of `field` with depth; rows with labels see the same."""
    test: int
    """Pictures of `field` to test on."""
    real: int
    """Pictures of `field` with masks, for segmentation."""
    model: RefinableConfig
    """SynthNet and RefNet."""
    segmenter: SegmenterConfig
    """OurSegNet; its pictures have the size of the model's."""
    start: LoopConfig
    """Training on labels of `studio`."""
    refine: LoopConfig
    """Each training after it."""
    crafted: LoopConfig
    """Refinement on crafted poses."""
    masks: LoopConfig
    """Training of a segmentation."""
    batch: int
    """Pictures a step."""
    workers: int
    """Processes that make pictures."""


@dataclass(frozen=True)
class StartTraining:
    """What a start is made of."""

    model: RefinableConfig
    loop: LoopConfig
    pictures: int
    batch: int


Target = Literal["angles", "joints"]


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    @cached_property
    def hand(self) -> HandModel:
        """Whose shape the clouds begin with."""
        return HandModel.open_hand()

    @cached_property
    def _studio(self) -> dict[str, Tensor]:
        return self._crops("studio", self.scale.source + TESTED)

    @cached_property
    def _field(self) -> dict[str, Tensor]:
        return self._crops("field", self.scale.pairs + self.scale.test)

    def _crops(self, name: str, frames: int) -> dict[str, Tensor]:
        """Crops of a set, and its pictures and masks as bytes."""
        scale = self.scale
        batch = next(count for count in (64, 32, 16, 8, 4, 2, 1) if frames % count == 0)
        index = frozen_set(name, self.cache, frames, scale.model.size, max(1, scale.workers), self.say)
        wanted = ("image", "sensed_depth", "parts", "joints", "joints_2d", "rotations", "orientation", "shape", "K")
        parts = []
        with closing(load_batches(index, batch, 0, wanted)) as batches:
            for sample in batches:
                assert sample.image is not None and sample.parts is not None
                kept = keep_crops(scale.model.size, scale.model.points, sample)
                kept["picture"] = (255 * sample.image).round().byte()
                kept["mask"] = 255 * mask_of(sample.parts).byte()
                parts.append(kept)
        return joined(parts)

    @property
    def source(self) -> dict[str, Tensor]:
        """Labelled pictures of `studio`."""
        return _rows(self._studio, slice(0, self.scale.source))

    @property
    def pairs(self) -> dict[str, Tensor]:
        """Pictures of `field` with depth, to refine on."""
        return _rows(self._field, slice(0, self.scale.pairs))

    def test(self, domain: str) -> dict[str, Tensor]:
        """Pictures that rows are tested on."""
        return (
            _rows(self._studio, slice(-TESTED, None))
            if domain == "studio"
            else _rows(self._field, slice(-self.scale.test, None))
        )

    @cached_property
    def fitted(self) -> dict[str, Tensor]:
        """The pairs with angles that the fit computes from their labelled joints, on the mean hand."""
        return {**self.pairs, "angles": self.fit(in_bones(self.pairs["joints"]))}

    def fit(self, joints: Tensor) -> Tensor:
        """Angles (B, 23) of the mean hand on joints (B, 21, 3), from the wrist in lengths of a bone."""
        metres = joints * float(scale_of(self.hand.rest_joints[None]))
        pose = fit_joints(self.hand, metres, torch.zeros(10))
        return torch.cat((palm_angles(pose.orientation), rotations_to_angles(pose.rotations)[:, PALM:]), dim=1)

    @cached_property
    def gestures(self) -> tuple[dict[str, Tensor], np.ndarray]:
        """Pictures of `field` that show a gesture, their angles those of its base pose, and which (N,)."""
        poses = torch.stack([pose.float() for pose in base_poses().values()])[:, PALM:]
        off = torch.rad2deg(self._field["angles"][:, None, PALM:] - poses).square().mean(2).sqrt()
        distance, nearest = off.min(1)
        counts = torch.bincount(nearest[distance < NEAR], minlength=len(poses))
        usual = counts.argsort(descending=True, stable=True)[:GESTURES]
        shown = ((distance < NEAR) & torch.isin(nearest, usual)).nonzero()[:, 0]
        kept = _rows(self._field, shown)
        crafted = torch.cat((kept["angles"][:, :PALM], poses[nearest[shown]]), dim=1)
        labels = (nearest[shown][:, None] == usual).int().argmax(1).numpy()
        return {**kept, "crafted": crafted}, labels

    def model(self, target: Target) -> RefinableConfig:
        """Of SynthNet, or of its joint-regressing twin."""
        return replace(self.scale.model, target=target)

    def start(self, seed: int, target: Target) -> StartTraining:
        """Settings of a start."""
        loop = replace(self.scale.start, seed=seed, device=self.device)
        return StartTraining(self.model(target), loop, self.scale.source, self.scale.batch)

    def started(self, seed: int, target: Target = "angles") -> RefinableNet:
        """A start, out of the cache or trained now."""
        weights = cached_start(METHOD, self._prepare, self.start(seed, target), self.cache, self.say)
        network = load(weights, trainable=True)
        network.config = self.model(target)
        return network

    def _prepare(self, config: StartTraining) -> Prepared:
        fields = ("joints",) if config.model.target == "joints" else LABELS

        def feed() -> Feed:
            return crops_feed(self.source, config.loop.seed, fields)

        phases = [crops_phase(config.model.size, config.batch, 1)]
        stage = Stage("labels", config.loop, phases, feed, self.evaluation("studio"), partial(players_of_crops, False))
        return Prepared(
            begun(config.model, config.loop.seed),
            [stage],
            fixed=asdict(config),
            data=[synthesis(SETS["studio"].config, " and ".join(fields))],
            start=None,
            weights=WEIGHTS,
            save=save,
        )

    def evaluation(self, domain: str) -> partial[dict[str, float]]:
        """Figures of curves, of some pictures that are tested on."""
        return partial(_figures, self, domain)

    def loop(self, loop: LoopConfig, seed: int, kinds: int = 1) -> LoopConfig:
        """A budget, of a seed, whose batches hold so many kinds."""
        counts = {name: kinds * getattr(loop, name) for name in ("samples", "average", "warmup", "evaluate_every")}
        return replace(loop, seed=seed, device=self.device, **counts)

    def start_training(self, seed: int, target: Target = "angles") -> Training:
        """What a start takes."""
        folder = start_folder(METHOD, self.start(seed, target), self.cache)
        return Training(folder, target, self.scale.start.samples or 0, self._bytes, start_is_there(folder))

    def training(self, folder: Path, kind: str, loop: LoopConfig) -> Training:
        """What a training takes after a start, or of masks."""
        size = self._mask_bytes if kind in ("ours", "handsegnet") else self._bytes
        return Training(folder, kind, loop.samples or 0, size)

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(RefinableNet(self.scale.model, self.hand))

    @cached_property
    def _mask_bytes(self) -> int:
        return checkpoint_bytes(HandSegmenter(self.scale.segmenter))

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("angles", "joints", "pairs", "beside", "ours", "handsegnet"), by a few steps."""
        scale, size = self.scale, self.scale.model.size
        kept = {
            "image": torch.randint(256, (scale.batch, 1, size, size), dtype=torch.uint8),
            "angles": torch.zeros(scale.batch, 23),
            "joints": torch.rand(scale.batch, 21, 3),
            "points": 0.05 * torch.randn(scale.batch, scale.model.points, 3),
        }
        pictures = {"image": kept["image"].expand(-1, 3, -1, -1), "mask": kept["image"][:, 0]}

        kinds = 2 if kind == "beside" else 1

        def steps(count: int) -> None:
            loop = replace(self.loop(scale.refine, 0), samples=count * kinds * scale.batch)
            with tempfile.TemporaryDirectory() as folder:
                if kind in ("ours", "handsegnet"):
                    model = HandSegmenter(replace(scale.segmenter, network=kind))  # type: ignore[arg-type]
                    train_segmenter(model, pictures, loop, scale.batch, folder, report=silent)
                else:
                    network = begun(self.model("joints" if kind == "joints" else "angles"), 0)
                    fields = PAIRS if kind in ("pairs", "beside") else (kind,)
                    beside = kept if kind == "beside" else None
                    train_on_crops(network, kept, fields, loop, scale.batch, folder, beside=beside, report=silent)

        return seconds_a_picture(steps, kinds * scale.batch)


def _rows(kept: Mapping[str, Tensor], rows: slice | Tensor) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in kept.items()}


def _figures(world: World, domain: str, network: nn.Module, size: int) -> dict[str, float]:
    return figures(network, _rows(world.test(domain), slice(0, 128)))


@dataclass(frozen=True)
class Start:
    """A start, tested as it is."""

    domain: str = "field"
    target: Target = "angles"

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, self.target)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.started(seed, self.target).eval().requires_grad_(False)
        return tested(network, world, self.domain)


@dataclass(frozen=True)
class Refine:
    """A start, trained on with pictures of `field`."""

    fields: tuple[str, ...]
    learn_cloud: bool = False
    beside: bool = False
    """Whether each step sees as many labelled pictures of `studio`, too."""

    @property
    def target(self) -> Target:
        """Of the start."""
        return "joints" if self.fields == ("joints",) else "angles"

    @property
    def kind(self) -> str:
        """Of the training, for its time."""
        return ("beside" if self.beside else "pairs") if self.fields == PAIRS else self.target

    def loop(self, world: World, seed: int) -> LoopConfig:
        """The budget, in which what is beside counts."""
        return world.loop(world.scale.refine, seed, 2 if self.beside else 1)

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, self.target), world.training(folder, self.kind, self.loop(world, seed))]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network, scale = world.started(seed, self.target), world.scale
        kept = world.fitted if self.fields == LABELS else world.pairs
        loop, evaluate, beside = (
            self.loop(world, seed),
            world.evaluation("field"),
            world.source if self.beside else None,
        )
        found = train_on_crops(
            network, kept, self.fields, loop, scale.batch, folder, self.learn_cloud, beside, evaluate, True, world.say
        )
        if self.fields == PAIRS:
            _show(world.started(seed).eval(), found, world, folder.name)
        return tested(found, world, "field")


@dataclass(frozen=True)
class Segment:
    """Either segmentation, trained on few pictures of `field`, with or without those of `studio`."""

    network: Literal["ours", "handsegnet"]
    synth: bool

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.training(folder, self.network, world.scale.masks)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        scale = world.scale
        torch.manual_seed(seed)
        model = HandSegmenter(replace(scale.segmenter, size=scale.model.size, network=self.network))
        kept = [_pictures(_rows(world.pairs, slice(0, scale.real)))]
        if self.synth:
            kept.append(_pictures(world.source))
        loop = world.loop(scale.masks, seed)
        found = train_segmenter(model, joined(kept), loop, scale.batch, folder, True, world.say)
        test = _pictures(world.test("field"))
        device = next(found.parameters()).device
        with torch.no_grad():
            masks = torch.cat([found(part.to(device).float() / 255).cpu() for part in test["image"].split(32)])
        counts = mask_counts(masks.clamp(0, 1).numpy(), (test["mask"] > 127).numpy())
        return Outcome(counts.astype(np.float64), np.arange(len(counts)))


def _pictures(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"image": kept["picture"], "mask": kept["mask"]}


@dataclass(frozen=True)
class Gestures:
    """Gestures told apart by a start's angles, or by those of one that has learnt crafted poses on half of the pictures."""

    refined: bool

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        after = [world.training(folder, "angles", world.scale.crafted)] if self.refined else []
        return [world.start_training(seed), *after]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network, scale = world.started(seed), world.scale
        kept, labels = world.gestures
        if self.refined:
            half = _rows(kept, slice(0, None, 2))
            shown = {**half, "angles": half["crafted"]}
            loop = world.loop(scale.crafted, seed)
            evaluate = world.evaluation("field")
            network = train_on_crops(
                network, shown, LABELS, loop, scale.batch, folder, False, None, evaluate, True, world.say
            )
        angles, _ = found_by(network.eval(), crops_of(_rows(kept, slice(1, None, 2)), ()).image)
        names = np.unique(labels[1::2], return_inverse=True)[1]
        folds = stratified_folds(names, min(FOLDS, len(names)), seed)
        features = angles[:, PALM:].numpy().astype(np.float64)
        found = held_out_logits(
            features, names, int(names.max()) + 1, [range(20)], folds, seed, GestureConfig(mixed=0.0)
        )
        return Outcome((found[:, :-1].argmax(1) != names)[:, None].astype(np.float64), np.arange(len(names)))


def tested(network: RefinableNet, world: World, domain: str) -> Outcome:
    """The errors of a network on the test pictures of a domain, in the columns that the constants name."""
    kept = world.test(domain)
    crops = crops_of(kept)
    assert crops.angles is not None and crops.joints is not None and crops.points is not None
    angles, joints = found_by(network, crops.image)
    if network.config.target == "joints":
        angles = world.fit(joints)
    depth = depth_errors(network, angles, crops.points)
    millimetres = 1000 * scale_of(kept["joints"])[:, None, None]
    mapped = _mapped(network, joints, world) if domain == "field" else joints
    off, off_mapped = (((found - crops.joints) * millimetres).norm(dim=-1) for found in (joints, mapped))
    tips = kept["tips"] * (PICTURE / world.scale.model.size)
    placed = scaled_orthographic(joints[:, list(TIPS)].numpy(), tips.numpy())
    columns = [
        depth[:, None],
        torch.full((len(depth), 1), cloud_distance(network, kept["shape"].mean(0))),
        off,
        off_mapped,
        palm_errors(angles, crops.angles)[:, None],
        torch.from_numpy(joint_angle_errors(angles[:, PALM:].numpy(), crops.angles[:, PALM:].numpy())),
        torch.from_numpy(squared_pixel_errors(placed, tips.numpy())),
        torch.from_numpy(joint_angle_errors(angles[:, :PALM].numpy(), crops.angles[:, :PALM].numpy())),
    ]
    errors = torch.cat([column.double() for column in columns], dim=1).numpy()
    return Outcome(errors, np.arange(len(errors)))


@torch.no_grad()
def _mapped(network: RefinableNet, joints: Tensor, world: World) -> Tensor:
    """Predicted joints (N, 21, 3) under the linear map to the skeletons of `field` that the labelled frames teach (ridge least squares)."""
    kept = world.pairs
    true = in_bones(kept["joints"]).flatten(1)
    found = found_by(network, crops_of(kept, ()).image)[1].flatten(1)
    inputs = torch.cat((found, torch.ones_like(found[:, :1])), dim=1).double()
    normal = inputs.T @ inputs + RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    linear = torch.linalg.solve(normal, inputs.T @ true.double())
    tested = torch.cat((joints.flatten(1), torch.ones_like(joints[:, 0, :1])), dim=1).double()
    return (tested @ linear).float().unflatten(1, (21, 3))


@torch.no_grad()
def cloud_distance(network: RefinableNet, shape: Tensor) -> float:
    """Mean distance in mm of the cloud's points to the surface of a hand of this shape (10,), both open; the cloud moved rigidly onto it.

    Moved, because depth says where the surface is and hardly where in it the pivots are. The surface is 20 times as many points.
    """
    hand = network.hand.to(network.rest.device)
    surface = hand.template + hand.shape_basis @ shape.to(hand.template)
    own, dense = (
        torch.einsum("nk,nki->ni", weights.to(surface), surface[corners.to(surface.device)])
        for corners, weights in (surface_points(hand, network.config.points), _dense_points(hand))
    )
    cloud = rigid_align(network.cloud(), own)
    return 1000 * float(torch.cdist(cloud, torch.cat((own, dense))).amin(1).mean())


def _dense_points(hand: HandModel) -> tuple[Tensor, Tensor]:
    """Corners and barycentric weights of the middles, and of the thirds, of all triangles."""
    inside = torch.tensor([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]], dtype=torch.float32)
    inside = inside / inside.sum(1, keepdim=True)
    faces = hand.faces.repeat_interleave(len(inside), 0)
    return faces, inside.repeat(len(hand.faces), 1).to(hand.template)


@torch.no_grad()
def _show(before: RefinableNet, after: RefinableNet, world: World, name: str) -> None:
    """A sheet like Fig. 6: of each hand the crop, the synthesised input depth, and prediction and error before and after."""
    crops = crops_of(_rows(world.test("field"), slice(0, SHOWN)))
    assert crops.points is not None
    true = before.map_of(crops.points)
    shown = [crops.image[:, 0], true]
    for network in (before, after):
        network = network.to(crops.image.device)
        made = network.map_of(network.posed_cloud(found_by(network, crops.image)[0]))
        shown += [made, (made - true).abs()]
    side = max(128, world.scale.model.size)
    tiles = [
        cv2.resize(np.repeat((255 * picture[number].clamp(0, 1)).byte().numpy()[..., None], 3, -1), (side, side))
        for number in range(len(crops))
        for picture in shown
    ]
    write_sheet(world.folder / f"dibra2018_{name}.png", sheet(tiles, 2 * len(shown)))


ROWS: tuple[Row[World], ...] = (
    Row(START, Start(), "main", "Ours (oracle segmentation)"),
    Row(FIXED, Refine(PAIRS), "main"),
    Row(LEARNT, Refine(PAIRS, learn_cloud=True), "main"),
    Row(BESIDE, Refine(PAIRS, learn_cloud=True, beside=True), "main"),
    Row(ANGLES, Refine(LABELS), "main"),
    Row(POSITIONS, Refine(("joints",)), gap=False),
)
TARGET_ROWS: tuple[Row[World], ...] = (
    Row(ON_POSITIONS, Start("studio", "joints"), "main", ON_POSITIONS, gap=False),
    Row(ON_ANGLES, Start("studio", "angles"), "main", ON_ANGLES, gap=False),
)
MASK_ROWS: tuple[Row[World], ...] = (
    Row(HSN, Segment("handsegnet", False), gap=False),
    Row(HSN_SYNTH, Segment("handsegnet", True), gap=False),
    Row(OSN, Segment("ours", False), gap=False),
    Row(OSN_SYNTH, Segment("ours", True), gap=False),
)
GESTURE_ROWS: tuple[Row[World], ...] = (
    Row(UNREFINED, Gestures(False), "main", gap=False),
    Row(CRAFTED, Gestures(True), "main", gap=False),
)


def _mean(columns: slice, factor: float = 1.0) -> partial[float]:
    return partial(_mean_of, columns, factor)


def _mean_of(columns: slice, factor: float, errors: np.ndarray) -> float:
    return factor * float(errors[:, columns].mean())


def _squares(columns: slice, errors: np.ndarray) -> float:
    return float(np.square(errors[:, columns]).mean())


def _angle_squares(errors: np.ndarray) -> float:
    return float(np.square(np.concatenate((errors[:, EULER], errors[:, FINGERS]), axis=1)).mean())


def _angle_curve(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of frames whose largest error, of the palm's turn and 20 angles, is within each threshold."""
    return frames_within(errors[:, TURN.start : FINGERS.stop], thresholds)


def _of_counts(score: object, errors: np.ndarray) -> float:
    return 100 * float(score(errors.sum(0)))  # type: ignore[operator]


def _wrong(errors: np.ndarray) -> float:
    return 100 - _of_counts(pixel_accuracy, errors)


def _share_wrong(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of pictures of which at most so many percent of the pixels, or of gestures, are wrong."""
    right = errors[:, [0, 3]].sum(1) / errors.sum(1) if errors.shape[1] == 4 else 1 - errors[:, 0]
    return np.searchsorted(np.sort(100 * (1 - right)), thresholds, side="right") / len(errors)


def _head(world: World) -> list[str]:
    scale, config = world.scale, world.scale.model
    terms = ", ".join(f"{name} {value:g}" for name, value in asdict(config.weights).items())
    return [
        f"Data: started on {scale.source} labelled pictures of `studio`; refined on {scale.pairs} pairs of `field`, tested on {scale.test} "
        "others of it. True masks. Rows with labels see the same pictures as the pairs, with labels in place of depth.",
        "Compared: joints from the wrist, the camera's axes; scale: the length of the middle finger's first bone is given; no "
        "alignment. Depth: squared difference of the two synthesised images. Cloud: mean distance to the surface of the mean shape of the "
        "hands tested on. Mapped: after a linear map from skeleton to skeleton, learnt on the labelled frames. Tips: squared error of all "
        f"five in pictures of {PICTURE} pixels, after a fit of scale and shift. Angles within: share of frames whose worst angle is.",
        f"Splats: maps of {config.map} x {config.map} of {config.points} points, r = {1000 * config.radius * config.cube:.1f} mm, a cube "
        f"of {100 * config.cube:.0f} cm. Weights of the loss: {terms}.",
        f"Training: {config.size} pixels, {config.width} channels; a start of {scale.start.samples} pictures, then {scale.refine.samples}, "
        f"{scale.batch} a step; in {scale.refine.precision}.",
    ]


def _target_head(world: World) -> list[str]:
    return [
        f"Trained on {world.scale.source} pictures of `studio`, tested on {TESTED} others of it. Angles of joints are those of the fit on "
        "the mean hand, joints of angles those of the mean hand; scale as in dibra2018.md. The print gives no unit of positions.",
    ]


def _mask_head(world: World) -> list[str]:
    scale = world.scale
    lines = [
        f"Trained on {scale.real} pictures of `field`, and where the row says Synth on {scale.source} of `studio`, {scale.masks.samples} "
        f"shown, {scale.model.size} pixels; tested on {scale.test} of `field`. Pixels of all pictures together. Two stages of one "
        "architecture.",
    ]
    for name, network in ((HSN, "handsegnet"), (OSN, "ours")):
        model = HandSegmenter(replace(scale.segmenter, network=network)).eval()  # type: ignore[arg-type]
        count = sum(parameter.numel() for parameter in model.parameters())
        lines.append(
            f"{name}: {count / 1e6:.2f} million parameters, {_milliseconds(model, scale.model.size):.1f} ms a picture (CPU time)."
        )
    return lines


@torch.no_grad()
def _milliseconds(model: nn.Module, size: int) -> float:
    """CPU time of a picture, the least of five."""
    picture = torch.rand(1, 3, size, size)
    times = []
    for _ in range(6):
        began = time.process_time()
        model(picture)
        times.append(time.process_time() - began)
    return 1000 * min(times[1:])


def _gesture_head(world: World) -> list[str]:
    return [
        f"{GESTURES} gestures of {len(base_poses())} base poses, those that most pictures of `field` show within {NEAR:.0f} degrees. Half "
        f"of the pictures refine ({world.scale.crafted.samples} shown), with the base pose as target; the others are told apart, "
        f"{FOLDS}-fold. In print, of Senz3D: 94 %, refined 96.7 %.",
    ]


PAPER = Paper(
    "dibra2018",
    "dibra_2018",
    ROWS,
    (
        Figure("joints_mm", "joint error, mm", _mean(JOINTS)),
        Figure("depth_mse", "depth, 10^-3", _mean(DEPTH, 1000.0)),
        Figure("cloud_mm", "cloud, mm", _mean(CLOUD)),
        Figure("palm_deg", "palm, deg", _mean(TURN), 1),
        Figure("fingers_deg", "fingers, deg", _mean(FINGERS), 1),
        Figure("mapped_mm", "mapped, mm", _mean(MAPPED)),
        Figure(
            "angle_auc",
            "angles within, AUC 0-120",
            lambda errors: curve_area_trapezoid(_angle_curve(errors, ROC), ROC),
            3,
        ),
        Figure("tips_px2", "tips, px²", _mean(FINGERTIPS), 0, "fingertip_squared_error_px2"),
    ),
    Curve("largest error of an angle (degrees)", "frames within (%)", ROC, _angle_curve),
    (START, ANGLES),
    _head,
    lambda world, kind: world.seconds(kind),
)
TARGETS = Paper(
    "dibra2018_targets",
    "dibra_2018",
    TARGET_ROWS,
    (
        Figure("position_mse", "joint position MSE, mm²", partial(_squares, JOINTS), 0, "joint_position_mse"),
        Figure("angle_mse", "joint angle MSE, deg²", _angle_squares, 0, "joint_angle_mse"),
        Figure("palm_deg", "palm, deg", _mean(TURN), 1),
        Figure("fingers_deg", "fingers, deg", _mean(FINGERS), 1),
    ),
    Curve("largest error of an angle (degrees)", "frames within (%)", ROC, _angle_curve),
    (ON_ANGLES, ON_POSITIONS),
    _target_head,
    lambda world, kind: world.seconds(kind),
)
MASKS = Paper(
    "dibra2018_masks",
    "dibra_2018",
    MASK_ROWS,
    (
        Figure("wrong_percent", "wrong pixels, %", _wrong),
        *(
            Figure(f"{name}_percent", f"{name}, %", partial(_of_counts, score), 1)
            for name, score in (("IoU", iou), ("precision", precision), ("recall", recall), ("F1", f1))
        ),
    ),
    Curve("wrong pixels of a picture (%)", "pictures within (%)", np.linspace(0, 20, 41), _share_wrong),
    (HSN, OSN_SYNTH),
    _mask_head,
    lambda world, kind: world.seconds(kind),
)
GESTURE = Paper(
    "dibra2018_gestures",
    "dibra_2018",
    GESTURE_ROWS,
    (Figure("wrong_percent", "wrong gestures, %", _mean(slice(0, 1), 100.0), 1),),
    Curve("", "wrong", np.array([0.0, 100.0]), _share_wrong),
    (UNREFINED, CRAFTED),
    _gesture_head,
    lambda world, kind: world.seconds(kind),
)
PAPERS: tuple[Paper[World], ...] = (PAPER, TARGETS, GESTURE, MASKS)

ALL_ROWS = tuple(row for paper in PAPERS for row in paper.rows)


reproduce = partial(reproduce_papers, PAPERS, Scale, World)
"""`phalanx reproduce dibra2018`."""
