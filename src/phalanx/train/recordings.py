"""Feeds of recorded depth frames, unlabelled or labelled, for methods on depth; and labelled batches out of synthetic cubes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews
from phalanx.methods.sphere_fitting import FittingBatch, add_noise
from phalanx.train.cubes import turned
from phalanx.train.feed import BufferFeed
from phalanx.train.plan import LoopConfig


@dataclass
class MixtureConfig:
    """Training on recordings (Wan et al. 2019, Sec. 3.4) with labelled synthetic frames mixed in."""

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=20, learning_rate=3e-4, kernel_rate=4e-3, average=4_000)
    )
    """Budget, schedule, optimiser."""
    frames: int = 8
    """Recorded frames of each kind a step; one of several views counts once."""
    labelled: int = 24
    """Synthetic frames a step, mixed in; with far fewer, single views lead a network astray."""


def finish_cubes(
    noise: bool, kept: Mapping[str, Tensor], size: int, random: torch.Generator, turn: float = 0.0
) -> FittingBatch:
    """A batch of labelled frames out of what was kept; `turn`: degrees by which maps are turned at most."""
    maps, joints = kept["maps"].float(), kept["joints"]
    if turn:
        angles = torch.deg2rad(turn * (2 * torch.rand(len(maps), generator=random) - 1))
        maps, joints = turned(maps, joints, angles)
    if noise:
        maps = add_noise(maps.flatten(0, 1), random).view_as(maps)
    still = torch.eye(4).expand(*maps.shape[:2], 4, 4)
    return FittingBatch(CubeViews(maps, still, kept["middles"], joints))


class UnlabelledFeed:
    """Batches of recorded frames, drawn at random, with synthetic ones mixed in.

    Args:
        recordings: unlabelled frames; those of several views and of one apart.
        labelled: a feed of labelled frames, or None.
        config: how many of each.
        seed: of the draws.
    """

    def __init__(
        self,
        recordings: Sequence[CubeViews],
        labelled: BufferFeed[FittingBatch] | None,
        config: MixtureConfig,
        seed: int,
    ) -> None:
        if not recordings or not all(len(views) for views in recordings):
            raise InputError("fitting: there are no recorded frames")
        self._recordings = tuple(CubeViews(views.maps, views.to_first, views.middles) for views in recordings)
        self._labelled, self._config, self._seed, self._step = labelled, config, seed, 0

    def next(self, batch: int, size: int, reuse: int) -> FittingBatch:
        """The next batch; `batch` counts its frames, for the loop's books."""
        random = generator(self._seed, self._step)
        self._step += 1
        drawn = tuple(
            views[torch.from_numpy(random.integers(0, len(views), self._config.frames))] for views in self._recordings
        )
        mixed = FittingBatch() if self._labelled is None else self._labelled.next(self._config.labelled, size, reuse)
        return FittingBatch(mixed.labelled, tuple(views.to("cpu") for views in drawn))

    def state(self) -> dict[str, int]:
        return {"step": self._step} | ({} if self._labelled is None else self._labelled.state())

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]
        if self._labelled is not None:
            self._labelled.restore({name: value for name, value in state.items() if name != "step"})

    def close(self) -> None:
        """Stop making labelled frames."""
        if self._labelled is not None:
            self._labelled.close()


class LabelledFeed:
    """Batches of recorded frames with their labels, each view by itself: what an upper bound is trained on."""

    def __init__(self, recordings: CubeViews, noise: bool, seed: int) -> None:
        self._views, self._noise, self._seed, self._step = recordings.single_views(), noise, seed, 0

    def next(self, batch: int, size: int, reuse: int) -> FittingBatch:
        """The next `batch` frames."""
        random = generator(self._seed, self._step)
        self._step += 1
        drawn = self._views[torch.from_numpy(random.integers(0, len(self._views), batch))]
        if drawn.joints is None:
            raise InputError("supervise: the recordings have no labels")
        kept = {"maps": drawn.maps, "joints": drawn.joints, "middles": drawn.middles}
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        return finish_cubes(self._noise, kept, size, noise)

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]

    def close(self) -> None:
        """Nothing to close: all frames are in memory."""
