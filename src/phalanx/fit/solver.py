"""Batched Levenberg-Marquardt over a list of terms. For NumPy and PyTorch.

A term says how far B posed hands are from what it knows, by adding its share to their normal equations (`Term.add_to`): another kind
of measurement is another class in `fit.terms`, and nothing here changes. Each step solves the normal equations, damped by their
diagonal (Marquardt 1963), for all hands at once; a hand whose cost rose goes back and is damped more. At batch 1 the time goes
into the number of array operations, so there are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol

from phalanx.core.arrays import Array, diagonal, lengths, namespace, solve_positive, zeros
from phalanx.fit.chain import Chain
from phalanx.fit.state import UNKNOWNS, PosedHands, State, pose_hands

FIRST_DAMPING = 1e-2
EASIER, HARDER = 0.2, 8.0
"""Factors on the damping after a step that lowered the cost, and after one that did not."""
LONGEST = 1.0
"""Most that one unknown changes in a step: radians, metres, standard deviations."""


class NormalEquations(Generic[Array]):
    """Sum of squared residuals r of B hands about a state, which terms add to in place.

    Attributes:
        cost: (B, 1) r . r, residuals being in units of sigma.
        gradient: (B, 36) J^T r, which is half the cost's.
        matrix: (B, 36, 36) J^T J.
        diagonal: (B, 36) of `matrix`, a view of it.
        product: (B, 37, 37) what holds matrix and gradient.
    """

    def __init__(self, batch: int, reference: Array) -> None:
        side = UNKNOWNS + 1
        self.product: Array = zeros((batch, side, side), reference)
        self.matrix: Array = self.product[:, :UNKNOWNS, :UNKNOWNS]
        self.gradient: Array = self.product[:, :UNKNOWNS, UNKNOWNS]
        self.diagonal: Array = diagonal(self.matrix, 1, 2)
        self.cost: Array = zeros((batch, 1), reference)

    def add_points(self, residuals: Array, derivatives: Array, huber: float | None = None) -> None:
        """Add points that were measured.

        Args:
            residuals: (B, N, D) in units of sigma, of N points with D coordinates.
            derivatives: (B, N, D, 36) of the residuals by the unknowns.
            huber: points farther off than this pull no harder (Huber 1964, by reweighting); None: they do.
        """
        xp = namespace(residuals)
        rows = xp.concatenate((derivatives, residuals[..., None]), axis=-1)
        if huber is None:
            self.cost += xp.square(residuals).sum((1, 2))[:, None]
        else:
            size = lengths(residuals)  # (B, N, 1)
            weight = huber / xp.clip(size, huber, None)  # 1 within, huber / size beyond
            self.cost += (weight * (2 - weight) * size * size).sum(1)
            rows = rows * xp.sqrt(weight)[..., None]
        rows = rows.reshape(len(rows), -1, UNKNOWNS + 1)
        self.product += rows.swapaxes(1, 2) @ rows

    def add_unknowns(self, which: slice, pull: Array, stiffness: Array | float, cost: Array) -> None:
        """Add what depends on each of the unknowns `which` by itself.

        Args:
            pull: (B, n) share of the gradient.
            stiffness: (B, n), (n,) or one number, share of the diagonal.
            cost: (B,) share of the cost.
        """
        gradient, stiff = self.gradient[:, which], self.diagonal[:, which]
        gradient += pull
        stiff += stiffness
        self.cost += cost[:, None]


class Term(Protocol[Array]):
    """One thing that hands should agree with: a measurement or a prior."""

    def add_to(self, normal: NormalEquations[Array], hands: PosedHands[Array]) -> None:
        """Add the term's share of cost, gradient and matrix at the state of `hands`."""


def normal_equations(chain: Chain[Array], terms: Sequence[Term[Array]], state: State[Array]) -> NormalEquations[Array]:
    """Those of all terms together at a state."""
    hands = pose_hands(chain, state)
    normal = NormalEquations(len(hands.joints), hands.joints)
    for term in terms:
        term.add_to(normal, hands)
    return normal


def minimise(
    chain: Chain[Array], terms: Sequence[Term[Array]], state: State[Array], steps: int
) -> tuple[State[Array], Array]:
    """Levenberg-Marquardt from `state` down the sum of `terms`; returns the best state of each hand and its cost (B, 1)."""
    xp = namespace(state.inner)
    normal = normal_equations(chain, terms, state)
    product, cost = normal.product, normal.cost
    damping = FIRST_DAMPING * xp.ones_like(cost)
    for _ in range(steps):
        step = _damped_step(product, damping)
        tried = state.moved(step)
        normal = normal_equations(chain, terms, tried)
        better = normal.cost < cost  # (B, 1), false for NaN too
        state = tried.where(better, state)
        product = xp.where(better[..., None], normal.product, product)
        damping = xp.where(better, EASIER * damping, HARDER * damping)
        cost = xp.where(better, normal.cost, cost)
    return state, cost


def _damped_step(product: Array, damping: Array) -> Array:
    """The step (B, 36) of normal equations `product` (B, 37, 37), damped by `damping` (B, 1)."""
    xp = namespace(product)
    matrix = 1.0 * product[:, :UNKNOWNS, :UNKNOWNS]  # a copy
    stiff = diagonal(matrix, 1, 2)
    stiff += damping * stiff + 1e-6
    step = -solve_positive(matrix, product[:, :UNKNOWNS, UNKNOWNS:])[..., 0]
    return xp.clip(step, -LONGEST, LONGEST)
