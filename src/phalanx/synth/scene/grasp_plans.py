"""Where hands take simple things, and in which posture they come to them; one function for each kind of grasp."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields
from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID
from phalanx.synth.scene.grasp_fingers import FingerTables, posture_points, unit
from phalanx.synth.scene.grasp_parts import (
    LAST,
    PAD,
    Draw,
    Plan,
    across_palm,
    between,
    frame,
    lower,
    made_plan,
    posed,
    rows_of,
    single_solid,
    spread,
    turned_about,
    vary_bends,
)

# One finger as MCP, PIP and DIP flexion; the thumb as CMC, MCP and IP flexion with CMC abduction apart; degrees.
_LOOSE = ((60.0, 70.0, 38.0), (35.0, 45.0, 25.0), (12.0, 15.0, 8.0), (75.0, 90.0, 48.0), (2.0, 5.0, 3.0))


def _power(draw: Draw, hands: FingerTables) -> Plan:
    """Tins, bottles, cups, cartons held in the whole hand."""
    kind = draw.pick((CYLINDER, CUP, CAPSULE, BOX), (0.52, 0.25, 0.11, 0.12))
    radius = torch.where(kind == CUP, draw.uniform(0.028, 0.041), draw.uniform(0.02, 0.039))
    long = torch.where(kind == CUP, draw.uniform(0.04, 0.065), draw.uniform(0.045, 0.115))
    axis = across_palm(draw.normal(12, 8).clamp(-8, 32), draw.normal(0, 4))
    along = draw.uniform(-0.7, 0.7) * (long - 0.04).clamp_min(0.004)
    place = torch.stack(
        [draw.normal(0.0, 0.003), 0.066 + 0.3 * (radius - 0.02) + draw.normal(0, 0.003), 0 * radius], -1
    )
    centre = place * hands.size[:, None] + along[:, None] * axis
    flat = torch.where(kind == BOX, draw.uniform(0.6, 1.0), 1.0)
    turned = turned_about(axis, rows_of((0.0, 0.0, 1.0), axis), draw.normal(0, 8))
    solids = single_solid(kind, [radius * flat, radius, long], frame(axis, turned), centre)
    open_ = ((radius - 0.02) / 0.02).clamp(0, 1)
    fingers = between((68.0, 78.0, 42.0), (34.0, 52.0, 28.0), open_)[:, None].expand(-1, 4, -1)
    thumb = between((30.0, 25.0, 35.0), (15.0, 15.0, 25.0), open_)
    bends = vary_bends(draw, thumb, fingers)
    lifted = 8 + 18 * open_ + draw.normal(0, 3)
    plan = made_plan(draw, solids, bends, spread(draw.uniform(0, 0.35), bends[:, 1:, 0], lifted), 1.0, (0.25, 1.0, 1.0))
    plan.lies[:] = 1
    return plan


def _stick(draw: Draw, hands: FingerTables) -> Plan:
    """Handles and rods in the fist, askew across the palm; the thumb over the fingers or along the rod."""
    kind = draw.pick((CAPSULE, CYLINDER, BOX), (0.5, 0.4, 0.1))
    radius = draw.uniform(0.007, 0.018)
    long = torch.maximum(draw.uniform(0.055, 0.2), 4 * radius)
    axis = across_palm(draw.normal(24, 9).clamp(5, 45), draw.normal(0, 4))
    along = draw.uniform(-0.3, 0.95) * (long - 0.045).clamp_min(0.003)
    place = torch.stack([draw.normal(0.0, 0.003), draw.normal(0.066, 0.003), 0 * radius], -1)
    centre = place * hands.size[:, None] + along[:, None] * axis
    turned = turned_about(axis, rows_of((0.0, 0.0, 1.0), axis), draw.uniform(-45, 45))
    solids = single_solid(kind, [radius, radius, long], frame(axis, turned), centre)
    over = draw.chance(0.65)
    thumb = torch.where(over[:, None], rows_of((23.0, 26.0, 60.0), radius), rows_of((2.0, 8.0, 10.0), radius))
    fingers = rows_of((72.0, 86.0, 48.0), radius)[:, None].expand(-1, 4, -1)
    bends = vary_bends(draw, thumb, fingers)
    abduction = spread(draw.uniform(0, 0.2), bends[:, 1:, 0], torch.where(over, 0.0, -20.0) + draw.normal(0, 3))
    plan = made_plan(draw, solids, bends, abduction, 0.7, (0.4, 1.0, 1.0))
    plan.lies[:] = 1
    plan.touch[over, 0] = 0.0
    plan.over[over] = 1.0
    plan.needed[:, 0] = False
    plan.needed[:, 1:3] = True
    return plan


def _hook(draw: Draw, hands: FingerTables) -> Plan:
    """Handles of bags and cases that hang in the hooked fingers; the thumb beside."""
    kind = draw.pick((CAPSULE, BOX), (0.8, 0.2))
    radius = draw.uniform(0.004, 0.013)
    long = draw.uniform(0.05, 0.16)
    bends = vary_bends(
        draw, rows_of((8.0, 12.0, 12.0), radius), rows_of((18.0, 82.0, 45.0), radius)[:, None].expand(-1, 4, -1)
    )
    abduction = spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-25, 8))
    points = posed(hands, bends, abduction)[:, 1:]
    bone = unit(points[:, 1:3, 0, LAST] - points[:, 1:3, 0, 0]).mean(1)
    palmar = unit(torch.linalg.cross(rows_of((1.0, 0.0, 0.0), bone), bone))
    stand = (hands.radii[:, 2, 0] + radius)[:, None]  # in the corner that the bent fingers make
    centre = points[:, 1:3, 0, LAST].mean(1) + (palmar - 0.9 * bone) * stand
    axis = turned_about(palmar, points[:, 0, 0, LAST] - points[:, 3, 0, LAST], draw.normal(0, 4))
    centre = centre + unit(axis) * (draw.uniform(-0.5, 0.5) * (long - 0.045).clamp_min(0.003))[:, None]
    solids = single_solid(kind, [radius, radius, long], frame(axis, palmar), centre)
    plan = made_plan(draw, solids, bends, abduction, 0.0, (0.6, 1.0, 0.7))
    plan.needed[:, 1:4] = True
    return plan


def _ball(draw: Draw, hands: FingerTables) -> Plan:
    """Balls and fruit in palm and spread fingers."""
    radius = draw.uniform(0.024, 0.045)
    stretch = torch.where(draw.chance(0.6), 1.0, draw.uniform(1.0, 1.35))
    open_ = ((radius - 0.024) / 0.021).clamp(0, 1)
    place = torch.stack(
        [draw.normal(0.006, 0.004), 0.078 + 0.35 * (radius - 0.03) + draw.normal(0, 0.004), 0 * radius], -1
    )
    axis = across_palm(draw.uniform(-90, 90), draw.normal(0, 15))
    half = [radius, radius, radius * stretch]
    solids = single_solid(
        0 * draw.pick((ELLIPSOID,), (1.0,)),
        half,
        frame(axis, rows_of((0.0, 0.0, 1.0), axis)),
        place * hands.size[:, None],
    )
    bends = vary_bends(
        draw,
        between((25.0, 20.0, 30.0), (10.0, 10.0, 22.0), open_),
        between((52.0, 62.0, 33.0), (28.0, 40.0, 22.0), open_)[:, None].expand(-1, 4, -1),
    )
    lifted = 10 + 15 * open_ + draw.normal(0, 3)
    abduction = spread(0.25 + 0.6 * open_ + draw.normal(0, 0.12), bends[:, 1:, 0], lifted)
    plan = made_plan(draw, solids, bends, abduction, 1.0, (0.25, 0.8, 1.0))
    plan.lies[:] = 1
    return plan


def _apart(
    draw: Draw, hands: FingerTables, width: Tensor, used: Tensor
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
    base = spread(draw.uniform(0, 0.3), rows_of((50.0,) * 4, width), 0 * width)
    angle = base[:, :, None].repeat(1, 1, 12)
    angle[:, 0] = lifted
    bends = every.transpose(0, 1).expand(draw.count, -1, -1, -1)  # (R, 5, 12, 3)
    points = posture_points(hands, slice(0, 5), bends, angle)  # (R, 5, 12, 3, 5, 3)
    pads, tips = points[:, :, :, 2, PAD], points[:, :, :, 2]
    of = (used / used.sum(1, keepdim=True))[:, :, None, None]
    opposed = (pads[:, 1:] * of).sum(1)  # (R, 12, 3)
    pick = ((opposed - pads[:, 0]).norm(dim=2) - width[:, None]).abs().argmin(1)
    rows = torch.arange(draw.count)
    here, there = pads[rows, 0, pick], opposed[rows, pick]
    palmar = unit(pads - torch.lerp(tips[..., 0, :], tips[..., LAST, :], 0.6))[rows, :, pick]
    across = unit(palmar[:, 0] - (palmar[:, 1:] * of[..., 0]).sum(1) + (there - here) / 0.04)
    away = 0.5 * (here + there) - 0.5 * hands.knuckles[:, :2].mean(1)
    away = unit(away - (away * across).sum(1, keepdim=True) * across)
    loose = torch.tensor(_LOOSE)[draw.pick((0, 1, 2, 3, 4), (0.35, 0.25, 0.12, 0.2, 0.08))]  # (R, 3)
    step = torch.tensor([0.0, 0.0, 0.04, 0.08])[:, None] * loose[:, None]
    posture = bends[rows, :, pick].clone()
    posture[:, 1:] = torch.where(used[..., None] > 0, posture[:, 1:], loose[:, None] + step)
    posture += draw.normal(0, 2, 5, 3)
    return posture, angle[rows, :, pick], 0.5 * (here + there), across, away


def _tips_touch(draw: Draw, plan: Plan, used: Tensor) -> Plan:
    """The plan in which only the pads of the thumb and of the `used` (R, 4) fingers touch."""
    plan.touch[:] = 0.0
    plan.touch[:, 0, 2] = 1.2
    plan.touch[:, 1:, 2] = used * 1.2
    plan.needed[:, 0] = True
    plan.needed[:, 1] = True
    return plan


def _used(draw: Draw, shares: tuple[float, ...]) -> Tensor:
    """(R, 4) how many fingers, from the index on, help: one to four with these probabilities."""
    return (torch.arange(4) < draw.pick((1, 2, 3, 4), shares)[:, None]).float()


def _fingertips(draw: Draw, hands: FingerTables) -> Plan:
    """Eggs, dice, lids, small balls between the tips of thumb and fingers."""
    used = _used(draw, (0.1, 0.35, 0.25, 0.3))
    radius = draw.uniform(0.008, 0.032)
    bends, abduction, middle, across, away = _apart(draw, hands, 2 * radius, used)
    kind = draw.pick((ELLIPSOID, BOX, CYLINDER), (0.5, 0.25, 0.25))
    other = torch.where(kind == ELLIPSOID, 1.0, draw.uniform(0.35, 1.2))
    third = torch.where(kind == BOX, draw.uniform(0.5, 1.3), 1.0)
    half = [radius, radius * third, radius * torch.where(draw.chance(0.4) & (kind == ELLIPSOID), 1.25, other)]
    centre = middle + away * (radius * draw.uniform(-0.1, 0.35))[:, None]
    z = torch.where(draw.chance(0.75)[:, None], away, turned_about(across, away, draw.uniform(-90, 90)))
    solids = single_solid(kind, half, frame(z, across), centre)
    return _tips_touch(draw, made_plan(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 1.0)), used)


def _pinch(draw: Draw, hands: FingerTables) -> Plan:
    """Cards, coins, matches, small boxes between thumb and index (and more fingers)."""
    used = _used(draw, (0.55, 0.3, 0.1, 0.05))
    form = draw.pick((0, 1, 2, 3), (0.4, 0.15, 0.25, 0.2))  # card, coin, thin stick, small box
    thick = torch.where(form == 0, draw.uniform(0.0004, 0.002), draw.uniform(0.001, 0.0045))
    thick = torch.where(form == 3, draw.uniform(0.005, 0.015), thick)
    bends, abduction, middle, across, away = _apart(draw, hands, 2 * thick, used)
    away = turned_about(across, away, draw.uniform(-60, 60))
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
    solids = single_solid(kind, half, frame(z, x), middle + away * (reach - inset)[:, None])
    return _tips_touch(draw, made_plan(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 1.0)), used)


def _key(draw: Draw, hands: FingerTables) -> Plan:
    """Keys and cards between the thumb's pad and the side of the bent index."""
    thick = draw.uniform(0.0006, 0.003)
    wide, long = draw.uniform(0.008, 0.03), draw.uniform(0.02, 0.045)
    curl = draw.normal(0, 6, 1, 1)
    fingers = torch.tensor([[48.0, 78.0, 40.0], [60.0, 84.0, 44.0], [68.0, 88.0, 46.0], [72.0, 88.0, 46.0]]) + curl
    bends = vary_bends(draw, rows_of((5.0, 10.0, 20.0), thick), fingers)
    abduction = spread(draw.uniform(0, 0.1), bends[:, 1:, 0], draw.normal(-18, 5))
    index = posed(hands, bends, abduction)[:, 1]
    side = rows_of((1.0, 0.0, 0.0), thick)
    bone = index[:, 1, LAST] - index[:, 1, 0]
    side = unit(side - (side * unit(bone)).sum(1, keepdim=True) * unit(bone))
    slope = torch.deg2rad(draw.uniform(-15, 60))
    away = torch.stack([0 * slope, slope.cos(), slope.sin()], -1)
    away = unit(away - (away * side).sum(1, keepdim=True) * side)
    touched = (
        torch.lerp(index[:, 1, 0], index[:, 1, LAST], draw.uniform(0.2, 0.9, 1))
        + side * (hands.radii[:, 1, 1] + thick)[:, None]
    )
    centre = touched + away * (long - draw.uniform(0.006, 0.014))[:, None]
    solids = single_solid(torch.full((draw.count,), BOX), [long, wide, thick], frame(side, away), centre)
    plan = made_plan(draw, solids, bends, abduction, 1.2, (0.0, 0.0, 0.0))
    plan.touch[:, 0, 1] = 0.0
    plan.touch[:, 1, 1] = 1.0
    plan.side[:, 1] = True
    plan.needed[:, :2] = True
    return plan


def _plate(draw: Draw, hands: FingerTables) -> Plan:
    """Books, plates, big phones between the thumb and the flat fingers."""
    thick = draw.uniform(0.002, 0.016)
    mcp = draw.uniform(25, 70)
    fingers = torch.stack([mcp, draw.uniform(5, 25), draw.uniform(3, 12)], -1)[:, None].expand(-1, 4, -1)
    bends = vary_bends(draw, rows_of((20.0, 12.0, 15.0), thick), fingers)
    abduction = spread(draw.uniform(0, 0.7), bends[:, 1:, 0], 15 + draw.normal(0, 5))
    points = posed(hands, bends, abduction)[:, 1:4]
    pads = points[:, :, 2, PAD].mean(1)
    bone = unit((points[:, :, 2, LAST] - points[:, :, 1, 0]).mean(1))
    palmar = unit((points[:, :, 1:, PAD] - 0.5 * (points[:, :, 1:, 0] + points[:, :, 1:, LAST])).mean((1, 2)))
    away = turned_about(palmar, bone, draw.normal(0, 20))
    long, wide = draw.uniform(0.04, 0.105), draw.uniform(0.035, 0.085)
    centre = pads + palmar * thick[:, None] + away * (long - draw.uniform(0.012, 0.05))[:, None]
    round_ = draw.chance(0.2)
    kind = torch.where(round_, CYLINDER, BOX)
    solids = single_solid(kind, [long, torch.where(round_, long, wide), thick], frame(palmar, away), centre)
    plan = made_plan(draw, solids, bends, abduction, 1.0, (0.0, 0.3, 1.0))
    plan.needed[:, 1:3] = True
    return plan


def _pen(draw: Draw, hands: FingerTables) -> Plan:
    """Pens, brushes, spoons between thumb, index and the middle finger's side, leaning on the index' base."""
    radius, long = draw.uniform(0.0035, 0.0065), draw.uniform(0.055, 0.085)
    fingers = torch.tensor([[52.0, 52.0, 24.0], [60.0, 66.0, 34.0], [68.0, 78.0, 42.0], [72.0, 82.0, 44.0]]).expand(
        draw.count, -1, -1
    )
    bends = vary_bends(draw, rows_of((20.0, 25.0, 34.0), radius), fingers)
    abduction = spread(draw.uniform(0, 0.1), bends[:, 1:, 0], 2 + draw.normal(0, 3))
    thumb, index = posed(hands, bends, abduction)[:, :2].unbind(1)
    held = 0.5 * (thumb[:, 2, PAD] + index[:, 2, PAD])
    side = rows_of((1.0, 0.0, 0.0), radius)
    stand = (hands.radii[:, 1, 0] + radius)[:, None]
    lean = torch.lerp(index[:, 0, 0], index[:, 0, LAST], draw.uniform(-0.5, 0.6, 1)) + side * stand
    down = unit(held - lean)
    centre = held + down * (draw.uniform(0.022, 0.04) - long)[:, None]
    kind = draw.pick((CAPSULE, CYLINDER, BOX), (0.6, 0.3, 0.1))
    solids = single_solid(kind, [radius, radius, long], frame(down, side), centre)
    plan = made_plan(draw, solids, bends, abduction, 1.0, (0.0, 0.0, 0.0))
    plan.touch[:, 0, 1] = 0.0
    plan.touch[:, 1, 2] = 1.0
    plan.touch[:, 2, 2] = 0.6
    plan.side[:, 2] = True
    plan.needed[:, :2] = True
    return plan


def _phone(draw: Draw, hands: FingerTables) -> Plan:
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
    solids = single_solid(torch.full((draw.count,), BOX), [wide, long, thick], frame(normal, across), centre)
    fingers = torch.tensor([[28.0, 40.0, 22.0], [32.0, 48.0, 26.0], [36.0, 52.0, 28.0], [38.0, 52.0, 28.0]]).expand(
        draw.count, -1, -1
    )
    bends = vary_bends(draw, rows_of((5.0, 12.0, 20.0), wide), fingers)
    abduction = spread(draw.uniform(0.1, 0.6), bends[:, 1:, 0], 12 + draw.normal(0, 8))
    plan = made_plan(draw, solids, bends, abduction, 1.0, (0.1, 0.3, 1.0))
    plan.lies[:] = 1
    return plan


def _palm(draw: Draw, hands: FingerTables) -> Plan:
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
    bends = vary_bends(draw, torch.stack([draw.normal(-5, 10), draw.normal(8, 6), draw.normal(8, 8)], -1), fingers)
    abduction = spread(draw.uniform(0, 1), bends[:, 1:, 0], draw.normal(-10, 15))
    lying = (kind == CAPSULE) | ((kind == CYLINDER) & draw.chance(0.4))
    about = draw.uniform(-180, 180)
    level = across_palm(about, draw.normal(0, 3))
    z = torch.where(lying[:, None], level, rows_of((0.0, 0.0, 1.0), level) + draw.normal(0, 0.05, 3))
    x = torch.where(lying[:, None], rows_of((0.0, 0.0, 1.0), level), level)
    place = torch.stack([draw.normal(-0.003, 0.01), draw.normal(0.085, 0.02), 0 * size], -1)
    solids = single_solid(kind, half, frame(z, x), place * hands.size[:, None])
    plan = made_plan(draw, solids, bends, abduction, 0.0, (0.0, 0.0, 0.0))
    plan.lies[:] = 2
    return plan


_PLANNERS = {
    "power": _power,
    "stick": _stick,
    "hook": _hook,
    "ball": _ball,
    "fingertips": _fingertips,
    "pinch": _pinch,
    "key": _key,
    "plate": _plate,
    "pen": _pen,
    "phone": _phone,
    "palm": _palm,
}
GRASP_NAMES = tuple(_PLANNERS)
"""Kinds of grasps."""


def plan_grasps(generator: np.random.Generator, hands: FingerTables, kind: np.ndarray) -> Plan:
    """Draw a plan for each of R hands, whose kinds (R,) are numbers in `GRASP_NAMES`."""
    order, plans = [], []
    for number, planner in enumerate(_PLANNERS.values()):
        rows = torch.from_numpy(np.flatnonzero(kind == number))
        if len(rows):
            order.append(rows)
            plans.append(planner(Draw(generator, len(rows)), hands[rows]))
    back = torch.cat(order).argsort()
    solids = join_fields([p.solids for p in plans])
    rest = (torch.cat([getattr(p, f.name) for p in plans]) for f in fields(Plan) if f.name != "solids")
    plan = Plan(solids, *rest)[back]
    lower(hands, plan)
    return plan
