"""The hand's kinematic chain with its analytical derivatives, written for few and large tensor operations.

Every finger is four hinges (base abduction, base flexion, and two more flexions) and four joints. Frames: everything here is
relative to the palm (the hand frame), with the wrist at the origin. `B` hands, 5 fingers, thumb first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from phalanx.geometry.rotations import cross_matrix
from phalanx.hand.anatomy import ABDUCTION, AXES, FLEXION, LIMITS
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FINGERS

HINGES = tuple(
    angle
    for first in range(1, 16, 3)
    for angle in (ABDUCTION[first], FLEXION[first], FLEXION[first + 1], FLEXION[first + 2])
)
"""For the 20 hinges, finger by finger and base to tip, the index of the anatomical angle (of 23)."""


@dataclass(frozen=True)
class Chain:
    """Constants of a hand model's chain."""

    axes: Tensor  # (5, 4, 3) unit hinge axes in the rest frame
    turns: Tensor  # (20, 2, 9) cross-product matrix of each axis, and its square
    bones: Tensor  # (5, 4, 3) wrist to first joint, then the three bones, mean shape
    bone_basis: Tensor  # (5, 4, 3, 10) their change with shape
    limits: Tensor  # (20, 2) radians
    reach: Tensor  # (5, 4, 4) 1 where hinge k moves joint j of its finger
    pivots: Tensor  # (4,) the joint of its finger that each hinge sits at


@lru_cache(maxsize=8)
def _chain(model: HandModel, device: torch.device, dtype: torch.dtype) -> Chain:
    axes = AXES[list(HINGES)].to(device=device, dtype=dtype)  # (20, 3)
    cross = cross_matrix(axes)
    fingers = torch.tensor(FINGERS, device=device)  # (5, 4)
    from_joint = torch.cat((torch.zeros_like(fingers[:, :1]), fingers[:, :3]), dim=1)
    pivots = torch.tensor([0, 0, 1, 2], device=device)
    joint = torch.arange(4, device=device)
    return Chain(
        axes=axes.unflatten(0, (5, 4)),
        turns=torch.stack((cross, cross @ cross), dim=1).flatten(2),
        bones=model.rest_joints[fingers] - model.rest_joints[from_joint],
        bone_basis=model.joint_basis[fingers] - model.joint_basis[from_joint],
        limits=LIMITS[list(HINGES)].to(device=device, dtype=dtype),
        reach=(joint[None] > pivots[:, None]).to(dtype).expand(5, 4, 4),
        pivots=pivots,
    )


def chain_of(model: HandModel) -> Chain:
    """The chain of `model`, kept for the next call."""
    with torch.inference_mode(False):  # what is kept must serve differentiation too
        return _chain(model, model.rest_joints.device, model.rest_joints.dtype)


def hinge_rotations(chain: Chain, angles: Tensor) -> Tensor:
    """Rotation of each hinge (B, 5, 4, 3, 3) for angles (B, 20): Rodrigues' formula."""
    factors = torch.stack((torch.sin(angles), 1 - torch.cos(angles)), dim=-1)  # (B, 20, 2)
    turn = (factors[:, :, None] @ chain.turns)[:, :, 0]  # (B, 20, 9)
    turn[..., ::4] += 1
    return turn.view(-1, 5, 4, 3, 3)


def local_rotations(chain: Chain, angles: Tensor) -> Tensor:
    """Rotations of the 15 finger joints (B, 15, 3, 3), as in `HandPose.rotations[:, 1:]`."""
    turn = hinge_rotations(chain, angles)
    return torch.stack((turn[:, :, 0] @ turn[:, :, 1], turn[:, :, 2], turn[:, :, 3]), dim=2).flatten(1, 2)


def rotations_to_hinges(chain: Chain, rotations: Tensor) -> Tensor:
    """Angles (B, 20) that explain finger rotations (B, 15, 3, 3) best; exact for what `local_rotations` made.

    The base joint R = R_a R_f moves the flexion axis f by the abduction only, which gives the abduction; every flexion is
    the twist about its axis of what is left.
    """
    rotation = rotations.unflatten(1, (5, 3))  # (B, 5, 3, 3, 3)
    a, f = chain.axes[:, 0], chain.axes[:, 1]  # (5, 3)
    image = (rotation[:, :, 0] @ f[..., None])[..., 0]  # (B, 5, 3)
    aligned = (a * f).sum(-1)
    abduction = torch.atan2(
        (image * torch.linalg.cross(a, f)).sum(-1), (image * f).sum(-1) - aligned.square()
    )  # (B, 5)
    back = torch.stack((-torch.sin(abduction), 1 - torch.cos(abduction)), dim=-1)  # (B, 5, 2) turn by -abduction
    undo = (back[:, :, None] @ chain.turns.unflatten(0, (5, 4))[:, 0])[:, :, 0].unflatten(-1, (3, 3))  # (B, 5, 3, 3)
    first = rotation[:, :, 0] + undo @ rotation[:, :, 0]
    rest = torch.cat((first[:, :, None], rotation[:, :, 1:]), dim=2)  # (B, 5, 3, 3, 3)
    skew = torch.stack(
        (rest[..., 2, 1] - rest[..., 1, 2], rest[..., 0, 2] - rest[..., 2, 0], rest[..., 1, 0] - rest[..., 0, 1]),
        dim=-1,
    )
    trace = rest.diagonal(dim1=-2, dim2=-1).sum(-1)
    flexion = 2 * torch.atan2((skew * chain.axes[:, 1:]).sum(-1), 1 + trace)  # (B, 5, 3)
    return torch.cat((abduction[..., None], flexion), dim=2).flatten(1)


def joints_and_derivatives(chain: Chain, angles: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Joints relative to the palm and how they move.

    Args:
        angles: (B, 20) hinge angles.
        shape: (B, 10).

    Returns:
        joints (B, 5, 4, 3) of the fingers (the wrist is the origin); their derivatives by the hinges of the same finger
        (B, 5, 4, 3, 4), joint by coordinate by hinge; and by shape (B, 5, 4, 3, 10).
    """
    turn = hinge_rotations(chain, angles)
    abducted = turn[:, :, 0]
    flexed = abducted @ turn[:, :, 1]
    second = flexed @ turn[:, :, 2]
    third = second @ turn[:, :, 3]
    after = torch.stack((abducted, flexed, second, third), dim=2)  # (B, 5, 4, 3, 3) frame after each hinge
    # A hinge does not move its own axis, so the frame after it serves.
    axes = (after @ chain.axes[..., None])[..., 0]  # (B, 5, 4, 3)
    frames = after.clone()
    frames[:, :, 0] = torch.eye(3, dtype=angles.dtype, device=angles.device)  # the metacarpals belong to the palm
    # The mean bones are one more column beside the shape basis: both turn alike.
    columns = torch.cat((chain.bones[..., None], chain.bone_basis), dim=-1)  # (5, 4, 3, 11)
    turned = (frames @ columns).cumsum(dim=2)  # (B, 5, 4, 3, 11)
    by_shape = turned[..., 1:]
    joints = turned[..., 0] + (by_shape @ shape[:, None, None, :, None])[..., 0]  # (B, 5, 4, 3)
    lever = (joints[:, :, None] - joints[:, :, chain.pivots, None]) * chain.reach[..., None]  # (B, 5, hinge, joint, 3)
    by_angle = torch.linalg.cross(axes[:, :, :, None].expand_as(lever), lever)
    return joints, by_angle.permute(0, 1, 3, 4, 2), by_shape
