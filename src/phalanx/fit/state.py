"""The unknowns of a fit, and hands posed by them with their derivatives. For NumPy and PyTorch.

Unknowns of a hand (36): turn of the palm (3, a rotation vector in the hand frame), translation (3), hinge angles (20), shape (10).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic

from phalanx.core.arrays import Array, diagonal, namespace, solve, zeros
from phalanx.fit.chain import Chain, joints_and_derivatives
from phalanx.geometry.turns import cross_matrix

UNKNOWNS = 36
TURN, SHIFT, ANGLES, SHAPE = slice(0, 3), slice(3, 6), slice(6, 26), slice(26, 36)
"""Where the unknowns are in a step (B, 36)."""
INNER = slice(6, 36)
"""The unknowns that are the hand's own: angles and shape."""


@dataclass
class State(Generic[Array]):
    """The unknowns of B hands."""

    orientation: Array  # (B, 3, 3) hand frame to camera
    translation: Array  # (B, 3) the wrist, metres
    inner: Array  # (B, 30) hinge angles (see `fit.chain.HINGES`), shape

    @property
    def angles(self) -> Array:
        """(B, 20) radians."""
        return self.inner[:, :20]

    @property
    def shape(self) -> Array:
        """(B, 10) standard deviations."""
        return self.inner[:, 20:]

    def moved(self, step: Array) -> State[Array]:
        """The state a step (B, 36) further."""
        return State(
            self.orientation @ small_turn(step[:, TURN]),
            self.translation + step[:, SHIFT],
            self.inner + step[:, INNER],
        )

    def where(self, chosen: Array, other: State[Array]) -> State[Array]:
        """This state where `chosen` (B, 1), `other` elsewhere."""
        where = namespace(self.inner).where
        return State(
            where(chosen[..., None], self.orientation, other.orientation),
            where(chosen, self.translation, other.translation),
            where(chosen, self.inner, other.inner),
        )


@dataclass
class PosedHands(Generic[Array]):
    """B hands in a state: what the terms of a fit look at."""

    state: State[Array]
    joints: Array  # (B, 21, 3) metres, camera frame
    derivatives: Array  # (B, 21, 3, 36) by the unknowns
    derived: dict[str, Any] = field(default_factory=dict)
    """What a term has computed of these hands and another one needs too."""


def pose_hands(chain: Chain[Array], state: State[Array]) -> PosedHands[Array]:
    """Joints in the camera frame and their derivatives by the unknowns."""
    fingers, by_angle, by_shape = joints_and_derivatives(chain, state.angles, state.shape)
    batch = len(fingers)
    # Relative to the palm; the wrist stays where it is. The last column are the joints themselves.
    local = zeros((batch, 21, 3, UNKNOWNS + 1), fingers)
    moving = local[:, 1:].reshape(batch, 5, 4, 3, UNKNOWNS + 1)  # a view
    moving[..., TURN] = cross_matrix(-fingers)  # d(w x p) / dw = -[p]x
    # Hinges move their own finger only: the blocks on the diagonal of (finger, finger), which comes last.
    blocks = moving[..., ANGLES].reshape(batch, 5, 4, 3, 5, 4)  # a view
    diagonal(blocks, 1, 4)[...] = by_angle.swapaxes(1, 2).swapaxes(2, 3).swapaxes(3, 4)  # fingers last
    moving[..., SHAPE] = by_shape
    moving[..., -1] = fingers
    turned = state.orientation[:, None] @ local  # (B, 21, 3, 37)
    diagonal(turned[..., SHIFT], 2, 3)[...] = 1
    return PosedHands(state, turned[..., -1] + state.translation[:, None], turned[..., :-1])


def small_turn(vector: Array) -> Array:
    """Rotations (B, 3, 3) that agree to second order with the rotation vectors (B, 3): Cayley's (I - A)^-1 (I + A)."""
    plus = cross_matrix(0.5 * vector)
    ones = diagonal(plus, 1, 2)
    ones += 1
    return solve(plus.swapaxes(-1, -2), plus)
