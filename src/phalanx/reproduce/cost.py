"""What a table will take, said before it starts: trainings, hours, disk."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from torch import nn

from phalanx.reproduce.frozen import Say, amount, check_disk
from phalanx.reproduce.plan import Paper, Row, Training, World, run_folder
from phalanx.train.curve import CURVE


def announce(
    paper: Paper[World],
    world: World,
    wanted: Sequence[tuple[Row[World], int]],
    missing: Sequence[tuple[Row[World], int]],
    folder: Path,
    say: Say,
) -> None:
    """Say how many trainings, about how many hours and how much disk the missing rows and seeds take.

    How long a picture takes is known from trainings of the kind that are done or begun here, else from a few steps that are tried now.

    Raises:
        InputError: the disk is too small.
    """
    say(f"{paper.name}: {len(wanted) - len(missing)} of {len(wanted)} rows and seeds are done")
    if not missing:
        return
    needed = [training for training in _trainings(world, folder, missing) if not training.done]
    known = _speeds(_trainings(world, folder, [(row, seed) for row in paper.rows for _, seed in wanted]))
    seconds, tried = 0.0, False
    for training in needed:
        if training.kind not in known:
            say(f"trying a few steps of the trainings of kind {training.kind}")
            known[training.kind], tried = paper.seconds(world, training.kind), True
        seconds += known[training.kind] * max(0, training.pictures - _progress(training.folder)[0])
    size = sum(training.bytes for training in needed if not training.folder.exists())
    free = check_disk(folder, size)
    source = "a few steps tried now" if tried else "trainings already done here"
    say(
        f"{len(needed)} trainings to do: about {_duration(seconds)}, by the speed of {source} (roughly: other work on this machine "
        f"and drawing data add to it); about {amount(size)} of disk, {amount(free)} are free"
    )


def _trainings(world: World, folder: Path, pairs: Iterable[tuple[Row[World], int]]) -> list[Training]:
    """What rows and seeds need, each training once."""
    found = (
        training for row, seed in pairs for training in row.work.trainings(world, seed, run_folder(folder, row, seed))
    )
    return list({training.folder: training for training in found}.values())


def _speeds(trainings: Iterable[Training]) -> dict[str, float]:
    """Seconds a picture by kind, of trainings that have a curve."""
    totals: dict[str, tuple[int, float]] = {}
    for training in trainings:
        pictures, seconds = _progress(training.folder)
        before = totals.get(training.kind, (0, 0.0))
        totals[training.kind] = before[0] + pictures, before[1] + seconds
    return {kind: seconds / pictures for kind, (pictures, seconds) in totals.items() if pictures}


def _progress(folder: Path) -> tuple[int, float]:
    """Pictures and seconds of the last row of a training's curve."""
    if not (folder / CURVE).exists():
        return 0, 0.0
    with (folder / CURVE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return (int(float(rows[-1]["seen"])), 60 * float(rows[-1]["minutes"])) if rows else (0, 0.0)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def seconds_a_picture(steps: Callable[[int], object], pictures: int) -> float:
    """What a training takes for each picture, by a few steps: `steps(count)` makes as many, of `pictures` each, from the beginning."""

    def took(count: int) -> float:
        begun = time.perf_counter()
        steps(count)
        return time.perf_counter() - begun

    took(1)  # the first is slower than all others
    once, thrice = took(1), took(3)
    return max(thrice - once, 0.0) / (2 * pictures)


def checkpoint_bytes(network: nn.Module) -> int:
    """Of a network: weights, their average, and two moments of each."""
    return 16 * sum(parameter.numel() for parameter in network.parameters())
