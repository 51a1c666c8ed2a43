import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from true_hands import open_hand

from phalanx.core.errors import InputError
from phalanx.data.public import rhd
from phalanx.data.public.rhd import RHD

TO_THEIRS = [0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17]  # its own inverse
K = np.array([[299.0, 0, 160], [0, 299, 160], [0, 0, 1]])


def project(points: np.ndarray) -> np.ndarray:
    pixels = points @ K.T
    return pixels[..., :2] / pixels[..., 2:]


def draw(folder: Path, number: int, mask: np.ndarray) -> None:
    colour = np.zeros((320, 320, 3), np.uint8)
    colour[10, 20] = (1, 2, 255)  # blue, green, red
    depth = np.zeros((320, 320, 3), np.uint8)
    depth[..., 2], depth[..., 1] = 30, 7  # red high, green low
    for kind, picture in (("color", colour), ("depth", depth), ("mask", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f"{number:05d}.png"), picture)


def save(folder: Path, labels) -> None:
    (folder / "anno_evaluation.pickle").write_bytes(pickle.dumps(labels, 2))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures of a right hand and its mirror image, left of it; in the second more is seen of the left one."""
    monkeypatch.setitem(rhd.OFFICIAL, "evaluation", 2)
    root = tmp_path / "evaluation"
    mask = np.zeros((320, 320), np.uint8)
    mask[:10] = 1
    mask[100:120, 200:230], mask[90:100, 200:230] = 33, 21  # palm and tip of the index finger, right
    mask[100:110, 80:110] = 17
    draw(root, 0, mask)
    mask[100:200, 80:110], mask[90:95, 80:110] = 17, 2  # tip of the thumb, left
    draw(root, 1, mask)
    save(root, {number: label() for number in range(2)})
    return tmp_path


def label() -> dict[str, np.ndarray]:
    right = open_hand()
    xyz = np.concatenate(((right * [-1, 1, 1])[TO_THEIRS], right[TO_THEIRS])).astype(np.float32)
    seen = np.ones((42, 1))
    seen[[3, 24]] = 0  # thumb MCP of both
    return {"xyz": xyz, "uv_vis": np.hstack((project(xyz), seen)), "K": K.astype(np.float32)}


@pytest.mark.parametrize("index", [0, 1])
def test_the_larger_hand_comes_as_a_right_one(folder, index):
    dataset = RHD(folder, "evaluation")
    assert (len(dataset), RHD.recognises(folder)) == (2, True)
    sample = dataset[index]
    left = index == 1
    np.testing.assert_allclose(sample.joints[0], open_hand(), atol=1e-6)
    np.testing.assert_allclose(
        (sample.joints @ sample.K.mT)[..., :2] / sample.joints[..., 2:], sample.joints_2d, atol=1e-3
    )
    expected = project(open_hand() * [-1, 1, 1]) * [-1, 1] + [319, 0] if left else project(open_hand())
    np.testing.assert_allclose(sample.joints_2d[0], expected, atol=1e-3)
    assert sample.left.item() == left and sample.ids.tolist() == [[0, index, int(left)]]
    assert sample.visible[0].tolist() == [float(joint != 2) for joint in range(21)]
    assert "valid" not in sample.present()


def test_pictures_depth_mask_and_parts(folder):
    dataset = RHD(folder, "evaluation")
    right, left = dataset[0], dataset[1]
    assert (right.image[0, :, 10, 20] * 255).tolist() == [255, 2, 1]
    assert (left.image[0, :, 10, 299] * 255).tolist() == [255, 2, 1]
    np.testing.assert_allclose(right.sensed_depth, (30 * 256 + 7) / 65535 * 5, rtol=1e-6)
    assert right.mask.sum() == 900 and right.mask[0, 110, 210] == 1 and right.mask[0, 105, 90] == 0
    assert ((right.depth > 0) == (right.mask > 0)).all()
    assert right.parts[0, 110, 210] == 1  # palm
    assert right.parts[0, 95, 210] == 1 + 7  # last segment of the index finger: 2 + 3 of the thumb + 2
    assert left.mask.sum() == 3150 and left.parts[0, 92, 319 - 90] == 1 + 4
    assert left.parts[0, 150, 319 - 90] == 1 and left.parts[0, 5, 5] == 0


def test_removed_and_added_files_are_named(folder):
    extra = folder / "evaluation/depth/00002.png"
    extra.write_bytes(b"x")
    with pytest.raises(InputError, match="depth/00002.png: does not belong"):
        RHD(folder, "evaluation")
    extra.unlink()
    (folder / "evaluation/color/00001.png").unlink()
    with pytest.raises(InputError, match="color/00001.png: is missing"):
        RHD(folder, "evaluation")
    assert len(RHD(folder, "evaluation", whole=False)) == 1


def changed(**values) -> dict:
    return {0: label() | values, 1: label()}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({0: label()}, "anno_evaluation.pickle: 2 labelled pictures expected, 1 found"),
        ([1, 2], "is not a dictionary"),
        (changed(xyz=np.zeros((41, 3))), r"picture 0: xyz: must have shape \(42, 3\), has \(41, 3\)"),
        (changed(K=None), "picture 0: K is missing"),
        (changed(uv_vis=np.full((42, 3), np.nan)), "picture 0: uv_vis: has values that are not finite"),
        ({n: label() | {"xyz": label()["xyz"] * 1000} for n in range(2)}, "in metres, but seem to be in millimetres"),
        ({0: label(), 1: label() | {"K": K * 0}}, "picture 1: K: is no camera's matrix"),
        (
            {0: label(), 1: label() | {"xyz": label()["xyz"] * [1, 1, -1]}},
            "picture 1: xyz: has a joint behind the camera",
        ),
        ({n: label() | {"uv_vis": label()["uv_vis"][:, [1, 0, 2]]} for n in range(2)}, "are u and v swapped"),
    ],
)
def test_bad_labels_are_named(folder, labels, message):
    save(folder / "evaluation", labels)
    with pytest.raises(InputError, match=message):
        RHD(folder, "evaluation")


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_a_hand_in_one_point_is_refused_where_it_is_the_one_shown(folder, fill):
    point = label()
    point["xyz"][21:], point["uv_vis"][21:] = fill, 0  # the right hand's labels are missing
    save(folder / "evaluation", {0: point, 1: point})
    dataset = RHD(folder, "evaluation")
    with pytest.raises(InputError, match="xyz of picture 0: has all joints of the hand shown in one point"):
        dataset[0]
    np.testing.assert_allclose(dataset[1].joints[0], open_hand(), atol=1e-6)


def test_bad_files_are_named(folder):
    path = folder / "evaluation/mask/00000.png"
    content = path.read_bytes()
    dataset = RHD(folder, "evaluation")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="mask/00000.png: .*(truncated|damaged)"):
        dataset[0]
    cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match="mask/00000.png: 320x320 pixels expected"):
        dataset[0]
    cv2.imwrite(str(path), np.full((320, 320), 40, np.uint8))
    with pytest.raises(InputError, match="mask/00000.png: has classes beyond 33"):
        dataset[0]
    pickled = folder / "evaluation/anno_evaluation.pickle"
    pickled.write_bytes(pickled.read_bytes()[:100])
    with pytest.raises(InputError, match="anno_evaluation.pickle: not a readable pickle"):
        RHD(folder, "evaluation")
    with pytest.raises(InputError, match="the split test is none of training, evaluation"):
        RHD(folder, "test")
    with pytest.raises(IndexError):
        dataset[2]


def test_real_pictures(tmp_path, real):
    """The authors' labels were converted to JSON by others, in RHD's joint order: packed as RHD has them, they read as hands."""
    folder = real("benchmark_samples/rhd")
    content = json.loads((folder / "test_rhd.json").read_text())
    labels, sides = {}, {}
    for image, hand in zip(content["images"], content["annotations"], strict=True):
        number = image["id"]
        assert hand["image_id"] == number
        sides[number] = hand["hand_type"]
        side = slice(0, 21) if hand["hand_type"] == "left" else slice(21, 42)
        xyz, uv = np.ones((42, 3)), np.zeros((42, 3))
        xyz[side], uv[side] = np.array(hand["joint_cam"]) / 1000, hand["keypoints"]
        camera = image["cam_param"]
        matrix = np.diag([*camera["focal"], 1.0])
        matrix[:2, 2] = camera["princpt"]
        labels[number] = {"xyz": xyz, "uv_vis": uv, "K": matrix}
        draw(tmp_path / "evaluation", number, np.full((320, 320), 17 if sides[number] == "left" else 33, np.uint8))
        (tmp_path / f"evaluation/color/{number:05d}.png").write_bytes((folder / image["file_name"]).read_bytes())
    for number, item in labels.items():  # the other hand, which these files lack
        other = slice(21, 42) if sides[number] == "left" else slice(0, 21)
        own = slice(0, 21) if sides[number] == "left" else slice(21, 42)
        item["xyz"][other] = item["xyz"][own]
    save(tmp_path / "evaluation", labels)
    dataset = RHD(tmp_path, "evaluation", whole=False)
    assert len(dataset) == 3
    for sample in dataset:
        joints = sample.joints[0].numpy()
        projected = (sample.joints @ sample.K.mT)[..., :2] / sample.joints[..., 2:]
        assert (projected - sample.joints_2d).norm(dim=-1)[sample.visible > 0].max() < 0.3
        bones = np.linalg.norm(np.diff(joints[[0, 9, 10, 11, 12]], axis=0), axis=-1)
        assert 0.04 < bones[0] < 0.12 and (bones[1:] < bones[0]).all() and (bones[1:] > 0.008).all()
        # Right hands: the curled tips lie on the palmar side, which is across x upwards x of the palm.
        across, up = joints[5] - joints[17], joints[9] - joints[0]
        tips = (joints[[8, 12, 16, 20]] - joints[[5, 9, 13, 17]]).mean(0)
        assert np.cross(across, up) @ tips > 0
