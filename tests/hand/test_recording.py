import csv
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.model import HandModel
from phalanx.hand.recording import posed_surfaces, save_angles, save_recording


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
