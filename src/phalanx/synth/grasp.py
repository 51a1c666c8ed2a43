"""Hands that hold simple things: a thing is put where a hand would take it, then fingers and thumb close until they touch it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.anatomy import ANGLE_NAMES, AXES, LIMITS, angles_to_rotations, axis_angle_to_rotation
from phalanx.hand.collision import FLESH_TOLERANCE, capsule_overlaps, hand_capsules
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.skeleton import FINGERS
from phalanx.synth.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID, Solids, signed_distance

GRASP_NAMES = ("power", "stick", "hook", "ball", "fingertips", "pinch", "key", "plate", "pen", "phone", "palm")
GRASP_SHARES = (0.2, 0.12, 0.05, 0.11, 0.1, 0.11, 0.05, 0.07, 0.06, 0.07, 0.06)

_DEEPEST = 0.0025  # metres that a finger may sink into what it holds
_FARTHEST = 0.004  # metres: a finger nearer than this touches
_FLEX = (3, 7, 11, 15, 19)  # of each finger's four angles the first: thumb CMC, or MCP, flexion
_ABDUCT = tuple(first + 1 for first in _FLEX)
_BENDS = tuple((first, first + 2, first + 3) for first in _FLEX)  # the three that flex, base to tip
_AXIS_POINTS = 3


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


@dataclass
class _Hands:
    """R hands of given shapes in the hand frame: what placing things and closing fingers need, thumb first.

    A finger's segments turn about parallel axes, so each of its points is `still + cosine cos(t) + sine sin(t)` of the sum t of the bends
    before it. Of each segment there are three points in the middle of its flesh, one on the skin of its pad, and the next joint.

    Attributes:
        base: (R, 5, 3) first joints.
        still, cosine, sine: (R, 5, 3, 5, 3) of the segment's points, from its own joint.
        radii: (R, 5, 3) of the flesh.
        knuckles: (R, 4, 3) of the four fingers.
        palm: (R, P, 3) points on the skin of the palm.
        size: (R,) length of the palm against the mean hand's.
    """

    base: Tensor
    still: Tensor
    cosine: Tensor
    sine: Tensor
    radii: Tensor
    knuckles: Tensor
    palm: Tensor
    size: Tensor

    def __getitem__(self, rows: Tensor) -> _Hands:
        return _Hands(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.size)


@dataclass
class _Plan:
    """Where things are and how fingers come to them, for R hands; degrees.

    Attributes:
        solids: one a hand.
        bends: (R, 5, 3) the posture from which the closing starts and from which it departs unwillingly.
        abduction: (R, 5).
        touch: (R, 5, 3) how much each segment wants to touch.
        side: (R, 5) whether it touches with its side instead of its pad.
        needed: (R, 5) whether the finger must touch.
    """

    solids: Solids
    bends: Tensor
    abduction: Tensor
    touch: Tensor
    side: Tensor
    needed: Tensor

    def __getitem__(self, rows: Tensor) -> _Plan:
        return _Plan(*(getattr(self, field.name)[rows] for field in fields(self)))


def _hands(model: HandModel, shape: Tensor) -> _Hands:
    rest = model.joint_positions(shape)  # (R, 21, 3)
    capsules = hand_capsules(model)
    of_segment = {int(segment): i for i, segment in enumerate(capsules.segments[:14])}
    flexion = AXES[list(_FLEX)].to(rest)  # (5, 3)
    points, radii = [], []
    for finger, joints in enumerate(FINGERS):
        for k in range(3):
            bone = rest[:, joints[k + 1]] - rest[:, joints[k]]
            palmar = torch.linalg.cross(flexion[finger].expand_as(bone), bone)
            palmar = palmar / palmar.norm(dim=1, keepdim=True)
            if (i := of_segment.get(2 + 3 * finger + k)) is None:  # the thumb's metacarpal, in its ball of flesh
                first, last, offset, radius = 0.35, 1.0, 0.003 * palmar, torch.tensor(0.0115)
            else:
                (first, last), offset, radius = capsules.along[i].tolist(), capsules.offsets[i], capsules.radii[i]
            steps = torch.linspace(first, last, _AXIS_POINTS)
            line = offset[..., None, :] + steps[:, None] * bone[:, None]  # (R, 3, 3)
            pad = line[:, 1] + (0.2 * (line[:, 2] - line[:, 1]) if k == 2 else 0.0) + radius * palmar
            points.append(torch.cat([line, pad[:, None], bone[:, None]], 1))
            radii.append(radius)
    vectors = torch.stack(points, 1).unflatten(1, (5, 3))  # (R, 5, 3, 5, 3)
    axis = flexion[:, None, None]
    still = (vectors * axis).sum(-1, keepdim=True) * axis
    chosen = _palm_points(model)
    palm = model.template[chosen] + torch.einsum("vck,bk->bvc", model.shape_basis[chosen], shape)
    return _Hands(
        rest[:, [joints[0] for joints in FINGERS]],
        still,
        vectors - still,
        torch.linalg.cross(axis.expand_as(vectors), vectors),
        torch.stack(radii).view(5, 3).expand(len(shape), 5, 3),
        rest[:, [joints[0] for joints in FINGERS[1:]]],
        palm,
        rest[:, FINGERS[2][0]].norm(dim=1) / model.rest_joints[FINGERS[2][0]].norm(),
    )


def _palm_points(model: HandModel) -> Tensor:
    """Numbers of some vertices all over the skin on the palm's inside."""
    inside = ((model.parts == 0) & (model.template[:, 2] > 0.008) & (model.template[:, 1] > 0.0)).nonzero()[:, 0]
    return inside[:: max(1, len(inside) // 80)]


def _fingers(hands: _Hands, which: slice, bends: Tensor, abduction: Tensor) -> Tensor:
    """Points (R, F, A, C, 3, 4, 3) of the segments of fingers under bends (R, F, A, C, 3) and abductions (R, F, A), degrees."""
    turned = torch.deg2rad(bends).cumsum(-1)[..., None, None]
    still, cosine, sine = (part[:, which, None, None] for part in (hands.still, hands.cosine, hands.sine))
    every = still + cosine * turned.cos() + sine * turned.sin()
    points, bones = every[..., :4, :], every[..., 4:, :]
    points[..., 1:, :, :] += bones[..., :1, :, :]
    points[..., 2, :, :] += bones[..., 1, :, :]
    axis = AXES[list(_ABDUCT)].to(points)[which, None]
    turn = axis_angle_to_rotation(axis.expand(*abduction.shape, 3), torch.deg2rad(abduction))  # (R, F, A, 3, 3)
    placed = points.flatten(3, 5) @ turn.mT + hands.base[:, which, None, None]
    return placed.unflatten(3, (bends.shape[3], 3, 4))


def draw_grasps(
    generator: np.random.Generator,
    model: HandModel,
    count: int,
    shape: Tensor | None = None,
    kinds: np.ndarray | None = None,
) -> Grasps:
    """Draw `count` hands that hold something, on the CPU.

    No finger is deeper than 3 mm in what it holds or runs through another, and but for things that lie on an open palm at least two fingers
    touch.

    Args:
        model: the hand model, on the CPU.
        shape: (count, 10) of the hands, the mean hand's if not given: things are fitted to it.
        kinds: (count,) which of `GRASP_NAMES`; drawn with `GRASP_SHARES` if not given.
    """
    with torch.no_grad():
        shape = torch.zeros(count, 10) if shape is None else shape.float()
        drawn = generator.choice(len(GRASP_NAMES), count, p=GRASP_SHARES)
        kind = drawn if kinds is None else np.asarray(kinds)
        hands = _hands(model, shape)
        angles = torch.zeros(count, len(ANGLE_NAMES))
        solids: Solids | None = None
        missing = np.arange(count)
        while len(missing):
            rows = torch.from_numpy(missing)
            plan = _plan(generator, hands[rows], kind[missing])
            found = _close(generator, hands[rows], plan)
            good = _holds(model, hands[rows], shape[rows], plan, found, kind[missing])
            if solids is None:
                solids = plan.solids[torch.zeros(count, dtype=torch.int64)]
            chosen = rows[good]
            angles[chosen] = found[good]
            for field in fields(Solids):
                getattr(solids, field.name)[chosen] = getattr(plan.solids, field.name)[good]
            missing = missing[~good.numpy()]
    assert solids is not None
    return Grasps(angles, shape, kind, solids)


def _holds(model: HandModel, hands: _Hands, shape: Tensor, plan: _Plan, angles: Tensor, kind: np.ndarray) -> Tensor:
    """Which (R,) of the hands hold their thing as `draw_grasps` promises, with palm and forearm outside of it."""
    pose = HandPose.zero(len(angles))
    pose.rotations, pose.shape = angles_to_rotations(angles), shape
    capsules = hand_capsules(model)
    _, turns, joints = model.chain(pose)
    start, end = joints[:, capsules.joints[:14]].unbind(2)  # (R, 14, 3)
    middle = (turns[:, capsules.segments[:14]] @ capsules.offsets[:14, :, None])[..., 0]
    share = torch.lerp(*capsules.along[:14, :, None].unbind(1), torch.linspace(0, 1, 9))  # (14, 9)
    line = (start + middle)[:, :, None] + share[..., None] * (end - start)[:, :, None]  # (R, 14, 9, 3)
    arm = -(turns[:, 1, None, :, 1]) * torch.linspace(0.04, 0.3, 8)[:, None]  # (R, 8, 3)
    points = torch.cat([line.flatten(1, 2), hands.palm, arm], 1)
    distance = signed_distance(plan.solids, points)[:, 0]
    flesh, palm, beside = distance.split([14 * 9, hands.palm.shape[1], 8], 1)
    flesh = flesh.unflatten(1, (14, 9)).amin(2) - capsules.radii[:14]
    nearest = torch.stack([part.amin(1) for part in flesh.split([2, 3, 3, 3, 3], 1)], 1)  # (R, 5)
    touches = nearest < _FARTHEST
    held = (touches | ~plan.needed).all(1) & (
        torch.from_numpy(kind == GRASP_NAMES.index("palm")) | (touches.sum(1) >= 2)
    )
    free = (flesh.amin(1) > -_DEEPEST) & (palm.amin(1) > -0.004) & (beside.amin(1) > 0.025)
    return held & free & (capsule_overlaps(model, capsules, pose).amax(1) < FLESH_TOLERANCE)


def _close(generator: np.random.Generator, hands: _Hands, plan: _Plan) -> Tensor:
    """Angles (R, 23) in radians of hands that close as planned; what they cannot reach they leave."""
    limits = torch.rad2deg(LIMITS).float()
    count = len(hands)
    four, thumb = slice(1, 5), slice(0, 1)
    low, high = (limits[list(_BENDS[1]), side] for side in (0, 1))  # the same for all four
    start = plan.bends[:, four]
    ratio = (start[..., 2] / start[..., 1].clamp_min(1.0)).clamp(0.25, 0.75)
    best = torch.stack([start[..., 0], start[..., 1], ratio], -1)  # (R, 4, 3)
    abduction = plan.abduction[:, four, None]
    # From far to near: bends of MCP and PIP, and how much the DIP follows the PIP.
    for reach, steps, shift in ((66.0, 13, 0.0), (9.0, 5, 0.15), (3.0, 5, 0.07)):
        line = torch.linspace(-reach, reach, steps)
        follow = torch.tensor([0.0]) if shift == 0 else torch.tensor([-shift, 0.0, shift])
        tries = best[:, :, None] + torch.cartesian_prod(line, line, follow)
        bends = torch.stack([tries[..., 0], tries[..., 1], tries[..., 1] * tries[..., 2].clamp(0.25, 0.75)], -1)
        bends = torch.minimum(torch.maximum(bends, low), high)[:, :, None]  # (R, 4, 1, C, 3)
        points = _fingers(hands, four, bends, abduction)
        cost = _cost(hands, plan, four, bends, points)
        palm = (0.012 + hands.radii[:, four, None, None, :, None] - points[..., :3, 2]).clamp_min(0.0)
        over = points[..., :3, 1] < hands.knuckles[:, :, None, None, None, None, 1]
        cost += (palm * over)[..., 1:, :].mul(1e3).square().sum((-1, -2))
        pick = cost.flatten(2).argmin(2)[..., None, None].expand(-1, -1, 1, 3)
        best = tries.gather(2, pick)[:, :, 0]
        fingers = bends[:, :, 0].gather(2, pick)[:, :, 0]
    points = _fingers(hands, four, fingers[:, :, None, None], abduction)
    obstacles = points[..., :3, :].flatten(1, -2)  # (R, 36, 3)
    wide = hands.radii[:, four, :, None].expand(-1, -1, -1, 3).flatten(1)

    low, high = limits[3:7].unbind(1)
    own = torch.cat(
        [plan.bends[:, 0, :1], plan.abduction[:, :1], plan.bends[:, 0, 1:]], 1
    )  # (R, 4) as angles are named
    bend, lift = (
        torch.tensor([-36.0, -24.0, -12.0, 0.0, 12.0, 24.0, 36.0]),
        torch.tensor([-36.0, -24.0, -12.0, 0.0, 12.0, 24.0]),
    )
    outer = torch.cartesian_prod(bend, torch.tensor([-20.0, 0.0, 20.0]), torch.tensor([-40.0, -20.0, 0.0, 20.0]))
    grid = torch.cat([lift[:, None, None].expand(-1, len(outer), 1), outer.expand(len(lift), -1, -1)], 2)[
        ..., [1, 0, 2, 3]
    ]
    scatter = torch.from_numpy(generator.normal(size=(2, 128, 1, 4))).float()
    scatter[:, 0] = 0.0
    for deltas in (grid, scatter[0] * 6.0, scatter[1] * 2.0):
        tries = own[:, None, None] + deltas  # (R, A, C, 4)
        tries = torch.minimum(torch.maximum(tries, low), high)
        bends = tries[:, None, ..., [0, 2, 3]]
        points = _fingers(hands, thumb, bends, tries[:, None, :, 0, 1])
        cost = _cost(hands, plan, thumb, bends, points)
        cost += ((tries[:, None, ..., 1] - plan.abduction[:, 0, None, None, None]) / 20.0).square()
        outward = points[:, 0, ..., 1:, :3, :].flatten(
            1, -2
        )  # (R, A C 6, 3) of the two segments that are out of the palm
        gap = torch.cdist(outward, obstacles, compute_mode="use_mm_for_euclid_dist")
        gap = gap.unflatten(1, (-1, 2, 3)) - hands.radii[:, 0, 1:][:, None, :, None, None] - wide[:, None, None, None]
        crossed = (-0.002 - gap).clamp_min(0.0).mul(1e3).square().amax(-1).sum((-1, -2))
        cost = cost.flatten(1) + 2.0 * crossed
        own = tries.flatten(1, 2)[torch.arange(count), cost.argmin(1)]

    angles = torch.zeros(count, len(ANGLE_NAMES))
    wrist = generator.normal([-12.0, -3.0, 0.0], [20.0, 9.0, 12.0], (count, 3))
    angles[:, :3] = torch.from_numpy(wrist)
    angles[:, 3:7] = own
    rest = angles[:, 7:].unflatten(1, (4, 4))
    rest[..., [0, 2, 3]], rest[..., 1] = fingers, plan.abduction[:, four]
    angles = torch.minimum(torch.maximum(angles, limits[:, 0]), limits[:, 1])
    return torch.minimum(torch.maximum(torch.deg2rad(angles), LIMITS[:, 0].float()), LIMITS[:, 1].float())


def _cost(hands: _Hands, plan: _Plan, which: slice, bends: Tensor, points: Tensor) -> Tensor:
    """How badly (R, F, A, C) fingers hold: squared millimetres that they sink in, millimetres to what they want to touch, departure
    from the posture of the plan."""
    distance = signed_distance(plan.solids, points.flatten(1, -2))[:, 0].view(points.shape[:-1])
    flesh = distance[..., :3] - hands.radii[:, which, None, None, :, None]
    sunk = (-0.001 - flesh).clamp_min_(0.0).mul_(1e3).square_().sum((-1, -2))
    side = plan.side[:, which, None, None, None]
    gap = torch.where(side, flesh.amin(-1), distance[..., 3]).abs_().clamp_max_(0.03).mul_(1e3)
    apart = (gap * plan.touch[:, which, None, None]).sum(-1)
    strained = ((bends - plan.bends[:, which, None, None]) / 20.0).square().sum(-1)
    return sunk + apart + strained


# One finger as MCP, PIP and DIP flexion; the thumb as CMC, MCP and IP flexion with CMC abduction apart; degrees.
_LOOSE = ((60.0, 70.0, 38.0), (35.0, 45.0, 25.0), (12.0, 15.0, 8.0), (75.0, 90.0, 48.0), (2.0, 5.0, 3.0))


class _Draw:
    """Random tensors of R rows from one generator."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        return torch.from_numpy(self.generator.uniform(low, high, (self.count, *size))).float()

    def normal(self, mean: float, deviation: float, *size: int) -> Tensor:
        return torch.from_numpy(self.generator.normal(mean, deviation, (self.count, *size)).clip(-3, 3)).float()

    def chance(self, share: float) -> Tensor:
        return self.uniform(0, 1) < share

    def pick(self, values: tuple[int, ...], shares: tuple[float, ...]) -> Tensor:
        return torch.from_numpy(self.generator.choice(values, self.count, p=shares))


def _plan(generator: np.random.Generator, hands: _Hands, kind: np.ndarray) -> _Plan:
    planners = (_power, _stick, _hook, _ball, _fingertips, _pinch, _key, _plate, _pen, _phone, _palm)
    order, plans = [], []
    for number, planner in enumerate(planners):
        rows = torch.from_numpy(np.flatnonzero(kind == number))
        if len(rows):
            order.append(rows)
            plans.append(planner(_Draw(generator, len(rows)), hands[rows]))
    back = torch.cat(order).argsort()
    solids = Solids(*(torch.cat([getattr(p.solids, f.name) for p in plans]) for f in fields(Solids)))
    rest = (torch.cat([getattr(p, f.name) for p in plans]) for f in fields(_Plan) if f.name != "solids")
    return _Plan(solids, *rest)[back]


def _solid(kind: Tensor, half: list[Tensor], rotation: Tensor, centre: Tensor) -> Solids:
    return Solids(kind[:, None], torch.stack(half, -1)[:, None], rotation[:, None], centre[:, None])


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _frame(z: Tensor, x: Tensor) -> Tensor:
    """Rotations (R, 3, 3) whose third column is `z` and whose first is as near to `x` as can be."""
    z = _unit(z)
    x = _unit(x - (x * z).sum(-1, keepdim=True) * z)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def _rows(value: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(value).expand(len(like), -1)


def _turned_about(z: Tensor, x: Tensor, degrees: Tensor) -> Tensor:
    """`x` (R, 3) turned about `z` (R, 3)."""
    return (axis_angle_to_rotation(_unit(z), torch.deg2rad(degrees)) @ x[..., None])[..., 0]


def _lowered(solids: Solids, skin: Tensor, flesh: Tensor | float = 0.0, press: float = 0.001) -> Solids:
    """The solids brought down along -z until they lie on points (R, P, 3) with `flesh` metres (R, P) round them."""
    solids.centre[..., 2] = 0.2
    for _ in range(16):
        gap = (signed_distance(solids, skin)[:, 0] - flesh).amin(1)
        solids.centre[:, 0, 2] -= gap
    solids.centre[:, 0, 2] -= press
    return solids


def _spread(amount: Tensor, mcp: Tensor, thumb: Tensor) -> Tensor:
    """Abductions (R, 5): the thumb's, and those of fingers fanned by `amount` (R,) whose knuckles flex by `mcp` (R, 4)."""
    fanned = torch.tensor([2.0, -1.0, -4.0, -9.0]) + amount[:, None] * torch.tensor([11.0, -2.0, -12.0, -20.0])
    return torch.cat([thumb[:, None], fanned * torch.deg2rad(mcp.clamp(0, 80)).cos()], 1)


def _bends(draw: _Draw, thumb: Tensor, fingers: Tensor) -> Tensor:
    """Postures (R, 5, 3) of thumb (R, 3) and fingers (R, 4, 3), varied a little."""
    together = draw.normal(0, 4, 1, 3) + draw.normal(0, 2.5, 4, 3)
    return torch.cat([thumb[:, None] + draw.normal(0, 4, 1, 3), fingers + together], 1)


def _between(one: tuple[float, ...], other: tuple[float, ...], share: Tensor) -> Tensor:
    return torch.lerp(torch.tensor(one), torch.tensor(other), share[:, None])


def _made(
    draw: _Draw, solids: Solids, bends: Tensor, abduction: Tensor, thumb: float, weights: tuple[float, ...]
) -> _Plan:
    """A plan in which all segments of the fingers touch with `weights`, and the thumb's pad with `thumb`."""
    touch = torch.zeros(draw.count, 5, 3)
    touch[:, 1:] = torch.tensor(weights)
    touch[:, 0] = torch.tensor([0.0, 0.3, 1.0]) * thumb
    needed = torch.zeros(draw.count, 5, dtype=torch.bool)
    needed[:, 0] = thumb > 0
    return _Plan(solids, bends, abduction, touch, torch.zeros(draw.count, 5, dtype=torch.bool), needed)


def _across_palm(hands: _Hands, tilt: Tensor, lift: Tensor) -> Tensor:
    """Directions (R, 3) across the palm to the thumb's side, turned to the fingers by `tilt` and out of the palm by `lift`."""
    tilt, lift = torch.deg2rad(tilt), torch.deg2rad(lift)
    return torch.stack([tilt.cos() * lift.cos(), tilt.sin() * lift.cos(), lift.sin()], -1)


def _power(draw: _Draw, hands: _Hands) -> _Plan:
    """Tins, bottles, cups, cartons held in the whole hand."""
    kind = draw.pick((CYLINDER, CUP, CAPSULE, BOX), (0.52, 0.25, 0.11, 0.12))
    radius = torch.where(kind == CUP, draw.uniform(0.028, 0.041), draw.uniform(0.02, 0.039))
    long = torch.where(kind == CUP, draw.uniform(0.04, 0.065), draw.uniform(0.045, 0.115))
    axis = _across_palm(hands, draw.normal(12, 8).clamp(-8, 32), draw.normal(0, 4))
    along = draw.uniform(-0.7, 0.7) * (long - 0.04).clamp_min(0.004)
    place = torch.stack(
        [draw.normal(0.0, 0.003), 0.066 + 0.3 * (radius - 0.02) + draw.normal(0, 0.003), 0 * radius], -1
    )
    centre = place * hands.size[:, None] + along[:, None] * axis
    flat = torch.where(kind == BOX, draw.uniform(0.6, 1.0), 1.0)
    turned = _turned_about(axis, _rows((0.0, 0.0, 1.0), axis), draw.normal(0, 8))
    solids = _lowered(_solid(kind, [radius * flat, radius, long], _frame(axis, turned), centre), hands.palm)
    open_ = ((radius - 0.02) / 0.02).clamp(0, 1)
    fingers = _between((68.0, 78.0, 42.0), (34.0, 52.0, 28.0), open_)[:, None].expand(-1, 4, -1)
    thumb = _between((30.0, 25.0, 35.0), (15.0, 15.0, 25.0), open_)
    bends = _bends(draw, thumb, fingers)
    lifted = 8 + 18 * open_ + draw.normal(0, 3)
    return _made(draw, solids, bends, _spread(draw.uniform(0, 0.35), bends[:, 1:, 0], lifted), 1.0, (0.25, 1.0, 1.0))


def _stick(draw: _Draw, hands: _Hands) -> _Plan:
    """Handles and rods in the fist, askew across the palm; the thumb over the fingers or along the rod."""
    kind = draw.pick((CAPSULE, CYLINDER, BOX), (0.5, 0.4, 0.1))
    radius = draw.uniform(0.007, 0.018)
    long = torch.maximum(draw.uniform(0.055, 0.2), 4 * radius)
    axis = _across_palm(hands, draw.normal(24, 9).clamp(5, 45), draw.normal(0, 4))
    along = draw.uniform(-0.3, 0.95) * (long - 0.045).clamp_min(0.003)
    place = torch.stack([draw.normal(0.0, 0.003), draw.normal(0.066, 0.003), 0 * radius], -1)
    centre = place * hands.size[:, None] + along[:, None] * axis
    turned = _turned_about(axis, _rows((0.0, 0.0, 1.0), axis), draw.uniform(-45, 45))
    solids = _lowered(_solid(kind, [radius, radius, long], _frame(axis, turned), centre), hands.palm)
    over = draw.chance(0.6)
    thumb = torch.where(over[:, None], _rows((25.0, 28.0, 45.0), radius), _rows((2.0, 8.0, 10.0), radius))
    fingers = _rows((72.0, 86.0, 48.0), radius)[:, None].expand(-1, 4, -1)
    bends = _bends(draw, thumb, fingers)
    lifted = torch.where(over, 0.0, -20.0) + draw.normal(0, 3)
    plan = _made(draw, solids, bends, _spread(draw.uniform(0, 0.2), bends[:, 1:, 0], lifted), 0.8, (0.4, 1.0, 1.0))
    plan.needed[:, 0] = False
    plan.needed[:, 1:4] = True
    return plan


def _hook(draw: _Draw, hands: _Hands) -> _Plan:
    """Handles of bags and cases that hang in the hooked fingers; the thumb beside."""
    kind = draw.pick((CAPSULE, BOX), (0.8, 0.2))
    radius = draw.uniform(0.004, 0.013)
    long = draw.uniform(0.05, 0.16)
    bends = _bends(draw, _rows((8.0, 12.0, 12.0), radius), _rows((18.0, 82.0, 45.0), radius)[:, None].expand(-1, 4, -1))
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-25, 8))
    points = _fingers(hands, slice(1, 5), bends[:, 1:, None, None], abduction[:, 1:, None])[
        :, :, 0, 0
    ]  # (R, 4, 3, 4, 3)
    bone = _unit(points[:, 1:3, 0, 2] - points[:, 1:3, 0, 0]).mean(1)
    palmar = _unit(torch.linalg.cross(_rows((1.0, 0.0, 0.0), bone), bone))
    centre = points[:, 1:3, 0, 1].mean(1) + palmar * (hands.radii[:, 2, 0] + radius)[:, None] + 0.006 * bone
    axis = _turned_about(palmar, points[:, 0, 0, 1] - points[:, 3, 0, 1], draw.normal(0, 4))
    centre = centre + _unit(axis) * (draw.uniform(-0.5, 0.5) * (long - 0.045).clamp_min(0.003))[:, None]
    solids = _solid(kind, [radius, radius, long], _frame(axis, palmar), centre)
    plan = _made(draw, solids, bends, abduction, 0.0, (0.6, 1.0, 0.7))
    plan.needed[:, 1:4] = True
    return plan


def _ball(draw: _Draw, hands: _Hands) -> _Plan:
    """Balls and fruit in palm and spread fingers."""
    radius = draw.uniform(0.024, 0.045)
    stretch = torch.where(draw.chance(0.6), 1.0, draw.uniform(1.0, 1.35))
    open_ = ((radius - 0.024) / 0.021).clamp(0, 1)
    place = torch.stack(
        [draw.normal(0.006, 0.004), 0.078 + 0.35 * (radius - 0.03) + draw.normal(0, 0.004), 0 * radius], -1
    )
    axis = _across_palm(hands, draw.uniform(-90, 90), draw.normal(0, 15))
    half = [radius, radius, radius * stretch]
    solids = _solid(
        0 * draw.pick((ELLIPSOID,), (1.0,)),
        half,
        _frame(axis, _rows((0.0, 0.0, 1.0), axis)),
        place * hands.size[:, None],
    )
    solids = _lowered(solids, hands.palm)
    bends = _bends(
        draw,
        _between((25.0, 20.0, 30.0), (10.0, 10.0, 22.0), open_),
        _between((52.0, 62.0, 33.0), (28.0, 40.0, 22.0), open_)[:, None].expand(-1, 4, -1),
    )
    lifted = 10 + 15 * open_ + draw.normal(0, 3)
    abduction = _spread(0.25 + 0.6 * open_ + draw.normal(0, 0.12), bends[:, 1:, 0], lifted)
    return _made(draw, solids, bends, abduction, 1.0, (0.25, 0.8, 1.0))


def _apart(draw: _Draw, hands: _Hands, width: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Thumb and fingertips `width` (R,) metres apart, opposed.

    Args:
        used: (R, 4) the fingers that oppose the thumb; the others are loosely anywhere.

    Returns:
        Bends (R, 5, 3) and abductions (R, 5); the middle between the pads, the unit vector from thumb to fingers and the one that points
        away from the hand (R, 3).
    """
    share = torch.linspace(-0.1, 1.3, 12)
    thumb = torch.lerp(torch.tensor([33.0, 30.0, 34.0]), torch.tensor([18.0, 12.0, 12.0]), share[:, None])  # (12, 3)
    finger = torch.lerp(torch.tensor([59.0, 58.0, 30.0]), torch.tensor([42.0, 22.0, 10.0]), share[:, None])
    every = torch.cat([thumb[:, None], finger[:, None].expand(-1, 4, -1)], 1)  # (12, 5, 3)
    lifted = 8 + 10 * share
    base = _spread(draw.uniform(0, 0.3), _rows((50.0,) * 4, width), 0 * width)
    angle = base[:, :, None].repeat(1, 1, 12)
    angle[:, 0] = lifted
    bends = every.transpose(0, 1).expand(draw.count, -1, -1, -1)  # (R, 5, 12, 3)
    points = _fingers(hands, slice(0, 5), bends[:, :, :, None], angle)[:, :, :, 0]  # (R, 5, 12, 3, 4, 3)
    pads, tips = points[:, :, :, 2, 3], points[:, :, :, 2]
    of = (used / used.sum(1, keepdim=True))[:, :, None, None]
    opposed = (pads[:, 1:] * of).sum(1)  # (R, 12, 3)
    pick = ((opposed - pads[:, 0]).norm(dim=2) - width[:, None]).abs().argmin(1)
    rows = torch.arange(draw.count)
    here, there = pads[rows, 0, pick], opposed[rows, pick]
    bone = _unit(tips[:, :, :, 2] - tips[:, :, :, 0])[rows, :, pick]  # (R, 5, 3)
    palmar = _unit(pads - tips[:, :, :, 1])[rows, :, pick]
    across = _unit(palmar[:, 0] - (palmar[:, 1:] * of[..., 0]).sum(1) + (there - here) / 0.04)
    away = bone[:, 0] + (bone[:, 1:] * of[..., 0]).sum(1)
    away = _unit(away - (away * across).sum(1, keepdim=True) * across)
    loose = torch.tensor(_LOOSE)[draw.pick((0, 1, 2, 3, 4), (0.35, 0.25, 0.12, 0.2, 0.08))]  # (R, 3)
    step = torch.tensor([0.0, 0.0, 0.04, 0.08])[:, None] * loose[:, None]
    posture = bends[rows, :, pick].clone()
    posture[:, 1:] = torch.where(used[..., None] > 0, posture[:, 1:], loose[:, None] + step)
    posture += draw.normal(0, 2, 5, 3)
    return posture, angle[rows, :, pick], 0.5 * (here + there), across, away


def _tips_touch(draw: _Draw, plan: _Plan, used: Tensor) -> _Plan:
    """The plan in which only the pads of the thumb and of the `used` (R, 4) fingers touch."""
    plan.touch[:] = 0.0
    plan.touch[:, 0, 2] = 1.2
    plan.touch[:, 1:, 2] = used * 1.2
    plan.needed[:, 0] = True
    plan.needed[:, 1] = True
    return plan


def _used(draw: _Draw, shares: tuple[float, ...]) -> Tensor:
    """(R, 4) how many fingers, from the index on, help: one to four with these probabilities."""
    return (torch.arange(4) < draw.pick((1, 2, 3, 4), shares)[:, None]).float()


def _fingertips(draw: _Draw, hands: _Hands) -> _Plan:
    """Eggs, dice, lids, small balls between the tips of thumb and fingers."""
    used = _used(draw, (0.1, 0.35, 0.25, 0.3))
    radius = draw.uniform(0.008, 0.032)
    bends, abduction, middle, across, away = _apart(draw, hands, 2 * radius, used)
    kind = draw.pick((ELLIPSOID, BOX, CYLINDER), (0.5, 0.25, 0.25))
    other = torch.where(kind == ELLIPSOID, 1.0, draw.uniform(0.35, 1.2))
    third = torch.where(kind == BOX, draw.uniform(0.5, 1.3), 1.0)
    half = [radius, radius * third, radius * torch.where(draw.chance(0.4) & (kind == ELLIPSOID), 1.25, other)]
    centre = middle + away * (radius * draw.uniform(-0.1, 0.35))[:, None]
    z = torch.where(draw.chance(0.75)[:, None], away, _turned_about(across, away, draw.uniform(-90, 90)))
    solids = _solid(kind, half, _frame(z, across), centre)
    return _tips_touch(draw, _made(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 1.0)), used)


def _pinch(draw: _Draw, hands: _Hands) -> _Plan:
    """Cards, coins, matches, small boxes between thumb and index (and more fingers)."""
    used = _used(draw, (0.55, 0.3, 0.1, 0.05))
    form = draw.pick((0, 1, 2, 3), (0.4, 0.15, 0.25, 0.2))  # card, coin, thin stick, small box
    thick = torch.where(form == 0, draw.uniform(0.0004, 0.002), draw.uniform(0.001, 0.0045))
    thick = torch.where(form == 3, draw.uniform(0.005, 0.015), thick)
    bends, abduction, middle, across, away = _apart(draw, hands, 2 * thick, used)
    away = _turned_about(across, away, draw.normal(0, 25))
    wide = torch.where(form == 0, draw.uniform(0.02, 0.06), draw.uniform(0.012, 0.03))
    long = torch.where(form == 0, draw.uniform(0.03, 0.09), draw.uniform(0.015, 0.035))
    round_ = draw.uniform(0.009, 0.016)
    needle = draw.uniform(0.03, 0.1)
    kind = torch.tensor([BOX, CYLINDER, CAPSULE, BOX])[form]
    # The own z axis is across a card or coin, and along a stick.
    half = [
        torch.where(form == 1, round_, torch.where(form == 2, thick, long)),
        torch.where(form == 1, round_, torch.where(form == 2, thick, wide)),
        torch.where(form == 2, needle, thick),
    ]
    z = torch.where((form == 2)[:, None], away, across)
    x = torch.where((form == 2)[:, None], across, away)
    reach = torch.where(form == 1, round_, torch.where(form == 2, needle * draw.uniform(-0.8, 1.0), long))
    inset = torch.where(form == 2, 0.0, draw.uniform(0.006, 0.013))
    solids = _solid(kind, half, _frame(z, x), middle + away * (reach - inset)[:, None])
    return _tips_touch(draw, _made(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 1.0)), used)


def _key(draw: _Draw, hands: _Hands) -> _Plan:
    """Keys and cards between the thumb's pad and the side of the bent index."""
    thick = draw.uniform(0.0006, 0.003)
    wide, long = draw.uniform(0.008, 0.03), draw.uniform(0.02, 0.045)
    curl = draw.normal(0, 6, 1, 1)
    fingers = torch.tensor([[48.0, 78.0, 40.0], [60.0, 84.0, 44.0], [68.0, 88.0, 46.0], [72.0, 88.0, 46.0]]) + curl
    bends = _bends(draw, _rows((5.0, 10.0, 20.0), thick), fingers)
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-18, 5))
    index = _fingers(hands, slice(1, 2), bends[:, 1:2, None, None], abduction[:, 1:2, None])[:, 0, 0, 0]  # (R, 3, 4, 3)
    side = _rows((1.0, 0.0, 0.0), thick)
    bone = index[:, 1, 2] - index[:, 1, 0]
    side = _unit(side - (side * _unit(bone)).sum(1, keepdim=True) * _unit(bone))
    slope = torch.deg2rad(draw.uniform(-15, 60))
    away = torch.stack([0 * slope, slope.cos(), slope.sin()], -1)
    away = _unit(away - (away * side).sum(1, keepdim=True) * side)
    touched = (
        torch.lerp(index[:, 1, 0], index[:, 1, 2], draw.uniform(0.2, 0.9, 1))
        + side * (hands.radii[:, 1, 1] + thick)[:, None]
    )
    centre = touched + away * (long - draw.uniform(0.006, 0.014))[:, None]
    solids = _solid(torch.full((draw.count,), BOX), [long, wide, thick], _frame(side, away), centre)
    plan = _made(draw, solids, bends, abduction, 1.2, (0.0, 0.0, 0.0))
    plan.touch[:, 0, 1] = 0.0
    plan.touch[:, 1, 1] = 1.0
    plan.side[:, 1] = True
    plan.needed[:, :2] = True
    return plan


def _plate(draw: _Draw, hands: _Hands) -> _Plan:
    """Books, plates, big phones between the thumb and the flat fingers."""
    thick = draw.uniform(0.002, 0.016)
    mcp = draw.uniform(25, 70)
    fingers = torch.stack([mcp, draw.uniform(5, 25), draw.uniform(3, 12)], -1)[:, None].expand(-1, 4, -1)
    bends = _bends(draw, _rows((20.0, 12.0, 15.0), thick), fingers)
    abduction = _spread(draw.uniform(0, 0.7), bends[:, 1:, 0], 15 + draw.normal(0, 5))
    points = _fingers(hands, slice(1, 5), bends[:, 1:, None, None], abduction[:, 1:, None])[
        :, :3, 0, 0
    ]  # (R, 3, 3, 4, 3)
    pads = points[:, :, 2, 3].mean(1)
    bone = _unit((points[:, :, 2, 2] - points[:, :, 1, 0]).mean(1))
    palmar = _unit((points[:, :, 1:, 3] - points[:, :, 1:, 1]).mean((1, 2)))
    away = _turned_about(palmar, bone, draw.normal(0, 20))
    long, wide = draw.uniform(0.05, 0.13), draw.uniform(0.04, 0.1)
    centre = pads + palmar * thick[:, None] + away * (long - draw.uniform(0.012, 0.05))[:, None]
    round_ = draw.chance(0.2)
    kind = torch.where(round_, CYLINDER, BOX)
    solids = _solid(kind, [long, torch.where(round_, long, wide), thick], _frame(palmar, away), centre)
    plan = _made(draw, solids, bends, abduction, 1.0, (0.0, 0.3, 1.0))
    plan.needed[:, 1:3] = True
    return plan


def _pen(draw: _Draw, hands: _Hands) -> _Plan:
    """Pens, brushes, spoons between thumb, index and the middle finger's side, leaning on the index' base."""
    radius, long = draw.uniform(0.0035, 0.0065), draw.uniform(0.055, 0.085)
    fingers = torch.tensor([[52.0, 52.0, 24.0], [60.0, 66.0, 34.0], [68.0, 78.0, 42.0], [72.0, 82.0, 44.0]]).expand(
        draw.count, -1, -1
    )
    bends = _bends(draw, _rows((20.0, 25.0, 34.0), radius), fingers)
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], 2 + draw.normal(0, 3))
    points = _fingers(hands, slice(0, 3), bends[:, :3, None, None], abduction[:, :3, None])[
        :, :, 0, 0
    ]  # (R, 3, 3, 4, 3)
    thumb, index = points[:, 0], points[:, 1]
    held = (thumb[:, 2, 3] + index[:, 2, 3]) / 2
    side = _rows((1.0, 0.0, 0.0), radius)
    stand = (hands.radii[:, 1, 0] + radius)[:, None]
    lean = torch.lerp(index[:, 0, 0], index[:, 0, 2], draw.uniform(-0.5, 0.6, 1)) + side * stand
    down = _unit(held - lean)
    centre = held + down * (draw.uniform(0.022, 0.04) - long)[:, None]
    kind = draw.pick((CAPSULE, CYLINDER, BOX), (0.6, 0.3, 0.1))
    solids = _solid(kind, [radius, radius, long], _frame(down, side), centre)
    plan = _made(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 0.0))
    plan.touch[:, 0, 1] = 0.0
    plan.touch[:, 1, 2] = 1.0
    plan.touch[:, 2, 2] = 0.6
    plan.side[:, 2] = True
    plan.needed[:, :2] = True
    return plan


def _phone(draw: _Draw, hands: _Hands) -> _Plan:
    """Phones and boxes that lie askew on palm and fingers, thumb and fingertips at their edges."""
    wide, long, thick = draw.uniform(0.03, 0.038), draw.uniform(0.06, 0.08), draw.uniform(0.0035, 0.006)
    fat = draw.chance(0.25)
    thick = torch.where(fat, draw.uniform(0.008, 0.018), thick)
    turn = torch.deg2rad(draw.uniform(42, 72))
    axis = torch.stack([turn.sin(), turn.cos(), draw.normal(0, 0.05)], -1)
    across = torch.stack([turn.cos(), -turn.sin(), draw.normal(0.05, 0.08)], -1)
    place = torch.stack([draw.normal(0.012, 0.005), draw.normal(0.084, 0.005), 0 * wide], -1)
    centre = place * hands.size[:, None] + axis * draw.normal(0.015, 0.015)[:, None]
    normal = _unit(torch.linalg.cross(across, axis))
    solids = _solid(torch.full((draw.count,), BOX), [wide, long, thick], _frame(normal, across), centre)
    fingers = torch.tensor([[28.0, 40.0, 22.0], [32.0, 48.0, 26.0], [36.0, 52.0, 28.0], [38.0, 52.0, 28.0]]).expand(
        draw.count, -1, -1
    )
    bends = _bends(draw, _rows((5.0, 12.0, 20.0), wide), fingers)
    abduction = _spread(draw.uniform(0.1, 0.6), bends[:, 1:, 0], 12 + draw.normal(0, 8))
    solids = _lowered(solids, hands.palm)
    return _made(draw, solids, bends, abduction, 1.0, (0.1, 0.3, 1.0))


def _palm(draw: _Draw, hands: _Hands) -> _Plan:
    """Anything that lies on the open palm."""
    kind = draw.pick((ELLIPSOID, BOX, CYLINDER, CUP, CAPSULE), (0.3, 0.35, 0.2, 0.05, 0.1))
    size = torch.exp(draw.uniform(float(np.log(0.008)), float(np.log(0.042))))
    flat = torch.where(kind == BOX, draw.uniform(0.1, 0.8), torch.where(kind == ELLIPSOID, 1.0, draw.uniform(0.4, 1.5)))
    flat = torch.where(kind == CAPSULE, draw.uniform(2.0, 6.0), flat)
    size = torch.where(kind == CAPSULE, size * 0.4, size)
    half = [size, torch.where(kind == BOX, size * draw.uniform(0.5, 1.0), size), size * flat]
    fingers = torch.stack([draw.uniform(-5, 25), draw.uniform(5, 35), draw.uniform(3, 18)], -1)[:, None].expand(
        -1, 4, -1
    )
    bends = _bends(draw, torch.stack([draw.normal(-5, 10), draw.normal(8, 6), draw.normal(8, 8)], -1), fingers)
    abduction = _spread(draw.uniform(0, 1), bends[:, 1:, 0], draw.normal(-10, 15))
    lying = (kind == CAPSULE) | ((kind == CYLINDER) & draw.chance(0.4))
    about = draw.uniform(-180, 180)
    level = _across_palm(hands, about, draw.normal(0, 3))
    z = torch.where(lying[:, None], level, _rows((0.0, 0.0, 1.0), level) + draw.normal(0, 0.05, 3))
    x = torch.where(lying[:, None], _rows((0.0, 0.0, 1.0), level), level)
    place = torch.stack([draw.normal(-0.003, 0.01), draw.normal(0.085, 0.02), 0 * size], -1)
    solids = _solid(kind, half, _frame(z, x), place * hands.size[:, None])
    points = _fingers(hands, slice(0, 5), bends[:, :, None, None], abduction[..., None])[
        :, :, 0, 0, :, :3
    ]  # (R, 5, 3, 3, 3)
    skin = torch.cat([hands.palm, points.flatten(1, 3)], 1)
    flesh = torch.cat([0 * hands.palm[..., 0], hands.radii[..., None].expand(-1, -1, -1, 3).flatten(1)], 1)
    return _made(draw, _lowered(solids, skin, flesh), bends, abduction, 0.0, (0.0, 0.0, 0.0))
