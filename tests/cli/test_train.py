"""`phalanx train`: methods, and settings from line and file."""

from dataclasses import fields, replace

import pytest
from command_line import one_sentence

from phalanx.cli import main
from phalanx.core.settings import field_descriptions, nested_settings
from phalanx.train.catalogue import TRAININGS


@pytest.fixture
def trained(monkeypatch):
    """Calls of the training runs, which are not run: method, settings, folder, whether to resume."""
    calls = []

    def pretend(method):
        def run(config, out, resume, report):
            report("a line of the run")
            calls.append((method, config, out, resume))
            return "weights.file"

        return run

    for name, training in TRAININGS.items():
        monkeypatch.setitem(TRAININGS, name, replace(training, run=pretend(name)))
    return calls


def test_train_takes_every_setting_from_line_and_file(run, tmp_path, trained):
    (tmp_path / "a.yaml").write_text("seed: 4\nloop:\n  minutes: 7\n  warmup: 9\nphases:\n- {until: 1.0, size: 64}\n")
    options = ["--config", tmp_path / "a.yaml", "--resume", "--loop.minutes", "2.5", "--model.widths", "[8,8,8,8]"]
    code, out, err = run("--out", tmp_path / "run", *options, verb="train")
    assert (code, err, out) == (0, [], ["a line of the run", "weights -> weights.file"])
    ((method, config, folder, resume),) = trained
    assert (method, folder, resume) == ("compact", str(tmp_path / "run"), True)
    assert (config.seed, config.loop.minutes, config.loop.warmup, config.model.widths) == (4, 2.5, 9, (8, 8, 8, 8))
    assert [(phase.until, phase.size) for phase in config.phases] == [(1.0, 64)]
    assert type(config.synth).__name__ == "SynthConfig"


def test_methods_have_settings_of_their_own(run, tmp_path, trained):
    for method, training in TRAININGS.items():
        code, _, err = run(method, "--out", tmp_path, verb="train")
        assert (code, err) == (0, []) and trained[-1][0] == method and type(trained[-1][1]) is training.config


def test_device_seed_and_quiet_are_what_they_are_elsewhere(run, tmp_path, trained):
    (tmp_path / "a.yaml").write_text("loop: {device: meta, minutes: 3}\n")
    for method in TRAININGS:
        options = [method, "--out", tmp_path, "--config", tmp_path / "a.yaml", "--seed", "7"]
        run(*options, verb="train")
        assert (trained[-1][1].loop.device, trained[-1][1].seed) == ("meta", 7)
        code, out, err = run(*options, "--device", "cuda:1", "--quiet", verb="train")
        assert (code, out, err) == (0, [], [])
        config = trained[-1][1]
        assert (config.loop.device, config.loop.minutes) == ("cuda:1", 3)


@pytest.mark.parametrize("method", [None, *TRAININGS])
def test_help_of_train_says_what_every_setting_means(capsys, method):
    with pytest.raises(SystemExit) as stop:
        main(["train", *([method] if method else []), "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "<class" not in shown and "%%" not in shown
    assert f"usage: phalanx train {method or 'compact'} " in shown and "examples:" in shown
    assert all(f"{name} {training.about}" in shown for name, training in TRAININGS.items())
    parts = nested_settings(TRAININGS[method or "compact"].config)
    assert {"", "loop", "model"} <= parts.keys()
    for part in parts.values():
        described = field_descriptions(part)
        assert described.keys() == {field.name for field in fields(part)}
        for text in described.values():
            assert text.replace("%", "per cent") in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "required"),
        (["--out", "a", "--loop.minutes", "soon"], "loop.minutes"),
        (["--out", "a", "--loop.colour", "red"], "recognized arguments: --loop.colour"),
        (["--out", "a", "--config", "none.yaml"], "none.yaml"),
        (["--out", "a", "--colour", "red"], "recognized arguments: --colour"),
        (
            ["depth", "--out", "a"],
            f"depth: is none of the methods {', '.join(TRAININGS)}; see phalanx train --help",
        ),
        (["sphere_fitting", "--out", "a", "--loop.minutes", "soon"], "see phalanx train sphere_fitting --help"),
        (["--out", "a", "--synth.size", "3"], "size: must be a multiple of 16"),
    ],
)
def test_bad_options_of_train(run, trained, options, says):
    code, out, err = run(*options, verb="train")
    assert (code, out, trained) == (2, [], [])
    one_sentence(err, says)
