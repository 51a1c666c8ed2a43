"""Joints that are grossly misplaced: found by a robust fit, left out, and put where the hand model has them."""

from __future__ import annotations

import numpy as np

from phalanx.core.records import map_fields
from phalanx.fit.chain import Chain
from phalanx.fit.joints import known_joints, solve_joints
from phalanx.fit.missing import misplaced_joints
from phalanx.fit.state import State, pose_hands

HUBER = 2.5
"""Joints farther off than this many sigma pull no harder."""

OUTLIER = 0.025
"""A joint this far from where the fitted model has it is misplaced, metres; skeletons and noise differ by less."""

ROUNDS = 2
"""Fits of a frame in which joints are found to be misplaced, or not to be so after all."""

PART = 256
"""Hands whose joints are computed at a time."""


def solve_robustly(
    chain: Chain[np.ndarray],
    rest_joints: np.ndarray,
    joints: np.ndarray,
    seen: np.ndarray,
    sigma: float = 0.002,
    shape: np.ndarray | None = None,
) -> tuple[State[np.ndarray], np.ndarray]:
    """Hands in the pose of known joints, of which some may be anywhere.

    Args:
        chain: of the hand model.
        rest_joints: (21, 3) of the hand model.
        joints: (T, 21, 3) metres.
        seen: (T, 21) which of them there are; others may be NaN.
        sigma: how far good joints may be off, metres.
        shape: (10,), where known.

    Returns:
        the unknowns of each hand, and which joints (T, 21) are misplaced; these did not count.
    """

    def solve(frames: np.ndarray, used: np.ndarray) -> State[np.ndarray]:
        spread = np.where(used[frames], sigma, np.inf)
        return solve_joints(chain, known_joints(chain, joints[frames], spread, shape), huber=HUBER)

    everything = np.arange(len(joints))
    outliers = misplaced_joints(rest_joints, joints, seen)
    state = solve(everything, seen & ~outliers)
    for _ in range(ROUNDS):
        found = seen & (distances(chain, state, joints) > OUTLIER)
        changed = np.flatnonzero((found != outliers).any(1))
        if not len(changed):
            break
        outliers = found
        state = replaced(state, changed, solve(changed, seen & ~outliers))
    return state, outliers


def distances(chain: Chain[np.ndarray], state: State[np.ndarray], joints: np.ndarray) -> np.ndarray:
    """(T, 21) metres between the joints of posed hands and others; NaN where there are none."""
    off: np.ndarray = np.linalg.norm(joints_of(chain, state) - joints, axis=-1)
    return off


def joints_of(chain: Chain[np.ndarray], state: State[np.ndarray]) -> np.ndarray:
    """(T, 21, 3) of posed hands, metres."""
    starts = range(0, max(len(state.inner), 1), PART)
    parts = [map_fields(state, lambda value: value[start : start + PART]) for start in starts]  # noqa: B023
    return np.concatenate([pose_hands(chain, part).joints for part in parts])


def replaced(state: State[np.ndarray], frames: np.ndarray, by: State[np.ndarray]) -> State[np.ndarray]:
    """`state` with those of `frames` (n,) replaced."""

    def with_new(values: np.ndarray, new: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[frames] = new
        return values

    return State(
        with_new(state.orientation, by.orientation),
        with_new(state.translation, by.translation),
        with_new(state.inner, by.inner),
    )
