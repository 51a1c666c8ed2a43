"""Which public set a folder holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset
from phalanx.data.sample import Sample


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

    Raises:
        InputError: there is no such folder, or it looks like none of them, or like several of the sets.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    found = [kind for kind in sets if kind.recognises(folder)]
    if len(found) > 1:
        raise InputError(f"{folder}: looks like several sets: {', '.join(kind.name for kind in found)}")
    found += [kind for kind in plain if kind.recognises(folder)]
    if not found:
        names = ", ".join(kind.name for kind in (*sets, *plain))
        raise InputError(f"{folder}: looks like none of the sets that are known: {names}")
    return found[0]


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
