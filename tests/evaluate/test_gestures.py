import json

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.gestures import evaluate_gestures, pose_features, score_gestures


class Hand:
    def __init__(self, bend):
        self.angles_degrees = {f"angle_{i}": bend + i for i in range(23)}
        self.orientation = np.eye(3)


def told(image):
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
    scores = evaluate_gestures("folders", folders, told, json_path=folders / "scores.json")
    assert scores["pictures"] == 30 and scores["gestures"] == 3 and scores["missed"] == 0
    assert scores["ten_folds"]["accuracy"] == 1 and scores["chance"] == pytest.approx(1 / 3)
    assert "persons_left_out" not in scores
    assert json.loads((folders / "scores.json").read_text()) == scores


def test_missed_hands_are_wrong(folders):
    for i in range(3):
        cv2.imwrite(str(folders / "fist" / f"{i}.png"), np.zeros((20, 24, 3), np.uint8))
    scores = evaluate_gestures("folders", folders, told)
    assert scores["missed"] == 3 and scores["ten_folds"]["accuracy"] == pytest.approx(27 / 30)
    assert scores["ten_folds"]["low"] < 0.9 < scores["ten_folds"]["high"]


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
    scores = score_gestures(features, gestures, persons)
    assert scores["ten_folds"]["accuracy"] == 1 and scores["persons_left_out"]["accuracy"] == 0


def test_features_are_angles_and_orientation():
    assert pose_features(Hand(5.0)).tolist() == [5.0 + i for i in range(23)] + np.eye(3).ravel().tolist()


def test_what_makes_no_test_is_refused(folders):
    with pytest.raises(InputError, match="no hand was found"):
        evaluate_gestures("folders", folders, lambda image: [])
    with pytest.raises(InputError, match="10 pictures of 1 gestures do not make a test"):
        evaluate_gestures("folders", folders / "fist", told)
    with pytest.raises(InputError):
        evaluate_gestures("rwth", folders, told)
