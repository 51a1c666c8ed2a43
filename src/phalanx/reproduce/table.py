"""The harness of all tables: trains and tests rows and seeds that are not done yet, then writes the table.

The folder of a run holds `settings.json`; `rows/`, a JSON for each row and seed that is done, with the errors of its test pictures
beside it; `runs/`, the folders of trainings, from which a killed one goes on exactly; and NAME.md, NAME.json, NAME.png.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_json, writable_folder, write_json, write_whole
from phalanx.core.json_values import Json
from phalanx.reproduce.cost import announce
from phalanx.reproduce.frozen import Say
from phalanx.reproduce.plan import Outcome, Paper, Row, World, run_folder, slug
from phalanx.reproduce.sheet import Result, result_of, write_table


def make_table(
    paper: Paper[World],
    world: World,
    out: str | Path,
    settings: Mapping[str, Json],
    seeds: Sequence[int],
    rows: Sequence[str] | None = None,
    say: Say = print,
) -> dict[str, Json]:
    """Train and test what is not done yet, then write the table of all that is done in the folder `out`; returns its JSON.

    Args:
        paper: the table.
        world: what its rows work with.
        out: the run's folder.
        settings: what all its rows have in common (scale, data), by name.
        seeds: of the main rows; the others have the first alone.
        rows: names; None: all.
        say: is given a line before everything that takes long.

    Raises:
        InputError: there is no such row, no seed, the folder holds a run with other settings, or the disk is too small; and what
            rows raise.
    """
    chosen = chosen_rows(paper, rows)
    if not seeds or min(seeds) < 0:
        raise InputError("seeds: whole numbers from 0 expected, at least one")
    folder = writable_folder(out)
    kept = json.loads(json.dumps(settings, default=str))
    _settle(folder, kept)
    wanted = [(row, seed) for row in chosen for seed in (seeds if row.seeds == "main" else seeds[:1])]
    missing = [(row, seed) for row, seed in wanted if not _result(folder, row, seed).exists()]
    announce(paper, world, wanted, missing, folder, say)
    for number, (row, seed) in enumerate(missing, 1):
        say(f"{row.name}, seed {seed} ({number} of {len(missing)})")
        outcome = row.work(world, seed, run_folder(folder, row, seed))
        _keep(_result(folder, row, seed), row.name, result_of(paper, seed, outcome))
    done = {row.name: results for row in paper.rows if (results := results_of(folder, row))}
    return write_table(paper, done, folder, paper.head(world), kept)


def chosen_rows(paper: Paper[World], names: Sequence[str] | None) -> list[Row[World]]:
    """Rows by name, in the table's order; None: all. Raises InputError if there is no such row."""
    known = [row.name for row in paper.rows]
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f"rows: {unknown[0]!r} is none of {', '.join(known)}")
    return [row for row in paper.rows if names is None or row.name in names]


def _settle(folder: Path, settings: Mapping[str, Json]) -> None:
    path = folder / "settings.json"
    if not path.exists():
        write_json(path, settings, indent=1)
        return
    before = read_json(path)
    if changed := [name for name in settings if not isinstance(before, dict) or before.get(name) != settings[name]]:
        raise InputError(f"{folder}: holds a run with another {changed[0]}; choose another folder")


def _result(folder: Path, row: Row[World], seed: int) -> Path:
    return folder / "rows" / f"{slug(row)}_{seed}.json"


def _keep(path: Path, row: str, result: Result) -> None:
    """The JSON comes last: where it is, the row is done."""
    writable_folder(path.parent)
    with write_whole(path.with_suffix(".npz")) as temporary:
        np.savez_compressed(temporary, errors=result.outcome.errors, frames=result.outcome.frames)
    write_json(path, result.scores(row))


def results_of(folder: Path, row: Row[World]) -> list[Result]:
    """What is done of a row in a run's folder, by seed. Raises InputError if the errors beside a JSON cannot be read."""
    found = []
    for path in (folder / "rows").glob(f"{slug(row)}_*.json"):
        scores = read_json(path)
        try:
            with np.load(path.with_suffix(".npz")) as arrays:
                outcome = Outcome(arrays["errors"], arrays["frames"])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(
                f"{path.with_suffix('.npz')}: cannot be read; delete {path.name} to do the row again"
            ) from error
        figures = {key: value for key, value in scores.items() if key not in ("row", "seed", "curve")}
        found.append(Result(scores["seed"], figures, scores["curve"], outcome))
    return sorted(found, key=lambda result: result.seed)
