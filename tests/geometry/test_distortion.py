"""Lenses: OpenCV's models against OpenCV, RealSense's against its own code, and the way back."""

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.geometry.distortion import WIDEST, Lens

PLACES = np.stack(np.meshgrid(np.linspace(-0.8, 0.8, 21), np.linspace(-0.6, 0.6, 17)), -1).reshape(-1, 2)

RADIAL_TANGENTIAL = [
    (-0.3, 0.1, 0.001, -0.002),
    (-0.28, 0.07, 0.001, 0.0005, -0.004),
    (0.1, -0.05, 0.002, 0.001, 0.02),
    (10.0, 5.0, 0.001, 0.001, 0.3, 10.2, 8.0, 1.1),
    (0.1, 0.02, 0.001, 0.002, 0, 0, 0, 0, 0.01, 0.002, -0.01, 0.001),
]


@pytest.mark.parametrize("coefficients", RADIAL_TANGENTIAL)
def test_radial_tangential_is_opencvs(coefficients):
    lens = Lens("radial-tangential", coefficients)
    points = np.c_[PLACES, np.ones(len(PLACES))]
    wanted = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), np.array(coefficients))[0][:, 0]
    np.testing.assert_allclose(lens.distort(PLACES), wanted, atol=1e-12)
    np.testing.assert_allclose(lens.undistort(wanted), PLACES, atol=1e-7)


def test_fisheye_is_opencvs():
    places = PLACES * 2.5
    coefficients = np.array([-0.02, 0.01, -0.005, 0.001])
    lens = Lens("fisheye", coefficients)
    wanted = cv2.fisheye.distortPoints(places[:, None].copy(), np.eye(3), coefficients)[:, 0]
    np.testing.assert_allclose(lens.distort(places), wanted, atol=1e-9)
    np.testing.assert_allclose(lens.undistort(wanted), places, atol=1e-7)
    np.testing.assert_array_equal(lens.undistort(np.zeros((1, 2))), [[0, 0]])


def test_the_inverse_model_is_realsenses():
    """`rs2_deproject_pixel_to_point` of librealsense for RS2_DISTORTION_INVERSE_BROWN_CONRADY."""
    k1, k2, p1, p2, k3 = coefficients = (-0.054, 0.063, 0.0006, 0.0009, -0.021)
    x, y = PLACES.T
    r2 = x * x + y * y
    f = 1 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2
    wanted = np.stack(
        (x * f + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * f + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)), -1
    )
    lens = Lens("inverse radial-tangential", coefficients)
    np.testing.assert_allclose(lens.undistort(PLACES), wanted, atol=1e-12)
    np.testing.assert_allclose(lens.distort(wanted), PLACES, atol=1e-7)


def test_no_coefficients_change_nothing():
    lens = Lens("radial-tangential", np.zeros(4))
    np.testing.assert_allclose(lens.distort(PLACES), PLACES)
    assert lens.reach == WIDEST


def test_where_the_lens_folds_over_nothing_is_seen():
    lens = Lens("radial-tangential", (-0.35, 0, 0, 0))  # r (1 - 0.35 r^2) turns back at r = 0.976
    assert lens.reach == pytest.approx(0.976, abs=0.01)
    rational = Lens("radial-tangential", (0, 0, 0, 0, 0, -0.5, 0, 0))  # divides by 0 at r = 1.41
    assert rational.reach == pytest.approx(1.41, abs=0.02)
    beyond = np.array([[0.7, 0.0], [2.0, 0.0]])  # the lens shows nothing farther out than 0.65
    assert np.isnan(lens.undistort(beyond)).all()
    edge = lens.distort(np.array([[lens.reach, 0.0]]))
    np.testing.assert_allclose(lens.distort(np.array([[3.0, 0.0]])), edge)  # not the folded image
    assert np.isnan(Lens("fisheye", np.zeros(4)).undistort(np.array([[1.6, 0.0]]))).all()  # beside the camera


@pytest.mark.parametrize(
    ("model", "coefficients", "says"),
    [
        ("pinhole", (1, 2, 3, 4), "the model must be one of radial-tangential, fisheye, .*, not 'pinhole'"),
        ("fisheye", (0, 0, 0), "fisheye has 4 coefficients, not 3"),
        ("radial-tangential", np.zeros(6), "has 4 or 5 or 8 or 12 coefficients, not 6"),
        ("radial-tangential", (-1e9, 0, 0, 0), "folds the picture over at its middle"),
        ("radial-tangential", (np.nan, 0, 0, 0), "not finite"),
    ],
)
def test_bad_lenses(model, coefficients, says):
    with pytest.raises(InputError, match=f"^distortion: .*{says}"):
        Lens(model, coefficients)
