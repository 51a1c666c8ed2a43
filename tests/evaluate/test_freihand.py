"""Surfaces in FreiHAND's protocol, on a miniature in its layout; its joints are tested with the other protocols."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from phalanx.core.errors import InputError
from phalanx.data.public import freihand as reader
from phalanx.evaluate.compare import compare
from phalanx.evaluate.freihand import PROTOCOL, known_scale, score_surfaces
from phalanx.evaluate.protocol import Truth, evaluate_set, stacked_surfaces, without_forearm
from phalanx.evaluate.steps import Steps
from phalanx.hand.model import HandModel
from phalanx.metrics.joints import procrustes_aligned

COUNT = 3
K = np.array([[480.0, 0, 112], [0, 480, 112], [0, 0, 1]])


def hands() -> tuple[np.ndarray, np.ndarray]:
    """True joints (COUNT, 21, 3) and surfaces (COUNT, 778, 3), metres."""
    random = np.random.default_rng(0)
    joints = HandModel.open_hand().rest_joints.double().numpy() * [1.0, -1, -1] + [0, 0.05, 0.6]
    away = 0.03 * random.random((COUNT, 1, 3))
    surfaces = random.normal(size=(COUNT, 778, 3)) * [0.03, 0.05, 0.01] + [0, 0, 0.6]
    return joints + away, surfaces + away


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(reader.OFFICIAL, "evaluation", {"pictures": COUNT, "hands": COUNT, "masks": 0})
    (tmp_path / "evaluation/rgb").mkdir(parents=True)
    for number in range(COUNT):
        cv2.imwrite(str(tmp_path / f"evaluation/rgb/{number:08d}.jpg"), np.zeros((224, 224), np.uint8))
    joints, surfaces = hands()
    scale = np.linalg.norm(joints[:, 9] - joints[:, 10], axis=-1)
    for key, value in (("K", np.stack([K] * COUNT)), ("scale", scale), ("xyz", joints), ("verts", surfaces)):
        (tmp_path / f"evaluation_{key}.json").write_text(json.dumps(value.tolist()))
    return tmp_path


@dataclass
class Hand:
    joints: np.ndarray
    vertices: np.ndarray | None

    @property
    def joints_2d(self) -> np.ndarray:
        pixels = self.joints @ K.T
        return pixels[:, :2] / pixels[:, 2:]


def told(joints, surfaces, missed=()):
    answers = iter(range(COUNT))

    def predict(image, box, K, side):
        index = next(answers)
        return [] if index in missed else [Hand(joints[index], None if surfaces is None else surfaces[index])]

    return predict


def test_perfect_surfaces_have_no_error_and_saved_ones_score_the_same(folder):
    joints, surfaces = hands()
    predictor = told(2.0 * joints, 2.0 * surfaces)  # twice as large, twice as far: the scale is known
    report = evaluate_set(PROTOCOL, folder, Steps(predictor, save=folder / "p.npz", json_path=folder / "s.json"))
    figures = report["phalanx"]
    for kind in ("_scaled", "_aligned_by_joints", "_aligned"):
        assert (figures[f"f_5_mm{kind}"], figures[f"f_15_mm{kind}"]) == (1, 1)
    assert figures["mesh_mean_mm_scaled"] == pytest.approx(0, abs=1e-3) and figures["mesh_mean_mm_aligned"] < 1e-3
    assert figures["mesh_auc_0_50_scaled"] > 0.99
    # as predicted, which is how their code takes them, all is wrong
    assert figures["mesh_mean_mm"] > 500 and figures["f_15_mm"] == 0 and figures["mean_mm"] > 500
    assert figures["mean_mm_scaled"] == pytest.approx(0, abs=1e-3)
    assert evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "p.npz")) == report
    assert np.load(folder / "p.npz")["phalanx/vertices"].dtype == np.float32
    (method,) = compare([folder / "s.json"], folder / "out")
    assert method.figures["f_5_mm_scaled"] == 1 and "| 1.000 |" in (folder / "out/comparison.md").read_text()


def test_a_shift_is_an_error_until_it_is_aligned(folder):
    joints, surfaces = hands()
    figures = evaluate_set(PROTOCOL, folder, Steps(told(joints + [0.03, 0, 0.04], surfaces + [0.03, 0, 0.04])))[
        "phalanx"
    ]
    assert figures["mesh_mean_mm"] == pytest.approx(50, abs=1e-3) and figures["f_5_mm"] < 0.5
    assert figures["mesh_mean_mm_aligned"] == pytest.approx(0, abs=1e-3)
    assert figures["f_5_mm_aligned"] == figures["f_5_mm_aligned_by_joints"] == 1
    # joints that are right beside a surface that is not: only the alignment by vertices takes it out
    figures = evaluate_set(PROTOCOL, folder, Steps(told(joints, surfaces + [0.03, 0, 0.04])))["phalanx"]
    assert figures["f_5_mm_aligned"] == 1 and figures["f_5_mm_aligned_by_joints"] == figures["f_5_mm"] < 0.5


def test_other_surfaces_have_f_scores_alone(folder):
    joints, surfaces = hands()
    figures = evaluate_set(PROTOCOL, folder, Steps(told(joints, surfaces[:, :700])))["phalanx"]
    assert 0.9 < figures["f_5_mm"] < 1 and figures["f_5_mm"] == pytest.approx(figures["f_5_mm_aligned_by_joints"])
    assert not [name for name in figures if name.startswith("mesh") or name == "f_5_mm_aligned"]


def test_predictions_and_sets_without_surfaces_are_scored_by_joints(folder):
    joints, surfaces = hands()
    bare = evaluate_set(PROTOCOL, folder, Steps(told(joints, None), save=folder / "p.npz"))["phalanx"]
    assert bare["mean_mm"] < 1e-3 and "f_5_mm" not in bare
    assert "phalanx/vertices" not in np.load(folder / "p.npz")
    (folder / "evaluation_verts.json").unlink()
    assert "f_5_mm" not in evaluate_set(PROTOCOL, folder, Steps(told(joints, surfaces)))["phalanx"]


def test_missed_hands_have_no_surface(folder):
    joints, surfaces = hands()
    report = evaluate_set(PROTOCOL, folder, Steps(told(joints, surfaces, missed=(1,)), save=folder / "p.npz"))
    figures = report["phalanx"]
    assert figures["f_15_mm"] == pytest.approx(2 / 3) and figures["mesh_mean_mm"] is None
    assert figures["mesh_auc_0_50"] == pytest.approx(2 / 3, abs=0.01)
    assert evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "p.npz")) == report


def test_damaged_surfaces_are_named(folder):
    joints, surfaces = hands()
    evaluate_set(PROTOCOL, folder, Steps(told(joints, surfaces), save=folder / "p.npz"))
    arrays = dict(np.load(folder / "p.npz"))
    for value in (surfaces[:2], surfaces[0], surfaces[..., :2], surfaces.astype(int)):
        np.savez(folder / "q.npz", **(arrays | {"phalanx/vertices": value}))
        with pytest.raises(InputError, match=r"q.npz: phalanx/vertices: floats of shape \(3, any, 3\) expected, is"):
            evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "q.npz"))
    np.savez(folder / "q.npz", **(arrays | {"phalanx/vertices": np.full_like(surfaces, np.nan)}))
    with pytest.raises(InputError, match="no surface is there"):
        evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "q.npz"))
    np.savez(folder / "q.npz", **(arrays | {"phalanx/vertices": 1e3 * surfaces}))
    with pytest.raises(InputError, match="millimetres"):
        evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "q.npz"))


def test_the_authors_form_is_read_and_scored_as_it_is(folder):
    joints, surfaces = hands()
    joints[:, 3] += [0, 0.021, 0]
    path = folder / "pred.json"
    path.write_text(json.dumps([joints.tolist(), surfaces[:, :700].tolist()]))
    figures = evaluate_set(PROTOCOL, folder, Steps(predictions=path))["pred"]
    assert figures["mean_mm"] == pytest.approx(1, rel=1e-4) and figures["missed"] == 0 and 0.9 < figures["f_5_mm"] < 1
    twice = evaluate_set(PROTOCOL, folder, Steps(told(2 * joints, None), save=folder / "p.npz"))["phalanx"]
    assert twice["mean_mm"] > 500 and twice["mean_mm_scaled"] == pytest.approx(1, rel=1e-4)
    # a part of the set takes its entries by their numbers
    (folder / "evaluation/rgb/00000001.jpg").unlink()
    part = evaluate_set(PROTOCOL, folder, Steps(predictions=path), whole=False)
    assert part["hands"] == 2 and part["pred"]["mean_mm"] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda pred: pred.pop(), "is not .joints, vertices., two lists"),
        (lambda pred: pred[0].pop(), "joints of 3 pictures expected, has 2"),
        (lambda pred: pred[1].pop(), "vertices of 3 pictures expected, has 2"),
        (lambda pred: pred[0][1].pop(), r"joints of picture 1: must have shape \(21, 3\), has \(20, 3\)"),
        (lambda pred: pred[1][2][5].__setitem__(0, float("nan")), "vertices of picture 2: has values that are not"),
        (lambda pred: pred[1].__setitem__(2, None), "vertices of picture 2: must have shape"),
    ],
)
def test_what_is_wrong_in_the_authors_form_is_named(folder, change, sentence):
    joints, surfaces = hands()
    pred = [joints.tolist(), surfaces.tolist()]
    change(pred)
    (folder / "pred.json").write_text(json.dumps(pred))
    with pytest.raises(InputError, match=f"pred.json: {sentence}"):
        evaluate_set(PROTOCOL, folder, Steps(predictions=folder / "pred.json"))


def their_alignment(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """One set of points (P, 3) as FreiHAND's code aligns it: orthogonal Procrustes between sets of mean 0 and norm 1."""
    first, second = (points - points.mean(0) for points in (true, predicted))
    size = np.linalg.norm(first)
    turn, scale = orthogonal_procrustes(first / size, second / np.linalg.norm(second))
    return second / np.linalg.norm(second) @ turn.T * scale * size + true.mean(0)


def f_of_all_pairs(predicted: np.ndarray, true: np.ndarray, threshold: float) -> float:
    pairs = np.linalg.norm(predicted[:, None] - true[None], axis=-1)
    precision, recall = (pairs.min(1) < threshold).mean(), (pairs.min(0) < threshold).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("vertices", [60, 50])
def test_figures_agree_with_a_slow_twin(vertices):
    """All pairs of vertices, and SciPy's Procrustes, one hand at a time."""
    random = np.random.default_rng(vertices)
    joints = hands()[0]
    true = random.normal(size=(COUNT, 60, 3)) * 0.02 + [0, 0, 0.6]
    noise = random.normal(size=joints.shape) * 0.004
    noise[:, 9:11] *= 0.03  # the bone that scales: what it errs by moves the hand to or from the camera
    predicted_joints = joints + noise
    predicted = (true + random.normal(size=true.shape) * 0.006 + [0, 0, 0.004])[:, :vertices]
    known = np.ones((COUNT, 21), bool)
    truth = Truth(("",) * COUNT, joints, joints[..., :2], known, known, true.astype(np.float32))
    figures = score_surfaces(predicted, predicted_joints, truth)

    slow: dict[str, list[float]] = {name: [] for name in figures if "auc" not in name}
    for n in range(COUNT):
        bones = [np.linalg.norm(points[n, 9] - points[n, 10]) for points in (joints, predicted_joints)]
        versions = {"": predicted[n], "_scaled": predicted[n] * bones[0] / bones[1]}
        # the similarity that the joints ask for, read off from where they come out
        moved = procrustes_aligned(predicted_joints[n : n + 1], joints[n : n + 1])[0]
        affine = np.linalg.lstsq(np.c_[predicted_joints[n], np.ones(21)], moved, rcond=None)[0]  # (4, 3)
        versions["_aligned_by_joints"] = np.c_[predicted[n], np.ones(vertices)] @ affine
        if vertices == 60:
            versions["_aligned"] = their_alignment(true[n], predicted[n])
        for kind, surface in versions.items():
            for millimetres in (5, 15):
                slow[f"f_{millimetres}_mm{kind}"].append(f_of_all_pairs(surface, true[n], millimetres / 1e3))
            if f"mesh_mean_mm{kind}" in slow:
                slow[f"mesh_mean_mm{kind}"].append(1e3 * np.linalg.norm(surface - true[n], axis=-1).mean())
    assert len(slow) == (11 if vertices == 60 else 6)
    assert 0.1 < figures["f_5_mm"] != figures["f_5_mm_aligned_by_joints"] < 0.9
    assert figures["f_5_mm"] != figures["f_5_mm_scaled"]
    for name, values in slow.items():
        assert figures[name] == pytest.approx(np.mean(values), abs=1e-5), name


def test_a_bone_without_length_has_no_scale():
    joints = hands()[0]
    flat = joints.copy()
    flat[1, 10] = flat[1, 9]
    np.testing.assert_allclose(known_scale(flat, 2 * joints), [2, 1, 2])


def test_our_surface_goes_without_its_forearm():
    model = HandModel.open_hand()
    surface = model.template.numpy()
    kept = without_forearm(surface)
    assert kept.shape == (1555, 3) and kept.dtype == np.float32
    assert kept[:, 1].min() > -0.01 > surface[:, 1].min()  # y is distal; the wrist is at 0
    others = np.zeros((778, 3))
    assert without_forearm(others).shape == (778, 3) and without_forearm(None) is None
    stacked = stacked_surfaces([None, others, None])
    assert stacked.shape == (3, 778, 3) and np.isnan(stacked[[0, 2]]).all() and stacked_surfaces([None]) is None
