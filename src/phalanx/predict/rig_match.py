"""Which of the hands that several views show is one and the same: the one that most views agree about, by triangulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from phalanx.fit.views import TOLERANCE, triangulate
from phalanx.geometry.placed import PlacedCamera
from phalanx.predict.looks import View

SLACK = 2.0
"""So many times the tolerance of a joint may a whole hand be off, in the median, where a view may have taken it for one of two."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A hand that a view shows: the estimator's view of it, and how surely it is a hand."""

    view: View
    sure: float

    @property
    def joints(self) -> np.ndarray:
        """(21, 2) pixels of the straight picture."""
        return self.view.joints

    @property
    def sigma(self) -> np.ndarray:
        """(21,) expected errors, pixels of the straight picture."""
        return self.view.sigma * self.view.look.square.side


def one_hand(
    candidates: Sequence[Sequence[Candidate]], cameras: Sequence[PlacedCamera | None]
) -> list[Candidate | None]:
    """The candidate of each view that is the hand which most of them agree about; None where a view does not show it.

    Where no two views agree, the surest of each.

    Args:
        candidates: of each of V views, the surest first.
        cameras: of the views; None where a view has no picture.
    """
    surest = [each[0] if each else None for each in candidates]
    if all(len(each) <= 1 for each in candidates):
        return surest
    seeds = [
        (i, j, a, b) for i, j in combinations(range(len(candidates)), 2) for a in candidates[i] for b in candidates[j]
    ]
    placed = [camera for camera in cameras if camera is not None]
    rows = {view: row for row, view in enumerate(v for v, camera in enumerate(cameras) if camera is not None)}
    points = np.full((len(seeds), len(placed), 21, 2), np.nan)
    for number, (i, j, a, b) in enumerate(seeds):
        points[number, rows[i]], points[number, rows[j]] = a.joints, b.joints
    found = triangulate(points, np.isfinite(points[..., 0]).astype(float), placed)
    best: tuple[float, list[Candidate | None]] = (0.0, surest)
    for number, (i, j, a, b) in enumerate(seeds):
        if np.isfinite(found.joints[number]).all(-1).mean() < 0.5:
            continue
        chosen: list[Candidate | None] = [None] * len(candidates)
        chosen[i], chosen[j] = a, b
        for view, row in rows.items():
            if view not in (i, j):
                chosen[view] = _nearest(candidates[view], placed[row].project(found.joints[number]))
        off = float(np.nanmean(found.errors[number])) / max(float(np.mean([_size(a.joints), _size(b.joints)])), 1.0)
        support = sum(each.sure for each in chosen if each is not None) - off / TOLERANCE
        if support > best[0]:
            best = support, chosen
    return best[1]


def _nearest(candidates: Sequence[Candidate], joints: np.ndarray) -> Candidate | None:
    """The candidate that is nearest to joints (21, 2), some of them NaN, if it is near enough to be the same hand."""
    near = [
        (float(np.nanmedian(np.linalg.norm(each.joints - joints, axis=1))) / _size(each.joints), each)
        for each in candidates
    ]
    near = [each for each in near if each[0] < SLACK * TOLERANCE]
    return min(near, key=lambda each: each[0])[1] if near else None


def _size(joints: np.ndarray) -> float:
    return max(float(np.ptp(joints, axis=0).max()), 1.0)
