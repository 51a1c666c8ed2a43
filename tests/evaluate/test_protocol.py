"""The mechanics of protocols on a set made up here, whose hands' joints are known."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset
from phalanx.data.sample import Sample
from phalanx.evaluate import dexter_object, freihand, mhp, rhd, stb
from phalanx.evaluate.protocol import Protocol, Truth, evaluate_set, joint_figures
from phalanx.evaluate.rooted import known_depth_joints, with_palm
from phalanx.evaluate.steps import Steps
from phalanx.metrics.curves import zimmermann_0_50

COUNT = 5
K = np.array([[200.0, 0, 79.5], [0, 200.0, 59.5], [0, 0, 1]])


def hands() -> np.ndarray:
    """(COUNT, 21, 3) metres: fingers fanned out, each hand turned and placed in another way."""
    finger, step = np.divmod(np.arange(20), 4)
    angle = np.deg2rad(np.array([60, 15, 0, -15, -30]))[finger]
    reach = 0.06 + 0.025 * step
    flat = np.zeros((21, 3))
    flat[1:] = np.stack([np.sin(angle) * reach, -np.cos(angle) * reach, 0.01 * step], -1)
    random = np.random.default_rng(0)
    turns = np.linalg.qr(random.standard_normal((COUNT, 3, 3))).Q
    turns *= np.linalg.det(turns)[:, None, None]
    return flat @ turns + [0.0, 0.0, 0.5] + 0.02 * random.standard_normal((COUNT, 1, 3))


def seen(joints: np.ndarray) -> np.ndarray:
    pixels = joints @ K.T
    return pixels[..., :2] / pixels[..., 2:]


class Made(Dataset):
    name, splits, licence = "Made", ("evaluation",), "none"
    hidden = 3  # joint that is not visible

    @classmethod
    def recognises(cls, folder):
        return True

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        joints = hands()[[index]]
        visible = torch.ones(1, 21)
        visible[:, self.hidden] = 0
        return Sample(
            image=torch.zeros(1, 3, 120, 160), joints=torch.from_numpy(joints), joints_2d=torch.from_numpy(seen(joints)),
            K=torch.from_numpy(K)[None], ids=torch.tensor([[0, index, 0]]), visible=visible,
        )  # fmt: skip


@dataclass
class Found:
    joints: np.ndarray
    joints_2d: np.ndarray
    vertices: np.ndarray | None = None


class Told:
    """A predictor that knows the truth up to a change, and misses some hands."""

    def __init__(self, change, missed=()):
        self.change, self.missed, self.asked = change, missed, []

    def __call__(self, image, box, K, side):
        index = len(self.asked)
        self.asked.append((image.shape, box, side))
        if index in self.missed:
            return []
        joints = self.change(hands()[index])
        return [Found(joints, seen(joints))]


RHD = replace(rhd.PROTOCOL, dataset=Made)
FREIHAND = replace(freihand.PROTOCOL, dataset=Made)


def test_perfect_predictions_have_no_error_and_saved_ones_score_the_same(tmp_path):
    predictor = Told(
        lambda joints: 1.3 * (joints - joints[0]) + [0, 0, 1.0]
    )  # another root and scale: both are taken out
    report = evaluate_set(RHD, tmp_path, Steps(predictor, save=tmp_path / "p.npz", json_path=tmp_path / "s.json"))
    assert report["runs"] == ["phalanx"] and report["hands"] == COUNT and report["phalanx"]["missed"] == 0
    assert report["phalanx"]["mean_mm"] == pytest.approx(0, abs=1e-6)
    assert report["phalanx"]["auc_0_50"] == pytest.approx(1, abs=0.03)  # 0 is not reached by rounding
    assert json.loads((tmp_path / "s.json").read_text()) == report
    again = evaluate_set(RHD, tmp_path, Steps(predictions=tmp_path / "p.npz"))
    assert again == report
    # the box holds all joints, with room
    for (height, width, _), (left, top, side, _), which in predictor.asked:
        pixels = seen(hands()[predictor.asked.index(((height, width, 3), (left, top, side, side), which))]) + 0.5
        assert which == "right" and (pixels > [left, top]).all() and (pixels < [left + side, top + side]).all()
        assert side == pytest.approx(max(1.6 * np.ptp(pixels, axis=0).max(), 25.6))


def test_errors_are_those_of_visible_joints_alone(tmp_path):
    def change(joints):
        moved = joints.copy()
        moved[Made.hidden] += 1.0  # nobody sees it
        moved[8] += [0.0, 0.0, 0.02]
        return moved

    figures = evaluate_set(RHD, tmp_path, Steps(Told(change)))["phalanx"]
    assert figures["mean_mm"] == pytest.approx(20 / 20)  # one of 20 visible joints by 20 mm
    assert figures["mean_over_all_mm"] == pytest.approx(1.0)
    assert figures["joints_within"][-1] == 1 and figures["joints_within"][1] == pytest.approx(19 / 20)


def test_missed_hands_count_as_wrong(tmp_path):
    figures = evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: joints + 1e-6, missed=(1,))))["phalanx"]
    assert figures["missed"] == 1 and figures["mean_mm"] is None
    assert figures["joints_within"][-1] == pytest.approx(4 / 5)
    with pytest.raises(InputError, match="no hand was found"):
        evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: joints, missed=range(COUNT))))


@pytest.mark.parametrize("missed", [(1, 2), (1, 2, 3)])
def test_a_median_of_many_missed_hands_is_none_and_the_file_is_written(tmp_path, missed):
    """Of five joints three are always missed: their median is infinite, which JSON does not hold."""
    report = evaluate_set(
        RHD, tmp_path, Steps(Told(lambda joints: joints + 1e-6, missed), json_path=tmp_path / "s.json")
    )
    assert json.loads((tmp_path / "s.json").read_text()) == report
    figures = report["phalanx"]
    assert (figures["median_mm"] is None) == (figures["median_over_all_mm"] is None) == (len(missed) == 3)


@pytest.mark.parametrize(
    ("field", "change", "sentence"),
    [
        ("joints", lambda a: a.__setitem__((1, 7, 2), np.nan), "hand 0_1_0: joints has numbers that are not finite"),
        ("joints", lambda a: a.__setitem__((2, 3), np.inf), "hand 0_2_0: joints has numbers"),
        ("joints", lambda a: a.__setitem__(2, np.inf), "hand 0_2_0: joints has numbers"),
        ("joints_2d", lambda a: a.__setitem__((4, 0, 0), np.nan), "hand 0_4_0: joints_2d has numbers"),
        ("joints_2d", lambda a: a.__setitem__(slice(1, 3), np.nan), "hand 0_1_0: joints_2d are NaN but joints are not"),
        ("joints", lambda a: a.__setitem__(3, np.nan), "hand 0_3_0: joints are NaN but joints_2d are not"),
    ],
)
def test_a_hand_is_missed_or_whole(tmp_path, field, change, sentence):
    evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: joints + 1e-6), save=tmp_path / "p.npz"))
    arrays = dict(np.load(tmp_path / "p.npz"))
    change(arrays[f"phalanx/{field}"])
    np.savez(tmp_path / "q.npz", **arrays)
    with pytest.raises(InputError, match=f"q.npz: phalanx: {sentence}"):
        evaluate_set(RHD, tmp_path, Steps(predictions=tmp_path / "q.npz"))


def test_a_predictor_that_answers_with_half_a_hand_is_named(tmp_path):
    with pytest.raises(InputError, match="predictor: hand 0_0_0: joints has numbers that are not finite"):
        evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: np.where(np.arange(21)[:, None] == 5, np.nan, joints))))


def test_freihand_compares_in_the_cameras_frame_and_aligned(tmp_path):
    perfect = evaluate_set(FREIHAND, tmp_path, Steps(Told(lambda joints: 2.0 * joints)))["phalanx"]
    assert perfect["mean_mm_scaled"] == pytest.approx(0, abs=1e-6)  # twice as large, twice as far: the scale is known
    assert perfect["mean_mm"] == pytest.approx(1e3 * np.linalg.norm(hands(), axis=-1).mean())  # theirs: as it is
    beside = evaluate_set(FREIHAND, tmp_path, Steps(Told(lambda joints: joints + [0.03, 0, 0.04])))["phalanx"]
    assert beside["mean_mm"] == pytest.approx(50) and beside["mean_mm_aligned"] == pytest.approx(0, abs=1e-6)
    assert beside["auc_0_50_aligned"] > 0.99


def test_what_cannot_be_scored_is_refused(tmp_path):
    class Unlabelled(Made):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), joints=None)

    with pytest.raises(InputError, match="Made evaluation has hands without picture or joints"):
        evaluate_set(replace(RHD, dataset=Unlabelled), tmp_path, Steps(Told(lambda joints: joints)))
    with pytest.raises(InputError, match="none.npz"):
        evaluate_set(RHD, tmp_path, Steps(predictions=tmp_path / "none.npz"))
    with pytest.raises(InputError, match="give no predictor"):
        evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: joints), predictions=tmp_path / "p.npz"))


def test_the_palm_stands_for_the_wrist_and_is_seen_where_either_end_is():
    joints = hands()
    palm = with_palm(joints, 9)
    np.testing.assert_allclose(palm[:, 0], (joints[:, 0] + joints[:, 9]) / 2)
    np.testing.assert_array_equal(palm[:, 1:], joints[:, 1:])
    visible = np.zeros((COUNT, 21), bool)
    visible[:, 9] = True
    truth = Truth(("",) * COUNT, joints, seen(joints), np.ones_like(visible), visible)
    wrong = joints.copy()
    wrong[:, 1:9] += 1.0  # not visible
    assert rhd.score_rhd(wrong, truth)["mean_mm"] == pytest.approx(0, abs=1e-9)


def test_figures_pool_joints_as_zimmermanns_code_does():
    errors = np.array([[0.0, 10.0], [20.0, 30.0], [40.0, 80.0]])
    valid = np.array([[True, True], [True, False], [True, False]])
    figures = joint_figures(errors, valid, {"0_50": zimmermann_0_50()})
    assert figures["mean_mm"] == pytest.approx((20 + 10) / 2) and figures["mean_over_all_mm"] == pytest.approx(70 / 4)
    assert figures["median_mm"] == pytest.approx((20 + 10) / 2)
    slow = np.mean([[(e <= t).mean() for t in zimmermann_0_50()] for e in (errors[:, 0], errors[:1, 1])], axis=0)
    np.testing.assert_allclose(figures["joints_within"], slow)
    assert figures["auc_0_50"] == pytest.approx(np.trapezoid(slow, zimmermann_0_50()) / 50)


def test_protocols_name_their_set_and_split():
    for protocol in (*(module.PROTOCOL for module in (rhd, stb, mhp, freihand, dexter_object)), stb.PROTOCOL_SK):
        assert isinstance(protocol, Protocol) and protocol.split in protocol.dataset.splits
        assert Path(rhd.__file__).with_name(f"{protocol.name.removesuffix('_sk')}.py").is_file()


class Beside(Told):
    """Joints, and pixels of its own."""

    def __init__(self, joints, pixels):
        super().__init__(lambda joints: joints)
        self.joints, self.pixels = joints, pixels

    def __call__(self, image, box, K, side):
        index = len(self.asked)
        super().__call__(image, box, K, side)
        return [Found(self.joints[index], self.pixels[index])]


def test_with_the_wrists_depth_known_joints_lie_where_they_are_seen(tmp_path):
    """Another root and scale are taken out of depth; the place in the picture is not, though roots and scales agree."""
    true = hands()
    elsewhere = 0.7 * (true - true[:, :1]) + [0.3, 0.2, 0.1]  # in a frame of its own
    figures = evaluate_set(RHD, tmp_path, Steps(Beside(elsewhere, seen(true))))["phalanx"]
    assert figures["mean_mm_known_depth"] == pytest.approx(0, abs=1e-6) and figures["auc_0_50_known_depth"] > 0.97
    assert figures["z_mean_mm_known_depth"] == pytest.approx(0, abs=1e-6)
    shifted = seen(true) + [4.0, 3.0]  # pixels: 5 / 200 of the depth
    figures = evaluate_set(RHD, tmp_path, Steps(Beside(elsewhere, shifted)))["phalanx"]
    seen_joints = np.arange(21) != Made.hidden
    assert figures["mean_mm_known_depth"] == pytest.approx(1e3 * 5 / 200 * true[:, seen_joints, 2].mean())
    assert figures["mean_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["z_mean_mm_known_depth"] == pytest.approx(0, abs=1e-6)


def test_errors_in_depth_are_those_of_the_scaled_hand_about_its_wrist(tmp_path):
    """Joint by joint by hand: z of the true wrist, and the scaled difference of predicted depths."""
    true, random = hands(), np.random.default_rng(3)
    predicted = true + 0.01 * random.standard_normal(true.shape)
    figures = evaluate_set(RHD, tmp_path, Steps(Beside(predicted, seen(true) + random.standard_normal((COUNT, 21, 2)))))
    expected = []
    for n in range(COUNT):
        lengths = [np.linalg.norm(points[n, 10] - points[n, 9]) for points in (true, predicted)]
        for j in set(range(21)) - {Made.hidden}:
            z = true[n, 0, 2] + lengths[0] / lengths[1] * (predicted[n, j, 2] - predicted[n, 0, 2])
            expected.append(abs(z - true[n, j, 2]))
    assert figures["phalanx"]["z_mean_mm_known_depth"] == pytest.approx(1e3 * np.mean(expected))


def test_joints_of_known_depth_are_seen_where_they_were_predicted():
    random = np.random.default_rng(1)
    pixels = seen(hands()) + random.standard_normal((COUNT, 21, 2))
    placed = known_depth_joints(hands() * 1.3, pixels, hands(), np.tile(K, (COUNT, 1, 1)))
    np.testing.assert_allclose(seen(placed), pixels, atol=1e-9)
    np.testing.assert_allclose(placed[:, 0, 2], hands()[:, 0, 2])


def test_the_file_is_named_when_its_hands_cannot_be_scored_and_pixels_may_be_left_out(tmp_path):
    evaluate_set(RHD, tmp_path, Steps(Told(lambda joints: joints + 1e-6), save=tmp_path / "p.npz"))
    arrays = dict(np.load(tmp_path / "p.npz"))
    np.savez(tmp_path / "q.npz", **(arrays | {"phalanx/joints": 1e3 * arrays["phalanx/joints"]}))
    with pytest.raises(InputError, match="q.npz: predicted: .*metres and the other in millimetres"):
        evaluate_set(RHD, tmp_path, Steps(predictions=tmp_path / "q.npz"))
    np.savez(tmp_path / "q.npz", **(arrays | {"phalanx/joints_2d": np.zeros((COUNT, 21, 2))}))
    figures = evaluate_set(RHD, tmp_path, Steps(predictions=tmp_path / "q.npz"))["phalanx"]
    assert figures["mean_mm"] < 1e-3 and "mean_mm_known_depth" not in figures


def test_sets_without_cameras_have_no_figures_of_known_depth(tmp_path):
    class Blind(Made):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), K=None)

    figures = evaluate_set(replace(RHD, dataset=Blind), tmp_path, Steps(Told(lambda joints: joints)))["phalanx"]
    assert "mean_mm" in figures and "mean_mm_known_depth" not in figures


def test_stbs_palm_lies_between_wrist_and_ring_finger(tmp_path):
    perfect = evaluate_set(
        replace(stb.PROTOCOL, dataset=Made, split="evaluation"), tmp_path, Steps(Told(lambda joints: 0.7 * joints))
    )
    assert perfect["phalanx"]["mean_mm"] == pytest.approx(0, abs=1e-6)

    def change(joints):
        moved = joints.copy()
        moved[0] += [0.0, 0.0, 0.02]  # the palm moves half as far, and all other joints with it
        return moved

    figures = evaluate_set(replace(stb.PROTOCOL, dataset=Made, split="evaluation"), tmp_path, Steps(Told(change)))[
        "phalanx"
    ]
    assert figures["mean_mm"] == pytest.approx(10 * 20 / 21)


def test_mhps_palm_lies_between_wrist_and_middle_finger(tmp_path):
    def change(joints):
        moved = 0.8 * joints
        moved[0] += [0.0, 0.0, 0.016]  # 20 mm after scaling; the palm moves half as far, and all other joints with it
        return moved

    figures = evaluate_set(replace(mhp.PROTOCOL, dataset=Made, split="evaluation"), tmp_path, Steps(Told(change)))[
        "phalanx"
    ]
    assert figures["mean_mm"] == pytest.approx(10 * 20 / 21)


def test_fingertips_are_compared_about_their_centroid():
    joints = hands()
    valid = np.zeros((COUNT, 21), bool)
    valid[:, [4, 8, 12]] = True
    valid[0] = False
    valid[0, 4] = True  # one tip alone: left out
    truth = Truth(("",) * COUNT, joints, seen(joints), valid, valid)
    predicted = 1.7 * joints + [0.1, 0.2, 0.3]
    predicted[:, 16] += 1.0  # not labelled
    figures = dexter_object.score_dexter_object(predicted, truth)
    assert figures["frames"] == COUNT - 1 and figures["mean_mm"] == pytest.approx(0, abs=1e-9)
    predicted[:, 8] += [0.05, 0, 0]
    assert dexter_object.score_dexter_object(predicted, truth)["mean_mm"] > 5
    with pytest.raises(InputError, match="no frame has two labelled tips"):
        dexter_object.score_dexter_object(
            predicted[:1], Truth(("",), joints[:1], seen(joints[:1]), valid[:1], valid[:1])
        )
