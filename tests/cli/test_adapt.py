"""`phalanx adapt`: what it asks for; the work itself is tested with `adapt/`."""

import pytest
from command_line import one_sentence

from phalanx.adapt import depth, video, weak


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


@pytest.fixture
def asked_weak(monkeypatch):
    """Calls of `adapt_weak`, which does nothing; its answer says whether inputs were passed over."""
    calls = []

    def adapt_weak(files, out, weights, config, **options):
        calls.append((files, out, weights, config, options))
        options["say"]("a line of the run")
        return {"skipped": [{"input": "a.png", "problem": "is empty"}] * (files.folder == "some_bad")}

    monkeypatch.setattr(weak, "adapt_weak", adapt_weak)
    return calls


def test_options_of_weak_labels_reach_the_work(run, asked_weak):
    options = ["--labels", "a.json", "--labels", "b.xml", "--order", "mano", "--side", "Left", "--hand-length", "0.18"]
    more = [
        "--camera",
        "1,2,3,4",
        "--unit",
        "0.001",
        "--weights",
        "w.st",
        "--minutes",
        "2.5",
        "--workers",
        "1",
        "--resume",
    ]
    code, out, err = run("weak", "--data", "d", "--out", "mine.onnx", *options, *more, "--device", "cuda", verb="adapt")
    assert (code, out, err) == (0, ["a line of the run"], [])
    ((files, model, weights, config, given),) = asked_weak
    assert (files.folder, files.labels, files.order, files.side) == ("d", ["a.json", "b.xml"], "mano", "left")
    assert (files.camera, files.unit, files.hand_length, model, weights) == (
        "1,2,3,4",
        0.001,
        0.18,
        "mine.onnx",
        "w.st",
    )
    assert (config.loop.minutes, config.workers, given["resume"], config.loop.device) == (2.5, 1, True, "cuda")


def test_defaults_and_exit_codes_of_weak_labels(run, asked_weak):
    assert run("weak", "--data", "d", "--out", "m", "--quiet", verb="adapt") == (0, [], [])
    files, _, weights, config, given = asked_weak[0]
    assert (list(files.labels), files.order, files.camera, files.unit, files.side) == ([], None, None, None, "auto")
    assert (files.hand_length, weights, config.loop.minutes, config.workers, given["resume"]) == (
        None,
        None,
        10,
        0,
        False,
    )
    assert run("weak", "--data", "some_bad", "--out", "m", verb="adapt")[0] == 2
    code, out, err = run("weak", "--data", "d", verb="adapt")
    assert (code, out, len(asked_weak)) == (2, [], 2)
    one_sentence(err, "required: --out")


@pytest.fixture
def asked_video(monkeypatch):
    """Calls of `adapt_video`, which does nothing."""
    calls = []

    def adapt_video(files, out, weights, config, **options):
        calls.append((files, out, weights, config, options))
        return {"skipped": [{"input": "a.mp4", "problem": "is empty"}] * (files.folder == "some_bad")}

    monkeypatch.setattr(video, "adapt_video", adapt_video)
    return calls


def test_options_of_clips_reach_the_work(run, asked_video):
    words = ["video", "--data", "clips", "--out", "mine", "--quiet"]
    more = [
        "--keypoints",
        "a.json",
        "--keypoints",
        "b",
        "--order",
        "mano",
        "--K",
        "500,500,320,240",
        "--side",
        "left",
        "--rate",
        "25",
    ]
    assert run(*words, *more, "--own", "--minutes", "2", "--workers", "1", "--resume", verb="adapt") == (0, [], [])
    assert run("video", "--data", "some_bad", "--out", "mine", "--quiet", verb="adapt")[0] == 2
    (files, out, weights, config, given), (plain, _, _, usual, _) = asked_video
    assert (files.folder, files.keypoints, files.own, files.order) == ("clips", ["a.json", "b"], True, "mano")
    assert (files.camera, files.side, files.rate) == ([500, 500, 320, 240], "left", 25)
    assert (out, weights, config.loop.minutes, config.workers, given["resume"]) == ("mine", None, 2, 1, True)
    assert (plain.keypoints, plain.own, plain.camera, plain.side, plain.rate) == ([], False, None, "auto", 30)
    assert (usual.loop.minutes, usual.workers) == (6, 0)
