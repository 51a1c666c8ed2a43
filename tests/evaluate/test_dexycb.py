"""DexYCB's protocols on a miniature in its layout, seen by one camera."""

from pathlib import Path

import numpy as np
import pytest
from dexycb_miniature import K, write
from told_predictor import Told
from true_hands import bent_hand

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.data.public.dexycb import SERIALS
from phalanx.evaluate import dexycb
from phalanx.evaluate.protocol import evaluate_set
from phalanx.evaluate.steps import Steps
from phalanx.metrics.joints import orthogonal_aligned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("dexycb"), 5, SERIALS[:1])


def hands(*sequences: int) -> np.ndarray:
    """Joints of the miniature's sequences, left hands mirrored."""
    return np.stack([bent_hand(0.7 + 0.01 * number) for number in sequences])


def test_hands_are_those_of_the_split_that_are_labelled(folder):
    true = hands(0, 1, 2, 4, 0, 1, 2, 4)  # of two people; the fourth sequence shows no hand
    told = Told(true + [0, 0.03, 0.04])
    report = evaluate_set(dexycb.PROTOCOL_S1, folder, Steps(told, save=folder / "p.npz"), whole=False)
    assert (report["protocol"], report["split"], report["hands"]) == ("dexycb_s1", "s1_test", 8)
    figures = report["phalanx"]
    assert figures["mean_mm_absolute"] == pytest.approx(50, rel=1e-4)
    assert figures["mean_mm"] == pytest.approx(0, abs=1e-3)
    assert {options["side"] for options in told.asked} == {"right"}
    np.testing.assert_allclose(told.asked[2]["K"][0, 2], 639 - K[0, 2])  # the third is a left hand, mirrored
    again = evaluate_set(dexycb.PROTOCOL_S1, folder, Steps(predictions=folder / "p.npz"), whole=False)
    assert again == report


@pytest.mark.parametrize(("setup", "split"), [("", "s0"), ("_S1", "s1"), ("_S2", "s2"), ("_S3", "s3")])
def test_splits_are_the_authors_test_parts(setup, split):
    protocol = getattr(dexycb, f"PROTOCOL{setup}")
    assert protocol.split == f"{split}_test" and protocol.name == f"dexycb{setup.lower()}"


def test_figures_are_those_of_the_authors_code(folder):
    """Joint by joint as `hpe_eval.py` does it, and our scale."""
    true = hands(*[4] * 8)  # s0's test part of eight people
    predicted = 1.1 * true + 0.01 * np.random.default_rng(0).normal(size=true.shape)
    figures = evaluate_set(dexycb.PROTOCOL, folder, Steps(Told(predicted)), whole=False)["phalanx"]
    errors: dict[str, list] = {"": [], "_aligned": [], "_absolute": [], "_scaled": []}
    for n in range(8):
        arms, wanted = predicted[n] - predicted[n, 0], true[n] - true[n, 0]
        errors[""].append(np.linalg.norm(arms - wanted, axis=-1))
        errors["_scaled"].append(np.linalg.norm(arms * np.linalg.norm(wanted) / np.linalg.norm(arms) - wanted, axis=-1))
        errors["_aligned"].append(np.linalg.norm(orthogonal_aligned(predicted[[n]], true[[n]])[0] - true[n], axis=-1))
        errors["_absolute"].append(np.linalg.norm(predicted[n] - true[n], axis=-1))
    thresholds = np.linspace(0, 50, 100)
    for ending, distances in errors.items():
        within = [(1e3 * np.array(distances) <= t).mean() for t in thresholds]
        assert figures[f"mean_mm{ending}"] == pytest.approx(1e3 * np.mean(distances), rel=1e-4)
        assert figures[f"auc_0_50{ending}"] == pytest.approx(np.trapezoid(within, thresholds) / 50, abs=1e-3)
    assert figures["mean_mm_aligned"] < figures["mean_mm_scaled"] < figures["mean_mm"] < figures["mean_mm_absolute"]


def test_what_is_missing_is_named(folder, tmp_path, capsys):
    assert main(["evaluate", "dexycb_s2", str(folder), "--part", "--quiet"]) == 2  # its camera is not there
    assert "holds no pictures with depth and labels of the split s2_test" in capsys.readouterr().err
    empty = write(tmp_path, 4, SERIALS[:1])
    for label in empty.glob("*-subject-0[89]/*/*/labels_000000.npz"):
        label.unlink()
        np.savez(label, joint_3d=np.full((1, 21, 3), -1.0))
    with pytest.raises(InputError, match="no hand is labelled in the split s1_test"):
        evaluate_set(dexycb.PROTOCOL_S1, empty, Steps(Told(hands(0))), whole=False)
    label.write_bytes(label.read_bytes()[:200])
    with pytest.raises(InputError, match=r"labels_000000\.npz: is damaged or not an NPZ file"):
        evaluate_set(dexycb.PROTOCOL_S1, empty, Steps(Told(hands(0))), whole=False)
