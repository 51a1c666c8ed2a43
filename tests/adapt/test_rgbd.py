"""Adapting the default estimator to pairs of colour and depth, in miniature: what is written serves, and a killed run goes on exactly."""

import json
from dataclasses import replace
from functools import partial

import cv2
import pytest
import torch
import trimesh
from rgbd_folder import see_truly, write_pairs
from weak_folder import hands

from phalanx.adapt import colour_model, rehearsal
from phalanx.adapt import rgbd as module
from phalanx.adapt.rgbd import RgbdAdaptation, adapt_rgbd, verdict
from phalanx.adapt.rgbd_pairs import RgbdFiles
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.methods.compact import load_trainable
from phalanx.predict.runtime import load_estimator
from phalanx.train.plan import LoopConfig

LOOP = LoopConfig(
    samples=96, warmup=16, average=50, evaluate_every=10**6, precision="float32", kernel_precision="float32"
)
GOOD = {"depth_error": 5.0, "own_2d_px_of_256": 4.0, "synthetic_rotations_deg": 9.0}


@pytest.fixture(scope="module")
def sample():
    return hands(20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sample):
    path = tmp_path_factory.mktemp("rgbd") / "pairs"
    write_pairs(path, sample)
    return path


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Synthesis with little in memory."""
    monkeypatch.setattr(rehearsal, "TILES", 2)
    monkeypatch.setattr(rehearsal, "SKINS", 1)


def config(**changes):
    return replace(RgbdAdaptation(LOOP, hands=8, synthetic=8, buffer=32, held_out=32), **changes)


def silent(*_):
    pass


def test_the_command_leaves_a_model_that_is_sealed(folder, sample, start, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "RgbdAdaptation", lambda workers: config(workers=workers))
    monkeypatch.setattr(module, "Predictor", lambda weights: see_truly(sample))
    out = tmp_path / "mine"
    assert main(["adapt", "rgbd", "--data", str(folder), "--out", str(out), "--weights", str(start)]) in (0, 2)
    figures = json.loads((out / "adapted.json").read_text())
    assert figures["pictures"] == 20 and figures["held_back"] >= 1 and len(figures["shape"]) == 10
    assert set(figures["before"]) == set(figures["after"]) and figures["verdict"]
    assert figures["before"]["turned_deg"] == 0.0 and 0.1 < figures["hand_length"] < 0.25
    assert cv2.imread(str(out / "adapted.png")).shape[0] == 8 * 128
    mesh = trimesh.load(out / "surface.obj", process=False)
    assert 0.1 < float(mesh.extents.max()) < 0.3
    model = load_estimator(tmp_path / "mine.onnx")
    assert model.session.about["card"]["data"][0]["labels"].startswith("depth of ")
    same = load_trainable(tmp_path / "mine.safetensors").state_dict()
    first = load_trainable(start).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in first.items()) != figures["adapted"]
    assert "splats of the posed hand" in capsys.readouterr().out


def test_a_killed_run_goes_on_exactly(folder, sample, start, tmp_path, monkeypatch):
    monkeypatch.setattr(colour_model, "export", lambda network, path, *_: path.touch())
    monkeypatch.setattr(module, "verdict", lambda *_: (True, []))
    loop = replace(LOOP, samples=160, checkpoint_minutes=0.0)
    files = RgbdFiles(folder)
    fit = partial(adapt_rgbd, files, weights=start, config=config(loop=loop), complain=silent, see=see_truly(sample))
    figures = fit(tmp_path / "whole", say=silent)

    class Killed(Exception):
        pass

    def die(line):
        if line.startswith("seen"):
            raise Killed

    torch.manual_seed(99)  # whatever was drawn before
    with pytest.raises(Killed):
        fit(tmp_path / "killed", say=die, config=config(loop=replace(loop, evaluate_every=64)))
    assert not (tmp_path / "killed.onnx").exists()
    with pytest.raises(InputError, match=r"a run is already here; resume it"):
        fit(tmp_path / "killed", say=silent)
    said = []
    again = fit(tmp_path / "killed", say=said.append, resume=True)
    assert any(line.startswith("resumed at ") for line in said)
    assert again["after"] == figures["after"] and again["after"] != again["before"]
    same, other = (load_trainable(tmp_path / f"{name}.safetensors").state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in same.items())


def test_the_start_is_kept_unless_depth_comes_nearer_and_nothing_is_lost():
    assert verdict(GOOD, GOOD | {"depth_error": 4.0}, 5)[0]
    kept, why = verdict(GOOD, GOOD, 5)
    assert not kept and "stays as it was: depth did not come nearer" in why[1]
    kept, why = verdict(GOOD, GOOD | {"depth_error": 4.0, "own_2d_px_of_256": 5.0}, 5)
    assert not kept and "joints moved" in why[1]
    assert not verdict(GOOD, GOOD | {"depth_error": 4.0, "synthetic_rotations_deg": 12.0}, 0)[0]
