"""Keypoints of gestures, whose angles are known."""

import numpy as np
import torch

from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import gestures


def gesture_joints() -> tuple[np.ndarray, np.ndarray]:
    """Joints (12, 21, 3) of one large right hand, a metre from the origin, and its angles (12, 23) in degrees."""
    angles = gestures()[:12]
    pose = HandPose.zero(12)
    pose.rotations = angles_to_rotations(torch.as_tensor(np.radians(angles), dtype=torch.float32))
    pose.shape = torch.tensor([1.0, -0.5, 0.5, 0, 0, 0, 0, 0, 0, 0]).expand(12, 10)
    pose.translation = torch.tensor([0.2, -0.1, 1.0]).expand(12, 3)
    return HandModel.open_hand().joints(pose).double().numpy(), angles
