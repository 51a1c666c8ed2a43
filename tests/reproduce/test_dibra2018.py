"""The tables of Dibra et al. 2018 in miniature: rows train, share a start and end in four tables; their data are what their names say."""

import inspect

import cv2
import pytest
import torch

import phalanx.train.refinable
from phalanx.core.errors import InputError
from phalanx.hand.pose_space import base_poses
from phalanx.methods.refinable import PALM, RefinableConfig, RefinableNet
from phalanx.reproduce import dibra2018, frozen
from phalanx.reproduce.dibra2018 import (
    ALL_ROWS,
    ANGLES,
    BESIDE,
    CRAFTED,
    FIXED,
    GESTURES,
    HSN,
    LEARNT,
    NEAR,
    ON_ANGLES,
    ON_POSITIONS,
    OSN_SYNTH,
    POSITIONS,
    START,
    UNREFINED,
    Scale,
    World,
    cloud_distance,
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
    """Sets whose backgrounds and skins take no time, and few unseen pictures of Table 4."""
    for name in ("studio", "field"):
        plan = frozen.SETS[name]
        synth = SynthConfig(size=48, chunk=8, domain=name, depth_sensor="domain", tiles=2, skins=1)
        monkeypatch.setitem(frozen.SETS, name, Plan(synth, plan.seed, plan.count))
    monkeypatch.setattr(dibra2018, "TESTED", 16)
    monkeypatch.setattr(dibra2018, "FOLDS", 2)
    monkeypatch.setattr(dibra2018.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


def test_all_rows_train_and_end_in_four_tables(tmp_path, cache):
    made = reproduce(tmp_path, "smoke", (1,), None, cache=cache, say=silent)
    assert list(made) == ["dibra2018", "dibra2018_targets", "dibra2018_gestures", "dibra2018_masks"]
    scores = {row: found[0] for table in made.values() for row, found in table["rows"].items()}
    assert scores.keys() == {row.name for row in ALL_ROWS}
    for row in (START, FIXED, LEARNT, BESIDE, ANGLES, POSITIONS):
        assert (
            10 < scores[row]["joints_mm"] < 200
            and 0 <= scores[row]["angle_auc"] <= 1
            and scores[row]["palm_deg"] <= 180
        )
    assert scores[START]["cloud_mm"] == scores[FIXED]["cloud_mm"] != scores[LEARNT]["cloud_mm"]
    assert scores[ON_POSITIONS]["position_mse"] > 0 and scores[ON_ANGLES]["angle_mse"] > 0
    assert 0 <= scores[CRAFTED]["wrong_percent"] <= 100 and 0 <= scores[HSN]["IoU_percent"] <= 100
    assert len(list((cache / "starts").glob("refinable-seed1-*"))) == 2  # of angles, and of joints
    text = "".join((tmp_path / f"{name}.md").read_text() for name in made)
    for said in ("361.47", "0.199", "42.829", "ms a picture", "gives no unit", "True masks", "r = 25.0 mm"):
        assert said in text
    sheet = cv2.imread(str(tmp_path / "dibra2018_refnet_1.png"))
    assert sheet.shape == (6 * 128, 12 * 128, 3)  # 12 hands, two a row: crop, input, prediction and error twice


def test_a_killed_row_goes_on_exactly(tmp_path, cache, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (1,), [LEARNT], cache=cache, say=silent)
    train = phalanx.train.refinable.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 2
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.refinable, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [LEARNT], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.refinable, "train", train)
    again = reproduce(tmp_path / "run", "smoke", (1,), [LEARNT], cache=cache, say=silent)
    assert again["dibra2018"]["rows"] == whole["dibra2018"]["rows"]


def test_rows_see_what_their_names_say(tmp_path, cache):
    world = World(read_scale(Scale, "dibra2018", "smoke"), tmp_path, cache, "cpu", silent)
    scale = world.scale
    assert len(world.pairs["image"]) == scale.pairs and len(world.test("field")["image"]) == scale.test
    assert len(world.test("studio")["image"]) == 16 and len(world.source["image"]) == scale.source
    # angles of labelled frames are those of the mean hand, near the true ones
    off = torch.rad2deg(world.fitted["angles"] - world.pairs["angles"])[:, PALM:].abs()
    assert float(off.median()) < 6
    kept, labels = world.gestures
    assert set(labels) <= set(range(GESTURES)) and len(labels) > 20
    poses = torch.stack([pose.float() for pose in base_poses().values()])[:, PALM:]
    crafted = kept["crafted"][:, PALM:]
    assert (torch.cdist(crafted, poses).amin(1) < 1e-2).all() and torch.equal(
        kept["crafted"][:, :PALM], kept["angles"][:, :PALM]
    )
    assert float(torch.rad2deg(crafted - kept["angles"][:, PALM:]).square().mean(1).sqrt().max()) < NEAR


def test_a_cloud_is_as_far_as_it_is():
    network = RefinableNet(RefinableConfig(size=48, width=8, points=300))
    mean, small = torch.zeros(10), torch.tensor([1.5] + [0.0] * 9)
    far = cloud_distance(network, small)
    assert cloud_distance(network, mean) < 0.01 and 1 < far < 10
    with torch.no_grad():
        network.near = torch.eye(300)
        hand = network.hand
        corners, weights = dibra2018.surface_points(hand, 300)
        shaped = torch.einsum("nk,nki->ni", weights, (hand.template + hand.shape_basis @ small)[corners])
        network.offsets.copy_(10 * (shaped - network.rest))
    assert cloud_distance(network, small) < 0.01


def test_rows_and_scales():
    assert len({slug(row) for row in ALL_ROWS}) == len(ALL_ROWS)
    assert scale_names("dibra2018") == ["cpu", "paper", "smoke"]
    for name in scale_names("dibra2018"):
        assert read_scale(Scale, "dibra2018", name).model.size % 16 == 0
    assert {UNREFINED, OSN_SYNTH} <= {row.name for row in ALL_ROWS}


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="rows: 'all of them' is none of SynthNet, RefNet"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table dibra2018 takes no public set, not 'stb'"):
        reproduce(tmp_path, data={"stb": tmp_path})
    with pytest.raises(InputError, match="device: 'nowhere' is not a device"):
        reproduce(tmp_path / "run", "smoke", device="nowhere", cache=tmp_path)
