"""Hands from joints in a picture alone: many starts, of which the cheapest wins.

A picture says nothing of depth, so each hand has several solutions: palms tilt to the viewer or away, fingers bend to either side. A
fit starts from hands seen from all around, each turned and scaled onto its picture in closed form, with straight fingers and with bent
ones. The best of these descend, and joint limits and the prior on angles decide between their ends. Size comes from the prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from phalanx.core.arrays import unit
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

    places: np.ndarray  # (T, 21, 2) x / z and y / z before the camera
    seen: np.ndarray  # (T, 21)
    depth: np.ndarray | None = (
        None  # (T, 21) z relative to the wrist's, as large as in the picture: (z - z_wrist) / z_wrist; or None
    )
    length: float | None = None  # metres from the wrist to the tip of the straight middle finger, if known
    shape: np.ndarray | None = None  # (10,) of all hands, if known

    def __getitem__(self, frames: np.ndarray) -> PictureJoints:
        depth = None if self.depth is None else self.depth[frames]
        return PictureJoints(self.places[frames], self.seen[frames], depth, self.length, self.shape)


def solve_pictures(chain: Chain[np.ndarray], joints: PictureJoints) -> tuple[State[np.ndarray], np.ndarray]:
    """Hands before the camera, and the cost (T,) of each: what it differs from its picture and from likely hands, in units of sigma."""
    states, costs = [], []
    numbers = np.arange(len(joints.places))
    for start in range(0, len(numbers), PART):
        state, cost = _solve(chain, joints[numbers[start : start + PART]])
        states.append(state)
        costs.append(cost)
    return join_fields(states), np.concatenate(costs)


def picture_terms(chain: Chain[np.ndarray], joints: PictureJoints) -> list[Term[np.ndarray]]:
    """What is known of hands in pictures."""
    size = hand_sizes(joints)[:, None]
    scale = joints.seen / (PLACE_SIGMA * size)  # (T, 21)
    ratio, scale_depth = np.zeros_like(scale), np.zeros_like(scale)
    if joints.depth is not None:
        depth = np.nan_to_num(joints.depth)
        ratio = (1 + depth) / (1 + depth[:, 9:10]) - 1
        scale_depth = joints.seen * joints.seen[:, 9:10] / (DEPTH_SIGMA * size)
    measured = np.concatenate((joints.places, ratio[..., None]), axis=-1)
    measured = np.where(joints.seen[..., None], measured, 0)
    shape = np.zeros(10, chain.bones.dtype) if joints.shape is None else joints.shape
    mean = np.concatenate((relaxed_angles(chain, 1), shape[None]), axis=1)
    sigma = np.full_like(mean[0], ANGLE_SIGMA)
    sigma[0:20:4] = ABDUCTION_SIGMA
    sigma[20:] = SHAPE_SIGMA if joints.shape is None else KNOWN_SHAPE_SIGMA
    widest = np.tile(np.array([[-LARGEST_SHAPE, LARGEST_SHAPE]], chain.limits.dtype), (10, 1))
    limits = np.concatenate((chain.limits, widest))
    terms: list[Term[np.ndarray]] = [
        PictureTerm(measured, np.stack((scale, scale, scale_depth), axis=-1), HUBER),
        InnerPrior(mean, sigma**-2),
        SoftLimits(limits[:, 0], limits[:, 1], np.full_like(sigma, LIMIT_SIGMA**-2)),
    ]
    if joints.length is not None:
        length = np.full_like(size[:, 0], joints.length)
        terms.append(LengthTerm(chain, length, LENGTH_SIGMA**-2))
    return terms


def hand_sizes(joints: PictureJoints) -> np.ndarray:
    """(T,) how large each hand is in its picture: the root mean square distance of its joints from their middle."""
    weight = _shares(joints)[..., None]
    places = np.where(joints.seen[..., None], joints.places, 0)
    middle = (weight * places).sum(1, keepdims=True)
    return np.sqrt((weight * np.square(places - middle)).sum((1, 2))).clip(1e-6)


def picture_distances(chain: Chain[np.ndarray], state: State[np.ndarray], joints: PictureJoints) -> np.ndarray:
    """(T, 21) how far each joint lies beside the one in the picture, metres at the hand's distance; NaN where none is seen."""
    found = pose_hands(chain, state).joints
    off = np.linalg.norm(found[..., :2] / found[..., 2:] - joints.places, axis=-1) * found[..., 2]
    return np.where(joints.seen, off, np.nan)


def _solve(chain: Chain[np.ndarray], joints: PictureJoints) -> tuple[State[np.ndarray], np.ndarray]:
    count = len(joints.places)
    start = _starts(chain, joints)  # of each frame STARTS, one after the other
    frames = np.arange(count).repeat(STARTS)
    found, cost = minimise(chain, picture_terms(chain, joints[frames]), start, STEPS)
    cost = np.where(np.isfinite(cost), cost, np.inf)[:, 0]
    best = cost.reshape(count, STARTS).argmin(1) + STARTS * np.arange(count)
    return map_fields(found, lambda value: value[best]), cost[best]


def _starts(chain: Chain[np.ndarray], joints: PictureJoints) -> State[np.ndarray]:
    """The `STARTS` of each frame that lie on its picture best: seen from all around, turned and scaled onto it."""
    angles = relaxed_angles(chain, len(BENDS))
    for row, bend in zip(angles, BENDS, strict=True):
        row[[4 * f + k for f in range(5) for k in (1, 2, 3)]] = bend
        row[0:4] *= 0.5  # the thumb bends less
    fingers = joints_and_derivatives(chain, angles, np.zeros_like(angles[:, :10]))[0].reshape(-1, 20, 3)
    hands = np.concatenate((np.zeros_like(fingers[:, :1]), fingers), axis=1)  # (P, 21, 3)
    views = _views(hands)  # (V, 3, 3)
    turned = (hands[:, None] @ views.swapaxes(-1, -2)).reshape(-1, 21, 3)  # (PV, 21, 3)
    weight = _shares(joints)[:, None]  # (T, 1, 21)
    places = np.where(joints.seen[..., None], joints.places, 0)

    def centred(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle = (weight[..., None] * points).sum(-2, keepdims=True)
        return points - middle, middle[..., 0, :]

    seen, seen_middle = centred(places[:, None])  # (T, 1, 21, 2)
    own, own_middle = centred(np.broadcast_to(turned, (len(places), *turned.shape)))  # (T, PV, 21, 3)
    share = weight[..., None]
    spread = (share * np.square(own[..., :2])).sum((-2, -1)).clip(1e-9)
    along = (share * own[..., :2] * seen).sum((-2, -1))
    across = (share[..., 0] * (own[..., 0] * seen[..., 1] - own[..., 1] * seen[..., 0])).sum(-1)
    scale = np.hypot(along, across) / spread  # 1 / distance
    off = (share * np.square(seen)).sum((-2, -1)) - np.square(scale) * spread
    if joints.depth is not None:
        depth = np.where(joints.seen, np.nan_to_num(joints.depth), 0)[:, None]
        depth = depth - (weight * depth).sum(-1, keepdims=True)
        error = (weight * np.square(scale[..., None] * own[..., 2] - depth)).sum(-1)
        off = off + DEPTH_SHARE * error
    best = np.argsort(off, axis=1, kind="stable")[:, :STARTS]  # (T, STARTS)
    turn = np.take_along_axis(np.arctan2(across, along), best, axis=1)
    zero, cosine, sine = np.zeros_like(turn), np.cos(turn), np.sin(turn)
    rows = (cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1)
    about = np.stack(rows, axis=-1).reshape(*turn.shape, 3, 3)
    orientation = about @ views[best % len(views)]
    distance = 1 / np.take_along_axis(scale, best, axis=1).clip(1e-4)
    middle = np.take_along_axis(own_middle, best[..., None], axis=1)
    seen_there = np.broadcast_to(seen_middle, (len(places), STARTS, 2))
    there = np.concatenate((seen_there, np.ones_like(turn[..., None])), axis=-1)
    # The hand's middle goes where the picture has it; seen aside of the axis, the view turns with the ray.
    ray = ray_to_rotmat(there.reshape(-1, 3)).reshape(*turn.shape, 3, 3)
    orientation = ray @ orientation
    shift = there * distance[..., None] - (ray @ about @ middle[..., None])[..., 0]
    inner = np.concatenate((angles, np.zeros_like(angles[:, :10])), axis=1)[best // len(views)]
    return State(orientation.reshape(-1, 3, 3), shift.reshape(-1, 3), inner.reshape(-1, 30))


def _shares(joints: PictureJoints) -> np.ndarray:
    """(T, 21) equal weights of those seen, which sum to 1."""
    seen = joints.seen.astype(joints.places.dtype)
    return seen / seen.sum(1, keepdims=True).clip(1)


def _views(reference: np.ndarray) -> np.ndarray:
    """Rotations (26, 3, 3) that turn the hand so that it is seen from the sides, edges and corners of a cube."""
    grid = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)), reference.dtype)
    return ray_to_rotmat(unit(grid[np.abs(grid).sum(1) > 0])).swapaxes(-1, -2)
