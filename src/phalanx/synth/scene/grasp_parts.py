"""What plans of grasps are put together from: random rows, directions in the hand, postures, and things brought down on the palm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.hand.anatomy import axis_angle_to_rotation
from phalanx.render.solids import Solids, signed_distance
from phalanx.synth.scene.grasp_fingers import FingerTables, posture_points, unit

LAST, PAD = -2, -1
"""Of a segment's points, the last in the middle of its flesh, and the one on its pad."""


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


class Draw:
    """Random tensors of R rows from one generator."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        """(R, *size) between `low` and `high`."""
        return torch.from_numpy(self.generator.uniform(low, high, (self.count, *size))).float()

    def normal(self, mean: float, deviation: float, *size: int) -> Tensor:
        """(R, *size), at most 3 standard deviations from the mean."""
        deviations = self.generator.normal(0.0, 1.0, (self.count, *size)).clip(-3, 3)
        return torch.from_numpy(mean + deviation * deviations).float()

    def chance(self, share: float) -> Tensor:
        """(R,) true in this share of the rows."""
        return self.uniform(0, 1) < share

    def pick(self, values: tuple[int, ...], shares: tuple[float, ...]) -> Tensor:
        """(R,) of these values, with these probabilities."""
        return torch.from_numpy(self.generator.choice(values, self.count, p=shares))


def single_solid(kind: Tensor, half: list[Tensor], rotation: Tensor, centre: Tensor) -> Solids:
    """One solid for each of R hands: kinds (R,), three half sizes (R,), rotations (R, 3, 3), centres (R, 3)."""
    return Solids(kind[:, None], torch.stack(half, -1)[:, None], rotation[:, None], centre[:, None])


def frame(z: Tensor, x: Tensor) -> Tensor:
    """Rotations (R, 3, 3) whose third column is `z` and whose first is as near to `x` as can be."""
    z = unit(z)
    x = unit(x - (x * z).sum(-1, keepdim=True) * z)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def rows_of(value: tuple[float, ...], like: Tensor) -> Tensor:
    """The same value in as many rows as `like` has."""
    return torch.tensor(value).expand(len(like), -1)


def turned_about(z: Tensor, x: Tensor, degrees: Tensor) -> Tensor:
    """`x` (R, 3) turned about `z` (R, 3) by `degrees` (R,)."""
    return (axis_angle_to_rotation(unit(z), torch.deg2rad(degrees)) @ x[..., None])[..., 0]


def posed(hands: FingerTables, bends: Tensor, abduction: Tensor) -> Tensor:
    """Points (R, 5, 3, AXIS_POINTS + 1, 3) of the fingers' segments in a posture."""
    return posture_points(hands, slice(0, 5), bends[:, :, None], abduction[..., None])[:, :, 0]


def lower(hands: FingerTables, plan: Plan) -> None:
    """Bring the things of the plan down along the hand's -z until they lie on what they have to lie on."""
    rows = plan.lies.nonzero()[:, 0]
    hands, lying, solids = hands[rows], plan[rows], plan.solids[rows]
    fingers = posed(hands, lying.bends, lying.abduction)[..., :PAD, :]  # (R, 5, 3, AXIS_POINTS, 3)
    flesh = torch.where(lying.lies[:, None, None, None] == 2, hands.radii[..., None], -1.0).expand(fingers.shape[:-1])
    skin = torch.cat([hands.palm, fingers.flatten(1, 3)], 1)
    flesh = torch.cat([torch.zeros_like(hands.palm[..., 0]), flesh.flatten(1)], 1)
    solids.centre[:, 0, 2] = 0.15
    for _ in range(12):
        solids.centre[:, 0, 2] -= (signed_distance(solids, skin)[:, 0] - flesh).amin(1)
    plan.solids.centre[rows, 0, 2] = solids.centre[:, 0, 2] - 0.001  # flesh gives


def spread(amount: Tensor, mcp: Tensor, thumb: Tensor) -> Tensor:
    """Abductions (R, 5): the thumb's, and those of fingers fanned by `amount` (R,) whose knuckles flex by `mcp` (R, 4)."""
    fanned = torch.tensor([2.0, -1.0, -4.0, -9.0]) + amount[:, None] * torch.tensor([11.0, -2.0, -12.0, -20.0])
    return torch.cat([thumb[:, None], fanned * torch.deg2rad(mcp.clamp(0, 80)).cos()], 1)


def vary_bends(draw: Draw, thumb: Tensor, fingers: Tensor) -> Tensor:
    """Postures (R, 5, 3) of thumb (R, 3) and fingers (R, 4, 3), varied a little."""
    together = draw.normal(0, 4, 1, 3) + draw.normal(0, 2.5, 4, 3)
    return torch.cat([thumb[:, None] + draw.normal(0, 4, 1, 3), fingers + together], 1)


def between(one: tuple[float, ...], other: tuple[float, ...], share: Tensor) -> Tensor:
    """Rows (R, C) that lie between two values by `share` (R,)."""
    return torch.lerp(torch.tensor(one), torch.tensor(other), share[:, None])


def made_plan(
    draw: Draw, solids: Solids, bends: Tensor, abduction: Tensor, thumb: float, weights: tuple[float, ...]
) -> Plan:
    """A plan in which all segments of the fingers touch with `weights`, and the thumb's pad with `thumb`."""
    touch = torch.zeros(draw.count, 5, 3)
    touch[:, 1:] = torch.tensor(weights)
    touch[:, 0] = torch.tensor([0.0, 0.3, 1.0]) * thumb
    needed = torch.zeros(draw.count, 5, dtype=torch.bool)
    needed[:, 0] = thumb > 0
    over, lies = torch.zeros(draw.count), torch.zeros(draw.count, dtype=torch.int64)
    return Plan(solids, bends, abduction, touch, torch.zeros_like(needed), over, lies, needed)


def across_palm(tilt: Tensor, lift: Tensor) -> Tensor:
    """Directions (R, 3) across the palm to the thumb's side, turned to the fingers by `tilt` and out of the palm by `lift`."""
    tilt, lift = torch.deg2rad(tilt), torch.deg2rad(lift)
    return torch.stack([tilt.cos() * lift.cos(), tilt.sin() * lift.cos(), lift.sin()], -1)
