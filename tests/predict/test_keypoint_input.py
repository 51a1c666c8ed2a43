"""What keypoints hold: missing joints, places in a picture, and the camera that they need."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.geometry.distortion import Lens
from phalanx.predict.inputs import PictureCamera, picture_camera
from phalanx.predict.keypoint_input import (
    PicturePoints,
    camera_of_keypoints,
    on_plane,
    picture_points,
    seen_joints,
)

K = [[900.0, 0, 640], [0, 910.0, 360], [0, 0, 1]]


@pytest.fixture
def points() -> np.ndarray:
    """(4, 21, 3) something as large as a hand, in metres, half a metre away."""
    return np.random.default_rng(0).normal(0, 0.05, (4, 21, 3)) + [0.1, 0.0, 0.5]


def projected(points: np.ndarray) -> np.ndarray:
    pixels = points @ np.transpose(K)
    return pixels[..., :2] / pixels[..., 2:]


def test_missing_joints(points):
    points[0, 3] = np.nan
    points[1, 5] = 0
    points[2, 6, 2] = 0  # one coordinate alone says nothing
    points[3] = 0
    confidence = np.ones((4, 21))
    confidence[2, 8] = 0
    expected = np.ones((4, 21), bool)
    expected[0, 3] = expected[1, 5] = expected[2, 8] = expected[3] = False
    np.testing.assert_array_equal(seen_joints(points, confidence), expected)


@pytest.mark.parametrize("root", [0, 9, 20, 13])
@pytest.mark.parametrize("frames", [1, 4])
def test_what_others_are_relative_to_is_not_missing(points, root, frames):
    relative = points[:frames] - points[:frames, root : root + 1]
    assert seen_joints(relative).all()
    absent = np.concatenate((relative, np.full((1, 21, 3), np.nan), np.zeros((1, 21, 3))))
    np.testing.assert_array_equal(seen_joints(absent).sum(1), [21] * frames + [0, 0])
    relative[0, 4] = 0
    seen = seen_joints(relative)
    if frames > 1 or root == 0 or root == 9:
        assert seen.sum() == seen.size - 1 and not seen[0, 4]


def test_joints_in_space_are_no_picture(points):
    everything = np.ones((4, 21), bool)
    for factor in (1, 100, 1000):
        assert picture_points(factor * points, everything) is None
        assert picture_points(factor * (points - points[:, :1]), everything) is None
        assert picture_points(factor * (points - points.mean(1, keepdims=True)), everything, expected=True) is None


@pytest.mark.parametrize("form", ["flat", "zero", "one", "confidence", "relative", "fractions", "said", "expected"])
def test_places_in_a_picture_are_recognised(points, form):
    seen = np.ones((4, 21), bool)
    seen[2, 3] = False
    pixels = projected(points)
    sure = np.random.default_rng(1).random((4, 21))
    relative = (points[..., 2] - points[:, :1, 2]) * 1000
    small = np.concatenate((pixels, relative[..., None]), axis=2) / [1280, 720, 1280]
    given = {
        "flat": pixels,
        "zero": np.insert(pixels, 2, 0, axis=2),
        "one": np.insert(pixels, 2, 1, axis=2),
        "confidence": np.concatenate((pixels, sure[..., None]), axis=2),
        "relative": np.concatenate((pixels, relative[..., None]), axis=2),
        "fractions": small,
        "said": small + [0, 0, 0.01],
        "expected": small + [0, 0, 0.01],
    }[form]
    given[2, 3] = np.nan
    found = picture_points(given, seen, in_picture=form == "said", expected=form == "expected")
    assert found is not None
    assert found.unit == ("fractions" if form in ("fractions", "said", "expected") else "pixels")
    assert (found.depth is not None) == (form in ("relative", "fractions", "said", "expected"))
    assert picture_points(small + [0, 0, 0.01], seen) is None


def test_pixels_and_fractions_lie_on_the_same_plane(points):
    camera = picture_camera(K, 1280, 720)
    pixels = projected(points)
    depth = 900 * (points[..., 2] / points[:, :1, 2] - 1)
    places, deep = on_plane(PicturePoints(pixels, depth, "pixels"), camera)
    np.testing.assert_allclose(places, points[..., :2] / points[..., 2:], atol=1e-12)
    np.testing.assert_allclose(np.diff(deep), np.diff(points[..., 2] / points[:, :1, 2]), atol=1e-12)
    small = PicturePoints((pixels + 0.5) / [1280, 720], depth / 1280, "fractions")
    for ours, theirs in zip(on_plane(small, camera), (places, deep), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_lens_is_taken_out(points):
    camera = picture_camera(K, 1280, 720).camera
    lens = Lens("radial-tangential", np.array([-0.2, 0.05, 0.001, 0.0]))
    plane = points[..., :2] / points[..., 2:]
    bent = lens.distort(plane) @ camera.K[:2, :2].T + camera.K[:2, 2]
    places, depth = on_plane(PicturePoints(bent, None, "pixels"), PictureCamera(camera, lens))
    np.testing.assert_allclose(places, plane, atol=1e-6)
    assert depth is None


def test_cameras():
    assumed = camera_of_keypoints("fractions", (1280, 720), None)
    assert assumed.source == "assumed" and assumed.camera.K[0, 0] == pytest.approx(640 / np.tan(np.pi / 6), rel=1e-3)
    alone = camera_of_keypoints("pixels", None, K)
    assert (alone.camera.width, alone.camera.height, alone.source) == (1281, 721, "given")
    file = {"K": K, "width": 1280, "height": 720}
    sized = camera_of_keypoints("fractions", None, file)
    assert (sized.camera.width, sized.camera.height) == (1280, 720)


@pytest.mark.parametrize(
    ("unit", "size", "camera", "says"),
    [
        (
            "pixels",
            None,
            None,
            r"places in a picture \(pixels\), not in space; give the picture's size .* or its camera",
        ),
        ("fractions", None, None, r"\(0 to 1 across it\), not in space; give the picture's size \(--image-size W,H\)$"),
        ("fractions", None, K, r"give the picture's size \(--image-size W,H\)$"),
        ("pixels", (640.5, 480), None, "image size: must be two whole numbers"),
        ("pixels", (0, 480), None, "image size: must be two whole numbers"),
        ("pixels", (640,), None, r"image size: must have shape \(2,\)"),
    ],
)
def test_what_the_picture_needs_is_said(unit, size, camera, says):
    with pytest.raises(InputError, match=says):
        camera_of_keypoints(unit, size, camera)


def test_another_pictures_size_is_noticed(points):
    with pytest.raises(InputError, match="lie far outside the picture of 64x48 pixels"):
        on_plane(PicturePoints(projected(points), None, "pixels"), picture_camera(None, 64, 48))
