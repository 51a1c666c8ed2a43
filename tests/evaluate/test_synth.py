import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.compare import read_methods
from phalanx.evaluate.steps import Steps
from phalanx.evaluate.synth import SEED, evaluate_synth
from phalanx.synth import SynthConfig, make_chunk


class Oracle:
    """Knows the labels; misses the second picture. Each picture is asked for twice, with and without camera."""

    def __init__(self):
        self.sample = make_chunk(SynthConfig(size=256, dense=False), SEED, 0)
        self.asked = []

    def __call__(self, image, box, K, side):
        number = len(self.asked) // 2
        self.asked.append((image, box, K, side))
        if number == 1:
            return []
        hand = type("Hand", (), {})()
        hand.joints, hand.joints_2d = self.sample.joints[number].numpy(), self.sample.joints_2d[number].numpy()
        return [hand]


def test_pictures_are_those_of_the_seed_and_perfect_answers_have_no_error(tmp_path):
    oracle = Oracle()
    report = evaluate_synth(3, steps=Steps(oracle, json_path=tmp_path / "scores.json"))
    assert report["protocol"] == "synth" and report["seed"] == SEED
    assert report["focal_given"]["photos"] == 3 and report["focal_given"]["missed"] == 1
    assert report["focal_given"]["epe_2d_px"] == pytest.approx(0, abs=1e-4)
    assert report["focal_not_given"]["epe_3d_procrustes_mm"] == pytest.approx(0, abs=1e-3)
    assert report["focal_given"]["joints_within"][-1] == pytest.approx(2 / 3)
    image, box, K, side = oracle.asked[0]
    expected = (oracle.sample.image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(image, expected) and box == (0, 0, 256, 256) and side == "right"
    assert K is not None and oracle.asked[1][2] is None
    assert "made_by" not in report["focal_given"]
    methods = read_methods(tmp_path / "scores.json")
    assert [method.name for method in methods] == ["scores: focal_given", "scores: focal_not_given"]


def test_saved_predictions_score_the_same_and_belong_to_their_pictures(tmp_path):
    first = evaluate_synth(3, steps=Steps(Oracle(), save=tmp_path / "p.npz"))
    assert evaluate_synth(3, steps=Steps(predictions=tmp_path / "p.npz")) == first
    with pytest.raises(InputError, match="p.npz: predictions are of other pictures"):
        evaluate_synth(2, steps=Steps(predictions=tmp_path / "p.npz"))
    with pytest.raises(InputError, match="p.npz: predictions are of other pictures"):
        evaluate_synth(3, domain="studio", steps=Steps(predictions=tmp_path / "p.npz"))
    with pytest.raises(InputError, match="give no predictor"):
        evaluate_synth(3, steps=Steps(Oracle(), predictions=tmp_path / "p.npz"))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="count: must be 1 or more"):
        evaluate_synth(0, steps=Steps(Oracle.__call__))
    with pytest.raises(InputError, match="domain: moon is none of"):
        evaluate_synth(1, domain="moon", steps=Steps(Oracle.__call__))
