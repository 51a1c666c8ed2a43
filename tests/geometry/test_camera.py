import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera, OrthographicCamera, camera_from_field_of_view, check_camera_matrix
from phalanx.geometry.crops import SquareBox

K = torch.tensor([[500.0, 0, 310], [0, 450, 250], [0, 0, 1]], dtype=torch.float64)
CAMERAS = [Camera(K, 640, 480), OrthographicCamera(K * torch.tensor([[2.0], [2], [1]]), 640, 480)]


@pytest.fixture
def points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 21, 3, generator=generator, dtype=torch.float64) - 0.5 + torch.tensor([0, 0, 1.0])


def test_against_opencv(points):
    expected, _ = cv2.projectPoints(points.reshape(-1, 3).numpy(), np.zeros(3), np.zeros(3), K.numpy(), None)
    found = Camera(K, 640, 480).project(points).reshape(-1, 2)
    torch.testing.assert_close(found, torch.from_numpy(expected.reshape(-1, 2)))


@pytest.mark.parametrize("camera", CAMERAS)
def test_there_and_back(camera, points):
    for some in (camera, camera.crop(SquareBox(200, 220, 90, 0.4), 64), camera.resize(99, 200), camera.mirror()):
        torch.testing.assert_close(some.unproject(some.project(points), points[..., 2]), points)


def test_a_batch_of_cameras(points):
    many = K + torch.arange(3.0)[:, None, None] * torch.diag(torch.tensor([5.0, 7, 0]))
    whole = Camera(many, 640, 480).project(points)
    for i in range(3):
        torch.testing.assert_close(whole[i], Camera(many[i], 640, 480).project(points[i]))
    turned = Camera(many, 640, 480).crop(SquareBox(200, 220, 90, 0.4), 64)
    torch.testing.assert_close(turned.unproject(turned.project(points), points[..., 2]), points)


@pytest.mark.parametrize("camera", CAMERAS)
def test_pictures_and_pixels_move_together(camera, points):
    pixels = camera.project(points)
    middle = pixels.new_tensor([319.5, 239.5])
    assert camera.resize(1280, 240).width == 1280
    smaller = camera.resize(320, 240)
    torch.testing.assert_close(smaller.project(points), (pixels + 0.5) / 2 - 0.5)
    torch.testing.assert_close(Camera(K, 640, 480).resize(320, 240).resize(640, 480).K, K)
    flipped = camera.mirror().project(points * points.new_tensor([-1, 1, 1]))
    torch.testing.assert_close(flipped, pixels * pixels.new_tensor([-1, 1]) + pixels.new_tensor([639, 0]))
    torch.testing.assert_close(camera.mirror().mirror().K, camera.K)
    box = SquareBox(319.5, 239.5, 100.0, np.pi / 2)  # the crop's x axis runs down the picture
    turned = camera.crop(box, 50)
    assert (turned.width, turned.height) == (50, 50)
    offset = (pixels - middle) / 2
    torch.testing.assert_close(turned.project(points), torch.stack((offset[..., 1], -offset[..., 0]), -1) + 24.5)


def test_contains():
    inside = Camera(K, 640, 480).contains(torch.tensor([[-0.5, 0], [-0.6, 0], [639.4, 479.4], [639.5, 3], [3, 480.0]]))
    assert inside.tolist() == [True, False, True, False, False]


def test_field_of_view():
    camera = camera_from_field_of_view(640, 480, 60.0)
    left, right = camera.rays(np.array([[-0.5, 239.5], [639.5, 239.5]]))
    cosine = left @ right / (np.linalg.norm(left) * np.linalg.norm(right))
    assert np.degrees(np.arccos(cosine)) == pytest.approx(60, abs=1e-3)
    with pytest.raises(InputError, match="field of view"):
        camera_from_field_of_view(640, 480, 180.0)


@pytest.mark.parametrize(
    ("matrix", "fault"),
    [
        (np.diag([500.0, 0, 1]), "singular"),
        ([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]], "singular"),
        (np.zeros((3, 3)), "last row"),
        (np.diag([500.0, 500, 2]), "last row"),
        (np.diag([500.0, np.nan, 1]), "not finite"),
        (np.diag([np.inf, 500, 1]), "not finite"),
        (np.eye(4), "must be"),
        ([500.0, 500, 320, 240], "must be"),
        ("K", "not an array"),
        ([[1, 0], [0]], "not an array"),
    ],
)
def test_bad_matrices(matrix, fault):
    with pytest.raises(InputError, match=f"K: .*{fault}"):
        Camera(matrix, 640, 480)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("batched", [False, True])
def test_numpy_and_torch_agree(camera, points, batched):
    many = camera.K + torch.arange(3.0, dtype=torch.float64)[:, None, None] * torch.diag(torch.tensor([5.0, 7, 0]))
    theirs = type(camera)(many if batched else camera.K, 640, 480)
    ours = type(camera)(theirs.K.numpy(), 640, 480)
    box = SquareBox(200, 220, 90, 0.4)
    for change in (lambda c: c, lambda c: c.crop(box, 64), lambda c: c.resize(99, 200), lambda c: c.mirror()):
        array, tensor = change(ours), change(theirs)
        pixels = tensor.project(points)
        for found, wanted in (
            (array.K, tensor.K),
            (array.project(points.numpy()), pixels),
            (array.unproject(pixels.numpy(), points[..., 2].numpy()), tensor.unproject(pixels, points[..., 2])),
        ):
            assert isinstance(found, np.ndarray) and isinstance(wanted, torch.Tensor)
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-10, rtol=1e-12)
        assert (array.contains(pixels.numpy()) == tensor.contains(pixels).numpy()).all()
    if isinstance(camera, Camera):
        np.testing.assert_allclose(ours.rays(points[..., :2].numpy()), theirs.rays(points[..., :2]), atol=1e-10)


def test_good_matrices():
    whole = check_camera_matrix([[500, 0, 320], [0, 500, 240], [0, 0, 1]])
    assert isinstance(whole, np.ndarray) and whole.dtype == np.float64
    assert check_camera_matrix(torch.tensor([[500, 0, 320], [0, 500, 240], [0, 0, 1]])).dtype == torch.float32
    assert check_camera_matrix(np.eye(3, dtype=np.float32)).dtype == np.float32
    assert check_camera_matrix(K) is K
    assert check_camera_matrix(torch.zeros(0, 3, 3)).shape == (0, 3, 3)
    with pytest.raises(InputError, match="640x0"):
        Camera(K, 640, 0)
    with pytest.raises(InputError, match="0x5"):
        Camera(K, 640, 480).resize(0, 5)
