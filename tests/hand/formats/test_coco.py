"""COCO-WholeBody, read back by the reader of labels."""

import json

import numpy as np
from posed_prediction import seen_hand

from phalanx.data.joint_labels import read_joint_labels
from phalanx.hand.formats.coco import to_coco
from phalanx.hand.skeleton import JOINT_NAMES


def test_the_reader_of_labels_reads_it(tmp_path):
    hands = {
        "a.jpg": [seen_hand("right"), seen_hand("left")],
        "empty.jpg": [],
        "b.jpg": [seen_hand("left")],
    }
    data = to_coco(hands)
    (tmp_path / "hands.json").write_text(json.dumps(data, allow_nan=False))
    read = read_joint_labels(tmp_path / "hands.json")
    assert read.faults == []
    assert [(hand.picture, hand.side) for hand in read.hands] == [
        ("a.jpg", "right"),
        ("a.jpg", "left"),
        ("b.jpg", "left"),
    ]
    for found, hand in zip(read.hands, [*hands["a.jpg"], *hands["b.jpg"]], strict=True):
        np.testing.assert_allclose(found.points, hand.joints_2d, atol=1e-3)
        assert found.size == (hand.width, hand.height)


def test_ids_and_names():
    data = to_coco({"a.jpg": [seen_hand("right")] * 2, "b.jpg": [seen_hand("right")]})
    assert [image["id"] for image in data["images"]] == [1, 2]
    assert [(each["id"], each["image_id"]) for each in data["annotations"]] == [(1, 1), (2, 1), (3, 2)]
    assert data["categories"][0]["keypoints"] == list(JOINT_NAMES)
    (first, *_) = data["annotations"]
    assert first["righthand_valid"] and not first["lefthand_valid"] and not any(first["lefthand_kpts"])
    assert len(first["righthand_kpts"]) == 63 and first["bbox"] == first["righthand_box"]
