import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import (
    PALM,
    SquareBox,
    box_around_edges,
    box_around_picture,
    box_around_points,
    square_crop,
    upright_angle,
)


def smooth_picture(width, height, frequency=0.05):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(frequency * (x + i * y)) + np.cos(frequency * (y - i * x)) for i in range(3)]
    return (np.stack(waves, -1) / 4 + 0.5).astype(np.float32)


def sample_at(positions, frequency=0.05):
    """What `smooth_picture` shows at any position (..., 2), from its formula."""
    x, y = np.moveaxis(positions, -1, 0)
    return np.stack(
        [(np.sin(frequency * (x + i * y)) + np.cos(frequency * (y - i * x))) / 4 + 0.5 for i in range(3)], -1
    )


def test_a_crop_of_whole_pixels_is_a_slice():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    crop, crop_to_image = square_crop(picture, box_around_edges(10, 5, 42, 37), 32)
    np.testing.assert_array_equal(crop, picture[5:37, 10:42])
    np.testing.assert_allclose(crop_to_image, [[1, 0, 10], [0, 1, 5], [0, 0, 1]], atol=1e-9)
    grey, _ = square_crop(picture[..., 0], box_around_edges(10, 5, 42, 37), 32)
    np.testing.assert_array_equal(grey, picture[5:37, 10:42, 0])
    four, _ = square_crop(np.dstack([picture, picture[..., :1]]), box_around_edges(10, 5, 42, 37), 32)
    assert four.shape == (32, 32, 4)


def test_a_quarter_turn():
    picture = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    crop, _ = square_crop(picture, SquareBox(15.5, 15.5, 32, math.pi / 2), 32)
    np.testing.assert_allclose(crop, np.rot90(picture), atol=1e-5)  # the crop's x axis runs down the picture


@settings(max_examples=25, deadline=None)
@given(
    st.floats(60, 140),
    st.floats(50, 100),
    st.floats(8, 60),
    st.floats(-4, 4),
    st.integers(8, 40),
)
def test_crops_show_what_lies_under_them(centre_x, centre_y, side, angle, size):
    picture = smooth_picture(200, 150)
    crop, crop_to_image = square_crop(picture, SquareBox(centre_x, centre_y, side, angle), size)
    grid = np.stack([*np.meshgrid(np.arange(size), np.arange(size)), np.ones((size, size))], -1) @ crop_to_image.T
    expected = sample_at(grid[..., :2])
    # Bilinear; and the mean over a pixel flattens a wave of wave vector (0.05, 0.1) and height 1/2 by |k|^2 s^2 / 24.
    flattened = 0.5 * (0.05**2 + 0.1**2) * (side / size) ** 2 / 24
    assert np.abs(crop - expected).max() < 0.012 + flattened


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.7, 8.0, 21.3])
def test_shrinking_averages(scale):
    """Noise keeps its mean and loses its spread as the mean over scale^2 pixels does; stripes do not alias."""
    noise = np.random.default_rng(0).random((400, 400, 3)).astype(np.float32)
    size = int(340 / scale)
    crop, _ = square_crop(noise, SquareBox(200, 200, size * scale, 0.3 if scale < 9 else 0), size)
    assert abs(crop.mean() - 0.5) < 0.01
    assert crop.std() < 1.1 * noise.std() / scale
    stripes = np.zeros((400, 400), np.float32)
    stripes[:, ::2] = 1
    crop, _ = square_crop(stripes, SquareBox(200, 200, size * scale), size)
    assert np.abs(crop - 0.5).max() < 0.5 / scale + 0.02
    spot = np.zeros((400, 400), np.float32)
    spot[150:170, 220:260] = 1
    crop, crop_to_image = square_crop(spot, SquareBox(200, 200, size * scale), size)
    y, x = (np.mgrid[:size, :size] * crop).reshape(2, -1).sum(1) / crop.sum()
    np.testing.assert_allclose((crop_to_image @ [x, y, 1])[:2], [239.5, 159.5], atol=0.06 * scale)  # not shifted
    assert crop.sum() * scale**2 == pytest.approx(800, rel=0.05)


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.2, 13.3, 22.5])
def test_the_border_rule_touches_nothing_inside_the_picture(scale):
    picture = np.ones((800, 900), np.float32)
    crop, _ = square_crop(picture, SquareBox(450.3, 400.2, 24 * scale, 0.2), 24, border="constant")
    np.testing.assert_allclose(crop, 1, atol=1e-6)


def test_beyond_the_picture():
    picture = np.full((20, 30, 3), 200, np.uint8)
    box = SquareBox(0.5, 0.5, 40)
    crop, _ = square_crop(picture, box, 40)
    assert (crop == 200).all()
    crop, _ = square_crop(picture, box, 40, border="constant")
    assert (crop[:19] == 0).all() and (crop[:, :19] == 0).all() and (crop[19:39, 19:] == 200).all()
    for shrink in (10, 4):
        crop, _ = square_crop(picture, box, shrink, border="constant")
        assert crop[-1, -1, 0] > 140 and crop[0, 0, 0] == 0  # the last pixel reaches beyond too
        assert (square_crop(picture, box, shrink)[0] == 200).all()
    assert (square_crop(picture[:1, :1], SquareBox(0, 0, 300), 8)[0] == 200).all()


def test_a_crop_carries_its_camera():
    """A bright square drawn around a projected point is found in the crop where the crop's camera projects it."""
    camera = Camera([[300.0, 0, 150], [0, 280, 90], [0, 0, 1]], 320, 200)
    point = np.array([[0.1, -0.05, 0.7]])
    x, y = camera.project(point)[0].round().astype(int).tolist()
    picture = np.zeros((200, 320), np.float32)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 1
    for box in (SquareBox(180, 80, 90), SquareBox(170, 60, 200, 0.7), SquareBox(190, 80, 60, -2)):
        crop, crop_to_image = square_crop(picture, box, 64)
        found = (np.mgrid[:64, :64] * crop).reshape(2, -1).sum(1)[::-1] / crop.sum()
        np.testing.assert_allclose(camera.crop(box, 64).project(point)[0], found, atol=0.8)
        np.testing.assert_allclose(camera.crop(box, 64).K, np.linalg.inv(crop_to_image) @ camera.K)


def test_boxes():
    assert box_around_picture(60, 40) == SquareBox(29.5, 19.5, 60)
    assert box_around_edges(0, 0, 60, 40) == box_around_picture(60, 40)
    assert box_around_points(np.array([[10, 20], [30, 25]]), 1.5) == SquareBox(20, 22.5, 30)
    assert box_around_points(np.array([[10, 20]])) == SquareBox(10, 20, 1)
    box = SquareBox(10, 20, 8, 0.6)
    edges = np.array([[-0.5, -0.5, 1], [31.5, -0.5, 1], [31.5, 31.5, 1], [-0.5, 31.5, 1]])
    np.testing.assert_allclose(box.corners(), (edges @ box.crop_to_image(32).T)[:, :2])
    np.testing.assert_allclose(box.crop_to_image(32) @ box.image_to_crop(32), np.eye(3), atol=1e-12)


def test_bad_input():
    picture = np.zeros((20, 30, 3), np.uint8)
    for box in (SquareBox(200, 10, 20), SquareBox(15, -31, 40), SquareBox(-100, 10, 20, 0.5)):
        with pytest.raises(InputError, match="outside the picture of 30x20"):
            square_crop(picture, box, 16)
    for side in (0.0, -3.0, math.nan, math.inf):
        with pytest.raises(InputError, match="side"):
            SquareBox(3, 3, side)
    with pytest.raises(InputError, match="enclose nothing"):
        box_around_edges(5, 5, 5, 9)
    with pytest.raises(InputError, match="points"):
        box_around_points(np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="uint8 or float32"):
        square_crop(picture.astype(np.float64), box_around_picture(30, 20), 16)
    with pytest.raises(InputError, match="must be"):
        square_crop(np.zeros((20, 30, 7), np.uint8), box_around_picture(30, 20), 16)
    with pytest.raises(InputError, match="no pixels"):
        square_crop(picture[:0], box_around_picture(30, 20), 16)


@given(st.floats(-3.1, 3.1), st.floats(-50, 50), st.floats(-50, 50))
def test_a_turned_box_holds_the_points_and_no_more(angle, x, y):
    points = np.random.default_rng(0).normal(size=(21, 2)) * [30, 10] + [x, y]
    box = box_around_points(points, angle=angle)
    inside = np.c_[points, np.ones(21)] @ box.image_to_crop(100).T[:, :2]
    low, high = inside.min(0), inside.max(0)
    np.testing.assert_allclose((low + high) / 2, 49.5, atol=1e-6)  # centred, and the longer side fills the crop
    assert (high - low).max() == pytest.approx(100)


@given(st.floats(-3.1, 3.1))
def test_upright_angle_is_that_of_the_hand(angle):
    joints = np.zeros((21, 2))
    joints[PALM] = [[-3, -9], [-1, -10], [1, -10], [3, -9]]
    c, s = np.cos(angle), np.sin(angle)
    assert upright_angle(joints @ np.array([[c, s], [-s, c]]) + [5, 7]) == pytest.approx(angle)


def test_a_hand_of_one_point_is_upright():
    assert upright_angle(np.full((21, 2), 3.0)) == 0
