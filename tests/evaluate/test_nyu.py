import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.nyu import JOINTS, evaluate_nyu, score_nyu, to_millimetres

REAL = Path(__file__).parents[3] / "shared" / "real" / "nyu_published"
PUBLISHED = {
    "CVPR18_NYU_V2V_PoseNet": 8.42,
    "ICCVW17_NYU_DeepPrior++": 12.24,
    "CVPR17_NYU_3DCNN": 14.11,
    "IJCAI16_NYU_DeepModel": 17.04,
}


def truth(frames: int = 6) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.concatenate(
        [random.uniform(100, 400, (frames, 14, 2)), random.uniform(600, 900, (frames, 14, 1))], axis=-1
    )


def write(path: Path, joints: np.ndarray) -> Path:
    path.write_text("".join(" ".join(f"{value:.6f}" for value in frame.ravel()) + "\n" for frame in joints))
    return path


def test_a_known_shift_is_scored_as_its_length():
    true = truth()
    shifted = true.copy()
    shifted[..., 0] += 588.03 * 3 / true[..., 2]  # 3 mm to the right
    shifted[..., 1] -= 587.07 * 4 / true[..., 2]  # 4 mm up
    np.testing.assert_allclose(
        to_millimetres(shifted) - to_millimetres(true), np.tile([3.0, 4.0, 0.0], (6, 14, 1)), atol=1e-9
    )
    scores = score_nyu(shifted, true)
    assert scores["mean_mm"] == pytest.approx(5) and scores["median_mm"] == pytest.approx(5)
    assert scores["per_joint_mm"] == pytest.approx(dict.fromkeys(JOINTS, 5.0))
    curve = scores["frames_with_max_error_within"]
    assert len(curve) == 81 and curve[4] == 0 and curve[6] == 1


def test_the_largest_error_of_a_frame_decides_the_curve():
    true = truth()
    wrong = true.copy()
    wrong[0, 3, 2] += 1
    point = to_millimetres(wrong)[0, 3] - to_millimetres(true)[0, 3]
    scores = score_nyu(wrong, true)
    assert scores["mean_mm"] == pytest.approx(np.linalg.norm(point) / (6 * 14))
    assert scores["frames_with_max_error_within"][0] == pytest.approx(5 / 6)
    assert scores["frames_with_max_error_within"][3] == 1


def test_what_does_not_fit_is_refused(tmp_path):
    true = write(tmp_path / "true.txt", truth())
    with pytest.raises(InputError, match="short.txt: .*5 frames, but the ground truth has 6"):
        evaluate_nyu(write(tmp_path / "short.txt", truth()[:5]), true)
    with pytest.raises(InputError, match="metres.txt: .*0.001 times the true ones .metres"):
        evaluate_nyu(write(tmp_path / "metres.txt", truth() * [1, 1, 1e-3]), true)
    with pytest.raises(InputError, match="is a folder"):
        evaluate_nyu(true, true, tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="published predictions are not here")
@pytest.mark.parametrize("method", PUBLISHED)
def test_published_means_to_a_hundredth_of_a_millimetre(tmp_path, method):
    scores = evaluate_nyu(
        REAL / f"{method}.txt.gz", REAL / "nyu_test_groundtruth_label.txt.gz", tmp_path / "scores.json"
    )
    assert scores["mean_mm"] == pytest.approx(PUBLISHED[method], abs=0.01)
    assert scores["frames"] == 8252 and scores["name"] == method
    assert json.loads((tmp_path / "scores.json").read_text()) == scores
    # two subjects whose parts make up the whole
    parts = scores["mean_first_subject_mm"] * 2440 + scores["mean_second_subject_mm"] * 5812
    assert parts / 8252 == pytest.approx(scores["mean_mm"])


def test_compressed_predictions_are_named_without_their_endings(tmp_path):
    path = tmp_path / "mine.txt.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "true.txt", truth()).read_bytes()))
    assert evaluate_nyu(path, tmp_path / "true.txt")["name"] == "mine"
    assert evaluate_nyu(path, tmp_path / "true.txt", name="ours")["name"] == "ours"
