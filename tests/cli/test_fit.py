"""`phalanx fit`: keypoints in, files out."""

import json

import numpy as np

from phalanx.hand.model import HandModel


def test_keypoints_become_files_and_figures(run, tmp_path):
    joints = HandModel.open_hand().rest_joints[None].numpy() * [-1, 1, 1]  # a left hand
    np.savez(tmp_path / "points.npz", joints=joints)
    words = [tmp_path / "points.npz", "--side", "LEFT", "--out", tmp_path / "o", "--json", tmp_path / "f.json"]
    code, out, err = run(*words, "--quiet", verb="fit")
    assert (code, out, err) == (0, [], [])
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"points_fit.npz", "points_fit.png", "points_fit.glb"}
    assert json.loads((tmp_path / "f.json").read_text())
    assert np.load(tmp_path / "o" / "points_fit.npz")["joint_error"].max() < 1e-3
