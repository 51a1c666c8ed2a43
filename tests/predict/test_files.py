"""The batch job, with a predictor that knows the truth."""

import json
import os

import cv2
import numpy as np
import pytest
import trimesh

from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration
from phalanx.data.video import read_frames, write_video
from phalanx.geometry.camera import Camera
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.assemble import BEHIND
from phalanx.predict.files import predict_files
from phalanx.predict.merge import belief


@pytest.fixture
def job(oracle):
    """predict_files with the oracle, by default of one hand and the whole picture; returns summary, lines said, sentences complained."""
    truth = oracle.truth()

    def run(paths, out, predictor=None, **options):
        said, complained = [], []
        predictor = predictor or oracle.predictor(truth)
        options = {"K": truth.K, "box": "whole", **options}
        summary = predict_files(paths, out, predictor=predictor, say=said.append, complain=complained.append, **options)
        return summary, said, complained

    run.truth = truth
    return run


@pytest.fixture
def place_png(oracle, tmp_path):
    """Writes the picture that the oracle reads; 16 bits, rounded to 8 by the reader."""

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.round(oracle.picture()[..., ::-1] * 255).astype(np.uint8))
        return path

    return write


def no_leftovers(folder):
    return not [name for _, _, names in os.walk(folder) for name in names if ".part" in name]


def test_a_picture_gives_json_overlay_and_mesh(tmp_path, job, place_png):
    path = place_png(tmp_path / "in" / "hand one.png")
    out = tmp_path / "out"
    summary, said, complained = job([path], out)
    assert sorted(os.listdir(out)) == ["hand one.glb", "hand one.json", "hand one_overlay.png"]
    assert complained == [] and len(said) == 1
    assert said[0].startswith(f"{path}: right hand, score 0.9") and said[0].endswith(
        f"-> {out / 'hand one_overlay.png'}"
    )

    data = json.loads((out / "hand one.json").read_text())
    assert (data["schema"], data["input"], data["width"], data["height"]) == (
        "phalanx.picture/1",
        str(path),
        320,
        240,
    )
    hand = HandPrediction.from_json(data["hands"][0])
    np.testing.assert_allclose(hand.joints_2d, job.truth.joints_2d, atol=5)  # 8-bit colours say places this well
    assert hand.vertices is None
    assert cv2.imread(str(out / "hand one_overlay.png")).shape == (540, 720 + 540, 3)
    assert summary.done[0]["outputs"] == [str(out / f"hand one{end}") for end in (".json", "_overlay.png", ".glb")]
    assert summary.done[0]["hands"] == data["hands"]


def test_bad_inputs_are_passed_over_and_the_rest_is_done(tmp_path, job, place_png):
    folder = tmp_path / "in"
    good = [place_png(folder / "a.png"), place_png(folder / "z.png")]
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("text" * 100)
    (folder / "half.png").write_bytes(good[0].read_bytes()[:2000])
    cv2.imwrite(str(folder / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    (folder / "text.mp4").write_text("text" * 100)
    (tmp_path / "nothing").mkdir()
    missing = tmp_path / "missing.png"
    circle = tmp_path / "circle.png"
    circle.symlink_to("circle.png")
    summary, said, complained = job([missing, circle, folder, tmp_path / "nothing"], tmp_path / "out")
    assert [done["input"] for done in summary.done] == [str(p) for p in good]
    assert len(said) == 2
    in_folder = [folder / n for n in ("dot.png", "empty.png", "half.png", "text.jpg", "text.mp4")]
    bad = [tmp_path / "nothing", missing, circle, *in_folder]
    assert {s["input"] for s in summary.skipped} == {str(p) for p in bad}
    assert complained == [s["problem"] for s in summary.skipped]
    for path in bad:
        assert sum(str(path) in sentence for sentence in complained) == 1
    assert sorted(os.listdir(tmp_path / "out")) == [f"{s}{e}" for s in "az" for e in (".glb", ".json", "_overlay.png")]


def test_box_outside_a_picture_names_the_picture(tmp_path, job, place_png):
    path = place_png(tmp_path / "a.png")
    summary, _, complained = job([path], tmp_path / "out", box=(400, 100, 200, 200))
    assert summary.done == []
    assert complained == [f"{path}: box: 400,100,200,200 lies outside the picture of 320x240 pixels"]


def test_options_and_output_folder_are_checked_before_any_work(tmp_path, job, place_png):
    path = place_png(tmp_path / "a.png")
    with pytest.raises(InputError, match="^K: the camera matrix is singular"):
        job([path], tmp_path / "out", K=np.zeros((3, 3)))
    with pytest.raises(InputError, match="^box: must have shape"):
        job([path], tmp_path / "out", box=(1, 2, 3))
    with pytest.raises(InputError, match="^max_hands: must be"):
        job([path], tmp_path / "out", max_hands=-1)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="output folder cannot be written"):
            job([path], out)
    with pytest.raises(InputError, match="name a picture"):
        job([], tmp_path / "out")


def test_same_names_from_different_folders_stay_apart(tmp_path, job, place_png):
    one, two = place_png(tmp_path / "one" / "a.png"), place_png(tmp_path / "two" / "a.png")
    summary, _, _ = job([one, two, one], tmp_path / "out")
    assert [done["outputs"][0] for done in summary.done] == [str(tmp_path / "out" / n) for n in ("a.json", "a_2.json")]
    assert json.loads((tmp_path / "out" / "a_2.json").read_text())["input"] == str(two)


def test_inputs_are_never_overwritten(tmp_path, job, place_png):
    one, two = place_png(tmp_path / "a.png"), place_png(tmp_path / "a_overlay.png")
    before = two.read_bytes()
    summary, _, complained = job([one, two], tmp_path)
    assert two.read_bytes() == before and complained == []
    assert [done["outputs"][1] for done in summary.done] == [
        str(tmp_path / name) for name in ("a_2_overlay.png", "a_overlay_overlay.png")
    ]


def test_a_second_run_overwrites_nothing_of_another_input(tmp_path, job, place_png):
    one, two = place_png(tmp_path / "one" / "a.png"), place_png(tmp_path / "two" / "a.png")
    out = tmp_path / "out"
    for path, name in ((one, "a"), (two, "a_2"), (one, "a"), (two, "a_2")):
        summary, _, _ = job([path], out)
        assert summary.done[0]["outputs"][0] == str(out / f"{name}.json")
    assert json.loads((out / "a.json").read_text())["input"] == str(one)
    assert json.loads((out / "a_2.json").read_text())["file"] == str(two.resolve())
    assert len(os.listdir(out)) == 6


def test_several_hands_give_a_line_an_entry_and_a_node_each(tmp_path, job, place_png, oracle, claims):
    path, out = place_png(tmp_path / "a.png"), tmp_path / "out"
    truths = [oracle.truth(at=(0.15, 0.05, 0.6)), oracle.truth(flip=True, at=(0.15, 0.1, 0.7))]
    truths.append(oracle.truth(at=(-0.1, -0.12, 1.0)))
    claims += [oracle.claim(truth, score) for truth, score in zip(truths, (0.97, 0.8, 0.6), strict=True)]
    summary, said, complained = job([path], out, oracle.predictor(*truths), box=None)
    assert complained == [] and len(said) == 3 and len(summary.done[0]["hands"]) == 3
    for line, start in zip(said, ("right hand 1, detected with 1.00", "left hand 1, ", "right hand 2, "), strict=True):
        assert line.startswith(f"{path}: {start}") and line.endswith(f"-> {out / 'a_overlay.png'}")
    listed = [HandPrediction.from_json(entry) for entry in json.loads((out / "a.json").read_text())["hands"]]
    assert [hand.side for hand in listed] == ["right", "left", "right"]
    wanted = [belief(score, hand.score) for score, hand in zip((0.97, 0.8, 0.6), listed, strict=True)]
    assert [hand.detection for hand in listed] == pytest.approx(wanted)
    scene = trimesh.load(out / "a.glb", process=False)
    assert set(scene.geometry) == {"right_1", "left_1", "right_2"}
    for name, truth in zip(("right_1", "left_1", "right_2"), truths, strict=True):  # all before the same camera
        middle = (np.asarray(scene.geometry[name].vertices) * [1, -1, -1]).mean(0)
        assert np.linalg.norm(middle - truth.joints.mean(0)) < 0.12
    _, said, _ = job([path], out, oracle.predictor(*truths), box=None, max_hands=2)
    assert (
        len(said) == 3 and said[-1] == f"{path}: these are the 2 surest hands, and there may be more; see --max-hands"
    )


def test_no_hand_is_an_answer(tmp_path, job, place_png, oracle, claims):
    """A line, an empty list, the picture as overlay; and no surface, not even that of an earlier job on this picture."""
    path, out = place_png(tmp_path / "a.png"), tmp_path / "out"
    claims.append(oracle.claim(job.truth))
    job([path], out, box=None)
    assert (out / "a.glb").exists()
    claims.clear()
    summary, said, complained = job([path], out, box=None, K=None)
    assert said == [f"{path}: no hand -> {out / 'a_overlay.png'}"] and complained == summary.skipped == []
    assert summary.done[0]["hands"] == json.loads((out / "a.json").read_text())["hands"] == []
    assert sorted(os.listdir(out)) == ["a.json", "a_overlay.png"]
    assert summary.done[0]["outputs"] == [str(out / name) for name in ("a.json", "a_overlay.png")]
    assert cv2.imread(str(out / "a_overlay.png")).shape == (540, 720, 3)
    _, said, _ = job([path], out, box=None)
    assert said == [f"{path}: no hand, or none that fits before the given camera -> {out / 'a_overlay.png'}"]


def test_a_picture_without_a_possible_hand_says_so(tmp_path, job, place_png):
    paths = [place_png(tmp_path / f"{name}.png") for name in "ab"]
    looked = []

    class Blind:
        def __call__(self, image, **options):
            looked.append(options)
            return []

    summary, said, complained = job(paths, tmp_path / "out", predictor=Blind())
    assert len(looked) == len(summary.done) == 2 and complained == []
    assert [line.split(" -> ")[0] for line in said] == [f"{path}: no hand: {BEHIND}" for path in paths]


def test_a_damaged_detector_is_named_before_any_work(tmp_path, job, place_png, oracle):
    predictor = oracle.predictor(job.truth)

    def damaged():
        raise InputError("detector.onnx: is damaged")

    predictor.load_detector = damaged
    with pytest.raises(InputError, match=r"^detector\.onnx: is damaged"):
        job([place_png(tmp_path / "a.png")], tmp_path / "out", predictor, box=None)
    summary, _, _ = job([tmp_path / "a.png"], tmp_path / "out", predictor)  # a box needs none
    assert len(summary.done) == 1


def test_the_focal_length_in_a_file_and_scaled_cameras_reach_the_prediction(tmp_path, job, place_png):
    from PIL import Image

    path = place_png(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0xA405] = 35
    Image.open(path).save(tmp_path / "b.png", exif=exif)
    summary, _, _ = job([tmp_path / "b.png"], tmp_path / "out", K=None)
    assert summary.done[0]["hands"][0]["camera_source"] == "exif"
    double = Camera(job.truth.K, 320, 240).resize(640, 480)
    summary, said, _ = job([path], tmp_path / "out", K=Calibration(double.K, (640, 480)))
    assert "camera scaled from 640x480 to 320x240" in said[0]
    np.testing.assert_allclose(summary.done[0]["hands"][0]["K"], job.truth.K, atol=1e-5)


def test_failed_write_leaves_nothing_half_done(tmp_path, job, place_png, monkeypatch):
    path = place_png(tmp_path / "a.png")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    summary, said, complained = job([path], tmp_path / "out")
    assert summary.done == [] and said == []
    assert len(complained) == 1 and "no space left" in complained[0]
    assert os.listdir(tmp_path / "out") == []


def test_video(tmp_path, job, oracle):
    frame = np.round(oracle.picture() * 255).astype(np.uint8)
    path = tmp_path / "clip.mp4"
    with write_video(path, 10.0) as append:
        for _ in range(3):
            append(frame)
    summary, said, complained = job([path], tmp_path / "out")
    assert complained == [] and len(said) == 2 and "3 frames, right hand 0 in 3 ->" in said[0]
    assert "accelerate by" in said[1] and "mm/frame^2" in said[1]
    names = ["clip.csv", "clip.glb", "clip.json", "clip_hand0.bvh", "clip_overlay.mp4"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    assert sorted(summary.done[0]["outputs"]) == [str(tmp_path / "out" / name) for name in names]
    data = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert (data["schema"], data["frames_per_second"]) == ("phalanx.video/1", 10.0)
    assert [entry["frame"] for entry in data["frames"]] == [0, 1, 2]
    assert [entry["time"] for entry in data["frames"]] == [0, 0.1, 0.2]
    for entry in data["frames"]:
        hand = HandPrediction.from_json(entry["hands"][0])
        np.testing.assert_allclose(hand.joints_2d, job.truth.joints_2d, atol=15)  # colours after compression
    assert len(list(read_frames(tmp_path / "out" / "clip_overlay.mp4"))) == 3
    table = (tmp_path / "out" / "clip.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in table[1:]] == [[str(k), f"{k / 10:.6f}"] for k in range(3)]
    column = table[0].split(",").index("index_pip_flexion")
    assert float(table[1].split(",")[column]) == pytest.approx(hand.angles_degrees["index_pip_flexion"], abs=0.01)
    assert summary.done[0]["frames"] == 3
    assert no_leftovers(tmp_path)


def test_depth_frames_among_photos_are_named(tmp_path, job, place_png):
    place_png(tmp_path / "in" / "photo.png")
    frame = np.full((240, 320), 1200, np.uint16)
    frame[50:90, 60:100] = 600
    cv2.imwrite(str(tmp_path / "in" / "depth.png"), frame)
    fine = (frame * 24).astype(np.uint16)  # an SR305's unit
    fine[:, :20] = 0
    cv2.imwrite(str(tmp_path / "in" / "fine.png"), fine)
    summary, _, complained = job([tmp_path / "in", tmp_path / "in" / "fine.png"], tmp_path / "out")
    assert len(summary.done) == 1 and len(complained) == 2
    assert all(
        f"{name}.png: is a depth frame and no photo: predict it with --depth and the --camera that took it" in sentence
        for name, sentence in zip(("depth", "fine"), complained, strict=True)
    )
    packed = np.full((480, 640, 3), (44, 1, 0), np.uint8)  # 300 mm; blue, green, red
    cv2.imwrite(str(tmp_path / "packed.png"), packed)
    summary, _, complained = job([tmp_path / "packed.png"], tmp_path / "out")
    assert (
        summary.done == []
        and "is a depth frame and no photo: predict it with --depth and --camera nyu" in complained[0]
    )
