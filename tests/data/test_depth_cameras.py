"""Depth frames without calibration: named cameras, units that cannot be right."""

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import DEPTH_CAMERAS, read_frame
from phalanx.synth.sense.sensors import DEPTH_SENSORS


def write(path, metres, unit, size=(48, 64)):
    cv2.imwrite(str(path), np.full(size, round(metres / unit), np.uint16))
    return path


@pytest.mark.parametrize("name", [name for name, camera in DEPTH_CAMERAS.items() if not camera.packed])
def test_frames_of_named_cameras(tmp_path, name):
    camera = DEPTH_CAMERAS[name]
    path = write(tmp_path / "a.png", 0.5, camera.unit, (camera.height, camera.width))
    depth, K = read_frame(path, name)
    assert depth.shape == (camera.height, camera.width) and depth.mean() == pytest.approx(0.5, abs=1e-3)
    assert K[0, 0] == K[1, 1] == camera.focal and K[0, 2] == (camera.width - 1) / 2


def test_frames_of_the_nyu_set(tmp_path):
    picture = np.zeros((480, 640, 3), np.uint8)  # blue, green, red
    picture[:240, :, :2] = 500 % 256, 500 // 256
    cv2.imwrite(str(tmp_path / "depth_1_0000001.png"), picture)
    depth, K = read_frame(tmp_path / "depth_1_0000001.png", "nyu")
    assert np.allclose(depth[:240], 0.5) and not depth[240:].any() and K[0, 0] == 588
    cv2.imwrite(str(tmp_path / "rgb.png"), picture + 1)
    with pytest.raises(InputError, match=r"rgb\.png: has red in it"):
        read_frame(tmp_path / "rgb.png", "nyu")


def test_every_camera_has_a_sensor_to_synthesise_with():
    assert {camera.like or name for name, camera in DEPTH_CAMERAS.items()} <= {sensor.name for sensor in DEPTH_SENSORS}


def test_smaller_frames_see_the_same_field():
    K = DEPTH_CAMERAS["azure"].K(320, 288)
    assert K[0, 0] == pytest.approx(252) and K[0, 2] == 159.5 and K[1, 2] == 143.5


def test_a_camera_of_ones_own(tmp_path):
    path = write(tmp_path / "a.png", 0.4, 0.0005)
    depth, K = read_frame(path, "500,501,31,24", 0.0005)
    assert depth.mean() == pytest.approx(0.4, abs=1e-3) and K[1].tolist() == [0, 501, 24]


def test_what_is_wrong_is_said(tmp_path):
    path = write(tmp_path / "a.png", 0.45, 0.125e-3)
    with pytest.raises(InputError, match=r"far\.png.*unit is wrong") as caught:
        read_frame(write(tmp_path / "far.png", 30.0, 1e-3), "kinect1")
    assert "sr305" in str(caught.value)  # 30,000 steps of an eighth of a millimetre are 3.75 m
    with pytest.raises(InputError, match="unit is wrong"):
        read_frame(write(tmp_path / "near.png", 0.04, 1e-3), "azure")
    with pytest.raises(InputError, match="needs the metres"):
        read_frame(path, "500,500,31,24")
    with pytest.raises(InputError, match="neither one of kinect1"):
        read_frame(path, "kinect9", 1e-3)
    with pytest.raises(InputError, match="must be positive"):
        read_frame(path, "azure", -1.0)
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((48, 64), np.uint16))
    with pytest.raises(InputError, match=r"empty\.png: is empty"):
        read_frame(tmp_path / "empty.png", "azure")
