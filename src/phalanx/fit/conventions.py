"""What the numbers of keypoints mean: unit, joint order, side, mirrored axes, found by fitting what they may mean and comparing.

Anatomy tells the readings apart. A left hand taken for a right one has fingers that bend backwards; a wrong order has bones of no
hand's lengths. So every reading is fitted to a few frames, and the one with the smallest residual wins, if it is clearly smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.fit.chain import numpy_chain_of
from phalanx.fit.joints import known_joints, solve_joints
from phalanx.fit.missing import LEAST
from phalanx.fit.outliers import HUBER, distances
from phalanx.fit.pictures import PictureJoints, picture_distances, solve_pictures
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import SIDES, Side
from phalanx.hand.skeleton import ORDERS, WITHOUT_WRIST

SideChoice = Literal["left", "right", "auto"]

UNITS = {"metres": 1.0, "centimetres": 1e-2, "millimetres": 1e-3}
SIZES = 0.0125, 0.125
"""Median distance of a hand's joints from their middle, metres: a newborn's fist has 0.015, the largest open hand 0.11. One unit fits."""

FRAMES = 24
"""So many frames, evenly chosen, decide."""
PICTURES = 12
"""So many where hands are in pictures, which have less to tell and take longer."""

FITS, FITS_PICTURE = 0.006, 0.0035
"""Residuals with which a reading fits, metres: other skeletons and noise make 2 to 5 mm, other readings 6 to 30; in pictures less."""
CLEARER = 1.5
"""An order other than usual must fit so many times as well, and as all others do."""
SURE, SURE_FLAT = 1.15, 1.3
"""A side is sure where the other fits so many times worse; in pictures without depth, where both look alike from afar, more often."""
OTHER, OTHER_PICTURE = 1.3, 1.5
"""A given side is doubted where the other fits so many times as well; pictures tell sides apart less."""
HOPELESS = 0.018
"""No reading of a hand has a residual as large, metres."""
CAPPED = 0.03
"""A joint counts as no farther off than this, metres."""


@dataclass(frozen=True)
class Reading:
    """What keypoints were found to mean."""

    unit: str
    """One of `UNITS`; of a picture, "pixels" or "fractions of the picture"."""
    metres: float
    """Of one unit; 1 for a picture."""
    order: str
    """One of `ORDERS`."""
    side: Side
    residuals: dict[Side, float]
    """Metres that joints lie beside the fitted hand, for either side; of a picture, at the hand's distance."""
    sure: bool
    """Whether the side is: it was given, or the other one fits clearly worse."""
    mirrored: str | None = None
    """The axis ("x", "y" or "z") that was negated because the axes are mirror images; None if they are not."""


@dataclass(frozen=True)
class _Score:
    residual: float  # metres
    cost: float  # what is compared

    def better(self, other: _Score) -> float:
        """How many times as well as the other this one fits."""
        return other.cost / max(self.cost, 1e-9)


def read_joints(
    model: PlainHand, points: np.ndarray, seen: np.ndarray, side: SideChoice = "auto", order: str = "auto"
) -> Reading:
    """What joints in 3D mean.

    Args:
        model: the hand.
        points: (N, 21, 3) in any unit, order and axes; may be NaN where not `seen`.
        seen: (N, 21).
        side: which hand it is, where known; axes that make it the other one are then mirror images.
        order: one of `ORDERS`, where known.

    Raises:
        InputError: these are no hand's joints in any unit and order, or it is not clear which.
    """
    frames = _chosen(seen, FRAMES)
    points, seen = points[frames], seen[frames]
    unit = _unit(points, seen)
    metres = UNITS[unit] * points

    def score(name: str, hand: Side) -> _Score:
        joints, there = in_order(metres, seen, name)
        return _score_joints(model, joints * _mirror(hand), there)

    order, scores = _order(score, order, FITS)
    negated = "z" if np.nanmedian(metres[..., 2]) < -3 * SIZES[1] else "y"
    return _reading(unit, UNITS[unit], order, scores, side, negated, SURE, OTHER)


def read_picture(
    model: PlainHand,
    places: np.ndarray,
    seen: np.ndarray,
    depth: np.ndarray | None,
    unit: str,
    side: SideChoice = "auto",
    order: str = "auto",
) -> Reading:
    """What joints in a picture mean; arguments and errors as for `read_joints`.

    Args:
        places: (N, 21, 2) x / z and y / z before the camera.
        depth: (N, 21) relative to the hand's, see `PictureJoints`; or None.
        unit: what places counted in.
    """
    frames = _chosen(seen, PICTURES)

    def score(name: str, hand: Side) -> _Score:
        flat, there = in_order(places[frames], seen[frames], name)
        deep = None if depth is None else in_order(depth[frames][..., None], seen[frames], name)[0][..., 0]
        return _score_picture(model, flat * _mirror(hand)[:2], there, deep)

    order, scores = _order(score, order, FITS_PICTURE)
    return _reading(unit, 1.0, order, scores, side, "x", SURE_FLAT if depth is None else SURE, OTHER_PICTURE)


def in_order(points: np.ndarray, seen: np.ndarray, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 21, D) and whether they are seen (N, 21), in our order from another's; a joint that has none of ours is not seen."""
    numbers = list(ORDERS[order])
    points, seen = points[:, numbers], seen[:, numbers].copy()
    if order in WITHOUT_WRIST:
        seen[:, 0] = False
    return points, seen


def _mirror(side: Side) -> np.ndarray:
    return np.array([-1.0 if side == "left" else 1.0, 1, 1])


def _chosen(seen: np.ndarray, count: int) -> np.ndarray:
    """Numbers of at most `count` frames, evenly chosen among those with the most joints."""
    enough = seen.sum(1)
    best = np.flatnonzero(enough >= max(LEAST, min(15, enough.max(initial=0))))
    return best[np.unique(np.linspace(0, len(best) - 1, min(count, len(best))).round().astype(int))]


def _unit(points: np.ndarray, seen: np.ndarray) -> str:
    there = np.where(seen[..., None], points, np.nan)
    middle = np.nanmedian(there, axis=1, keepdims=True)
    size = float(np.nanmedian(np.linalg.norm(there - middle, axis=-1)))
    for unit, metres in UNITS.items():
        if SIZES[0] <= size * metres <= SIZES[1]:
            return unit
    raise InputError(
        f"joints: lie {size:.3g} from their middle, which is no hand's size in metres, centimetres or millimetres"
    )


def _order(score: Callable[[str, Side], _Score], order: str, fits: float) -> tuple[str, dict[Side, _Score]]:
    """The joint order, and how well either side fits in it."""
    if order != "auto":
        return order, {side: score(order, side) for side in SIDES}
    scores = {"phalanx": {side: score("phalanx", side) for side in SIDES}}
    if min(score.residual for score in scores["phalanx"].values()) > fits:
        scores |= {name: {side: score(name, side) for side in SIDES} for name in ORDERS if name != "phalanx"}
    ranked = sorted(scores, key=lambda name: _best(scores[name]).cost)
    best, usual = ranked[0], "phalanx"
    if best == usual or _best(scores[best]).better(_best(scores[usual])) < CLEARER:
        return usual, scores[usual]
    if _best(scores[best]).better(_best(scores[ranked[1]])) < SURE:
        raise InputError(f"joints: fit the order of {best} as well as that of {ranked[1]}; say which one it is")
    return best, scores[best]


def _best(scores: dict[Side, _Score]) -> _Score:
    return min(scores.values(), key=lambda score: score.cost)


def _reading(
    unit: str,
    metres: float,
    order: str,
    scores: dict[Side, _Score],
    side: SideChoice,
    negated: str,
    sure: float,
    doubted: float,
) -> Reading:
    residuals = {name: score.residual for name, score in scores.items()}
    both = " and ".join(f"{1e3 * residuals[name]:.1f} mm beside a {name} one" for name in SIDES)
    if min(residuals.values()) > HOPELESS:
        raise InputError(f"joints: are no hand's in any joint order that is known (in the order of {order}, {both})")
    found = min(SIDES, key=lambda name: scores[name].cost)
    if side == "auto":
        other = SIDES[1 - SIDES.index(found)]
        return Reading(unit, metres, order, found, residuals, scores[found].better(scores[other]) >= sure)
    if found == side or scores[found].better(scores[side]) < doubted:
        return Reading(unit, metres, order, side, residuals, sure=True)
    if residuals[found] > 1.5 * FITS:
        raise InputError(f"joints: do not fit a {side} hand ({both}); is it the other one, or are axes mirrored?")
    return Reading(unit, metres, order, side, {side: residuals[found], found: residuals[side]}, True, negated)


def _score_joints(model: PlainHand, joints: np.ndarray, seen: np.ndarray) -> _Score:
    chain = numpy_chain_of(model)
    there = np.where(seen[..., None], joints, np.nan)
    given = (there - np.nanmean(there, axis=1, keepdims=True)).astype(np.float32)  # which loses millimetres far away
    with np.errstate(all="ignore"):
        state = solve_joints(chain, known_joints(chain, given), huber=HUBER)
        residual = _mean(distances(chain, state, given))
    return _Score(residual, residual)


def _score_picture(model: PlainHand, places: np.ndarray, seen: np.ndarray, depth: np.ndarray | None) -> _Score:
    chain = numpy_chain_of(model)
    given = PictureJoints(places.astype(np.float32), seen, None if depth is None else depth.astype(np.float32))
    with np.errstate(all="ignore"):
        state, cost = solve_pictures(chain, given)
        residual = _mean(picture_distances(chain, state, given))
    return _Score(residual, math.sqrt(float(np.quantile(cost, 0.5, method="lower"))))


def _mean(off: np.ndarray) -> float:
    """Mean over hands of what their joints are off, (T, 21) metres, at most `CAPPED` each; NaN where nothing is known."""
    known = np.isfinite(off)
    each = np.where(known, off.clip(max=CAPPED), 0).sum(1) / known.sum(1)
    return float(np.nanmean(each))
