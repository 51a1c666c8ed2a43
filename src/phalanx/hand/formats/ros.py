"""Hands as dictionaries with the fields of ROS messages: `sensor_msgs/JointState` and `geometry_msgs/PoseStamped`.

`rosidl_runtime_py.set_message_fields(message, fields)` fills a message with one; neither ROS nor a message package is needed here. Joint
positions are the 23 anatomical angles in radians, named `right_index_pip_flexion` and so on. The pose is the wrist's in the camera's frame,
metres, by the axes of `hand.retargeting`; ROS calls such a frame optical.

What is lost: the mesh and the shape, pixels, and twists of fingers, which have no angle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.json_values import Json
from phalanx.geometry.turns import quat_to_rotmat, rotmat_to_quat
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.hand.retargeting import real_joints, wrist_poses


@dataclass(frozen=True, eq=False)
class RosHand:
    """What the messages say of a hand.

    Attributes:
        side: of the hand.
        angles_degrees: by name.
        wrist_pose: (4, 4) wrist to the message's frame, metres.
        time: seconds.
    """

    side: Side
    angles_degrees: dict[str, float]
    wrist_pose: np.ndarray
    time: float


def to_ros(hand: HandPrediction, frame_id: str = "camera_optical_frame") -> dict[str, Json]:
    """`joint_state` and `pose` of a hand; its time is 0 where it has none. Raises InputError where its palm has no plane."""
    header = _header(hand.time or 0.0, frame_id)
    (pose,) = wrist_poses(real_joints([hand]), hand.side)
    names = [f"{hand.side}_{name}" for name in hand.angles_degrees]
    positions = [round(math.radians(angle), 9) for angle in hand.angles_degrees.values()]
    place, turn = pose[:3, 3].round(9).tolist(), rotmat_to_quat(pose[:3, :3]).round(12).tolist()
    return {
        "joint_state": {
            "header": header,
            "name": list(names),
            "position": list(positions),
            "velocity": [],
            "effort": [],
        },
        "pose": {
            "header": header,
            "pose": {
                "position": dict(zip("xyz", place, strict=True)),
                "orientation": dict(zip("xyzw", turn, strict=True)),
            },
        },
    }


def from_ros(messages: Mapping[str, Any]) -> RosHand:
    """The hand of `joint_state` and `pose`, as `to_ros` gives them.

    Raises:
        InputError: a field is missing or no number, or names are those of no hand or of two.
    """
    try:
        state, pose = messages["joint_state"], messages["pose"]["pose"]
        sides = {name.partition("_")[0] for name in state["name"]}
        (side,) = (each for each in SIDES if sides == {each})
        angles = {
            name.partition("_")[2]: math.degrees(value)
            for name, value in zip(state["name"], state["position"], strict=True)
        }
        stamp = state["header"]["stamp"]
        matrix = np.eye(4)
        matrix[:3, :3] = quat_to_rotmat(np.array([float(pose["orientation"][axis]) for axis in "xyzw"]))
        matrix[:3, 3] = [float(pose["position"][axis]) for axis in "xyz"]
        return RosHand(side, angles, matrix, stamp["sec"] + 1e-9 * stamp["nanosec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"messages: are not joint_state and pose of a hand ({error})") from error


def _header(time: float, frame_id: str) -> Json:
    seconds = math.floor(time)
    return {"stamp": {"sec": seconds, "nanosec": round(1e9 * (time - seconds))}, "frame_id": frame_id}
