"""The hand's kinematic chain with its analytical derivatives, written for few and large array operations.

Every finger is four hinges (base abduction, base flexion, and two more flexions) and four joints. Frames: everything here is
relative to the palm (the hand frame), with the wrist at the origin. `B` hands, 5 fingers, thumb first. One source serves NumPy
arrays and PyTorch tensors (`core.arrays`): the chain is of the kind of the arrays it was built from, and so are its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Generic

import numpy as np

from phalanx.core.arrays import Array, lengths, like, namespace, zeros
from phalanx.geometry.turns import cross_matrix
from phalanx.hand.angles import ABDUCTION, AXES, FLEXION, LIMITS
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.skeleton import FINGERS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phalanx.hand.model import HandModel

HINGES = tuple(
    angle
    for first in range(1, 16, 3)
    for angle in (ABDUCTION[first], FLEXION[first], FLEXION[first + 1], FLEXION[first + 2])
)
"""For the 20 hinges, finger by finger and base to tip, the index of the anatomical angle (of 23)."""

BEFORE = tuple((0, *finger[:3]) for finger in FINGERS)
"""The joint before each joint of a finger; the wrist before the first."""

RELAXED = 0.35
"""Flexion that fingers tend to, radians."""

MIDDLE = 2
"""The finger along which a hand's length is measured."""


@dataclass(frozen=True)
class Chain(Generic[Array]):
    """Constants of a hand model's chain."""

    axes: Array  # (5, 4, 3) unit hinge axes in the rest frame
    turns: Array  # (20, 2, 9) cross-product matrix of each axis, and its square
    bones: Array  # (5, 4, 3) wrist to first joint, then the three bones, mean shape
    bone_basis: Array  # (5, 4, 3, 10) their change with shape
    columns: Array  # (5, 4, 3, 11) bones, then their basis: both turn alike
    limits: Array  # (20, 2) radians
    reach: Array  # (5, 4, 4, 1) 1 where hinge k moves joint j of its finger
    identity: Array  # (3, 3)


def build_chain(rest_joints: Array, joint_basis: Array) -> Chain[Array]:
    """The chain of a hand with these joints at rest (21, 3), metres, and their shape basis (21, 3, 10)."""
    xp = namespace(rest_joints)
    axes = like(AXES[list(HINGES)], rest_joints)  # (20, 3)
    cross = cross_matrix(axes)
    fingers, before = np.array(FINGERS), np.array(BEFORE)
    bones = rest_joints[fingers] - rest_joints[before]
    bone_basis = joint_basis[fingers] - joint_basis[before]
    pivots = np.array([0, 0, 1, 2])  # the joint of its finger that each hinge sits at
    reach = np.tile((np.arange(4) > pivots[:, None])[..., None], (5, 1, 1, 1))
    return Chain(
        axes=axes.reshape(5, 4, 3),
        turns=xp.stack((cross, cross @ cross), axis=1).reshape(20, 2, 9),
        bones=bones,
        bone_basis=bone_basis,
        columns=xp.concatenate((bones[..., None], bone_basis), axis=-1),
        limits=like(LIMITS[list(HINGES)], rest_joints),
        reach=like(reach, rest_joints),
        identity=like(np.eye(3), rest_joints),
    )


@lru_cache(maxsize=8)
def _chain(model: HandModel, device: torch.device, dtype: torch.dtype) -> Chain[Tensor]:
    return build_chain(model.rest_joints, model.joint_basis)


def chain_of(model: HandModel) -> Chain[Tensor]:
    """The chain of `model`, kept for the next call."""
    import torch

    with torch.inference_mode(False):  # what is kept must serve differentiation too
        return _chain(model, model.rest_joints.device, model.rest_joints.dtype)


@lru_cache(maxsize=8)
def numpy_chain_of(model: HandModel | PlainHand, dtype: type | None = None) -> Chain[np.ndarray]:
    """The chain of a model in NumPy, of `dtype` or the model's own, kept for the next call."""
    hand = plain_hand(model)
    rest_joints, joint_basis = (hand.rest_joints, hand.joint_basis)
    return build_chain(rest_joints.astype(dtype or rest_joints.dtype), joint_basis.astype(dtype or joint_basis.dtype))


def hinge_rotations(chain: Chain[Array], angles: Array) -> Array:
    """Rotation of each hinge (B, 5, 4, 3, 3) for angles (B, 20): Rodrigues' formula."""
    xp = namespace(angles)
    factors = xp.stack((xp.sin(angles), 1 - xp.cos(angles)), axis=-1)  # (B, 20, 2)
    turn = (factors[:, :, None] @ chain.turns)[:, :, 0]  # (B, 20, 9)
    diagonal = turn[..., ::4]
    diagonal += 1
    return turn.reshape(-1, 5, 4, 3, 3)


def local_rotations(chain: Chain[Array], angles: Array) -> Array:
    """Rotations of the 15 finger joints (B, 15, 3, 3), as in `HandPose.rotations[:, 1:]`."""
    turn = hinge_rotations(chain, angles)
    joints = turn[:, :, 0] @ turn[:, :, 1], turn[:, :, 2], turn[:, :, 3]
    return namespace(angles).stack(joints, axis=2).reshape(-1, 15, 3, 3)


def relaxed_angles(chain: Chain[Array], batch: int) -> Array:
    """Angles (B, 20) of hands that rest."""
    angles = RELAXED + zeros((batch, 20), chain.bones)
    angles[:, 0:20:4] = 0  # abduction
    return angles


def rotations_to_hinges(chain: Chain[Array], rotations: Array) -> Array:
    """Angles (B, 20) that explain finger rotations (B, 15, 3, 3) best; exact for what `local_rotations` made.

    The base joint R = R_a R_f moves the flexion axis f by the abduction only, which gives the abduction; every flexion is
    the twist about its axis of what is left.
    """
    xp = namespace(rotations)
    rotation = rotations.reshape(-1, 5, 3, 3, 3)
    a, f = chain.axes[:, 0], chain.axes[:, 1]  # (5, 3)
    image = (rotation[:, :, 0] @ f[..., None])[..., 0]  # (B, 5, 3)
    aligned = (a * f).sum(-1)
    across = (cross_matrix(a) @ f[..., None])[..., 0]
    abduction = xp.arctan2((image * across).sum(-1), (image * f).sum(-1) - xp.square(aligned))  # (B, 5)
    back = xp.stack((-xp.sin(abduction), 1 - xp.cos(abduction)), axis=-1)  # (B, 5, 2) turn by -abduction
    undo = (back[:, :, None] @ chain.turns.reshape(5, 4, 2, 9)[:, 0]).reshape(-1, 5, 3, 3)
    first = rotation[:, :, 0] + undo @ rotation[:, :, 0]
    rest = xp.concatenate((first[:, :, None], rotation[:, :, 1:]), axis=2)  # (B, 5, 3, 3, 3)
    skew = xp.stack(
        (rest[..., 2, 1] - rest[..., 1, 2], rest[..., 0, 2] - rest[..., 2, 0], rest[..., 1, 0] - rest[..., 0, 1]),
        axis=-1,
    )
    trace = rest.reshape(-1, 5, 3, 9)[..., ::4].sum(-1)
    flexion = 2 * xp.arctan2((skew * chain.axes[:, 1:]).sum(-1), 1 + trace)  # (B, 5, 3)
    return xp.concatenate((abduction[..., None], flexion), axis=2).reshape(-1, 20)


def joints_and_derivatives(chain: Chain[Array], angles: Array, shape: Array) -> tuple[Array, Array, Array]:
    """Joints relative to the palm and how they move.

    Args:
        angles: (B, 20) hinge angles.
        shape: (B, 10).

    Returns:
        joints (B, 5, 4, 3) of the fingers (the wrist is the origin); their derivatives by the hinges of the same finger
        (B, 5, 4, 3, 4), joint by coordinate by hinge; and by shape (B, 5, 4, 3, 10).
    """
    xp = namespace(angles)
    turn = hinge_rotations(chain, angles)
    abducted = turn[:, :, 0]
    flexed = abducted @ turn[:, :, 1]
    second = flexed @ turn[:, :, 2]
    third = second @ turn[:, :, 3]
    # A hinge does not move its own axis, so the frame after it serves.
    axes = (xp.stack((abducted, flexed, second, third), axis=2) @ chain.axes[..., None])[..., 0]  # (B, 5, 4, 3)
    palm = xp.broadcast_to(chain.identity, abducted.shape)  # the metacarpals belong to it
    frames = xp.stack((palm, flexed, second, third), axis=2)  # (B, 5, 4, 3, 3) of the bones
    turned = xp.cumsum(frames @ chain.columns, axis=2)  # (B, 5, 4, 3, 11)
    by_shape = turned[..., 1:]
    joints = turned[..., 0] + (by_shape @ shape[:, None, None, :, None])[..., 0]  # (B, 5, 4, 3)
    pivots = xp.concatenate((joints[:, :, :1], joints[:, :, :3]), axis=2)  # (B, 5, 4, 3) where the hinges sit
    lever = (joints[:, :, None] - pivots[:, :, :, None]) * chain.reach  # (B, 5, hinge, joint, 3)
    by_angle = lever @ cross_matrix(axes).swapaxes(
        -1, -2
    )  # as `cross` and `moveaxis`, which take NumPy four times as long
    return joints, by_angle.swapaxes(2, 4).swapaxes(2, 3), by_shape


def hand_length(chain: Chain[Array], shape: Array) -> tuple[Array, Array]:
    """Length (B,) of the straight hand in metres, wrist joint to middle finger tip along the bones, and its derivative (B, 10)."""
    basis = chain.bone_basis[MIDDLE]  # (4, 3, 10)
    bones = chain.bones[MIDDLE] + (basis @ shape[:, None, :, None])[..., 0]  # (B, 4, 3)
    long = lengths(bones)  # (B, 4, 1)
    return long.sum((1, 2)), (bones / long).reshape(-1, 12) @ basis.reshape(12, 10)
