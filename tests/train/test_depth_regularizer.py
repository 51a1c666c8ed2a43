"""Cai et al.'s training in miniature: three stages, two kinds of supervision; it learns, and goes on exactly after a stop."""

import json

import pytest
import torch

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.methods.depth_regularizer import DepthRegularizerConfig, RegularizerWeights, load
from phalanx.synth import SynthConfig
from phalanx.train import loop as training_loop
from phalanx.train.depth_regularizer import (
    WEIGHTS,
    DepthRegularizerTraining,
    batch_of,
    begun,
    figures,
    palm_rooted,
    prepare,
    train_on_pictures,
)
from phalanx.train.paired import drawn_pictures, restored
from phalanx.train.plan import LoopConfig
from phalanx.train.run import silent

MODEL = DepthRegularizerConfig(size=32, stages=2, width=16, hidden=32, regularizer=32)
SYNTH = {"size": 32, "chunk": 8, "tiles": 2, "skins": 1, "depth_sensor": "domain"}


@pytest.fixture(scope="module")
def kept():
    return drawn_pictures(SynthConfig(**SYNTH, domain="studio"), 5, 32, 0)


def loop(samples: int, **others) -> LoopConfig:
    settings = {"evaluate_every": 1000, "warmup": 16, "average": 64, "precision": "float32"} | others
    return LoopConfig(minutes=None, samples=samples, kernel_precision="float32", **settings)


def test_weak_batches_hold_no_3d_joints(kept):
    sample = restored(kept)
    weak, labelled = batch_of(False, sample), batch_of(True, sample)
    assert not weak.depths.any() and not weak.labelled.any() and labelled.labelled.all()
    torch.testing.assert_close(weak.root_depth, sample.joints[:, 0, 2])
    moved = Sample(**(sample.present() | {"joints": sample.joints.clone()}))
    moved.joints[:, 11:] += 0.1  # the root and the bone that is the scale stay
    for name, value in vars(batch_of(False, moved)).items():
        torch.testing.assert_close(value, getattr(weak, name))


def test_the_palm_takes_the_wrists_place(kept):
    palm = restored(palm_rooted(kept))
    wrist = restored(kept)
    torch.testing.assert_close(palm.joints[:, 0], (wrist.joints[:, 0] + wrist.joints[:, 13]) / 2)
    torch.testing.assert_close(palm.joints_2d, Camera(palm.K, 32, 32).project(palm.joints), atol=2e-3, rtol=0)
    assert torch.equal(palm.joints[:, 1:], wrist.joints[:, 1:])


def test_it_learns_what_it_is_shown(kept, tmp_path):
    sample = restored(kept)
    model = begun(MODEL, 0)
    before = figures(model.eval(), sample)
    trained = train_on_pictures(model, kept, None, loop(960, learning_rate=3e-3), 16, tmp_path / "run", report=silent)
    after = figures(trained, sample)
    assert after["joints_mm"] < 0.8 * before["joints_mm"] and after["map_error"] < 0.95 * before["map_error"]


def test_weak_supervision_without_the_regularizer_leaves_it_alone(kept, tmp_path):
    model = begun(MODEL, 0)
    model.config = DepthRegularizerConfig(**{**vars(MODEL), "weights": RegularizerWeights(depth_map=0.0)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = train_on_pictures(model, kept, kept, loop(32), 8, tmp_path / "run", report=silent).state_dict()
    same = {name.split(".")[0] for name in before if torch.equal(before[name], after[name])}
    assert "regularizer" in same and not torch.equal(
        before["regression.linear.0.weight"], after["regression.linear.0.weight"]
    )
    with pytest.raises(InputError, match="2 kinds of pictures cannot share a batch of 7"):
        train_on_pictures(model, kept, kept, loop(32), 7, tmp_path / "other", report=silent)


def test_a_stopped_run_goes_on_exactly(kept, tmp_path, monkeypatch):
    def run(folder, **options):
        model = begun(MODEL, 0)
        return train_on_pictures(
            model, kept, kept, loop(48), 8, tmp_path / folder, report=silent, **options
        ).state_dict()

    whole = run("whole")
    kept_train = training_loop.train

    def stopped(*arguments, **options):
        return kept_train(*arguments, **options, stop_after=2)

    monkeypatch.setattr("phalanx.train.depth_regularizer.train", stopped)
    run("run")
    monkeypatch.undo()
    resumed = run("run", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


SETTINGS = f"""
model: {{size: 32, stages: 2, width: 8, hidden: 16, regularizer: 16}}
loop: {{samples: 16, warmup: 8, evaluate_every: 16, precision: float32}}
regularizer: {{samples: 8, warmup: 8, evaluate_every: 16, precision: float32}}
whole: {{samples: 16, warmup: 8, evaluate_every: 16, precision: float32}}
source: {json.dumps(SYNTH | {"domain": "studio"})}
target: {json.dumps(SYNTH | {"domain": "field"})}
batch: 8
workers: 0
buffer: 16
held_out: 8
"""


@pytest.mark.parametrize(
    ("supervision", "root", "labels"), [("weak", "wrist", "2D joints"), ("full", "palm", "joints, ")]
)
def test_the_command_trains_three_stages_and_leaves_weights_and_a_card(tmp_path, capsys, supervision, root, labels):
    settings = tmp_path / "tiny.yaml"
    settings.write_text(SETTINGS + f"supervision: {supervision}\nroot: {root}\n")
    assert main(["train", "depth_regularizer", "--config", str(settings), "--out", str(tmp_path / "run")]) == 0
    weights = tmp_path / "run" / WEIGHTS
    assert f"weights -> {weights}" in capsys.readouterr().out
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["curve"]["stage"] == 3 and card["curve"]["seen"] == 40 and card["curve"]["joints_mm"] > 0
    assert [source["domain"] for source in card["data"]] == ["studio", "field"]
    assert card["data"][1]["labels"].startswith(labels)
    assert load(weights).config.width == 8


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="source: needs pictures of 64 pixels"):
        prepare(DepthRegularizerTraining(source=SynthConfig(size=96, depth_sensor="domain")))
    with pytest.raises(InputError, match="needs an even number, not 7"):
        prepare(DepthRegularizerTraining(batch=7))
