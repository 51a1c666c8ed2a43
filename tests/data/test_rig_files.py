import json
import struct

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.rig_files import CameraRig, read_rig
from phalanx.synth.scene.rigs import PRESETS

K1 = [[600.0, 0, 320], [0, 610, 240], [0, 0, 1]]
K2 = [[650.0, 0, 330], [0, 655, 235], [0, 0, 1]]
BEND = [-0.2, 0.1, 0.001, -0.001, 0.0]
TURN = cv2.Rodrigues(np.array([0.02, -0.5, 0.1]))[0]
SHIFT = np.array([-0.12, 0.01, 0.03])


def placed(turn=TURN, shift=SHIFT):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, shift
    return matrix


def check_pair(rig: CameraRig, lens=True):
    """The pair above, in metres."""
    assert rig.metric and len(rig) == 2
    np.testing.assert_allclose(rig.cameras[0].world_to_camera, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(rig.cameras[1].world_to_camera, placed(), atol=1e-9)
    np.testing.assert_allclose(rig.cameras[0].calibration.K, K1)
    np.testing.assert_allclose(rig.cameras[1].calibration.K, K2)
    if lens:
        np.testing.assert_allclose(rig.cameras[1].calibration.lens.coefficients[:4], BEND[:4])


def own(unit="m", factor=1.0):
    cameras = [
        {"name": "left", "K": K1, "width": 640, "height": 480, "world_to_camera": np.eye(4).tolist()},
        {
            **{"name": "right", "K": K2, "width": 640, "height": 480, "distortion_model": "radtan", "distortion": BEND},
            "world_to_camera": placed(shift=factor * SHIFT).tolist(),
        },
    ]
    return {"cameras": cameras} | ({} if unit is None else {"unit": unit})


def write(path, data):
    path.write_text(json.dumps(data))
    return path


def test_our_own_format_and_back(tmp_path):
    rig = read_rig(write(tmp_path / "rig.json", own()))
    check_pair(rig)
    rig.save(tmp_path / "again.json")
    again = read_rig(tmp_path / "again.json")
    check_pair(again)
    assert again.cameras[1].calibration.size == (640, 480) and again.cameras[1].name == "right"
    assert json.loads((tmp_path / "again.json").read_text())["schema"] == "phalanx.rig/1"


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1000), ("cm", 100), ("m", 1), (0.025, 40), ("0.025", 40)])
def test_units_are_those_that_the_file_or_the_user_states(tmp_path, unit, factor):
    path = write(tmp_path / "rig.json", own(None, factor))
    check_pair(read_rig(path, unit))
    path = write(tmp_path / "stated.json", own(unit, factor))
    check_pair(read_rig(path))


def test_a_unit_that_nobody_states_is_asked_for(tmp_path):
    path = write(tmp_path / "rig.json", own(None))
    with pytest.raises(InputError, match="does not say which unit its lengths are in; give it"):
        read_rig(path)
    loose = read_rig(path, "hand")
    assert not loose.metric and loose.scaled(2.0).metric
    path = write(tmp_path / "far.json", own("m", 1000))
    with pytest.raises(InputError, match="124 to 124 m apart, if its lengths are metres; give the unit"):
        read_rig(path)
    with pytest.raises(InputError, match="the unit must be mm, cm, m, metres as a number, or hand, not 'inch'"):
        read_rig(path, "inch")


def test_rigs_of_synthesis(tmp_path):
    rig = PRESETS["stereo"]()
    cameras = [
        {"K": K.tolist(), "world_to_camera": E.tolist()} for K, E in zip(rig.K, rig.world_to_camera, strict=True)
    ]
    data = {"width": rig.width, "height": rig.height, "spot": rig.spot.tolist(), "cameras": cameras}
    found = read_rig(write(tmp_path / "rig.json", data))
    assert found.metric and found.cameras[1].calibration.size == (640, 480) and found.cameras[1].name == "camera1"
    np.testing.assert_allclose(found.cameras[1].centre, [0.120054, 0, 0])


def test_opencvs_stereo_calibration(tmp_path):
    """As OpenCV writes it, in two files and in one."""
    names = {"M1": np.array(K1), "D1": np.zeros((1, 5)), "M2": np.array(K2), "D2": np.array([BEND])}
    intrinsics, extrinsics, both = (str(tmp_path / f"{name}.yml") for name in ("intrinsics", "extrinsics", "both"))
    places = {"R": TURN, "T": 1000 * SHIFT[:, None], "R1": np.eye(3), "P1": np.zeros((3, 4))}
    for path, values in ((intrinsics, names), (extrinsics, places), (both, names | places)):
        storage = cv2.FileStorage(path, cv2.FILE_STORAGE_WRITE)
        for name, value in values.items():
            storage.write(name, value)
        storage.release()
    check_pair(read_rig([intrinsics, extrinsics], "mm"))
    check_pair(read_rig(both, "mm"))
    with pytest.raises(InputError, match="not R and T between them; give the file of extrinsics"):
        read_rig(intrinsics, "mm")


def test_kalibrs_camera_chain(tmp_path):
    third = placed(np.eye(3), np.array([0.1, 0, 0]))
    text = ""
    for number, (K, chain) in enumerate(((K1, None), (K2, placed()), (K1, third))):
        text += f"cam{number}:\n  camera_model: pinhole\n  cam_overlaps: [0]\n"
        text += f"  intrinsics: [{K[0][0]}, {K[1][1]}, {K[0][2]}, {K[1][2]}]\n  resolution: [640, 480]\n"
        text += f"  distortion_model: radtan\n  distortion_coeffs: {BEND[:4]}\n  rostopic: /cam{number}\n"
        if chain is not None:
            text += "  T_cn_cnm1:\n" + "".join(f"  - {row}\n" for row in chain.tolist())
    path = tmp_path / "camchain.yaml"
    path.write_text(text)
    rig = read_rig(path)
    assert rig.metric and [camera.name for camera in rig.cameras] == ["cam0", "cam1", "cam2"]
    np.testing.assert_allclose(rig.cameras[2].world_to_camera, third @ placed(), atol=1e-9)
    path.write_text(text.replace("camera_model: pinhole", "camera_model: omni"))
    with pytest.raises(InputError, match="camera cam0 has the model 'omni', and pinhole alone is supported"):
        read_rig(path)


def colmap(tmp_path, binary):
    quaternion = np.array([0.9, 0.1, -0.2, 0.3]) / np.linalg.norm([0.9, 0.1, -0.2, 0.3])
    numbers = [*quaternion, 3.0, -1.0, 2.0]
    if binary:
        cameras = struct.pack("<Q", 2) + struct.pack("<iiQQ4d", 1, 1, 640, 480, 600, 610, 320.5, 240.5)
        cameras += struct.pack("<iiQQ5d", 2, 3, 640, 480, 650, 330.5, 235.5, 0.1, -0.02)
        images = struct.pack("<Q", 2) + struct.pack("<i7di", 1, 1, 0, 0, 0, 0, 0, 0, 1) + b"left/1.png\0"
        images += struct.pack("<Q", 1) + struct.pack("<ddq", 1, 2, -1)
        images += struct.pack("<i7di", 2, *numbers, 2) + b"right/1.png\0" + struct.pack("<Q", 0)
        (tmp_path / "cameras.bin").write_bytes(cameras)
        (tmp_path / "images.bin").write_bytes(images)
    else:
        (tmp_path / "cameras.txt").write_text(
            "# Camera list\n1 PINHOLE 640 480 600 610 320.5 240.5\n2 RADIAL 640 480 650 330.5 235.5 0.1 -0.02\n"
        )
        places = " ".join(map(repr, map(float, numbers)))
        (tmp_path / "images.txt").write_text(
            f"# Image list\n1 1 0 0 0 0 0 0 1 left/1.png\n1.0 2.0 -1\n2 {places} 2 right/1.png\n\n"
        )
    return quaternion


@pytest.mark.parametrize("binary", [False, True])
def test_colmaps_models(tmp_path, binary):
    w, *xyz = colmap(tmp_path, binary)
    rig = read_rig(tmp_path, "hand")
    assert [camera.name for camera in rig.cameras] == ["left", "right"] and not rig.metric
    np.testing.assert_allclose(rig.cameras[0].calibration.K, K1)
    np.testing.assert_allclose(rig.cameras[1].calibration.lens.coefficients, [0.1, -0.02, 0, 0])
    turn = cv2.Rodrigues(2 * np.arccos(w) * np.array(xyz) / np.linalg.norm(xyz))[0]
    np.testing.assert_allclose(rig.cameras[1].world_to_camera, placed(turn, [3, -1, 2]), atol=1e-9)
    with pytest.raises(InputError, match="does not say which unit"):
        read_rig(tmp_path)


def test_folders_and_models_at_fault(tmp_path):
    with pytest.raises(InputError, match="holds no model of COLMAP's"):
        read_rig(tmp_path, "hand")
    colmap(tmp_path, False)
    (tmp_path / "cameras.txt").write_text("1 FOV 640 480 600 610 320.5 240.5 0.1\n")
    with pytest.raises(InputError, match="the camera model FOV is not supported"):
        read_rig(tmp_path, "hand")
    (tmp_path / "cameras.txt").write_text("1 PINHOLE x 480\n")
    with pytest.raises(InputError, match="is damaged"):
        read_rig(tmp_path, "hand")


def test_rigs_at_fault(tmp_path):
    data = own()
    data["cameras"][1]["world_to_camera"] = np.eye(4).tolist()
    with pytest.raises(InputError, match="cameras left and right stand at the same place, so they show no depth"):
        read_rig(write(tmp_path / "same.json", data))
    data["cameras"][1]["world_to_camera"] = (2 * np.eye(4)).tolist()
    with pytest.raises(InputError, match="camera right: its rotation is none"):
        read_rig(write(tmp_path / "twice.json", data))
    del data["cameras"][1]["world_to_camera"]
    with pytest.raises(InputError, match="camera right: where it stands is missing"):
        read_rig(write(tmp_path / "nowhere.json", data))
    del data["cameras"][1]
    with pytest.raises(InputError, match="a rig has two cameras or more, not 1"):
        read_rig(write(tmp_path / "one.json", data))
    with pytest.raises(InputError, match="holds no rig: neither a list of cameras"):
        read_rig(write(tmp_path / "none.json", {"K": K1}))
    data = own()
    data["cameras"][1]["name"] = "left"
    with pytest.raises(InputError, match="two cameras have one name"):
        read_rig(write(tmp_path / "names.json", data))
    data["cameras"][0]["K"] = [0, 0, 0, 0]
    with pytest.raises(InputError, match="camera left: the camera matrix: the camera matrix is singular"):
        read_rig(write(tmp_path / "flat.json", data))
    with pytest.raises(InputError, match="missing.json: cannot be read"):
        read_rig(tmp_path / "missing.json")
