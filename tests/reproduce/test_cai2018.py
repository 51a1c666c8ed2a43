"""The comparisons of Cai et al. in miniature: every kind of row trains, starts and pictures are shared, a killed run goes on exactly."""

import inspect
import json
from dataclasses import replace

import pytest

import phalanx.train.depth_regularizer
from phalanx.core.errors import InputError
from phalanx.evaluate.published import published
from phalanx.reproduce import cai2018, frozen
from phalanx.reproduce.cai2018 import ADAPTED, FULL, FULL_MAPS, PALM, ROWS, SOURCE_MAPS, START, TWO_D, reproduce
from phalanx.reproduce.scales import read_scale, scale_names


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Starts and pictures, made once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """Speeds are not tried: that takes longer than these trainings."""
    monkeypatch.setattr(cai2018.World, "seconds", lambda world, kind: 1.0)


@pytest.fixture(autouse=True, scope="module")
def small_sets():
    """Sets of few backgrounds and skins, which take long to paint."""
    patch = pytest.MonkeyPatch()
    for name, plan in frozen.SETS.items():
        small = replace(plan, config=replace(plan.config, tiles=2, skins=1, chunk=8))
        patch.setitem(frozen.SETS, name, small)
    yield
    patch.undo()


def silent(line):
    pass


def test_rows_train_and_share_start_and_pictures(tmp_path, cache, monkeypatch):
    rows = [START, TWO_D, ADAPTED, FULL, SOURCE_MAPS, PALM]
    report = reproduce(tmp_path / "a", "smoke", (1,), rows, cache=cache, say=silent)
    assert sorted(report["rows"]) == sorted(rows)
    for (scores,) in report["rows"].values():
        assert 5 < scores["epe_3d_mm"] < 400 and 0 < scores["z_mm"] < scores["epe_3d_mm"] and len(scores["curve"]) == 51
    assert report["closed"].keys() == {ADAPTED}
    text = (tmp_path / "a" / "cai2018.md").read_text()
    for printed in ("| 0.667 |", "| 0.807 |", "| 0.889 |", "0.031", "0.6 mm", "Alignment: none"):
        assert printed in text
    for sheet in ("joints", "depth"):
        assert len(list((tmp_path / "a").glob(f"cai2018_{sheet}_*_1.png"))) == len(rows)
    saved = json.loads((tmp_path / "a" / "cai2018.json").read_text())
    assert saved["rows"] == report["rows"]

    monkeypatch.setattr(frozen, "carry_out", None)  # from here on neither starts nor pictures are made
    monkeypatch.setattr(frozen, "make_set", None)
    again = reproduce(tmp_path / "b", "smoke", (1,), [ADAPTED], cache=cache, say=silent)
    assert again["rows"][ADAPTED] == report["rows"][ADAPTED]


def test_a_killed_row_goes_on_exactly(tmp_path, cache, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (2,), [ADAPTED], cache=cache, say=silent)
    alive = phalanx.train.depth_regularizer.train

    def killed(*arguments, **options):
        call = inspect.signature(alive).bind(*arguments, **options)
        call.arguments["stop_after"] = 1
        alive(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.depth_regularizer, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (2,), [ADAPTED], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.depth_regularizer, "train", alive)
    said: list[str] = []
    resumed = reproduce(tmp_path / "run", "smoke", (2,), [ADAPTED], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 8 pictures") for line in said)
    assert resumed["rows"] == whole["rows"]


def test_rows_that_the_paper_has_bear_its_names():
    printed = {figure.method for figure in published(paper="cai_2018")}
    assert {row.published for row in ROWS if row.seeds == "main"} - {FULL} <= printed
    assert {row.name for row in ROWS} >= {START, TWO_D, ADAPTED, FULL, FULL_MAPS, SOURCE_MAPS, PALM}


@pytest.mark.parametrize("scale", scale_names("cai2018"))
def test_scales_can_be_read(scale):
    found = read_scale(cai2018.Scale, "cai2018", scale)
    assert found.batch % 2 == 0 and found.model.size % 32 == 0


def test_public_sets_are_refused(tmp_path):
    with pytest.raises(InputError, match="takes no public set, not 'stb'"):
        reproduce(tmp_path, "smoke", data={"stb": tmp_path}, say=silent)
