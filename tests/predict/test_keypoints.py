import json
import os
import pickle

import cv2
import numpy as np
import pytest
import torch
import trimesh

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import gestures
from phalanx.hand.skeleton import ORDERS
from phalanx.predict.keypoints import draw_hands, fit_file, fit_keypoints


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """(12, 21, 3): gestures of one large right hand, a metre from the origin."""
    pose = HandPose.zero(12)
    pose.rotations = angles_to_rotations(torch.as_tensor(np.radians(gestures()[:12]), dtype=torch.float32))
    pose.shape = torch.tensor([1.0, -0.5, 0.5, 0, 0, 0, 0, 0, 0, 0]).expand(12, 10)
    pose.translation = torch.tensor([0.2, -0.1, 1.0]).expand(12, 3)
    return HandModel.open_hand().joints(pose).numpy()


def test_hands_lie_on_their_keypoints(recording):
    hands = fit_keypoints(recording)
    np.testing.assert_allclose(hands.joint_error, np.linalg.norm(hands.joints - recording, axis=-1), atol=1e-6)
    assert hands.joint_error.mean() < 1e-3
    assert hands.vertices.shape == (12, 1769, 3) and hands.angles_degrees.shape == (12, len(ANGLE_NAMES))
    want = gestures()[:12]
    assert np.median(np.abs(hands.angles_degrees - want)) < 1
    # the surface is about the joints: each fingertip's vertex is near
    distance = np.linalg.norm(hands.vertices[:, :, None] - hands.joints[:, None, [4, 8, 12, 16, 20]], axis=-1).min(1)
    assert distance.max() < 0.012


def test_a_left_hand_is_the_right_one_mirrored(recording):
    mirror = np.array([-1, 1, 1])
    right, left = fit_keypoints(recording), fit_keypoints(recording * mirror, "left")
    np.testing.assert_allclose(left.joints, right.joints * mirror, atol=1e-5)
    np.testing.assert_allclose(left.vertices, right.vertices * mirror, atol=1e-5)
    np.testing.assert_allclose(left.angles_degrees, right.angles_degrees, atol=0.05)
    for hands in (right, left):  # neither is inside out
        assert trimesh.Trimesh(hands.vertices[0], hands.faces, process=False).volume > 1e-4


def test_one_hand_has_one_shape(recording):
    hands = fit_keypoints(recording, one_hand=True)
    assert (hands.shape == hands.shape[:1]).all()
    assert hands.joint_error.mean() < 1e-3


@pytest.mark.parametrize(
    ("joints", "side", "says"),
    [
        (np.zeros((3, 20, 3)), "right", r"joints: must have shape \(frames, 21, 3\), has \(3, 20, 3\)"),
        (np.zeros((0, 21, 3)), "right", "joints: must have shape"),
        (np.full((2, 21, 3), np.nan), "right", "joints: has values that are not finite"),
        (np.full((2, 21, 3), "a"), "right", "joints: has values that are not finite"),
        (np.zeros((2, 21, 3)), "right", "joints: the hand is 0 m long"),
        (np.zeros((2, 21, 3)), "both", "side: must be 'left' or 'right', not 'both'"),
    ],
)
def test_bad_keypoints(joints, side, says):
    with pytest.raises(InputError, match=says):
        fit_keypoints(joints, side)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "millimetres"), (100, "centimetres")])
def test_wrong_units_are_noticed(recording, factor, unit):
    with pytest.raises(InputError, match=f"these are {unit}, and metres are wanted"):
        fit_keypoints(recording * factor)


def test_command(recording, tmp_path, capsys):
    spoilt = recording.copy()
    spoilt[3, 5] = np.nan
    np.savez(tmp_path / "take.npz", joints=spoilt * [-1, 1, 1], other=np.zeros(3))
    code = main(
        [
            "fit",
            str(tmp_path / "take.npz"),
            "--side",
            "left",
            "--out",
            str(tmp_path / "o"),
            "--json",
            str(tmp_path / "r"),
        ]
    )
    line = capsys.readouterr().out
    assert code == 0 and "11 left hands" in line and "1 frames without a hand's joints passed over" in line
    figures = json.loads((tmp_path / "r").read_text())
    assert figures["joint_error_mean_mm"] < 1 and figures["skipped_frames"] == [3] and figures["frames"] == 11
    with np.load(tmp_path / "o" / "take_fit.npz") as found:
        assert found["joints"].shape == (11, 21, 3) and found["frames"].tolist() == [0, 1, 2, *range(4, 12)]
        np.testing.assert_allclose(1e3 * found["joint_error"].mean(), figures["joint_error_mean_mm"], rtol=1e-4)
        assert str(found["side"]) == "left" and len(found["angle_names"]) == 23
    assert trimesh.load(tmp_path / "o" / "take_fit.glb", force="mesh").vertices.shape == (1769, 3)
    assert cv2.imread(str(tmp_path / "o" / "take_fit.png")).shape == (320, 8 * 320, 3)


def test_frames_that_are_no_hand_are_passed_over(recording, tmp_path):
    joints = recording.copy()
    joints[1] = 0  # lost: all joints in one point
    joints[4] = joints[4, :1] + 50 * (joints[4] - joints[4, :1])
    joints[7] = np.nan
    np.savez(tmp_path / "some.npz", joints=joints)
    said = []
    figures = fit_file(tmp_path / "some.npz", tmp_path, say=said.append)
    assert figures["skipped_frames"] == [1, 4, 7] and figures["frames"] == 9
    assert figures["joint_error_mean_mm"] < 1 and "3 frames without a hand's joints" in said[0]


def test_orders_of_other_sets(recording, tmp_path):
    theirs = np.empty_like(recording)
    theirs[:, ORDERS["mano"]] = recording
    np.testing.assert_array_equal(theirs[:, [0, 1, 16, 13, 20, 9]], recording[:, [0, 5, 4, 1, 20, 19]])
    np.save(tmp_path / "take.npy", theirs)
    assert fit_file(tmp_path / "take.npy", tmp_path, order="mano", say=lambda line: None)["joint_error_mean_mm"] < 1
    assert sorted(ORDERS["mano"]) == sorted(ORDERS["phalanx"])


def test_the_other_hand_is_doubted(recording, tmp_path):
    np.save(tmp_path / "take.npy", recording)
    np.save(tmp_path / "one.npy", recording[2])
    lines = []
    for side in ("left", "right"):
        fit_file(tmp_path / "take.npy", tmp_path, side, say=lines.append)
    assert "is it the other hand" in lines[0] and "is it the other hand" not in lines[1]
    assert fit_file(tmp_path / "one.npy", tmp_path, say=lines.append)["frames"] == 1


def test_bad_files_are_one_sentence(recording, tmp_path, capsys):
    ran = tmp_path / "ran"

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    np.savez(tmp_path / "whole.npz", joints=recording)
    np.savez(tmp_path / "nameless.npz", points=recording)
    np.savez(tmp_path / "flat.npz", joints=recording.reshape(12, 63))
    np.savez(tmp_path / "empty.npz", joints=np.full((2, 21, 3), np.nan))
    np.savez(tmp_path / "whole_numbers.npz", joints=np.zeros((2, 21, 3), int))
    np.savez(tmp_path / "millimetres.npz", joints=recording * 1e3)
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:2000])
    (tmp_path / "text.npz").write_text("no numbers")
    (tmp_path / "nothing.npz").write_bytes(b"")
    (tmp_path / "evil.npy").write_bytes(pickle.dumps(Malicious()))
    np.savez(tmp_path / "evil.npz", joints=np.array([Malicious()], dtype=object), allow_pickle=True)
    for name, says in [
        ("missing.npz", "cannot be read"),
        ("nameless.npz", "has no array 'joints' (it has points)"),
        ("flat.npz", "joints must be (frames, 21, 3) floating-point numbers, not (12, 63) float"),
        ("empty.npz", "no frame has 21 finite joints"),
        ("whole_numbers.npz", "not (2, 21, 3) int"),
        ("millimetres.npz", "these are millimetres"),
        ("half.npz", "is not a whole NPZ or NPY file"),
        ("text.npz", "is not a whole NPZ or NPY file"),
        ("nothing.npz", "is not a whole NPZ or NPY file"),
        ("evil.npy", "is not a whole NPZ or NPY file"),
        ("evil.npz", "is not a whole NPZ or NPY file"),
    ]:
        assert main(["fit", str(tmp_path / name), "--out", str(tmp_path / "o")]) == 2
        error = capsys.readouterr().err
        assert str(tmp_path / name) in error and says in error and error.count("\n") == 1, name
    assert not ran.exists() and os.listdir(tmp_path / "o") == []


def test_drawing_shows_each_hand_once(recording):
    assert draw_hands(fit_keypoints(recording[:3]), 64).shape == (64, 3 * 64, 3)
