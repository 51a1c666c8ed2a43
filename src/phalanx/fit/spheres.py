"""The hand's 41 spheres (`hand.sphere_table`) and their derivatives by the unknowns of a fit. NumPy.

Spheres stand for the skin where a fit compares a hand with a mask or a depth map: they are on average 2 mm from it, they follow from the
joints, and distances to them need no mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phalanx.fit.solver import NormalEquations
from phalanx.fit.state import UNKNOWNS, PosedHands
from phalanx.hand.skeleton import BONE_TOTAL, BONES
from phalanx.hand.sphere_table import FINGER_SPHERES, FIRST, PALM, RADII, SECOND, SPHERES

_ALONG = np.array([row[2] for row in SPHERES])
_SHIFTED = np.flatnonzero([row[3] for row in SPHERES])  # the others' derivatives have no second part
_SHIFT = np.array([SPHERES[number][3] / 1000 for number in _SHIFTED])
_START, _END = (list(side) for side in zip(*BONES, strict=True))
_FLESH = 0.004  # metres that skin gives way


def _weights() -> np.ndarray:
    shares = np.zeros((len(SPHERES), 21))
    rows = np.arange(len(SPHERES))
    shares[rows, FIRST] += 1 - _ALONG
    shares[rows, SECOND] += _ALONG
    return shares


_SHARES = _weights()


@dataclass(frozen=True)
class Spheres:
    """The spheres of B hands."""

    centres: np.ndarray  # (B, 41, 3) metres, camera frame
    radii: np.ndarray  # (B, 41) metres
    by_unknowns: np.ndarray  # (B, 41, 3, 36) of the centres
    radii_by_unknowns: np.ndarray  # (B, 41, 36)


def spheres_of(hands: PosedHands[np.ndarray]) -> Spheres:
    """Spheres as `hand.spheres.sphere_centres` and `sphere_radii` have them, with exact derivatives; computed once for all terms."""
    if "spheres" not in hands.derived:
        hands.derived["spheres"] = _spheres(hands)
    found: Spheres = hands.derived["spheres"]
    return found


def _spheres(hands: PosedHands[np.ndarray]) -> Spheres:
    joints = hands.joints
    batch, dtype = len(joints), joints.dtype
    rows = np.concatenate((joints[..., None], hands.derivatives), -1)  # (B, 21, 3, 1 + 36)
    places = (_SHARES.astype(dtype) @ rows.reshape(batch, 21, -1)).reshape(batch, -1, 3, 1 + UNKNOWNS)
    bones = rows[:, _END] - rows[:, _START]
    length = np.linalg.norm(bones[..., 0], axis=-1)  # (B, 20)
    unit = bones[..., 0] / np.maximum(length, 1e-9)[..., None]
    scale = length.sum(1) / dtype.type(BONE_TOTAL)  # (B,)
    scale_slope = (unit.reshape(batch, 1, 60) @ bones[..., 1:].reshape(batch, 60, UNKNOWNS))[:, 0] / dtype.type(
        BONE_TOTAL
    )
    # Towards the palm's side: square to the bone and to the line of the knuckles.
    knuckles = (rows[:, 5] - rows[:, 17])[:, None]  # (B, 1, 3, 37)
    across = rows[:, np.array(SECOND)[_SHIFTED]] - rows[:, np.array(FIRST)[_SHIFTED]]
    first, second = knuckles[..., 0], across[..., 0]
    normal = np.cross(first, second)  # (B, N, 3)
    slope = _cross(knuckles[..., 1:], second[..., None]) + _cross(first[..., None], across[..., 1:])
    size = np.maximum(np.linalg.norm(normal, axis=-1), 1e-9)[..., None]
    palmar = normal / size
    slope = slope / size[..., None]
    slope -= palmar[..., None] * (palmar[..., None] * slope).sum(2, keepdims=True)
    shift = _SHIFT.astype(dtype)[:, None]
    centres, slopes = places[..., 0], places[..., 1:]  # views
    centres[:, _SHIFTED] += shift * scale[:, None, None] * palmar
    turned = scale[:, None, None, None] * slope + palmar[..., None] * scale_slope[:, None, None]
    slopes[:, _SHIFTED] += shift[..., None] * turned
    radii = np.array(RADII, dtype)
    return Spheres(centres, scale[:, None] * radii, slopes, radii[:, None] * scale_slope[:, None])


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products along the third axis of (B, N, 3, K)."""
    return np.stack(
        [a[:, :, (k + 1) % 3] * b[:, :, (k + 2) % 3] - a[:, :, (k + 2) % 3] * b[:, :, (k + 1) % 3] for k in range(3)], 2
    )


def _pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fingers = [finger[2:] for finger in FINGER_SPHERES]  # bases touch in every pose
    found = [(a, b) for i in range(5) for j in range(i) for a in fingers[i] for b in fingers[j]]
    found += [(a, b) for finger in FINGER_SPHERES for a in finger[4:] for b in PALM]
    first, second = np.array(found).T
    return first, second, np.array(RADII)[first] + np.array(RADII)[second] - _FLESH


_FIRST_OF_PAIR, _SECOND_OF_PAIR, _APART = _pairs()


@dataclass(frozen=True)
class CollisionTerm:
    """Spheres of two fingers, and of finger tips and the palm, do not overlap deeper than flesh gives way (4 mm).

    Only the deepest overlaps are weighed, as many as `most` a hand.
    """

    weight: float  # 1 / sigma^2, sigma in metres
    most: int = 12

    def add_to(self, normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> None:
        """See `fit.solver.Term`."""
        spheres = spheres_of(hands)
        dtype = spheres.centres.dtype
        apart = spheres.centres[:, _FIRST_OF_PAIR] - spheres.centres[:, _SECOND_OF_PAIR]
        distance = np.sqrt(np.square(apart).sum(-1))
        depth = (
            _APART.astype(dtype) - distance
        )  # radii of the mean shape: a hand's own differ by less than flesh gives way
        if not (depth > 0).any():
            return
        chosen = np.argsort(-depth, axis=1)[:, : self.most]
        rows = np.arange(len(depth))[:, None]
        deep = np.maximum(depth[rows, chosen], 0)
        away = apart[rows, chosen] / np.maximum(distance[rows, chosen], 1e-9)[..., None]
        moved = spheres.by_unknowns[rows, _FIRST_OF_PAIR[chosen]] - spheres.by_unknowns[rows, _SECOND_OF_PAIR[chosen]]
        slope = -(away[..., None] * moved).sum(2) * (deep > 0)[..., None]
        root = dtype.type(np.sqrt(self.weight))
        normal.add_points((root * deep)[..., None], (root * slope)[:, :, None])
