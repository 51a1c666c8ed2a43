"""Tables on colour with sensed depth of our own sets: their pictures, as the trainings of `train.paired` take them, and how one is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder
from phalanx.core.json_values import Json
from phalanx.data.loading import load_batches
from phalanx.reproduce.frozen import Say, cache_folder, frozen_set
from phalanx.reproduce.plan import Paper
from phalanx.reproduce.scales import read_scale
from phalanx.reproduce.table import chosen_rows, make_table
from phalanx.synth.version import ENGINE
from phalanx.train.paired import Keep, joined, keep_pictures


def frozen_pictures(
    name: str,
    cache: Path,
    frames: int,
    size: int,
    workers: int,
    say: Say,
    wanted: Sequence[str] = ("image", "sensed_depth", "joints", "joints_2d", "K"),
    keep: Keep = keep_pictures,
) -> dict[str, Tensor]:
    """The first `frames` pictures of a set (`frozen.SETS`), made where missing: what `keep` keeps of the fields `wanted`; by default
    pictures with depth, as `train.paired.keep_pictures` keeps them."""
    index = frozen_set(name, cache, frames, size, max(1, workers), say)
    batch = next(count for count in (64, 32, 16, 8, 4, 2, 1) if frames % count == 0)
    with closing(load_batches(index, batch, 0, wanted)) as batches:
        return joined([keep(sample) for sample in batches])


def noise_pairs(count: int, size: int) -> dict[str, Tensor]:
    """As many pictures without meaning, as `train.paired.keep_pictures` keeps them, to try the speed of a training on."""
    return {
        "image": torch.zeros(count, 3, size, size, dtype=torch.uint8),
        "depth": torch.rand(count, size, size).half(),
        "joints": torch.rand(count, 21, 3) + 0.5,
        "joints_2d": size * torch.rand(count, 21, 2),
        "K": torch.eye(3).expand(count, 3, 3),
    }


class _Model(Protocol):
    size: int


class PairsScale(Protocol):
    """What a scale of such a table has beside its budgets."""

    @property
    def model(self) -> _Model: ...

    @property
    def workers(self) -> int: ...


ScaleOf = TypeVar("ScaleOf", bound=PairsScale)


class PairsWorld(Generic[ScaleOf]):
    """What the rows of a table work with.

    Args:
        scale: how much of everything.
        folder: of the run.
        cache: as `reproduce.frozen.cache_folder` gives it.
        device: where networks train.
        say: is given a line before what takes long.
    """

    def __init__(self, scale: ScaleOf, folder: Path, cache: Path, device: str, say: Say) -> None:
        self.scale, self.folder, self.cache, self.device, self.say = scale, folder, cache, device, say

    def kept(self, name: str, frames: int) -> dict[str, Tensor]:
        """The first pictures of a set, with their depth (`frozen_pictures`)."""
        return frozen_pictures(name, self.cache, frames, self.scale.model.size, self.scale.workers, self.say)


SEEDS = (1, 2, 3)
"""Of the main rows."""


def reproduce_on_pairs(
    paper: Paper[Any],
    scale_kind: type[Any],
    world_kind: type[PairsWorld[Any]],
    out: str | Path,
    scale: str | Path = "cpu",
    seeds: Sequence[int] = SEEDS,
    rows: Sequence[str] | None = None,
    data: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    cache: str | Path | None = None,
    say: Say = print,
) -> dict[str, Json]:
    """Train and test all rows that are not done yet in the folder `out`, then write NAME.md, .png, .json and sheets there.

    Args:
        paper: the table.
        scale_kind: of its scales.
        world_kind: of what its rows work with.
        out: the run's folder.
        scale: name of a recipe in the package (smoke, cpu, paper), or a YAML file.
        seeds: of the main rows; the others have the first alone.
        rows: names; None: all.
        data: none: rows run on no public set.
        device: where networks train.
        cache: folder of what tables share; None: as `frozen.cache_folder` finds it.
        say: is given a line before everything that takes long.

    Raises:
        InputError: an argument or a file is at fault, or the folder holds a run with another scale.
    """
    chosen_rows(paper, rows)
    world, settings = open_world(paper.name, scale_kind, world_kind, out, scale, data, device, cache, say)
    return make_table(paper, world, out, settings, seeds, rows, say)


def reproduce_papers(
    papers: Sequence[Paper[Any]],
    scale_kind: type[Any],
    world_kind: type[PairsWorld[Any]],
    out: str | Path,
    scale: str | Path = "cpu",
    seeds: Sequence[int] = SEEDS,
    rows: Sequence[str] | None = None,
    data: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    cache: str | Path | None = None,
    say: Say = print,
) -> dict[str, Json]:
    """The tables of a work that has several, in one folder and of one world, by their names: those that have any of `rows`.

    Scales are those of the first. Other arguments and errors are as `reproduce_on_pairs` has them.
    """
    known = [row.name for paper in papers for row in paper.rows]
    if unknown := [name for name in rows or () if name not in known]:
        raise InputError(f"rows: {unknown[0]!r} is none of {', '.join(known)}")
    world, settings = open_world(papers[0].name, scale_kind, world_kind, out, scale, data, device, cache, say)
    made: dict[str, Json] = {}
    for paper in papers:
        wanted = [row.name for row in paper.rows if rows is None or row.name in rows]
        if wanted:
            made[paper.name] = make_table(paper, world, out, settings, seeds, wanted, say)
    return made


AnyWorld = TypeVar("AnyWorld", bound=PairsWorld[Any])


def open_world(
    name: str,
    scale_kind: type[Any],
    world_kind: type[AnyWorld],
    out: str | Path,
    scale: str | Path,
    data: Mapping[str, str | Path] | None,
    device: str,
    cache: str | Path | None,
    say: Say,
) -> tuple[AnyWorld, dict[str, Json]]:
    """What the rows of the table `name` work with, and the settings that they have in common; arguments of `reproduce_on_pairs`.

    Raises:
        InputError: an argument or a file is at fault.
    """
    as_device(device)
    if data:
        raise InputError(f"data: the table {name} takes no public set, not {next(iter(data))!r}")
    chosen = read_scale(scale_kind, name, scale)
    world = world_kind(chosen, writable_folder(out), cache_folder(cache), device, say)
    say(f"what tables share is kept in {world.cache}")
    return world, {"engine": ENGINE, "scale": asdict(chosen)}
