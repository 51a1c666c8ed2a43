"""OpenPose's files of hands."""

import json

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.openpose import frame_number, openpose_files, read_openpose


def person(right=0.0, left=None):
    hand = np.c_[np.arange(42.0).reshape(21, 2), np.full(21, right)].ravel().tolist()
    return {"hand_right_keypoints_2d": hand, "hand_left_keypoints_2d": left or []}


def test_the_surest_hand_of_each_frame_is_read(tmp_path):
    (tmp_path / "a_000_keypoints.json").write_text(json.dumps({"people": [person(0.3), person(0.8)]}))
    (tmp_path / "a_001_keypoints.json").write_text(json.dumps({"people": [person(0.0)]}))
    (tmp_path / "a_002_keypoints.json").write_text(json.dumps({"people": []}))
    found = read_openpose(openpose_files(tmp_path))
    assert list(found["right"]) == ["a_000"] and found["left"] == {}
    assert np.array_equal(found["right"]["a_000"], np.c_[np.arange(42.0).reshape(21, 2), np.full(21, 0.8)])
    assert frame_number("a_012") == 12 and frame_number("a") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "lists no people"),
        (json.dumps({"people": [{"hand_left_keypoints_2d": [1, 2]}]}), "must be 63 numbers"),
        (json.dumps({"people": [{"hand_left_keypoints_2d": ["x"] * 63}]}), "must be 63 numbers"),
        ("{", "cut short or not JSON"),
    ],
)
def test_files_at_fault(tmp_path, text, says):
    path = tmp_path / "a_0_keypoints.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_openpose([path])
