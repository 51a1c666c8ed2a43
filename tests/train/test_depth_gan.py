"""DGGAN's training in miniature: it learns, a killed run goes on exactly in either stage, and depth is measured in millimetres."""

import inspect
import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn

import phalanx.train.paired
import phalanx.train.run
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.methods.depth_gan import DepthGAN, DepthGANConfig, depths_of, joints_2d_of, load, relative_map
from phalanx.synth import SynthConfig, stream
from phalanx.train.depth_gan import (
    WEIGHTS,
    DepthGANTraining,
    drawn_errors,
    figures,
    keep_depth,
    players_of_pose,
    prepare,
    run,
    train_on_pictures,
)
from phalanx.train.paired import camera_joints, drawn_pictures, restored
from phalanx.train.plan import LoopConfig

SYNTH = SynthConfig(size=64, chunk=8, tiles=2, skins=1, domain="field", depth_sensor="domain")
TINY = DepthGANConfig(stages=2, width=8, hidden=16, generator=4, discriminator=4, regularizer=16)


def loop(samples, **changes):
    settings = {"evaluate_every": 16, "warmup": 8, "average": 16, "precision": "float32", "kernel_precision": "float32"}
    return LoopConfig(minutes=None, samples=samples, **(settings | changes))


def config(**changes):
    settings = {"pairs": SYNTH, "synth": SYNTH, "batch": 8, "workers": 0, "buffer": 16, "held_out": 8}
    return DepthGANTraining(TINY, loop(24), loop(48), **(settings | changes))


def silent(line):
    pass


def same(first: Path, second: Path) -> bool:
    one, other = (load(folder / WEIGHTS).state_dict() for folder in (first, second))
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def chunks():
    return list(islice(stream(SYNTH, 3, 0), 4))


@pytest.fixture(scope="module", autouse=True)
def quick_stream(chunks):
    """True pictures, but of every stream the same few: quick."""

    def repeated(config, seed, workers=0, start=0):
        while True:
            yield chunks[(seed + start) % len(chunks)]
            start += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phalanx.train.paired, "stream", repeated)
        yield


@pytest.fixture(scope="module")
def pictures(quick_stream):
    return drawn_pictures(SYNTH, 0, 16, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_stream):
    folder = tmp_path_factory.mktemp("whole")
    run(config(), folder, report=silent)
    return folder


@pytest.mark.parametrize("steps", [2, 4])  # the start has three, what follows has three
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


def test_a_run_leaves_a_card_and_a_curve_of_both_stages(whole):
    card = json.loads((whole / WEIGHTS).with_suffix(".json").read_text())
    assert [source["labels"] for source in card["data"]] == ["joints, depth", "joints", "depth of others"]
    rows = (whole / "curve.csv").read_text().splitlines()
    names = rows[0].split(",")
    for name in ("loss_generator_pairs", "loss_generator_depth_map", "loss_pose_heat_maps", "joints_mm", "drawn_mm"):
        assert name in names
    last = dict(zip(names, rows[-1].split(","), strict=True))
    assert last["seen"] == "72" and last["loss_generator_pairs"] == "" and float(last["loss_generator_depth_map"]) > 0


def test_the_command_runs_the_smallest_recipe(tmp_path, capsys):
    recipe = Path(__file__).parents[2] / "recipes" / "depth_gan_smoke.yaml"
    assert main(["train", "depth_gan", "--config", str(recipe), "--out", str(tmp_path), "--loop.samples", "8"]) == 0
    assert f"weights -> {tmp_path / WEIGHTS}" in capsys.readouterr().out
    assert main(["train", "depth_gan", "--config", str(recipe), "--out", str(tmp_path), "--model.size", "128"]) == 2
    assert "pairs: needs pictures of 128 pixels" in capsys.readouterr().err


def test_pictures_are_learnt_and_unpaired_depth_is_all_that_is_judged(tmp_path, pictures):
    torch.manual_seed(0)
    model, sample = DepthGAN(TINY), restored(pictures)
    before = figures(model.eval(), sample)
    budget = loop(640, average=8, learning_rate=3e-3, evaluate_every=1000)
    trained = train_on_pictures(model, pictures, None, budget, 8, tmp_path / "pose", players_of_pose, report=silent)
    after = figures(trained, sample)
    assert after["joints_mm"] < 0.8 * before["joints_mm"] and after["drawn_mm"] == pytest.approx(before["drawn_mm"])

    def together(folder, colour, **options):
        torch.manual_seed(1)
        others = {"depth": pictures["depth"][8:]}
        return train_on_pictures(
            DepthGAN(TINY), colour, others, loop(32), 8, tmp_path / folder, report=silent, **options
        )

    own = {name: value[:8] for name, value in pictures.items()}
    blind = {**own, "depth": torch.zeros_like(own["depth"])}
    one, other = (together(name, kept).state_dict() for name, kept in (("own", own), ("blind", blind)))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(InputError, match="another configuration"):
        together("own", blind, resume=True)


def test_errors_of_drawn_maps_are_millimetres(pictures):
    depth = restored(pictures).depth
    drawn = relative_map(depth)
    assert float(drawn_errors(drawn, depth).max()) < 1e-3
    span = [float(d[d > 0].quantile(0.98) - d[d > 0].quantile(0.02)) for d in depth]
    read = [(d > 0) for d in depth]
    shifted = (drawn + 0.1).clamp_max(1.0)
    for number in (0, 5):
        off = (shifted[number] - drawn[number])[read[number]].mean() * span[number] * 1000
        assert float(drawn_errors(shifted, depth)[number]) == pytest.approx(float(off), rel=0.02)
    assert drawn_errors(drawn[:1], torch.zeros_like(depth[:1])).isnan().all()


def test_true_places_and_depths_are_the_true_joints(pictures):
    sample = restored(pictures)

    class Knowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return joints_2d_of(sample), depths_of(sample)

    found = camera_joints(Knowing(), sample, batch=len(sample))
    torch.testing.assert_close(found, sample.joints, atol=1e-4, rtol=0)


def test_depth_that_is_judged_is_the_hands(pictures, chunks):
    assert torch.equal(keep_depth(chunks[0])["depth"], pictures["depth"][:8])
    read = pictures["depth"] > 0
    assert 0.02 < float(read.float().mean()) < 0.6


def test_what_does_not_fit_is_said():
    with pytest.raises(
        InputError, match="synth: needs pictures of 64 pixels, the model's size, and a depth sensor, not 64 and None"
    ):
        prepare(config(synth=SynthConfig(size=64)))
