"""Things in hands: a model takes the place of the solid that a grasp was planned for, where one fits and the hand is not in its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID, Solids, signed_distance
from phalanx.synth.things.models import Things
from phalanx.synth.things.paint import Placed, draw_tints

SHARE = 0.8
"""How many of the hands that could hold a model do; others keep their solid."""
SUNK = 0.004
"""Metres that a hand may be inside what it holds, beyond how far it is inside the solid that its grasp was planned for."""
_TRIES = 8  # things, and ways to turn them, before a hand keeps its solid
_STRETCH = (0.62, 1.55)  # things may be as much smaller or larger than the model
_SKEW = 1.5  # by how much more along one axis than along another
_ALIKE = {
    CAPSULE: (CAPSULE, CYLINDER),
    CYLINDER: (CYLINDER, CUP, CAPSULE),
    CUP: (CUP, CYLINDER),
    BOX: (BOX,),
    ELLIPSOID: (ELLIPSOID,),
}


@dataclass
class Held:
    """What H of the hands of a chunk hold in place of solids.

    Attributes:
        hands: (H,) their numbers.
        thing: (H,) numbers in the bank.
        matrix, shift: (H, 3, 3), (H, 3) from the thing's frame to the hand's.
        tint: (H, 3, 4).
    """

    hands: np.ndarray
    thing: np.ndarray
    matrix: np.ndarray
    shift: np.ndarray
    tint: np.ndarray

    def placed(self, orientation: Tensor, translation: Tensor) -> Placed:
        """In the cameras' frames, for hands of these poses (B, 3, 3) and (B, 3): one picture a hand."""
        rows = torch.from_numpy(self.hands)
        turn, move = orientation[rows].cpu().double(), translation[rows].cpu().double()
        shift = (turn @ torch.from_numpy(self.shift)[..., None])[..., 0] + move
        return Placed(
            torch.from_numpy(self.thing), rows, turn @ torch.from_numpy(self.matrix), shift, torch.from_numpy(self.tint)
        )


def hold_things(generator: np.random.Generator, solids: Solids, vertices: Tensor, things: Things) -> Held:
    """Choose things for hands that hold solids.

    A thing is stretched until the solid that hands take it by is the one that the grasp was planned for, so that fingers lie on it as
    they lie on that. What else there is of it must not run through the hand.

    Args:
        generator: of the chunk's things.
        solids: (B, 1) what each hand holds, in the hand's frame.
        vertices: (B, V, 3) of the hands and forearms in the same frame.
        things: the bank.
    """
    kinds, halves = solids.kind[:, 0].cpu().numpy(), solids.half[:, 0].cpu().double().numpy()
    chosen: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
    vertices = vertices.cpu().float()
    deepest = -signed_distance(solids.to("cpu"), vertices)[:, 0].amin(1).numpy()
    for hand, kind in enumerate(kinds.tolist()):
        draws = generator.random((_TRIES, 4))
        if draws[0, 3] > SHARE or kind < 0:
            continue
        alike = np.flatnonzero(np.isin(things.kind[:, 0], _ALIKE[kind]))
        fits = []
        for order in _orders(kind):
            scales, good = _scales(kind, halves[hand], things.half[alike, 0], order)
            fits += [(int(alike[i]), order, scales[i]) for i in np.flatnonzero(good)]
        if not fits:
            continue
        rotation, centre = (
            solids.rotation[hand, 0].cpu().double().numpy(),
            solids.centre[hand, 0].cpu().double().numpy(),
        )
        for draw in draws:
            thing, order, scale = fits[int(draw[0] * len(fits))]
            turn = rotation @ _free_turn(kind, draw[1]) @ order
            own = things.rotation[thing, 0]
            if _clear(turn, scale, centre, things, thing, vertices[hand], max(SUNK, deepest[hand] + 0.001)):
                matrix = turn @ np.diag(scale) @ own.T
                chosen[hand] = (int(thing), matrix, centre - matrix @ things.centre[thing, 0])
                break
    hands = np.array(sorted(chosen), np.int64)
    tint = draw_tints(generator, len(kinds))[hands]
    found = [chosen[hand] for hand in hands.tolist()]
    return Held(
        hands,
        np.array([thing for thing, _, _ in found], np.int64),
        np.stack([matrix for _, matrix, _ in found]) if found else np.zeros((0, 3, 3)),
        np.stack([shift for _, _, shift in found]) if found else np.zeros((0, 3)),
        tint,
    )


def _orders(kind: int) -> list[np.ndarray]:
    """Rotations that exchange the axes of a thing's solid, and turn it end for end."""
    end = np.diag([1.0, -1.0, -1.0])
    if kind not in (BOX, ELLIPSOID):
        return [np.eye(3), end]
    cycle = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    swap = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    proper = [np.linalg.matrix_power(cycle, i) @ np.linalg.matrix_power(swap, j) for i in range(3) for j in range(2)]
    return [order @ flip for order in proper for flip in (np.eye(3), end)]


def _scales(kind: int, wanted: np.ndarray, half: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much (T, 3) solids of half sizes (T, 3) must grow along their own axes to become the one wanted, and whether (T,) they may."""
    own = np.abs(order.T) @ wanted
    scale = own / np.maximum(half, 1e-6)
    if kind not in (BOX, ELLIPSOID):
        scale[:, 1] = scale[:, 0]
    thin = (half < 0.004) & (own < 0.004)  # nobody sees how thick a card is
    least = np.where(thin, np.inf, scale).min(1)
    most = np.where(thin, 0.0, scale).max(1)
    return scale, (least >= _STRETCH[0]) & (most <= _STRETCH[1]) & (most <= _SKEW * least)


def _free_turn(kind: int, draw: float) -> np.ndarray:
    """A turn that leaves a solid of this kind as it is: about its axis if it is round."""
    angle = 2 * np.pi * draw
    if kind in (BOX, ELLIPSOID):
        angle = np.pi * np.floor(2 * draw)
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _clear(
    turn: np.ndarray, scale: np.ndarray, centre: np.ndarray, things: Things, thing: int, vertices: Tensor, sunk: float
) -> bool:
    """Whether no vertex (V, 3) of the hand is deeper than `sunk` in any of the thing's solids."""
    count = int((things.kind[thing] >= 0).sum())
    own = things.rotation[thing, 0]
    away = (things.centre[thing, :count] - things.centre[thing, 0]) @ own
    turns = np.broadcast_to(turn, (count, 3, 3))
    parts = (things.half[thing, :count] * scale, turns, away * scale @ turn.T + centre)
    kind, *places = (torch.from_numpy(np.array(part))[None] for part in (things.kind[thing, :count], *parts))
    solids = Solids(kind, *(place.float() for place in places))
    return float(signed_distance(solids, vertices[None]).amin()) > -sunk
