"""Hands from joints in a picture alone: many starts, of which the cheapest wins.

A picture says nothing of depth, so each hand has several solutions: palms tilt to the viewer or away, fingers bend to either side. A
fit starts from hands seen from all around, each turned and scaled onto its picture in closed form, with straight fingers and with bent
ones. The best of these descend, and joint limits and the prior on angles decide between their ends. Size comes from the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.fit.chain import Chain, joints_and_derivatives, relaxed_angles
from phalanx.fit.joints import KNOWN_SHAPE_SIGMA
from phalanx.fit.solver import Term, minimise
from phalanx.fit.state import State, pose_hands
from phalanx.fit.terms import InnerPrior, LengthTerm, PictureTerm, SoftLimits
from phalanx.geometry.turns import ray_to_rotmat

ANGLE_SIGMA, ABDUCTION_SIGMA = 0.8, 0.25
"""How far flexion and abduction are from those of a resting hand, radians."""
SHAPE_SIGMA = 0.7
"""Spread of the shape: a picture says little of proportions, standard deviations."""
LIMIT_SIGMA = 0.05
"""Softness of the joint limits, radians."""
LENGTH_SIGMA = 0.0005
"""Trust in a given hand length, metres."""
LARGEST_SHAPE = 3.0
"""Soft limit of the shape components, standard deviations."""

PLACE_SIGMA = 0.04
"""Error of a joint's place in the picture, as a share of the hand's size there (root mean square distance from the middle)."""
DEPTH_SIGMA = 0.5
"""The same of relative depths, which estimators guess."""
HUBER = 3.0

BENDS = (0.35, 1.2)
"""Flexion of all fingers in starts, radians."""
DEPTH_SHARE = 0.5
"""Weight of relative depths beside places where starts are chosen: starts are off by more than either's error."""
STARTS, STEPS = 10, 10
"""Starts that descend, and how many steps each takes."""
PART = 64
"""Frames at a time."""


@dataclass
class PictureJoints:
    """Joints of T right hands in pictures."""

    places: Tensor  # (T, 21, 2) x / z and y / z before the camera
    seen: Tensor  # (T, 21)
    depth: Tensor | None = (
        None  # (T, 21) z relative to the wrist's, as large as in the picture: (z - z_wrist) / z_wrist; or None
    )
    length: float | None = None  # metres from the wrist to the tip of the straight middle finger, if known
    shape: Tensor | None = None  # (10,) of all hands, if known

    def __getitem__(self, frames: Tensor) -> PictureJoints:
        depth = None if self.depth is None else self.depth[frames]
        return PictureJoints(self.places[frames], self.seen[frames], depth, self.length, self.shape)


def solve_pictures(chain: Chain[Tensor], joints: PictureJoints) -> tuple[State[Tensor], Tensor]:
    """Hands before the camera, and the cost (T,) of each: what it differs from its picture and from likely hands, in units of sigma."""
    states, costs = [], []
    for part in torch.arange(len(joints.places)).split(PART):
        state, cost = _solve(chain, joints[part])
        states.append(state)
        costs.append(cost)
    return join_fields(states), torch.cat(costs)


def picture_terms(chain: Chain[Tensor], joints: PictureJoints) -> list[Term[Tensor]]:
    """What is known of hands in pictures."""
    size = hand_sizes(joints)[:, None]
    scale = joints.seen / (PLACE_SIGMA * size)  # (T, 21)
    ratio, scale_depth = torch.zeros_like(scale), torch.zeros_like(scale)
    if joints.depth is not None:
        depth = joints.depth.nan_to_num()
        ratio = (1 + depth) / (1 + depth[:, 9:10]) - 1
        scale_depth = joints.seen * joints.seen[:, 9:10] / (DEPTH_SIGMA * size)
    measured = torch.cat((joints.places, ratio[..., None]), dim=-1)
    measured = torch.where(joints.seen[..., None], measured, 0.0)
    shape = chain.bones.new_zeros(10) if joints.shape is None else joints.shape
    mean = torch.cat((relaxed_angles(chain, 1), shape[None]), dim=1)
    sigma = torch.full_like(mean[0], ANGLE_SIGMA)
    sigma[0:20:4] = ABDUCTION_SIGMA
    sigma[20:] = SHAPE_SIGMA if joints.shape is None else KNOWN_SHAPE_SIGMA
    limits = torch.cat((chain.limits, chain.limits.new_tensor([[-LARGEST_SHAPE, LARGEST_SHAPE]]).expand(10, 2)))
    terms: list[Term[Tensor]] = [
        PictureTerm(measured, torch.stack((scale, scale, scale_depth), dim=-1), HUBER),
        InnerPrior(mean, sigma**-2),
        SoftLimits(limits[:, 0], limits[:, 1], torch.full_like(sigma, LIMIT_SIGMA**-2)),
    ]
    if joints.length is not None:
        length = torch.full_like(size[:, 0], joints.length)
        terms.append(LengthTerm(chain, length, LENGTH_SIGMA**-2))
    return terms


def hand_sizes(joints: PictureJoints) -> Tensor:
    """(T,) how large each hand is in its picture: the root mean square distance of its joints from their middle."""
    weight = _shares(joints)[..., None]
    places = torch.where(joints.seen[..., None], joints.places, 0.0)
    middle = (weight * places).sum(1, keepdim=True)
    return (weight * (places - middle).square()).sum((1, 2)).sqrt().clamp_min(1e-6)


def picture_distances(chain: Chain[Tensor], state: State[Tensor], joints: PictureJoints) -> Tensor:
    """(T, 21) how far each joint lies beside the one in the picture, metres at the hand's distance; NaN where none is seen."""
    found = pose_hands(chain, state).joints
    off = (found[..., :2] / found[..., 2:] - joints.places).norm(dim=-1) * found[..., 2]
    return torch.where(joints.seen, off, torch.nan)


def _solve(chain: Chain[Tensor], joints: PictureJoints) -> tuple[State[Tensor], Tensor]:
    count = len(joints.places)
    start = _starts(chain, joints)  # of each frame STARTS, one after the other
    frames = torch.arange(count).repeat_interleave(STARTS)
    found, cost = minimise(chain, picture_terms(chain, joints[frames]), start, STEPS)
    cost = torch.where(torch.isfinite(cost), cost, torch.inf).reshape(count, STARTS)
    least = cost.argmin(1)
    best = least + STARTS * torch.arange(count)
    return map_fields(found, lambda value: value[best]), cost.gather(1, least[:, None])[:, 0]


def _starts(chain: Chain[Tensor], joints: PictureJoints) -> State[Tensor]:
    """The `STARTS` of each frame that lie on its picture best: seen from all around, turned and scaled onto it."""
    angles = relaxed_angles(chain, len(BENDS))
    for row, bend in zip(angles, BENDS, strict=True):
        row[[4 * f + k for f in range(5) for k in (1, 2, 3)]] = bend
        row[0:4] *= 0.5  # the thumb bends less
    fingers = joints_and_derivatives(chain, angles, angles.new_zeros(len(BENDS), 10))[0].reshape(-1, 20, 3)
    hands = torch.cat((torch.zeros_like(fingers[:, :1]), fingers), dim=1)  # (P, 21, 3)
    views = _views(hands)  # (V, 3, 3)
    turned = (hands[:, None] @ views.mT).flatten(0, 1)  # (PV, 21, 3)
    weight = _shares(joints)[:, None]  # (T, 1, 21)
    places = torch.where(joints.seen[..., None], joints.places, 0.0)

    def centred(points: Tensor) -> tuple[Tensor, Tensor]:
        middle = (weight[..., None] * points).sum(-2, keepdim=True)
        return points - middle, middle[..., 0, :]

    seen, seen_middle = centred(places[:, None])  # (T, 1, 21, 2)
    own, own_middle = centred(turned[None].expand(len(places), -1, -1, -1))  # (T, PV, 21, 3)
    share = weight[..., None]
    spread = (share * own[..., :2].square()).sum((-2, -1)).clamp_min(1e-9)
    along = (share * own[..., :2] * seen).sum((-2, -1))
    across = (share[..., 0] * (own[..., 0] * seen[..., 1] - own[..., 1] * seen[..., 0])).sum(-1)
    scale = torch.hypot(along, across) / spread  # 1 / distance
    off = (share * seen.square()).sum((-2, -1)) - scale.square() * spread
    if joints.depth is not None:
        depth = torch.where(joints.seen, joints.depth.nan_to_num(), 0.0)[:, None]
        depth = depth - (weight * depth).sum(-1, keepdim=True)
        error = (weight * (scale[..., None] * own[..., 2] - depth).square()).sum(-1)
        off = off + DEPTH_SHARE * error
    best = off.topk(STARTS, dim=1, largest=False).indices  # (T, STARTS)
    turn = torch.atan2(across, along).gather(1, best)
    zero = torch.zeros_like(turn)
    rows = (turn.cos(), -turn.sin(), zero, turn.sin(), turn.cos(), zero, zero, zero, zero + 1)
    about = torch.stack(rows, dim=-1).reshape(*turn.shape, 3, 3)
    orientation = about @ views[best % len(views)]
    distance = 1 / scale.gather(1, best).clamp_min(1e-4)
    middle = own_middle.gather(1, best[..., None].expand(-1, -1, 3))
    there = torch.cat((seen_middle.expand(-1, STARTS, -1), torch.ones_like(turn[..., None])), dim=-1)
    # The hand's middle goes where the picture has it; seen aside of the axis, the view turns with the ray.
    ray = ray_to_rotmat(there.reshape(-1, 3)).reshape(*turn.shape, 3, 3)
    orientation = ray @ orientation
    shift = there * distance[..., None] - (ray @ about @ middle[..., None])[..., 0]
    inner = torch.cat((angles, angles.new_zeros(len(BENDS), 10)), dim=1)[best // len(views)]
    return State(orientation.flatten(0, 1), shift.flatten(0, 1), inner.flatten(0, 1))


def _shares(joints: PictureJoints) -> Tensor:
    """(T, 21) equal weights of those seen, which sum to 1."""
    seen = joints.seen.to(joints.places)
    return seen / seen.sum(1, keepdim=True).clamp_min(1)


def _views(reference: Tensor) -> Tensor:
    """Rotations (26, 3, 3) that turn the hand so that it is seen from the sides, edges and corners of a cube."""
    grid = torch.cartesian_prod(*(torch.tensor([-1.0, 0.0, 1.0]),) * 3).to(reference)
    directions = torch.nn.functional.normalize(grid[grid.abs().sum(1) > 0], dim=1)  # (26, 3)
    return ray_to_rotmat(directions).mT
