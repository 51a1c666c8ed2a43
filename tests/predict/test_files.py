"""The batch job, with a predictor that knows the truth."""

import json
import os

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.video import read_frames, write_video
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.files import output_stems, predict_files


@pytest.fixture
def job(oracle):
    """predict_files with the oracle; returns summary, lines said, sentences complained."""
    truth = oracle.truth()

    def run(paths, out, **options):
        said, complained = [], []
        predictor = oracle.predictor(truth)
        summary = predict_files(
            paths, out, predictor=predictor, say=said.append, complain=complained.append, **{"K": truth.K, **options}
        )
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


def test_output_stems():
    from pathlib import Path

    def stems(*names):
        return output_stems([Path(n) for n in names])

    assert stems("a.png", "b.png") == ["a", "b"]
    assert stems("a.png", "a.jpg", "x/a.png") == ["a", "a_2", "a_3"]
    assert stems("a.png", "a.jpg", "a_2.png") == ["a", "a_3", "a_2"]
    assert stems("A.png", "a.png") == ["A", "a_2"]


def test_inputs_are_never_written_over(tmp_path, job, place_png):
    one, two = place_png(tmp_path / "a.png"), place_png(tmp_path / "a_overlay.png")
    before = two.read_bytes()
    summary, _, complained = job([one, two], tmp_path)
    assert two.read_bytes() == before
    assert [done["input"] for done in summary.done] == [str(two)]
    assert len(complained) == 1 and "is an input of this job" in complained[0]


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
    assert complained == [] and len(said) == 1 and "3 frames" in said[0]
    assert sorted(os.listdir(tmp_path / "out")) == ["clip.json", "clip_overlay.mp4"]
    data = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert (data["schema"], data["frames_per_second"]) == ("phalanx.video/1", 10.0)
    assert [entry["frame"] for entry in data["frames"]] == [0, 1, 2]
    for entry in data["frames"]:
        hand = HandPrediction.from_json(entry["hands"][0])
        np.testing.assert_allclose(hand.joints_2d, job.truth.joints_2d, atol=15)  # colours after compression
    assert len(list(read_frames(tmp_path / "out" / "clip_overlay.mp4"))) == 3
    assert summary.done[0]["frames"] == 3
    assert no_leftovers(tmp_path)
