"""What users hand over, in the form that predictors take; complaints about it are in `test_predictor.py`."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.predict.inputs import as_box, as_rgb, check_side, picture_camera


def test_grey_is_repeated():
    grey = np.arange(400, dtype=np.uint8).reshape(20, 20)
    np.testing.assert_array_equal(as_rgb(grey), np.stack([grey] * 3, -1))


def test_floats_become_float32():
    image = np.linspace(0, 1, 20 * 30 * 3).reshape(20, 30, 3)
    found = as_rgb(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, image, atol=1e-7)


def test_box_may_reach_beyond_the_picture():
    box = as_box((-20, 100, 100, 60), 320, 240)
    assert (box.centre_x, box.centre_y, box.side) == (29.5, 129.5, 100)


def test_cameras():
    assumed = picture_camera(None, 320, 240)
    focal = 160 / np.tan(np.radians(30))
    np.testing.assert_allclose(assumed.K, [[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]], atol=1e-4)
    given = picture_camera((300, 310, 150, 120), 320, 240)
    np.testing.assert_array_equal(given.K, [[300, 0, 150], [0, 310, 120], [0, 0, 1]])
    for camera in (assumed, given):
        assert isinstance(camera.K, np.ndarray) and camera.K.dtype == np.float64
        assert (camera.width, camera.height) == (320, 240)


@pytest.mark.parametrize("side", ["left", "right", "auto"])
def test_sides(side):
    check_side(side)
    with pytest.raises(InputError, match=f"side: .* not '{side.upper()}'"):
        check_side(side.upper())
