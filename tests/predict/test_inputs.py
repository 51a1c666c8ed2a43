"""What users hand over, in the form that predictors take; complaints about it are in `test_predictor.py`."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration
from phalanx.predict.inputs import as_box, as_photo, camera_in_file, check_side, picture_camera, scaling


def test_pictures_in_memory_have_no_focal_length():
    grey = np.arange(400, dtype=np.uint8).reshape(20, 20)
    found, focal = as_photo(grey)
    np.testing.assert_array_equal(found, np.stack([grey] * 3, -1))
    assert focal is None


def test_floats_become_float32():
    image = np.linspace(0, 1, 20 * 30 * 3).reshape(20, 30, 3)
    found, _ = as_photo(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, image, atol=1e-7)


def test_pictures_of_pillow_are_no_indices():
    from PIL import Image

    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:, 15:] = [204, 51, 102]  # of the usual palette, too
    for mode in ("RGB", "P", "RGBA"):
        found, focal = as_photo(Image.fromarray(colours).convert(mode, dither=Image.Dither.NONE))
        np.testing.assert_array_equal(found, colours)
        assert focal is None


def test_box_may_reach_beyond_the_picture():
    box = as_box((-20, 100, 100, 60), 320, 240)
    assert (box.centre_x, box.centre_y, box.side) == (29.5, 129.5, 100)


def test_cameras():
    assumed = picture_camera(None, 320, 240)
    focal = 160 / np.tan(np.radians(30))
    np.testing.assert_allclose(assumed.camera.K, [[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]], atol=1e-4)
    given = picture_camera((300, 310, 150, 120), 320, 240)
    np.testing.assert_array_equal(given.camera.K, [[300, 0, 150], [0, 310, 120], [0, 0, 1]])
    assert (assumed.source, given.source, assumed.lens, given.lens) == ("assumed", "given", None, None)
    for camera in (assumed.camera, given.camera):
        assert isinstance(camera.K, np.ndarray) and camera.K.dtype == np.float64
        assert (camera.width, camera.height) == (320, 240)


def test_the_camera_in_a_file():
    assert camera_in_file(None, 320, 240) is None
    found = picture_camera(camera_in_file(250.0, 320, 240), 320, 240)
    np.testing.assert_array_equal(found.camera.K, [[250, 0, 159.5], [0, 250, 119.5], [0, 0, 1]])
    assert found.source == "exif"


def test_lines_say_that_a_camera_was_scaled():
    K = np.array([[250.0, 0, 160], [0, 250, 120], [0, 0, 1]])
    assert (
        scaling(None, 320, 240)
        == scaling(Calibration(K), 320, 240)
        == scaling(Calibration(K, (320, 240)), 320, 240)
        == ""
    )
    assert scaling(Calibration(K, (640, 480)), 320, 240) == ", camera scaled from 640x480 to 320x240"


@pytest.mark.parametrize("side", ["left", "right", "auto"])
def test_sides(side):
    check_side(side)
    with pytest.raises(InputError, match=f"side: .* not '{side.upper()}'"):
        check_side(side.upper())
