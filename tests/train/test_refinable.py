"""The refinable net's training in miniature: crops are in their view, both stages run, and a killed run goes on exactly."""

import inspect
import json
from itertools import islice
from pathlib import Path

import pytest
import torch

import phalanx.train.refinable
import phalanx.train.run
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.methods.refinable import (
    FOREARM,
    HandSegmenter,
    RefinableConfig,
    RefinableNet,
    SegmenterConfig,
    in_bones,
    load,
    pose_of,
)
from phalanx.synth import SynthConfig, stream
from phalanx.train.paired import joined
from phalanx.train.plan import LoopConfig
from phalanx.train.refinable import (
    LABELS,
    PAIRS,
    WEIGHTS,
    RefinableTraining,
    begun,
    crops_of,
    figures,
    finish,
    found_by,
    keep_crops,
    palm_errors,
    prepare,
    run,
    train_on_crops,
    train_segmenter,
)

SYNTH = SynthConfig(size=64, chunk=8, tiles=2, skins=1, domain="field", depth_sensor="domain")
TINY = RefinableConfig(size=48, width=8, points=100, map=24, radius=0.09)


def loop(samples, **changes):
    settings = {"evaluate_every": 16, "warmup": 8, "average": 16, "precision": "float32", "kernel_precision": "float32"}
    return LoopConfig(minutes=None, samples=samples, **(settings | changes))


def silent(line):
    pass


@pytest.fixture(scope="module")
def chunks():
    return list(islice(stream(SYNTH, 3, 0), 2))


@pytest.fixture(scope="module", autouse=True)
def quick_stream(chunks):
    """True pictures, but of every stream the same few: quick."""

    def repeated(config, seed, workers=0, start=0):
        while True:
            yield chunks[(seed + start) % len(chunks)]
            start += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phalanx.train.refinable, "stream", repeated)
        yield


@pytest.fixture(scope="module")
def kept(chunks):
    return joined([keep_crops(48, 100, chunk) for chunk in chunks])


def test_the_true_pose_lies_on_the_readings(chunks):
    """Angles, joints and points of a crop are in one view: the true hand, posed by them, is where depth was read."""
    kept = keep_crops(48, 100, chunks[0])
    hand = HandModel.open_hand()
    pose = pose_of(kept["angles"])
    pose = HandPose(pose.rotations, kept["shape"], pose.orientation, pose.translation)
    surface = hand(pose)
    torch.testing.assert_close(surface.joints, kept["joints"], atol=1e-4, rtol=0)
    skin = surface.vertices[:, hand.parts != FOREARM].detach()
    network = RefinableNet(TINY)
    made, read = network.map_of(skin), network.map_of(kept["points"].float())
    own, others = ((made.roll(turn, 0) - read).square().mean() for turn in (0, 3))
    assert own < 0.4 * others


def test_turned_crops_turn_all_that_is_known_of_them(kept):
    fields = ("angles", "joints", "points")
    plain, turned = crops_of(kept), finish(fields, 180.0, kept, 0, torch.Generator().manual_seed(0))
    roll = turned.angles[:, 0] - plain.angles[:, 0]
    assert roll.abs().max() > 1
    hand = HandModel.open_hand()
    for crops in (plain, turned):  # the mean hand's joints go with the true ones, whatever the turn
        off = in_bones(hand.joints(pose_of(crops.angles))) - crops.joints
        torch.testing.assert_close(
            off.norm(dim=-1).mean(1),
            (in_bones(hand.joints(pose_of(plain.angles))) - plain.joints).norm(dim=-1).mean(1),
            atol=1e-4,
            rtol=0,
        )
    torch.testing.assert_close(turned.points[..., 2], plain.points[..., 2], equal_nan=True)
    half = {name: value[:1] for name, value in kept.items()}
    same = finish(fields, 0.0, half, 0, torch.Generator().manual_seed(0))
    assert (same.image - plain.image[:1]).abs().mean() < 0.1
    torch.testing.assert_close(same.angles, plain.angles[:1])


def test_pictures_are_learnt_and_pairs_refine(tmp_path, kept):
    torch.manual_seed(0)
    model = begun(TINY, 0)
    before = figures(model.eval(), kept)
    budget = loop(1200, average=8, learning_rate=3e-3, evaluate_every=10**6)
    found = train_on_crops(model, kept, LABELS, budget, 8, tmp_path / "labels", report=silent)
    after = figures(found, kept)
    assert after["fingers_deg"] < 0.9 * before["fingers_deg"] and after["palm_deg"] < 0.7 * before["palm_deg"]
    refined = train_on_crops(
        found,
        kept,
        PAIRS,
        loop(320, average=8, learning_rate=3e-4, kernel_rate=2e-3),
        8,
        tmp_path / "pairs",
        learn_cloud=True,
        report=silent,
    )
    assert figures(refined, kept)["depth_mse"] < after["depth_mse"] and (refined.offsets != 0).any()
    with pytest.raises(InputError, match="another configuration"):
        train_on_crops(model, kept, LABELS, loop(240), 8, tmp_path / "pairs", resume=True, report=silent)


def test_the_twin_and_the_segmenter_run(tmp_path, kept, chunks):
    twin = train_on_crops(
        begun(RefinableConfig(size=48, width=8, points=50, target="joints"), 0),
        kept,
        ("joints",),
        loop(32),
        8,
        tmp_path / "twin",
        report=silent,
    )
    angles, joints = found_by(twin, crops_of(kept).image)
    assert angles.isnan().all() and joints.shape == (16, 21, 3)
    pictures = {
        "image": (255 * chunks[0].image).byte(),
        "mask": (255 * chunks[0].mask).byte(),
    }
    found = train_segmenter(
        HandSegmenter(SegmenterConfig(64, 4)), pictures, loop(16), 8, tmp_path / "masks", report=silent
    )
    assert found(chunks[0].image).shape == (8, 64, 64)


def test_a_killed_run_goes_on_exactly_and_leaves_a_card(tmp_path, monkeypatch):
    config = RefinableTraining(
        TINY,
        loop(24, evaluate_every=99),
        loop(24, evaluate_every=99),
        SYNTH,
        SYNTH,
        batch=8,
        workers=0,
        buffer=16,
        held_out=8,
        reuse=2,
    )
    run(config, tmp_path / "whole", report=silent)
    train = phalanx.train.run.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 4
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.run, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", report=silent)
    monkeypatch.setattr(phalanx.train.run, "train", train)
    run(config, tmp_path / "run", resume=True, report=silent)
    one, other = (load(tmp_path / name / WEIGHTS).state_dict() for name in ("whole", "run"))
    assert all(torch.equal(value, other[name]) for name, value in one.items()) and (one["offsets"] != 0).any()
    card = json.loads((tmp_path / "run" / WEIGHTS).with_suffix(".json").read_text())
    assert [source["labels"] for source in card["data"]] == ["angles", "depth"]


def test_the_command_runs_the_smallest_recipe(tmp_path, capsys):
    recipe = Path(__file__).parents[2] / "recipes" / "refinable_smoke.yaml"
    assert main(["train", "refinable", "--config", str(recipe), "--out", str(tmp_path)]) == 0
    assert f"weights -> {tmp_path / WEIGHTS}" in capsys.readouterr().out


def test_palms_are_compared_on_the_sphere_of_turns():
    angles = torch.zeros(2, 23)
    other = angles.clone()
    other[0, 0], other[1, 2] = 0.5, torch.pi
    assert palm_errors(angles, other).tolist() == pytest.approx([28.648, 180], abs=0.1)


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(InputError, match="pairs: needs pictures of 64 pixels.*and a depth sensor, not 64 and None"):
        prepare(RefinableTraining(TINY, pairs=SynthConfig(size=64)))
