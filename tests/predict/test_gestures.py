"""Names for hands: what is known of them, who names them, and files that are none of a classifier."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand.angles import ANGLE_NAMES
from phalanx.hand.plain import PlainHand
from phalanx.nets.export import export_onnx
from phalanx.nets.gestures import Calibration, GestureConfig, learn
from phalanx.predict.gestures import (
    FINGER_ANGLES,
    METHOD,
    GestureClassifier,
    feature_parts,
    gesture_features,
    load_gestures,
)
from phalanx.predict.predictor import Predictor
from phalanx.predict.runtime import shipped_model
from phalanx.predict.tracker import Tracker


def hand_of(bend: float, turn: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(
        angles_degrees={name: bend + number for number, name in enumerate(ANGLE_NAMES)}, orientation=np.eye(3) * turn
    )


def write(path, palm=False, **changes):
    """A classifier of open and bent hands, in a file."""
    labels = np.arange(40) % 2
    features = np.stack([gesture_features(hand_of(80.0 * label), palm) for label in labels])
    features = features + np.random.default_rng(0).normal(size=features.shape) * 12
    net = learn(features, labels, 2, feature_parts(palm), config=GestureConfig(hidden=32, steps=150, mixed=0.3))
    net.calibrate(Calibration(1.0, -2.0, 0.5))
    config = {"gestures": ["open", "fist"], "palm": palm, "threshold": 0.5, **changes}
    export_onnx(net, path, torch.zeros(2, features.shape[1]), ["p"], METHOD, config, PlainHand.open_hand().checksum())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gestures") / "signs.onnx")


def test_what_is_known_of_a_hand():
    features = gesture_features(hand_of(10.0, turn=1.0), palm=True)
    assert len(FINGER_ANGLES) == 20 and features.shape == (29,)
    assert features[0] == 13 and features[19] == 32 and features[20:].tolist() == np.eye(3).ravel().tolist()
    assert gesture_features(hand_of(10.0)).shape == (20,)


@pytest.mark.parametrize("palm", [False, True])
def test_parts_are_fingers_and_palm(palm):
    parts = feature_parts(palm)
    assert [len(part) for part in parts] == [4] * 5 + [9] * palm
    assert sorted(number for part in parts for number in part) == list(range(29 if palm else 20))
    assert {FINGER_ANGLES[number].split("_")[0] for number in parts[0]} == {"thumb"}


def test_a_predictor_names_what_it_finds(model, oracle, claims):
    truth = oracle.truth()  # an open hand, but for two joints
    claims.append(oracle.claim(truth))
    predictor = Predictor(oracle.estimator(truth), fit=oracle.fit, detector="none", gestures=model)
    (hand,) = predictor(oracle.picture())
    assert hand.gesture == "open" and 0.5 <= hand.gesture_probability <= 1
    assert hand.to_json()["gesture"] == "open"
    assert predictor.named([]) == []
    without = oracle.predictor(truth)
    assert without(oracle.picture())[0].gesture is None


def test_a_tracker_names_the_filtered_hand(model, oracle, claims):
    truth = oracle.truth()
    claims.append(oracle.claim(truth))
    predictor = Predictor(oracle.estimator(truth), fit=oracle.fit, detector="none", gestures=load_gestures(model))
    tracker = Tracker(predictor)
    names = [hand.gesture for _ in range(3) for hand in tracker(oracle.picture())]
    assert names == ["open"] * 3


def test_an_unsure_name_is_none(oracle, claims):
    truth = oracle.truth()
    claims.append(oracle.claim(truth))
    (hand,) = oracle.predictor(truth)(oracle.picture())
    session = lambda features: [np.tile(np.float32([[0.3, 0.45, 0.25]]), (len(features), 1))]  # noqa: E731
    (unsure,) = GestureClassifier(session, ("open", "fist"), False, 0.5).named([hand])
    assert unsure.gesture == "none" and unsure.gesture_probability == pytest.approx(0.45)
    (sure,) = GestureClassifier(session, ("open", "fist"), False, 0.4).named([hand])
    assert sure.gesture == "fist" and sure.gesture_probability == pytest.approx(0.45)


def test_the_palm_counts_where_the_file_says_so(tmp_path):
    classifier = load_gestures(write(tmp_path / "palm.onnx", palm=True))
    assert classifier.palm and classifier.probabilities([hand_of(0.0), hand_of(80.0)]).argmax(1).tolist() == [0, 1]


def test_files_that_are_no_classifier(tmp_path):
    with pytest.raises(InputError, match="there is no such weights file"):
        Predictor(gestures=tmp_path / "missing.onnx")
    with pytest.raises(InputError, match="weights of compact, not of gestures"):
        load_gestures(shipped_model("compact"))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="is cut short, or not a model of this project"):
        load_gestures(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="the model's configuration is not one of gestures"):
        load_gestures(write(tmp_path / "odd.onnx", threshold="much"))


def test_a_damaged_file(model, tmp_path):
    content = bytearray(model.read_bytes())
    content[len(content) // 3] ^= 255
    (tmp_path / "damaged.onnx").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_gestures(tmp_path / "damaged.onnx")
