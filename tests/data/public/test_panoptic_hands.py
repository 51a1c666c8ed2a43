import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import panoptic_hands
from phalanx.data.public.panoptic_hands import PanopticHands
from phalanx.data.sample import concatenate

POINTS = np.stack([np.arange(21.0), 2 * np.arange(21.0), np.ones(21)], -1)
POINTS[3] = 0  # not marked


def picture() -> np.ndarray:
    """64x48, its left half white."""
    values = np.zeros((48, 64, 3), np.uint8)
    values[:, :32] = 255
    return values


def write_hand(folder: Path, name: str, points: np.ndarray, left: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.jpg"), picture())
    entry = {"hand_pts": points.tolist(), "is_left": left, "hand_box_center": [9.0, 9.0]}
    (folder / f"{name}.json").write_text(json.dumps(entry))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    for split, count in (("manual_test", 2), ("synth3", 1), ("panopticdb", 2)):
        monkeypatch.setitem(panoptic_hands.OFFICIAL, split, count)
    write_hand(tmp_path / "hand_labels/manual_test", "ex2_2.flv_000040_l", POINTS, 1)
    write_hand(tmp_path / "hand_labels/manual_test", "ex2_2.flv_000040_r", POINTS, 0)
    write_hand(tmp_path / "hand_labels_synth/synth3", "0001", POINTS, 0)
    studio = tmp_path / "hand143_panopticdb"
    (studio / "imgs").mkdir(parents=True)
    root = []
    for number in range(2):
        cv2.imwrite(str(studio / f"imgs/{number:08d}.jpg"), picture())
        root.append({"joint_self": (POINTS + [number, 0, 0]).tolist(), "img_paths": f"imgs/{number:08d}.jpg",
                     "img_width": 64, "img_height": 48, "objpos": [3, 3]})  # fmt: skip
    (studio / "hands_v143_14817.json").write_text(json.dumps({"root": root}))
    return tmp_path


def test_left_hands_are_mirrored_and_unknown_points_are_zero(folder):
    hands = PanopticHands(folder, "manual_test")
    assert len(hands) == 2
    left, right = hands[0], hands[1]
    assert left.left.tolist() == [True] and right.left.tolist() == [False]
    np.testing.assert_allclose(right.joints_2d[0].numpy(), POINTS[:, :2])
    known = POINTS[:, 2] == 1
    np.testing.assert_allclose(left.joints_2d[0].numpy()[known], ([63, 0] + POINTS[:, :2] * [-1, 1])[known])
    assert left.joints_2d[0, 3].tolist() == [0, 0]
    assert concatenate([left, right]).valid.tolist() == [known.astype(float).tolist()] * 2
    assert right.image[0, :, :, :28].min() > 0.9 and left.image[0, :, :, -28:].min() > 0.9
    assert (left.joints, left.K) == (None, None)


def test_splits_of_the_other_archives(folder):
    assert len(PanopticHands(folder, "synth3")) == 1
    studio = PanopticHands(folder, "panopticdb")
    assert len(studio) == 2 and studio[1].joints_2d[0, 5].tolist() == [6, 10] and studio[1].ids.tolist() == [[0, 1, 0]]
    with pytest.raises(IndexError):
        studio[2]


def test_recognises(folder):
    assert PanopticHands.recognises(folder)
    assert not PanopticHands.recognises(folder / "hand_labels")


def edit(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


LEFT = "hand_labels/manual_test/ex2_2.flv_000040_l"
LIST = "hand143_panopticdb/hands_v143_14817.json"


@pytest.mark.parametrize(
    ("split", "spoil", "message"),
    [
        ("manual_test", lambda f: (f / f"{LEFT}.jpg").unlink(), rf"{LEFT}\.jpg: is missing"),
        ("manual_test", lambda f: (f / f"{LEFT}.json").unlink(), rf"{LEFT}\.json: is missing"),
        ("manual_test", lambda f: (f / LEFT).with_name("new.jpg").touch(), r"manual_test/new\.json: is missing"),
        ("manual_test", lambda f: write_hand(f / "hand_labels/manual_test", "new_r", POINTS, 0), "2 hands expected, 3 found"),
        ("manual_test", lambda f: (f / f"{LEFT}.json").write_text('{"hand_pts": [['), r"_l\.json: is cut short or not JSON"),
        ("manual_test", lambda f: edit(f / f"{LEFT}.json", lambda d: d["hand_pts"].pop()),
         r"_l\.json: must have shape \(21, 3\), has \(20, 3\)"),
        ("manual_test", lambda f: edit(f / f"{LEFT}.json", lambda d: d["hand_pts"].__setitem__(2, [1, float("nan"), 1])),
         r"_l\.json: has values that are not finite"),
        ("manual_test", lambda f: edit(f / f"{LEFT}.json", lambda d: d.pop("is_left")), "must hold hand_pts and is_left"),
        ("panopticdb", lambda f: (f / "hand143_panopticdb/imgs/00000001.jpg").unlink(), r"imgs/00000001\.jpg: is missing"),
        ("panopticdb", lambda f: (f / "hand143_panopticdb/imgs/00000002.jpg").touch(), r"00000002\.jpg: does not belong"),
        ("panopticdb", lambda f: edit(f / LIST, lambda d: d["root"][1]["joint_self"].pop()), r"hand 1: must have shape"),
        ("panopticdb", lambda f: edit(f / LIST, lambda d: d["root"][1].pop("img_width")), r"not the list of hands \(.*img_width"),
        ("panopticdb", lambda f: (f / LIST).unlink(), r"hands_v143_14817\.json: cannot be read"),
        ("synth1", lambda f: None, "hand_labels_synth/synth1: no such folder"),
    ],
)  # fmt: skip
def test_faults_are_named(folder, split, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        PanopticHands(folder, split)


def test_a_partial_copy_opens_when_asked(folder):
    (folder / f"{LEFT}.jpg").unlink()
    (folder / "hand143_panopticdb/imgs/00000000.jpg").unlink()
    assert PanopticHands(folder, "manual_test", whole=False)[0].left.tolist() == [False]
    assert PanopticHands(folder, "panopticdb", whole=False)[0].joints_2d[0, 5].tolist() == [6, 10]


def test_pictures_at_fault_are_named(folder):
    studio = PanopticHands(folder, "panopticdb")
    path = folder / "hand143_panopticdb/imgs/00000000.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"00000000\.jpg: "):
        studio[0]
    cv2.imwrite(str(path), picture()[:, :50])
    with pytest.raises(InputError, match=r"00000000\.jpg: 64x48 pixels expected, has 50x48"):
        studio[0]


def test_real_hands_lie_in_their_boxes(tmp_path, monkeypatch, real):
    folder = real("benchmark_samples/panoptic")
    data = json.loads((folder / "test_panoptic.json").read_text())
    monkeypatch.setitem(panoptic_hands.OFFICIAL, "manual_test", len(data["images"]))
    place, boxes = tmp_path / "hand_labels/manual_test", {}
    place.mkdir(parents=True)
    for entry, image in ((e, i) for e in data["annotations"] for i in data["images"] if i["id"] == e["image_id"]):
        (place / image["file_name"]).symlink_to(folder / image["file_name"])
        name = Path(image["file_name"]).stem
        boxes[name] = entry["bbox"]
        hand = {"hand_pts": np.reshape(entry["keypoints"], (21, 3)).tolist(), "is_left": int(name.endswith("_l"))}
        (place / f"{name}.json").write_text(json.dumps(hand))
    hands = PanopticHands(tmp_path, "manual_test")
    assert len(hands) == 4
    for index, name in enumerate(sorted(boxes)):
        hand, (x, y, width, height) = hands[index], boxes[name]
        assert bool(hand.left) == name.endswith("_l")
        points = hand.joints_2d[0].numpy().copy()
        if hand.left:
            points[:, 0] = hand.image.shape[-1] - 1 - points[:, 0]
        points = points[hand.valid[0].numpy() > 0]
        assert len(points) == 21
        assert (points >= np.array([x, y]) - 1).all() and (points <= np.array([x + width, y + height]) + 1).all()
