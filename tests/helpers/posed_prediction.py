"""Predictions of hands whose joints are known."""

from typing import Any

import numpy as np

from phalanx.hand.angles import ANGLE_NAMES, angles_to_rotations, axis_angle_to_rotation
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import HandPrediction, Side


def posed_prediction(joints: np.ndarray, side: Side, **changes: Any) -> HandPrediction:
    """A prediction of a hand with joints (21, 3), metres, camera frame; what joints do not tell is made up."""
    values: dict[str, Any] = dict(
        side=side,
        score=0.9,
        box=[10, 20, 100, 100],
        width=640,
        height=480,
        joints_2d=np.zeros((21, 2)),
        joints=joints,
        uncertainty=np.ones(21),
        rotations=np.tile(np.eye(3), (16, 1, 1)),
        orientation=np.eye(3),
        angles_degrees=dict.fromkeys(ANGLE_NAMES, 0.0),
        shape=np.zeros(10),
        K=[[500, 0, 320], [0, 500, 240], [0, 0, 1]],
    )
    return HandPrediction(**{**values, **changes})


def seen_hand(side: Side) -> HandPrediction:
    """A prediction of a bent hand 0.4 m before the camera, turned, its joints where the camera sees them."""
    angles = np.full((1, len(ANGLE_NAMES)), 0.3)
    palm = axis_angle_to_rotation(np.array([[0.6, 0.0, 0.8]]), np.array([2.5]))
    pose = HandPose(angles_to_rotations(angles), np.zeros((1, 10)), palm, np.array([[0.03, 0.05, 0.4]]))
    joints = PlainHand.open_hand().joints(pose)[0] * [-1.0 if side == "left" else 1.0, 1, 1]
    pixels = 500 * joints[:, :2] / joints[:, 2:] + [320, 240]
    degrees = dict(zip(ANGLE_NAMES, np.degrees(angles[0]).tolist(), strict=True))
    return posed_prediction(joints, side, joints_2d=pixels, angles_degrees=degrees)
