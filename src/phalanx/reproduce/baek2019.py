"""The ablations of Baek et al. 2019 (Fig. 5d to 5f) and their masks (Table 2), made again: `phalanx reproduce baek2019`.

RHD and SHD are not shipped, nor Dexter+Object; pictures of our own stand in. Rows are trained on `studio` with joints and masks, and tested
there on other pictures, as in print on RHD; and on `field_holding`, another world whose hands hold things, where the finger tips count,
as on Dexter+Object.

All rows of a seed go on from one start of 2D evidence: heat maps (Eq. 3) and features (Eq. 2). What the rows leave out adds up as printed:

- **Ours**; **w/o Test. ref.**: the same network without Eq. 13.
- **and Refiner**: no f^Ref beside, so j'_2D stays what the heat maps say.
- **and 2D losses**: neither Eq. 2 nor Eq. 3 any more; features alone regress (Kanazawa et al. 2018).
- **w/o shape loss** (Eq. 9), **w/o Data Aug.** (Sec. 3.5), **Constant weight** (lambda = 0.01 in place of Eq. 12): with refinement.

All rows see as many pictures in as many steps; new hands come beside. The root's depth is given. A second
table has masks (`baek2019_masks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.data.images import image_bytes
from phalanx.geometry.camera import Camera
from phalanx.hand.skeleton import TIPS
from phalanx.methods.dense_hand import DenseHand
from phalanx.metrics.curves import auc_trapezoid, pck_curve, zimmermann_20_50
from phalanx.metrics.masks import iou
from phalanx.reproduce.baek2019_masks import MASK_FIGURES, MaskNetwork, MeshMasks, Segment, percent, seconds
from phalanx.reproduce.baek2019_world import WEIGHT, Scale, World, pixel_counts
from phalanx.reproduce.pairs import reproduce_papers
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.train.dense_hand import Found, counts, found_hands
from phalanx.view.curves import draw_curves
from phalanx.view.samples import draw_joints, sheet, write_sheet

HELP = """\
Starts with 2D evidence on the domain studio; learns the mesh there from joints and masks, with new hands made of those that it finds; fits
it to each test picture again. Tests on studio and on the domain field with things in hands. Writes baek2019.md (the table), baek2019.png
(correct joints within an error), baek2019_masks.md and .png (masks), baek2019_progress.png (hands within tau while training), and sheets
of test pictures before and after refinement. The scale smoke takes a minute, cpu two hours on one core, paper days on a GPU.

examples:
  phalanx reproduce baek2019 --out runs/baek2019
  phalanx reproduce baek2019 --out runs/few --seeds 1 --rows "Ours" "Ours (w/o Test. ref.)"
"""

OURS = "Ours"
NO_REFINEMENT = "Ours (w/o Test. ref.)"
NO_REFINER = "Ours (w/o Test. ref. and Refiner)"
NO_EVIDENCE = "Ours (w/o Test. ref., Refiner and 2D losses)"
NO_SHAPE = "w/o shape loss"
NO_NEW = "w/o Data Aug."
CONSTANT = "Constant weight"
MESH, SEGMENTATION = "mask of the mesh", "segmentation network"

SHOWN = 8
"""Pictures of each domain on a sheet."""

STUDIO, FIELD = slice(0, 21), slice(21, 42)
MASKS = slice(42, 50)
"""What an outcome holds of the test pictures of a number: errors of joints in mm, of both domains; then pixels (`metrics.masks`)."""

ITERATIONS_FILE = "iterations.json"
"""In the folder of a training: mean errors after each iteration of Eq. 13."""


@dataclass(frozen=True)
class Learn:
    """A variant of the network, trained from the start, and tested."""

    variant: str
    """Of `VARIANTS`."""
    refined: bool
    """Whether test pictures are fitted to again."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed), world.training(self.variant, seed)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = world.trained(self.variant, seed)
        iterations = network.config.refinement if self.refined else 0
        found = [found_hands(network, sample, iterations) for sample in (world.studio, world.field)]
        if self.refined:
            _keep_path(found, world, world.variant_folder(self.variant, seed))
            _show(network, found, world, f"{self.variant}_{seed}")
        return Outcome(_measured(found, world), np.arange(world.scale.test))


def _measured(found: Sequence[Found], world: World) -> np.ndarray:
    """What an outcome holds, (N, 50)."""
    errors, pixels = [], []
    for hands, sample in zip(found, (world.studio, world.field), strict=True):
        assert sample.joints is not None
        errors.append(1000 * (hands.joints - sample.joints).norm(dim=-1).numpy())
        pixels.append(pixel_counts(hands.masks, sample))
    return np.concatenate([*errors, *pixels], axis=1).astype(np.float64)


def _keep_path(found: Sequence[Found], world: World, folder: Path) -> None:
    """Write mean errors after each iteration, in mm: of all joints on `studio`, of finger tips on the other domain (Fig. 5e)."""
    said = {}
    for name, hands, sample, joints in zip(
        ("studio", "field_tips"), found, (world.studio, world.field), (list(range(21)), list(TIPS)), strict=True
    ):
        assert hands.path is not None and sample.joints is not None
        off = (hands.path[:, :, joints] - sample.joints[:, joints]).norm(dim=-1)  # (T, N, J)
        said[name] = [float(value) for value in 1000 * off.mean((1, 2))]
    write_json(writable_folder(folder) / ITERATIONS_FILE, said)


def _show(network: DenseHand, found: Sequence[Found], world: World, name: str) -> None:
    """A sheet of test pictures of both domains: each picture, and what is found before and after refinement."""
    size, tiles = network.config.size, []
    for refined, sample in zip(found, (world.studio[:SHOWN], world.field[:SHOWN]), strict=True):
        assert sample.image is not None and sample.K is not None
        plain = found_hands(network, sample)
        camera = Camera(sample.K, size, size)
        for number in range(len(sample)):
            picture = image_bytes(sample.image[number])
            tiles.append(cv2.resize(picture, (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC))
            for hands in (plain, refined):
                places = camera.project(hands.joints[: len(sample)])[number]
                tiles.append(draw_joints(_tinted(picture, hands.masks[number]), places.double().numpy(), 3))
    write_sheet(world.folder / f"baek2019_{name}.png", sheet(tiles, 6))


def _tinted(picture: np.ndarray, mask: Tensor) -> np.ndarray:
    """An RGB picture (S, S, 3), what the mask (S, S) covers blue."""
    share = 0.5 * mask.numpy()[..., None]
    return ((1 - share) * picture + share * np.array([40, 120, 250])).round().astype(np.uint8)


ROWS: tuple[Row[World], ...] = (
    Row(OURS, Learn("full", True), "main"),
    Row(NO_REFINEMENT, Learn("full", False), "main"),
    Row(NO_REFINER, Learn("refiner", False), "main"),
    Row(NO_EVIDENCE, Learn("evidence", False)),
    Row(NO_SHAPE, Learn("shape", True)),
    Row(NO_NEW, Learn("augmentation", True)),
    Row(CONSTANT, Learn("constant", True)),
)

MASK_ROWS: tuple[Row[World], ...] = (
    Row(MESH, MeshMasks(ROWS[0], MASKS), "main", "Ours", gap=False),
    Row(SEGMENTATION, Segment(), "main", "[21]", gap=False),
)

FIGURES = (
    Figure("studio_3d_mm", "studio, joint error, mm", lambda errors: float(errors[:, STUDIO].mean())),
    Figure("field_tips_3d_mm", "field, finger tips, mm", lambda errors: float(_tips(errors).mean())),
    Figure("field_3d_mm", "field, all joints, mm", lambda errors: float(errors[:, FIELD].mean())),
    Figure(
        "studio_auc_20_50", "studio, AUC 20-50", lambda errors: auc_trapezoid(errors[:, STUDIO], zimmermann_20_50()), 3
    ),
    Figure(
        "field_tips_auc_20_50",
        "field, tips, AUC 20-50",
        lambda errors: auc_trapezoid(_tips(errors), zimmermann_20_50()),
        3,
    ),
    Figure("studio_mask_iou_percent", "studio, mask IoU, %", lambda errors: percent(iou, errors[:, MASKS], 0), 1),
    Figure("field_mask_iou_percent", "field, mask IoU, %", lambda errors: percent(iou, errors[:, MASKS], 4), 1),
)


def _tips(errors: np.ndarray) -> np.ndarray:
    return errors[:, FIELD][:, list(TIPS)]


def _head(world: World) -> list[str]:
    scale, model = world.scale, world.scale.model
    terms = ", ".join(f"{name} {value:g}" for name, value in asdict(model.weights).items())
    return [
        f"Data: {scale.pictures} pictures of `studio` with joints and masks; tested on {scale.test} others, and on {scale.test} of "
        "`field` whose hands hold things.",
        "Published: curves without numbers. Refinement gains much on Dexter+Object and little on RHD; every other part gains on both.",
        "Compared: 21 joints (on `field` also the five tips) in the camera's frame. Root: the depth of the middle finger's MCP is given. "
        "Scale: as estimated. Alignment: none. Area under the curve: 12 thresholds, trapezoid rule (Zimmermann and Brox 2017).",
        f"Weights of the loss: {terms}. Units: heat maps squared and summed over cells; features, coordinates in sides of the picture, "
        "pixels and lengths of an edge squared and averaged.",
        f"Training: {model.size} pixels; a start of {scale.start.samples} pictures, {scale.warm.samples} without and "
        f"{scale.together.samples} with new hands, {scale.batch} a step and {counts(model, scale.batch)[1]} new ones beside; "
        f"{model.refinement} iterations of refinement of {model.rate:g}; in {scale.warm.precision}.",
        *_iteration_lines(world),
        *_progress_lines(world),
    ]


def _iteration_lines(world: World) -> list[str]:
    """Errors on the way of refinement, of what is done (Fig. 5e)."""
    found = [read_json(path) for path in sorted((world.folder / "runs").glob(f"full_[0-9]*/{ITERATIONS_FILE}"))]
    said = []
    for name, title in (("studio", "joints on `studio`"), ("field_tips", "tips on `field`")):
        if found:
            mean = np.mean([values[name] for values in found], 0)
            steps = sorted({*range(0, len(mean), 10), len(mean) - 1})
            said.append(f"{title}: " + ", ".join(f"{mean[step]:.2f} after {step}" for step in steps))
    return [f"Error in mm by iterations of refinement, {len(found)} seeds: " + "; ".join(said)] if said else []


def _progress_lines(world: World) -> list[str]:
    """How many of the pictures trained on are within tau, by Eq. 12 and by a constant weight (Fig. 5f), of the first seed; and a plot."""
    curves = {}
    for variant, title in (("full", "Eq. 12"), ("constant", f"lambda = {WEIGHT:g}")):
        found = sorted((world.folder / "runs").glob(f"{variant}_[0-9]*/curve.csv"))
        if found:
            table = np.atleast_1d(np.genfromtxt(found[0], delimiter=",", names=True))
            curves[title] = table["seen"] / 1000, table["trained_below_tau"], table["joints_mm"]
    if len(curves) < 2:
        return []
    shares = {f"{title}, {100 * share[-1]:.0f} %": (at, share) for title, (at, share, _) in curves.items()}
    labels = "thousand pictures, backgrounds counted", "pictures trained on that are within tau (%)"
    draw_curves(world.folder / "baek2019_progress.png", shares, *labels)
    said = (
        f"{title} {100 * share[-1]:.1f} % ({error[-1]:.2f} mm before refinement)"
        for title, (_, share, error) in curves.items()
    )
    return ["Pictures trained on within tau at the end, first seed: " + "; ".join(said) + "."]


def _mask_head(world: World) -> list[str]:
    sizes = (DenseHand(world.scale.model), MaskNetwork(world.scale.model))
    parts = (sum(parameter.numel() for parameter in network.parameters()) for network in sizes)
    ours, theirs = (f"{count / 1e6:.2f} million parameters" for count in parts)
    return [
        f"Masks of the hand to the wrist, of {world.scale.test} pictures each; all pixels of a set together. What lies before a hand is no "
        "part of the mask's truth, which goes on behind it.",
        f"{MESH}: after refinement, {ours}; {SEGMENTATION}: the trunk of F and a way back up, {theirs}, trained on the same pictures, "
        f"{world.scale.segmentation.samples} of them.",
        "Published: RHD; beside ours stands Khan and Borji 2018, fine-tuned there.",
    ]


PAPER = Paper(
    "baek2019",
    "baek_2019",
    ROWS,
    FIGURES,
    Curve(
        "joint error on studio (mm)",
        "joints within (%)",
        np.arange(0.0, 51.0),
        lambda errors, at: pck_curve(errors[:, STUDIO], at),
    ),
    (NO_EVIDENCE, OURS),
    _head,
    lambda world, kind: world.seconds(kind),
)

MASK_PAPER = Paper(
    "baek2019_masks",
    "baek_2019",
    MASK_ROWS,
    MASK_FIGURES,
    Curve(
        "IoU (%)",
        "pictures above (%)",
        np.arange(0.0, 101.0, 2.0),
        lambda pixels, at: (100 * iou(pixels[:, :4])[:, None] >= at).mean(0),
    ),
    (SEGMENTATION, MESH),
    _mask_head,
    seconds,
)


reproduce = partial(reproduce_papers, (PAPER, MASK_PAPER), Scale, World)
"""`phalanx reproduce baek2019`."""
