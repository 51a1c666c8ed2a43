"""How usual 21 joints are as a hand's, wherever it is and however it is turned: a normal distribution over sampled hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.geometry.turns import matrix_to_rotmat
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.hand.pose_space import sample_angles
from phalanx.hand.skeleton import BONES

PALM = (0, 5, 9, 13, 17)
"""Joints that move as one: they fix the frame."""

SAMPLES = 2_000
"""Hands that the distribution is of."""

FLOOR = 0.05
"""Standard deviation, in lengths of a bone, that is added in all directions: no joint is known better, and hands differ in shape."""

_ROUND = 1e-6  # added to the covariance: palms in a point or a line have a turn and a gradient


@dataclass(frozen=True)
class JointPrior:
    """`prior.cost(joints)`; joints are in lengths of the middle finger's first bone."""

    mean: Tensor
    """(21, 3), in a frame of the palm."""
    precision: Tensor
    """(63, 63) inverse covariance."""

    @classmethod
    def of_hand(cls, hand: HandModel, seed: int = 0) -> JointPrior:
        """Of hands of average and other shapes in poses of `hand.pose_space.sample_angles`."""
        random = np.random.default_rng(seed)
        rotations = angles_to_rotations(sample_angles(random, SAMPLES)).float()
        shape = torch.from_numpy(random.normal(size=(SAMPLES, 10))).float()
        turn, place = torch.eye(3).expand(SAMPLES, 3, 3), torch.zeros(SAMPLES, 3)
        parts = (part.to(hand.template.device) for part in (rotations, shape, turn, place))
        with torch.no_grad():
            joints = hand.joints(HandPose(*parts)).double().cpu()
        first, second = BONES[9]
        joints = joints / (joints[:, first] - joints[:, second]).norm(dim=-1)[:, None, None]
        template = joints.mean(0) - joints.mean(0)[list(PALM)].mean(0)
        flat = _turned(joints, template).flatten(1)
        mean = flat.mean(0)
        off = flat - mean
        covariance = off.T @ off / len(off) + FLOOR**2 * torch.eye(63, dtype=off.dtype)
        return cls(mean.view(21, 3).float(), torch.linalg.inv(covariance).float())

    def to(self, device: torch.device | str) -> JointPrior:
        """The same on `device`."""
        return JointPrior(self.mean.to(device), self.precision.to(device))

    def cost(self, joints: Tensor) -> Tensor:
        """(B,) squared distance of joints (B, 21, 3) from the mean in standard deviations, over all 63 directions; about 1 or less for
        sampled hands. Joints are turned onto the mean's palm first; mirror images are not."""
        off = (_turned(joints, self.mean) - self.mean).flatten(1)
        return ((off @ self.precision) * off).sum(1) / off.shape[1]


def _turned(joints: Tensor, template: Tensor) -> Tensor:
    """Joints (B, 21, 3) moved and turned so that their palms lie on the template's (21, 3) best."""
    palm = list(PALM)
    middle = template[palm].mean(0)
    centred = joints - joints[:, palm].mean(1, keepdim=True)
    covariance = (template[palm] - middle).mT @ centred[:, palm]
    rotation = matrix_to_rotmat(covariance + _ROUND * torch.eye(3, dtype=joints.dtype, device=joints.device))
    return centred @ rotation.mT + middle
