"""Pictures of distorting lenses, straightened: whatever lies in them comes out where a pinhole shows it, and back."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox
from phalanx.geometry.distortion import Lens
from phalanx.predict.inputs import PictureCamera
from phalanx.predict.straight import bent_pixels, straighten

K = np.array([[260.0, 0, 165], [0, 262, 118], [0, 0, 1]])
LENSES = [
    Lens("radial-tangential", (-0.25, 0.06, 0.002, -0.001, 0)),
    Lens("radial-tangential", (0.15, 0.01, 0, 0)),
    Lens("fisheye", (-0.02, 0.01, 0, 0)),
    Lens("inverse radial-tangential", (0.12, 0.03, 0.001, 0.001, 0)),
]


def picture_of_places(lens, width=320, height=240):
    """Each pixel says in its first two channels through which place x / z, y / z of the plane z = 1 it looks."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rays = Camera(K, width, height).rays(np.stack((x, y), -1).reshape(-1, 2).astype(float))
    plane = lens.undistort(rays[:, :2])
    assert np.isfinite(plane).all()
    return np.concatenate((plane, 0 * plane[:, :1]), 1).reshape(height, width, 3).astype(np.float32)


@pytest.mark.parametrize("lens", LENSES)
def test_every_pixel_is_where_a_pinhole_shows_it(lens):
    image = picture_of_places(lens)
    straight = straighten(image, PictureCamera(Camera(K, 320, 240), lens))
    height, width = straight.image.shape[:2]
    assert (straight.camera.width, straight.camera.height) == (width, height)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack((x, y), -1).reshape(-1, 2).astype(float)
    rays = straight.camera.rays(pixels)
    source = bent_pixels(straight.given, lens, rays)
    inside = ((source > 0) & (source < [319, 239])).all(1)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(straight.image[..., :2].reshape(-1, 2)[inside], rays[inside, :2], atol=3e-4)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1], :2]  # all that was seen is still there
    shown = straight.camera.project(np.c_[corners, np.ones(4)].astype(float))
    assert (shown > -1).all() and (shown < [width, height]).all()


@pytest.mark.parametrize("lens", LENSES)
def test_boxes_go_over_and_back(lens):
    straight = straighten(np.zeros((240, 320, 3), np.uint8), PictureCamera(Camera(K, 320, 240), lens))
    box = SquareBox(230, 150, 60)
    there = straight.box(box)
    back = straight.box_in_given(there)
    assert abs(back.centre_x - 230) < 4 and abs(back.centre_y - 150) < 4 and 60 <= back.side + 0.5 < 75
    middle = straight.camera.project(np.array([[0.2, 0.1, 1.0]]))
    shown = bent_pixels(straight.given, lens, np.array([[0.2, 0.1, 1.0]]))[0]
    np.testing.assert_allclose(straight.box(SquareBox(*shown, 20)).centre_x, middle[0, 0], atol=1.5)


def test_without_a_lens_nothing_changes():
    image = np.zeros((240, 320, 3), np.uint8)
    straight = straighten(image, PictureCamera(Camera(K, 320, 240)))
    box = SquareBox(1, 2, 30)
    assert straight.image is image and straight.box(box) is box and straight.box_in_given(box) is box


def test_a_fisheyes_picture_stays_of_a_size():
    """It shows 180 degrees: what is farther than 68 from the axis is left out, and the rest is not blown up without end."""
    wide = np.array([[100.0, 0, 159.5], [0, 100, 119.5], [0, 0, 1]])
    lens = Lens("fisheye", np.zeros(4))
    straight = straighten(np.zeros((240, 320, 3), np.uint8), PictureCamera(Camera(wide, 320, 240), lens))
    height, width = straight.image.shape[:2]
    assert 450 < width <= 642 and 300 < height <= 482
    with pytest.raises(InputError, match="nothing that can be straightened"):
        straight.box(SquareBox(5, 5, 8))
