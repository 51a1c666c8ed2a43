"""Joints that a measurement lacks, or that can be no hand's: where a fit starts from nevertheless.

What is missing weighs nothing in the fit; it needs a place only for the spin match that the fit starts from. What is no hand's shows
in distances: along the bones no two joints are farther apart than the way from one to the other.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from phalanx.core.arrays import Array, lengths, namespace, unit, zeros
from phalanx.fit.chain import Chain, joints_and_derivatives, relaxed_angles
from phalanx.geometry.alignment import rigid_alignment
from phalanx.hand.skeleton import FINGERS, PALM, PARENTS

LEAST = 6
"""Joints of a frame that a fit needs."""

FINGER_SHARE = 0.03
"""Weight of the joints of fingers beside those of the palm when a hand is laid onto what is there: fingers bend."""

TOO_FAR, TOO_NEAR, SLACK = 1.3, 0.55, 0.012
"""Bones may be so many times as long as the hand's size lets expect, and so many metres more or less: skeletons differ."""

MOST_SUSPECTS = 8
"""Joints of a frame that can be told from the others as misplaced."""


def fill_joints(chain: Chain[Array], joints: Array, seen: Array) -> Array:
    """Joints (B, 21, 3) of which those that are not `seen` (B, 21) are put where they may be: on a resting palm, fingers going on straight.

    Joints that are not seen may be NaN.
    """
    xp = namespace(joints)
    rest = joints_and_derivatives(chain, relaxed_angles(chain, 1), zeros((1, 10), chain.bones))[0].reshape(1, 20, 3)
    rest = xp.concatenate((xp.zeros_like(rest[:, :1]), rest), axis=1)  # (1, 21, 3)
    share = xp.full_like(joints[0, :, 0], FINGER_SHARE)
    share[list(PALM)] = 1
    weight = xp.where(seen, share, 1e-6)
    there = xp.where(seen[..., None], joints, 0.0)
    turn, shift = rigid_alignment(xp.broadcast_to(rest, there.shape), there, weight)
    local = xp.where(seen[..., None], (there - shift[:, None]) @ turn, rest)  # hand frame
    for finger in FINGERS:
        for base, joint in pairwise(finger):
            before = local[:, base] - local[:, PARENTS[base]]
            long = lengths(rest[:, joint] - rest[:, base])
            onward = before if base != finger[0] else rest[:, joint] - rest[:, base]
            place = local[:, base] + long * unit(onward)
            if joint != finger[-1]:  # halfway between where the joints beside it have it
                after = joint + 1
                back = local[:, after] - (rest[:, after] - rest[:, joint])
                place = xp.where(seen[:, after, None], (place + back) / 2, place)
            local[:, joint] = xp.where(seen[:, joint, None], local[:, joint], place)
    filled: Array = xp.where(seen[..., None], joints, local @ turn.swapaxes(-1, -2) + shift[:, None])
    return filled


def misplaced_joints(rest_joints: np.ndarray, joints: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Which of the `seen` (B, 21) joints (B, 21, 3) are at no hand's distance from most others, of whatever size the hand is.

    Args:
        rest_joints: (21, 3) of the hand model.

    Returns:
        (B, 21); at most `MOST_SUSPECTS` in a frame, the worst first taken away.
    """
    least, most, bones = _distances(rest_joints)
    apart = _between(np.nan_to_num(joints))  # (B, 21, 21)
    both = seen[:, :, None] & seen[:, None]
    size = _middle(np.where(both & bones, apart / most.clip(1e-6), np.nan))[:, None, None]  # of the hand, model = 1
    fault = (apart > TOO_FAR * size * most + SLACK) | (apart < TOO_NEAR * size * least - SLACK)
    found = np.zeros_like(seen)
    for _ in range(MOST_SUSPECTS):
        count = (fault & both).sum(2)
        worst = count.argmax(1)
        wrong = count[np.arange(len(count)), worst] > 1  # one fault has two that may be at it
        if not wrong.any():
            break
        out = np.zeros_like(seen)
        out[wrong, worst[wrong]] = True
        found |= out
        both = both & ~out[:, :, None] & ~out[:, None]
    return found


def _distances(rest_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(21, 21) least and most distances of joints of the mean hand, and which of them are bones (the palm's are all)."""
    apart = _between(rest_joints[None])[0]
    bones = np.zeros(apart.shape, bool)
    for group in (PALM, *((base, joint) for finger in FINGERS for base, joint in pairwise(finger))):
        for joint in group:
            bones[joint, list(group)] = True
    np.fill_diagonal(bones, False)
    most = np.where(bones, apart, np.inf)
    np.fill_diagonal(most, 0)
    for between in range(21):  # the shortest way along bones
        most = np.minimum(most, most[:, between, None] + most[None, between])
    return np.where(bones, apart, 0.0), most, bones


def _between(joints: np.ndarray) -> np.ndarray:
    """Distances (B, 21, 21) of joints (B, 21, 3) from each other; coordinate by coordinate, which takes a third of the memory."""
    return np.sqrt(sum(np.square(joints[:, :, None, axis] - joints[:, None, :, axis]) for axis in range(3)))


def _middle(values: np.ndarray) -> np.ndarray:
    """(B,) lower medians of what is a number among (B, N, M); 1 where nothing is."""
    ordered = np.sort(values.reshape(len(values), -1), axis=1)  # NaN comes last
    known = np.isfinite(ordered).sum(1)
    found = ordered[np.arange(len(ordered)), np.maximum(known - 1, 0) // 2]
    return np.where(known > 0, found, 1.0)
