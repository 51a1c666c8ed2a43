"""The command itself: help, exit codes, what is no verb."""

import os

import pytest
from command_line import one_sentence, python

from phalanx.cli import VERBS, main


def test_interruption_is_130_and_leaves_nothing_half_written(run, photo, tmp_path, monkeypatch):
    import phalanx.view.overlay

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.view.overlay, "draw_overlay", interrupted)
    code, out, err = run(photo, "--box", "whole")
    assert (code, out, err) == (130, [], ["phalanx: interrupted"])
    assert os.listdir(tmp_path / "out") == []


def test_a_fault_of_the_program_is_not_dressed_up(run, photo, monkeypatch):
    import phalanx.view.overlay

    def broken(*_):
        raise IndexError("a bug")

    monkeypatch.setattr(phalanx.view.overlay, "draw_overlay", broken)
    with pytest.raises(IndexError):
        run(photo, "--box", "whole")


def test_help_is_quick_and_teaches():
    code = (
        "import sys; from phalanx.cli import VERBS, main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    result = python("-c", code)
    assert result.stdout.splitlines()[-1] == "False" and "examples:" in result.stdout
    assert all(f"\n    {verb.__name__.split('.')[-1]}" in result.stdout for verb in VERBS)
    for verb in ("predict", "synth", "evaluate"):
        result = python("-m", "phalanx", verb, "--help")
        assert result.returncode == 0 and f"phalanx {verb}" in result.stdout and "example" in result.stdout


def test_use_without_a_verb_or_with_a_wrong_one(capsys):
    for arguments in ([], ["predikt"], ["predict"], ["synth"], ["evaluate", "photos3d"]):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        one_sentence(captured.err.splitlines())
        assert captured.out == ""


def test_version(capsys):
    from phalanx import __version__

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"phalanx {__version__}\n"
