"""The paper's tables in miniature: every kind of row trains, starts and data are shared, a killed run goes on exactly, NYU stands in."""

import inspect
import json
from dataclasses import replace
from importlib import resources

import pytest
import torch
import yaml
from nyu_miniature import points, write

import phalanx.train.run
import phalanx.train.sphere_fitting
from phalanx.core.errors import InputError
from phalanx.data.public import nyu
from phalanx.evaluate.published import published
from phalanx.geometry.alignment import moved
from phalanx.reproduce import frozen, wan2019, wan2019_world
from phalanx.reproduce.nyu import nyu_cubes
from phalanx.reproduce.plan import slug
from phalanx.reproduce.scales import read_scale
from phalanx.reproduce.wan2019 import (
    LONGER,
    MIXED,
    MULTI,
    ON_BOTH,
    ON_SYNTHESIS,
    PAPER,
    ROWS,
    SINGLE,
    STACKED,
    START,
    SUPERVISED,
    reproduce,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Starts and data, trained and drawn once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A recipe still smaller than `smoke`."""
    text = (resources.files("phalanx.reproduce") / "recipes" / "wan2019_smoke.yaml").read_text()
    settings = yaml.safe_load(text) | {"frames": 4, "test": 2, "synthetic_test": 3, "start_batch": 8, "turn": 0.0}
    settings["start"] |= {"samples": 16}
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def unmeasured(monkeypatch):
    """Speeds are not tried: that takes longer than these trainings."""
    monkeypatch.setattr(wan2019, "PAPER", replace(PAPER, seconds=lambda world, kind: 1.0))


@pytest.fixture
def killed(monkeypatch):
    """Makes trainings end after so many steps, as if killed there; returns how to let them live again."""

    def kill(module, steps):
        whole = module.train

        def train(*arguments, **options):
            call = inspect.signature(whole).bind(*arguments, **options)
            call.arguments["stop_after"] = steps
            whole(*call.args, **call.kwargs)
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "train", train)
        return lambda: monkeypatch.setattr(module, "train", whole)

    return kill


def silent(line):
    pass


def test_rows_train_and_tables_share_starts_and_data(tmp_path, cache, tiny, monkeypatch):
    rows = [START, MIXED, ON_SYNTHESIS, ON_BOTH, STACKED, SUPERVISED, LONGER]
    said: list[str] = []
    report = reproduce(tmp_path / "a", tiny, (1,), rows, cache=cache, say=said.append)
    assert sorted(report["rows"]) == sorted(rows)
    (line,) = (line for line in said if "trainings to do" in line)
    assert line.startswith("8 trainings to do: about") and "a few steps tried now" in line  # 3 starts, 5 after them
    for (scores,) in report["rows"].values():
        assert 5 < scores["epe_3d_mm"] < 200 and len(scores["curve"]) == 81
    (begin,), (end,) = report["rows"][START], report["rows"][SUPERVISED]
    gap = begin["epe_3d_mm"] > end["epe_3d_mm"]  # seconds of training may leave none
    assert report["closed"].keys() == ({MIXED, ON_BOTH, LONGER} if gap else set())
    text = (tmp_path / "a" / "wan2019.md").read_text()
    for printed in ("| 22.65 |", "| 13.33 |", "| 6.76 |", "| 12.31 |", "| 12.3 |"):
        assert printed in text
    for said_of in ("Root: none", "Scale: none", "Alignment: none", "sides of the cube", "centimetres", "float32"):
        assert said_of in text
    assert (tmp_path / "a" / "wan2019.png").stat().st_size > 5_000
    saved = json.loads((tmp_path / "a" / "wan2019.json").read_text())
    assert saved["rows"] == report["rows"] and saved["scale"]["frames"] == 4

    monkeypatch.setattr(frozen, "carry_out", None)  # from here on neither starts nor data are made
    monkeypatch.setattr(frozen, "draw_views", None)
    again = reproduce(tmp_path / "b", tiny, (1,), [SUPERVISED, LONGER], cache=cache, say=silent)
    for row in (SUPERVISED, LONGER):  # the same to the last digit
        assert again["rows"][row] == report["rows"][row]


def test_a_killed_row_goes_on_exactly(tmp_path, cache, tiny, unmeasured, killed):
    whole = reproduce(tmp_path / "whole", tiny, (2,), [MULTI], cache=cache, say=silent)
    live = killed(phalanx.train.sphere_fitting, 1)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", tiny, (2,), [MULTI], cache=cache, say=silent)
    live()
    said: list[str] = []
    resumed = reproduce(tmp_path / "run", tiny, (2,), [MULTI], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 12 pictures") for line in said)
    assert resumed["rows"] == whole["rows"]


def test_a_killed_start_goes_on_exactly(tmp_path, cache, tiny, unmeasured, killed):
    whole = reproduce(tmp_path / "a", tiny, (3,), [START], cache=cache, say=silent)
    live = killed(phalanx.train.run, 1)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "b", tiny, (3,), [START], cache=tmp_path / "cache", say=silent)
    live()
    assert reproduce(tmp_path / "b", tiny, (3,), [START], cache=tmp_path / "cache", say=silent)["rows"] == whole["rows"]


def test_all_that_trains_does_so_on_the_device_that_is_asked_for(tmp_path, cache, tiny, monkeypatch):
    scale = read_scale(wan2019_world.Scale, "wan2019", tiny)
    devices, kept = [], wan2019_world.cached_start

    def start(name, prepare, config, *rest):
        devices.append(config.loop.device)
        return kept(name, prepare, replace(config, loop=replace(config.loop, device="cpu")), *rest)

    def label(network, recordings, loop, *rest):
        devices.append(loop.device)
        return network

    def fit(network, recordings, synthetic, mixture, *rest, **options):
        devices.append(mixture.loop.device)
        return network

    monkeypatch.setattr(wan2019_world, "cached_start", start)
    monkeypatch.setattr(wan2019, "train_on_labels", label)
    monkeypatch.setattr(wan2019, "train_on_recordings", fit)
    world = wan2019_world.World(scale, tmp_path, cache, {}, "cuda:1", silent)
    for row in ROWS:
        row.work(world, 1, tmp_path)
    starts = sum(isinstance(row.work, wan2019.Start) for row in ROWS)
    assert devices == ["cuda:1"] * (2 * len(ROWS) - starts)
    with pytest.raises(InputError, match="device: 'nowhere' is not a device"):
        reproduce(tmp_path / "run", tiny, device="nowhere", cache=cache)


def test_rows_are_the_papers():
    own = [row for row in ROWS if row.published is None]
    assert [row.name for row in own] == [SUPERVISED, LONGER]
    tables = [figure for figure in published(paper="wan_2019", metric="mean_mm") if figure.where.startswith("Table")]
    printed = {figure.method for figure in tables if figure.quoted is None}
    assert {row.published for row in ROWS} - {None} | {"ours (stack = 1)"} == printed  # that one is "ours", in Table 2
    assert len({slug(row) for row in ROWS}) == len(ROWS)


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="none of synth"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table wan2019 has no use for 'rhd'; it takes nyu"):
        reproduce(tmp_path, data={"rhd": tmp_path})
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        reproduce(tmp_path, data={"nyu": tmp_path / "nowhere"})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def set_folder(tmp_path, monkeypatch):
    """Both splits of NYU in miniature, of two frames each."""
    for split in ("train", "test"):
        monkeypatch.setitem(nyu.OFFICIAL, split, 2)
        write(tmp_path / "nyu", points(), split)
    return tmp_path / "nyu"


def test_rows_run_on_the_splits_of_nyu(tmp_path, cache, tiny, set_folder, unmeasured, monkeypatch):
    report = reproduce(tmp_path / "run", tiny, (1,), [SINGLE, SUPERVISED], {"nyu": set_folder}, cache=cache, say=silent)
    assert all(5 < runs[0]["epe_3d_mm"] < 400 for runs in report["rows"].values())
    text = (tmp_path / "run" / "wan2019.md").read_text()
    assert "fitted to 4 unlabelled frames of NYU" in text and "NYU's 14 points" in text
    kept = sorted(path.name for path in (tmp_path / "run" / "data").glob("*.safetensors"))
    assert kept == ["nyu_test.safetensors", "nyu_train.safetensors"]  # none of it in the shared cache
    monkeypatch.setattr(wan2019, "SETS", ("nyu",))
    with pytest.raises(InputError, match="holds a run with another data"):
        reproduce(tmp_path / "run", tiny, (1,), [SINGLE], cache=cache, say=silent)
    (set_folder / "train" / "depth_2_0000001.png").unlink()
    with pytest.raises(InputError, match="depth_2_0000001.png: is missing"):
        reproduce(tmp_path / "other", tiny, (1,), [SINGLE], {"nyu": set_folder}, cache=cache, say=silent)


def test_cubes_of_nyu_agree_with_labels_and_cameras(set_folder):
    found = nyu_cubes(set_folder, "test", 5, 64)
    assert found["maps"].shape == (2, 3, 64, 64) and found["points"].shape == (2, 3, 14, 3)
    first = found["joints"][:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(moved(found["to_first"], found["joints"]), first, atol=1e-5, rtol=0)
    dataset = nyu.NYU(set_folder, "test")
    true = dataset.joints_14(3)  # view 2, frame 2
    torch.testing.assert_close(found["points"][1, 1] + found["middles"][1, 1], true, atol=1e-5, rtol=0)
    # The pictures are a wall at 0.7 m; the first view's hand is at 0.6 m
    wall = 0.7 - found["middles"][0, 0, 2]
    assert torch.isclose(found["maps"][0, 0].float(), wall, atol=2e-4).float().mean() > 0.9
    assert len(nyu_cubes(set_folder, "test", 1, 64)["maps"]) == 1
