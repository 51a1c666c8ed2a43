import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from true_rig import TrueRig

from phalanx.core.errors import InputError
from phalanx.data.video import write_video
from phalanx.predict import rig_files
from phalanx.predict.rig_files import predict_rig
from phalanx.predict.rig_inputs import check_kinds, picture_moments, video_moments


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Runs a job on the pictures of a `TrueRig`; returns its summary and what it said and complained about."""

    def run(true, paths, **options):
        lines, complaints = [], []
        kept = {}

        def made(rig, predictor, side, hand_length, min_score):
            kept["predictor"] = true.predictor(rig=rig, side=side, hand_length=hand_length, min_score=min_score)
            return kept["predictor"]

        monkeypatch.setattr(rig_files, "RigPredictor", made)
        rig = options.pop("rig", true.rig)
        summary = predict_rig(rig, paths, tmp_path / "out", say=lines.append, complain=complaints.append, **options)
        return summary, lines, complaints

    return run


def folders(tmp_path, true, frames, names=lambda view, frame: f"{frame:04d}.png"):
    made = []
    for view in range(true.count):
        folder = tmp_path / f"view{view}"
        folder.mkdir()
        for frame in frames:
            cv2.imwrite(str(folder / names(view, frame)), true.image(frame, view))
        made.append(folder)
    return made


def videos(tmp_path, true, frames, rate=30.0):
    made = []
    for view in range(true.count):
        made.append(tmp_path / f"view{view}.mp4")
        with write_video(made[-1], rate) as append:
            for frame in frames[view] if isinstance(frames, dict) else frames:
                append(true.image(frame, view))
    return made


def test_folders_of_pictures(tmp_path, job):
    true = TrueRig(2, "left")
    summary, lines, complaints = job(true, folders(tmp_path, true, range(2)))
    assert not complaints and not summary.skipped and len(summary.done) == 2
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        f"000{frame}_rig{ending}" for frame in (0, 1) for ending in (".json", "_overlay.png", ".glb")
    }
    data = json.loads((out / "0001_rig.json").read_text())
    hand = data["frames"][0]["hand"]
    assert data["schema"] == "phalanx.rig_hands/1" and data["rig"]["unit"] == "m" and hand["side"] == "left"
    assert np.linalg.norm(np.array(hand["joints"]) - true.joints[1], axis=1).mean() < 0.002
    assert "left hand" in lines[0] and "cam0 used (0." in lines[0]
    overlay = cv2.imread(str(out / "0001_rig_overlay.png"))
    assert overlay.shape[0] == 480 and overlay.shape[1] > 2 * 480 and overlay.std() > 10


def test_a_batch_goes_on_after_a_picture_that_cannot_be_read_and_a_moment_without_a_hand(tmp_path, job):
    true = TrueRig(2, blind={(1, 0), (1, 1)})
    given = folders(tmp_path, true, range(3))
    (given[1] / "0000.png").write_bytes(b"no picture")
    summary, lines, complaints = job(true, given)
    assert len(complaints) == 1 and str(given[1] / "0000.png") in complaints[0]
    assert [line.split(": ", 1)[1].split(",")[0].split(" ->")[0] for line in lines] == [
        "right hand",
        "no hand",
        "right hand",
    ]
    assert "one view alone counts" in lines[0] and "cam1 no picture" in lines[0]
    assert len(summary.done) == 3 and len(summary.skipped) == 1
    assert not (tmp_path / "out" / "0001_rig.glb").exists()


def test_videos(tmp_path, job):
    true = TrueRig(3, blind={(frame, 2) for frame in range(4)})
    paths = videos(tmp_path, true, range(12))
    done = []
    summary, lines, complaints = job(true, paths, progress=lambda now, total: done.append((now, total)))
    assert not complaints and not summary.skipped and done[-1] == (12, 12)
    out = tmp_path / "out"
    names = {f"view0_rig{ending}" for ending in (".json", ".csv", "_overlay.mp4", ".glb", ".bvh")}
    assert {path.name for path in out.iterdir()} == names
    frames = json.loads((out / "view0_rig.json").read_text())["frames"]
    assert len(frames) == 12 and frames[6]["time"] == pytest.approx(0.2, abs=0.01)
    joints = np.array([frame["hand"]["joints"] for frame in frames])
    assert 1e3 * np.linalg.norm(joints - true.joints[:12], axis=-1).mean() < 3
    assert len({tuple(frame["hand"]["shape"]) for frame in frames}) == 1  # one person's
    with (out / "view0_rig.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and float(rows[5]["wrist_x"]) == pytest.approx(joints[5, 0, 0], abs=1e-5)
    assert "12 moments, right hand in 12" in lines[0] and "camera cam1: reprojection error" in lines[2]


def test_videos_of_unequal_length_are_matched_by_time(tmp_path, job):
    true = TrueRig(2)
    paths = videos(tmp_path, true, {0: range(10), 1: range(7)})
    summary, lines, _ = job(true, paths)
    assert summary.done[0]["frames"] == 10
    assert (
        "view1.mp4: has no frame at 3 of the 10 moments" in summary.done[0]["note"]
        and lines[-1] in summary.done[0]["note"]
    )
    notes = []
    assert len(list(video_moments(paths[::-1], notes.append))) == 7
    assert "goes on for 3 frames after the end" in notes[0]


def test_videos_of_other_rates_are_matched_by_time(tmp_path):
    true = TrueRig(2)
    slow, fast = tmp_path / "slow.mp4", tmp_path / "fast.mp4"
    for path, rate, step in ((slow, 15.0, 2), (fast, 30.0, 1)):
        with write_video(path, rate) as append:
            for frame in range(0, 20, step):
                append(true.image(frame, 0))
    for _, (one, two) in video_moments([slow, fast], print):
        assert abs(one.mean() - two.mean()) < 2


def test_cameras_that_are_swapped_are_named(tmp_path, job):
    true = TrueRig(2)
    paths = videos(tmp_path, true, range(6))
    rig = true.rig
    swapped = type(rig)(
        tuple(
            type(own)(own.calibration, other.world_to_camera, own.name)
            for own, other in zip(rig.cameras, rig.cameras[::-1], strict=True)
        ),
        True,
        "rig.json",
    )
    with pytest.raises(InputError, match="the views of cameras cam0 and cam1 agree if they are swapped; give them in"):
        job(true, paths, rig=swapped)


def test_two_cameras_that_disagree_throughout_are_named(tmp_path, job):
    true = TrueRig(2, wrong={(frame, 1) for frame in range(6)})
    with pytest.raises(
        InputError, match="cam0 and cam1 disagree about the hand in most of 6 moments, by .* see phalanx rig check"
    ):
        job(true, videos(tmp_path, true, range(6)))


def test_a_camera_of_three_that_disagrees_is_named_in_the_lines(tmp_path, job):
    true = TrueRig(3, wrong={(frame, 2) for frame in range(6)})
    _, lines, _ = job(true, videos(tmp_path, true, range(6)))
    assert "camera cam2: never used; disagrees in" in lines[3] or "disagrees in" in lines[3]


def test_the_scale_is_said_where_it_was_found(tmp_path, job):
    true = TrueRig(2, unit=40.0, metric=False)
    _, lines, _ = job(true, videos(tmp_path, true, range(5)))
    assert "the rig's unit is 2" in lines[-1] and "by the hand's likeliest size" in lines[-1]


def test_what_is_no_set_of_views_is_named(tmp_path, job):
    true = TrueRig(2)
    paths = folders(tmp_path, true, range(1))
    with pytest.raises(InputError, match="has 2 cameras, and 3 views are given"):
        job(true, [*paths, paths[0]])
    with pytest.raises(InputError, match="is given for two cameras"):
        job(true, [paths[0], paths[0]])
    with pytest.raises(InputError, match="all folders, all videos or all pictures, not folder and pictures"):
        job(true, [paths[0], paths[1] / "0000.png"])
    with pytest.raises(InputError, match="absent: cannot be read: no such file"):
        check_kinds([tmp_path / "absent", paths[0]], 2, "rig.json")
    shutil.rmtree(paths[1])
    paths[1].mkdir()
    with pytest.raises(InputError, match="the folder has no pictures in it"):
        job(true, paths)


@pytest.mark.parametrize(
    ("one", "two", "matched"),
    [
        (["a.png", "b.png", "c.png"], ["b.png", "c.png", "d.png"], [("b", "b"), ("c", "c")]),
        (
            ["cam0_001.png", "cam0_002.png"],
            ["cam1_001.jpg", "cam1_002.jpg"],
            [("cam0_001", "cam1_001"), ("cam0_002", "cam1_002")],
        ),
        (
            ["1000.png", "1033.png", "1066.png"],
            ["1003.png", "1069.png", "1200.png"],
            [("1000", "1003"), ("1066", "1069")],
        ),
    ],
    ids=["names", "numbers", "times"],
)
def test_pictures_of_one_moment_are_matched(tmp_path, one, two, matched):
    for folder, names in (("one", one), ("two", two)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    notes = []
    moments = picture_moments([tmp_path / "one", tmp_path / "two"], notes.append)
    assert [tuple(path.stem for path in moment.paths) for moment in moments] == matched
    assert len(notes) == (2 if len(one) > len(matched) else 0)


def test_pictures_that_match_nothing_are_named(tmp_path):
    for folder, names in (("one", ["a.png", "b.png"]), ("two", ["c.png", "d.png"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    with pytest.raises(InputError, match="no picture's name or time stamp matches one in"):
        picture_moments([tmp_path / "one", tmp_path / "two"], print)
