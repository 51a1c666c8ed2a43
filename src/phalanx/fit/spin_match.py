"""Spin match: the hinge angles of a hand from its joints, bone by bone in closed form (Chen 2020, ch. 5).

The thesis names the step and its purpose, to have a rigged hand take the pose of given joints, and leaves the formulas out. Here,
from the base of each finger to its tip: a bone *swings* by the smallest rotation onto its target, then *spins* about itself
until the next bone lies in the plane in which its hinge can bend it. What the hinges of a real finger cannot do (twist, bending
sideways) is then left out and the limits are kept. It starts `fit.joints.fit_joints`, which polishes it by least squares.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from phalanx.fit.chain import Chain, rotations_to_hinges
from phalanx.geometry.rotations import cross_matrix

SURE_BEND = math.sin(math.radians(12))
"""Sine of the bend between two bones at which their plane counts half: straight fingers have none."""


def spin_match(chain: Chain, fingers: Tensor) -> Tensor:
    """Hinge angles (B, 20) within their limits for finger joints (B, 5, 4, 3) in the hand frame; the bones' lengths are not used."""
    bones = functional.normalize(fingers[:, :, 1:] - fingers[:, :, :-1], dim=-1)  # (B, 5, 3, 3) bone by coordinate
    rest = functional.normalize(chain.bones[:, 1:], dim=-1)  # (5, 3, 3)
    frame = torch.eye(3).to(fingers).expand(*fingers.shape[:2], 3, 3)  # of the bone before
    rotations = []
    for k in range(3):
        own = rest[:, k].expand_as(bones[:, :, k])
        rotation = swing(own, _into(frame, bones[:, :, k]))
        if k < 2:
            rotation = rotation @ spin(
                own, chain.axes[:, k + 2].expand_as(own), _into(frame @ rotation, bones[:, :, k + 1])
            )
        frame = frame @ rotation
        rotations.append(rotation)
    angles = rotations_to_hinges(chain, torch.stack(rotations, dim=2).flatten(1, 2))
    return torch.clamp(angles, chain.limits[:, 0], chain.limits[:, 1])


def swing(start: Tensor, end: Tensor) -> Tensor:
    """The smallest rotations (..., 3, 3) that take unit vectors `start` (..., 3) onto `end`; bones never turn right round."""
    axis = torch.linalg.cross(start, end)
    cosine = (start * end).sum(-1)[..., None, None]
    cross = cross_matrix(axis)
    return torch.eye(3).to(start) + cross + cross @ cross / (1 + cosine).clamp_min(1e-4)


def spin(bone: Tensor, hinge: Tensor, following: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about unit vectors `bone` that make the next bone's `hinge` square to that bone, `following`.

    All (..., 3), in the frame of `bone`. By less than a quarter turn; by less than needed where the two bones are nearly in line,
    because noise then decides.
    """
    along = torch.linalg.cross(hinge, bone)  # where the hinge bends the next bone to
    aside = torch.linalg.cross(bone, along)
    cosine, sine = (following * along).sum(-1), (following * aside).sum(-1)
    bend = cosine.square() + sine.square()
    angle = torch.atan2(sine * cosine.sign(), cosine.abs()) * bend / (bend + SURE_BEND**2)
    cross = cross_matrix(bone)
    sine, versine = torch.sin(angle)[..., None, None], (1 - torch.cos(angle))[..., None, None]
    return torch.eye(3).to(bone) + sine * cross + versine * cross @ cross


def _into(frame: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3) as seen from frames (..., 3, 3)."""
    return (frame.mT @ vector[..., None])[..., 0]
