"""What the rows of `reproduce.wan2019` work with: scale, recordings and test frames (ours, or those of NYU), starts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.data.cube_views import CubeViews
from phalanx.evaluate.nyu import joints_14
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, load
from phalanx.reproduce.cost import checkpoint_bytes, seconds_a_picture
from phalanx.reproduce.frozen import Say, cached_start, frozen_views, kept_tensors, start_folder, start_is_there
from phalanx.reproduce.nyu import nyu_cubes
from phalanx.reproduce.plan import Outcome, Training
from phalanx.synth import SynthConfig
from phalanx.train.cubes import draw_views
from phalanx.train.plan import LoopConfig
from phalanx.train.recordings import MixtureConfig
from phalanx.train.sphere_fitting import (
    SphereFittingTraining,
    estimate_joints,
    prepare,
    train_on_labels,
    train_on_recordings,
)

METHOD = "sphere_fitting"

SETS = ("nyu",)
"""Public sets that the rows can run on."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; the recipes are `recipes/wan2019_*.yaml`."""

    size: int
    """Cells of a depth map."""
    width: int
    """Channels of the hourglass."""
    frames: int
    """Recorded frames of three views to fit to."""
    test: int
    """Frames of three views to test on."""
    synthetic_test: int
    """Synthetic pictures for the row that is tested on synthesis."""
    start: LoopConfig
    """Training on synthetic depth."""
    fit: LoopConfig
    """Each training after it."""
    start_batch: int
    """Synthetic pictures a step of the start."""
    turn: float
    """Degrees by which synthetic maps are turned in their plane, at most; the paper turns none."""
    prior_steps: int
    """Steps of the prior on poses."""
    batch: int
    """Maps a step of the training on labels."""
    fitted: int
    """Frames of three views a step of fitting; as many maps of labelled frames are mixed in."""
    buffer: int
    """Synthetic pictures made at a time."""
    workers: int
    """Processes that make them."""


@dataclass(frozen=True)
class HeldOut:
    """Frames to estimate, and what is compared there."""

    views: CubeViews
    truth: Tensor | None = None
    """(F, V, J, 3) metres, cube frame; None: the joints of `views`."""
    points: Callable[[Tensor], Tensor] = lambda joints: joints
    """Makes of estimated joints `(N, 21, 3)` the points `(N, J, 3)` that are compared."""

    def errors(self, network: SphereFittingEstimator) -> Outcome:
        """Distances in mm of estimated points to the true ones, each view by itself."""
        joints = estimate_joints(network, self.views.maps.flatten(0, 1))
        truth = self.views.joints if self.truth is None else self.truth
        assert truth is not None
        errors = 1000 * (self.points(joints) - truth.flatten(0, 1)).norm(dim=-1)
        frames = np.arange(len(truth)).repeat(truth.shape[1])
        return Outcome(errors.numpy(), frames)


class World:
    """What rows work with; data are drawn or read when the first row asks for them.

    Args:
        scale: how much of everything.
        folder: of the run.
        cache: as `reproduce.frozen.cache_folder` gives it.
        data: folders of public sets by name, those in `SETS`.
        device: where networks train.
        say: is given a line before what takes long.
    """

    def __init__(
        self, scale: Scale, folder: Path, cache: Path, data: Mapping[str, Path], device: str, say: Say
    ) -> None:
        self.scale, self.folder, self.cache, self.data, self.device, self.say = scale, folder, cache, data, device, say
        self.studio = SynthConfig(size=scale.size, domain="studio", depth_sensor="ideal", tiles=4, skins=2)
        self.field = SynthConfig(
            size=scale.size, chunk=24, rig="ring3", domain="field", depth_sensor="domain", tiles=4, skins=2
        )

    @cached_property
    def recordings(self) -> CubeViews:
        """Frames to fit to; labels are for the row that is trained on them."""
        if "nyu" in self.data:
            return self._nyu("train", self.scale.frames)[0]
        return self._views(self.field, 900_001, self.scale.frames)

    @cached_property
    def test(self) -> HeldOut:
        """Frames that rows are tested on."""
        if "nyu" not in self.data:
            return HeldOut(self._views(self.field, 900_002, self.scale.test))
        views, truth = self._nyu("test", self.scale.test)
        return HeldOut(views, truth, lambda joints: torch.from_numpy(joints_14(joints.numpy())))

    @cached_property
    def synthetic_test(self) -> HeldOut:
        """Pictures of the source that no start is trained on."""
        return HeldOut(self._views(self.studio, 900_003, self.scale.synthetic_test))

    def network(self, stacks: int = 1) -> SphereFittingConfig:
        """The network's settings."""
        return SphereFittingConfig(size=self.scale.size, width=self.scale.width, stacks=stacks)

    def start(self, seed: int, noise: bool = True, stacks: int = 1) -> SphereFittingTraining:
        """Settings of a start."""
        scale = self.scale
        return SphereFittingTraining(
            self.network(stacks),
            replace(scale.start, seed=seed, device=self.device),
            self.studio,
            noise,
            turn=scale.turn,
            batch=scale.start_batch,
            seed=seed,
            workers=scale.workers,
            buffer=scale.buffer,
            prior_steps=scale.prior_steps,
            held_out=min(512, scale.synthetic_test),
        )

    def started(self, seed: int, noise: bool = True, stacks: int = 1) -> SphereFittingEstimator:
        """A start, out of the cache or trained now."""
        weights = cached_start(METHOD, prepare, self.start(seed, noise, stacks), self.cache, self.say)
        return load(weights, trainable=True)

    def loop(self, seed: int) -> LoopConfig:
        """Budget of a training after the start."""
        return replace(self.scale.fit, seed=seed, device=self.device)

    def start_training(self, seed: int, noise: bool = True, stacks: int = 1) -> Training:
        """What a start takes."""
        folder = start_folder(METHOD, self.start(seed, noise, stacks), self.cache)
        budget = self.scale.start.samples or 0
        return Training(folder, "start", budget, self._bytes(stacks), start_is_there(folder))

    def training(self, folder: Path, kind: str, stacks: int = 1) -> Training:
        """What a training after the start takes."""
        return Training(folder, kind, self.scale.fit.samples or 0, self._bytes(stacks))

    def _bytes(self, stacks: int) -> int:
        """Of a checkpoint: weights, their average, and two moments of each."""
        return checkpoint_bytes(SphereFittingEstimator(self.network(stacks)))

    def seconds(self, kind: str) -> float:
        """Seconds a picture of a training ("start", "fit", "labels"), by a few steps, and what making synthetic pictures adds."""
        scale, started = self.scale, time.perf_counter()
        views = draw_views(self.field, 900_004, max(scale.fitted, 2), scale.size)
        drawing = (time.perf_counter() - started) / views.maps.shape[:2].numel()
        network, maps = SphereFittingEstimator(self.network()), 6 * scale.fitted if kind == "fit" else scale.start_batch

        def steps(count: int) -> None:
            loop = replace(self.loop(0), samples=count * maps)
            with tempfile.TemporaryDirectory() as folder:
                if kind == "fit":
                    mixture = MixtureConfig(loop, maps // 3)
                    train_on_recordings(network, [views], None, mixture, folder, report=_silent)
                else:
                    train_on_labels(network, views, loop, maps, folder, report=_silent)

        made = {"start": 1 / 2, "fit": 1 / 2 / 4, "labels": 0.0}[kind]  # pictures made for each that is trained on
        return seconds_a_picture(steps, maps) + made * drawing / max(1, scale.workers)

    def _views(self, config: SynthConfig, seed: int, frames: int) -> CubeViews:
        return frozen_views(config, seed, frames, self.scale.size, self.cache, self.scale.workers, self.say)

    def _nyu(self, split: str, frames: int) -> tuple[CubeViews, Tensor]:
        """Frames of a split of NYU and their 14 points; kept in the run's folder, since reading them takes long."""
        folder, size = self.data["nyu"], self.scale.size
        make = partial(nyu_cubes, folder, split, frames, size, self.scale.workers)
        about = {"set": "nyu", "folder": str(folder), "split": split, "frames": frames, "size": size}
        path = self.folder / "data" / f"nyu_{split}.safetensors"
        kept = kept_tensors(path, make, 6 * frames * size**2, about, self.say)
        points = kept.pop("points")
        return CubeViews(**kept), points


def _silent(line: str) -> None:
    pass
