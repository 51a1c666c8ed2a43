"""The table of MVHM in miniature: rows share the network of one view, a killed one goes on exactly, several views are shown and counted."""

import json
from dataclasses import replace

import cv2
import pytest
import torch

import phalanx.train.multi_view
from phalanx.core.errors import InputError
from phalanx.evaluate.published import published
from phalanx.methods.multi_view import MultiView
from phalanx.reproduce import mvhm
from phalanx.reproduce.mvhm import (
    BEST,
    ROWS,
    SEVERAL,
    SEVERAL_SET,
    SINGLE,
    SINGLE_SET,
    STEREO,
    STEREO_RIG,
    SUREST,
    TRIANGULATED,
    Scale,
    World,
    by_count,
    errors_of,
    reproduce,
    seen_by_one,
)
from phalanx.reproduce.plan import slug
from phalanx.reproduce.scales import read_scale, scale_names
from phalanx.synth import SynthConfig
from phalanx.train.multi_view import framed


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Networks and pictures, trained and made once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """Pictures whose backgrounds and skins take no time; speeds are not tried."""

    def small(**settings):
        return SynthConfig(**settings, chunk=8, tiles=2, skins=1)

    monkeypatch.setattr(mvhm, "SynthConfig", small)
    monkeypatch.setattr(mvhm.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory, cache):
    scale = replace(read_scale(Scale, "mvhm", "smoke"), workers=0)
    return World(scale, tmp_path_factory.mktemp("run"), cache, "cpu", silent)


def test_rows_train_and_share_the_network_of_one_view(tmp_path, cache):
    rows = [SINGLE_SET, SEVERAL, SEVERAL_SET, STEREO, TRIANGULATED, SUREST, BEST]
    said: list[str] = []
    report = reproduce(tmp_path / "a", "smoke", (1,), rows, cache=cache, say=said.append)
    assert list(report["rows"]) == rows
    (line,) = (line for line in said if "trainings to do" in line)
    assert line.startswith("5 trainings to do")  # three of one view, two that join
    assert len(list((cache / "starts").glob("multi_view-seed1-*"))) == 3
    for (scores,) in report["rows"].values():
        assert 2 < scores["epe_3d_mm"] < 300 and 0 <= scores["auc_0_50"] <= scores["auc_20_50"] <= 1
    assert report["rows"][BEST][0]["epe_3d_mm"] <= report["rows"][SUREST][0]["epe_3d_mm"]
    text = (tmp_path / "a" / "mvhm.md").read_text()
    for printed in ("| 18.09 |", "| 8.43 |", "| 5.20 |", "| 0.990 |", "| 8.95 |", "| 0.820 |"):
        assert printed in text
    for said_of in ("Root: the depth of the wrist", "Scale: the length", "Alignment: none", "mean of what all say"):
        assert said_of in text
    kept = json.loads((tmp_path / "a" / "runs" / "mv-w-mvhm_1" / "views.json").read_text())
    assert list(kept) == ["1", "2", "3", "mean of all"]
    assert kept["3"] == pytest.approx(report["rows"][SEVERAL_SET][0]["epe_3d_mm"], rel=1e-4)
    sheet = cv2.imread(str(tmp_path / "a" / "mvhm_mv-w-mvhm_1.png"))
    assert sheet.shape == (4 * 192, 3 * 192, 3)  # 4 frames, 3 views


def test_a_killed_row_is_done_again_to_the_digit(tmp_path, cache, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (1,), [SEVERAL], cache=cache, say=silent)
    train = phalanx.train.multi_view.train

    def killed(*arguments, **options):
        train(*arguments, **options, stop_after=5)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.multi_view, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [SEVERAL], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.multi_view, "train", train)
    said: list[str] = []
    again = reproduce(tmp_path / "run", "smoke", (1,), [SEVERAL], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 20 pictures") for line in said)
    assert again["rows"][SEVERAL] == whole["rows"][SEVERAL]


def test_rows_see_what_their_names_say(world):
    scale = world.scale
    assert len(world.pictures(scale.rig)["image"]) == 3 * scale.hands
    assert len(world.test(scale.rig)["image"]) == scale.test
    assert "vertices" in world.studio and "vertices" not in world.pictures(scale.rig)
    assert world.single(3, False, scale.rig).mesh_hands == 0 < world.single(3, True, scale.rig).mesh_hands
    assert world.single(3, True, STEREO_RIG).hands == scale.stereo_hands
    bones = (world.pictures(STEREO_RIG)["joints"][:, 5] - world.pictures(STEREO_RIG)["joints"][:, 0]).norm(dim=-1)
    assert float(bones.std()) < 1e-5  # one person
    bones = (world.pictures(scale.rig)["joints"][:, 5] - world.pictures(scale.rig)["joints"][:, 0]).norm(dim=-1)
    assert float(bones.std()) > 1e-3
    both = {row.name: row.work.single_training if hasattr(row.work, "single_training") else row.work for row in ROWS}
    assert len(both) == len(ROWS)


def test_errors_are_absolute_and_from_the_wrist():
    truth = torch.zeros(1, 21, 3)
    found = truth + torch.tensor([0.003, 0.0, 0.004])
    errors = errors_of(found, truth)
    torch.testing.assert_close(errors[:, :21], torch.full((1, 21), 5.0))
    assert not errors[:, 21:].any()


def test_errors_by_the_number_of_views(world):
    torch.manual_seed(0)
    network = MultiView(world.scale.model).eval()
    views = seen_by_one(network, world.test(world.scale.rig))
    found = by_count(network, views)
    mean = 1000 * float((views.predicted.mean(1) - views.joints).norm(dim=-1).mean())
    assert found["mean of all"] == pytest.approx(mean)
    assert found["1"] != found["2"]
    assert found == by_count(network, views)
    assert len(framed(world.pictures(world.scale.rig), 3)["K"]) == world.scale.hands


def test_rows_and_scales_are_the_papers():
    printed = {(f.method, f.dataset) for f in published(paper="chen_2020") if "Table 5.2" in f.where}
    assert {(row.published, row.dataset or "mhp") for row in ROWS if row.published} == printed
    assert len({slug(row) for row in ROWS}) == len(ROWS)
    assert scale_names("mvhm") == ["cpu", "paper", "smoke"]
    for name in scale_names("mvhm"):
        assert read_scale(Scale, "mvhm", name).model.size >= 64
    assert [row.name for row in ROWS if row.seeds == "main"] == [SINGLE, SINGLE_SET, SEVERAL, SEVERAL_SET]
    assert next(row for row in ROWS if row.name == STEREO).dataset == "stb"


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="none of SV w/o MVHM"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table mvhm takes no public set, not 'mhp'"):
        reproduce(tmp_path, data={"mhp": tmp_path})
