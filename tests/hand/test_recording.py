import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.model import HandModel
from phalanx.hand.recording import posed_surfaces, save_angles, save_recording, write_hands


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_pose_leads_back_to_the_surface(recorded, side):
    take = recorded(side, vary=0.5)
    found = posed_surfaces(take, HandModel.open_hand(), [2, 0])
    np.testing.assert_allclose(found, take.vertices[[2, 0]], atol=1e-6)
    assert trimesh.Trimesh(found[0], take.faces, process=False).volume > 1e-4  # not inside out
    assert len(take) == 4 and np.allclose(take.angles_degrees[-1], np.degrees(0.9), atol=1e-3)


def test_npz_holds_everything(recorded, tmp_path):
    take = recorded("left")
    save_recording(tmp_path / "a.npz", take, joint_error=np.zeros((4, 21)))
    with np.load(tmp_path / "a.npz") as found:
        for name in ("frames", "times", "joints", "rotations", "orientation", "shape", "filled", "vertices", "faces"):
            np.testing.assert_allclose(found[name], getattr(take, name), atol=1e-6)
        assert str(found["side"]) == "left" and str(found["side_source"]) == "given"
        assert found["angles_degrees"].shape == (4, 23) and tuple(found["angle_names"]) == ANGLE_NAMES
        assert found["joint_error"].shape == (4, 21) and found["joints"].dtype == np.float32
    save_recording(tmp_path / "b.npz", replace(take, vertices=None, faces=None))
    with np.load(tmp_path / "b.npz") as found:
        assert "vertices" not in found.files and "faces" not in found.files


def test_tables_have_times_and_angles(recorded, tmp_path):
    take = recorded("right")
    save_angles(tmp_path / "a.csv", take)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == [0, 2, 4, 6]
    assert float(rows[1]["time"]) == pytest.approx(3 + 1 / 15, abs=1e-5)
    assert float(rows[3]["ring_pip_flexion"]) == pytest.approx(np.degrees(0.9), abs=2e-3)
    assert list(rows[0]) == ["frame", "time", *ANGLE_NAMES]


def test_a_table_of_hands_has_a_row_for_each_hand_and_frame(tmp_path):
    angles = {name: float(k) for k, name in enumerate(ANGLE_NAMES)}
    joints = np.arange(63.0).reshape(21, 3) / 100
    hand = SimpleNamespace(time=0.25, id=3, side="left", score=0.5, angles_degrees=angles, joints=joints)
    with write_hands(tmp_path / "a.csv") as append:
        append(7, hand)
        append(8, replace_in(hand, time=None, id=None))
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["7", "8"] and [row["id"] for row in rows] == ["3", ""]
    assert (rows[0]["time"], rows[0]["side"], rows[0]["score"]) == ("0.250000", "left", "0.5000")
    assert float(rows[0][ANGLE_NAMES[5]]) == 5.0 and float(rows[0]["little_tip_z"]) == pytest.approx(0.62)
    assert list(rows[0])[-63:-60] == ["wrist_x", "wrist_y", "wrist_z"] and len(rows[0]) == 5 + 23 + 63


def replace_in(hand, **changes):
    return SimpleNamespace(**{**vars(hand), **changes})


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("side", "both", "side: must be"),
        ("joints", np.zeros((3, 21, 3)), r"joints: must have shape \(4, 21, 3\), has \(3, 21, 3\)"),
        ("rotations", np.full((4, 16, 3, 3), np.nan), "rotations: has values that are not finite"),
        ("times", np.zeros(4), "times: must be there and increase"),
        ("vertices", None, "vertices and faces: must both"),
    ],
)
def test_what_cannot_be_is_refused(recorded, field, value, says):
    with pytest.raises(InputError, match=says):
        replace(recorded("right"), **{field: value})
