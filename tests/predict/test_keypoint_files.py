"""A file of keypoints in, files out."""

import csv
import json
import os
import pickle

import cv2
import numpy as np
import pytest
import trimesh
from gesture_keypoints import gesture_joints

from phalanx.core.errors import InputError
from phalanx.hand.skeleton import ORDERS
from phalanx.predict.keypoint_files import ENDINGS, draw_hands, fit_file
from phalanx.predict.keypoints import fit_keypoints

MIRROR = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    return gesture_joints()[0]


class Fitted:
    """Runs `fit_file` in a folder of its own."""

    def __init__(self, folder) -> None:
        self.folder, self.lines = folder, []

    def __call__(self, name: str, values=None, **options):
        path = self.folder / name
        if isinstance(values, dict):
            np.savez(path, **values)
        elif values is not None:
            np.save(path, values)
        return fit_file(path, self.folder / "o", say=self.lines.append, **options)

    def results(self, stem: str):
        return np.load(self.folder / "o" / f"{stem}_fit.npz")


@pytest.fixture
def fitted(tmp_path) -> Fitted:
    return Fitted(tmp_path)


def test_every_frame_is_written(joints, fitted):
    given = joints * MIRROR
    given[3, 5], given[6, 8], given[9] = np.nan, 0, np.nan
    given[10, 16] += [0.0, 0.3, 0.0]
    figures = fitted("take.npz", {"joints": given, "times": np.arange(12) / 20, "other": np.zeros(3)})
    assert [os.path.basename(path) for path in figures["outputs"]] == [f"take_fit{ending}" for ending in ENDINGS]
    assert sorted(os.listdir(fitted.folder / "o")) == sorted(f"take_fit{ending}" for ending in ENDINGS)
    expected = {
        "side": "left",
        "side_source": "guessed",
        "side_sure": True,
        "order": "phalanx",
        "unit": "metres",
        "axes": "as given",
        "scale_source": "measured",
        "times_source": "given",
        "frames": 11,
        "skipped_frames": [9],
        "skipped": [{"frame": 9, "reason": "0 joints"}],
        "missing_joints": [{"frame": 3, "joints": ["index_mcp"]}, {"frame": 6, "joints": ["index_tip"]}],
        "jumps": [],
    }
    assert {name: figures[name] for name in expected} == expected
    (outlier,) = figures["outliers"]
    assert (outlier["frame"], outlier["joint"]) == (10, "ring_tip") and outlier["distance_mm"] > 250
    assert figures["side_residuals_mm"]["left"] < 1 < figures["side_residuals_mm"]["right"]
    assert figures["joint_error_mean_mm"] < 1 and figures["joint_error_max_mm"] < 5
    json.dumps(figures, allow_nan=False)
    with fitted.results("take") as found:
        assert found["joints"].shape == (11, 21, 3) and found["frames"].tolist() == [*range(9), 10, 11]
        assert str(found["side"]) == "left" and len(found["angle_names"]) == 23
        assert np.argwhere(found["outliers"]).tolist() == [[9, 16]]
        assert np.argwhere(found["filled"]).tolist() == [[3, 5], [6, 8], [9, 16]]
        assert np.isnan(found["joint_error"][3, 5]) and found["vertices"].shape == (11, 1769, 3)
        angles = found["angles_degrees"]
    with (fitted.folder / "o" / "take_fit.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["time"]) for row in rows][-2:] == [0.5, 0.55]
    np.testing.assert_allclose([float(row["middle_pip_flexion"]) for row in rows], angles[:, 13], atol=1e-2)
    assert "Frames: 11" in (fitted.folder / "o" / "take_fit.bvh").read_text()
    assert trimesh.load(fitted.folder / "o" / "take_fit.glb", force="mesh").vertices.shape == (1769, 3)
    assert cv2.imread(str(fitted.folder / "o" / "take_fit.png")).shape == (320, 8 * 320, 3)
    (line,) = fitted.lines
    for words in (
        "11 left hands, side found (",
        "2 missing joints filled in",
        "1 misplaced (ring_tip in frame 10)",
        "1 frames without a hand's joints passed over (9: 0 joints)",
    ):
        assert words in line, line


def test_the_line_says_what_was_made_of_the_keypoints(joints, fitted):
    theirs = np.empty_like(joints)
    theirs[:, list(ORDERS["mano"])] = 1000 * joints * [1, -1, 1]
    figures = fitted("a.npy", theirs, side="right")
    assert (figures["axes"], figures["order"], figures["unit"]) == ("y negated", "mano", "millimetres")
    assert "axes are mirror images for a right hand, so y is negated (is it a left hand? then" in fitted.lines[0]
    assert "joints in the order of mano, millimetres turned to metres" in fitted.lines[0]
    pixels = joints[..., :2] / joints[..., 2:] * 900 + [640, 360]
    figures = fitted("b.npy", pixels, image_size=(1280, 720), side="right")
    assert figures["in_picture"] and figures["camera_source"] == "assumed" and figures["scale_source"] == "prior"
    assert figures["image_size"] == [1280, 720] and figures["K"][0][0] == pytest.approx(1108.5, abs=0.1)
    assert "in a picture (pixels), a camera of 60 degrees assumed, size of the hand the likeliest" in fitted.lines[1]


def test_two_hands_of_a_file(joints, fitted):
    both = np.concatenate((joints * MIRROR, joints), axis=1)
    figures = fitted("two.npy", both)
    assert [hand["side"] for hand in figures["hands"]] == ["left", "right"] and len(fitted.lines) == 2
    for name, side in (("two_hand_1", "left"), ("two_hand_2", "right")):
        with fitted.results(name) as found:
            assert str(found["side"]) == side
    with pytest.raises(InputError, match="holds two hands, which have each their side"):
        fitted("two.npy", side="left")
    both[:, 21:] = np.nan  # the second never seen
    assert fitted("one.npy", both)["side"] == "left"


def test_results_of_another_file_are_kept(joints, fitted):
    (fitted.folder / "b").mkdir()
    np.save(fitted.folder / "b" / "take.npy", joints * MIRROR)
    for _ in range(2):
        fitted("take.npy", joints)
        fit_file(fitted.folder / "b" / "take.npy", fitted.folder / "o", say=fitted.lines.append)
    with fitted.results("take") as first, fitted.results("take_2") as second:
        assert (str(first["side"]), str(second["side"])) == ("right", "left")
    assert len(os.listdir(fitted.folder / "o")) == 2 * len(ENDINGS)


def test_one_frame(joints, fitted):
    assert fitted("one.npy", joints[2])["frames"] == 1
    assert fitted.lines[0].startswith(f"{fitted.folder / 'one.npy'}: 1 right hand, ")


def test_bad_files_are_one_sentence(joints, fitted):
    ran = fitted.folder / "ran"

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    whole = fitted.folder / "whole.npz"
    np.savez(whole, joints=joints)
    (fitted.folder / "half.npz").write_bytes(whole.read_bytes()[:2000])
    (fitted.folder / "evil.npy").write_bytes(pickle.dumps(Malicious()))
    np.savez(fitted.folder / "evil.npz", joints=np.array([Malicious()], dtype=object), allow_pickle=True)
    np.savez(fitted.folder / "empty.npz", joints=np.full((2, 21, 3), np.nan))
    np.savez(fitted.folder / "far.npz", joints=joints * 15)
    for name, says in [
        ("missing.npz", "cannot be read"),
        ("half.npz", "is not a whole NPZ or NPY file"),
        ("evil.npy", "is not a whole NPZ or NPY file"),
        ("evil.npz", "is not a whole NPZ or NPY file"),
        ("empty.npz", "joints: no frame has 6 joints or more"),
        ("far.npz", "joints: lie 0."),
    ]:
        with pytest.raises(InputError) as caught:
            fitted(name)
        assert str(fitted.folder / name) in str(caught.value) and says in str(caught.value), name
        assert "\n" not in str(caught.value)
    assert not ran.exists() and os.listdir(fitted.folder / "o") == [] and fitted.lines == []


def test_drawing_shows_each_hand_once(joints):
    assert draw_hands(fit_keypoints(joints[:3]).recording, 64).shape == (64, 3 * 64, 3)
