import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import freihand
from phalanx.data.public.freihand import FreiHAND
from phalanx.hand.model import HandModel

K = np.array([[480.0, 0, 112], [0, 470, 110], [0, 0, 1]])


def right_hands() -> np.ndarray:
    """(2, 21, 3) metres, the palm towards the camera, fingers up; the second is deeper."""
    hand = HandModel.open_hand().rest_joints.numpy() * [1.0, -1, -1] + [0, 0.05, 0.6]
    return np.stack((hand, hand + [0, 0, 0.1]))


def surfaces() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 778, 3)) * 0.03 + [0, 0, 0.6]


def save(folder: Path, split: str, **labels) -> None:
    for key, value in labels.items():
        text = json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)
        (folder / f"{split}_{key}.json").write_text(text)


def second(hand: np.ndarray) -> list:
    """The two hands, `hand` in place of the second."""
    return [right_hands()[0].tolist(), hand.tolist()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hands for training in four versions each, and one for evaluation."""
    monkeypatch.setitem(freihand.OFFICIAL, "training", {"pictures": 8, "hands": 2, "masks": 2})
    monkeypatch.setitem(freihand.OFFICIAL, "evaluation", {"pictures": 1, "hands": 1, "masks": 0})
    for part in ("training/rgb", "training/mask", "evaluation/rgb"):
        (tmp_path / part).mkdir(parents=True)
    for number in range(8):
        grey = np.full((224, 224), 30 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"training/rgb/{number:08d}.jpg"), grey)
    for number in range(2):
        mask = np.zeros((224, 224), np.uint8)
        mask[: 50 + 10 * number] = 255
        cv2.imwrite(str(tmp_path / f"training/mask/{number:08d}.jpg"), mask)
    cv2.imwrite(str(tmp_path / "evaluation/rgb/00000000.jpg"), np.zeros((224, 224), np.uint8))
    hands = right_hands()
    scale = np.linalg.norm(hands[:, 9] - hands[:, 10], axis=-1)
    save(tmp_path, "training", K=np.stack((K, K)), scale=scale, xyz=hands, verts=surfaces(), mano=[[[0.0] * 61]] * 2)
    save(tmp_path, "evaluation", K=K[None], scale=scale[:1])
    return tmp_path


def test_training_pictures_share_labels_between_versions(folder):
    dataset = FreiHAND(folder, "training")
    assert len(dataset) == 8 and FreiHAND.recognises(folder) and not FreiHAND.recognises(folder / "training")
    for number, sample in enumerate(dataset):
        hand = number % 2
        assert sample.ids.tolist() == [[number // 2, hand, 0]]
        assert float(sample.image.mean()) * 255 == pytest.approx(30 * number, abs=1)
        np.testing.assert_allclose(sample.joints[0], right_hands()[hand], atol=1e-6)
        np.testing.assert_allclose(sample.vertices[0], surfaces()[hand], atol=1e-6)
        pixels = right_hands()[hand] @ K.T
        np.testing.assert_allclose(sample.joints_2d[0], pixels[:, :2] / pixels[:, 2:], atol=1e-4)
        assert sample.mask.sum() == 224 * (50 + 10 * hand)
        assert sample.left is None and sample.valid is None


def test_evaluation_has_the_scale_alone_or_all_labels(folder):
    dataset = FreiHAND(folder, "evaluation")
    sample = dataset[0]
    assert set(sample.present()) == {"image", "K", "ids"}
    assert dataset.scale[0] == pytest.approx(np.linalg.norm(right_hands()[0, 9] - right_hands()[0, 10]))
    save(folder, "evaluation", xyz=right_hands()[:1], verts=surfaces()[:1])
    later = FreiHAND(folder, "evaluation")[0]
    assert set(later.present()) == {"image", "K", "ids", "joints", "joints_2d", "vertices"}


def test_removed_and_added_files_are_named(folder):
    extra = folder / "training/mask/00000002.jpg"
    extra.write_bytes(b"x")
    with pytest.raises(InputError, match="mask/00000002.jpg: does not belong"):
        FreiHAND(folder, "training")
    extra.unlink()
    (folder / "training/rgb/00000005.jpg").unlink()
    with pytest.raises(InputError, match="rgb/00000005.jpg: is missing"):
        FreiHAND(folder, "training")
    part = FreiHAND(folder, "training", whole=False)
    assert len(part) == 7 and part[5].ids.tolist() == [[3, 0, 0]]
    (folder / "training_verts.json").unlink()
    assert FreiHAND(folder, "training", whole=False)[0].vertices is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"xyz": right_hands()[:1]}, "training_xyz.json: 2 hands expected, 1 found"),
        ({"verts": surfaces()[:1]}, "training_verts.json: 2 hands expected, 1 found"),
        ({"xyz": right_hands()[:, :20]}, r"training_xyz.json: entry 0: must have shape \(21, 3\), has \(20, 3\)"),
        ({"xyz": second(right_hands()[1, :20])}, r"xyz.json: entry 1: must have shape \(21, 3\), has \(20, 3\)"),
        ({"xyz": second(right_hands()[1] * np.nan)}, "training_xyz.json: entry 1: has values that are not finite"),
        ({"xyz": [right_hands()[0].tolist(), None]}, "training_xyz.json: entry 1: "),
        ({"xyz": second(np.full((21, 3), 0.5))}, "training_xyz.json: entry 1: has all joints in one point"),
        ({"xyz": {"0": 1}}, "training_xyz.json: is not a list of hands"),
        ({"xyz": right_hands() * 1000}, "should be in metres, but seem to be in millimetres"),
        ({"xyz": [right_hands()[0].tolist(), [[1, 2], [3]]]}, "training_xyz.json: entry 1: not an array of numbers"),
        ({"xyz": second(right_hands()[1] * [1, 1, -1])}, "xyz.json: entry 1: has a joint behind the camera"),
        ({"K": np.stack((K, K * np.nan))}, "training_K.json: entry 1: has values that are not finite"),
        ({"K": np.stack((K, K * 0))}, "training_K.json: entry 1: is no camera's matrix"),
        ({"scale": ["a", "b"]}, "training_scale.json: entry 0: not a number"),
        ({"scale": [0.03, -0.03]}, "training_scale.json: entry 1: is not the length of a finger's bone in metres"),
        ({"scale": [30.0, 30.0]}, "training_scale.json: entry 0: is not the length of a finger's bone in metres"),
    ],
)
def test_bad_labels_are_named(folder, labels, message):
    save(folder, "training", **labels)
    with pytest.raises(InputError, match=message):
        FreiHAND(folder, "training")


@pytest.mark.parametrize("key", ["K", "xyz", "verts"])
def test_truncated_labels_are_named(folder, key):
    path = folder / f"training_{key}.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=f"training_{key}.json: is cut short or not"):
        FreiHAND(folder, "training")
    path.unlink()
    with pytest.raises(InputError, match=f"training_{key}.json: cannot be read"):
        FreiHAND(folder, "training")


def test_bad_surfaces_and_pictures_are_named(folder):
    save(folder, "training", verts=surfaces()[:, :700])
    with pytest.raises(InputError, match=r"training_verts.json: entry 1: must have shape \(778, 3\), has \(700, 3\)"):
        FreiHAND(folder, "training")[1]
    save(folder, "training", verts=surfaces() * 1000)
    with pytest.raises(InputError, match="training_verts.json: entry 1: is .* across; is that in metres"):
        FreiHAND(folder, "training")[1]
    save(folder, "training", verts=surfaces())
    text = (folder / "training_verts.json").read_text()
    (folder / "training_verts.json").write_text(text.replace(",", ";", 1))
    with pytest.raises(InputError, match="training_verts.json: entry 0: is not JSON"):
        FreiHAND(folder, "training")[0]
    path = folder / "training/rgb/00000000.jpg"
    cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match="00000000.jpg: 224x224 pixels expected, has 64x64"):
        FreiHAND(folder, "training")[0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="00000000.jpg: .*(truncated|damaged)"):
        FreiHAND(folder, "training")[0]


def test_real_pictures_share_labels_as_the_reader_says(tmp_path, real):
    """Eight pictures, whose 2D labels others converted: two hands in four versions, numbered as the reader takes them."""
    folder = real("benchmark_samples/freihand")
    content = json.loads((folder / "test_freihand.json").read_text())
    pixels = {hand["image_id"]: np.array(hand["keypoints"]).reshape(21, 3)[:, :2] for hand in content["annotations"]}
    (tmp_path / "training").mkdir()
    (tmp_path / "training/rgb").symlink_to(folder)
    save(tmp_path, "training", K=np.tile(K, (18000, 1, 1)), scale=np.full(18000, 0.03))
    dataset = FreiHAND(tmp_path, "training", whole=False)
    assert len(dataset) == 8
    first: dict[int, np.ndarray] = {}
    versions = []
    for picture, sample in zip(dataset.pictures, dataset, strict=True):
        version, hand, _ = sample.ids[0].tolist()
        np.testing.assert_allclose(pixels[int(picture)], first.setdefault(hand, pixels[int(picture)]), atol=1e-3)
        versions.append((hand, version))
    assert sorted(versions) == [(hand, version) for hand in (355, 17620) for version in range(4)]
    assert not np.allclose(*first.values(), atol=1)
