import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from ho3d_miniature import K, hands, in_file, labels, surfaces, write, write_truth
from true_hands import open_hand

from phalanx.core.errors import InputError
from phalanx.data.check import recognise
from phalanx.data.public import ho3d
from phalanx.data.public.catalogue import PUBLIC_SETS
from phalanx.data.public.ho3d import HO3D


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
    np.testing.assert_allclose(sample.joints[0], open_hand(), atol=1e-6)
    projected = open_hand() @ K.T
    np.testing.assert_allclose(sample.joints_2d[0], projected[:, :2] / projected[:, 2:], atol=1e-3)
    np.testing.assert_allclose(sample.sensed_depth, (200 + 256 * 18) * 0.000124986647, rtol=1e-6)
    np.testing.assert_allclose(sample.image[0, :, 100, 300] * 255, [250, 100, 0], atol=3)
    assert sample.valid is None and sample.left is None and sample.boxes is None


def test_evaluation_knows_the_wrist_and_a_box(folder):
    write(folder, 3, "evaluation")
    sample = HO3D(folder, "evaluation")[0]
    assert sample.valid[0].tolist() == [1.0] + [0.0] * 20
    np.testing.assert_allclose(sample.joints[0, 0], open_hand()[0], atol=1e-6)
    assert not sample.joints[0, 1:].any() and not sample.joints_2d[0, 1:].any()
    wrist = open_hand()[0] @ K.T
    np.testing.assert_allclose(sample.joints_2d[0, 0], wrist[:2] / wrist[2], atol=1e-3)
    assert sample.boxes[0].tolist() == [[100, 120, 120, 180], [0, 0, 0, 0]]


@pytest.mark.parametrize("order", [in_file, lambda joints: joints * [1, -1, -1]], ids=["mano", "ours"])
def test_evaluation_has_the_ground_truth_that_was_released_later(folder, order):
    write(folder, 3, "evaluation")
    write_truth(folder, order)
    assert recognise(folder, PUBLIC_SETS) is HO3D  # FreiHAND has files of these names, too
    dataset = HO3D(folder, "evaluation")
    for number, sample in enumerate(dataset):
        np.testing.assert_allclose(sample.joints[0], hands()[number], atol=1e-6)
        np.testing.assert_allclose(sample.vertices[0], surfaces()[number], atol=1e-6)
        pixels = hands()[number] @ K.T
        np.testing.assert_allclose(sample.joints_2d[0], pixels[:, :2] / pixels[:, 2:], atol=1e-3)
        assert sample.valid is None and sample.boxes.shape == (1, 2, 4)
    (folder / "evaluation/ABF10/depth/0001.png").unlink()  # entries belong to lines of the list, not to what is there
    part = HO3D(folder, "evaluation", whole=False)
    assert len(part) == 2
    np.testing.assert_allclose(part[0].joints[0], hands()[1], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("xyz", lambda entries: entries[:2], r"evaluation_xyz.json: 3 frames expected, 2 found"),
        ("verts", lambda entries: entries[:2], r"evaluation_verts.json: 3 frames expected, 2 found"),
        ("xyz", lambda entries: [entries[0], entries[1][:20], entries[2]], r"entry 1: must have shape \(21, 3\)"),
        ("xyz", lambda entries: [entries[0], [[0, 0, 0]] * 21, entries[2]], "entry 1: has all joints in one point"),
        ("xyz", lambda entries: (np.array(entries) * 1000).tolist(), "should be in metres, but seem to be in millimetres"),
        ("xyz", lambda entries: (np.array(entries) * [1, -1, -1]).tolist(), "entry 0: has a joint behind the camera"),
        ("xyz", lambda entries: {"0": entries}, "evaluation_xyz.json: is not a list of hands"),
    ],
)  # fmt: skip
def test_faults_of_the_ground_truth_are_named(folder, name, edit, message):
    write(folder, 3, "evaluation")
    write_truth(folder)
    path = folder / f"evaluation_{name}.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=message):
        HO3D(folder, "evaluation", whole=False)


def test_ground_truth_that_is_cut_short_is_named(folder):
    write(folder, 3, "evaluation")
    write_truth(folder)
    for name in ("xyz", "verts"):
        path = folder / f"evaluation_{name}.json"
        whole = path.read_bytes()
        path.write_bytes(whole[:-500])
        with pytest.raises(InputError, match=f"evaluation_{name}.json: is cut short or not"):
            HO3D(folder, "evaluation")
        path.write_bytes(whole)


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
        ({"handJoints3D": in_file(open_hand())[:20]}, r"handJoints3D: must have shape \(21, 3\), has \(20, 3\)"),
        ({"handJoints3D": in_file(open_hand()) * np.nan}, "handJoints3D: has values that are not finite"),
        ({"handJoints3D": in_file(open_hand()) * 1000}, "should be in metres, but seem to be in millimetres"),
        ({"handJoints3D": in_file(open_hand()) * [1, -1, -1]}, "behind the camera"),
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
