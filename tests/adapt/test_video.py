"""Adapting the default estimator to a folder of clips, in miniature: what is written serves, and a killed run goes on exactly."""

import json
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from clip_folder import clip, write_clip, write_coco, write_frames

from phalanx.adapt import colour_model, rehearsal
from phalanx.adapt import video as module
from phalanx.adapt.video import VideoAdaptation, adapt_video
from phalanx.adapt.video_files import VideoFiles
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.methods.compact import load_trainable
from phalanx.train.plan import LoopConfig

LOOP = LoopConfig(
    samples=60, warmup=12, average=30, evaluate_every=10**6, precision="float32", kernel_precision="float32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clips"
    for number in (0, 1, 2):
        pictures, points, *_ = clip(number)
        write_frames(path / f"c{number}", pictures)
        write_coco(path / f"c{number}.json", points, [f"c{number}/{row:04d}.png" for row in range(1, 13)])
    return path


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Synthesis with little in memory."""
    monkeypatch.setattr(rehearsal, "TILES", 2)
    monkeypatch.setattr(rehearsal, "SKINS", 1)


@pytest.fixture
def no_model(monkeypatch):
    """Models are not made, which takes seconds: only their names are."""
    monkeypatch.setattr(colour_model, "export", lambda network, path, *_: path.touch())


def config(**changes):
    return replace(VideoAdaptation(LOOP, stretches=2, synthetic=8, buffer=32, held_out=32), **changes)


def silent(*_):
    pass


def test_the_command_leaves_a_model_that_predicts(folder, start, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "VideoAdaptation", lambda workers: config(workers=workers))
    out = tmp_path / "mine"
    assert main(["adapt", "video", "--data", str(folder), "--out", str(out), "--weights", str(start)]) == 0
    figures = json.loads((out / "adapted.json").read_text())
    assert (figures["clips"], figures["frames"], figures["hands"], figures["cuts"]) == (3, 36, 36, 0)
    assert figures["labels"] == "keypoints of 36 hands" and figures["skipped"] == [] and figures["verdict"]
    assert set(figures["before"]) == set(figures["after"]) >= {"judged_jitter_m_per_s3", "judged_bone_spread_percent"}
    assert cv2.imread(str(out / "adapted.png")).shape == (5 * 128, 6 * 128, 3)
    card = read_json(tmp_path / "mine.json")
    assert [source["kind"] for source in card["data"]] == ["a user's clips", "own synthesis"]
    photo = str(folder / "c0" / "0001.png")
    options = ["--box", "whole", "--side", "right", "--weights", str(tmp_path / "mine.onnx")]
    assert main(["predict", photo, *options, "--out", str(tmp_path / "p")]) == 0
    write_clip(tmp_path / "clip.mp4", clip(0)[0][:4])
    assert main(["predict", str(tmp_path / "clip.mp4"), *options, "--out", str(tmp_path / "p")]) == 0
    assert json.loads((tmp_path / "p" / "clip.json").read_text())["frames"]
    assert "a camera of 60 degrees is assumed" in capsys.readouterr().out


def test_a_killed_run_goes_on_exactly(folder, start, tmp_path, no_model):
    loop = replace(LOOP, checkpoint_minutes=0.0)
    fit = partial(adapt_video, VideoFiles(folder), weights=start, config=config(loop=loop), complain=silent)
    figures = fit(tmp_path / "whole", say=silent)

    class Killed(Exception):
        pass

    def die(line):
        if line.startswith("seen"):
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "killed", say=die, config=config(loop=replace(loop, evaluate_every=20)))
    assert not (tmp_path / "killed.onnx").exists()
    with pytest.raises(InputError, match=r"a run is already here; resume it"):
        fit(tmp_path / "killed", say=silent)
    said = []
    again = fit(tmp_path / "killed", say=said.append, resume=True)
    assert any(line.startswith("resumed at ") and not line.startswith("resumed at 0 ") for line in said)
    assert again["after"] == figures["after"]
    same, other = (load_trainable(tmp_path / f"{name}.safetensors").state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in same.items())
    with pytest.raises(InputError, match=r"belongs to a run with another configuration \(stretches"):
        fit(tmp_path / "killed", say=silent, resume=True, config=config(loop=loop, stretches=4))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stretches": 3}, r"needs an even number of stretches a step"),
        ({"loop": replace(LOOP, samples=None, minutes=1e-4)}, r"minutes: 0\.0001 are too few, for loading and reading"),
    ],
)
def test_settings_at_fault(folder, start, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        adapt_video(VideoFiles(folder), tmp_path / "mine", start, config(**changes), say=silent, complain=silent)
    assert not (tmp_path / "mine.onnx").exists()


def test_clips_of_too_few_frames_are_refused(start, tmp_path):
    pictures, points, *_ = clip()
    write_frames(tmp_path / "clips" / "b", pictures[:4])
    np.savez(tmp_path / "clips" / "b.npz", joints=points[:4])
    with pytest.raises(InputError, match=r"no clip shows a hand in 6 frames in a row"):
        adapt_video(VideoFiles(tmp_path / "clips"), tmp_path / "mine", start, config(), say=silent, complain=silent)
