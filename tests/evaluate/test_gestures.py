import json

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.compare import compare
from phalanx.evaluate.gestures import GestureRun, evaluate_gestures, pose_features, score_gestures
from phalanx.evaluate.report import write_report
from phalanx.evaluate.steps import Steps

ACCURACY = "classification_accuracy_percent"


class Hand:
    def __init__(self, bend):
        self.angles_degrees = {f"angle_{i}": bend + i for i in range(23)}
        self.orientation = np.eye(3)


def told(image, box=None):
    """The pose is told by the picture's brightness; black pictures show no hand."""
    brightness = float(image.mean())
    return [Hand(brightness)] if brightness > 1 else []


@pytest.fixture
def folders(tmp_path):
    for gesture, brightness in (("fist", 40), ("open", 120), ("point", 200)):
        (tmp_path / gesture).mkdir()
        for i in range(10):
            cv2.imwrite(str(tmp_path / gesture / f"{i}.png"), np.full((20, 24, 3), brightness + i, np.uint8))
    return tmp_path


def test_poses_that_differ_are_told_apart(folders):
    report = evaluate_gestures("folders", folders, Steps(told, json_path=folders / "scores.json"))
    assert report["pictures"] == 30 and report["gestures"] == 3 and report["runs"] == ["phalanx"]
    scores = report["phalanx"]
    assert scores["missed"] == 0 and scores[ACCURACY] == 100 and scores["chance_percent"] == pytest.approx(100 / 3)
    assert f"{ACCURACY}_persons_left_out" not in scores and "made_by" not in scores
    assert json.loads((folders / "scores.json").read_text()) == report


def test_missed_hands_are_wrong(folders):
    for i in range(3):
        cv2.imwrite(str(folders / "fist" / f"{i}.png"), np.zeros((20, 24, 3), np.uint8))
    scores = evaluate_gestures("folders", folders, Steps(told))["phalanx"]
    assert scores["missed"] == 3 and scores[ACCURACY] == pytest.approx(90)
    assert scores[f"{ACCURACY}_low"] < 90 < scores[f"{ACCURACY}_high"]


def test_saved_features_score_the_same_and_those_of_others_are_scored(folders):
    cv2.imwrite(str(folders / "open" / "4.png"), np.zeros((20, 24, 3), np.uint8))
    saved = folders / "features.npz"
    first = evaluate_gestures("folders", folders, Steps(told, save=saved))
    assert evaluate_gestures("folders", folders, Steps(predictions=saved)) == first
    arrays = dict(np.load(saved))
    np.savez(folders / "other.npz", image_path=arrays["image_path"], **{"other/features": np.arange(30.0)[:, None]})
    other = evaluate_gestures("folders", folders, Steps(predictions=folders / "other.npz"))
    assert other["runs"] == ["other"] and other["other"]["missed"] == 0 and other["other"][ACCURACY] > 80


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.pop("phalanx/features"), "holds no predictions"),
        (
            lambda a: a.update({"phalanx/features": np.zeros((29, 32))}),
            r"features: floats of shape \(30, any\) expected",
        ),
        (lambda a: a["phalanx/features"].__setitem__((3, 1), np.nan), "phalanx: picture .*: features have numbers"),
        (lambda a: a["phalanx/features"].__setitem__(3, np.inf), "phalanx: picture .*: features have numbers"),
        (lambda a: a.update(image_path=a["image_path"][::-1]), "predictions are of other pictures"),
    ],
)
def test_damaged_features_are_named(folders, change, sentence):
    evaluate_gestures("folders", folders, Steps(told, save=folders / "p.npz"))
    arrays = dict(np.load(folders / "p.npz"))
    change(arrays)
    np.savez(folders / "q.npz", **arrays)
    with pytest.raises(InputError, match=f"q.npz: .*{sentence}"):
        evaluate_gestures("folders", folders, Steps(predictions=folders / "q.npz"))
    with pytest.raises(InputError, match="give no predictor"):
        evaluate_gestures("folders", folders, Steps(told, predictions=folders / "p.npz"))


def test_published_accuracies_stand_beside_measured_ones(folders):
    figures = score_gestures(GestureRun(np.arange(20.0)[:, None]), [0] * 10 + [1] * 10, [None] * 20)
    head = {"protocol": "gestures_rwth", "whole": True, "pictures": 20, "gestures": 2, "runs": ["phalanx"]}
    (folders / "rwth.json").write_text(json.dumps({**head, "phalanx": figures}))
    page = write_report([folders / "rwth.json"], folders / "out").read_text()
    assert f"| rwth: phalanx | {figures[ACCURACY]:.2f} | measured |" in page and "73.6" in page and ".png" not in page
    compare([folders / "rwth.json"], folders / "out")
    assert sorted(path.name for path in (folders / "out").iterdir()) == [
        "comparison.csv", "comparison.md", "comparison.tex", "gestures_rwth.md"
    ]  # fmt: skip


def test_a_person_left_out_is_harder_than_a_picture_left_out():
    """Two persons of habits so different that only pictures of the same person help."""
    random = np.random.default_rng(0)
    features, gestures, persons = [], [], []
    for person in range(2):
        for gesture in range(2):
            for _ in range(10):
                value = (1 if gesture == person else -1) + 0.01 * random.standard_normal()
                features.append(np.array([value, 3.0 * person]))
                gestures.append(gesture)
                persons.append(person)
    scores = score_gestures(GestureRun(np.array(features)), gestures, persons)
    assert scores[ACCURACY] == 100 and scores[f"{ACCURACY}_persons_left_out"] == 0


def test_features_are_angles_and_orientation():
    assert pose_features(Hand(5.0)).tolist() == [5.0 + i for i in range(23)] + np.eye(3).ravel().tolist()


def test_what_makes_no_test_is_refused(folders):
    with pytest.raises(InputError, match="no hand was found"):
        evaluate_gestures("folders", folders, Steps(lambda image, box: []))
    with pytest.raises(InputError, match="10 pictures of 1 gestures do not make a test"):
        evaluate_gestures("folders", folders / "fist", Steps(told))
    with pytest.raises(InputError):
        evaluate_gestures("rwth", folders, Steps(told))
