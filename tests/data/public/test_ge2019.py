from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.data.public import ge2019
from phalanx.data.public.ge2019 import Ge2019Real, Ge2019Synthetic, camera_motion
from phalanx.hand.model import HandModel

BONES = [f"{finger}_L_0{k}" for finger in ("thumb", "index", "mid", "ring", "pinky") for k in range(1, 5)]
NAMES = ["loc_bn_palm_L", *(f"loc_bn_{bone}" for bone in BONES)]
# The first camera and the first pose that the authors publish (numbers of their text files).
CAMERA = np.array([280.00056, 13.95982816, 17.13475022, 21.7892598, -0.5846429987, 3.604158495, -0.1764621043])
SIDE_CAMERA = np.array([400.0008, 33.48176275, 4.680100047, 17.25974031, 21, 56, 0])


def left_hands() -> np.ndarray:
    """(2, 21, 3) centimetres where the authors' hand is: y up, the palm to the front."""
    hand = HandModel.open_hand().rest_joints.numpy() * [-100.0, 100, 100] + [12, 11, 0]
    return np.stack((hand, hand + [0.5, 0, 1]))


def cameras() -> np.ndarray:
    """(2 poses, 6 cameras, 7)"""
    values = np.stack([CAMERA, SIDE_CAMERA] * 3)
    return np.stack((values, values + [0, 0.3, 0, 0.1, 0, 1, 0]))


def seen_from(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points in a camera that looks along its -z, turned about x, then y, then z; with OpenCV's axes."""
    turned = Rotation.from_euler("xyz", camera[4:], degrees=True).inv().apply(points - camera[1:4])
    return turned * [1, -1, -1]


def text(names: list[str], values: np.ndarray) -> str:
    blocks = (
        "\n" + "".join(f"{name} {' '.join(map(repr, row.tolist()))} \n" for name, row in zip(names, block, strict=True))
        for block in values
    )
    return "".join(blocks)


def surface() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(600, 3)) * 4 + [12, 15, 0]


def obj(vertices: np.ndarray) -> str:
    lines = ["# hand", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices), "vt 0 0", "f 1/1 2/1 3/1", "v 9 9 9"]
    return "\n".join(lines) + "\n"


def save_labels(folder: Path, joints=None, views=None, names=NAMES) -> None:
    (folder / "3D_labels").mkdir(exist_ok=True)
    (folder / "3D_labels/handGestures.txt").write_text(text(names, left_hands() if joints is None else joints))
    numbers = [f"cam{number:02d}" for number in range(1, 7)]
    (folder / "3D_labels/camPosition.txt").write_text(text(numbers, cameras() if views is None else views))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One light, six cameras (the sixth for validation), two poses; the hand's mask is the picture's left part."""
    for key, count in (("lights", 1), ("cameras", 6), ("poses", 2)):
        monkeypatch.setitem(ge2019.OFFICIAL, key, count)
    monkeypatch.setattr(ge2019, "VALIDATION_CAMERAS", (6,))
    save_labels(tmp_path)
    (tmp_path / "3D_labels/val-camera.txt").write_text("cam06\n")
    picture = np.zeros((200, 220, 4), np.uint8)
    picture[:, :70] = (30, 20, 10, 255)  # blue, green, red, alpha
    for camera in range(1, 7):
        (tmp_path / f"images/l01/cam{camera:02d}").mkdir(parents=True)
        for pose in (1, 2):
            name = f"handV2_rgt01_specTest5_gPoses_ren_25cRrRs_l01_cam{camera:02d}_.{pose:04d}.png"
            cv2.imwrite(str(tmp_path / f"images/l01/cam{camera:02d}/{name}"), picture)
    return tmp_path


@pytest.mark.parametrize(("split", "numbers"), [("train", [1, 2, 3, 4, 5]), ("val", [6])])
def test_left_hands_of_every_camera_come_as_right_ones(folder, split, numbers):
    dataset = Ge2019Synthetic(folder, split)
    assert Ge2019Synthetic.recognises(folder) and not Ge2019Real.recognises(folder)
    assert [sample.ids[0].tolist() for sample in dataset] == [
        [1, pose, camera] for camera in numbers for pose in (1, 2)
    ]
    for sample in dataset:
        _, pose, number = sample.ids[0].tolist()
        camera = cameras()[pose - 1, number - 1]
        joints = seen_from(camera, left_hands()[pose - 1]) / 100
        assert (joints[:, 2] > 0.1).all()
        np.testing.assert_allclose(sample.joints[0], joints * [-1, 1, 1], atol=1e-6)
        pixels = joints[:, :2] / joints[:, 2:] * camera[0] + [110, 100]
        np.testing.assert_allclose(sample.joints_2d[0], pixels * [-1, 1] + [219, 0], atol=1e-3)
        projected = sample.joints[0] @ sample.K[0].T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], sample.joints_2d[0], atol=1e-3)
        world = np.hstack((left_hands()[pose - 1] / 100 * [-1, 1, 1], np.ones((21, 1))))
        np.testing.assert_allclose(
            (world @ sample.world_to_camera[0].double().numpy().T)[:, :3], sample.joints[0], atol=1e-6
        )
        assert sample.left.all() and sample.vertices is None
        assert sample.mask[0, 5].tolist() == [0.0] * 150 + [1.0] * 70
        assert (sample.image[0, :, 5, 219] * 255).tolist() == [10, 20, 30] and sample.image[0, :, 5, 0].tolist() == [
            1,
            1,
            1,
        ]


def test_cameras_move_rigidly():
    motion = camera_motion(SIDE_CAMERA)
    np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(motion[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(motion @ [*SIDE_CAMERA[1:4] / 100, 1], [0, 0, 0, 1], atol=1e-12)


def test_surfaces_without_the_arm(folder):
    (folder / "hand_3D_mesh").mkdir()
    for pose in (1, 2):
        (folder / f"hand_3D_mesh/some_name.{pose:04d}.obj").write_text(obj(surface() + pose))
    sample = Ge2019Synthetic(folder, "val")[1]
    hand = np.concatenate((surface()[:473], surface()[529:])) + 2
    expected = seen_from(cameras()[1, 5], hand) / 100 * [-1, 1, 1]
    np.testing.assert_allclose(sample.vertices[0], expected, atol=1e-6)
    (folder / "hand_3D_mesh/some_name.0002.obj").write_text(obj(surface()[:400]))
    with pytest.raises(InputError, match="0002.obj: has 400 vertices, which are too few"):
        Ge2019Synthetic(folder, "val")[1]
    (folder / "hand_3D_mesh/some_name.0002.obj").unlink()
    with pytest.raises(InputError, match="hand_3D_mesh: has no surface of pose 0002"):
        Ge2019Synthetic(folder, "val")


def test_removed_and_added_files_are_named(folder):
    extra = folder / "images/l01/cam03/other.png"
    extra.write_bytes(b"x")
    with pytest.raises(InputError, match="l01/cam03/other.png: does not belong"):
        Ge2019Synthetic(folder, "train")
    extra.unlink()
    name = "handV2_rgt01_specTest5_gPoses_ren_25cRrRs_l01_cam03_.0002.png"
    (folder / "images/l01/cam03" / name).unlink()
    with pytest.raises(InputError, match=f"cam03/{name}: is missing"):
        Ge2019Synthetic(folder, "train")
    assert len(Ge2019Synthetic(folder, "train", whole=False)) == 9
    assert len(Ge2019Synthetic(folder, "val")) == 2


def nan_joints() -> np.ndarray:
    joints = left_hands()
    joints[1, 3] = np.nan
    return joints


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"joints": left_hands()[:1]}, "handGestures.txt: 2 poses expected, 1 found"),
        ({"joints": left_hands() / 100}, "should be in centimetres, but seem to be in metres"),
        ({"joints": nan_joints()}, "handGestures.txt: has values that are not finite"),
        (
            {"joints": left_hands()[:, :20], "names": NAMES[:20]},
            "handGestures.txt: line 23: loc_bn_pinky_L_04 and 3 numbers",
        ),
        ({"joints": left_hands()[..., :2]}, "handGestures.txt: line 2: loc_bn_palm_L and 3 numbers expected"),
        ({"names": NAMES[::-1]}, "handGestures.txt: line 2: loc_bn_palm_L"),
        ({"views": cameras() * 0}, "a focal length that is not positive"),
        ({"views": cameras()[:1]}, "camPosition.txt: 2 poses expected, 1 found"),
    ],
)
def test_bad_labels_are_named(folder, labels, message):
    save_labels(folder, **labels)
    with pytest.raises(InputError, match=message):
        Ge2019Synthetic(folder, "train")


def test_bad_files_are_named(folder):
    gestures = folder / "3D_labels/handGestures.txt"
    whole = gestures.read_text()
    gestures.write_text(whole[:-200])
    with pytest.raises(InputError, match="handGestures.txt: "):
        Ge2019Synthetic(folder, "train")
    gestures.write_text("\n".join(whole.split("\n")[:-5]))
    with pytest.raises(InputError, match="handGestures.txt: ends within a pose"):
        Ge2019Synthetic(folder, "train")
    gestures.write_text(whole.replace("thumb_L_01 ", "thumb_L_01 x", 1))
    with pytest.raises(InputError, match="handGestures.txt: line 3: not 3 numbers"):
        Ge2019Synthetic(folder, "train")
    gestures.write_text(whole)
    picture = next((folder / "images/l01/cam06").glob("*0001.png"))
    cv2.imwrite(str(picture), np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(InputError, match="0001.png: has no alpha channel"):
        Ge2019Synthetic(folder, "val")[0]
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(InputError, match="0001.png: .*(truncated|damaged)"):
        Ge2019Synthetic(folder, "val")[0]
    (folder / "3D_labels/val-camera.txt").write_text("cam05\n")
    with pytest.raises(InputError, match="val-camera.txt: is not the official list cam06"):
        Ge2019Synthetic(folder, "val")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos of left hands half a metre away."""
    monkeypatch.setitem(ge2019.OFFICIAL, "photos", 2)
    (tmp_path / "images").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"images/{number:05d}.jpg"), np.zeros((256, 256, 3), np.uint8))
    save_photos(tmp_path, photo_joints())
    return tmp_path


def photo_joints() -> np.ndarray:
    return left_hands() * [1, -1, -1] - [12, -15, -50]


def save_photos(folder: Path, joints: np.ndarray) -> None:
    paths = np.array([f"images/{number:05d}.jpg" for number in range(len(joints))])
    box, camera = [[512, 200, 300, 300]], [[923.648, 923.759, 640.047, 362.336]]
    parameters = {"image_path": paths, "bbox": box * len(joints), "cam_param": camera * len(joints)}
    savemat(folder / "params.mat", parameters)
    savemat(folder / "pose_gt.mat", {"pose_gt": joints.astype(np.float32)})


def test_photos(photos):
    dataset = Ge2019Real(photos)
    assert len(dataset) == 2 and Ge2019Real.recognises(photos)
    sample = dataset[1]
    np.testing.assert_allclose(sample.joints[0], photo_joints()[1] / 100 * [-1, 1, 1], atol=1e-6)
    x, y, z = photo_joints()[1].T
    u, v = (x / z * 923.648 + 640.047 - 512) * 256 / 300, (y / z * 923.759 + 362.336 - 200) * 256 / 300
    np.testing.assert_allclose(sample.joints_2d[0], np.stack((255 - u, v), 1), atol=1e-3)
    assert sample.ids.tolist() == [[0, 1, 0]] and sample.left.all() and sample.vertices is None
    (photos / "real_hand_3D_mesh").mkdir()
    (photos / "real_hand_3D_mesh/00000.obj").write_text(obj(surface()))
    with pytest.raises(InputError, match="real_hand_3D_mesh/00001.obj: is missing"):
        Ge2019Real(photos)
    (photos / "real_hand_3D_mesh/00001.obj").write_text(obj(surface() + 1))
    vertices = Ge2019Real(photos)[1].vertices[0]
    np.testing.assert_allclose(vertices[0], (surface()[0] + 1) / 100 * [-1, 1, 1], atol=1e-6)
    assert len(vertices) == 600 - 56


def test_bad_photos_are_named(photos):
    extra = photos / "images/00002.jpg"
    extra.write_bytes(b"x")
    with pytest.raises(InputError, match="images/00002.jpg: does not belong"):
        Ge2019Real(photos)
    extra.unlink()
    save_photos(photos, photo_joints() / 100)
    with pytest.raises(InputError, match="pose_gt.mat: joints should be in centimetres, but seem to be in metres"):
        Ge2019Real(photos)
    save_photos(photos, photo_joints()[:1])
    with pytest.raises(InputError, match="params.mat: 2 photos expected, 1 found"):
        Ge2019Real(photos)
    save_photos(photos, photo_joints())
    (photos / "images/00001.jpg").unlink()
    with pytest.raises(InputError, match="images/00001.jpg: listed in params.mat but missing"):
        Ge2019Real(photos)


def test_real_photos_show_right_hands(real):
    folder = real("photos_3d")
    with pytest.raises(InputError, match="583 photos expected, 200 found"):
        Ge2019Real(folder)
    dataset = Ge2019Real(folder, whole=False)
    right = []
    for index in range(0, 200, 8):
        sample = dataset[index]
        joints = sample.joints[0].numpy()
        assert sample.image.shape == (1, 3, 256, 256)
        assert ((sample.joints_2d > -2) & (sample.joints_2d < 258)).all()
        across, up = joints[5] - joints[17], joints[9] - joints[0]
        tips = (joints[[8, 12, 16, 20]] - joints[[5, 9, 13, 17]]).mean(0)
        right.append(np.cross(across, up) @ tips > 0)
    assert np.mean(right) > 0.85  # some fingers are bent backwards
