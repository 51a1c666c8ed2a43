"""The protocol on pictures made up here: a flat square for a hand, whose tips are where they are told to be."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.evaluate.hgr import evaluate_hgr, hgr_table, paired_tips, score_hgr
from phalanx.evaluate.hgr_labels import SIZE, HGRTruth
from phalanx.evaluate.predictions import JointPredictions
from phalanx.evaluate.report import write_report
from phalanx.evaluate.steps import Steps
from phalanx.geometry.crops import SquareBox
from phalanx.hand.skeleton import TIPS

WIDTH, HEIGHT = 160, 120
LEFT, TOP, RIGHT, BOTTOM = 40, 20, 100, 110  # edges of the skin
K = np.array([[200.0, 0, 79.5], [0, 200.0, 59.5], [0, 0, 1]])
NAMES = ("ThumbTip", "IndexTip", "MiddleTip", "RingTip", "LittleTip")


def tips_of(index: int) -> np.ndarray:
    """(5, 2) pixels of the picture."""
    return np.random.default_rng(index).uniform([LEFT, TOP], [RIGHT, BOTTOM], (5, 2))


@dataclass
class Hand:
    joints: np.ndarray
    joints_2d: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None
    K: np.ndarray
    width: int = WIDTH
    height: int = HEIGHT


def hand_at(tips: np.ndarray, right: float = RIGHT, surface: bool = True) -> Hand:
    """A hand half a metre away whose tips are seen at `tips` (5, 2), its surface a rectangle from `LEFT`, `TOP` to `right`, `BOTTOM`."""
    pixels = np.zeros((21, 2))
    pixels[list(TIPS)] = tips

    def lift(places):
        return np.concatenate([(places - K[:2, 2]) * 0.5 / 200, np.full((len(places), 1), 0.5)], 1)

    corners = np.array([[LEFT, TOP], [right, TOP], [right, BOTTOM], [LEFT, BOTTOM]]) - 0.5  # edges, in pixel centres
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Hand(lift(pixels), pixels, lift(corners) if surface else None, faces if surface else None, K)


class Told:
    """A predictor that is told its answers in turn; None: no hand."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, image, box, side):
        self.asked.append((image.shape, box, side))
        answer = self.answers[len(self.asked) - 1]
        return [] if answer is None else [answer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures: all five tips by name, and three of them that are called Tip."""
    skin = np.zeros((HEIGHT, WIDTH), bool)
    skin[TOP:BOTTOM, LEFT:RIGHT] = True
    places = [
        tmp_path / f"hgr1_{p}" for p in ("images/original_images", "skin/skin_masks", "feature_pts/feature_points")
    ]
    for place in places:
        place.mkdir(parents=True)
    for index, names in enumerate((dict(enumerate(NAMES)), {4: "Tip", 1: "Tip", 2: "Tip"})):
        name = f"{index + 1}_P_hgr1_id01_1"
        cv2.imwrite(str(places[0] / f"{name}.jpg"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        Image.fromarray(~skin).save(places[1] / f"{name}.bmp")
        tips = tips_of(index)
        points = "".join(
            f'<FeaturePoint category="{c}" x="{tips[finger][0]}" y="{tips[finger][1]}"/>' for finger, c in names.items()
        )
        (places[2] / f"{name}.xml").write_text(f"<image><hand>{points}</hand></image>")
    return tmp_path


def evaluate(folder, *args, **options):
    return evaluate_hgr(folder, Steps(*args, **options), whole=False, splits=("hgr1",))


def test_perfect_predictions_have_no_error_and_saved_ones_score_the_same(folder):
    predictor = Told(hand_at(tips_of(0)), hand_at(tips_of(1)))
    report = evaluate(folder, predictor, save=folder / "p.npz", json_path=folder / "s.json")
    figures = report["phalanx"]
    assert (report["pictures"], figures["missed"], figures["tips"], figures["pictures_fitted"]) == (2, 0, 8, 2)
    for key in ("fingertip_squared_error_px2", "fingertip_squared_error_px2_any_tips"):
        assert figures[key] == pytest.approx(0, abs=1e-9)
    assert figures["fingertip_mean_px_as_seen"] == pytest.approx(0, abs=1e-9)
    assert figures["mask_iou"] > 0.98 and figures["mask_accuracy"] > 0.98
    assert json.loads((folder / "s.json").read_text()) == report
    assert evaluate(folder, predictions=folder / "p.npz") == report
    for shape, (left, top, width, height), side in predictor.asked:
        assert (shape, side) == ((HEIGHT, WIDTH, 3), "auto") and width == height == pytest.approx(1.1 * 90)
        assert (left + width / 2, top + height / 2) == pytest.approx(((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2))


def test_errors_are_in_pixels_of_the_square(folder):
    moved = tips_of(0) + [[0, 0], [0, 0], [3, 4], [0, 0], [0, 0]]
    figures = evaluate(folder, Told(hand_at(moved), hand_at(tips_of(1))))["phalanx"]
    pixels = 5 * SIZE / 99  # the skin is 90 pixels high, the square 99
    assert figures["fingertip_squared_error_px2_as_seen"] == pytest.approx(pixels**2 / 8)
    assert figures["fingertip_mean_px_as_seen"] == pytest.approx(pixels / 8)
    assert figures["tips_within"][1] == 7 / 8 and figures["tips_within"][-1] == 1
    assert 0 < figures["fingertip_squared_error_px2"] < figures["fingertip_squared_error_px2_as_seen"]  # the fit helps


def test_a_shift_and_a_scale_of_the_tips_are_taken_out_by_the_fit_alone(folder):
    figures = evaluate(folder, Told(hand_at(0.5 * tips_of(0) + 7), hand_at(tips_of(1) + [2, 0])))["phalanx"]
    assert figures["fingertip_squared_error_px2"] == pytest.approx(0, abs=1e-9)
    assert figures["fingertip_mean_px_as_seen"] > 1


def test_pictures_of_few_tips_are_not_fitted(folder):
    path = folder / "hgr1_feature_pts/feature_points/2_P_hgr1_id01_1.xml"
    path.write_text('<image><hand><FeaturePoint category="Tip" x="50" y="50"/></hand></image>')
    figures = evaluate(folder, Told(hand_at(tips_of(0)), hand_at(tips_of(1))))["phalanx"]
    assert (figures["pictures_with_tips"], figures["pictures_fitted"], figures["tips"]) == (2, 1, 6)
    nearest = np.linalg.norm(tips_of(1) - 50, axis=1).min() * SIZE / 99
    assert figures["fingertip_mean_px_as_seen"] == pytest.approx(nearest / 6)
    assert figures["fingertip_squared_error_px2_any_tips"] == pytest.approx(0, abs=1e-9)


def test_masks_are_counted_in_the_square(folder):
    half = hand_at(tips_of(0), right=(LEFT + RIGHT) / 2)
    figures = evaluate(folder, Told(half, hand_at(tips_of(1), right=RIGHT + 40)))["phalanx"]
    # first: half of the skin is found, nothing else; second: all, and what of the 40 pixels lies in the square, 19.5
    found, skin, square = (30 + 60) * 90, 2 * 60 * 90, 2 * 99 * 99
    wrong = 19.5 * 90
    assert figures["mask_iou"] == pytest.approx(found / (skin + wrong), abs=0.01)
    assert figures["mask_precision"] == pytest.approx(found / (found + wrong), abs=0.01)
    assert figures["mask_recall"] == pytest.approx(found / skin, abs=0.01)
    assert figures["mask_accuracy"] == pytest.approx(1 - (skin - found + wrong) / square, abs=0.01)
    assert figures["mask_iou_mean"] == pytest.approx((0.5 + 60 / 79.5) / 2, abs=0.01)
    assert figures["mask_f1"] == pytest.approx(2 * found / (found + wrong + skin), abs=0.01)


def test_missed_hands(folder):
    figures = evaluate(folder, Told(hand_at(tips_of(0) + 0.01), None))["phalanx"]
    assert figures["missed"] == 1 and figures["tips_within"][-1] == pytest.approx(5 / 8)
    assert figures["fingertip_mean_px_as_seen"] < 0.1 and figures["mask_recall"] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(InputError, match="no hand was found in any picture with labelled tips"):
        evaluate(folder, Told(None, None))
    bare = evaluate(folder, Told(*(hand_at(tips_of(i), surface=False) for i in range(2))))["phalanx"]
    assert bare["mask_recall"] == 0


def test_predictions_of_others_may_have_no_masks(folder):
    evaluate(folder, Told(hand_at(tips_of(0)), hand_at(tips_of(1))), save=folder / "p.npz")
    arrays = dict(np.load(folder / "p.npz"))
    np.savez(folder / "small.npz", **(arrays | {"phalanx/masks": arrays["phalanx/masks"][:, 1:]}))
    with pytest.raises(InputError, match="masks must have shape .2, 225, 225., have .2, 224, 225."):
        evaluate(folder, predictions=folder / "small.npz")
    np.savez(folder / "grey.npz", **(arrays | {"phalanx/masks": arrays["phalanx/masks"].astype(float)}))
    with pytest.raises(InputError, match="phalanx/masks: booleans of shape"):
        evaluate(folder, predictions=folder / "grey.npz")
    del arrays["phalanx/masks"]
    np.savez(folder / "none.npz", **arrays)
    figures = evaluate(folder, predictions=folder / "none.npz")["phalanx"]
    assert "mask_iou" not in figures and figures["tips"] == 8
    with pytest.raises(InputError, match="give no predictor and no save"):
        evaluate(folder, Told(), predictions=folder / "none.npz")


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_those_of_least_total_distance(seed):
    """Against all orders in which the unnamed tips may belong to fingers."""
    random = np.random.default_rng(seed)
    predicted, tips = random.uniform(0, 225, (2, 4, 5, 2))
    labelled = np.arange(5) < random.integers(1, 6, (4, 1))
    fingers = np.full((4, 5), -1)
    fingers[0, 0] = 3  # the first tip of the first picture is named
    true, valid = paired_tips(predicted, tips, fingers, labelled)
    for n in range(4):
        count = int(labelled[n].sum())
        orders = [p for p in itertools.permutations(range(5), count) if n or p[0] == 3]
        costs = [sum(np.linalg.norm(tips[n, i] - predicted[n, f]) for i, f in enumerate(order)) for order in orders]
        best = orders[int(np.argmin(costs))]
        assert sorted(best) == np.flatnonzero(valid[n]).tolist()
        np.testing.assert_array_equal(true[n, list(best)], tips[n, :count])


def test_names_are_kept_where_another_finger_is_nearer():
    predicted = np.array([[[0, 0], [100, 0], [200, 0], [300, 0], [400, 0]]], float)
    tips, labelled = np.zeros((1, 5, 2)), np.array([[True, False, False, False, False]])
    named, valid = paired_tips(predicted, tips, np.array([[4, -1, -1, -1, -1]]), labelled)
    assert valid.tolist() == [[False] * 4 + [True]] and named[0, 4].tolist() == [0, 0]


def test_bounds_hold_the_figure():
    random = np.random.default_rng(0)
    count = 30
    joints = random.uniform(-0.1, 0.1, (count, 21, 3))
    run = JointPredictions(random.uniform(0, 225, (count, 21, 2)), joints, np.ones(count))
    truth = HGRTruth(
        ("",) * count,
        (SquareBox(112, 112, SIZE),) * count,
        random.uniform(0, 225, (count, 5, 2)),
        np.tile(np.arange(5), (count, 1)),
        np.ones((count, 5), bool),
        np.zeros((count, SIZE, SIZE), np.uint8),
        0,
        {},
    )
    figures = score_hgr(run, truth)
    name = "fingertip_squared_error_px2"
    assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]
    shown = np.square(run.joints_2d[:, list(TIPS)] - truth.tips).sum(-1)
    assert figures[f"{name}_as_seen"] == pytest.approx(shown.mean())


def test_table_and_page_have_the_published_figures_beside(folder):
    report = evaluate(folder, Told(hand_at(tips_of(0) ** 1.01), hand_at(tips_of(1))), json_path=folder / "s.json")
    text = hgr_table(report)
    assert "361.47" in text and "804.23" in text and "three labelled tips or more" in text
    page = write_report([folder / "s.json"], folder / "out").read_text()
    assert "361.47" in page and "three labelled tips or more" in page and "](hgr.png)" in page
