"""The table of TAGAN in miniature: rows train on what their names say, share a blender, and a killed one goes on exactly."""

import inspect
import json

import cv2
import pytest
import torch

import phalanx.train.tonality_gan
from phalanx.core.errors import InputError
from phalanx.methods.cycle_gan import CycleGan
from phalanx.methods.tonality_gan import Pix2Pix, TonalityGan
from phalanx.reproduce import frozen, tagan
from phalanx.reproduce.scales import read_scale, scale_names
from phalanx.reproduce.tagan import ALONE, CLEAR, CYCLE, LABELS, PIX, REAL, ROWS, TAGAN, Scale, World, reproduce
from phalanx.synth import SynthConfig
from phalanx.synth.sets.sets import Plan


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Pictures and compositions, made once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Sets whose backgrounds and skins take no time; speeds are not tried, which takes longer than these trainings."""
    for name, plan in list(frozen.SETS.items()):
        synth = SynthConfig(
            size=64, chunk=8, domain=plan.config.domain, depth_sensor=plan.config.depth_sensor, tiles=2, skins=1
        )
        monkeypatch.setitem(frozen.SETS, name, Plan(synth, plan.seed, plan.count))
    monkeypatch.setattr(tagan.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


@pytest.fixture
def world(tmp_path, cache):
    return World(read_scale(Scale, "tagan", "smoke"), tmp_path, cache, "cpu", silent)


def test_rows_train_beside_what_their_names_say(tmp_path, cache):
    said: list[str] = []
    report = reproduce(tmp_path / "a", "smoke", (1,), cache=cache, say=said.append)
    assert sorted(report["rows"]) == sorted(row.name for row in ROWS)
    (line,) = (line for line in said if "trainings to do" in line)
    assert line.startswith("10 trainings to do: about")  # 7 estimators, 3 blenders
    for (scores,) in report["rows"].values():
        assert 5 < scores["epe_3d_mm"] < 300 and 0 <= scores["pck_2d_20"] <= 100 and scores["epe_across_px"] > 0
    text = (tmp_path / "a" / "tagan.md").read_text()
    for printed in (
        "| 15.7 |",
        "| 8.2 |",
        "| 7.0 |",
        "| 0.75 |",
        "| 7.61 |",
        "| 97.0 |",
        "| 24.09 |",
        "| 52.93 |",
        "| 28.81 |",
    ):
        assert printed in text, printed
    for said_of in (
        "the middle finger's first bone is given",
        "no alignment",
        f'"{REAL}"',
        f'"{LABELS}"',
        "TAGAN, by seed: moves",
    ):
        assert said_of in text
    assert {"epe_2d_px", "epe_across_px"} == set(report["other_gains"])
    assert set(report["gains"]) == {ALONE, CLEAR, TAGAN, PIX, CYCLE, LABELS}
    assert (tmp_path / "a" / "tagan.png").stat().st_size > 5_000
    sheet = cv2.imread(str(tmp_path / "a" / "tagan_joints_field-ar-hand-w-tagan_1.png"))
    assert sheet.shape[1] == 12 * sheet.shape[0] / 2
    for kind in ("tagan", "pix2pix", "cyclegan"):
        folder = tmp_path / "a" / "blenders" / f"{kind}_1"
        kept = json.loads((folder / "blended.json").read_text())
        assert set(kept) == {"judged_right", "distance", "moved_px", "varies"}
        assert len(list((folder / "blended").glob("*.png"))) == 1


def test_pictures_of_a_set_go_to_one_place_each(world):
    scale, field = world.scale, world._field
    assert len(field["image"]) == scale.labelled + scale.unlabelled + scale.test
    parts = [world.labelled["image"], world.unlabelled["image"], (255 * world.test.image).round().to(torch.uint8)]
    assert torch.equal(torch.cat(parts), field["image"])
    assert len(world.across) == scale.test


def test_compositions_are_hands_of_studio_with_their_labels_before_pictures_of_field(world):
    made, real = world.compositions, world.unlabelled
    assert len(made["image"]) == world.scale.unlabelled
    apart = (made["image"].float() - real["image"].float()).abs().amax(1)
    plain = (made["image"].float() - made["clear"].float()).abs().amax(1)
    far = apart < 1
    assert far.float().mean() > 0.1 and (plain[far] > 0).float().mean() > 0.5  # what is left of field is not in `clear`
    places = torch.einsum("nij,nkj->nki", made["K"], made["joints"])
    torch.testing.assert_close(places[..., :2] / places[..., 2:], made["joints_2d"], atol=2e-2, rtol=0)


def test_blenders_are_what_they_are_called_and_learn_no_label(world, monkeypatch):
    seen = []
    train = tagan.drawing.train_on_pictures

    def watched(network, feed, *rest):
        batches = feed()
        seen.append((type(network), batches.next(rest[0], rest[1], 1)))
        batches.close()
        return train(network, feed, *rest)

    monkeypatch.setattr(tagan.drawing, "train_on_pictures", watched)
    for kind, expected in (("TAGAN", TonalityGan), ("pix2pix", Pix2Pix), ("CycleGAN", CycleGan)):
        assert type(world.blender(kind, 1)) is expected
        found, batch = seen[-1]
        assert found is expected
        parts = batch.parts.values() if kind == "CycleGAN" else [batch]
        assert all(set(part.present()) == {"image"} for part in parts)


def test_a_killed_blender_goes_on_to_the_digit(tmp_path, cache, monkeypatch):
    whole = reproduce(tmp_path / "whole", "smoke", (1,), [TAGAN], cache=cache, say=silent)
    train = phalanx.train.tonality_gan.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 2
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.tonality_gan, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [TAGAN], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.tonality_gan, "train", train)
    said: list[str] = []
    again = reproduce(tmp_path / "run", "smoke", (1,), [TAGAN], cache=cache, say=said.append)
    assert any(line.startswith("resumed at 16 pictures") for line in said)
    assert again["rows"][TAGAN] == whole["rows"][TAGAN]


def test_scales_and_bad_arguments(tmp_path, cache):
    assert {"smoke", "cpu", "paper"} <= set(scale_names("tagan"))
    for name in ("smoke", "cpu", "paper"):
        scale = read_scale(Scale, "tagan", name)
        assert scale.blender.size == scale.cycle.size == scale.model.size
    with pytest.raises(InputError, match="takes no public set"):
        reproduce(tmp_path, "smoke", (1,), data={"stb": "x"}, cache=cache, say=silent)
    with pytest.raises(InputError, match="none of"):
        reproduce(tmp_path, "smoke", (1,), ["TAGAN"], cache=cache, say=silent)
