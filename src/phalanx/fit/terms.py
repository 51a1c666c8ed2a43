"""What a fit of the hand model weighs: measurements and priors, a class each, in units of sigma. For NumPy and PyTorch.

Each class adds its share to the normal equations of B hands (`fit.solver.Term`). What a new kind of measurement needs is a class
here and a line in `fit.joints` that makes it of the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np

from phalanx.core.arrays import Array, like, namespace
from phalanx.fit.chain import Chain, hand_length
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.fit.solver import NormalEquations
from phalanx.fit.state import INNER, SHAPE, TURN, PosedHands
from phalanx.geometry.turns import cross_generators

NEAREST = 0.02
"""Joints nearer to the camera than this count as so far away, metres: a picture of what lies behind the camera has no meaning."""

ROOT = slice(DEPTH_ROOT, DEPTH_ROOT + 1)


@dataclass(frozen=True)
class PictureTerm(Generic[Array]):
    """Joints in a picture, and their depth relative to the root's."""

    measured: Array  # (B, 21, 3) x / z, y / z, and z / z_root - 1
    scale: Array  # (B, 21, 3) 1 / sigma of these; 0 leaves one out
    huber: float
    """Joints farther off than this many sigma pull no harder."""

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        xp = namespace(hands.joints)
        depth = xp.clip(hands.joints[..., 2:], NEAREST, None)  # (B, 21, 1)
        xy = hands.joints[..., :2] / depth
        root = depth[:, ROOT]
        relative = depth / root  # (B, 21, 1)
        along = hands.derivatives[:, :, 2:]  # (B, 21, 1, 36)
        by_xy = (hands.derivatives[:, :, :2] - xy[..., None] * along) / depth[..., None]
        by_depth = (along - relative[..., None] * along[:, ROOT]) / root[..., None]
        residuals = self.scale * (xp.concatenate((xy, relative - 1), axis=-1) - self.measured)
        derivatives = self.scale[..., None] * xp.concatenate((by_xy, by_depth), axis=2)
        normal.add_points(residuals, derivatives, self.huber)


@dataclass(frozen=True)
class JointsTerm(Generic[Array]):
    """Joints in 3D, in the frame of the fit."""

    joints: Array  # (B, 21, 3) metres
    sigma: Array  # (B, 21) metres; infinity leaves a joint out
    huber: float | None = None
    """Joints farther off than this many sigma pull no harder; None: they do."""

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        sigma = self.sigma[..., None]
        normal.add_points((hands.joints - self.joints) / sigma, hands.derivatives / sigma[..., None], self.huber)


@dataclass(frozen=True)
class InnerPrior(Generic[Array]):
    """Normal prior of the hinge angles and the shape."""

    mean: Array  # (B, 30)
    weight: Array  # (30,) 1 / sigma^2, sigma in radians, then in standard deviations of shape

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        off = hands.state.inner - self.mean
        pull = self.weight * off
        normal.add_unknowns(INNER, pull, self.weight, (pull * off).sum(1))


@dataclass(frozen=True)
class SoftLimits(Generic[Array]):
    """Angles and shape are pushed back from beyond their limits."""

    low: Array  # (30,)
    high: Array  # (30,)
    weight: Array  # (30,) 1 / sigma^2

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        inner = hands.state.inner
        beyond = inner - namespace(inner).clip(inner, self.low, self.high)
        push = self.weight * beyond
        normal.add_unknowns(INNER, push, self.weight * (beyond != 0), (push * beyond).sum(1))


class OrientationPrior(Generic[Array]):
    """The palm's orientation, by the chordal distance; its pull is never larger than where it is a quarter turn off.

    Args:
        mean: (B, 3, 3).
        weight: 1 / sigma^2, sigma in radians.
    """

    def __init__(self, mean: Array, weight: float) -> None:
        xp = namespace(mean)
        self.weight = weight
        self._back: Array = mean.swapaxes(-1, -2)
        # Of a rotation's elements: the sine of its angle times its axis, which is the rotation vector where it is small; and its trace.
        sine = 0.5 * cross_generators(mean).swapaxes(0, 1)
        trace = like(np.eye(3).reshape(9, 1), mean)
        self._share: Array = weight * xp.concatenate((sine, -trace), axis=1)  # (9, 4)

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        share = (self._back @ hands.state.orientation).reshape(-1, 9) @ self._share
        normal.add_unknowns(TURN, share[:, :3], self.weight, share[:, 3] + 3 * self.weight)


@dataclass(frozen=True)
class LengthTerm(Generic[Array]):
    """A hand length that is known: from the wrist joint to the tip of the straight middle finger."""

    chain: Chain[Array]
    length: Array  # (B,) metres
    weight: float  # 1 / sigma^2, sigma in metres

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """See `fit.solver.Term`."""
        length, slope = hand_length(self.chain, hands.state.shape)
        off = (length - self.length)[:, None]
        pull = self.weight * slope
        block, gradient = normal.matrix[:, SHAPE, SHAPE], normal.gradient[:, SHAPE]
        block += pull[:, :, None] * slope[:, None]
        gradient += pull * off
        normal.cost += self.weight * off * off
