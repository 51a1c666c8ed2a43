from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from interhand_miniature import read, right_hand, write, write_real, write_set

from phalanx.core.errors import InputError
from phalanx.data.public import interhand
from phalanx.data.public.interhand import InterHand
from phalanx.data.sample import concatenate


def palm(joints: np.ndarray) -> float:
    """Positive for right hands: whether the thumb's tip lies on the palm's side, to which index x little points."""
    return float(np.cross(joints[5] - joints[0], joints[17] - joints[0]) @ (joints[4] - joints[0]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setitem(interhand.OFFICIAL, "test", 3)
    return write_set(tmp_path)


def test_hands_are_right_hands_in_camera_metres(folder):
    hands = InterHand(folder, "test")
    assert len(hands) == 4 and hands.interacting.tolist() == [False, True, True, False]
    batch = concatenate([hands[index] for index in range(4)])
    assert batch.left.tolist() == [False, False, True, True]
    right = torch.tensor(right_hand(), dtype=torch.float32)
    torch.testing.assert_close(batch.joints[0], right, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.joints[2], right - torch.tensor([0.1, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.joints[3], batch.joints[2])
    assert all(palm(joints) > 0 for joints in batch.joints[[0, 2, 3]].numpy())
    pixels = batch.joints @ batch.K.mT
    known = batch.valid > 0
    torch.testing.assert_close((pixels[..., :2] / pixels[..., 2:])[known], batch.joints_2d[known])
    assert batch.image[0, :, :, :20].min() > 0.9 and batch.image[3, :, :, -20:].min() > 0.9  # mirrored
    assert batch.ids.tolist() == [
        [2, 10, 2 * 400026], [0, 11, 2 * 410053], [0, 11, 2 * 410053 + 1], [1, 12, 2 * 400026 + 1]
    ]  # fmt: skip


def test_joints_that_are_not_valid_are_zero(folder):
    hand = InterHand(folder, "test")[1]
    assert hand.valid[0].tolist() == [1.0] * 8 + [0.0] + [1.0] * 12
    assert hand.joints[0, 8].tolist() == [0, 0, 0] and hand.joints_2d[0, 8].tolist() == [0, 0]


def test_without_a_wrist_there_is_no_hand(folder):
    data = read(folder, "data")
    data["annotations"][1]["joint_valid"][41] = [0]
    write(folder, "data", data)
    assert len(InterHand(folder, "test")) == 3


def test_the_world_is_one_for_both_hands_of_a_picture(folder):
    hands = InterHand(folder, "test")
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    torch.testing.assert_close(mirror @ hands[2].world_to_camera[0] @ mirror, hands[1].world_to_camera[0])


def test_recognises(folder, tmp_path_factory):
    assert InterHand.recognises(folder) and not InterHand.recognises(tmp_path_factory.mktemp("other"))


def change(folder: Path, kind: str, edit) -> None:
    data = read(folder, kind)
    edit(data)
    write(folder, kind, data)


def scale(data) -> None:
    for entry in data["5"].values():
        entry["world_coord"] = (np.array(entry["world_coord"]) / 1000).tolist()


def cut(folder: Path, kind: str) -> None:
    path = folder / f"annotations/test/InterHand2.6M_test_{kind}.json"
    path.write_bytes(path.read_bytes()[:300])


FIRST = "images/test/Capture5/0001_right/cam400026/image10.jpg"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / FIRST).unlink(), rf"{FIRST}: is missing"),
        (lambda f: (f / FIRST).with_name("image99.jpg").touch(), r"image99\.jpg: does not belong to the set"),
        (lambda f: change(f, "data", lambda d: d["images"].append(d["images"][0])), "3 pictures expected, 4 found"),
        (lambda f: cut(f, "joint_3d"), r"joint_3d\.json: is cut short or not JSON"),
        (lambda f: (f / "annotations/test/InterHand2.6M_test_camera.json").unlink(), r"camera\.json: cannot be read"),
        (lambda f: change(f, "data", lambda d: d["images"][1].pop("camera")), "not an InterHand2.6M .*'camera'"),
        (lambda f: change(f, "data", lambda d: d["annotations"][2]["joint_valid"].pop()),
         r"data\.json: joint_valid of annotation 2: must have shape \(42, 1\), has \(41, 1\)"),
        (lambda f: change(f, "joint_3d", lambda d: d["5"]["11"]["world_coord"].pop()),
         r"joint_3d\.json: capture 5, frame 11: must have shape \(42, 3\), has \(41, 3\)"),
        (lambda f: change(f, "joint_3d", lambda d: d["5"]["12"]["world_coord"].__setitem__(3, [1, 2, float("nan")])),
         r"capture 5, frame 12: has values that are not finite"),
        (lambda f: change(f, "joint_3d", lambda d: d["5"].pop("12")), r"joint_3d\.json: has no entry 12 of capture 5"),
        (lambda f: change(f, "joint_3d", scale), r"should be in millimetres, but seem to be in metres"),
        (lambda f: change(f, "camera", lambda d: [d["5"][k].pop("410053") for k in d["5"]]),
         r"camera\.json: has no entry 410053 of capture 5"),
        (lambda f: change(f, "camera", lambda d: d["5"]["camrot"].update({"400026": [[1, 0, 0]] * 3})), "is no rotation"),
        (lambda f: change(f, "camera", lambda d: d["5"].update(
            campos={c: [x / 1000 for x in p] for c, p in d["5"]["campos"].items()})),
         r"capture 5: campos: all cameras lie within 0\.1 mm; is it in another unit"),
        (lambda f: change(f, "camera", lambda d: d["5"]["focal"].update({"400026": [0, 0]})), "singular"),
    ],
)  # fmt: skip
def test_faults_are_named_when_opened(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        InterHand(folder, "test")


def test_the_older_layout_is_named(folder):
    (folder / "annotations/test").rename(folder / "annotations/all")
    for whole in (True, False):
        with pytest.raises(InputError, match=r"annotations: has the layout of version 0\.0 \(all\), which is not read"):
            InterHand(folder, "test", whole)
    (folder / "annotations/all").rename(folder / "annotations/test")
    change(folder, "joint_3d", lambda d: d["5"].update({"11": d["5"]["11"]["world_coord"]}))
    with pytest.raises(InputError, match=r"joint_3d\.json: capture 5, frame 11: is a bare list .* version 0\.0"):
        InterHand(folder, "test")


def test_hands_that_people_annotated_are_told_by_the_list_of_them(folder):
    hands = InterHand(folder, "test")
    with pytest.raises(InputError, match=r"annotations/test/aid_human_annot_test\.txt: is missing, the list"):
        hands.by_people()
    path = folder / "annotations/aid_human_annot_test.txt"
    path.write_text("2\n1\n77\n")
    assert hands.by_people().tolist() == [False, True, True, True]
    hands.keep(hands.by_people())
    assert [hand.ids[0, 1].item() for hand in hands] == [11, 11, 12] and hands.interacting.tolist() == [
        True,
        True,
        False,
    ]
    path.write_text("2\n-1\n")
    with pytest.raises(InputError, match=r"aid_human_annot_test\.txt: line 2: the id of an annotation expected"):
        hands.by_people()


def test_a_partial_copy_opens_when_asked(folder):
    (folder / FIRST).unlink()
    hands = InterHand(folder, "test", whole=False)
    assert len(hands) == 3 and hands[0].ids[0].tolist() == [0, 11, 2 * 410053]


def test_faults_are_named_when_read(folder):
    hands = InterHand(folder, "test")
    cv2.imwrite(str(folder / FIRST), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match=rf"{FIRST}: 48x64 pixels expected, has 64x48"):
        hands[0]
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes()[:400])
    with pytest.raises(InputError, match=rf"{FIRST}: "):
        hands[0]
    with pytest.raises(IndexError):
        hands[4]
    with pytest.raises(InputError, match="the split dev is none of train, val, test"):
        InterHand(folder, "dev")


def test_real_hands_have_human_size_lie_on_the_picture_and_are_right_hands(tmp_path, monkeypatch, real):
    monkeypatch.setitem(interhand.OFFICIAL, "test", 4)
    hands = InterHand(write_real(tmp_path, real("benchmark_samples/interhand2.6m")), "test")
    assert len(hands) == 6 and hands.interacting.tolist() == [True] * 4 + [False] * 2
    boxes = {entry["image_id"]: entry["bbox"] for entry in read(tmp_path, "data")["annotations"]}
    numbers = {picture["frame_idx"]: picture["id"] for picture in read(tmp_path, "data")["images"]}
    for hand in (hands[index] for index in range(6)):
        joints, pixels, width = hand.joints[0].numpy(), hand.joints_2d[0].numpy().copy(), hand.image.shape[-1]
        assert 0.07 < np.linalg.norm(joints[9] - joints[0]) < 0.12 and 0.5 < joints[0, 2] < 1.5
        assert palm(joints) > 0
        if hand.left:
            pixels[:, 0] = width - 1 - pixels[:, 0]
        x, y, w, h = boxes[numbers[int(hand.ids[0, 1])]]
        assert (pixels >= np.array([x, y]) - 1).all() and (pixels <= np.array([x + w, y + h]) + 1).all()
