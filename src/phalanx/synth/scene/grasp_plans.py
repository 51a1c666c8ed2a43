"""Where hands take simple things, and in which posture they come to them; one function for each kind of grasp."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.hand.anatomy import axis_angle_to_rotation
from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID, Solids, signed_distance
from phalanx.synth.scene.grasp_fingers import FingerTables, posture_points, unit

GRASP_NAMES = ("power", "stick", "hook", "ball", "fingertips", "pinch", "key", "plate", "pen", "phone", "palm")

_LAST, _PAD = -2, -1  # of a segment's points


@dataclass
class Plan:
    """Where things are and how fingers come to them, for R hands; hand frame, metres, degrees.

    Attributes:
        solids: one a hand.
        bends: (R, 5, 3) the posture from which the fingers depart unwillingly.
        abduction: (R, 5).
        touch: (R, 5, 3) how much each segment wants to touch.
        side: (R, 5) whether it touches with any side instead of its pad.
        over: (R,) how much the thumb wants to lie on the fingers.
        lies: (R,) whether the thing still has to be brought down on the palm (1), or on palm and fingers (2).
        needed: (R, 5) whether the finger must touch.
    """

    solids: Solids
    bends: Tensor
    abduction: Tensor
    touch: Tensor
    side: Tensor
    over: Tensor
    lies: Tensor
    needed: Tensor

    def __getitem__(self, rows: Tensor) -> Plan:
        return map_fields(self, lambda value: value[rows])


# One finger as MCP, PIP and DIP flexion; the thumb as CMC, MCP and IP flexion with CMC abduction apart; degrees.
_LOOSE = ((60.0, 70.0, 38.0), (35.0, 45.0, 25.0), (12.0, 15.0, 8.0), (75.0, 90.0, 48.0), (2.0, 5.0, 3.0))


class _Draw:
    """Random tensors of R rows from one generator."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        return torch.from_numpy(self.generator.uniform(low, high, (self.count, *size))).float()

    def normal(self, mean: float, deviation: float, *size: int) -> Tensor:
        """At most 3 standard deviations from the mean."""
        deviations = self.generator.normal(0.0, 1.0, (self.count, *size)).clip(-3, 3)
        return torch.from_numpy(mean + deviation * deviations).float()

    def chance(self, share: float) -> Tensor:
        return self.uniform(0, 1) < share

    def pick(self, values: tuple[int, ...], shares: tuple[float, ...]) -> Tensor:
        return torch.from_numpy(self.generator.choice(values, self.count, p=shares))


def _solid(kind: Tensor, half: list[Tensor], rotation: Tensor, centre: Tensor) -> Solids:
    return Solids(kind[:, None], torch.stack(half, -1)[:, None], rotation[:, None], centre[:, None])


def _frame(z: Tensor, x: Tensor) -> Tensor:
    """Rotations (R, 3, 3) whose third column is `z` and whose first is as near to `x` as can be."""
    z = unit(z)
    x = unit(x - (x * z).sum(-1, keepdim=True) * z)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def _rows(value: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(value).expand(len(like), -1)


def _turned_about(z: Tensor, x: Tensor, degrees: Tensor) -> Tensor:
    """`x` (R, 3) turned about `z` (R, 3)."""
    return (axis_angle_to_rotation(unit(z), torch.deg2rad(degrees)) @ x[..., None])[..., 0]


def _posed(hands: FingerTables, bends: Tensor, abduction: Tensor) -> Tensor:
    """Points (R, 5, 3, AXIS_POINTS + 1, 3) of the fingers' segments in a posture."""
    return posture_points(hands, slice(0, 5), bends[:, :, None], abduction[..., None])[:, :, 0]


def _lower(hands: FingerTables, plan: Plan) -> None:
    """Bring the things of the plan down along the hand's -z until they lie on what they have to lie on."""
    rows = plan.lies.nonzero()[:, 0]
    hands, lying, solids = hands[rows], plan[rows], plan.solids[rows]
    fingers = _posed(hands, lying.bends, lying.abduction)[..., :_PAD, :]  # (R, 5, 3, AXIS_POINTS, 3)
    flesh = torch.where(lying.lies[:, None, None, None] == 2, hands.radii[..., None], -1.0).expand(fingers.shape[:-1])
    skin = torch.cat([hands.palm, fingers.flatten(1, 3)], 1)
    flesh = torch.cat([torch.zeros_like(hands.palm[..., 0]), flesh.flatten(1)], 1)
    solids.centre[:, 0, 2] = 0.15
    for _ in range(12):
        solids.centre[:, 0, 2] -= (signed_distance(solids, skin)[:, 0] - flesh).amin(1)
    plan.solids.centre[rows, 0, 2] = solids.centre[:, 0, 2] - 0.001  # flesh gives


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
) -> Plan:
    """A plan in which all segments of the fingers touch with `weights`, and the thumb's pad with `thumb`."""
    touch = torch.zeros(draw.count, 5, 3)
    touch[:, 1:] = torch.tensor(weights)
    touch[:, 0] = torch.tensor([0.0, 0.3, 1.0]) * thumb
    needed = torch.zeros(draw.count, 5, dtype=torch.bool)
    needed[:, 0] = thumb > 0
    over, lies = torch.zeros(draw.count), torch.zeros(draw.count, dtype=torch.int64)
    return Plan(solids, bends, abduction, touch, torch.zeros_like(needed), over, lies, needed)


def _across_palm(hands: FingerTables, tilt: Tensor, lift: Tensor) -> Tensor:
    """Directions (R, 3) across the palm to the thumb's side, turned to the fingers by `tilt` and out of the palm by `lift`."""
    tilt, lift = torch.deg2rad(tilt), torch.deg2rad(lift)
    return torch.stack([tilt.cos() * lift.cos(), tilt.sin() * lift.cos(), lift.sin()], -1)


def _power(draw: _Draw, hands: FingerTables) -> Plan:
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
    solids = _solid(kind, [radius * flat, radius, long], _frame(axis, turned), centre)
    open_ = ((radius - 0.02) / 0.02).clamp(0, 1)
    fingers = _between((68.0, 78.0, 42.0), (34.0, 52.0, 28.0), open_)[:, None].expand(-1, 4, -1)
    thumb = _between((30.0, 25.0, 35.0), (15.0, 15.0, 25.0), open_)
    bends = _bends(draw, thumb, fingers)
    lifted = 8 + 18 * open_ + draw.normal(0, 3)
    plan = _made(draw, solids, bends, _spread(draw.uniform(0, 0.35), bends[:, 1:, 0], lifted), 1.0, (0.25, 1.0, 1.0))
    plan.lies[:] = 1
    return plan


def _stick(draw: _Draw, hands: FingerTables) -> Plan:
    """Handles and rods in the fist, askew across the palm; the thumb over the fingers or along the rod."""
    kind = draw.pick((CAPSULE, CYLINDER, BOX), (0.5, 0.4, 0.1))
    radius = draw.uniform(0.007, 0.018)
    long = torch.maximum(draw.uniform(0.055, 0.2), 4 * radius)
    axis = _across_palm(hands, draw.normal(24, 9).clamp(5, 45), draw.normal(0, 4))
    along = draw.uniform(-0.3, 0.95) * (long - 0.045).clamp_min(0.003)
    place = torch.stack([draw.normal(0.0, 0.003), draw.normal(0.066, 0.003), 0 * radius], -1)
    centre = place * hands.size[:, None] + along[:, None] * axis
    turned = _turned_about(axis, _rows((0.0, 0.0, 1.0), axis), draw.uniform(-45, 45))
    solids = _solid(kind, [radius, radius, long], _frame(axis, turned), centre)
    over = draw.chance(0.65)
    thumb = torch.where(over[:, None], _rows((23.0, 26.0, 60.0), radius), _rows((2.0, 8.0, 10.0), radius))
    fingers = _rows((72.0, 86.0, 48.0), radius)[:, None].expand(-1, 4, -1)
    bends = _bends(draw, thumb, fingers)
    abduction = _spread(draw.uniform(0, 0.2), bends[:, 1:, 0], torch.where(over, 0.0, -20.0) + draw.normal(0, 3))
    plan = _made(draw, solids, bends, abduction, 0.7, (0.4, 1.0, 1.0))
    plan.lies[:] = 1
    plan.touch[over, 0] = 0.0
    plan.over[over] = 1.0
    plan.needed[:, 0] = False
    plan.needed[:, 1:3] = True
    return plan


def _hook(draw: _Draw, hands: FingerTables) -> Plan:
    """Handles of bags and cases that hang in the hooked fingers; the thumb beside."""
    kind = draw.pick((CAPSULE, BOX), (0.8, 0.2))
    radius = draw.uniform(0.004, 0.013)
    long = draw.uniform(0.05, 0.16)
    bends = _bends(draw, _rows((8.0, 12.0, 12.0), radius), _rows((18.0, 82.0, 45.0), radius)[:, None].expand(-1, 4, -1))
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-25, 8))
    points = _posed(hands, bends, abduction)[:, 1:]
    bone = unit(points[:, 1:3, 0, _LAST] - points[:, 1:3, 0, 0]).mean(1)
    palmar = unit(torch.linalg.cross(_rows((1.0, 0.0, 0.0), bone), bone))
    stand = (hands.radii[:, 2, 0] + radius)[:, None]  # in the corner that the bent fingers make
    centre = points[:, 1:3, 0, _LAST].mean(1) + (palmar - 0.9 * bone) * stand
    axis = _turned_about(palmar, points[:, 0, 0, _LAST] - points[:, 3, 0, _LAST], draw.normal(0, 4))
    centre = centre + unit(axis) * (draw.uniform(-0.5, 0.5) * (long - 0.045).clamp_min(0.003))[:, None]
    solids = _solid(kind, [radius, radius, long], _frame(axis, palmar), centre)
    plan = _made(draw, solids, bends, abduction, 0.0, (0.6, 1.0, 0.7))
    plan.needed[:, 1:4] = True
    return plan


def _ball(draw: _Draw, hands: FingerTables) -> Plan:
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
    bends = _bends(
        draw,
        _between((25.0, 20.0, 30.0), (10.0, 10.0, 22.0), open_),
        _between((52.0, 62.0, 33.0), (28.0, 40.0, 22.0), open_)[:, None].expand(-1, 4, -1),
    )
    lifted = 10 + 15 * open_ + draw.normal(0, 3)
    abduction = _spread(0.25 + 0.6 * open_ + draw.normal(0, 0.12), bends[:, 1:, 0], lifted)
    plan = _made(draw, solids, bends, abduction, 1.0, (0.25, 0.8, 1.0))
    plan.lies[:] = 1
    return plan


def _apart(
    draw: _Draw, hands: FingerTables, width: Tensor, used: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
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
    points = posture_points(hands, slice(0, 5), bends, angle)  # (R, 5, 12, 3, 5, 3)
    pads, tips = points[:, :, :, 2, _PAD], points[:, :, :, 2]
    of = (used / used.sum(1, keepdim=True))[:, :, None, None]
    opposed = (pads[:, 1:] * of).sum(1)  # (R, 12, 3)
    pick = ((opposed - pads[:, 0]).norm(dim=2) - width[:, None]).abs().argmin(1)
    rows = torch.arange(draw.count)
    here, there = pads[rows, 0, pick], opposed[rows, pick]
    palmar = unit(pads - torch.lerp(tips[..., 0, :], tips[..., _LAST, :], 0.6))[rows, :, pick]
    across = unit(palmar[:, 0] - (palmar[:, 1:] * of[..., 0]).sum(1) + (there - here) / 0.04)
    away = 0.5 * (here + there) - 0.5 * hands.knuckles[:, :2].mean(1)
    away = unit(away - (away * across).sum(1, keepdim=True) * across)
    loose = torch.tensor(_LOOSE)[draw.pick((0, 1, 2, 3, 4), (0.35, 0.25, 0.12, 0.2, 0.08))]  # (R, 3)
    step = torch.tensor([0.0, 0.0, 0.04, 0.08])[:, None] * loose[:, None]
    posture = bends[rows, :, pick].clone()
    posture[:, 1:] = torch.where(used[..., None] > 0, posture[:, 1:], loose[:, None] + step)
    posture += draw.normal(0, 2, 5, 3)
    return posture, angle[rows, :, pick], 0.5 * (here + there), across, away


def _tips_touch(draw: _Draw, plan: Plan, used: Tensor) -> Plan:
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


def _fingertips(draw: _Draw, hands: FingerTables) -> Plan:
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


def _pinch(draw: _Draw, hands: FingerTables) -> Plan:
    """Cards, coins, matches, small boxes between thumb and index (and more fingers)."""
    used = _used(draw, (0.55, 0.3, 0.1, 0.05))
    form = draw.pick((0, 1, 2, 3), (0.4, 0.15, 0.25, 0.2))  # card, coin, thin stick, small box
    thick = torch.where(form == 0, draw.uniform(0.0004, 0.002), draw.uniform(0.001, 0.0045))
    thick = torch.where(form == 3, draw.uniform(0.005, 0.015), thick)
    bends, abduction, middle, across, away = _apart(draw, hands, 2 * thick, used)
    away = _turned_about(across, away, draw.uniform(-60, 60))
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


def _key(draw: _Draw, hands: FingerTables) -> Plan:
    """Keys and cards between the thumb's pad and the side of the bent index."""
    thick = draw.uniform(0.0006, 0.003)
    wide, long = draw.uniform(0.008, 0.03), draw.uniform(0.02, 0.045)
    curl = draw.normal(0, 6, 1, 1)
    fingers = torch.tensor([[48.0, 78.0, 40.0], [60.0, 84.0, 44.0], [68.0, 88.0, 46.0], [72.0, 88.0, 46.0]]) + curl
    bends = _bends(draw, _rows((5.0, 10.0, 20.0), thick), fingers)
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-18, 5))
    index = _posed(hands, bends, abduction)[:, 1]
    side = _rows((1.0, 0.0, 0.0), thick)
    bone = index[:, 1, _LAST] - index[:, 1, 0]
    side = unit(side - (side * unit(bone)).sum(1, keepdim=True) * unit(bone))
    slope = torch.deg2rad(draw.uniform(-15, 60))
    away = torch.stack([0 * slope, slope.cos(), slope.sin()], -1)
    away = unit(away - (away * side).sum(1, keepdim=True) * side)
    touched = (
        torch.lerp(index[:, 1, 0], index[:, 1, _LAST], draw.uniform(0.2, 0.9, 1))
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


def _plate(draw: _Draw, hands: FingerTables) -> Plan:
    """Books, plates, big phones between the thumb and the flat fingers."""
    thick = draw.uniform(0.002, 0.016)
    mcp = draw.uniform(25, 70)
    fingers = torch.stack([mcp, draw.uniform(5, 25), draw.uniform(3, 12)], -1)[:, None].expand(-1, 4, -1)
    bends = _bends(draw, _rows((20.0, 12.0, 15.0), thick), fingers)
    abduction = _spread(draw.uniform(0, 0.7), bends[:, 1:, 0], 15 + draw.normal(0, 5))
    points = _posed(hands, bends, abduction)[:, 1:4]
    pads = points[:, :, 2, _PAD].mean(1)
    bone = unit((points[:, :, 2, _LAST] - points[:, :, 1, 0]).mean(1))
    palmar = unit((points[:, :, 1:, _PAD] - 0.5 * (points[:, :, 1:, 0] + points[:, :, 1:, _LAST])).mean((1, 2)))
    away = _turned_about(palmar, bone, draw.normal(0, 20))
    long, wide = draw.uniform(0.04, 0.105), draw.uniform(0.035, 0.085)
    centre = pads + palmar * thick[:, None] + away * (long - draw.uniform(0.012, 0.05))[:, None]
    round_ = draw.chance(0.2)
    kind = torch.where(round_, CYLINDER, BOX)
    solids = _solid(kind, [long, torch.where(round_, long, wide), thick], _frame(palmar, away), centre)
    plan = _made(draw, solids, bends, abduction, 1.0, (0.0, 0.3, 1.0))
    plan.needed[:, 1:3] = True
    return plan


def _pen(draw: _Draw, hands: FingerTables) -> Plan:
    """Pens, brushes, spoons between thumb, index and the middle finger's side, leaning on the index' base."""
    radius, long = draw.uniform(0.0035, 0.0065), draw.uniform(0.055, 0.085)
    fingers = torch.tensor([[52.0, 52.0, 24.0], [60.0, 66.0, 34.0], [68.0, 78.0, 42.0], [72.0, 82.0, 44.0]]).expand(
        draw.count, -1, -1
    )
    bends = _bends(draw, _rows((20.0, 25.0, 34.0), radius), fingers)
    abduction = _spread(draw.uniform(0, 0.1), bends[:, 1:, 0], 2 + draw.normal(0, 3))
    thumb, index = _posed(hands, bends, abduction)[:, :2].unbind(1)
    held = 0.5 * (thumb[:, 2, _PAD] + index[:, 2, _PAD])
    side = _rows((1.0, 0.0, 0.0), radius)
    stand = (hands.radii[:, 1, 0] + radius)[:, None]
    lean = torch.lerp(index[:, 0, 0], index[:, 0, _LAST], draw.uniform(-0.5, 0.6, 1)) + side * stand
    down = unit(held - lean)
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


def _phone(draw: _Draw, hands: FingerTables) -> Plan:
    """Phones and boxes that lie askew on palm and fingers, thumb and fingertips at their edges."""
    wide, long, thick = draw.uniform(0.03, 0.038), draw.uniform(0.06, 0.08), draw.uniform(0.0035, 0.006)
    fat = draw.chance(0.25)
    thick = torch.where(fat, draw.uniform(0.008, 0.018), thick)
    turn = torch.deg2rad(draw.uniform(42, 72))
    axis = torch.stack([turn.sin(), turn.cos(), draw.normal(0, 0.05)], -1)
    across = torch.stack([turn.cos(), -turn.sin(), draw.normal(0.05, 0.08)], -1)
    place = torch.stack([draw.normal(0.012, 0.005), draw.normal(0.084, 0.005), 0 * wide], -1)
    centre = place * hands.size[:, None] + axis * draw.normal(0.015, 0.015)[:, None]
    normal = unit(torch.linalg.cross(across, axis))
    solids = _solid(torch.full((draw.count,), BOX), [wide, long, thick], _frame(normal, across), centre)
    fingers = torch.tensor([[28.0, 40.0, 22.0], [32.0, 48.0, 26.0], [36.0, 52.0, 28.0], [38.0, 52.0, 28.0]]).expand(
        draw.count, -1, -1
    )
    bends = _bends(draw, _rows((5.0, 12.0, 20.0), wide), fingers)
    abduction = _spread(draw.uniform(0.1, 0.6), bends[:, 1:, 0], 12 + draw.normal(0, 8))
    plan = _made(draw, solids, bends, abduction, 1.0, (0.1, 0.3, 1.0))
    plan.lies[:] = 1
    return plan


def _palm(draw: _Draw, hands: FingerTables) -> Plan:
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
    plan = _made(draw, solids, bends, abduction, 0.0, (0.0, 0.0, 0.0))
    plan.lies[:] = 2
    return plan


def plan_grasps(generator: np.random.Generator, hands: FingerTables, kind: np.ndarray) -> Plan:
    """Draw a plan for each hand; `kind` (R,) says which of `GRASP_NAMES`."""
    planners = (_power, _stick, _hook, _ball, _fingertips, _pinch, _key, _plate, _pen, _phone, _palm)
    order, plans = [], []
    for number, planner in enumerate(planners):  # as in GRASP_NAMES
        rows = torch.from_numpy(np.flatnonzero(kind == number))
        if len(rows):
            order.append(rows)
            plans.append(planner(_Draw(generator, len(rows)), hands[rows]))
    back = torch.cat(order).argsort()
    solids = join_fields([p.solids for p in plans])
    rest = (torch.cat([getattr(p, f.name) for p in plans]) for f in fields(Plan) if f.name != "solids")
    plan = Plan(solids, *rest)[back]
    _lower(hands, plan)
    return plan
