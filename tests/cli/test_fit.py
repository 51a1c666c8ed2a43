"""`phalanx fit`: keypoints in, files out."""

import json

import numpy as np
import pytest
from gesture_keypoints import gesture_joints

from phalanx.cli import fit
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import ORDERS


def test_keypoints_become_files_and_figures(run, tmp_path):
    joints = HandModel.open_hand().rest_joints[None].numpy() * [-1, 1, 1]  # a left hand
    np.savez(tmp_path / "points.npz", joints=joints)
    words = [tmp_path / "points.npz", "--side", "LEFT", "--out", tmp_path / "o", "--json", tmp_path / "f.json"]
    code, out, err = run(*words, "--quiet", verb="fit")
    assert (code, out, err) == (0, [], [])
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {f"points_fit.{ending}" for ending in ("npz", "png", "glb", "csv", "bvh")}
    assert json.loads((tmp_path / "f.json").read_text())["side"] == "left"
    assert np.load(tmp_path / "o" / "points_fit.npz")["joint_error"].max() < 1e-3


def test_what_is_not_given_is_found(run, tmp_path):
    np.save(tmp_path / "take.npy", 1000 * gesture_joints()[0] * [-1, 1, 1])
    code, out, _ = run(tmp_path / "take.npy", "--out", tmp_path / "o", verb="fit")
    assert code == 0 and "12 left hands, side found" in out[0] and "millimetres turned to metres" in out[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give the picture's size (--image-size W,H) or its camera (--K)"),
        (["--image-size", "640"], "image size: must have shape (2,), has (1,)"),
        (["--image-size", "640,x"], "is not a list of numbers"),
        (["--order", "mine"], "invalid choice: 'mine'"),
        (["--image-size", "1280,720", "--mano", "none.pkl"], "none.pkl: cannot be read"),
        (["--image-size", "1280,720", "--hand-length", "19"], "hand_length: must lie between"),
    ],
)
def test_faults_are_one_sentence(run, tmp_path, options, says):
    joints = gesture_joints()[0][:2]
    np.save(tmp_path / "flat.npy", joints[..., :2] / joints[..., 2:] * 900 + [640, 360])
    code, out, err = run(tmp_path / "flat.npy", "--out", tmp_path / "o", *options, verb="fit")
    assert code == 2 and out == [] and len(err) == 1 and says in err[0]


def test_all_joint_orders_can_be_asked_for():
    assert ("auto", *ORDERS) == fit._ORDERS
