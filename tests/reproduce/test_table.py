"""The harness of tables, with a paper whose rows train nothing: what is done is kept, what it takes is said, figures come out right."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.metrics.frames import frames_within
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training, run_folder, slug
from phalanx.reproduce.sheet import closed, gains, result_of
from phalanx.reproduce.table import make_table, results_of

FRAMES = np.arange(4).repeat(3)


@dataclass(frozen=True)
class Give:
    """Tests with an error of `base` plus the seed in the first two frames, and `base` more in the others."""

    base: float

    def trainings(self, world: list, seed: int, folder: Path) -> list[Training]:
        shared = Training(folder.parent / f"shared_{seed}", "start", 1_000, 10**6)
        return [shared, Training(folder, "fit", 500, 2 * 10**6)]

    def __call__(self, world: list, seed: int, folder: Path) -> Outcome:
        world.append((self.base, seed))
        errors = np.full((12, 5), self.base + seed, np.float32)
        errors[6:] += self.base
        return Outcome(errors, FRAMES)


PAPER = Paper(
    "toy",
    "wan_2019",
    (
        Row("begin", Give(20.0), "main"),
        Row("100% single view", Give(14.0), "main", "100% single view"),
        Row("other frames", Give(3.0), gap=False),
        Row("end", Give(8.0), "main"),
    ),
    (
        Figure("mean", "error, mm", lambda errors: float(errors.mean()), published="mean_mm"),
        Figure("worst", "worst, mm", lambda errors: float(errors.max()), 0),
    ),
    Curve("mm", "frames (%)", np.arange(0.0, 51.0), frames_within),
    ("begin", "end"),
    lambda world: ["Root: none.", "Weights hold in metres."],
    lambda world, kind: {"start": 0.36, "fit": 0.72}[kind],
)
SETTINGS = {"scale": {"size": 3}, "data": {}}


def make(folder, done, seeds=(1, 2), rows=None, settings=SETTINGS):
    lines: list[str] = []
    return make_table(PAPER, done, folder, settings, seeds, rows, lines.append), lines


def test_figures_spread_interval_and_gap(tmp_path):
    report, _ = make(tmp_path, [])
    # Means: 1.5 base + seed. The gap of seed s: (31 + s... the seed falls out: 30 - 12 wide, 9 of it closed.
    assert [run["mean"] for run in report["rows"]["begin"]] == [31, 32]
    assert report["closed"] == {"100% single view": {"mean": 0.5, "spread": 0.0, "by_seed": {1: 0.5, 2: 0.5}}}
    bounds = report["intervals"]["begin"]  # frames are 21.5 or 41.5, four of them drawn
    assert bounds == {"low": 21.5, "high": 41.5}
    text = (tmp_path / "toy.md").read_text()
    assert "- Root: none.\n- Weights hold in metres.\n" in text
    row = next(line for line in text.splitlines() if line.startswith("| 100% single view"))
    assert (
        row
        == "| 100% single view | 22.50 ± 0.71 | 15.50 to 29.50 | 2 | 17.79 | 30 ± 1 | 9.00 (6.00 to 12.00) | 50 ± 0 % |"
    )
    assert "| end | 13.50 ± 0.71 | 9.50 to 17.50 | 2 |  | 18 ± 1 | 18.00 (12.00 to 24.00) |  |" in text
    assert report["gains"]["end"] == {"value": 18.0, "low": 12.0, "high": 24.0} and "begin" not in report["gains"]
    assert "published, error, mm" in text and "bootstrap's over test frames" in text
    saved = json.loads((tmp_path / "toy.json").read_text())
    assert saved["scale"] == {"size": 3} and saved["closed"]["100% single view"]["mean"] == 0.5
    assert (tmp_path / "toy.png").stat().st_size > 5_000


def test_shares_are_of_the_seeds_in_common(tmp_path):
    paper = replace(PAPER, rows=[replace(row, gap=True) for row in PAPER.rows])
    make(tmp_path, [], (1,), ["begin", "end"])
    make(tmp_path, [], (1, 2), ["100% single view"])
    make(tmp_path, [], (1, 2), ["other frames"])
    done = {row.name: results_of(tmp_path, row) for row in PAPER.rows}
    shares = closed(paper, done)
    assert shares["100% single view"].by_seed == {1: 0.5} and shares["100% single view"].spread is None
    assert shares["other frames"].by_seed == {1: pytest.approx(25.5 / 18)}
    assert closed(paper, {"begin": done["begin"], "100% single view": done["100% single view"]}) == {}
    assert closed(paper, {**done, "end": done["begin"]}) == {}  # no gap
    assert closed(paper, {**done, "end": done["begin"], "begin": done["end"]}) == {}  # an end that is worse


def test_a_gap_is_of_means_and_gains_are_of_the_same_frames():
    def results(*values):
        outcomes = [Outcome(np.full((12, 1), value, np.float32), FRAMES) for value in values]
        return [result_of(PAPER, seed, outcome) for seed, outcome in enumerate(outcomes)]

    done = {"begin": results(10, 10, 10), "100% single view": results(8, 9, 9.5), "end": results(6, 9, 10)}
    share = closed(PAPER, done)["100% single view"]
    assert share.mean == pytest.approx(3.5 / 5) and share.by_seed == {0: 0.5, 1: 1.0}  # the last seed has no gap
    found = gains(PAPER, done)
    assert found["100% single view"].value == pytest.approx(3.5 / 3) and set(found) == {"100% single view", "end"}
    done["end"] = [replace(result, outcome=Outcome(result.outcome.errors, FRAMES[::-1])) for result in done["end"]]
    assert set(gains(PAPER, done)) == {"100% single view"}  # other frames


def test_what_is_done_is_kept_and_stays_in_the_table(tmp_path):
    done: list = []
    first, lines = make(tmp_path, done, (1,), ["end", "begin"])
    assert done == [(20.0, 1), (8.0, 1)] and list(first["rows"]) == ["begin", "end"]  # in the table's order
    assert lines[-1] == "end, seed 1 (2 of 2)"
    report, lines = make(tmp_path, done, (1, 2), ["begin", "other frames"])
    assert done[2:] == [(20.0, 2), (3.0, 1)]
    assert {name: len(runs) for name, runs in report["rows"].items()} == {"begin": 2, "other frames": 1, "end": 1}
    _, lines = make(tmp_path, done, (1,), ["begin"])
    assert len(done) == 4 and lines == ["toy: 1 of 1 rows and seeds are done"]


def test_hours_and_disk_are_said_before_it_starts(tmp_path):
    _, lines = make(tmp_path, [], (1,), ["begin", "end"])
    # One shared start and two fits: 1000 * 0.36 + 2 * 500 * 0.72 seconds, 1 + 2 * 2 MB
    assert lines[0] == "toy: 0 of 2 rows and seeds are done"
    assert lines[1:3] == [f"trying a few steps of the trainings of kind {kind}" for kind in ("start", "fit")]
    assert lines[3].startswith("3 trainings to do: about 18 minutes, by the speed of a few steps tried now")
    assert "about 5.0 MB of disk" in lines[3]


def test_hours_are_learnt_from_what_is_done(tmp_path):
    folder = run_folder(tmp_path, PAPER.rows[0], 1)
    for name, seen, minutes in (("shared_1", 1_000, 100), (folder.name, 200, 5)):
        (folder.parent / name).mkdir(parents=True)
        (folder.parent / name / "curve.csv").write_text(f"seen,minutes\n100,1\n{seen},{minutes}\n")
    _, lines = make(tmp_path, [], (1,), ["begin", "end"])
    # The start has used its budget; fits take 1.5 s a picture and one has 200 behind it: 300 + 500 more
    assert lines[1].startswith("3 trainings to do: about 20 minutes, by the speed of trainings already done here")
    assert "about 2.0 MB of disk" in lines[1]


def test_a_disk_too_small_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("phalanx.reproduce.frozen.shutil.disk_usage", lambda folder: type("Disk", (), {"free": 10})())
    done: list = []
    with pytest.raises(InputError, match="about 5.0 MB are needed and 0.0 MB are free"):
        make(tmp_path, done, (1,), ["begin", "end"])
    assert done == []


def test_faults(tmp_path):
    make(tmp_path, [], (1,), ["end"])
    with pytest.raises(InputError, match="rows: 'middle' is none of begin, 100% single view, other frames, end"):
        make(tmp_path, [], (1,), ["end", "middle"])
    for seeds in ((), (-1,)):
        with pytest.raises(InputError, match="seeds: "):
            make(tmp_path, [], seeds)
    with pytest.raises(InputError, match="holds a run with another scale; choose another folder"):
        make(tmp_path, [], (1,), ["end"], {"scale": {"size": 4}, "data": {}})
    with pytest.raises(InputError, match="holds a run with another data"):
        make(tmp_path, [], (1,), ["end"], {"scale": {"size": 3}, "data": {"nyu": "a"}})
    (tmp_path / "rows" / "end_1.npz").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"end_1.npz: cannot be read; delete end_1.json"):
        make(tmp_path, [], (1,), ["end"])


def test_names_of_files_are_of_one_row():
    assert slug(PAPER.rows[1]) == "100-single-view"
