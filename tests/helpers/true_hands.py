"""Hands whose joints are known, for miniatures of public sets."""

import numpy as np
import torch

from phalanx.hand.model import HandModel


def bent_hand(depth: float) -> np.ndarray:
    """A right hand, fingers up and a little bent, its palm towards the camera: (21, 3) metres, OpenCV axes."""
    joints = np.zeros((21, 3))
    joints[1:, 0] = np.repeat([0.045, 0.025, 0.003, -0.018, -0.036], 4)
    joints[1:, 1] = -np.concatenate([[0.03, 0.06, 0.09, 0.11], np.tile([0.085, 0.125, 0.15, 0.17], 4)])
    joints[1:, 2] = -np.tile([0, 0.005, 0.015, 0.03], 5)
    return joints + [0.02, 0.03, depth]


def open_hand() -> np.ndarray:
    """(21, 3) metres with OpenCV axes, the palm towards the camera, fingers up."""
    return HandModel.open_hand().rest_joints.numpy() * [1.0, -1, -1] + [0.05, 0.05, 0.6]


def left_tips(frame: int) -> np.ndarray:
    """Five tips, thumb first, of a left hand whose palm faces the camera: (5, 3) metres, OpenCV axes."""
    x, y = [-0.05, -0.03, 0.0, 0.02, 0.04], [0.0, -0.08, -0.1, -0.08, -0.06]
    return np.stack([x, y, np.full(5, 0.4 + 0.01 * frame)], axis=-1)


def is_right(joints: torch.Tensor) -> bool:
    """Whether fingers bend to where the palm faces."""
    palm = torch.linalg.cross(joints[5] - joints[0], joints[17] - joints[0])
    return float(palm @ (joints[12] - joints[9])) > 0
