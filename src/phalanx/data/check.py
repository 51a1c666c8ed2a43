"""Which public set a folder holds, and whether it is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import chain
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset
from phalanx.data.folders import PictureFolder
from phalanx.data.sample import Sample

DEEPEST, MOST_FOLDERS, MOST_NAMES = 3, 200, 2000
"""How many levels below a folder, how many folders of a level and how many names in each are looked at, to say what is there."""

_NOT_HANDS = re.compile("depths?|masks?|skin_masks|segmentations?|seg", re.IGNORECASE)
"""Folders whose pictures belong to the colour pictures beside them."""


@dataclass(frozen=True)
class _Place:
    """A folder, and the names of the folders and files in it, sorted."""

    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class SplitReport:
    """What is there of one split.

    Attributes:
        split: its name.
        dataset: the reader, if anything can be read.
        fault: what keeps it from being whole, one sentence; None if it is whole.
    """

    split: str
    dataset: Dataset | None
    fault: str | None


def recognise(folder: str | Path, sets: Sequence[type[Dataset]], plain: Sequence[type[Dataset]] = ()) -> type[Dataset]:
    """The reader among `sets` that knows the layout of `folder`, else the first of `plain` that does.

    A folder around a set, or with files of a set that do not lie as the set's do, is no plain folder, and pictures of depth and
    masks are no plain pictures: the sentence says what is there.

    Raises:
        InputError: there is no such folder, or it looks like none of them, or like several of the sets.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    found = _recognised(folder, sets)
    if len(found) > 1:
        raise InputError(f"{folder}: looks like several sets: {', '.join(kind.name for kind in found)}")
    if found:
        return found[0]
    places = _places(folder)
    _refuse_sets_within(folder, places, sets)
    _refuse_strays(folder, places, sets)
    found = [kind for kind in plain if kind.recognises(folder)]
    if found and found[0] is PictureFolder:
        _refuse_depth_and_masks(folder, places)
    if not found:
        names = ", ".join(kind.name for kind in (*sets, *plain))
        raise InputError(f"{folder}: looks like none of the sets that are known: {names}")
    return found[0]


def _recognised(folder: Path, sets: Sequence[type[Dataset]]) -> list[type[Dataset]]:
    """The sets that `folder` looks like.

    Sets whose own folders are there outweigh those of which only files at the top are: HO-3D and FreiHAND both have an
    `evaluation_xyz.json`.
    """
    found = [kind for kind in sets if kind.recognises(folder)]
    if len(found) < 2:
        return found
    within = [
        kind for kind in found if any("/" in mark and any(True for _ in folder.glob(mark)) for mark in kind.marks)
    ]
    return within or found


def _places(folder: Path) -> list[_Place]:
    """`folder` and what is below it, level by level, within the bounds above; hidden folders and what cannot be read left out."""
    level, places = [folder], []
    for _ in range(1 + DEEPEST):
        inner: list[Path] = []
        for path in level[:MOST_FOLDERS]:
            try:
                with os.scandir(path) as entries:
                    names = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
            except OSError:
                continue
            folders = tuple(name for name, is_folder in names if is_folder)
            places.append(_Place(path, folders, tuple(name for name, is_folder in names if not is_folder)[:MOST_NAMES]))
            inner += [path / name for name in folders]
        level = inner
    return places


def _refuse_sets_within(folder: Path, places: Sequence[_Place], sets: Sequence[type[Dataset]]) -> None:
    """Raise InputError if folders below `folder` look like sets. Those without folders of their own are left to `_refuse_strays`."""
    inside = [(place.path, kind) for place in places[1:] if place.folders for kind in _recognised(place.path, sets)]
    if inside:
        listed = ", ".join(f"{path} ({kind.name})" for path, kind in inside[:4])
        raise InputError(f"{folder}: is around what looks like a set, and not the set's own folder; check {listed}")


def _refuse_strays(folder: Path, places: Sequence[_Place], sets: Sequence[type[Dataset]]) -> None:
    """Raise InputError if files at or below `folder` have names that only files of one of the sets have."""
    for kind in sets:
        known = [re.compile(translate(pattern)) for pattern in kind.files]
        names = list(chain.from_iterable(place.files for place in places)) if known else []
        examples = [example for pattern in known if (example := next(filter(pattern.match, names), None)) is not None]
        if examples:
            raise InputError(
                f"{folder}: has files of {kind.name} ({', '.join(examples[:3])}), but not in the layout of that set, "
                f"which the head of {kind.__module__} describes"
            )


def _refuse_depth_and_masks(folder: Path, places: Sequence[_Place]) -> None:
    """Raise InputError if `folder` or one below it is called as if it had pictures of depth or masks."""
    for path in (folder.resolve(), *(place.path for place in places[1:])):
        if _NOT_HANDS.fullmatch(path.name):
            raise InputError(
                f"{path}: seems to hold depth or masks, which are no pictures of hands; check the folder of colour pictures "
                "alone (with intrinsics, phalanx.data.folders reads colour and depth together)"
            )


def check_splits(folder: str | Path, kind: type[Dataset]) -> list[SplitReport]:
    """Open every split of the set in `folder`, as a whole or, where that fails, what is there of it."""
    reports = []
    for split in kind.splits:
        try:
            reports.append(SplitReport(split, kind(folder, split), None))
            continue
        except InputError as error:
            fault = str(error)
        try:
            part: Dataset | None = kind(folder, split, whole=False)
        except InputError as error:
            part, fault = None, str(error)
        reports.append(SplitReport(split, part if part is not None and len(part) else None, fault))
    return reports


def some_samples(dataset: Dataset, count: int) -> list[Sample]:
    """At most `count` hands, evenly spread over the split. Raises InputError for files at fault."""
    return [dataset[int(i)] for i in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round())]


def reprojection_error(samples: Sequence[Sample]) -> float | None:
    """Largest distance (pixels) between `joints_2d` and the projection of `joints`, where both and a camera are known."""
    largest = None
    for sample in samples:
        if sample.joints is None or sample.joints_2d is None or sample.K is None:
            continue
        known = sample.joints[..., 2] > 0
        if sample.valid is not None:
            known &= sample.valid > 0
        pixels = sample.joints @ sample.K.mT
        distance = (pixels[..., :2] / pixels[..., 2:] - sample.joints_2d).norm(dim=-1)[known]
        if distance.numel():
            largest = max(largest or 0.0, float(distance.max()))
    return largest
