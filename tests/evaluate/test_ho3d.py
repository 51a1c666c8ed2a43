"""HO-3D's protocol on a miniature in its layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from ho3d_miniature import hands, in_file, surfaces, write, write_truth
from told_predictor import Told

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.data.public import ho3d as reader
from phalanx.evaluate.compare import compare
from phalanx.evaluate.ho3d import PROTOCOL
from phalanx.evaluate.protocol import evaluate_set
from phalanx.evaluate.steps import Steps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(reader.OFFICIAL, ".jpg", {"evaluation": {"frames": 3, "sequences": 2}})
    write(tmp_path, 3, "evaluation")
    write_truth(tmp_path)
    return tmp_path


def figures_of(folder: Path, joints: np.ndarray, vertices: np.ndarray | None = None, **options) -> dict:
    return evaluate_set(PROTOCOL, folder, Steps(Told(joints, vertices, **options)))["phalanx"]


def test_each_alignment_takes_out_what_it_is_for(folder):
    true = hands()
    shifted = figures_of(folder, true + [0.03, 0, 0.04])
    assert shifted["mean_mm_absolute"] == pytest.approx(50) and shifted["mean_mm"] == pytest.approx(0, abs=1e-3)
    larger = figures_of(folder, 1.2 * true)
    assert larger["mean_mm_scaled"] == pytest.approx(0, abs=1e-3) and larger["auc_0_50_scaled"] > 0.99
    arms = np.linalg.norm(true - true[:, :1], axis=-1)
    assert larger["mean_mm"] == pytest.approx(200 * arms.mean(), rel=1e-4)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = figures_of(folder, 1.2 * true @ turn + [0, 0, 0.2])
    assert turned["mean_mm_aligned"] == pytest.approx(0, abs=1e-3) and turned["auc_0_50_aligned"] > 0.99
    assert turned["mean_mm_scaled"] > 50


def test_the_scale_is_the_authors(folder):
    """Their code (`align_sc_tr`) joint by joint, with files in their order, in which joints 4 and 0 give the scale."""
    true = hands()
    predicted = true + 0.01 * np.random.default_rng(1).normal(size=true.shape)
    errors = []
    for one, other in zip(predicted, true, strict=True):
        guess, truth = in_file(one), in_file(other)
        guess = guess / np.sqrt(np.sum((guess[4] - guess[0]) ** 2)) * np.sqrt(np.sum((truth[4] - truth[0]) ** 2))
        errors.append(np.linalg.norm(guess - guess[0] + truth[0] - truth, axis=-1))
    figures = figures_of(folder, predicted)
    assert figures["mean_mm_scaled"] == pytest.approx(1e3 * np.mean(errors), rel=1e-5)
    assert figures["mean_mm_aligned"] < figures["mean_mm_scaled"]


def test_surfaces_are_scored_where_there_are_some(folder):
    true = hands()
    figures = figures_of(folder, true + [0, 0, 0.1], surfaces() + [0, 0, 0.1])
    assert figures["f_15_mm"] == 0 and figures["mesh_mean_mm"] == pytest.approx(100, abs=1e-2)
    assert figures["f_5_mm_aligned"] == figures["f_5_mm_aligned_by_joints"] == 1
    assert not [name for name in figures if name.endswith("_scaled") and name.startswith(("f_", "mesh"))]
    assert "f_5_mm" not in figures_of(folder, true)


def test_saved_predictions_and_the_authors_form_score_the_same(folder, capsys):
    predicted = hands() + 0.01 * np.random.default_rng(2).normal(size=(3, 21, 3))
    report = evaluate_set(PROTOCOL, folder, Steps(Told(predicted, surfaces()), save=folder / "p.npz"))
    assert evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "p.npz")) == report
    theirs = [[in_file(joints).tolist() for joints in predicted], (surfaces() * [1, -1, -1]).tolist()]
    (folder / "pred.json").write_text(json.dumps(theirs))
    command = ["evaluate", "ho3d", str(folder), "--predictions", str(folder / "pred.json")]
    assert main([*command, "--json", str(folder / "s.json")]) == 0
    assert "ho3d (3 hands), pred: missed 0, mean_mm " in capsys.readouterr().out
    again = json.loads((folder / "s.json").read_text())["pred"]
    for name in ("mean_mm", "mean_mm_scaled", "mean_mm_aligned", "auc_0_50_scaled", "mesh_mean_mm", "f_5_mm"):
        assert again[name] == pytest.approx(report["phalanx"][name], rel=1e-5, abs=1e-6)
    (method,) = compare([folder / "s.json"], folder / "out")
    assert f"| {again['mean_mm_scaled']:.2f} |" in (folder / "out/comparison.md").read_text() and not method.part
    (folder / "pred.json").write_text(json.dumps([part[:2] for part in theirs]))
    with pytest.raises(InputError, match="pred.json: joints of 3 pictures expected, has 2"):
        evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "pred.json"))


def test_missed_hands_are_wrong_at_every_threshold(folder):
    figures = figures_of(folder, hands(), missed=(1,))
    assert figures["missed"] == 1 and figures["mean_mm"] is None
    assert figures["auc_0_50_aligned"] == pytest.approx(2 / 3, abs=0.01)


def test_without_the_ground_truth_nothing_is_predicted(folder):
    (folder / "evaluation_xyz.json").unlink()
    told = Told(hands())
    with pytest.raises(InputError, match=r"evaluation_xyz\.json: is missing; the ground truth .* was released later"):
        evaluate_set(PROTOCOL, folder, Steps(told), whole=False)
    assert told.asked == []
