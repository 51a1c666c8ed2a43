from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from phalanx.core.errors import InputError
from phalanx.data.mirror import mirrored
from phalanx.data.public import stb
from phalanx.data.public.stb import CAMERAS, SEQUENCES, STB
from phalanx.hand.model import HandModel

SIZE = (480, 640, 3)


def left_hands() -> np.ndarray:
    """(2, 21, 3) metres: left hands, the palm towards the camera, fingers up."""
    hand = HandModel.open_hand().rest_joints.numpy() * [-1.0, -1, -1] + [0.05, 0.05, 0.6]
    return np.stack((hand, hand + [0.01, 0, 0.1]))


def file_order(joints: np.ndarray) -> np.ndarray:
    """The (3, 21, frames) millimetres of a file: palm centre, little finger, ring, middle, index, thumb."""
    palm = (joints[:, :1] + joints[:, 13:14]) / 2
    fingers = [joints[:, 4 * k + 1 : 4 * k + 5] for k in (4, 3, 2, 1, 0)]
    return 1000 * np.concatenate((palm, *fingers), axis=1).transpose(2, 1, 0)


def save(folder: Path, sequence: str, rig: str, values: np.ndarray, key: str = "handPara") -> None:
    savemat(folder / f"labels/{sequence}_{rig}.mat", {key: values})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test sequences, two frames each; a bright pixel says frame and view."""
    monkeypatch.setitem(stb.OFFICIAL, "frames", 2)
    (tmp_path / "labels").mkdir()
    for sequence in SEQUENCES[:2]:
        (tmp_path / "images" / sequence).mkdir(parents=True)
        for frame in range(2):
            for column, view in enumerate(CAMERAS):
                picture = np.zeros(SIZE, np.uint8)
                picture[frame, column] = 255
                if view == "SK_depth":
                    picture[:] = (0, 2, 40)  # blue, green, red
                cv2.imwrite(str(tmp_path / "images" / sequence / f"{view}_{frame}.png"), picture)
        for rig in ("BB", "SK"):
            save(tmp_path, sequence, rig, file_order(left_hands()))
    return tmp_path


def expected(view: str) -> np.ndarray:
    """Joints (2, 21, 3) in that camera's frame, by another way than the reader's."""
    if view == "BB_right":
        return left_hands() - [0.120054, 0, 0]
    if view == "SK_color":
        rotation, _ = cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))
        return np.linalg.solve(rotation, (1000 * left_hands() - [-24.0381, -0.4563, -1.2326])[..., None])[..., 0] / 1000
    return left_hands()


@pytest.mark.parametrize(
    ("split", "views"),
    [("test_bb", ["BB_left", "BB_right"]), ("test_sk", ["SK_color"]), ("test_sk_depth", ["SK_depth"])],
)
def test_left_hands_of_every_camera_come_as_right_ones(folder, split, views):
    dataset = STB(folder, split)
    assert len(dataset) == 4 * len(views) and STB.recognises(folder)
    for index, sample in enumerate(dataset):
        sequence, frame, view = sample.ids[0].tolist()
        assert (sequence, frame, view) == (index // (2 * len(views)), index // len(views) % 2, index % len(views))
        name = views[view]
        joints = expected(name)[frame]
        np.testing.assert_allclose(sample.joints[0], joints * [-1, 1, 1], atol=1e-6)
        assert sample.left.all() and sample.valid is None
        fx, fy, cx, cy = CAMERAS[name]
        pixels = joints[:, :2] / joints[:, 2:] * [fx, fy] + [cx, cy]
        np.testing.assert_allclose(sample.joints_2d[0], pixels * [-1, 1] + [639, 0], atol=1e-3)
        projected = sample.joints[0] @ sample.K[0].T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], sample.joints_2d[0], atol=1e-3)
        world = np.hstack((left_hands()[frame] * [-1, 1, 1], np.ones((21, 1))))
        np.testing.assert_allclose(
            (world @ sample.world_to_camera[0].double().numpy().T)[:, :3], sample.joints[0], atol=1e-6
        )
        if name == "SK_depth":
            assert sample.image is None and np.allclose(sample.sensed_depth, 0.552)
        else:
            assert sample.image[0, :, frame, 639 - list(CAMERAS).index(name)].tolist() == [1, 1, 1]


def test_the_palm_centre_can_be_had_back(folder):
    plain = mirrored(STB(folder, "test_sk_depth")[0])  # a left hand again
    palm = (plain.joints[0, 0] + plain.joints[0, 13]) / 2
    np.testing.assert_allclose(palm, file_order(left_hands())[:, 0, 0] / 1000, atol=1e-6)


def test_removed_and_added_files_are_named(folder):
    extra = folder / "images/B1Random/BB_left_2.png"
    extra.write_bytes(b"x")
    (folder / "images/B1Random/SK_depth_seg_0.png").write_bytes(b"x")
    with pytest.raises(InputError, match="B1Random/BB_left_2.png: does not belong"):
        STB(folder, "test_bb")
    assert len(STB(folder, "test_sk_depth")) == 4  # the supplement of others is passed over
    extra.unlink()
    (folder / "images/B1Counting/BB_right_1.png").unlink()
    with pytest.raises(InputError, match="B1Counting/BB_right_1.png: is missing"):
        STB(folder, "test_bb")
    assert len(STB(folder, "test_sk")) == 4
    part = STB(folder, "test_bb", whole=False)
    assert len(part) == 7 and part[2].ids.tolist() == [[0, 1, 0]] and part[3].ids.tolist() == [[1, 0, 0]]
    with pytest.raises(InputError, match="has no pictures of the split train_bb"):
        STB(folder, "train_bb", whole=False)
    with pytest.raises(InputError, match="B2Counting/SK_color_0.png: is missing"):
        STB(folder, "train_sk")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (file_order(left_hands())[..., :1], r"handPara: must have shape \(3, 21, 2\), has \(3, 21, 1\)"),
        (file_order(left_hands())[:, :20], r"handPara: must have shape \(3, 21, 2\), has \(3, 20, 2\)"),
        (file_order(left_hands()) / 1000, "should be in millimetres, but seem to be in metres"),
        (file_order(left_hands()) * [1, np.nan], "handPara: frame 1: has values that are not finite"),
        (file_order(left_hands()) * [1, -1], "handPara: frame 1: has a joint behind the camera"),
        (file_order(left_hands()) * [1, 0], "handPara: frame 1: has all joints in one point"),
        (np.array([["a"]]), r"handPara: must have shape \(3, 21, 2\), has"),
        (np.full((3, 21, 2), "a"), "handPara: .*numbers"),
    ],
)
def test_bad_labels_are_named(folder, values, message):
    save(folder, "B1Random", "SK", values)
    with pytest.raises(InputError, match=f"B1Random_SK.mat: .*{message}"):
        STB(folder, "test_sk")


def test_bad_files_are_named(folder):
    path = folder / "labels/B1Counting_BB.mat"
    save(folder, "B1Counting", "BB", np.ones(3), key="other")
    with pytest.raises(InputError, match="B1Counting_BB.mat: has no variable handPara"):
        STB(folder, "test_bb")
    save(folder, "B1Counting", "BB", file_order(left_hands()))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="B1Counting_BB.mat: is damaged"):
        STB(folder, "test_bb")
    path.unlink()
    with pytest.raises(InputError, match="B1Counting_BB.mat: cannot be read: no such file"):
        STB(folder, "test_bb")
    picture = folder / "images/B1Counting/SK_color_0.png"
    dataset = STB(folder, "test_sk")
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(InputError, match="SK_color_0.png: .*(truncated|damaged)"):
        dataset[0]
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="SK_color_0.png: 640x480 pixels expected, has 64x48"):
        dataset[0]


def test_a_real_stereo_pair(tmp_path, real):
    folder = real("stereo_pair")
    images = tmp_path / "images/B1Counting"
    images.mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    for name in ("BB_left_0.png", "BB_right_0.png"):
        (images / name).symlink_to(folder / name)
    (tmp_path / "labels/B1Counting_BB.mat").symlink_to(folder / "B1Counting_BB.mat")
    dataset = STB(tmp_path, "test_bb", whole=False)
    assert len(dataset) == 2
    left, right = dataset
    # Rectified: the same rows, columns apart by focal length times baseline over depth.
    np.testing.assert_allclose(left.joints_2d[..., 1], right.joints_2d[..., 1], atol=1e-3)
    shift = right.joints_2d[..., 0] - left.joints_2d[..., 0]  # in mirrored pictures
    np.testing.assert_allclose(shift, 822.79041 * 0.120054 / left.joints[..., 2], rtol=1e-3)
    assert ((left.joints_2d > 0) & (left.joints_2d < left.joints_2d.new_tensor([640, 480]))).all()
    # The knuckles lie on skin: what is around them looks the same in both pictures, and not in other places.
    errors = []
    for offset in (0, 40):
        patches = []
        for sample, move in ((left, 0), (right, offset)):
            x, y = (sample.joints_2d[0, [5, 9, 13]].round().long() + sample.ids.new_tensor([move, 0])).T
            patches.append(
                np.stack([sample.image[0, :, b - 4 : b + 5, a - 4 : a + 5] for a, b in zip(x, y, strict=True)])
            )
        errors.append(np.abs(patches[0] - patches[1]).mean())
    assert errors[0] < 0.5 * errors[1]
    # All 1,500 frames: fingers curl to the palm's side, which for right hands is across x upwards, and a palm is 7 to 11 cm.
    joints = dataset.joints[0] * [-1, 1, 1]
    across, up = joints[:, 5] - joints[:, 17], joints[:, 9] - joints[:, 0]
    tips = (joints[:, [8, 12, 16, 20]] - joints[:, [5, 9, 13, 17]]).mean(1)
    assert ((np.cross(across, up) * tips).sum(-1) > 0).mean() > 0.9
    assert 0.07 < np.median(np.linalg.norm(up, axis=-1)) < 0.11
