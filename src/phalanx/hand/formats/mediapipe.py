"""Results of MediaPipe's hand landmarker, by its names, for programs that were written for it.

`hand_landmarks` are 0 to 1 across the picture from its edge, z relative to the wrist and as large as x; `hand_world_landmarks` are metres
from the middle of the hand's joints, x right, y down, z away from the camera; `handedness` has a category for each hand. Its 21 points are
ours, in our order. Categories here name the person's own side; MediaPipe names that of the picture's mirror image, as in a selfie.

What is lost: the mesh, angles and shape, the camera and the hand's place before it, and expected errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.json_values import Json
from phalanx.hand.prediction import SIDES, HandPrediction, Side


@dataclass(frozen=True, eq=False)
class Landmarks:
    """A hand in a result of MediaPipe.

    Attributes:
        side: as the category names it.
        score: of the category.
        places: (21, 3) in the picture, 0 to 1 from its edge; z relative to the wrist.
        world: (21, 3) metres from the middle of the joints, camera's axes.
    """

    side: Side
    score: float
    places: np.ndarray
    world: np.ndarray


def to_mediapipe(hands: Sequence[HandPrediction]) -> dict[str, Json]:
    """The hands of one picture as a result of its Tasks has them, ready for `json.dump`."""
    found = [landmarks_of(hand) for hand in hands]
    return {
        "handedness": [
            [{"index": SIDES.index(hand.side), "score": hand.score, "category_name": name, "display_name": name}]
            for hand in found
            for name in [hand.side.capitalize()]
        ],
        "hand_landmarks": [_points(hand.places) for hand in found],
        "hand_world_landmarks": [_points(hand.world) for hand in found],
    }


def from_mediapipe(result: Mapping[str, Any]) -> list[Landmarks]:
    """The hands of a result that `to_mediapipe` or MediaPipe's Tasks wrote; `data.landmarks` reads files of all of its kinds.

    Raises:
        InputError: a key is missing, or what it holds is not of that many hands.
    """
    try:
        lists = [result[name] for name in ("handedness", "hand_landmarks", "hand_world_landmarks")]
        hands = [
            Landmarks(_side(sides[0]["category_name"]), float(sides[0]["score"]), _array(places), _array(world))
            for sides, places, world in zip(*lists, strict=True)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"result: is none of MediaPipe's hand landmarker ({error})") from error
    return hands


def landmarks_of(hand: HandPrediction) -> Landmarks:
    """MediaPipe's view of a hand."""
    across = (hand.joints_2d + 0.5) / [hand.width, hand.height]  # MediaPipe counts from the picture's edge
    nearness = hand.K[0, 0] / hand.width / max(float(hand.joints[0, 2]), 1e-6)
    depth = (hand.joints[:, 2:] - hand.joints[:1, 2:]) * nearness
    return Landmarks(hand.side, hand.score, np.concatenate((across, depth), 1), hand.joints - hand.joints.mean(0))


def _points(values: np.ndarray) -> list[Json]:
    return [dict(zip("xyz", row, strict=True)) for row in values.round(7).tolist()]


def _array(points: Sequence[Mapping[str, float]]) -> np.ndarray:
    values = np.array([[point[axis] for axis in "xyz"] for point in points], np.float64)
    if values.shape != (21, 3) or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} landmarks")
    return values


def _side(name: str) -> Side:
    return SIDES[[side.capitalize() for side in SIDES].index(name)]
