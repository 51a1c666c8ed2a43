"""Predictions of hands whose joints are known."""

from typing import Any

import numpy as np

from phalanx.hand.anatomy import ANGLE_NAMES
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
