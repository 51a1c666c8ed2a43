"""What a paper's table is: rows, figures, and what the harness (`reproduce.table`) asks of the paper. All of it is data and functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np

World = TypeVar("World")
"""What a paper's rows work with: its scale, data, starts."""
World_contra = TypeVar("World_contra", contravariant=True)


@dataclass(frozen=True)
class Outcome:
    """What a trained network does on test pictures."""

    errors: np.ndarray
    """(N, J) of each picture's joints, millimetres (or whatever the paper measures)."""
    frames: np.ndarray
    """(N,) numbers; pictures of one number show the same hand at the same time, and are drawn together for intervals."""


@dataclass(frozen=True)
class Training:
    """A training that a row needs, for what the harness says before it starts."""

    folder: Path
    """Where it trains; trainings of one folder are one."""
    kind: str
    """Trainings of one kind take about as long a picture."""
    pictures: int
    """Budget."""
    bytes: int
    """What it leaves on the disk."""
    done: bool = False


class Work(Protocol[World_contra]):
    """What a row does."""

    def __call__(self, world: World_contra, seed: int, folder: Path) -> Outcome:
        """Train in `folder`, or go on with what was begun there, and test."""

    def trainings(self, world: World_contra, seed: int, folder: Path) -> Sequence[Training]:
        """What it needs, the starts that rows share too."""


@dataclass(frozen=True)
class Row(Generic[World]):
    """A row of a table."""

    name: str
    """As it stands in the table."""
    work: Work[World]
    """Trains and tests."""
    seeds: Literal["main", "first"] = "first"
    """All seeds, or the first alone."""
    published: str | Mapping[str, str] | None = None
    """The method's name among the paper's published figures, or its names by the figure's key; None: the paper does not have the row."""
    gap: bool = True
    """Whether its share of the gap between the paper's `ends` means anything."""
    dataset: str | None = None
    """The set of the published figures, where the method has some of several; None: of the first that the paper prints."""


@dataclass(frozen=True)
class Figure:
    """A column of a table: a number that errors are summed up in."""

    key: str
    """In JSON."""
    title: str
    """In the table, with the unit."""
    measure: Callable[[np.ndarray], float]
    """Of errors `(N, J)`; called with other frames for intervals."""
    digits: int = 2
    published: str | None = None
    """The metric's name among published figures."""
    dataset: str | None = None
    """The set of its published figures; None: the row's."""
    gains: bool = False
    """Whether a column says by how much the figure is less than the start's; the first figure always has one."""


@dataclass(frozen=True)
class Curve:
    """The plot of a table."""

    x: str
    y: str
    """Labels of the axes."""
    thresholds: np.ndarray
    """(T,)"""
    values: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """`values(errors, thresholds)`: (T,) in [0, 1]."""


@dataclass(frozen=True)
class Paper(Generic[World]):
    """A table of a paper."""

    name: str
    """Of the files: NAME.md, NAME.json, NAME.png."""
    key: str
    """Of the paper in `evaluate.published`."""
    rows: Sequence[Row[World]]
    figures: Sequence[Figure]
    """The first is the one whose gap is measured; lower must be better."""
    curve: Curve
    ends: tuple[str, str]
    """Names of the rows between which the gap lies: where methods begin, and the upper bound."""
    head: Callable[[World], Sequence[str]]
    """Lines above the table: data, what is compared (root, scale, alignment), units of loss weights."""
    seconds: Callable[[World, str], float]
    """`seconds(world, kind)` that a picture takes, by a short measurement."""


def run_folder(folder: Path, row: Row[World], seed: int) -> Path:
    """Where a row of a seed trains, in the run's folder."""
    return folder / "runs" / f"{slug(row)}_{seed}"


def slug(row: Row[World]) -> str:
    """A row's name as files have it."""
    return re.sub(r"[^a-z0-9]+", "-", row.name.lower()).strip("-")
