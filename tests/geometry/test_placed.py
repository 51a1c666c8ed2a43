import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.geometry.placed import MIRROR, PlacedCamera, epipolar_errors

K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


def placed(lens=None, shift=(0.1, -0.2, 0.6)):
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, shift
    return PlacedCamera(Camera(K, 640, 480), matrix, lens, "left")


@pytest.mark.parametrize("lens", [None, Lens("radial-tangential", np.array([-0.2, 0.05, 0.001, 0.0]))])
def test_points_go_to_pixels_and_their_rays_come_back(lens):
    camera, points = placed(lens), np.random.default_rng(0).normal(size=(3, 7, 3)) * 0.1
    before = camera.to_camera(points)
    np.testing.assert_allclose(camera.to_world(before), points, atol=1e-12)
    np.testing.assert_allclose(camera.plane(camera.project(points)), before[..., :2] / before[..., 2:], atol=1e-7)
    np.testing.assert_allclose(camera.to_camera(camera.centre[None]), 0, atol=1e-12)


def test_a_world_may_have_more_of_its_lengths():
    camera, points = placed(), np.array([[0.1, 0.0, 0.2]])
    np.testing.assert_allclose(camera.scaled(10).project(10 * points), camera.project(points))


def test_points_of_one_place_lie_on_each_others_lines():
    one, two = placed(), placed(shift=(-0.3, 0.1, 0.7))
    points = np.random.default_rng(1).normal(size=(20, 3)) * 0.1
    a, b = one.project(points), two.project(points)
    assert epipolar_errors(a, b, one, two).max() < 1e-9
    assert epipolar_errors(a, b + 5, one, two).mean() > 1


def test_what_is_no_placement_is_named():
    with pytest.raises(InputError, match="left: world_to_camera is not a rotation and a translation"):
        PlacedCamera(Camera(K, 640, 480), 2 * np.eye(4), None, "left")
    with pytest.raises(InputError, match="left: world_to_camera is not a rotation"):
        PlacedCamera(Camera(K, 640, 480), MIRROR, None, "left")
