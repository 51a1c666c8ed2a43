"""Cameras in the forms that people have them in, written here as their programs write them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.camera_files import as_calibration, read_calibration

K = np.array([[600.0, 0, 321], [0, 601, 239], [0, 0, 1]])
D = (-0.05, 0.06, 0.001, 0.002, -0.02)

REALSENSE = {"width": 640, "height": 480, "ppx": 321.0, "ppy": 239.0, "fx": 600.0, "fy": 601.0}

ROS = """\
header:
  seq: 3
  stamp: {secs: 12, nsecs: 5}
  frame_id: "camera"
height: 480
width: 640
distortion_model: "plumb_bob"
D: [-0.05, 0.06, 0.001, 0.002, -0.02]
K: [600.0, 0.0, 321.0, 0.0, 601.0, 239.0, 0.0, 0.0, 1.0]
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P: [590.0, 0.0, 320.0, 0.0, 0.0, 591.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""

CALIBRATOR = """\
image_width: 640
image_height: 480
camera_name: head
camera_matrix:
  rows: 3
  cols: 3
  data: [600.0, 0.0, 321.0, 0.0, 601.0, 239.0, 0.0, 0.0, 1.0]
distortion_model: rational_polynomial
distortion_coefficients:
  rows: 1
  cols: 8
  data: [-0.05, 0.06, 0.001, 0.002, -0.02, 0.1, 0.0, 1e-3]
"""

KALIBR = """\
cam0:
  camera_model: pinhole
  intrinsics: [600.0, 601.0, 321.0, 239.0]
  distortion_model: equidistant
  distortion_coeffs: [-0.01, 0.02, -0.03, 0.01]
  resolution: [640, 480]
  rostopic: /camera
"""


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def check(found, size=(640, 480), model=None, coefficients=None):
    np.testing.assert_array_equal(found.K, K)
    assert found.size == size and found.source == "given"
    if model is None:
        assert found.lens is None
    else:
        assert found.lens.model == model
        np.testing.assert_allclose(found.lens.coefficients, coefficients)


@pytest.mark.parametrize("given", [K, K.tolist(), K.ravel(), K.T.ravel(), np.c_[K, [0, 0, 0]], (600, 601, 321, 239)])
def test_numbers(given):
    check(as_calibration(given), size=None)


@pytest.mark.parametrize(
    ("model", "coeffs", "ours"),
    [
        ("inverse_brown_conrady", D, "inverse radial-tangential"),
        ("distortion.brown_conrady", D, "radial-tangential"),
        ("Brown Conrady", D, "radial-tangential"),
        (2, D, "inverse radial-tangential"),
        ("kannala_brandt4", (0.1, 0.02, 0, 0, 0), "fisheye"),
        ("modified_brown_conrady", (0.1, 0.02, 0, 0, 0.1), "radial-tangential"),
        ("inverse_brown_conrady", (0, 0, 0, 0, 0), None),
        ("none", (0, 0, 0, 0, 0), None),
    ],
)
def test_realsense(tmp_path, model, coeffs, ours):
    path = write(tmp_path / "intrinsics.json", {**REALSENSE, "model": model, "coeffs": coeffs})
    check(read_calibration(path), model=ours, coefficients=coeffs[: 4 if ours == "fisheye" else 5])
    check(
        as_calibration({**REALSENSE, "model": model, "coeffs": coeffs}),
        model=ours,
        coefficients=coeffs[: 4 if ours == "fisheye" else 5],
    )


def test_ros(tmp_path):
    check(read_calibration(write(tmp_path / "info.yaml", ROS)), model="radial-tangential", coefficients=D)
    second = ROS.replace("D:", "d:").replace("K:", "k:").replace("R:", "r:").replace("P:", "p:")
    check(read_calibration(write(tmp_path / "info2.yaml", second)), model="radial-tangential", coefficients=D)
    values = {"width": 640, "height": 480, "distortion_model": "plumb_bob", "D": D, "K": K.ravel().tolist()}
    check(read_calibration(write(tmp_path / "info.json", values)), model="radial-tangential", coefficients=D)
    eight = (-0.05, 0.06, 0.001, 0.002, -0.02, 0.1, 0.0, 1e-3)
    check(read_calibration(write(tmp_path / "head.yaml", CALIBRATOR)), model="radial-tangential", coefficients=eight)
    fisheye = ROS.replace("plumb_bob", "equidistant").replace(", -0.02]", "]")
    check(read_calibration(write(tmp_path / "f.yaml", fisheye)), model="fisheye", coefficients=D[:4])
    straight = ROS.replace("[-0.05, 0.06, 0.001, 0.002, -0.02]", "[]")
    check(read_calibration(write(tmp_path / "s.yaml", straight)))


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_opencv(tmp_path, ending):
    path = tmp_path / f"calibration.{ending}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", K)
    storage.write("distortion_coefficients", np.array(D)[:, None])
    storage.release()
    check(read_calibration(path), model="radial-tangential", coefficients=D)


def test_others(tmp_path):
    check(
        read_calibration(write(tmp_path / "k.yaml", KALIBR)), model="fisheye", coefficients=(-0.01, 0.02, -0.03, 0.01)
    )
    check(read_calibration(write(tmp_path / "K.txt", "600 0 321\n0 601 239\n0 0 1\n")), size=None)
    check(read_calibration(write(tmp_path / "four.csv", "600, 601, 321, 239\n")), size=None)
    check(read_calibration(write(tmp_path / "list.json", K.tolist())), size=None)
    open3d = {"width": 640, "height": 480, "intrinsic_matrix": K.T.ravel().tolist()}
    check(read_calibration(write(tmp_path / "o3d.json", open3d)))
    check(
        read_calibration(
            write(
                tmp_path / "nested.json",
                {"width": 640, "height": 480, "intrinsics": {"fx": 600, "fy": 601, "cx": 321, "cy": 239}},
            )
        )
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("{", "is cut short or not JSON"),
        ("a: [1, 2", "is cut short or not YAML"),
        ("some words", "is not a camera's file"),
        ("1 2 3", "must have shape"),
        ({"width": 640}, "holds no camera matrix"),
        ({"color": REALSENSE, "depth": REALSENSE}, r"holds 2 cameras \(color, depth\)"),
        ({"fx": 600, "fy": 600}, "not the principal point"),
        ({**REALSENSE, "fx": 0}, "singular"),
        ({**REALSENSE, "fx": "long"}, "not an array of numbers"),
        ({**REALSENSE, "width": None}, "has a width or a height, but not both"),
        ({**REALSENSE, "width": 640.5}, "whole numbers of pixels"),
        ({**REALSENSE, "model": "ftheta", "coeffs": D}, "the distortion model 'ftheta' is not supported"),
        (
            {**REALSENSE, "model": "modified_brown_conrady", "coeffs": D},
            "with tangential coefficients is not supported",
        ),
        ({**REALSENSE, "model": "none", "coeffs": D}, "has distortion coefficients, but 'none'"),
        ({**REALSENSE, "coeffs": ["a"]}, "the distortion coefficients are not numbers"),
        ({**REALSENSE, "coeffs": [float("nan")] * 5}, "the distortion coefficients are not all finite"),
        ({**REALSENSE, "coeffs": [0.1] * 14}, "14 distortion coefficients that are not 0"),
        ({**REALSENSE, "coeffs": [-1e9, 0, 0, 0]}, "folds the picture over"),
        ({**REALSENSE, "roi": {"x_offset": 10, "y_offset": 0}}, "its region of interest"),
        ({"K": [1, 2, 3]}, "the camera matrix: must have shape"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path, content, says):
    path = write(tmp_path / "camera.json", content)
    with pytest.raises(InputError, match=says) as caught:
        read_calibration(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_no_text_and_no_file(tmp_path):
    for content in (b"\xff\xd8\xff\xe0" * 10, b"\0" * 100, b" " * 1_000_100):
        (tmp_path / "photo.jpg").write_bytes(content)
        with pytest.raises(InputError, match="photo.jpg: is not a camera's file"):
            read_calibration(tmp_path / "photo.jpg")
    with pytest.raises(InputError, match="none.yaml: cannot be read: no such file"):
        as_calibration(Path("none.yaml"))


def test_fourteen_coefficients_without_tilt_are_twelve(tmp_path):
    twelve = [*D, 0.01, 0, 0, 0.001, 0, 0, 0.001]
    found = as_calibration({**REALSENSE, "coeffs": [*twelve, 0, 0]})
    np.testing.assert_array_equal(found.lens.coefficients, twelve)


def test_yaml_runs_nothing(tmp_path):
    path = write(tmp_path / "evil.yaml", f"K: !!python/object/apply:os.mkdir ['{tmp_path / 'ran'}']\n")
    with pytest.raises(InputError):
        read_calibration(path)
    assert not (tmp_path / "ran").exists()
