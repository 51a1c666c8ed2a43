"""Recordings: hands fitted frame by frame that then follow their neighbours, so that angles do not jump from one branch to another.

Joints alone leave some angles open: a finger that is bent by a right angle at its base turns about itself when it is spread. Fitted
by itself, each frame takes one solution or another. So frames whose angles change more than their joints do, and frames that lack
joints, are fitted again from their own angles and those of both neighbours, with the neighbours as prior, and keep the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.fit.chain import Chain, chain_of
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import (
    BATCH,
    joint_terms,
    known_config,
    known_joints,
    pose_of_state,
    solve_joints,
    usable,
    within_limits,
)
from phalanx.fit.missing import LEAST
from phalanx.fit.outliers import HUBER, OUTLIER, replaced, solve_robustly
from phalanx.fit.pictures import PictureJoints, picture_distances, picture_terms, solve_pictures
from phalanx.fit.solver import Term, minimise
from phalanx.fit.state import State
from phalanx.fit.terms import InnerPrior
from phalanx.geometry.alignment import rigid_align
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.model import HandModel, HandPose

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

Terms = Callable[[Tensor], list[Term[Tensor]]]
"""The terms of the frames of these numbers (n,)."""

Lend = Callable[[State[Tensor], State[Tensor]], State[Tensor]]
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

    pose: HandPose
    outliers: Tensor  # (T, 21) joints that were misplaced and did not count


def fit_recording(
    model: HandModel, joints: Tensor, seen: Tensor | None = None, one_hand: bool = False, sigma: float = 0.002
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
    chain = chain_of(model)
    with torch.inference_mode():
        joints = joints.to(chain.bones)
        there = torch.isfinite(joints).all(-1)
        there = there if seen is None else there & seen
        state, outliers = solve_robustly(chain, model.rest_joints, joints, there, sigma)
        evidence = known_joints(chain, joints, torch.where(there & ~outliers, sigma, torch.inf))
        if one_hand:
            evidence.shape = state.shape.mean(0).expand(len(joints), 10)
            state = solve_joints(chain, evidence, huber=HUBER)
        pose = pose_of_state(chain, _follow(chain, evidence, state))
    return RecordingFit(usable(pose), outliers.clone())


def _follow(chain: Chain[Tensor], evidence: Evidence, state: State[Tensor]) -> State[Tensor]:
    assert evidence.joints is not None and evidence.sigma_joints is not None
    config, seen = known_config(huber=HUBER), torch.isfinite(evidence.sigma_joints)

    def terms(frames: Tensor) -> list[Term[Tensor]]:
        return joint_terms(chain, evidence.map(lambda value: value[frames]), config)

    settled = settle(chain, terms, state, movements(evidence.joints, seen), ~seen.all(1), _lend_angles)
    return within_limits(chain, settled, evidence.shape)


def fit_picture_recording(model: HandModel, joints: PictureJoints, one_hand: bool = False) -> RecordingFit:
    """Pose the hand model on joints in pictures of frames that follow each other; size and distance come from the prior.

    `one_hand`: all frames share one shape, the mean of what each finds by itself.

    Returns:
        poses before the camera, no angle beyond its limits; and joints that are misplaced by `outliers.OUTLIER` at the hand's distance.
    """
    chain = chain_of(model)
    with torch.inference_mode():
        state, _ = solve_pictures(chain, joints)
        outliers = picture_distances(chain, state, joints) > OUTLIER
        joints = replace(joints, seen=joints.seen & ~outliers)
        if outliers.any():
            wrong = torch.nonzero(outliers.any(1))[:, 0]
            state = replaced(state, wrong, solve_pictures(chain, joints[wrong])[0])
        if one_hand:
            joints = replace(joints, shape=state.shape.mean(0))
        flat = joints.places * state.translation[:, None, 2:]  # metres at the hand's distance
        flat = torch.cat((torch.where(joints.seen[..., None], flat, 0.0), torch.zeros_like(flat[..., :1])), dim=-1)
        always = torch.ones_like(joints.seen[:, 0])
        moved = movements(flat, joints.seen)
        settled = settle(chain, lambda frames: picture_terms(chain, joints[frames]), state, moved, always, _lend_all)
        shape = None if joints.shape is None else joints.shape.expand_as(settled.shape)
        pose = pose_of_state(chain, within_limits(chain, settled, shape))
    return RecordingFit(usable(pose), outliers.clone())


def movements(joints: Tensor, seen: Tensor | None = None) -> Tensor:
    """Largest movement (T - 1,) of a joint from each frame to the next, the hand's as a whole left out; metres.

    Args:
        joints: (T, 21, 3).
        seen: (T, 21) which of them count; frames that have fewer than `LEAST` of them in common are infinitely far apart.
    """
    both = torch.ones_like(joints[1:, :, 0]) if seen is None else (seen[1:] & seen[:-1]).to(joints)
    enough = both.sum(1) >= LEAST
    weight = torch.where(enough[:, None], both, 1.0)
    with torch.inference_mode(False), torch.no_grad():  # RoMa keeps a table of its first call, for differentiation too
        before = rigid_align(joints[:-1].clone(), joints[1:].clone(), weight.clone())
    moved = ((before - joints[1:]).norm(dim=-1) * both).amax(1)
    return torch.where(enough, moved, torch.inf)


def settle(
    chain: Chain[Tensor], terms: Terms, state: State[Tensor], movement: Tensor, unsure: Tensor, lend: Lend
) -> State[Tensor]:
    """Frames that follow their neighbours where their joints do.

    Args:
        terms: what is known of frames, without their neighbours.
        state: of T frames, each by itself.
        movement: (T - 1,) see `movements`.
        unsure: (T,) frames that follow their neighbours in any case.
        lend: what frames take over from neighbours to start from.
    """
    count = len(state.inner)
    weight = torch.where(movement < APART, (STILL + MOVING * movement) ** -2, 0.0)  # 1 / sigma^2 of each link
    none = weight.new_zeros(1)
    before, after = torch.cat((none, weight)), torch.cat((weight, none))
    for sweep in range(SWEEPS):
        chosen = _beside(_sudden(state.angles, movement), count, REACH if sweep else 0)
        if sweep < FOLLOWING:
            chosen = chosen | unsure
        for parity in (0, 1):
            frames = torch.nonzero(chosen)[:, 0]
            for part in frames[frames % 2 == parity].split(BATCH // 3):
                if len(part):  # an empty tensor has one empty part
                    better = _between(chain, terms, state, part, before[part], after[part], lend)
                    state = replaced(state, part, better)
    return state


def find_jumps(angles: Tensor, movement: Tensor) -> list[Jump]:
    """Where anatomical angles (T, 23) jump; `movement` (T - 1,) as `movements` gives it."""
    change = (angles[1:] - angles[:-1]).abs()
    found = torch.nonzero((change > JUMP) & (movement < AT_REST)[:, None]).tolist()
    return [Jump(t + 1, ANGLE_NAMES[k], float(change[t, k]), float(movement[t])) for t, k in found]


def _sudden(angles: Tensor, movement: Tensor) -> Tensor:
    """(T - 1,) whether an angle changes more than the joints' movement lets expect."""
    change = (angles[1:] - angles[:-1]).abs().amax(1)
    return (change > SUDDEN[0] + SUDDEN[1] * movement) & (movement < APART)


def _beside(links: Tensor, count: int, reach: int) -> Tensor:
    """(T,) frames at most `reach` away from the two that each of `links` (T - 1,) joins."""
    frames = links.new_zeros(count)
    frames[1:] |= links
    frames[:-1] |= links
    for _ in range(reach):
        frames[1:], frames[:-1] = frames[1:] | frames[:-1], frames[:-1] | frames[1:]
    return frames


def _between(
    chain: Chain[Tensor], terms: Terms, state: State[Tensor], frames: Tensor, before: Tensor, after: Tensor, lend: Lend
) -> State[Tensor]:
    """The best of `frames` (n,) with their neighbours as prior: from their own state, and from what each neighbour lends.

    `before` and `after` (n,) are the weights of the two neighbours.
    """
    own, *beside = (_frames(state, near.clamp(0, len(state.inner) - 1)) for near in (frames, frames - 1, frames + 1))
    total = (before + after)[:, None]
    mean = before[:, None] * beside[0].inner + after[:, None] * beside[1].inner
    stiff = torch.zeros_like(mean)
    stiff[:, :20] = total
    neighbours = InnerPrior((mean / total.clamp_min(1e-9)).repeat(3, 1), stiff.repeat(3, 1))
    starts = join_fields([own, *(lend(own, other) for other in beside)])
    found, cost = minimise(chain, [*terms(frames.repeat(3)), neighbours], starts, STEPS)
    best = cost.reshape(3, -1).argmin(0) * len(frames) + torch.arange(len(frames), device=frames.device)
    return _frames(found, best)


def _frames(state: State[Tensor], numbers: Tensor) -> State[Tensor]:
    return map_fields(state, lambda value: value[numbers])


def _lend_angles(own: State[Tensor], other: State[Tensor]) -> State[Tensor]:
    """For joints in 3D, which say how the palm lies."""
    return replace(own, inner=torch.cat((other.angles, own.shape), dim=1))


def _lend_all(own: State[Tensor], other: State[Tensor]) -> State[Tensor]:
    """For pictures, in which palms may lie this way or that."""
    return replace(_lend_angles(own, other), orientation=other.orientation)
