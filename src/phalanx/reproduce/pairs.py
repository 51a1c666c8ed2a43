"""Colour with sensed depth out of the sets that tables share, as the trainings of `train.paired` take it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from torch import Tensor

from phalanx.data.loading import load_batches
from phalanx.reproduce.frozen import Say, frozen_set
from phalanx.train.paired import joined, keep_pictures


def frozen_pairs(name: str, cache: Path, frames: int, size: int, workers: int, say: Say) -> dict[str, Tensor]:
    """The first `frames` pictures of a set (`frozen.SETS`) with depth, as `train.paired.keep_pictures` keeps them; made where missing."""
    index = frozen_set(name, cache, frames, size, max(1, workers), say)
    wanted = ("image", "sensed_depth", "joints", "joints_2d", "K")
    batch = next(count for count in (64, 32, 16, 8, 4, 2, 1) if frames % count == 0)
    with closing(load_batches(index, batch, 0, wanted)) as batches:
        return joined([keep_pictures(sample) for sample in batches])
