import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import ho3d
from phalanx.data.public.ho3d import HO3D
from phalanx.hand.model import HandModel

K = np.array([[614.6, 0, 320.3], [0, 614.1, 241.8], [0, 0, 1]])
FRAMES = [("ABF10", "0001"), ("ABF10", "0000"), ("SM1", "0007")]


def right_hand() -> np.ndarray:
    """(21, 3) metres with OpenCV axes, the palm towards the camera, fingers up."""
    return HandModel.open_hand().rest_joints.numpy() * [1.0, -1, -1] + [0.05, 0.05, 0.6]


def in_file(joints: np.ndarray) -> np.ndarray:
    """MANO's order (index, middle, little, ring, thumb, then tips) and OpenGL's axes."""
    rows = [joints[:1], *(joints[4 * k + 1 : 4 * k + 4] for k in (1, 2, 4, 3, 0)), joints[[4, 8, 12, 16, 20]]]
    return np.concatenate(rows) * [1, -1, -1]


def labels(split: str) -> dict:
    common = {"camMat": K, "objRot": np.zeros((3, 1)), "objTrans": np.zeros(3), "objName": "021_bleach", "objLabel": 7}
    if split == "evaluation":
        return common | {"handJoints3D": in_file(right_hand())[0], "handBoundingBox": [100, 120, 220, 300]}
    return common | {"handJoints3D": in_file(right_hand()), "handPose": np.zeros(48), "handTrans": np.zeros(3)}


def write(folder: Path, version: int, split: str) -> None:
    suffix = {2: "png", 3: "jpg"}[version]
    (folder / f"{split}.txt").write_text("".join(f"{sequence}/{frame}\n" for sequence, frame in FRAMES))
    for sequence, frame in [*FRAMES, ("SM1", "0099")]:  # one more than listed, without labels
        root = folder / split / sequence
        for kind in ("rgb", "depth", "meta"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        colour, depth = np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640, 3), np.uint8)
        colour[:240] = (0, 100, 250)  # blue, green, red
        depth[..., 2], depth[..., 1] = 200, 18  # red low, green high
        cv2.imwrite(str(root / f"rgb/{frame}.{suffix}"), colour)
        cv2.imwrite(str(root / f"depth/{frame}.png"), depth)
        content = {"handJoints3D": None} if frame == "0099" else labels(split)
        (root / f"meta/{frame}.pkl").write_bytes(pickle.dumps(content, 0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three listed frames of version 3 for training."""
    counts = {"frames": 3, "sequences": 2}
    for suffix in (".png", ".jpg"):
        monkeypatch.setitem(ho3d.OFFICIAL, suffix, {"train": counts, "evaluation": counts})
    write(tmp_path, 3, "train")
    return tmp_path


@pytest.mark.parametrize("version", [2, 3])
def test_training_frames_in_listed_order(folder, tmp_path, version):
    folder = tmp_path / f"v{version}"
    folder.mkdir()
    write(folder, version, "train")
    dataset = HO3D(folder, "train")
    assert (len(dataset), dataset.version, HO3D.recognises(folder)) == (3, version, True)
    assert [sample.ids[0].tolist() for sample in dataset] == [[0, 1, 0], [0, 0, 0], [1, 7, 0]]
    sample = dataset[2]
    np.testing.assert_allclose(sample.joints[0], right_hand(), atol=1e-6)
    projected = right_hand() @ K.T
    np.testing.assert_allclose(sample.joints_2d[0], projected[:, :2] / projected[:, 2:], atol=1e-3)
    np.testing.assert_allclose(sample.sensed_depth, (200 + 256 * 18) * 0.000124986647, rtol=1e-6)
    np.testing.assert_allclose(sample.image[0, :, 100, 300] * 255, [250, 100, 0], atol=3)
    assert sample.valid is None and sample.left is None and sample.boxes is None


def test_evaluation_knows_the_wrist_and_a_box(folder):
    write(folder, 3, "evaluation")
    sample = HO3D(folder, "evaluation")[0]
    assert sample.valid[0].tolist() == [1.0] + [0.0] * 20
    np.testing.assert_allclose(sample.joints[0, 0], right_hand()[0], atol=1e-6)
    assert not sample.joints[0, 1:].any() and not sample.joints_2d[0, 1:].any()
    wrist = right_hand()[0] @ K.T
    np.testing.assert_allclose(sample.joints_2d[0, 0], wrist[:2] / wrist[2], atol=1e-3)
    assert sample.boxes[0].tolist() == [[100, 120, 120, 180], [0, 0, 0, 0]]


def test_removed_files_and_added_lines_are_named(folder):
    (folder / "train/SM1/depth/0007.png").unlink()
    with pytest.raises(InputError, match="train/SM1/depth/0007.png: is missing"):
        HO3D(folder, "train")
    assert len(HO3D(folder, "train", whole=False)) == 2
    with (folder / "train.txt").open("a") as file:
        file.write("SM1/0099\n")
    with pytest.raises(InputError, match="train.txt: 3 frames expected, 4 found"):
        HO3D(folder, "train")
    dataset = HO3D(folder, "train", whole=False)
    with pytest.raises(InputError, match="SM1/meta/0099.pkl: has no labels"):
        dataset[2]
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ABF10/0001\nABF10\n", "train.txt: line 2: SEQUENCE/FRAME expected"),
        ("ABF10/0001\n../../x/0001\n", "train.txt: line 2: SEQUENCE/FRAME expected"),
        ("ABF10/0001\n\nABF10/0001\n", "train.txt: line 3: lists the frame of line 1 again"),
        ("\n", "train.txt: lists no frames"),
        ("XX/0001\n", "has none of the pictures that train.txt lists"),
    ],
)
def test_bad_lists_are_named(folder, text, message):
    (folder / "train.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        HO3D(folder, "train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"handJoints3D": in_file(right_hand())[:20]}, r"handJoints3D: must have shape \(21, 3\), has \(20, 3\)"),
        ({"handJoints3D": in_file(right_hand()) * np.nan}, "handJoints3D: has values that are not finite"),
        ({"handJoints3D": in_file(right_hand()) * 1000}, "should be in metres, but seem to be in millimetres"),
        ({"handJoints3D": in_file(right_hand()) * [1, -1, -1]}, "behind the camera"),
        ({"camMat": None}, "camMat: "),
        ({"camMat": np.zeros((3, 3))}, "camMat: the camera matrix is singular"),
    ],
)
def test_bad_labels_are_named(folder, values, message):
    (folder / "train/ABF10/meta/0001.pkl").write_bytes(pickle.dumps(labels("train") | values, 2))
    with pytest.raises(InputError, match=f"0001.pkl: .*{message}"):
        HO3D(folder, "train")[0]


def test_bad_files_are_named(folder):
    dataset = HO3D(folder, "train")
    meta = folder / "train/ABF10/meta/0001.pkl"
    meta.write_bytes(meta.read_bytes()[:60])
    with pytest.raises(InputError, match="0001.pkl: not a readable pickle"):
        dataset[0]
    meta.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="0001.pkl: is no dictionary with handJoints3D"):
        dataset[0]
    depth = folder / "train/ABF10/depth/0001.png"
    depth.write_bytes(depth.read_bytes()[:80])
    with pytest.raises(InputError, match="depth/0001.png: .*(truncated|damaged)"):
        dataset[0]
    cv2.imwrite(str(folder / "train/ABF10/rgb/0001.jpg"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="rgb/0001.jpg: 640x480 pixels expected, has 64x48"):
        dataset[0]
    write(folder, 3, "evaluation")
    box = labels("evaluation") | {"handBoundingBox": [100, 120, 90, 300]}
    (folder / "evaluation/ABF10/meta/0001.pkl").write_bytes(pickle.dumps(box))
    with pytest.raises(InputError, match="handBoundingBox has no width"):
        HO3D(folder, "evaluation")[0]
    (folder / "train.txt").unlink()
    with pytest.raises(InputError, match="train.txt: cannot be read"):
        HO3D(folder, "train")
