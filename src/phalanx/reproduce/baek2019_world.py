"""What the rows of `reproduce.baek2019` work with: scale, pictures, starts, and the variants of the network that rows train."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from phalanx.data.sample import Sample
from phalanx.methods.dense_hand import METHOD, DenseHand, DenseHandConfig, load
from phalanx.metrics.masks import mask_counts
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import SETS, cached_start, start_folder, start_is_there
from phalanx.reproduce.pairs import PairsWorld, frozen_pictures
from phalanx.reproduce.plan import Training
from phalanx.train.card import synthesis
from phalanx.train.dense_hand import (
    WEIGHTS,
    begun,
    counts,
    drawn_backgrounds,
    evidence_figures,
    figures,
    keep_masked,
    mixed,
    phase_of,
    players_of_evidence,
    save,
    scaled,
    stored_pictures,
    train_on_pictures,
)
from phalanx.train.feed import unpack
from phalanx.train.loop import train
from phalanx.train.plan import Feed, LoopConfig, Stage
from phalanx.train.run import Prepared, silent

EVALUATED = 128
"""Pictures that curves are of."""

WEIGHT = 0.01
"""lambda of the row with a constant one, as printed."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/baek2019_*.yaml`."""

    pictures: int
    """Pictures of `studio` with joints and masks."""
    test: int
    """Pictures to test on, of each domain."""
    behind: int
    """Backgrounds that new hands are put before."""
    model: DenseHandConfig
    """The networks."""
    start: LoopConfig
    """Training of 2D evidence."""
    warm: LoopConfig
    """Of the mesh, until new hands are made; of each row."""
    together: LoopConfig
    """Of the mesh with new hands, which do not count."""
    segmentation: LoopConfig
    """Of the network that masks are compared with."""
    batch: int
    """Pictures a step."""
    workers: int
    """Processes that make pictures."""


@dataclass(frozen=True)
class StartTraining:
    """What a start is made of."""

    model: DenseHandConfig
    loop: LoopConfig
    pictures: int
    batch: int


def _full(config: DenseHandConfig) -> DenseHandConfig:
    return config


def _without_refiner(config: DenseHandConfig) -> DenseHandConfig:
    return replace(config, refiner=False)


def _without_evidence(config: DenseHandConfig) -> DenseHandConfig:
    return replace(config, refiner=False, skeleton=False, weights=replace(config.weights, features=0.0, heat_maps=0.0))


def _without_shape(config: DenseHandConfig) -> DenseHandConfig:
    return replace(config, weights=replace(config.weights, shape=0.0))


def _constant(config: DenseHandConfig) -> DenseHandConfig:
    return replace(config, constant=WEIGHT)


VARIANTS = {
    "full": _full,
    "refiner": _without_refiner,
    "evidence": _without_evidence,
    "shape": _without_shape,
    "augmentation": _full,
    "constant": _constant,
}
"""Networks that are trained, by what they lack; `augmentation` makes no new hands."""


class World(PairsWorld[Scale]):
    """What rows work with; pictures are made or read when the first row asks for them."""

    def kept(self, name: str, frames: int) -> dict[str, Tensor]:
        """The first pictures of a set, with masks, as `train.dense_hand.keep_masked` keeps them."""
        fields = ("image", "mask", "parts", "joints", "joints_2d", "K")
        size, workers = self.scale.model.size, self.scale.workers
        return frozen_pictures(name, self.cache, frames, size, workers, self.say, fields, keep_masked)

    @cached_property
    def _studio(self) -> dict[str, Tensor]:
        return self.kept("studio", self.scale.pictures + self.scale.test)

    @cached_property
    def pictures(self) -> dict[str, Tensor]:
        """To train on."""
        return {name: value[: self.scale.pictures] for name, value in self._studio.items()}

    @cached_property
    def studio(self) -> Sample:
        """To test on, of the domain that is trained on."""
        return unpack({name: value[self.scale.pictures :] for name, value in self._studio.items()})

    @cached_property
    def field(self) -> Sample:
        """To test on, of the other domain, with things in hands."""
        return unpack(self.kept("field_holding", self.scale.test))

    @cached_property
    def behind(self) -> dict[str, Tensor]:
        """Backgrounds of new hands, of the domain that is trained on."""
        plan = SETS["studio"]
        return drawn_backgrounds(replace(plan.config, size=self.scale.model.size), plan.seed, self.scale.behind)

    def start(self, seed: int) -> StartTraining:
        """Settings of a start."""
        loop = replace(self.scale.start, seed=seed, device=self.device)
        model = replace(self.scale.model, threshold=DenseHandConfig.threshold)  # of which 2D evidence knows nothing
        return StartTraining(model, loop, self.scale.pictures, self.scale.batch)

    def begin(self, config: DenseHandConfig, seed: int) -> DenseHand:
        """A row's network: 2D evidence out of a start, from the cache or trained now; the rest untrained."""
        weights = cached_start(METHOD, self._prepare, self.start(seed), self.cache, self.say)
        started = load(weights, trainable=True).state_dict()
        network = begun(config, seed)
        network.start_from(
            {name: value for name, value in started.items() if name.startswith(("joints.", "features."))}
        )
        return network

    def loops(self, seed: int) -> tuple[LoopConfig, LoopConfig]:
        """Budgets of a row's training."""
        first, second = (
            replace(loop, seed=seed, device=self.device) for loop in (self.scale.warm, self.scale.together)
        )
        return first, second

    def start_training(self, seed: int) -> Training:
        """What a start takes."""
        folder = start_folder(METHOD, self.start(seed), self.cache)
        return Training(folder, "start", self.scale.start.samples or 0, self._bytes, start_is_there(folder))

    def training(self, variant: str, seed: int) -> Training:
        """What a row's training takes; backgrounds count as the loop counts them."""
        config, with_new = VARIANTS[variant](self.scale.model), variant != "augmentation"
        first, second = self.loops(seed)
        share = sum(counts(config, self.scale.batch)) / self.scale.batch if with_new else 1.0
        pictures = (first.samples or 0) + (scaled(second, share).samples or 0)
        return Training(self.variant_folder(variant, seed), "new hands" if with_new else "plain", pictures, self._bytes)

    def variant_folder(self, variant: str, seed: int) -> Path:
        """Where a variant of the network trains: rows may share it."""
        return self.folder / "runs" / f"{variant}_{seed}"

    def trained(self, variant: str, seed: int) -> DenseHand:
        """A variant of the network, trained or trained on, ready for inference; refinement is the same for all."""
        network = self.begin(VARIANTS[variant](self.scale.model), seed)
        behind = None if variant == "augmentation" else self.behind
        folder, evaluate = self.variant_folder(variant, seed), self.evaluate
        found = train_on_pictures(
            network, self.pictures, behind, self.loops(seed), self.scale.batch, folder, evaluate, True, self.say
        )
        found.config = replace(found.config, constant=None, weights=self.scale.model.weights)
        return found.eval().requires_grad_(False)

    def evaluate(self, network: nn.Module, size: int) -> dict[str, float]:
        """For curves: of some test pictures; and the share of some of those trained on that are within tau."""
        seen = unpack({name: value[:EVALUATED] for name, value in self.pictures.items()})
        return figures(network, self.studio[:EVALUATED]) | {"trained_below_tau": figures(network, seen)["below_tau"]}

    @cached_property
    def _bytes(self) -> int:
        return checkpoint_bytes(DenseHand(self.scale.model))

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("start", "new hands", "plain"), by a few steps."""
        batch, model = self.scale.batch, self.scale.model
        behind = self.behind if kind == "new hands" else None
        pictures = {"start": batch, "new hands": batch + sum(counts(model, batch)), "plain": 2 * batch}[kind]

        def steps(number: int) -> None:
            with tempfile.TemporaryDirectory() as folder:
                budget = partial(replace, samples=number * batch)
                if kind == "start":
                    train(
                        begun(model, 0),
                        self._start_stages(self.start(0), budget(self.start(0).loop)),
                        folder,
                        report=silent,
                    )
                else:
                    loops = [budget(loop) for loop in self.loops(0)]
                    train_on_pictures(begun(model, 0), self.pictures, behind, loops, batch, folder, report=silent)

        return seconds_a_picture(steps, pictures)

    def _start_stages(self, config: StartTraining, loop: LoopConfig) -> list[Stage]:
        def feed() -> Feed:
            return mixed(stored_pictures(self.pictures, config.loop.seed), None, config.model, config.batch)

        def evaluate(network: nn.Module, size: int) -> dict[str, float]:
            return evidence_figures(network, self.studio[:EVALUATED])

        return [
            Stage("evidence", loop, [phase_of(config.model.size, config.batch)], feed, evaluate, players_of_evidence)
        ]

    def _prepare(self, config: StartTraining) -> Prepared:
        return Prepared(
            begun(config.model, config.loop.seed),
            self._start_stages(config, config.loop),
            fixed={name: value for name, value in asdict(config).items() if name != "loop"},
            data=[synthesis(SETS["studio"].config, "2D joints, masks")],
            start=None,
            weights=WEIGHTS,
            save=save,
        )


def pixel_counts(masks: Tensor, sample: Sample) -> np.ndarray:
    """Pixels (N, 4), as `metrics.masks` counts them, of masks (N, S, S) found in pictures with true ones."""
    assert sample.mask is not None
    return mask_counts(masks.float().numpy(), sample.mask.numpy())
