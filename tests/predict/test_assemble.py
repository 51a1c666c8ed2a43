"""From a posed hand to a prediction: fields in the frame of the picture, sizes, sides and what is passed on."""

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.predict.assemble import assemble

K = np.array([[300.0, 0, 150], [0, 306, 125], [0, 0, 1]])
OTHERS = {"side": "right", "score": 0.5, "box": [0, 0, 10, 10], "uncertainty": np.ones(21)}


@pytest.fixture(scope="module")
def model():
    return HandModel.open_hand()


@pytest.fixture(scope="module")
def angles():
    degrees = torch.zeros(1, 23)
    degrees[0, ANGLE_NAMES.index("index_pip_flexion")] = 35.0
    return degrees


@pytest.fixture(scope="module")
def pose(angles):
    facing = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    shape = torch.linspace(-1, 1, 10)[None]
    return HandPose(angles_to_rotations(torch.deg2rad(angles)), shape, facing[None], torch.tensor([[0.04, 0.09, 0.5]]))


@pytest.mark.parametrize("flip", [False, True])
def test_joints_surface_and_spheres_are_in_the_pictures_frame(model, pose, angles, flip):
    spheres = torch.randn(41, 3)
    hand = assemble(model, pose, Camera(K, 320, 240), flip, spheres=spheres, **OTHERS)
    mirror = [-1 if flip else 1, 1, 1]
    surface = model(pose)
    np.testing.assert_allclose(hand.joints, surface.joints[0] * torch.tensor(mirror), atol=1e-7)
    np.testing.assert_allclose(hand.vertices, surface.vertices[0] * torch.tensor(mirror), atol=1e-7)
    np.testing.assert_allclose(hand.spheres, spheres * torch.tensor(mirror), atol=1e-7)
    pixels = hand.joints @ K.T
    np.testing.assert_allclose(hand.joints_2d, pixels[:, :2] / pixels[:, 2:])
    np.testing.assert_allclose(list(hand.angles_degrees.values()), angles[0], atol=1e-3)
    assert list(hand.angles_degrees) == list(ANGLE_NAMES)
    for name in ("rotations", "orientation", "shape"):
        np.testing.assert_allclose(getattr(hand, name), getattr(pose, name)[0], atol=1e-7)
    corners = hand.vertices[hand.faces] - hand.vertices.mean(0)
    assert (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() > 0  # never inside out
    assert (hand.width, hand.height, hand.scale) == (320, 240, 1)
    np.testing.assert_array_equal(hand.K, K)


def test_a_length_scales_the_hand_about_the_camera(model, pose):
    camera = Camera(K, 320, 240)
    plain, sized = (assemble(model, pose, camera, True, length, **OTHERS) for length in (None, 0.21))
    chain = sized.joints[[0, 9, 10, 11, 12]]
    assert np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() == pytest.approx(0.21, abs=1e-6)
    np.testing.assert_allclose(sized.joints, sized.scale * plain.joints)
    np.testing.assert_allclose(sized.vertices, sized.scale * plain.vertices)
    np.testing.assert_allclose(sized.joints_2d, plain.joints_2d)


def test_what_does_not_follow_from_the_pose_is_passed_on(model, pose):
    said = {**OTHERS, "side": "left", "mirrored": True, "camera_source": "given", "scale_source": "depth"}
    hand = assemble(model, pose, Camera(K, 320, 240), False, **said, side_source="guessed", fit_error_mm=3.5)
    assert (hand.side, hand.mirrored, hand.camera_source, hand.scale_source) == ("left", True, "given", "depth")
    assert (hand.side_source, hand.fit_error_mm, hand.score, hand.spheres) == ("guessed", 3.5, 0.5, None)
    np.testing.assert_array_equal(hand.box, [0, 0, 10, 10])


@pytest.mark.parametrize("distance", [-0.5, 0.0, 0.05])
def test_a_hand_behind_the_camera_is_never_given(model, pose, distance):
    near = HandPose(pose.rotations, pose.shape, torch.eye(3)[None], torch.tensor([[0.0, 0, distance]]))
    near.orientation = torch.tensor([[[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]])  # fingers point at the camera
    with pytest.raises(InputError, match="behind the camera"):
        assemble(model, near, Camera(K, 320, 240), False, **OTHERS)
