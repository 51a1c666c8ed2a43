"""Messages of ROS as dictionaries, there and back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from posed_prediction import seen_hand

from phalanx.core.errors import InputError
from phalanx.hand.formats.ros import from_ros, to_ros
from phalanx.hand.retargeting import real_joints, wrist_poses


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("time", [None, 12.75])
def test_there_and_back(side, time):
    hand = replace(seen_hand(side), time=time)
    messages = json.loads(json.dumps(to_ros(hand, "head_camera"), allow_nan=False))
    found = from_ros(messages)
    assert found.side == side and found.time == (time or 0.0)
    assert found.angles_degrees.keys() == hand.angles_degrees.keys()
    np.testing.assert_allclose(list(found.angles_degrees.values()), list(hand.angles_degrees.values()), atol=1e-6)
    np.testing.assert_allclose(found.wrist_pose, wrist_poses(real_joints([hand]), side)[0], atol=1e-8)
    assert messages["pose"]["header"]["frame_id"] == "head_camera"
    state = messages["joint_state"]
    assert len(state["name"]) == len(state["position"]) == 23 and state["name"][0].startswith(f"{side}_")


def test_fields_that_are_missing_or_mixed():
    whole = to_ros(seen_hand("right"))
    names = whole["joint_state"]["name"]
    for state in (
        {},
        {**whole["joint_state"], "position": []},
        {**whole["joint_state"], "name": ["left_" + names[0], *names[1:]]},
        {**whole["joint_state"], "position": ["x"] * 23},
    ):
        with pytest.raises(InputError, match="are not joint_state and pose"):
            from_ros({**whole, "joint_state": state})
