"""MANO's pose and shape for keypoints, with a made-up file: nothing of MANO is here."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gesture_keypoints import gesture_joints
from made_up_mano import made_up, mirrored

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.mano import MANO_JOINTS, TIP_VERTICES, ManoParameters, load_mano
from phalanx.hand.model import HandPose
from phalanx.predict.keypoint_files import fit_file
from phalanx.predict.keypoint_mano import fit_mano
from phalanx.predict.keypoints import fit_keypoints


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Hands whose finger tips, which are vertices, lie where a hand has them."""
    right = made_up()
    template, weights, regressor = right["v_template"].copy(), right["weights"].copy(), right["J_regressor"].copy()
    joints = regressor @ template
    regressor[:, list(TIP_VERTICES)] = 0
    regressor /= regressor.sum(1, keepdims=True)
    for vertex, last in zip(TIP_VERTICES, np.array(MANO_JOINTS[1:]).reshape(5, 3)[:, 2], strict=True):
        template[vertex] = joints[last] + 0.8 * (joints[last] - joints[last - 1])
        weights[vertex] = np.eye(16)[last]
    right |= {"v_template": template, "weights": weights, "J_regressor": regressor}
    right["shapedirs"] = 0.1 * right["shapedirs"]
    folder = tmp_path_factory.mktemp("mano")
    for side, entries in (("right", right), ("left", mirrored(right))):
        (folder / f"{side}.pkl").write_bytes(pickle.dumps(entries))
    return folder


def keypoints_of(hand) -> np.ndarray:
    angles = torch.as_tensor(np.radians(gesture_joints()[1]), dtype=torch.float32)
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles)
    pose.translation = torch.tensor([[0.1, 0.2, 0.6]]).expand(len(angles), 3)
    return hand.model.joints(pose).double().numpy() * [-1 if hand.side == "left" else 1, 1, 1]


def joints_of(hand, *values) -> np.ndarray:
    """The way back, as docs/keypoints.md has it."""
    return hand(ManoParameters(*(torch.as_tensor(np.asarray(value)).float() for value in values))).joints.numpy()


@pytest.mark.parametrize("side", ["left", "right"])
def test_parameters_pose_mano_on_the_keypoints(files, side):
    hand = load_mano(files / f"{side}.pkl")
    joints = keypoints_of(hand)
    given = joints.copy()
    given[2, 8] = np.nan
    found = fit_keypoints(given, side, order="phalanx")
    mano = fit_mano(found, files / f"{side}.pkl")
    posed = joints_of(hand, mano.pose, mano.shape, mano.orientation, mano.translation)
    off = 1e3 * np.linalg.norm(posed - joints, axis=-1)
    assert off.mean() < 2 and np.delete(off[2], 8).mean() < 3
    assert off.mean() < 0.5 * 1e3 * np.linalg.norm(found.recording.joints - joints, axis=-1).mean()


def test_they_are_in_the_file(files, tmp_path):
    hand = load_mano(files / "right.pkl")
    np.save(tmp_path / "a.npy", keypoints_of(hand))
    figures = fit_file(tmp_path / "a.npy", tmp_path, mano=files / "right.pkl", say=lambda line: None)
    assert figures["mano_error_mean_mm"] < 2
    with np.load(tmp_path / "a_fit.npz") as found:
        values = [found[f"mano_{name}"] for name in ("pose", "shape", "orientation", "translation")]
        assert [value.shape for value in values] == [(12, 45), (12, 10), (12, 3), (12, 3)]
        off = np.linalg.norm(joints_of(hand, *values) - keypoints_of(hand), axis=-1)
        np.testing.assert_allclose(1e3 * off.mean(), figures["mano_error_mean_mm"], atol=0.1)


def test_python_of_the_page(files, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "keypoints.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    joints = keypoints_of(load_mano(files / "left.pkl"))
    np.savez("keypoints.npz", joints=joints)
    Path("MANO_LEFT.pkl").write_bytes((files / "left.pkl").read_bytes())
    fit_file("keypoints.npz", "fitted", "left", mano="MANO_LEFT.pkl", say=lambda line: None)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    np.testing.assert_allclose(names["vertices"], names["found"]["vertices"], atol=1e-5)
    off = np.linalg.norm(names["surface"].joints.numpy() - joints, axis=-1)
    assert names["surface"].vertices.shape == (12, 778, 3) and 1e3 * off.mean() < 2


def test_the_file_must_be_of_the_same_side(files):
    found = fit_keypoints(gesture_joints()[0])
    with pytest.raises(InputError, match=r"left.pkl: is MANO's left hand, and these are right ones"):
        fit_mano(found, files / "left.pkl")
    with pytest.raises(InputError, match=r"none.pkl: cannot be read"):
        fit_mano(found, files / "none.pkl")
