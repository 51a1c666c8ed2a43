"""`phalanx live`: lines, pictures, complaints."""

import json
import os

import pytest
from command_line import one_sentence
from scripted_hands import ScriptedHand, ScriptedPredictor, frame

from phalanx.cli import main
from phalanx.data.video import write_video


@pytest.fixture
def live(capsys, monkeypatch):
    """Runs the command with a stand-in for the predictor and without a display."""
    predictor = ScriptedPredictor(ScriptedHand("right", lambda number: (0.0, 0.08, 0.5)))
    predictor.load_detector = lambda: None
    monkeypatch.setattr("phalanx.predict.predictor.Predictor", lambda *options, **others: predictor)
    monkeypatch.setattr("phalanx.data.live_camera.open_window", lambda title: None)

    def run(*arguments):
        code = main(["live", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


@pytest.fixture
def clip(tmp_path):
    with write_video(tmp_path / "clip.mp4", 20.0) as append:
        for number in range(6):
            append(frame(number))
    return tmp_path / "clip.mp4"


def test_a_file_serves_as_camera(live, clip, tmp_path):
    code, out, err = live("--camera", clip, "--lines", "--frames", 2)
    assert (code, err) == (0, []) and [json.loads(line)["hands"][0]["id"] for line in out] == [0, 0]
    code, out, err = live("--camera", clip, "--out", tmp_path / "out", "--side", "right")
    assert (code, err) == (0, []) and len(out) == 1 and "frames tracked" in out[0]
    assert "frame_000005.jpg" in os.listdir(tmp_path / "out")


def test_complaints_are_one_sentence(live, clip, tmp_path):
    for arguments, says in [
        (("--camera", clip), "live: there can be no window here"),
        (("--camera", 97, "--lines"), "camera 97: there is none that can be opened"),
        (("--camera", tmp_path / "none.mp4", "--lines"), "none.mp4: there is no such camera or video file"),
        (("--camera", clip, "--frames", 0), "--frames: must be at least 1, not 0"),
        (("--camera", clip, "--max-hands", 0), "max_hands"),
    ]:
        code, out, err = live(*arguments)
        assert (code, out) == (2, [])
        one_sentence(err, says)
