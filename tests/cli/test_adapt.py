"""`phalanx adapt`: what it asks for; the work itself is tested with `adapt/`."""

import pytest
from command_line import one_sentence

from phalanx.adapt import depth


@pytest.fixture
def asked(monkeypatch):
    """Calls of `adapt_depth`, which does nothing; its answer says whether frames were skipped."""
    calls = []

    def adapt_depth(files, out, weights, config, **options):
        calls.append((files, out, weights, config, options))
        options["say"]("a line of the run")
        return {"skipped": [{"input": "a.png", "problem": "is empty"}] * (files.folder == "some_bad")}

    monkeypatch.setattr(depth, "adapt_depth", adapt_depth)
    return calls


def test_options_reach_the_work(run, asked):
    options = ["--unit", "0.001", "--side", "LEFT", "--box", "1,2,30,40", "--mask", "m.png", "--weights", "w.st"]
    more = ["--minutes", "2.5", "--workers", "3", "--resume", "--device", "cuda:1"]
    words = ["depth", "--data", "frames", "--camera", "sr305", "--out", "mine"]
    code, out, err = run(*words, *options, *more, verb="adapt")
    assert (code, out, err) == (0, ["a line of the run"], [])
    ((files, folder, weights, config, given),) = asked
    assert (files.folder, files.camera, files.unit, files.side) == ("frames", "sr305", 0.001, "left")
    assert (files.box, files.mask, folder, weights) == ([1, 2, 30, 40], "m.png", "mine", "w.st")
    assert (config.loop.minutes, config.workers, given["resume"], config.loop.device) == (2.5, 3, True, "cuda:1")


def test_defaults_and_exit_codes(run, asked):
    words = ["depth", "--camera", "sr305", "--out", "mine", "--quiet", "--data"]
    assert run(*words, "frames", verb="adapt") == (0, [], [])
    files, _, weights, config, given = asked[0]
    assert (files.unit, files.side, files.box, files.mask, weights) == (None, "auto", None, None, None)
    assert (config.loop.device, config.loop.minutes, given["resume"]) == ("cpu", 10, False)
    assert run(*words, "some_bad", verb="adapt")[0] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: KIND"),
        (["depth", "--data", "a", "--out", "b"], "required: --camera"),
        (["depth", "--data", "a", "--out", "b", "--camera", "sr305", "--side", "both"], "--side: invalid choice"),
        (["depth", "--data", "a", "--out", "b", "--camera", "sr305", "--hue", "1"], "see phalanx adapt depth --help"),
    ],
)
def test_bad_options(run, asked, words, says):
    code, out, err = run(*words, verb="adapt")
    assert (code, out, asked) == (2, [], [])
    one_sentence(err, says)
