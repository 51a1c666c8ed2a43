from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from phalanx.core.errors import InputError
from phalanx.data.public.photos3d import read_photos3d


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos of random joints, 40 cm from the camera."""
    (tmp_path / "images").mkdir()
    for index in range(3):
        picture = np.full((256, 256, 3), (index, 100, 200), np.uint8)  # blue = index
        cv2.imwrite(str(tmp_path / f"images/{index}.png"), picture)
    save_params(tmp_path)
    save_poses(tmp_path, poses())
    return tmp_path


def save_params(folder: Path, **changes) -> None:
    values = {
        "image_path": np.array([f"images/{index}.png  " for index in range(3)]),
        "bbox": np.array([[380, 164, 512, 512], [371, 159, 500, 500], [300, 100, 256, 256]]),
        "cam_param": np.array([[900.0, 910.0, 640.0, 360.0]] * 3),
        **changes,
    }
    savemat(folder / "params.mat", {name: value for name, value in values.items() if value is not None})


def poses(second: float | None = None) -> np.ndarray:
    """(3, 21, 3) centimetres, at 40 cm; all numbers of the second hand are `second`, if it is given."""
    hands = np.random.default_rng(1).normal(size=(3, 21, 3)) * 4 + [0, 5, 40]
    if second is not None:
        hands[1] = second
    return hands


def save_poses(folder: Path, poses: np.ndarray) -> None:
    savemat(folder / "pose_gt.mat", {"pose_gt": poses.astype(np.float32)})


def test_labels_are_metres_and_pixels_of_the_crop(folder):
    joints = np.tile(np.array([8.0, -4.0, 40.0]), (3, 21, 1))
    joints[:, 9:] = 0.0, 4.0, 40.0
    save_poses(folder, joints)
    photos = read_photos3d(folder)
    assert (len(photos), photos.side) == (3, "left")
    np.testing.assert_allclose(photos.joints, joints / 100)
    expected = [(8 / 40 * 900 + 640 - 380) * 256 / 512, (-4 / 40 * 910 + 360 - 164) * 256 / 512]
    np.testing.assert_allclose(photos.joints_2d[0, :9], [expected] * 9)
    np.testing.assert_allclose(photos.K[0], [[450, 0, 130], [0, 455, 98], [0, 0, 1]])


def test_images_are_rgb(folder):
    image = read_photos3d(folder).image(2)
    assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
    assert image[0, 0].tolist() == [200, 100, 2]


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "params.mat").unlink(), r"params\.mat: cannot be read: no such file"),
        (lambda f: truncate(f / "pose_gt.mat", 700), r"pose_gt\.mat: is damaged or not a MATLAB file"),
        (lambda f: truncate(f / "pose_gt.mat", 0), r"pose_gt\.mat: the file is empty"),
        (lambda f: (f / "params.mat").write_text("hello" * 100), r"params\.mat: is damaged or not a MATLAB file"),
        (lambda f: save_params(f, bbox=None), r"params\.mat: has no variable bbox"),
        (lambda f: save_poses(f, np.ones((2, 21, 3))), r"pose_gt: must have shape \(3, 21, 3\), has \(2, 21, 3\)"),
        (lambda f: save_poses(f, poses(second=np.nan)), r"pose_gt: photo 1: has values that are not finite"),
        (lambda f: save_poses(f, poses() * [1, 1, -1]), r"pose_gt: photo 0: has a joint behind the camera"),
        (lambda f: save_poses(f, poses(second=40.0)), r"pose_gt: photo 1: has all joints in one point"),
        (lambda f: save_poses(f, poses(second=0.0)), r"pose_gt: photo 1: has all joints in one point"),
        (lambda f: save_poses(f, poses() / 100), r"pose_gt\.mat: .* in centimetres, but seem to be in metres"),
        (lambda f: save_poses(f, poses() * 10), r"pose_gt\.mat: .* in centimetres, but seem to be in millimetres"),
        (lambda f: save_params(f, bbox=np.zeros((3, 4))), "bbox: photo 0: has a box without width"),
        (lambda f: save_params(f, bbox=np.full((3, 4), np.inf)), "bbox: photo 0: has values that are not finite"),
        (lambda f: save_params(f, cam_param=np.zeros((3, 4))), "photo 0: has a focal length that is not positive"),
        (lambda f: save_params(f, cam_param=np.array([["a"] * 4] * 3)), "cam_param"),
        (lambda f: save_params(f, image_path=np.array([], dtype="U1")), "lists no pictures"),
        (lambda f: (f / "images/1.png").unlink(), r"images/1\.png: listed in params\.mat but missing"),
    ],
)
def test_faults_are_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read_photos3d(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_photos3d(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: truncate(path, path.stat().st_size // 2), "is truncated"),
        (lambda path: cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8)), "256x256 pixels expected, has 30x20"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_bad_pictures_are_named(folder, spoil, message):
    photos = read_photos3d(folder)
    spoil(folder / "images/0.png")
    with pytest.raises(InputError, match=rf"images/0\.png: (.* )?{message}"):
        photos.image(0)


def test_real_photos_have_hands_of_human_size_within_the_crop(real):
    photos = read_photos3d(real("photos_3d"))
    assert len(photos) == 200
    chain = np.linalg.norm(np.diff(photos.joints[:, [0, 9, 10, 11, 12]], axis=1), axis=-1).sum(1)
    assert ((chain > 0.15) & (chain < 0.23)).all()  # wrist to middle fingertip, metres
    assert ((photos.joints_2d > -1) & (photos.joints_2d < 257)).all()
    assert all(photos.image(index).shape == (256, 256, 3) for index in (0, 99, 199))
