"""The table of DGGAN in miniature: rows share a start, a killed one goes on exactly, and drawn depth is shown and measured."""

import inspect
import json

import cv2
import pytest
import torch

import phalanx.train.depth_gan
from phalanx.core.errors import InputError
from phalanx.evaluate.published import published
from phalanx.methods.depth_gan import DepthGAN
from phalanx.reproduce import dggan, frozen
from phalanx.reproduce.dggan import (
    DRAWN,
    DRAWN_2D,
    OTHER,
    REGRESSION,
    ROWS,
    START,
    TRUE,
    TRUE_2D,
    Learn,
    Scale,
    World,
    reproduce,
)
from phalanx.reproduce.plan import slug
from phalanx.reproduce.scales import read_scale, scale_names
from phalanx.synth import SynthConfig
from phalanx.synth.sets.sets import Plan


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Starts and pictures, trained and made once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """Sets whose backgrounds and skins take no time."""
    for name, plan in list(frozen.SETS.items()):
        synth = SynthConfig(size=64, chunk=8, domain=plan.config.domain, depth_sensor="domain", tiles=2, skins=1)
        monkeypatch.setitem(frozen.SETS, name, Plan(synth, plan.seed, plan.count))


@pytest.fixture
def unmeasured(monkeypatch):
    """Speeds are not tried: that takes longer than these trainings."""
    monkeypatch.setattr(dggan.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


def test_rows_train_and_share_a_start(tmp_path, cache):
    rows = [START, REGRESSION, DRAWN, TRUE]
    said: list[str] = []
    report = reproduce(tmp_path / "a", "smoke", (1,), rows, cache=cache, say=said.append)
    assert sorted(report["rows"]) == sorted(rows)
    (line,) = (line for line in said if "trainings to do" in line)
    assert line.startswith("4 trainings to do: about") and "a few steps tried now" in line  # a start, 3 after it
    for (scores,) in report["rows"].values():
        assert 5 < scores["epe_3d_mm"] < 200 and 0 <= scores["auc_20_50"] <= 1 and len(scores["curve"]) == 51
    assert report["closed"].keys() == {DRAWN}
    text = (tmp_path / "a" / "dggan.md").read_text()
    for printed in ("| 21.5 |", "| 0.816 |", "| 13.96 |", "| 19.0 |", "| 0.839 |", "| 0.859 |"):
        assert printed in text
    for said_of in ("Root: the depth of the wrist", "Scale: the length", "Alignment: none", f'"{START}"', f'"{DRAWN}"'):
        assert said_of in text
    assert "flat ones" in text and (tmp_path / "a" / "dggan.png").stat().st_size > 5_000
    sheet = cv2.imread(str(tmp_path / "a" / "dggan_regression-dr-dggan_1.png"))
    assert sheet.shape == (2 * 128, 12 * 128, 3)  # 8 pictures, 4 a row: colour, true, drawn
    kept = json.loads((tmp_path / "a" / "runs" / "regression-dr-dggan_1" / "drawn.json").read_text())
    assert 0 < kept["drawn_mm"] < 200 and 0 < kept["flat_mm"] < 60


def test_rows_without_pairs_or_with_places_are_done_again_to_the_digit(tmp_path, cache, unmeasured, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (1,), [OTHER, DRAWN_2D], cache=cache, say=silent)
    train = phalanx.train.depth_gan.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 1
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.depth_gan, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [OTHER], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.depth_gan, "train", train)
    said: list[str] = []
    again = reproduce(tmp_path / "run", "smoke", (1,), [OTHER], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 16 pictures") for line in said)
    assert again["rows"][OTHER] == whole["rows"][OTHER]
    assert (
        len(list((cache / "starts").glob("depth_gan-seed1-*"))) == 2
    )  # with 2D joints in the regularizer, and without


def test_rows_see_what_their_names_say(tmp_path, cache):
    world = World(read_scale(Scale, "dggan", "smoke"), tmp_path, cache, "cpu", silent)
    scale, field = world.scale, world._field
    assert len(field["depth"]) == scale.pictures + scale.others + scale.test
    assert torch.equal(world.others("field")["depth"], field["depth"][scale.pictures : -scale.test])
    assert torch.equal(world.others("studio")["depth"], world.studio["depth"])
    assert torch.equal(world.pictures["joints"], field["joints"][: scale.pictures])
    assert torch.equal(world.test.joints, field["joints"][-scale.test :])
    network = DepthGAN(scale.model)
    names = {row.name: [player.name for player in row.work.players(network)] for row in ROWS if row.name != START}
    for row in (DRAWN, OTHER, DRAWN_2D):
        assert names[row] == ["discriminator", "generator", "pose"]
    for row in (REGRESSION, TRUE, TRUE_2D):
        assert names[row] == ["pose"]
    # as many pictures in as many steps, though depth maps of others count beside
    assert world.loop(3, 2).samples == 2 * world.loop(3, 1).samples == 2 * scale.together.samples
    assert {row.work.regularizer_2d for row in ROWS if isinstance(row.work, Learn) and "2D" in row.name} == {True}


def test_rows_and_scales_are_the_papers():
    printed = {figure.method for figure in published(paper="chen_2020") if "Table 3.1" in figure.where}
    assert {row.published for row in ROWS} - {None} == printed
    assert len({slug(row) for row in ROWS}) == len(ROWS)
    assert scale_names("dggan") == ["cpu", "paper", "smoke"]
    for name in scale_names("dggan"):
        assert read_scale(Scale, "dggan", name).model.size >= 64


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="none of start, Regression"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table dggan takes no public set, not 'rhd'"):
        reproduce(tmp_path, data={"rhd": tmp_path})
    with pytest.raises(InputError, match="device: 'nowhere' is not a device"):
        reproduce(tmp_path / "run", "smoke", device="nowhere", cache=tmp_path)
