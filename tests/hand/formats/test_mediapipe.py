"""MediaPipe's names: there and back, and by the reader of its files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from posed_prediction import seen_hand

from phalanx.core.errors import InputError
from phalanx.data.landmarks import read_landmarks
from phalanx.hand.formats.mediapipe import from_mediapipe, to_mediapipe


def test_there_and_back(tmp_path):
    hands = [seen_hand("right"), seen_hand("left")]
    text = json.dumps(to_mediapipe(hands), allow_nan=False)
    found = from_mediapipe(json.loads(text))
    for hand, landmarks in zip(hands, found, strict=True):
        assert landmarks.side == hand.side and landmarks.score == pytest.approx(hand.score)
        pixels = landmarks.places[:, :2] * [hand.width, hand.height] - 0.5
        np.testing.assert_allclose(pixels, hand.joints_2d, atol=1e-3)
        np.testing.assert_allclose(landmarks.world, hand.joints - hand.joints.mean(0), atol=1e-6)
        assert landmarks.places[0, 2] == 0
        # Where the camera looks straight at the hand, z is as large as x of the same length.
        across = np.ptp(landmarks.places[:, 0]) / np.ptp(hand.joints[:, 0])
        assert np.ptp(landmarks.places[:, 2]) / np.ptp(hand.joints[:, 2]) == pytest.approx(across, rel=0.25)
    (tmp_path / "hands.json").write_text(text)
    points, times, in_picture = read_landmarks(tmp_path / "hands.json")
    assert points.shape == (1, 42, 3) and times is None and not in_picture
    sides = {"left": points[0, :21], "right": points[0, 21:]}
    for hand in hands:
        np.testing.assert_allclose(sides[hand.side], hand.joints - hand.joints.mean(0), atol=1e-6)


def test_no_hands():
    assert from_mediapipe(to_mediapipe([])) == []


@pytest.mark.parametrize("key", ["handedness", "hand_landmarks", "hand_world_landmarks"])
def test_what_is_no_result_is_named(key):
    whole = to_mediapipe([seen_hand("right")])
    for broken in (
        {**whole, key: []},
        {name: value for name, value in whole.items() if name != key},
        {**whole, key: [[{}]]},
    ):
        with pytest.raises(InputError, match="hand landmarker"):
            from_mediapipe(broken)


def test_a_picture_of_another_shape_is_measured_by_its_own_sides():
    hand = seen_hand("right")
    (tall,) = from_mediapipe(to_mediapipe([replace(hand, height=2 * hand.height)]))
    (usual,) = from_mediapipe(to_mediapipe([hand]))
    np.testing.assert_allclose(tall.places[:, 1], usual.places[:, 1] / 2, atol=1e-6)
    np.testing.assert_array_equal(tall.places[:, [0, 2]], usual.places[:, [0, 2]])
