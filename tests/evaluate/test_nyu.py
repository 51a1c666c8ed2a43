import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.joint_lines import read_joint_lines
from phalanx.evaluate.nyu import JOINTS, evaluate_nyu, joints_14, predict_nyu, score_nyu, to_millimetres

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
    metres = write(tmp_path / "metres.txt", truth() * [1, 1, 1e-3])
    with pytest.raises(InputError, match="metres.txt: hands are 0.7.* away, so lengths seem to be in metres"):
        evaluate_nyu(metres, metres)
    with pytest.raises(InputError, match="is a folder"):
        evaluate_nyu(true, true, tmp_path)


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_means_to_a_hundredth_of_a_millimetre(tmp_path, method, real):
    folder = real("nyu_published")
    scores = evaluate_nyu(
        folder / f"{method}.txt.gz", folder / "nyu_test_groundtruth_label.txt.gz", tmp_path / "scores.json"
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


class Predictor:
    """Knows where the hand is in frames whose depth is above zero."""

    def __init__(self, joints):
        self.joints = joints

    def __call__(self, depth, K, side):
        assert depth.shape == (480, 640) and side == "right" and K == (588.03, 587.07, 320.0, 240.0)
        if not (depth > 0).any():
            raise InputError("depth: nothing is read where the hand should be")
        return type("Hand", (), {"joints": self.joints + [0, 0, float(depth.max())]})()


def test_frames_are_predicted_into_a_file_that_is_scored(tmp_path):
    from PIL import Image

    joints = np.random.default_rng(1).normal(0, 0.05, (21, 3))
    folder = tmp_path / "dataset" / "test"
    folder.mkdir(parents=True)
    for number, depth in enumerate((2001, 700, 2001, 800)):
        pixels = np.full((480, 640), depth)
        image = np.stack([0 * pixels, pixels // 256, pixels % 256], -1).astype(np.uint8)
        Image.fromarray(image).save(folder / f"depth_1_{number + 1:07d}.png", compress_level=1)
        Image.fromarray(image).save(folder / f"depth_2_{number + 1:07d}.png", compress_level=1)
    said = []
    out = tmp_path / "ours.txt"
    assert predict_nyu(tmp_path, out, Predictor(joints), said.append) == 4
    assert len(said) == 2 and "depth_1_0000001.png" in said[0] and "nothing is read" in said[0]
    lines = read_joint_lines(out, 14)
    points = to_millimetres(lines) * [1, -1, 1] / 1000
    for frame, depth in enumerate((0.7, 0.7, 0.7, 0.8)):  # the first stands in for what was before it, too
        assert np.allclose(points[frame], joints_14(joints + [0, 0, depth]), atol=2e-5)
    for frame in folder.glob("depth_1_*"):
        frame.unlink()
    with pytest.raises(InputError, match="holds no depth_1"):
        predict_nyu(tmp_path, out, Predictor(joints))


def test_our_joints_as_the_sets_points():
    joints = np.zeros((21, 3))
    joints[[5, 9, 13, 17], 0] = [0.03, 0.01, -0.01, -0.03]
    joints[[5, 9, 13, 17], 1] = -0.09
    joints[[20, 4], 2] = [0.5, 0.7]
    points = dict(zip(JOINTS, joints_14(joints), strict=True))
    assert points["little_tip"][2] == 0.5 and points["thumb_tip"][2] == 0.7
    assert points["wrist_side_1"].tolist() == [-0.015, 0, 0] and points["wrist_side_2"].tolist() == [0.015, 0, 0]
    assert np.allclose(points["palm"], [0, -0.045, 0])
