"""The masks of `reproduce.baek2019` (Table 2): those of the mesh, and those of a network of the same size that does nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.methods.base import Method
from phalanx.methods.dense_hand import LABELLED, DenseHandConfig
from phalanx.metrics.masks import f1, iou, precision, recall
from phalanx.nets.pyramid import Pyramid
from phalanx.reproduce.baek2019_world import EVALUATED, World, pixel_counts
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import Say
from phalanx.reproduce.plan import Figure, Outcome, Row, Training
from phalanx.reproduce.table import results_of
from phalanx.train.dense_hand import mixed, phase_of, stored_pictures
from phalanx.train.loop import train
from phalanx.train.plan import Feed, LoopConfig, Stage
from phalanx.train.run import silent


class MaskNetwork(Method):
    """Pictures (B, 3, S, S) to logits of masks (B, S, S): the trunk of F with a way back up, and nothing else."""

    def __init__(self, config: DenseHandConfig) -> None:
        super().__init__()
        back = [width // 2 for width in reversed(config.widths[:3])]
        self.pyramid = Pyramid(config.widths, config.depths, back)
        self.head = nn.Sequential(nn.Conv2d(back[-1], 16, 1), nn.PixelShuffle(4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pyramid(images)[0])[:, 0]

    def losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Cross-entropy, a mean over pixels."""
        sample = batch.get(LABELLED)
        return {"masks": nn.functional.binary_cross_entropy_with_logits(self(sample.image).float(), sample.mask)}


@torch.no_grad()
def masks_of(network: nn.Module, sample: Sample, batch: int = 64) -> Tensor:
    """Masks (N, S, S), 0 to 1, that a `MaskNetwork` finds in pictures."""
    assert sample.image is not None
    device = next(network.parameters()).device
    return torch.cat([network(images.to(device)).sigmoid().to(images.device) for images in sample.image.split(batch)])


def segmented(world: World, seed: int, folder: Path, loop: LoopConfig, say: Say) -> MaskNetwork:
    """The network that masks are compared with, trained or trained on in `folder`, ready for inference."""
    torch.manual_seed(seed)
    scale = world.scale
    network = MaskNetwork(scale.model)
    loop = replace(loop, seed=seed, device=world.device)

    def feed() -> Feed:
        return mixed(stored_pictures(world.pictures, seed), None, scale.model, scale.batch)

    def evaluate(model: nn.Module, size: int) -> dict[str, float]:
        shown = world.studio[:EVALUATED]
        return {"mask_iou": float(iou(pixel_counts(masks_of(model, shown), shown).sum(0)))}

    stage = Stage("masks", loop, [phase_of(scale.model.size, scale.batch)], feed, evaluate)
    about = {"model": asdict(scale.model), "batch": scale.batch, "pictures": scale.pictures}
    found = train(network, [stage], folder, True, say, about=about, settings=about)
    assert isinstance(found, MaskNetwork)
    return found.eval().requires_grad_(False)


def seconds(world: World, kind: str) -> float:
    """Seconds a picture of its training, by a few steps."""
    batch = world.scale.batch

    def steps(number: int) -> None:
        loop = replace(world.scale.segmentation, samples=number * batch)
        with tempfile.TemporaryDirectory() as folder:
            segmented(world, 0, Path(folder), loop, silent)

    return seconds_a_picture(steps, batch)


@dataclass(frozen=True)
class MeshMasks:
    """The masks of a row of the other table, which is done."""

    row: Row[World]
    pixels: slice
    """Where its outcomes have them."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return []

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        done = {result.seed: result.outcome for result in results_of(world.folder, self.row)}
        if seed not in done:
            raise InputError(f"rows: the masks need the row {self.row.name!r} of seed {seed}; make it first")
        return Outcome(done[seed].errors[:, self.pixels], done[seed].frames)


@dataclass(frozen=True)
class Segment:
    """A network that finds masks alone."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        network = MaskNetwork(world.scale.model)
        return [Training(folder, "segmentation", world.scale.segmentation.samples or 0, checkpoint_bytes(network))]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        network = segmented(world, seed, folder, world.scale.segmentation, world.say)
        counted = [pixel_counts(masks_of(network, sample), sample) for sample in (world.studio, world.field)]
        return Outcome(np.concatenate(counted, 1).astype(np.float64), np.arange(world.scale.test))


def percent(score: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, first: int) -> float:
    """A score of all pixels of a set together, of counts (N, 8) of which four begin at `first`."""
    return 100 * float(score(pixels[:, first : first + 4].sum(0)))


MASK_FIGURES = (
    Figure("mask_iou_percent", "IoU, %", lambda pixels: percent(iou, pixels, 0), 1, "mask_iou_percent"),
    Figure(
        "mask_precision_percent",
        "precision, %",
        lambda pixels: percent(precision, pixels, 0),
        1,
        "mask_precision_percent",
    ),
    Figure("mask_recall_percent", "recall, %", lambda pixels: percent(recall, pixels, 0), 1, "mask_recall_percent"),
    Figure("mask_f1_percent", "F1, %", lambda pixels: percent(f1, pixels, 0), 1, "mask_f1_percent"),
    Figure("field_mask_iou_percent", "field, IoU, %", lambda pixels: percent(iou, pixels, 4), 1),
)
