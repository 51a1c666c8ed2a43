"""Recordings: hands fitted frame by frame that then follow their neighbours, so that angles do not jump from one branch to another.

Joints alone leave some angles open: a finger that is bent by a right angle at its base turns about itself when it is spread. Fitted
by itself, each frame takes one solution or another. So frames whose angles change more than their joints do, and frames that lack
joints, are fitted again from their own angles and those of both neighbours, with the neighbours as prior, and keep the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.records import join_fields, map_fields
from phalanx.fit.chain import Chain, numpy_chain_of
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import (
    BATCH,
    joint_terms,
    known_config,
    known_joints,
    pose_of_state,
    solve_joints,
    within_limits,
)
from phalanx.fit.missing import LEAST
from phalanx.fit.outliers import HUBER, OUTLIER, replaced, solve_robustly
from phalanx.fit.pictures import PictureJoints, picture_distances, picture_terms, solve_pictures
from phalanx.fit.solver import Term, minimise
from phalanx.fit.state import State
from phalanx.fit.terms import InnerPrior
from phalanx.geometry.alignment import rigid_align
from phalanx.hand.angles import ANGLE_NAMES
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.pose import HandPose

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

STILL = math.radians(3)
"""How much an angle changes between frames whose joints do not move (sigma), radians."""
MOVING = math.radians(1.5) * 1e3
"""How much more where they do, radians for each metre of the largest movement."""
SUDDEN = math.radians(8), math.radians(1.0) * 1e3
"""Changes beyond the first, and the second for each metre of movement, are looked at again, radians."""
APART = 0.04
"""Frames between which a joint moves farther than this say nothing about each other, metres."""

SWEEPS = 5
FOLLOWING = 2
"""Sweeps in which frames that lack joints follow their neighbours."""
STEPS = 3
"""Levenberg-Marquardt steps of a frame in a sweep."""
REACH = 2
"""So many frames on either side of a sudden change are looked at again but in the first sweep, that it may become gradual."""

JUMP, AT_REST = math.radians(30), 0.010
"""A jump is a change of an angle beyond this, radians, between frames whose joints move less than that, metres."""

Terms = Callable[[np.ndarray], list[Term[np.ndarray]]]
"""The terms of the frames of these numbers (n,)."""

Lend = Callable[[State[np.ndarray], State[np.ndarray]], State[np.ndarray]]
"""A start for frames, from their own states and those of neighbours."""


@dataclass(frozen=True)
class Jump:
    """An angle that changes though the hand does not."""

    frame: int  # the second of the two
    angle: str  # one of `ANGLE_NAMES`
    change: float  # radians
    movement: float  # metres, largest of a joint


@dataclass
class RecordingFit:
    """Hands in T frames."""

    pose: HandPose[np.ndarray]
    outliers: np.ndarray  # (T, 21) joints that were misplaced and did not count


def fit_recording(
    model: HandModel | PlainHand,
    joints: np.ndarray,
    seen: np.ndarray | None = None,
    one_hand: bool = False,
    sigma: float = 0.002,
) -> RecordingFit:
    """Pose the hand model on joints of frames that follow each other: angles do not jump where joints do not.

    Args:
        model: the hand.
        joints: (T, 21, 3) metres of a right hand, any frame; NaN where there is none.
        seen: (T, 21) which joints count; None: all that are not NaN. Each frame should have `missing.LEAST` of them.
        one_hand: all frames share one shape, the mean of what each finds by itself.
        sigma: how far good joints may be off, metres; see `fit_joints`.

    Returns:
        poses in the frame of `joints`, no angle beyond its limits; and misplaced joints (`outliers.OUTLIER`).
    """
    chain = numpy_chain_of(model)
    joints = joints.astype(chain.bones.dtype, copy=False)
    there = np.isfinite(joints).all(-1)
    there = there if seen is None else there & seen
    with np.errstate(all="ignore"):
        state, outliers = solve_robustly(chain, plain_hand(model).rest_joints, joints, there, sigma)
        evidence = known_joints(chain, joints, np.where(there & ~outliers, sigma, np.inf))
        if one_hand:
            evidence.shape = np.broadcast_to(state.shape.mean(0), (len(joints), 10))
            state = solve_joints(chain, evidence, huber=HUBER)
        return RecordingFit(pose_of_state(chain, _follow(chain, evidence, state)), outliers)


def _follow(chain: Chain[np.ndarray], evidence: Evidence[np.ndarray], state: State[np.ndarray]) -> State[np.ndarray]:
    assert evidence.joints is not None and evidence.sigma_joints is not None
    config, seen = known_config(huber=HUBER), np.isfinite(evidence.sigma_joints)

    def terms(frames: np.ndarray) -> list[Term[np.ndarray]]:
        return joint_terms(chain, evidence.map(lambda value: value[frames]), config)

    settled = settle(chain, terms, state, movements(evidence.joints, seen), ~seen.all(1), _lend_angles)
    return within_limits(chain, settled, evidence.shape)


def fit_picture_recording(model: HandModel | PlainHand, joints: PictureJoints, one_hand: bool = False) -> RecordingFit:
    """Pose the hand model on joints in pictures of frames that follow each other; size and distance come from the prior.

    `one_hand`: all frames share one shape, the mean of what each finds by itself.

    Returns:
        poses before the camera, no angle beyond its limits; and joints that are misplaced by `outliers.OUTLIER` at the hand's distance.
    """
    chain = numpy_chain_of(model)
    with np.errstate(all="ignore"):
        state, _ = solve_pictures(chain, joints)
        outliers = picture_distances(chain, state, joints) > OUTLIER
        joints = replace(joints, seen=joints.seen & ~outliers)
        if outliers.any():
            wrong = np.flatnonzero(outliers.any(1))
            state = replaced(state, wrong, solve_pictures(chain, joints[wrong])[0])
        if one_hand:
            joints = replace(joints, shape=state.shape.mean(0))
        flat = joints.places * state.translation[:, None, 2:]  # metres at the hand's distance
        flat = np.concatenate((np.where(joints.seen[..., None], flat, 0), np.zeros_like(flat[..., :1])), axis=-1)
        always = np.ones_like(joints.seen[:, 0])
        moved = movements(flat, joints.seen)
        settled = settle(chain, lambda frames: picture_terms(chain, joints[frames]), state, moved, always, _lend_all)
        shape = None if joints.shape is None else np.broadcast_to(joints.shape, settled.shape.shape)
        return RecordingFit(pose_of_state(chain, within_limits(chain, settled, shape)), outliers)


def movements(joints: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Largest movement (T - 1,) of a joint from each frame to the next, the hand's as a whole left out; metres.

    Args:
        joints: (T, 21, 3).
        seen: (T, 21) which of them count; frames that have fewer than `LEAST` of them in common are infinitely far apart.
    """
    both = np.ones_like(joints[1:, :, 0]) if seen is None else (seen[1:] & seen[:-1]).astype(joints.dtype)
    enough = both.sum(1) >= LEAST
    before = rigid_align(joints[:-1], joints[1:], np.where(enough[:, None], both, 1))
    moved = (np.linalg.norm(before - joints[1:], axis=-1) * both).max(1)
    return np.where(enough, moved, np.inf)


def settle(
    chain: Chain[np.ndarray],
    terms: Terms,
    state: State[np.ndarray],
    movement: np.ndarray,
    unsure: np.ndarray,
    lend: Lend,
) -> State[np.ndarray]:
    """Frames that follow their neighbours where their joints do.

    Args:
        terms: what is known of frames, without their neighbours.
        state: of T frames, each by itself.
        movement: (T - 1,) see `movements`.
        unsure: (T,) frames that follow their neighbours in any case.
        lend: what frames take over from neighbours to start from.
    """
    count = len(state.inner)
    weight = np.where(movement < APART, (STILL + MOVING * movement) ** -2, 0)  # 1 / sigma^2 of each link
    weight = weight.astype(state.inner.dtype, copy=False)
    before, after = np.pad(weight, (1, 0)), np.pad(weight, (0, 1))
    for sweep in range(SWEEPS):
        chosen = _beside(_sudden(state.angles, movement), count, REACH if sweep else 0)
        if sweep < FOLLOWING:
            chosen = chosen | unsure
        for parity in (0, 1):
            frames = np.flatnonzero(chosen)
            frames = frames[frames % 2 == parity]
            for start in range(0, len(frames), BATCH // 3):
                part = frames[start : start + BATCH // 3]
                better = _between(chain, terms, state, part, before[part], after[part], lend)
                state = replaced(state, part, better)
    return state


def find_jumps(angles: np.ndarray, movement: np.ndarray) -> list[Jump]:
    """Where anatomical angles (T, 23) jump; `movement` (T - 1,) as `movements` gives it."""
    change = np.abs(np.diff(angles, axis=0))
    found = np.argwhere((change > JUMP) & (movement < AT_REST)[:, None]).tolist()
    return [Jump(t + 1, ANGLE_NAMES[k], float(change[t, k]), float(movement[t])) for t, k in found]


def _sudden(angles: np.ndarray, movement: np.ndarray) -> np.ndarray:
    """(T - 1,) whether an angle changes more than the joints' movement lets expect."""
    change = np.abs(np.diff(angles, axis=0)).max(1)
    sudden: np.ndarray = (change > SUDDEN[0] + SUDDEN[1] * movement) & (movement < APART)
    return sudden


def _beside(links: np.ndarray, count: int, reach: int) -> np.ndarray:
    """(T,) frames at most `reach` away from the two that each of `links` (T - 1,) joins."""
    frames = np.zeros(count, bool)
    frames[1:] |= links
    frames[:-1] |= links
    for _ in range(reach):
        frames[1:], frames[:-1] = frames[1:] | frames[:-1], frames[:-1] | frames[1:]
    return frames


def _between(
    chain: Chain[np.ndarray],
    terms: Terms,
    state: State[np.ndarray],
    frames: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    lend: Lend,
) -> State[np.ndarray]:
    """The best of `frames` (n,) with their neighbours as prior: from their own state, and from what each neighbour lends.

    `before` and `after` (n,) are the weights of the two neighbours.
    """
    own, *beside = (_frames(state, near.clip(0, len(state.inner) - 1)) for near in (frames, frames - 1, frames + 1))
    total = (before + after)[:, None]
    mean = before[:, None] * beside[0].inner + after[:, None] * beside[1].inner
    stiff = np.zeros_like(mean)
    stiff[:, :20] = total
    neighbours = InnerPrior(np.tile(mean / total.clip(1e-9), (3, 1)), np.tile(stiff, (3, 1)))
    starts = join_fields([own, *(lend(own, other) for other in beside)])
    found, cost = minimise(chain, [*terms(np.tile(frames, 3)), neighbours], starts, STEPS)
    best = cost.reshape(3, -1).argmin(0) * len(frames) + np.arange(len(frames))
    return _frames(found, best)


def _frames(state: State[np.ndarray], numbers: np.ndarray) -> State[np.ndarray]:
    return map_fields(state, lambda value: value[numbers])


def _lend_angles(own: State[np.ndarray], other: State[np.ndarray]) -> State[np.ndarray]:
    """For joints in 3D, which say how the palm lies."""
    return replace(own, inner=np.concatenate((other.angles, own.shape), axis=1))


def _lend_all(own: State[np.ndarray], other: State[np.ndarray]) -> State[np.ndarray]:
    """For pictures, in which palms may lie this way or that."""
    return replace(_lend_angles(own, other), orientation=other.orientation)
