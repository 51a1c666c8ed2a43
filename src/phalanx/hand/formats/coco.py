"""Hands as COCO-WholeBody has them (Jin et al., "Whole-body human pose estimation in the wild", ECCV 2020): 2D keypoints of pictures.

An annotation is a person; which hands belong to one Phalanx does not know, so that each hand is one, with the other hand not valid.
Keypoints are x, y, v in pixels, (0, 0) the centre of the first one, in our order; v is 2, labelled and taken to be seen. `joints_3d`, which
COCO does not have, are metres in the camera's frame; `data.joint_labels` and `phalanx adapt weak` read both.

What is lost: the mesh, angles and shape, the camera, and expected errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phalanx.core.json_values import Json
from phalanx.hand.prediction import SIDES, HandPrediction
from phalanx.hand.skeleton import BONES, JOINT_NAMES

PERSON = 1
"""The one category."""


def to_coco(pictures: Mapping[str, Sequence[HandPrediction]]) -> dict[str, Json]:
    """The hands of pictures, by the names of their files, ready for `json.dump`; pictures without hands have no size and are left out."""
    images: list[Json] = []
    annotations: list[Json] = []
    for name, hands in pictures.items():
        if not hands:
            continue
        number = len(images) + 1
        images.append({"id": number, "file_name": name, "width": hands[0].width, "height": hands[0].height})
        annotations += [_annotation(hand, number, len(annotations) + 1 + place) for place, hand in enumerate(hands)]
    category: Json = {
        "id": PERSON,
        "name": "person",
        "keypoints": list(JOINT_NAMES),
        "skeleton": [[a + 1, b + 1] for a, b in BONES],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _annotation(hand: HandPrediction, image: int, number: int) -> Json:
    result: dict[str, Json] = {"id": number, "image_id": image, "category_id": PERSON, "iscrowd": 0}
    low, high = hand.joints_2d.min(0), hand.joints_2d.max(0)
    box = [*low.round(3).tolist(), *(high - low).round(3).tolist()]
    for side in SIDES:
        own = side == hand.side
        points = np.insert(hand.joints_2d.round(3), 2, 2.0, axis=1) if own else np.zeros((21, 3))
        result[f"{side}hand_kpts"] = points.reshape(-1).tolist()
        result[f"{side}hand_valid"] = own
        result[f"{side}hand_box"] = box if own else [0.0] * 4
    area = float(np.prod(high - low))
    return result | {"bbox": box, "area": area, "score": hand.score, "joints_3d": hand.joints.round(6).tolist()}
