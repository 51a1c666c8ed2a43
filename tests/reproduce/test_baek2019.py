"""The tables of Baek et al. in miniature: rows share trainings and a start, a killed one goes on exactly, masks stand apart."""

import inspect
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import phalanx.train.dense_hand
from phalanx.core.errors import InputError
from phalanx.evaluate.published import published
from phalanx.hand.skeleton import TIPS
from phalanx.metrics.masks import iou, mask_counts
from phalanx.reproduce import baek2019, frozen
from phalanx.reproduce.baek2019 import (
    CONSTANT,
    FIGURES,
    MASK_ROWS,
    MESH,
    NO_EVIDENCE,
    NO_REFINEMENT,
    NO_REFINER,
    OURS,
    ROWS,
    SEGMENTATION,
    Learn,
    reproduce,
)
from phalanx.reproduce.baek2019_masks import MASK_FIGURES
from phalanx.reproduce.baek2019_world import VARIANTS, Scale, World
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
    for name in ("studio", "field_holding"):
        plan = frozen.SETS[name]
        synth = SynthConfig(size=32, chunk=8, scene=plan.config.scene, domain=plan.config.domain, tiles=2, skins=1)
        monkeypatch.setitem(frozen.SETS, name, Plan(synth, plan.seed, plan.count))


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """Speeds are not tried: that takes longer than these trainings."""
    monkeypatch.setattr(baek2019.World, "seconds", lambda world, kind: 1.0)


def silent(line):
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory, cache):
    """A folder with some rows of both tables, what was said, and the report."""
    said: list[str] = []
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baek2019.World, "seconds", lambda world, kind: 1.0)
        for name in ("studio", "field_holding"):
            plan = frozen.SETS[name]
            synth = SynthConfig(size=32, chunk=8, scene=plan.config.scene, domain=plan.config.domain, tiles=2, skins=1)
            patch.setitem(frozen.SETS, name, Plan(synth, plan.seed, plan.count))
        rows = [OURS, NO_REFINEMENT, NO_EVIDENCE, CONSTANT, MESH, SEGMENTATION]
        report = reproduce(folder, "smoke", (1,), rows, cache=cache, say=said.append)
    return folder, said, report


def test_rows_share_trainings_and_a_start(made):
    folder, said, report = made
    (line, masks) = (line for line in said if "trainings to do" in line)
    assert line.startswith("4 trainings to do")  # a start, and three networks for four rows
    assert masks.startswith("1 trainings to do")
    assert sorted(path.name for path in (folder / "runs").iterdir() if "_" in path.name) == [
        "constant_1",
        "evidence_1",
        "full_1",
        "segmentation-network_1",
    ]
    rows = report["baek2019"]["rows"]
    for (scores,) in rows.values():
        assert 5 < scores["studio_3d_mm"] < 500 and 5 < scores["field_tips_3d_mm"] < 500 and len(scores["curve"]) == 51
    text = (folder / "baek2019.md").read_text()
    assert "Error in mm by iterations of refinement, 1 seeds" in text and "Pictures trained on within tau" in text
    assert (folder / "baek2019_progress.png").exists() and (folder / "baek2019.png").exists()


def test_refinement_begins_where_the_row_without_it_ends(made):
    folder, _, report = made
    path = json.loads((folder / "runs" / "full_1" / baek2019.ITERATIONS_FILE).read_text())
    rows = report["baek2019"]["rows"]
    assert len(path["studio"]) == 4
    assert path["studio"][0] == pytest.approx(rows[NO_REFINEMENT][0]["studio_3d_mm"], rel=1e-3)
    assert path["studio"][-1] == pytest.approx(rows[OURS][0]["studio_3d_mm"], rel=1e-3)
    assert path["field_tips"][-1] == pytest.approx(rows[OURS][0]["field_tips_3d_mm"], rel=1e-3)


def test_masks_stand_beside_those_in_print(made):
    folder, _, report = made
    rows = report["baek2019_masks"]["rows"]
    assert set(rows) == {MESH, SEGMENTATION}
    assert rows[MESH][0]["mask_iou_percent"] == pytest.approx(
        report["baek2019"]["rows"][OURS][0]["studio_mask_iou_percent"]
    )
    text = (folder / "baek2019_masks.md").read_text()
    for printed in ("65.13", "82.82", "75.31", "78.88", "52.68", "69.00", "million parameters"):
        assert printed in text, printed
    sheet = cv2.imread(str(folder / "baek2019_full_1.png"))
    assert sheet.shape[1] == 6 * 96 and sheet.std() > 10


def test_a_killed_row_goes_on_exactly(made, tmp_path, cache, monkeypatch):
    train = phalanx.train.dense_hand.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 3  # in the second stage
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.dense_hand, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", "smoke", (1,), [NO_EVIDENCE], cache=cache, say=silent)
    monkeypatch.setattr(phalanx.train.dense_hand, "train", train)
    said: list[str] = []
    again = reproduce(tmp_path / "run", "smoke", (1,), [NO_EVIDENCE], cache=cache, say=said.append)
    assert any(line.startswith("resumed at") for line in said)
    assert again["baek2019"]["rows"][NO_EVIDENCE] == made[2]["baek2019"]["rows"][NO_EVIDENCE]


def test_an_outcome_is_errors_and_pixels():
    random = np.random.default_rng(0)
    errors = random.uniform(0, 60, (5, 42))
    true, found = random.random((5, 8, 8)), random.random((5, 8, 8))
    counted = mask_counts(found, true)
    outcome = np.concatenate([errors, counted, counted[::-1] + 1], 1)
    values = {figure.key: figure.measure(outcome) for figure in FIGURES}
    assert values["studio_3d_mm"] == pytest.approx(errors[:, :21].mean())
    assert values["field_tips_3d_mm"] == pytest.approx(np.mean([errors[:, 21 + tip] for tip in TIPS]))
    assert values["field_3d_mm"] == pytest.approx(errors[:, 21:].mean())
    assert values["studio_mask_iou_percent"] == pytest.approx(100 * iou(counted.sum(0)))
    masks = {figure.key: figure.measure(outcome[:, 42:]) for figure in MASK_FIGURES}
    assert masks["mask_iou_percent"] == values["studio_mask_iou_percent"]
    assert masks["field_mask_iou_percent"] == values["field_mask_iou_percent"]


def test_variants_lack_what_their_rows_say():
    model = read_scale(Scale, "baek2019", "smoke").model
    changed = {name: make(model) for name, make in VARIANTS.items()}
    assert changed["full"] == changed["augmentation"] == model and model.refiner and model.skeleton
    assert not changed["refiner"].refiner and changed["refiner"].skeleton
    evidence = changed["evidence"]
    assert (
        not evidence.refiner
        and not evidence.skeleton
        and not evidence.weights.features
        and not evidence.weights.heat_maps
    )
    assert changed["shape"] == replace(model, weights=replace(model.weights, shape=0.0))
    assert changed["constant"] == replace(model, constant=0.01)
    works = {row.name: row.work for row in ROWS}
    assert {name for name, work in works.items() if not work.refined} == {NO_REFINEMENT, NO_REFINER, NO_EVIDENCE}
    assert {row.name for row in ROWS if row.seeds == "main"} == {OURS, NO_REFINEMENT, NO_REFINER}


def test_rows_go_on_from_the_2d_evidence_of_one_start(tmp_path, cache):
    world = World(read_scale(Scale, "baek2019", "smoke"), tmp_path, cache, "cpu", silent)
    networks = [world.begin(make(world.scale.model), 1) for make in (VARIANTS["full"], VARIANTS["evidence"])]
    one, other = (network.state_dict() for network in networks)
    shared = [name for name in one if name.startswith(("joints.", "features."))]
    assert shared and all(torch.equal(one[name], other[name]) for name in shared)
    fresh = world.begin(world.scale.model, 2).state_dict()
    assert not torch.equal(fresh["features.widen.0.weight"], one["features.widen.0.weight"])  # another seed's start
    assert len(world.studio) == len(world.field) == world.scale.test
    assert torch.equal(world.pictures["joints"], world._studio["joints"][: world.scale.pictures])
    assert world.behind["image"].shape == (world.scale.behind, 3, 32, 32)
    assert all(isinstance(row.work, Learn) for row in ROWS)


def test_rows_and_scales_are_the_papers():
    printed = {figure.method for figure in published(paper="baek_2019") if "Table 2" in figure.where}
    assert {row.published for row in MASK_ROWS} <= printed
    assert len({slug(row) for row in (*ROWS, *MASK_ROWS)}) == len(ROWS) + len(MASK_ROWS)
    assert scale_names("baek2019") == ["cpu", "paper", "smoke"]
    for name in scale_names("baek2019"):
        scale = read_scale(Scale, "baek2019", name)
        assert scale.model.size % 32 == 0 and len(scale.model.widths) == 4  # the segmentation network has as many
        assert scale.model.iterations == 3 and (name == "smoke" or scale.model.refinement == 50)


def test_what_cannot_be_done_is_said(tmp_path, cache):
    with pytest.raises(InputError, match="none of Ours, Ours"):
        reproduce(tmp_path, rows=["all of them"])
    with pytest.raises(InputError, match="the table baek2019 takes no public set, not 'rhd'"):
        reproduce(tmp_path, data={"rhd": tmp_path})
    with pytest.raises(InputError, match="the masks need the row 'Ours' of seed 1; make it first"):
        reproduce(tmp_path / "run", "smoke", (1,), [MESH], cache=cache, say=silent)
