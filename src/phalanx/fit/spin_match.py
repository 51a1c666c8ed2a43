"""Spin match: the hinge angles of a hand from its joints, bone by bone in closed form (Chen 2020, ch. 5). For NumPy and PyTorch.

The thesis names the step and its purpose, to have a rigged hand take the pose of given joints, and leaves the formulas out. Here,
from the base of each finger to its tip: a bone *swings* by the smallest rotation onto its target, then *spins* about itself
until the next bone lies in the plane in which its hinge can bend it. What the hinges of a real finger cannot do (twist, bending
sideways) is then left out and the limits are kept. Fits of 3D joints (`fit.joints`) start from it and polish it by least squares.
"""

from __future__ import annotations

import math

import numpy as np

from phalanx.core.arrays import Array, like, namespace, unit
from phalanx.fit.chain import Chain, rotations_to_hinges
from phalanx.geometry.turns import cross_matrix

SURE_BEND = math.sin(math.radians(12))
"""Sine of the bend between two bones at which their plane counts half: straight fingers have none."""


def spin_match(chain: Chain[Array], fingers: Array) -> Array:
    """Hinge angles (B, 20) within their limits for finger joints (B, 5, 4, 3) in the hand frame; the bones' lengths are not used."""
    xp = namespace(fingers)
    bones = unit(fingers[:, :, 1:] - fingers[:, :, :-1])  # (B, 5, 3, 3) bone by coordinate
    rest = unit(chain.bones[:, 1:])  # (5, 3, 3)
    frame = xp.broadcast_to(chain.identity, (*fingers.shape[:2], 3, 3))  # of the bone before
    rotations = []
    for k in range(3):
        own = xp.broadcast_to(rest[:, k], bones[:, :, k].shape)
        rotation = swing(own, _into(frame, bones[:, :, k]))
        if k < 2:
            hinge = xp.broadcast_to(chain.axes[:, k + 2], own.shape)
            rotation = rotation @ spin(own, hinge, _into(frame @ rotation, bones[:, :, k + 1]))
        frame = frame @ rotation
        rotations.append(rotation)
    angles = rotations_to_hinges(chain, xp.stack(rotations, axis=2).reshape(-1, 15, 3, 3))
    return xp.clip(angles, chain.limits[:, 0], chain.limits[:, 1])


def swing(start: Array, end: Array) -> Array:
    """The smallest rotations (..., 3, 3) that take unit vectors `start` (..., 3) onto `end`; bones never turn right round."""
    xp = namespace(start)
    cosine = (start * end).sum(-1)[..., None, None]
    cross = cross_matrix(xp.cross(start, end, axis=-1))
    return like(np.eye(3), start) + cross + cross @ cross / xp.clip(1 + cosine, 1e-4, None)


def spin(bone: Array, hinge: Array, following: Array) -> Array:
    """Rotations (..., 3, 3) about unit vectors `bone` that make the next bone's `hinge` square to that bone, `following`.

    All (..., 3), in the frame of `bone`. By less than a quarter turn; by less than needed where the two bones are nearly in line,
    because noise then decides.
    """
    xp = namespace(bone)
    along = xp.cross(hinge, bone, axis=-1)  # where the hinge bends the next bone to
    aside = xp.cross(bone, along, axis=-1)
    cosine, sine = (following * along).sum(-1), (following * aside).sum(-1)
    bend = xp.square(cosine) + xp.square(sine)
    angle = xp.arctan2(sine * xp.sign(cosine), xp.abs(cosine)) * bend / (bend + SURE_BEND**2)
    cross = cross_matrix(bone)
    sine, versine = xp.sin(angle)[..., None, None], (1 - xp.cos(angle))[..., None, None]
    return like(np.eye(3), bone) + sine * cross + versine * cross @ cross


def _into(frame: Array, vector: Array) -> Array:
    """Vectors (..., 3) as seen from frames (..., 3, 3)."""
    return (frame.swapaxes(-1, -2) @ vector[..., None])[..., 0]
