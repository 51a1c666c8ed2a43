"""The training of dense hands in miniature: it learns, a killed run goes on exactly in every stage, and masks end at the wrist."""

import inspect
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

import phalanx.train.dense_hand
import phalanx.train.run
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.hand.mesh_parameters import ROOT
from phalanx.hand.skeleton import FOREARM
from phalanx.methods.dense_hand import BACKGROUNDS, LABELLED, DenseHandConfig, load
from phalanx.synth import SynthConfig, stream
from phalanx.train.dense_hand import (
    WEIGHTS,
    DenseHandTraining,
    background_feed,
    begun,
    counts,
    drawn_backgrounds,
    figures,
    found_hands,
    keep_masked,
    mixed,
    prepare,
    run,
    stored_pictures,
    train_on_pictures,
)
from phalanx.train.feed import unpack
from phalanx.train.paired import joined
from phalanx.train.plan import LoopConfig

SYNTH = SynthConfig(size=32, chunk=8, tiles=2, skins=1, domain="studio")
TINY = DenseHandConfig(32, 1, 8, [8, 16], [1, 1], 16, seeds=2, refinement=3)
RECIPES = Path(__file__).parents[2] / "recipes"


def loop(samples, **changes):
    settings = {"evaluate_every": 16, "warmup": 8, "average": 16, "precision": "float32", "kernel_precision": "float32"}
    return LoopConfig(minutes=None, samples=samples, **(settings | changes))


def config(**changes):
    settings = {"synth": SYNTH, "batch": 8, "workers": 0, "buffer": 16, "held_out": 8}
    return DenseHandTraining(TINY, loop(16), loop(16), loop(28), **(settings | changes))


def silent(line):
    pass


def same(first: Path, second: Path) -> bool:
    one, other = (load(folder / WEIGHTS).state_dict() for folder in (first, second))
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def chunks():
    return list(islice(stream(SYNTH, 3, 0), 3))


@pytest.fixture(scope="module", autouse=True)
def quick_stream(chunks):
    """True pictures, but of every stream the same few: quick."""

    def repeated(config, seed, workers=0, start=0):
        while True:
            yield chunks[(seed + start) % len(chunks)]
            start += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phalanx.train.dense_hand, "stream", repeated)
        yield


@pytest.fixture(scope="module")
def pictures(chunks):
    return joined([keep_masked(chunk) for chunk in chunks[:2]])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_stream):
    folder = tmp_path_factory.mktemp("whole")
    run(config(), folder, report=silent)
    return folder


@pytest.mark.parametrize("steps", [1, 3, 5])  # each of the three stages has two
def test_a_killed_run_goes_on_exactly(tmp_path, whole, steps, monkeypatch):
    train = phalanx.train.run.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = steps
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.run, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config(), tmp_path, report=silent)
    monkeypatch.setattr(phalanx.train.run, "train", train)
    assert not (tmp_path / WEIGHTS).exists()
    run(config(), tmp_path, resume=True, report=silent)
    assert same(tmp_path, whole)


def test_a_run_leaves_a_card_and_a_curve_of_its_stages(whole):
    card = json.loads((whole / WEIGHTS).with_suffix(".json").read_text())
    assert [source["labels"] for source in card["data"]] == ["joints, masks"]
    rows = (whole / "curve.csv").read_text().splitlines()
    names = rows[0].split(",")
    for name in ("loss_readout", "loss_articulation", "loss_refiner", "joints_mm", "mask_iou", "features_px_of_224"):
        assert name in names
    last = dict(zip(names, rows[-1].split(","), strict=True))
    assert last["seen"] == "60" and last["loss_readout"] == "" and float(last["loss_articulation"]) > 0


def test_the_command_runs_the_smallest_recipe(tmp_path, capsys):
    recipe = str(RECIPES / "dense_hand_smoke.yaml")
    assert main(["train", "dense_hand", "--config", recipe, "--out", str(tmp_path), "--warm.samples", "8"]) == 0
    assert f"weights -> {tmp_path / WEIGHTS}" in capsys.readouterr().out
    assert main(["train", "dense_hand", "--config", recipe, "--out", str(tmp_path), "--model.size", "64"]) == 2
    assert "synth: needs pictures of 64 pixels" in capsys.readouterr().err


def test_masks_end_at_the_wrist(chunks):
    kept, chunk = keep_masked(chunks[0]), chunks[0]
    forearm = chunk.parts == 1 + FOREARM
    assert bool(forearm.any()) and not kept["mask"][forearm].any()
    hand = (chunk.parts > 0) & ~forearm
    torch.testing.assert_close(kept["mask"][hand].float() / 255, chunk.mask[hand], atol=2e-3, rtol=0)
    with pytest.raises(InputError, match="pictures with masks and parts expected"):
        keep_masked(replace(chunk, parts=None))


def test_backgrounds_are_pictures_without_labels_and_the_same_again():
    feed = background_feed(SYNTH, 5, 4)
    try:
        first, state = feed.next(6, 32, 1), feed.state()
        second = feed.next(6, 32, 1)
    finally:
        feed.close()
    assert first.present().keys() == {"image"} and first.check().image.shape == (6, 3, 32, 32)
    assert not torch.equal(first.image, second.image)
    feed = background_feed(SYNTH, 5, 4)
    try:
        feed.restore(state)
        assert torch.equal(feed.next(6, 32, 1).image, second.image)
    finally:
        feed.close()


def test_a_step_has_a_background_for_each_new_hand(pictures):
    behind = drawn_backgrounds(SYNTH, 1, 12)
    feed = mixed(stored_pictures(pictures, 1), background_feed(SYNTH, 1), TINY, 8)
    try:
        batch = feed.next(14, 32, 1)
    finally:
        feed.close()
    assert isinstance(batch, Mixture) and counts(TINY, 8) == (8, 6) and counts(TINY, 1) == (1, 3)
    assert len(batch.get(LABELLED)) == 8 and len(batch.get(BACKGROUNDS)) == 6 and len(behind["image"]) == 12
    assert float(batch.get(LABELLED).mask.max()) == 1


def test_pictures_are_learnt_and_what_is_found_is_measured(tmp_path, pictures):
    sample = unpack(pictures)
    model = begun(replace(TINY, rate=0.02, refinement=10), 0)
    before = figures(model.eval(), sample)
    loops = loop(480, average=8, learning_rate=5e-3, evaluate_every=1000), loop(80, average=8, evaluate_every=1000)
    behind = drawn_backgrounds(SYNTH, 1, 12)
    trained = train_on_pictures(model, pictures, behind, loops, 8, tmp_path, report=silent).requires_grad_(False)
    after = figures(trained, sample)
    assert after["joints_mm"] < 0.8 * before["joints_mm"] and after["px_of_224"] < 0.8 * before["px_of_224"]
    assert 0 <= after["below_tau"] <= 1 and 0 < after["mask_iou"] <= 1
    found = found_hands(trained, sample, 3, batch=5)
    torch.testing.assert_close(found.joints[:, ROOT, 2], sample.joints[:, ROOT, 2])  # the root's depth is given
    assert found.path.shape == (4, 16, 21, 3) and found.masks.shape == (16, 32, 32)
    torch.testing.assert_close(found.path[-1], found.joints)
    plain = found_hands(trained, sample)
    torch.testing.assert_close(found.path[0], plain.joints, atol=1e-4, rtol=0)
    error = 1000 * (plain.joints - sample.joints).norm(dim=-1).mean()
    assert float(error) == pytest.approx(after["joints_mm"], rel=1e-4) and plain.path is None


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(InputError, match="synth: needs pictures of 32 pixels, the model's size, with masks, not 64"):
        prepare(config(synth=SynthConfig(size=64)))
    with pytest.raises(InputError, match="MANO_RIGHT.pkl"):
        prepare(config(mano=tmp_path / "MANO_RIGHT.pkl"))
