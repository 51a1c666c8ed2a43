"""Videos: hands tracked through the frames, and every file that is written of them."""

import csv
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from scripted_hands import ScriptedHand, ScriptedPredictor, frame

from phalanx.core.errors import InputError
from phalanx.data.video import timed_frames, write_video
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.recording import posed_surfaces
from phalanx.predict.videos import Take, Tremor, _in_time, predict_video

OPTIONS = {"box": None, "K": None, "side": "auto", "mirrored": False, "hand_length": None}
OPTIONS |= {"max_hands": 8, "min_score": 0.5}


def film(path, numbers, rate=10.0):
    with write_video(path, rate) as append:
        for number in numbers:
            append(frame(number))


def two(**options):
    right = ScriptedHand("right", lambda number: (-0.1 + 0.002 * number, 0.08, 0.5))
    left = ScriptedHand("left", lambda number: (0.14, 0.08, 0.55), lambda number: 3 <= number < 20)
    return ScriptedPredictor(right, left, **options)


@pytest.fixture
def job(tmp_path):
    def run(path, predictor, **changes):
        said = []
        offline = changes.pop("offline", False)
        done = predict_video(predictor, path, tmp_path / "out", {**OPTIONS, **changes}, said.append, offline)
        return done, said

    return run


@pytest.mark.parametrize("offline", [False, True])
def test_everything_that_is_written(tmp_path, job, offline):
    film(tmp_path / "a.mp4", range(24))
    (tmp_path / "out_hand7.bvh").write_text("of an earlier job")
    predictor = two(shake=0.003)
    done, said = job(tmp_path / "a.mp4", predictor, offline=offline)
    names = ["out.csv", "out.glb", "out.json", "out_hand0.bvh", "out_hand1.bvh", "out_overlay.mp4"]
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", *names] and sorted(done["outputs"]) == [
        str(tmp_path / name) for name in names
    ]
    data = json.loads((tmp_path / "out.json").read_text())
    assert list(data) == ["schema", "input", "file", "frames_per_second", "frames"]
    assert [entry["frame"] for entry in data["frames"]] == list(range(24))
    hands = [[HandPrediction.from_json(hand) for hand in entry["hands"]] for entry in data["frames"]]
    assert all(hand.time == pytest.approx(k / 10) for k, listed in enumerate(hands) for hand in listed)
    assert all(listed[0].id == 0 and listed[0].side == "right" for listed in hands)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["frame"]), int(row["id"])) for row in rows] == [
        (k, hand.id) for k, listed in enumerate(hands) for hand in listed
    ]
    assert float(rows[0]["index_tip_x"]) == pytest.approx(hands[0][0].joints[8, 0], abs=1e-6)
    pictures = [picture for _, picture in timed_frames(tmp_path / "out_overlay.mp4")]
    assert len(pictures) == 24 and {picture.shape for picture in pictures} == {(540, 720, 3)}
    assert np.ptp(pictures[5].astype(int)) > 60 and not np.array_equal(pictures[5], pictures[6])
    assert len((tmp_path / "out_hand1.bvh").read_text().split("MOTION")[1].splitlines()) > 5
    assert "24 frames, right hand 0 in 24, left hand 1 in" in said[0]
    calm, raw = map(float, re.findall(r"\d+\.\d", said[1].rsplit(": ", 1)[1]))
    assert calm < 0.5 * raw
    still = predictor.truth(predictor.hands[0], 12).joints
    assert np.linalg.norm(hands[12][0].joints - still, axis=1).mean() < 0.02
    if offline:
        assert np.ptp([listed[0].shape for listed in hands], axis=0).max() < 1e-5


def test_frames_without_hands_and_videos_without_any(tmp_path, job):
    film(tmp_path / "a.mp4", range(8))
    never = ScriptedPredictor(ScriptedHand("right", lambda number: (0, 0.05, 0.5), lambda number: False))
    (tmp_path / "out.glb").write_text("of an earlier job")
    done, said = job(tmp_path / "a.mp4", never)
    assert len(said) == 1 and "8 frames, no hand ->" in said[0]
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "out.csv", "out.json", "out_overlay.mp4"]
    assert [entry["hands"] for entry in json.loads((tmp_path / "out.json").read_text())["frames"]] == [[]] * 8
    assert done["frames"] == 8 and len((tmp_path / "out.csv").read_text().splitlines()) == 1


def test_a_given_box_is_one_hand(tmp_path, job):
    film(tmp_path / "a.mp4", range(6))
    predictor = two()
    job(tmp_path / "a.mp4", predictor, box="whole")
    assert predictor.detected == []
    assert [len(entry["hands"]) for entry in json.loads((tmp_path / "out.json").read_text())["frames"]] == [1] * 6


def test_what_can_be_read_is_kept_and_said(tmp_path, job, monkeypatch):
    film(tmp_path / "a.mp4", range(6))

    def breaking(path, notice):
        for number, found in enumerate(timed_frames(path)):
            if number == 4:
                notice(f"{path}: the video ends in the middle: 4 of 6 frames can be read")
                return
            yield found

    monkeypatch.setattr("phalanx.predict.videos.timed_frames", breaking)
    done, said = job(tmp_path / "a.mp4", two())
    assert done["frames"] == 4 and said[-1].endswith("4 of 6 frames can be read")
    data = json.loads((tmp_path / "out.json").read_text())
    assert len(data["frames"]) == 4 and data["note"] == done["note"] == said[-1]


def test_not_a_video_leaves_nothing(tmp_path, job):
    (tmp_path / "a.mp4").write_text("no video\n" * 50)
    with pytest.raises(InputError, match="is not a video"):
        job(tmp_path / "a.mp4", two())
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_overlays_play_as_fast_as_uneven_frames_came(tmp_path):
    """At 10 a second: a frame that stays for half a second is shown five times, one that comes too soon is left out."""
    greys = dict(zip([0.5, 0.6, 1.1, 1.12, 1.2], [30, 80, 130, 180, 230], strict=True))
    with _in_time(tmp_path / "a.mp4", 10.0) as append:
        for time, grey in greys.items():
            append(time, np.full((48, 64, 3), grey, np.uint8))
    shown = [round(float(picture.mean()) / 10) * 10 for _, picture in timed_frames(tmp_path / "a.mp4")]
    assert shown == [30, 80, 80, 80, 80, 80, 130, 230]


def test_tremor_is_the_mean_acceleration_of_frames_in_a_row():
    predictor = two()
    hand = predictor.truth(predictor.hands[0], 0)

    def moved(number):
        joints = hand.joints.copy()
        joints[1:, 0] += 0.001 * number**2
        return replace(hand, joints=joints, id=4)

    tremor = Tremor()
    assert tremor.mean is None
    for number in (0, 1, 2, 3):
        tremor.add(number, [moved(number)])
    assert tremor.mean == pytest.approx(2.0)
    tremor.add(9, [moved(30)])
    tremor.add(10, [moved(10)])
    assert tremor.mean == pytest.approx(2.0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_recording_is_the_real_hands(oracle, side, mirrored):
    truth = oracle.truth(flip=(side == "left") != mirrored)
    (hand,) = oracle.predictor(truth)(
        oracle.picture(), box="whole", K=truth.K, side=side, mirrored=mirrored, hand_length=0.3
    )
    take, other = Take(), "left" if side == "right" else "right"
    take.add(1, replace(hand, side=other, time=0.25))  # before its side was decided
    for number, time in ((3, 0.5), (5, 0.75)):
        take.add(number, replace(hand, time=time))
    recording = take.recording()
    assert take.is_sure and not Take().is_sure
    assert recording.side == side and recording.frames.tolist() == [3, 5] and recording.times.tolist() == [0.5, 0.75]
    real = hand.vertices * ([-1, 1, 1] if mirrored else [1, 1, 1]) / hand.scale
    np.testing.assert_allclose(posed_surfaces(recording, HandModel.open_hand(), [1])[0], real, atol=1e-5)
    np.testing.assert_allclose(recording.angles_degrees[0], list(hand.angles_degrees.values()), atol=0.01)
