"""Hands that hold simple things: a thing is put where a hand would take it, then fingers and thumb close until they touch it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.anatomy import ANGLE_NAMES, LIMITS, angles_to_rotations
from phalanx.hand.collision import FLESH_TOLERANCE, capsule_overlaps
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import capsules_intersect
from phalanx.render.solids import Solids, signed_distance
from phalanx.synth.scene.grasp_fingers import (
    ABDUCT,
    AXIS_POINTS,
    BENDS,
    FingerTables,
    finger_capsules,
    finger_points,
    finger_tables,
    posture_points,
)
from phalanx.synth.scene.grasp_parts import Plan
from phalanx.synth.scene.grasp_plans import GRASP_NAMES, plan_grasps

GRASP_SHARES = (0.2, 0.12, 0.05, 0.11, 0.1, 0.11, 0.05, 0.07, 0.06, 0.07, 0.06)
"""How often each of `GRASP_NAMES` is drawn."""

_DEEPEST = 0.003  # metres that a finger may sink into what it holds
_FARTHEST = 0.004  # metres: a finger nearer than this touches
_PATIENCE = 20  # attempts, before a hand that finds no hold gets something that lies on it
_FOLLOW = (0.25, 0.75)  # bend of a DIP for each degree of its PIP
_SHORT_LIST = 32  # postures of the thumb
_THUMB, _FOUR = slice(0, 1), slice(1, 5)


@dataclass
class Grasps:
    """B right hands and what each holds.

    Attributes:
        angles: (B, 23) radians, anatomical, within the limits.
        shape: (B, 10) of the hands that they were fitted to.
        kind: (B,) which of `GRASP_NAMES`.
        solids: one for each hand, in the hand frame: `solids.moved(pose.orientation, pose.translation)` is it in the camera frame.
    """

    angles: Tensor
    shape: Tensor
    kind: np.ndarray
    solids: Solids


def draw_grasps(
    generator: np.random.Generator,
    model: HandModel,
    count: int,
    shape: Tensor | None = None,
    kinds: np.ndarray | None = None,
) -> Grasps:
    """Draw `count` hands that hold something, on the CPU.

    No finger is deeper than 3 mm in what it holds or runs through another, and but for things that lie on an open palm at least two fingers
    are within 4 mm of it. Hands that find no hold in many attempts get something on the palm instead.

    Args:
        model: the hand model, on the CPU.
        shape: (count, 10) of the hands, the mean hand's if not given: things are fitted to it.
        kinds: (count,) which of `GRASP_NAMES`; drawn with `GRASP_SHARES` if not given.
    """
    with torch.no_grad():
        shape = torch.zeros(count, 10) if shape is None else shape.float()
        drawn = generator.choice(len(GRASP_NAMES), count, p=GRASP_SHARES)
        kind = drawn if kinds is None else np.array(kinds)
        hands = finger_tables(model, shape)
        angles = torch.zeros(count, len(ANGLE_NAMES))
        one = torch.zeros(count, 1, 3)
        solids = Solids(torch.full((count, 1), -1), one, one[..., None] * one[..., None, :], one.clone())
        missing, attempt = np.arange(count), 0
        while len(missing):
            if attempt == _PATIENCE:
                kind[missing] = GRASP_NAMES.index("palm")
            # Few are tried several times at once.
            rows = torch.from_numpy(missing).repeat_interleave(min(4, 1 + 15 // len(missing)))
            tables = hands[rows]
            plan = plan_grasps(generator, tables, kind[rows.numpy()])
            found = _close(generator, tables, plan)
            good = _holds(model, tables, shape[rows], plan, found, kind[rows.numpy()])
            chosen, first = np.unique(rows[good].numpy(), return_index=True)
            taken = good.nonzero()[first, 0]
            angles[chosen] = found[taken]
            for field in fields(Solids):
                getattr(solids, field.name)[chosen] = getattr(plan.solids, field.name)[taken]
            missing, attempt = np.setdiff1d(missing, chosen), attempt + 1
    return Grasps(angles, shape, kind, solids)


def _holds(
    model: HandModel, hands: FingerTables, shape: Tensor, plan: Plan, angles: Tensor, kind: np.ndarray
) -> Tensor:
    """Which (R,) of the hands hold their thing as `draw_grasps` promises, with palm and forearm outside of it."""
    degrees = torch.rad2deg(angles)
    bends, abduction = degrees[:, torch.tensor(BENDS)], degrees[:, ABDUCT]
    ends = posture_points(hands, slice(0, 5), bends[:, :, None], abduction[..., None])[:, :, 0]
    ends = ends.flatten(1, 2)[:, 1:]  # (R, 14, ...), without the thumb's metacarpal
    line = torch.lerp(ends[:, :, :1], ends[:, :, AXIS_POINTS - 1, None], torch.linspace(0, 1, 10)[:, None])
    pose = HandPose.zero(len(angles))
    pose.rotations, pose.shape = angles_to_rotations(angles), shape
    arm = -pose.rotations[:, 0, None, :, 1] * torch.linspace(0.04, 0.3, 8)[:, None]  # (R, 8, 3)
    distance = signed_distance(plan.solids, torch.cat([line.flatten(1, 2), hands.palm, arm], 1))[:, 0]
    flesh, palm, beside = distance.split([14 * 10, hands.palm.shape[1], 8], 1)
    flesh = flesh.unflatten(1, (14, 10)).amin(2) - hands.radii.flatten(1)[:, 1:]
    nearest = torch.stack([part.amin(1) for part in flesh.split([2, 3, 3, 3, 3], 1)], 1)  # (R, 5)
    touches = nearest < _FARTHEST
    lies = torch.from_numpy(kind == GRASP_NAMES.index("palm"))
    held = (touches | ~plan.needed).all(1) & (lies | (touches.sum(1) >= 2))
    free = (flesh.amin(1) > -_DEEPEST) & (palm.amin(1) > -0.004) & (beside.amin(1) > 0.025)
    capsules = finger_capsules(model)
    thick = torch.cat([hands.thick, hands.thick.mean(1, keepdim=True).expand(-1, 4)], 1)
    grown = ((thick - 1.0) * capsules.radii)[:, capsules.pairs].sum(2)  # (R, P)
    crossed = (capsule_overlaps(model, capsules, pose) + grown).amax(1)
    # Fat fingers lie in each other's flesh wherever they are: as for all poses, the mean hand decides what crosses.
    return held & free & (crossed < 2.5 * FLESH_TOLERANCE) & ~capsules_intersect(angles)


def _close(generator: np.random.Generator, hands: FingerTables, plan: Plan) -> Tensor:
    """Angles (R, 23) in radians of hands that close as planned; what they cannot reach they leave."""
    fingers = _close_fingers(hands, plan)
    angles = torch.zeros(len(hands), len(ANGLE_NAMES))
    # Who holds something bends the wrist back a little.
    angles[:, :3] = torch.from_numpy(generator.normal([-12.0, -3.0, 0.0], [20.0, 9.0, 12.0], (len(hands), 3)))
    angles[:, 3:7] = _close_thumb(generator, hands, plan, fingers)
    own = angles[:, 7:].unflatten(1, (4, 4))  # a view
    own[..., [0, 2, 3]], own[..., 1] = fingers, plan.abduction[:, _FOUR]
    return torch.deg2rad(angles).clamp(LIMITS[:, 0].float(), LIMITS[:, 1].float())


def _close_fingers(hands: FingerTables, plan: Plan) -> Tensor:
    """Bends (R, 4, 3) of the four fingers: the best of very many postures, then of those about it."""
    low, high = torch.rad2deg(LIMITS[BENDS[1]]).float().unbind(1)  # the same for all four
    start = plan.bends[:, _FOUR]
    ratio = (start[..., 2] / start[..., 1].clamp_min(1.0)).clamp(*_FOLLOW)
    best = torch.stack([start[..., 0], start[..., 1], ratio], -1)  # (R, 4, 3)
    abduction = plan.abduction[:, _FOUR, None]
    stand = 0.012 + hands.radii[:, _FOUR, None, :, None, None]  # of the middle of fingers over the palm
    # Bends of MCP and PIP, and how much the DIP follows the PIP.
    for reach, steps, shifts in ((64.0, 9, (0.0,)), (10.0, 5, (-0.15, 0.0, 0.15)), (3.0, 5, (-0.07, 0.0, 0.07))):
        line = torch.linspace(-reach, reach, steps)
        deltas = torch.cartesian_prod(line, line, torch.tensor(shifts)).view(-1, 3).T.contiguous()
        tries = best[..., None] + deltas  # (R, 4, 3, C)
        bends = torch.stack([tries[:, :, 0], tries[:, :, 1], tries[:, :, 1] * tries[:, :, 2].clamp(*_FOLLOW)], 2)
        bends = bends.clamp(low[:, None], high[:, None])[:, :, None]  # (R, 4, 1, 3, C)
        points = finger_points(hands, _FOUR, bends, abduction)
        cost = _cost(hands, plan, _FOUR, bends, points)
        x, y, z = points[:, :, :, :, 1:, :-1].unbind(3)  # (R, 4, 1, 2, AXIS_POINTS, C)
        over_palm = (y < hands.knuckles[:, :, None, None, None, None, 1]) & (x.abs() < 0.05)
        cost += ((stand[:, :, :, 1:] - z).clamp_min_(0.0) * over_palm).mul_(1e3).square_().sum((-2, -3))
        pick = cost.flatten(2).argmin(2)[..., None, None].expand(-1, -1, 3, 1)
        best = tries.gather(3, pick)[..., 0]
    return bends[:, :, 0].gather(3, pick)[..., 0]


def _close_thumb(generator: np.random.Generator, hands: FingerTables, plan: Plan, fingers: Tensor) -> Tensor:
    """Angles (R, 4) of the thumb in degrees, not through the `fingers` (R, 4, 3) that have closed."""
    points = posture_points(hands, _FOUR, fingers[:, :, None], plan.abduction[:, _FOUR, None])
    obstacles = points[..., :-1, :].flatten(1, -2)  # (R, 12 AXIS_POINTS, 3)
    reach = hands.radii[:, _FOUR, :, None].expand(-1, -1, -1, AXIS_POINTS).flatten(1)
    reach = reach[:, None, None, None] + hands.radii[:, 0, 1:][:, None, :, None, None]  # (R, 1, 2, 1, 12 AXIS_POINTS)
    low, high = torch.rad2deg(LIMITS[3:7]).float().unbind(1)
    own = torch.cat([plan.bends[:, 0, :1], plan.abduction[:, :1], plan.bends[:, 0, 1:]], 1)  # as angles are named
    coarse = torch.linspace(-32, 32, 5)
    grid = torch.cartesian_prod(coarse, torch.tensor([-20.0, 0.0, 20.0]), torch.tensor([-25.0, 0.0, 25.0]))
    scatter = torch.from_numpy(generator.normal(size=(2, 6, 16, 4))).float()
    scatter[:, 0, 0] = 0.0
    stages = [(coarse[:, None], grid[None].expand(5, -1, -1))]  # abductions (A, 1) and bends (A, C, 3)
    stages += [(step * part[:, :1, 3], step * part[..., :3]) for step, part in zip((8.0, 2.5), scatter, strict=True)]
    rows = torch.arange(len(hands))
    for lifts, outer in stages:
        lifted = (own[:, None, 1] + lifts[:, 0]).clamp(low[1], high[1])  # (R, A)
        bends = (own[:, None, None][..., [0, 2, 3]] + outer).clamp(low[[0, 2, 3]], high[[0, 2, 3]])  # (R, A, C, 3)
        points = finger_points(hands, _THUMB, bends.mT[:, None], lifted[:, None])
        cost = _cost(hands, plan, _THUMB, bends.mT[:, None], points)[:, 0]  # (R, A, C)
        cost += ((lifted - plan.abduction[:, :1]) / 20.0).square()[..., None]
        # The best of them as far as the thing goes; then what the fingers say.
        pick = cost.flatten(1).topk(_SHORT_LIST, largest=False).indices  # (R, K)
        outward = points[:, 0, :, :, 1:, :-1].permute(0, 1, 5, 3, 4, 2).flatten(1, 2)  # (R, A C, 2, AXIS_POINTS, 3)
        outward = outward[rows[:, None], pick].flatten(1, 3)
        gap = torch.cdist(outward, obstacles, compute_mode="use_mm_for_euclid_dist")
        gap = gap.unflatten(1, (-1, 2, AXIS_POINTS)) - reach
        crossed = (-0.002 - gap).clamp_min(0.0).mul(1e3).square().amax(-1).sum((-1, -2))
        beside = gap[:, :, 1].amin((-1, -2)).abs().clamp_max(0.03).mul(1e3)  # of the last segment
        cost = cost.flatten(1).gather(1, pick) + 2.0 * crossed + plan.over[:, None] * beside
        best = pick[rows, cost.argmin(1)]
        bent = bends.flatten(1, 2)[rows, best]
        own = torch.stack([bent[:, 0], lifted[rows, best // bends.shape[2]], bent[:, 1], bent[:, 2]], 1)
    return own


def _cost(hands: FingerTables, plan: Plan, which: slice, bends: Tensor, points: Tensor) -> Tensor:
    """How badly (R, F, A, C) fingers hold: squared millimetres that they sink in, millimetres to what they want to touch, departure
    from the posture of the plan."""
    count, fingers, several = points.shape[:3]
    repeated = torch.arange(count).repeat_interleave(fingers * several)
    distance = signed_distance(plan.solids[repeated], points.flatten(0, 2).flatten(2).mT)
    distance = distance.view(*points.shape[:3], *points.shape[4:])  # (R, F, A, 3, AXIS_POINTS + 1, C)
    flesh = distance[..., :-1, :] - hands.radii[:, which, None, :, None, None]
    sunk = (-0.001 - flesh).clamp_min_(0.0).mul_(1e3).square_().sum((-2, -3))
    gap = torch.where(plan.side[:, which, None, None, None], flesh.amin(-2), distance[..., -1, :])
    apart = (gap.abs_().clamp_max_(0.03).mul_(1e3) * plan.touch[:, which, None, :, None]).sum(-2)
    strained = ((bends - plan.bends[:, which, None, :, None]) / 20.0).square_().sum(-2)
    return sunk.mul_(2.0).add_(apart).add_(strained)
