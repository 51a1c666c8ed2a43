"""The paper's table in miniature: every kind of row trains, a run goes on where it stood, figures stand beside the printed ones."""

import json
from dataclasses import replace

import pytest

from phalanx.core.errors import InputError
from phalanx.reproduce import wan2019
from phalanx.reproduce.wan2019 import (
    HALF,
    LONGER,
    MIXED,
    MULTI,
    NO_VAE,
    ROWS,
    SCALES,
    START,
    SUPERVISED,
    as_markdown,
    closed,
    reproduce,
)

TINY = replace(SCALES["smoke"], frames=3, test=2)


def test_rows_train_and_a_run_goes_on(tmp_path, monkeypatch):
    rows = [START, MIXED, NO_VAE, SUPERVISED, LONGER]
    said: list[str] = []
    first = reproduce(tmp_path / "run", TINY, (1,), rows[:2], said.append)
    assert list(first["rows"]) == [START, MIXED]
    kept = (tmp_path / "run" / "rows" / "01_1.json").read_bytes()
    trained = []
    original = wan2019._train
    monkeypatch.setattr(wan2019, "_train", lambda row, *rest: trained.append(row) or original(row, *rest))
    report = reproduce(tmp_path / "run", TINY, (1,), rows, said.append)
    assert trained == [NO_VAE, SUPERVISED, LONGER]  # the others were done
    assert (tmp_path / "run" / "rows" / "01_1.json").read_bytes() == kept
    for row in rows:
        (scores,) = report["rows"][row]
        assert scores["row"] == row and 5 < scores["epe_3d_mm"] < 200 and len(scores["frames_within"]) == 81
    text = (tmp_path / "run" / "wan2019.md").read_text()
    assert "| 22.65 |" in text and "| 14.17 |" in text and text.count("\n") == 7
    assert (tmp_path / "run" / "wan2019.png").stat().st_size > 5_000
    assert json.loads((tmp_path / "run" / "wan2019.json").read_text())["closed"].keys() == {MIXED, NO_VAE, LONGER}
    with pytest.raises(InputError, match="another scale"):
        reproduce(tmp_path / "run", replace(TINY, frames=4), (1,), rows)


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="none of synth"):
        reproduce(tmp_path, TINY, (1,), ["all of them"])
    with pytest.raises(InputError, match="makes it"):
        reproduce(tmp_path / "run", TINY, (1,), [MULTI], lambda line: None)


def test_shares_of_the_gap():
    def runs(*errors):
        return [{"epe_3d_mm": e, "seed": seed, "frames_within": [0.0] * 81} for seed, e in enumerate(errors)]

    done = {START: runs(30, 32), SUPERVISED: runs(11), MULTI: runs(16), HALF: runs(33)}
    assert closed(done) == pytest.approx({MULTI: 14 / 19, HALF: -3 / 19})  # of the one seed that all have
    assert closed(done | {SUPERVISED: runs(11, 12), MULTI: runs(16, 22)})[MULTI] == pytest.approx(24 / 39)
    assert closed({MULTI: runs(3)}) == {}
    text = as_markdown(done)
    assert "| 31.00 ± 1.41 | 2 |" in text and "| 74 % | 12.62 |" in text
    assert [line.split(" | ")[0][2:] for line in text.splitlines()[2:]] == [row for row in ROWS if row in done]
