"""`phalanx reproduce`: what it asks tables for; the tables themselves are tested with `reproduce/`."""

from dataclasses import replace

import pytest
from command_line import one_sentence

from phalanx.cli import main
from phalanx.reproduce.catalogue import TABLES


@pytest.fixture(params=list(TABLES))
def table(request, monkeypatch):
    """A table that is not made, and the calls of it."""
    calls = []

    def reproduce(out, scale, seeds, rows, data, device, cache, say):
        calls.append((out, scale, seeds, rows, data, device, cache))
        say("a line of the run")

    monkeypatch.setitem(TABLES, request.param, replace(TABLES[request.param], reproduce=reproduce))
    return request.param, calls


def test_options_reach_the_table(run, table):
    name, calls = table
    code, out, err = run(name, "--out", "runs/a", "--scale", "smoke", verb="reproduce")
    assert (code, out, err) == (0, ["a line of the run", f"-> runs/a/{name}.md, .png, .json"], [])
    some = ["--seeds", "5", "6", "--rows", "100% single view", "--data", "nyu=N,rhd=R", "--cache", "kept"]
    assert run(name, "--out", "b", *some, "--device", "cuda:1", "--quiet", verb="reproduce") == (0, [], [])
    assert calls == [
        ("runs/a", "smoke", [1, 2, 3], None, {}, "cpu", None),
        ("b", "cpu", [5, 6], ["100% single view"], {"nyu": "N", "rhd": "R"}, "cuda:1", "kept"),
    ]


def test_help_names_tables_rows_and_sets(capsys):
    for words in ([], *([name] for name in TABLES)):
        with pytest.raises(SystemExit) as stop:
            main(["reproduce", *words, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert stop.value.code == 0 and "example" in shown
        for name in words:
            assert all(" ".join(text.split()) in shown for text in (*TABLES[name].rows, *TABLES[name].sets))
        assert words or all(f"{name} {entry.about}" in shown for name, entry in TABLES.items())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: TABLE"),
        (["fantasy2020", "--out", "a"], "argument TABLE: invalid choice: 'fantasy2020'"),
        (["wan2019"], "required: --out"),
        (["wan2019", "--out", "a", "--seeds", "-1"], "--seeds: must be 0 or more, got -1"),
        (["wan2019", "--out", "a", "--data", "nyu"], "'nyu' is not SET=DIR"),
        (["wan2019", "--out", "a", "--data", "nyu=A,nyu=B"], "each set once"),
        (["wan2019", "--out", "a", "--colour", "red"], "see phalanx reproduce wan2019 --help"),
    ],
)
def test_bad_options(run, words, says):
    code, out, err = run(*words, verb="reproduce")
    assert (code, out) == (2, [])
    one_sentence(err, says)
