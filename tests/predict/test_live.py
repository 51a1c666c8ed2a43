"""Live: frames are tracked as they come, drawn, shown, written and told in lines."""

import json

import cv2
import pytest
from scripted_hands import ScriptedHand, ScriptedPredictor, frame

from phalanx.data.live_camera import LiveCamera
from phalanx.data.video import write_video
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.live import run_live
from phalanx.predict.tracker import Tracker


@pytest.fixture
def clip(tmp_path):
    with write_video(tmp_path / "clip.mp4", 10.0) as append:
        for number in range(8):
            append(frame(number))
    return tmp_path / "clip.mp4"


@pytest.fixture
def tracker():
    return Tracker(ScriptedPredictor(ScriptedHand("left", lambda number: (0.0, 0.08, 0.5))))


def test_pictures_and_lines(clip, tracker, tmp_path):
    lines = []
    (tmp_path / "out").mkdir()
    with LiveCamera(clip) as camera:
        report = run_live(tracker, camera, out=tmp_path / "out", line=lines.append)
    told = [json.loads(line) for line in lines]
    assert 2 <= report.frames == len(told) <= 8 and report.frames + report.passed_over == 8
    numbers = [entry["frame"] for entry in told]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"frame_{n:06d}.jpg" for n in numbers]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 7
    for entry in told:
        assert entry["schema"] == "phalanx.live/1" and entry["time"] == pytest.approx(entry["frame"] / 10)
        (hand,) = map(HandPrediction.from_json, entry["hands"])
        assert (hand.id, hand.side, hand.vertices) == (0, "left", None) and entry["latency_ms"] > 0
    assert told[-1]["frames_per_second"] > 0 and report.rate > 0 and report.latency > 0
    drawn = cv2.imread(str(tmp_path / "out" / f"frame_{numbers[-1]:06d}.jpg"))
    assert drawn.shape == (540, 720, 3) and drawn[:40, :200].max() > 200  # the text


def test_it_ends_when_the_window_is_closed_or_enough_is_seen(clip, tracker):
    shown = []

    def show(picture):
        shown.append(picture)
        return len(shown) < 2

    with LiveCamera(clip) as camera:
        assert run_live(tracker, camera, show).frames == 2 == len(shown)
    with LiveCamera(clip) as camera:
        again = Tracker(tracker.predictor)
        assert run_live(again, camera, most=1).frames == 1
