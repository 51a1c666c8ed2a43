"""One person's hands: one shape for all pictures."""

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from phalanx.cli import main
from phalanx.hand.plain import PlainHand
from phalanx.predict.predictor import Predictor
from phalanx.predict.same_person import of_person, shape_of_person

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("open.jpg", "point.jpg", "pinch.jpg")


def test_the_mean_counts_surer_hands_more():
    predict = Predictor()
    (open_hand,), (pointing,) = predict(EXAMPLES / NAMES[0]), predict(EXAMPLES / NAMES[1])
    shape = shape_of_person([open_hand, pointing])
    total = open_hand.score + pointing.score
    np.testing.assert_allclose(shape, (open_hand.score * open_hand.shape + pointing.score * pointing.shape) / total)
    assert shape_of_person([]) is None


def test_hands_of_a_shape():
    predict, shape = Predictor(), np.linspace(-1, 1, 10)
    before = predict(EXAMPLES / NAMES[0])[0]
    for other in (of_person(predict, shape), pickle.loads(pickle.dumps(of_person(predict, shape)))):
        hand = other(EXAMPLES / NAMES[0])[0]
        np.testing.assert_allclose(hand.shape, shape, atol=1e-6)
        assert (
            np.linalg.norm(hand.joints_2d - before.joints_2d, axis=1).mean()
            < 0.05 * np.ptp(before.joints_2d, axis=0).max()
        )
        bones = np.linalg.norm(np.diff(hand.joints[9:13], axis=0), axis=1)
        rest = PlainHand.open_hand().joint_positions(shape[None])[0]
        np.testing.assert_allclose(bones, np.linalg.norm(np.diff(rest[9:13], axis=0), axis=1), rtol=1e-4)
    assert copy.copy(predict)(EXAMPLES / NAMES[0])[0].shape == pytest.approx(
        before.shape
    )  # the given one knows nothing of it


def test_a_folder_of_one_person(tmp_path, capsys):
    for name in NAMES:
        shutil.copy(EXAMPLES / name, tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    arguments = ["predict", str(tmp_path), "--quiet", "--out"]
    assert main([*arguments, str(tmp_path / "each")]) == 2
    assert main([*arguments, str(tmp_path / "one"), "--same-person"]) == 2
    assert capsys.readouterr().err.count("broken.jpg") == 2
    shapes = {
        folder: [
            json.loads((tmp_path / folder / f"{Path(name).stem}.json").read_text())["hands"][0]["shape"]
            for name in NAMES
        ]
        for folder in ("each", "one")
    }
    assert np.ptp(shapes["each"], axis=0).max() > 0.05
    assert np.ptp(shapes["one"], axis=0).max() < 2e-6
    assert np.abs(np.mean(shapes["each"], axis=0) - shapes["one"][0]).max() < np.ptp(shapes["each"], axis=0).max()
