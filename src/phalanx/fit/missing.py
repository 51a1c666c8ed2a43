"""Joints that a measurement lacks, or that can be no hand's: where a fit starts from nevertheless.

What is missing weighs nothing in the fit; it needs a place only for the spin match that the fit starts from. What is no hand's shows
in distances: along the bones no two joints are farther apart than the way from one to the other.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

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


def fill_joints(chain: Chain[Tensor], joints: Tensor, seen: Tensor) -> Tensor:
    """Joints (B, 21, 3) of which those that are not `seen` (B, 21) are put where they may be: on a resting palm, fingers going on straight.

    Joints that are not seen may be NaN.
    """
    rest = joints_and_derivatives(chain, relaxed_angles(chain, 1), chain.bones.new_zeros(1, 10))[0].reshape(1, 20, 3)
    rest = torch.cat((torch.zeros_like(rest[:, :1]), rest), dim=1)  # (1, 21, 3)
    share = torch.full_like(joints[0, :, 0], FINGER_SHARE)
    share[list(PALM)] = 1
    weight = torch.where(seen, share, 1e-6)
    there = torch.where(seen[..., None], joints, 0.0)
    with torch.inference_mode(False), torch.no_grad():  # RoMa keeps a table of its first call, for differentiation too
        turn, shift = rigid_alignment(rest.expand_as(there).clone(), there.clone(), weight.clone())
    local = torch.where(seen[..., None], (there - shift[:, None]) @ turn, rest)  # hand frame
    for finger in FINGERS:
        for base, joint in pairwise(finger):
            before = local[:, base] - local[:, PARENTS[base]]
            long = (rest[:, joint] - rest[:, base]).norm(dim=-1, keepdim=True)
            onward = before if base != finger[0] else rest[:, joint] - rest[:, base]
            place = local[:, base] + long * torch.nn.functional.normalize(onward, dim=-1)
            if joint != finger[-1]:  # halfway between where the joints beside it have it
                after = joint + 1
                back = local[:, after] - (rest[:, after] - rest[:, joint])
                place = torch.where(seen[:, after, None], (place + back) / 2, place)
            local[:, joint] = torch.where(seen[:, joint, None], local[:, joint], place)
    return torch.where(seen[..., None], joints, local @ turn.mT + shift[:, None])


def misplaced_joints(rest_joints: Tensor, joints: Tensor, seen: Tensor) -> Tensor:
    """Which of the `seen` (B, 21) joints (B, 21, 3) are at no hand's distance from most others, of whatever size the hand is.

    Args:
        rest_joints: (21, 3) of the hand model.

    Returns:
        (B, 21); at most `MOST_SUSPECTS` in a frame, the worst first taken away.
    """
    least, most, bones = _distances(rest_joints.to(joints))
    apart = torch.cdist(joints.nan_to_num(), joints.nan_to_num())  # (B, 21, 21)
    both = seen[:, :, None] & seen[:, None]
    ratio = torch.where(both & bones, apart / most.clamp_min(1e-6), torch.nan)
    size = ratio.flatten(1).nanmedian(1).values.nan_to_num(1.0)[:, None, None]  # of the hand, model = 1
    fault = (apart > TOO_FAR * size * most + SLACK) | (apart < TOO_NEAR * size * least - SLACK)
    found = torch.zeros_like(seen)
    for _ in range(MOST_SUSPECTS):
        count = (fault & both).sum(2)
        worst = count.argmax(1, keepdim=True)
        out = torch.zeros_like(seen).scatter(
            1, worst, count.gather(1, worst) > 1
        )  # one fault has two that may be at it
        if not out.any():
            break
        found |= out
        both = both & ~out[:, :, None] & ~out[:, None]
    return found


def _distances(rest_joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(21, 21) least and most distances of joints of the mean hand, and which of them are bones (the palm's are all)."""
    apart = torch.cdist(rest_joints, rest_joints)
    bones = torch.zeros_like(apart, dtype=torch.bool)
    for group in (PALM, *((base, joint) for finger in FINGERS for base, joint in pairwise(finger))):
        for joint in group:
            bones[joint, list(group)] = True
    bones.fill_diagonal_(False)
    most = torch.where(bones, apart, torch.inf).fill_diagonal_(0.0)
    for between in range(21):  # the shortest way along bones
        most = torch.minimum(most, most[:, between, None] + most[None, between])
    return torch.where(bones, apart, 0.0), most, bones
