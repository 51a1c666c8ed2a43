"""Recordings in miniature, and a small network to read them with."""

import json

import pytest
import torch
from finders import Surface
from frames import write_depth
from small_estimator import SMALL

from phalanx.hand.model import HandModel
from phalanx.methods import compact
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture
def lenient(monkeypatch):
    """Untrained networks fit no hand."""
    monkeypatch.setattr("phalanx.adapt.recordings._MOST_ERROR", 1.0)
    monkeypatch.setattr("phalanx.predict.depth.MOST_ERROR", 1.0)
    monkeypatch.setattr("phalanx.adapt.depth.load_finder", Surface)
    monkeypatch.setattr("phalanx.predict.depth.load_finder", lambda hand: Surface())


@pytest.fixture(scope="package")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    torch.manual_seed(0)
    save_weights(SphereFittingEstimator(SphereFittingConfig(size=64, width=16, points=64)), path, HandModel.open_hand())
    return path


@pytest.fixture
def network(weights):
    return load(weights, trainable=True).eval()


@pytest.fixture(scope="package")
def sample():
    return make_chunk(SynthConfig(size=96, chunk=6, rig="ring3", tiles=2, skins=1), 4, 0)


@pytest.fixture
def rig(tmp_path, sample):
    """Three cameras in the layout of `data.folders.RigFolder`, two frames; the third camera misses one."""
    folder = tmp_path / "rig"
    for index, (hand, _, view) in enumerate(sample.ids.tolist()):
        write_depth(folder / f"c{view}" / f"{hand}.png", sample.depth[index])
    (folder / "c2" / "1.png").unlink()
    cameras = [
        {"name": f"c{v}", "K": sample.K[v].tolist(), "world_to_camera": sample.world_to_camera[v].tolist()}
        for v in range(3)
    ]
    (folder / "rig.json").write_text(json.dumps({"width": 96, "height": 96, "cameras": cameras}))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights of a small default estimator that has learnt nothing."""
    path = tmp_path_factory.mktemp("start") / "small.safetensors"
    torch.manual_seed(0)
    compact.save_weights(compact.CompactEstimator(SMALL), path, HandModel.open_hand())
    return path
