"""InterHand2.6M's protocols on a miniature in its layout, and on real pictures where they are there."""

from pathlib import Path

import numpy as np
import pytest
from interhand_miniature import read, right_hand, write, write_real, write_set
from told_predictor import Told

from phalanx.core.errors import InputError
from phalanx.data.public import interhand as reader
from phalanx.evaluate.interhand import PROTOCOL, PROTOCOL_HUMAN, SingleHands, score_interhand
from phalanx.evaluate.protocol import Truth, evaluate_set
from phalanx.evaluate.steps import Steps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(reader.OFFICIAL, "test", 3)
    return write_set(tmp_path)


def hands() -> np.ndarray:
    """The two single hands, the left one mirrored."""
    return np.stack([right_hand(), right_hand() - [0.1, 0, 0]])


def truth(sides: list[int], valid: np.ndarray | None = None) -> Truth:
    """Labels of hands of these sides (1 is left)."""
    joints = np.stack([right_hand()] * len(sides))
    keys = tuple(f"0_{number}_{2 * 400026 + side}" for number, side in enumerate(sides))
    known = np.ones(joints.shape[:2], dtype=bool) if valid is None else valid
    return Truth(keys, joints, joints[..., :2], known, known)


def test_single_hands_are_scored_under_each_alignment(folder):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    told = Told(1.2 * (hands() - hands()[:, :1]) + [0, 0, 0.6])
    report = evaluate_set(PROTOCOL, folder, Steps(told, save=folder / "p.npz"))
    assert report["hands"] == len(told.asked) == 2 and report["whole"]
    arms = np.linalg.norm(hands() - hands()[:, :1], axis=-1)
    assert report["phalanx"]["mean_mm"] == pytest.approx(200 * arms.mean(), rel=1e-4)
    assert report["phalanx"]["mean_mm_scaled"] == pytest.approx(0, abs=1e-3)
    assert evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "p.npz")) == report
    turned = evaluate_set(PROTOCOL, folder, Steps(Told(1.2 * hands() @ turn)))["phalanx"]
    assert turned["mean_mm_aligned"] == pytest.approx(0, abs=1e-3) and turned["mean_mm_scaled"] > 50


def test_means_are_of_each_joint_of_each_side_first():
    predicted = np.stack([right_hand()] * 3)
    predicted[2, 8] += [0, 0, 0.042]  # of the only left hand
    figures = score_interhand(predicted, truth([0, 0, 1]))
    assert figures["mean_mm"] == pytest.approx(42 / 42) and figures["mean_over_all_mm"] == pytest.approx(42 / 63)


def test_joints_that_are_not_valid_do_not_count():
    valid = np.ones((3, 21), dtype=bool)
    valid[0, 8] = False
    valid[1, 2:] = False  # wrist and one more: neither a scale nor an orientation
    predicted = np.stack([right_hand()] * 3) * 1.1
    predicted[0, 8] += 1
    predicted[1, 2:] += 1
    figures = score_interhand(predicted, truth([0, 1, 1], valid))
    arms = np.where(valid, np.linalg.norm(right_hand() - right_hand()[0], axis=-1), np.nan)
    assert figures["mean_over_all_mm"] == pytest.approx(100 * np.nanmean(arms))
    assert figures["mean_mm_scaled"] == pytest.approx(0, abs=1e-6)
    assert figures["mean_mm_aligned"] == pytest.approx(0, abs=1e-6)
    only = score_interhand(predicted[1:2], truth([1], valid[1:2]))
    assert only["mean_over_all_mm"] == pytest.approx(100 * np.nanmean(arms[1])) and "mean_mm_scaled" not in only


def test_hands_that_people_annotated_are_a_protocol_of_their_own(folder):
    with pytest.raises(InputError, match=r"aid_human_annot_test\.txt: is missing, the list of annotations that people"):
        evaluate_set(PROTOCOL_HUMAN, folder, Steps(Told(hands())))
    (folder / "aid_human_annot_test.txt").write_text("1\n2\n")
    told = Told(hands()[1:])
    report = evaluate_set(PROTOCOL_HUMAN, folder, Steps(told))
    assert report["hands"] == len(told.asked) == 1 and report["phalanx"]["mean_mm"] == pytest.approx(0, abs=1e-3)
    (folder / "aid_human_annot_test.txt").write_text("1\n")
    with pytest.raises(InputError, match="has no single hand that people annotated in the split test"):
        evaluate_set(PROTOCOL_HUMAN, folder, Steps(told))


def test_sets_of_interacting_hands_alone_are_refused(folder):
    data = read(folder, "data")
    for entry in data["annotations"]:
        entry["hand_type"] = "interacting"
    write(folder, "data", data)
    with pytest.raises(InputError, match="has no picture of a single hand in the split test"):
        evaluate_set(PROTOCOL, folder, Steps(Told(hands())))


def test_real_single_hands_are_found(tmp_path, real):
    write_real(tmp_path, real("benchmark_samples/interhand2.6m"))
    assert len(SingleHands(tmp_path, "test", whole=False)) == 2
    figures = evaluate_set(PROTOCOL, tmp_path, whole=False)["phalanx"]  # the package's own weights
    assert figures["missed"] == 0 and figures["mean_mm_aligned"] < 15 and figures["mean_mm_scaled"] < 40
