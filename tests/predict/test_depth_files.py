"""Depth frames in files: sides of folders, frames of metres, frames at fault."""

import json

import numpy as np
import pytest
from finders import Surface
from frames import UNIT, camera_text, write_depth

from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import read_frame
from phalanx.methods.hand_finder import LEFT, RIGHT
from phalanx.predict.depth import DepthPredictor
from phalanx.predict.depth_files import predict_depth_files
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture(scope="module")
def sample():
    return make_chunk(SynthConfig(size=96, chunk=3, tiles=2, skins=1, depth_sensor="ideal"), 28, 0)


@pytest.fixture
def job(sphere_weights, monkeypatch):
    """predict_depth_files with a network that fits nothing; returns summary, lines said, sentences complained."""
    monkeypatch.setattr("phalanx.predict.depth.MOST_ERROR", 1.0)

    def run(paths, out, finder, *arguments, **options):
        said, complained = [], []
        predictor = DepthPredictor(sphere_weights, finder=finder)
        summary = predict_depth_files(
            paths, out, predictor, *arguments, say=said.append, complain=complained.append, **options
        )
        return summary, said, complained

    return run


class Wavering(Surface):
    """Says left of every third search, the first included, and right of the others, and is surer of these."""

    def __call__(self, maps):
        self.side = "left" if self.calls // 6 % 3 == 0 else "right"
        logits, joints = super().__call__(maps)
        if self.side == "left":
            logits[:, [RIGHT, LEFT]] *= 0.5
        return logits, joints


def test_frames_of_a_folder_show_one_side(tmp_path, job, sample):
    for number in range(3):
        write_depth(tmp_path / "in" / f"{number}.png", sample.depth[0])
    write_depth(tmp_path / "alone" / "a.png", sample.depth[0])
    arguments = (camera_text(sample.K[0]), UNIT)
    summary, _, complained = job([tmp_path / "in"], tmp_path / "out", Wavering(), *arguments)
    assert complained == []
    hands = [done["hands"][0] for done in summary.done]
    assert [(hand["side"], hand["side_source"]) for hand in hands] == [("right", "guessed")] * 3
    summary, _, _ = job([tmp_path / "alone"], tmp_path / "out", Wavering(), *arguments)
    assert summary.done[0]["hands"][0]["side"] == "left"
    summary, _, _ = job([tmp_path / "in"], tmp_path / "out", Wavering(), *arguments, side="left")
    assert {(done["hands"][0]["side"], done["hands"][0]["side_source"]) for done in summary.done} == {("left", "given")}


def test_frames_that_vote_are_read_and_searched_once(tmp_path, job, sample, monkeypatch):
    for number in range(3):
        write_depth(tmp_path / "in" / f"{number}.png", sample.depth[0])
    write_depth(tmp_path / "in" / "3.png", np.zeros((96, 96)))
    read = []

    def reader(path, *arguments):
        read.append(path.name)
        return read_frame(path, *arguments)

    monkeypatch.setattr("phalanx.predict.depth_files.read_frame", reader)
    finder = Surface()
    summary, _, complained = job([tmp_path / "in"], tmp_path / "out", finder, camera_text(sample.K[0]), UNIT)
    assert len(summary.done) == 3 and len(complained) == 1 and "3.png: is empty" in complained[0]
    assert sorted(read) == ["0.png", "1.png", "2.png", "3.png"] and finder.calls == 3 * 6


def test_a_missing_unit_is_said_once_and_urls_are_named(tmp_path, job, sample):
    for number in range(12):
        write_depth(tmp_path / "in" / f"{number:02d}.png", sample.depth[0])
    paths = [tmp_path / "in", "https://example.org/frame.png"]
    summary, _, complained = job(paths, tmp_path / "out", Surface(), camera_text(sample.K[0]))
    assert len(summary.skipped) == 13 and len(complained) == 2
    assert complained[0] == "https://example.org/frame.png: is a URL; download the file first"
    assert complained[1].startswith(f"{tmp_path / 'in' / '00.png'} and 11 other frames: unit: a camera given as")
    assert {entry["problem"].split(": ")[1] for entry in summary.skipped[1:]} == {"unit"}


def test_frames_of_metres_need_no_unit_and_others_say_so(tmp_path, job, sample):
    np.save(tmp_path / "a.npy", sample.depth[0].numpy())
    write_depth(tmp_path / "b.png", sample.depth[0])
    summary, said, complained = job([tmp_path], tmp_path / "out", Surface(), camera_text(sample.K[0]))
    assert len(summary.done) == len(said) == 1 and (tmp_path / "out" / "a.json").is_file()
    assert len(complained) == 1 and "b.png: unit: a camera given as" in complained[0] and "(--unit)" in complained[0]
    listed = json.loads((tmp_path / "out" / "a.json").read_text())["hands"]
    assert listed == summary.done[0]["hands"]


def test_frames_at_fault_are_passed_over_and_options_said_before_work(tmp_path, job, sample):
    write_depth(tmp_path / "in" / "a.png", sample.depth[0])
    write_depth(tmp_path / "in" / "b.png", np.zeros((96, 96)))
    (tmp_path / "empty").mkdir()
    arguments = (camera_text(sample.K[0]), UNIT)
    summary, _, complained = job([tmp_path / "in", tmp_path / "empty"], tmp_path / "out", Surface(), *arguments)
    assert [len(summary.done), len(summary.skipped), len(complained)] == [1, 2, 2]
    assert any("b.png: is empty" in sentence for sentence in complained)
    assert any("holds no depth frames" in sentence for sentence in complained)
    for wrong, words in (
        (dict(paths=[]), "name a depth frame"),
        (dict(camera="sr3O5"), "neither one of kinect1"),
        (dict(unit=-1.0), "unit: must be positive"),
        (dict(box=(1, 2)), "box: must have shape"),
    ):
        given = {"paths": [tmp_path / "in"], "camera": "sr305", "unit": None, "box": None} | wrong
        with pytest.raises(InputError, match=words):
            job(given["paths"], tmp_path / "x", Surface(), given["camera"], given["unit"], box=given["box"])
