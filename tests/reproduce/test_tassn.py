"""The table of TASSN in miniature: rows share stages 1 and 2, a killed one goes on exactly, figures are what they say."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.evaluate.published import published
from phalanx.reproduce import tassn
from phalanx.reproduce.plan import slug
from phalanx.reproduce.scales import read_scale, scale_names
from phalanx.reproduce.tassn import (
    COLUMNS,
    FIGURES,
    LABELS,
    POSE,
    ROWS,
    WHOLE,
    WITHOUT,
    Scale,
    World,
    begin_again,
    outcome_of,
    reproduce,
)
from phalanx.synth import SynthConfig
from phalanx.train.temporal import Seen, begun


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Networks and clips, trained and made once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """Clips whose backgrounds and skins take no time, made in this process; speeds are not tried."""
    drawn = tassn.drawn_clips

    def small(**settings):
        return SynthConfig(**(settings | {"chunk": 8, "tiles": 2, "skins": 1}))

    monkeypatch.setattr(tassn, "SynthConfig", small)
    monkeypatch.setattr(
        tassn, "drawn_clips", lambda config, seed, count, workers, masks: drawn(config, seed, count, 0, masks)
    )
    monkeypatch.setattr(tassn.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory, cache):
    return World(read_scale(Scale, "tassn", "smoke"), tmp_path_factory.mktemp("run"), cache, "cpu", silent)


def test_rows_train_and_share_the_start(tmp_path, cache):
    rows = [WITHOUT, WHOLE, LABELS, "start, stages 1 and 2 alone", "mean pose", "TASSN and prior", "TASSN from nothing"]
    said: list[str] = []
    report = reproduce(tmp_path / "a", "smoke", (1,), rows, cache=cache, say=said.append)
    assert list(report["rows"]) == rows
    (line,) = (line for line in said if "trainings to do" in line)
    assert line.startswith("6 trainings to do")  # the start, and stage 3 of five
    assert len(list((cache / "starts").glob("temporal-seed1-*"))) == 1
    for (scores,) in report["rows"].values():
        assert 2 < scores["epe_3d_mm"] < 400 and 0 <= scores["auc_0_50"] <= scores["auc_20_50"] <= 1
        assert np.isfinite([scores[figure.key] for figure in FIGURES]).all()
    assert report["rows"]["mean pose"][0]["both_ways_mm"] == 0
    text = (tmp_path / "a" / "tassn.md").read_text()
    for printed in ("| 24.2 |", "| 11.3 |", "| 0.773 |", "| 0.972 |"):
        assert printed in text
    for said_of in (
        "Root: the wrist's depth is given",
        "Scale: the length",
        "Alignment: none",
        "The jitter of the truth",
    ):
        assert said_of in text
    sheet = cv2.imread(str(tmp_path / "a" / "tassn_tassn_1.png"))
    assert sheet.shape == (2 * 192, 6 * 192, 3)  # 2 clips, 4 frames, two meshes


def test_a_killed_row_is_done_again_to_the_digit(tmp_path, cache, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (1,), [POSE], cache=cache, say=silent)
    train = tassn.train

    def killed(*arguments, **options):
        train(*arguments, **options, stop_after=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(tassn, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [POSE], cache=cache, say=silent)
    monkeypatch.setattr(tassn, "train", train)
    said: list[str] = []
    again = reproduce(tmp_path / "run", "smoke", (1,), [POSE], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 2 pictures") for line in said)
    assert again["rows"][POSE] == whole["rows"][POSE]


def test_rows_see_what_their_names_say(world):
    scale = world.scale
    assert "vertices" not in world.clips(False) and "silhouette" in world.clips(False)
    assert "vertices" in world.clips(True) and "vertices" in world.studio
    parts = [world.clips(False)["image"], world.validation()["image"], world.test()["image"]]
    assert [len(part) for part in parts] == [scale.clips, scale.validation, scale.test]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not any(torch.equal(a, b) for a in parts[one] for b in parts[other])
    weights = {row.name: row.work.config(scale).weights for row in ROWS if hasattr(row.work, "config")}
    printed = weights[WHOLE]
    assert (printed.silhouette, printed.heat_maps, printed.pose_consistency, printed.mesh_consistency) == (
        0.1,
        1,
        10,
        10,
    )
    assert (weights[WITHOUT].pose_consistency, weights[WITHOUT].mesh_consistency) == (0, 0)
    assert (weights[POSE].pose_consistency, weights[POSE].mesh_consistency) == (10, 0)
    for name in (WITHOUT, POSE, WHOLE, LABELS, "TASSN from nothing"):
        assert weights[name].project == weights[name].bones == weights[name].prior == 0  # as printed
    assert weights["TASSN and bones"].bones == scale.bones > 0 == weights["TASSN and bones"].prior


def test_from_nothing_forgets_mesh_and_pose_alone(world):
    network, other = (begun(world.scale.model, seed) for seed in (0, 0))
    begin_again(network, 5)
    before, after = other.state_dict(), network.state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"trunk", "surface", "reader"}


def test_figures_of_known_errors(world):
    kept = world.test()
    truth = kept["joints"]
    off = torch.tensor([0.003, 0.0, 0.004])
    flat = torch.zeros(truth.shape[:2])
    outcome = outcome_of(Seen(truth + off, truth, truth, flat, flat), kept, 10.0)
    assert outcome.errors.shape == (truth.shape[0] * truth.shape[1], COLUMNS)
    found = {figure.key: figure.measure(outcome.errors) for figure in FIGURES}
    assert found["epe_3d_mm"] == pytest.approx(5, abs=1e-3) and found["relative_mm"] == pytest.approx(0, abs=1e-3)
    assert found["both_ways_mm"] == pytest.approx(5, abs=1e-3) and found["acceleration"] == pytest.approx(0, abs=1e-3)
    assert found["mesh_depth"] == 0
    true_depth = outcome.errors[:, 46].reshape(truth.shape[:2])
    whole = outcome_of(Seen(truth, truth, truth, torch.from_numpy(true_depth), flat), kept, 10.0)
    assert FIGURES[-1].measure(whole.errors) == pytest.approx(100)
    shaken = truth.clone()
    shaken[:, 1::2] += off
    shaken = outcome_of(Seen(shaken, truth, truth, flat, flat), kept, 10.0)
    assert FIGURES[4].measure(shaken.errors) == pytest.approx(2 * 0.005 * 100, rel=1e-3)  # |1 - 2 + 1| of 5 mm at 10 Hz


def test_rows_and_scales_are_the_papers():
    printed = {f.method for f in published(paper="chen_2020") if "Table 4.1" in f.where}
    assert {row.published for row in ROWS if row.published} == printed
    assert len({slug(row) for row in ROWS}) == len(ROWS)
    assert scale_names("tassn") == ["cpu", "paper", "smoke"]
    for name in scale_names("tassn"):
        scale = read_scale(Scale, "tassn", name)
        assert scale.frames >= 4 and scale.model.window <= scale.frames
    assert [row.name for row in ROWS if row.seeds == "main"][:4] == [WITHOUT, POSE, WHOLE, LABELS]


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="none of TASSN w/o L_c"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table tassn takes no public set, not 'stb'"):
        reproduce(tmp_path, data={"stb": tmp_path})
