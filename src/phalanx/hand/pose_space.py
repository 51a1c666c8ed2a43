"""Poses that hands take: named gestures, their interpolation, and random sampling within anatomy.

`interpolated_poses` is Dibra's protocol (2018, Sec. 4): named base poses, linear interpolation between every pair in angle space,
rejection of those in which a vertex lies inside another finger. `sample_correlated_angles` draws correlated random angles alone.

`sample_angles`, which synthesis streams draw from, mixes three sources: (a) pairs of named gestures, interpolated; (b) every finger
in a state of its own (straight, curled, hooked, half) with people's couplings; (c) the correlated random angles. All are
jittered, clamped to the limits and rejected where fingers run through each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES, LIMITS, angles_to_rotations
from phalanx.hand.collision import (
    FLESH_TOLERANCE,
    Capsules,
    FingerSurfaces,
    SphereProxies,
    capsule_overlaps,
    finger_surfaces,
    hand_capsules,
    penetration,
    sphere_proxies,
    vertex_penetration,
)
from phalanx.hand.model import HandModel, HandPose

# One finger as MCP flexion, PIP flexion, DIP flexion in degrees; the thumb as CMC flexion, CMC abduction, MCP, IP.
_FINGER = {
    "straight": (2, 3, 2),
    "curled": (82, 100, 55),
    "hooked": (5, 95, 60),
    "bent": (40, 45, 25),
    "half": (50, 75, 40),
    "flat": (75, 8, 5),
    "back": (-15, 3, 2),
    "claw": (-5, 65, 45),
    "touch": (59, 58, 30),
    "touch_little": (80, 57, 41),
}
_THUMB = {
    "out": (-15, -15, 0, 0),
    "relaxed": (5, -10, 10, 10),
    "beside": (3, -40, 4, 0),
    "across": (42, 12, 30, 30),
    "over": (23, -2, 26, 66),
    "on_middle": (23, -16, 34, 65),
    "on_ring": (34, -24, 40, 57),
    "on_index": (-1, -14, 36, 67),
    "oppose": (28, 22, 18, 22),
    "up": (-20, -25, -5, -10),
    "palm": (50, 5, 45, 45),
    "tip": (23, 4, 27, 36),
    "tip_middle": (33, 9, 32, 36),
    "tip_ring": (43, 1, 37, 38),
    "tip_little": (35, 4, 45, 62),
}

_PINCHES = (("tip", "touch"), ("tip_middle", "touch"), ("tip_ring", "touch"), ("tip_little", "touch_little"))
"""Thumb and finger states in which their tips meet: index, middle, ring, little."""

_STATES: dict[str, tuple[str, str, str, str, str, float]] = {
    # thumb, index, middle, ring, little, spread (1: fanned, 0: parallel)
    "open": ("out", "straight", "straight", "straight", "straight", 1.0),
    "flat": ("beside", "straight", "straight", "straight", "straight", 0.0),
    "relaxed": ("relaxed", "bent", "bent", "bent", "bent", 0.3),
    "fist": ("over", "curled", "curled", "curled", "curled", 0.1),
    "fist_thumb_on_index": ("on_index", "curled", "curled", "curled", "curled", 0.1),
    "fist_thumb_beside": ("beside", "curled", "curled", "curled", "curled", 0.1),
    "thumb_up": ("up", "curled", "curled", "curled", "curled", 0.1),
    "point": ("on_middle", "straight", "curled", "curled", "curled", 0.0),
    "gun": ("up", "straight", "curled", "curled", "curled", 0.0),
    "victory": ("on_ring", "straight", "straight", "curled", "curled", 1.0),
    "two_closed": ("on_ring", "straight", "straight", "curled", "curled", 0.0),
    "three": ("palm", "straight", "straight", "straight", "curled", 0.8),
    "three_thumb": ("out", "straight", "straight", "curled", "curled", 0.7),
    "four": ("palm", "straight", "straight", "straight", "straight", 0.8),
    "rock": ("on_middle", "straight", "curled", "curled", "straight", 0.3),
    "love": ("out", "straight", "curled", "curled", "straight", 0.3),
    "call": ("up", "curled", "curled", "curled", "straight", 0.6),
    "little": ("over", "curled", "curled", "curled", "straight", 0.3),
    "middle_ring_little": ("tip", "touch", "straight", "straight", "straight", 0.8),
    "ok_curled": ("tip", "touch", "half", "half", "half", 0.3),
    "pinch": ("tip", "touch", "curled", "curled", "curled", 0.1),
    "pinch_middle": ("tip_middle", "straight", "touch", "straight", "straight", 0.5),
    "pinch_ring": ("tip_ring", "straight", "straight", "touch", "straight", 0.5),
    "pinch_little": ("tip_little", "straight", "straight", "straight", "touch_little", 0.5),
    "five_pinch": ("tip_middle", "touch", "touch", "touch", "touch", 0.0),
    "claw": ("oppose", "claw", "claw", "claw", "claw", 0.9),
    "hook": ("beside", "hooked", "hooked", "hooked", "hooked", 0.1),
    "roof": ("beside", "flat", "flat", "flat", "flat", 0.0),
    "duck": ("oppose", "flat", "flat", "flat", "flat", 0.0),
    "grasp": ("oppose", "bent", "bent", "bent", "bent", 0.3),
    "grasp_tight": ("oppose", "half", "half", "half", "half", 0.1),
    "hold_pen": ("tip", "touch", "half", "curled", "curled", 0.0),
    "index_hook": ("on_middle", "hooked", "curled", "curled", "curled", 0.0),
    "index_middle_hook": ("on_ring", "claw", "claw", "curled", "curled", 0.4),
    "middle": ("on_index", "curled", "straight", "curled", "curled", 0.0),
    "ring_little": ("oppose", "curled", "curled", "straight", "straight", 0.4),
    "vulcan": ("out", "straight", "straight", "straight", "straight", 0.5),
    "stretched": ("out", "back", "back", "back", "back", 1.0),
}

GESTURE_NAMES = tuple(_STATES)

DIP_PER_PIP = 0.55
"""Flexion of a finger's last joint for each degree of its middle one, in the base poses.

One tendon bends both. Animation fixes the ratio at 2/3 (Rijpkema and Girard 1991); the gestures lie about 0.55, with which the
finger tips that meet in them still meet."""

_AT_ONCE = 64  # poses whose surfaces are held in memory at a time


def _spread(amount: float) -> np.ndarray:
    """MCP abduction in degrees of index, middle, ring, little: fanned open by `amount`."""
    return np.array([2.0, -1.0, -4.0, -9.0]) + amount * np.array([11.0, -2.0, -12.0, -20.0])


def _assemble(thumb: np.ndarray, fingers: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Thumb (N, 4), fingers (N, 4, 3) MCP PIP DIP, spread (N, 4), degrees -> (N, 23) with the wrist at 0."""
    angles = np.zeros((len(thumb), len(ANGLE_NAMES)))
    angles[:, 3:7] = thumb
    four = angles[:, 7:].reshape(-1, 4, 4)  # a view
    four[..., 0], four[..., 1], four[..., 2:] = fingers[..., 0], spread, fingers[..., 1:]
    # A flexed knuckle cannot spread: the collateral ligaments tighten.
    four[..., 1] *= np.cos(np.deg2rad(np.clip(fingers[..., 0], 0, 80)))
    return angles


@lru_cache(maxsize=1)
def gestures() -> np.ndarray:
    """The named gestures as angles in degrees, (len(GESTURE_NAMES), 23)."""
    thumb = np.array([_THUMB[state[0]] for state in _STATES.values()], dtype=float)
    fingers = np.array([[_FINGER[name] for name in state[1:5]] for state in _STATES.values()], dtype=float)
    spread = np.stack([_spread(state[5]) for state in _STATES.values()])
    spread[GESTURE_NAMES.index("vulcan")] = [8, 6, -14, -20]
    return _assemble(thumb, fingers, spread)


def _from_gestures(generator: np.random.Generator, count: int) -> np.ndarray:
    table = gestures()
    pair = generator.integers(len(table), size=(count, 2))
    # Half of them near a gesture, half anywhere between two.
    t = np.where(generator.random(count) < 0.5, generator.beta(0.6, 6.0, count), generator.random(count))[:, None]
    return table[pair[:, 0]] * (1 - t) + table[pair[:, 1]] * t


def _from_states(generator: np.random.Generator, count: int) -> np.ndarray:
    states = np.array(list(_FINGER.values()), dtype=float)
    chance = np.array([0.3, 0.26, 0.06, 0.1, 0.1, 0.05, 0.03, 0.05, 0.04, 0.01])
    drawn = generator.choice(len(states), size=(count, 4), p=chance)
    # Neighbours tend to move together, ring and little most.
    for finger, coupling in ((1, 0.25), (2, 0.35), (3, 0.45)):
        same = generator.random(count) < coupling
        drawn[same, finger] = drawn[same, finger - 1]
    thumbs = np.array(list(_THUMB.values()), dtype=float)
    pick = generator.integers(len(thumbs), size=(count, 2))
    t = generator.random((count, 1)) * (generator.random((count, 1)) < 0.5)
    thumb = thumbs[pick[:, 0]] * (1 - t) + thumbs[pick[:, 1]] * t
    fingers = states[drawn]
    # In a third of them the thumb meets one finger, whatever the others do: with the thumb hidden behind it, this is what
    # estimators mix up most in views from the back and the side.
    met = generator.integers(12, size=count)
    for finger, (thumb_state, finger_state) in enumerate(_PINCHES):
        rows = met == finger
        thumb[rows], fingers[rows, finger] = _THUMB[thumb_state], _FINGER[finger_state]
    spread = np.stack([_spread(s) for s in generator.uniform(-0.1, 1.1, count)])
    return _assemble(thumb, fingers, spread)


def _from_anatomy(generator: np.random.Generator, count: int) -> np.ndarray:
    """Random angles (count, 23) in degrees with the couplings of a hand.

    Wan et al. 2019, Sec. 3.3, draw their poses as Sharp et al. 2015 do and leave the details to a supplement, so the numbers here are
    our own. They follow what is known of hands: fingers move together, the thumb on its own (Ingram et al. 2008 find it the most
    independent digit, and most of the variance in two components); the joints of a finger bend together, PIP and DIP most; a
    flexed knuckle does not spread. How far fingers agree varies from pose to pose (`mix`), so single fingers stand out too.
    """
    shared = generator.beta(0.8, 1.1, (count, 1))
    own = generator.beta(0.7, 0.9, (count, 4))
    mix = generator.random((count, 1))
    curl = np.clip(mix * shared + (1 - mix) * own, 0, 1)
    mcp = -12 + 98 * np.clip(curl + generator.normal(0, 0.25, (count, 4)), 0, 1)
    pip = 112 * np.clip(curl + generator.normal(0, 0.22, (count, 4)), 0, 1)
    dip = pip * generator.uniform(0.35, 0.75, (count, 1)) + generator.normal(0, 6, (count, 4))
    low = np.array([-30, -50, -10, -15])
    high = np.array([52, 28, 60, 75])
    thumb = low + (high - low) * generator.beta(1.3, 1.3, (count, 4))
    spread = np.stack([_spread(s) for s in generator.uniform(-0.1, 1.2, count)])
    return _assemble(thumb, np.stack([mcp, pip, dip], 2), spread)


@lru_cache(maxsize=1)
def _proxies() -> tuple[HandModel, SphereProxies]:
    model = HandModel.open_hand()
    return model, sphere_proxies(model)


def propose_angles(generator: np.random.Generator, count: int) -> Tensor:
    """Random angles (count, 23) in radians within the limits; fingers may still intersect."""
    source = generator.choice(3, size=count, p=[0.3, 0.5, 0.2])
    drawn = np.stack(
        [_from_gestures(generator, count), _from_states(generator, count), _from_anatomy(generator, count)]
    )
    angles = drawn[source, np.arange(count)]
    jitter = generator.gamma(2.0, 2.5, (count, 1)) * generator.normal(size=(count, 23))
    jitter[:, [8, 12, 16, 20]] *= 0.6
    angles += jitter
    angles[:, 0] = generator.normal(0, 28, count)
    angles[:, 1] = generator.normal(-3, 13, count)
    angles[:, 2] = generator.normal(0, 15, count)
    return _within_limits(angles)


def intersects(angles: Tensor) -> Tensor:
    """(B,) whether fingers of the mean hand run through each other or the palm by more than flesh gives."""
    model, proxies = _proxies()
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles.float())
    return penetration(model, proxies, pose) > FLESH_TOLERANCE


def sample_angles(generator: np.random.Generator, count: int) -> Tensor:
    """Random anatomical angles (count, 23) in radians, within limits, fingers not through each other."""
    return _not_intersecting(lambda more: propose_angles(generator, more), count)


def sample_correlated_angles(generator: np.random.Generator, count: int) -> Tensor:
    """Random angles (count, 23) in radians of fingers that bend together as people's do, without any named gesture.

    The training poses of Wan et al. 2019, Sec. 3.3: within the limits, wrist at zero, fingers not through each other.
    """
    return _not_intersecting(lambda more: _within_limits(_from_anatomy(generator, more)), count)


def _not_intersecting(propose: Callable[[int], Tensor], count: int) -> Tensor:
    """The first `count` of the poses `propose(number)` in which no finger runs through another."""
    kept: list[Tensor] = [torch.empty(0, len(ANGLE_NAMES), dtype=torch.float32)]
    missing = count
    while missing > 0:
        proposal = propose(max(2 * missing, 8))
        kept.append(proposal[~intersects(proposal)][:missing])
        missing -= len(kept[-1])
    return torch.cat(kept)


def _within_limits(degrees: np.ndarray) -> Tensor:
    """Angles (N, 23) in degrees, clamped to the limits: radians, float32."""
    limits = LIMITS.numpy()
    return torch.from_numpy(np.clip(np.deg2rad(degrees), limits[:, 0], limits[:, 1])).float()


def couple_dip(angles: Tensor) -> Tensor:
    """The poses (B, 23) with the bend of each finger's two outer joints shared between PIP and DIP in the fixed ratio `DIP_PER_PIP`.

    Their sum stays, and with it the direction of the finger tip; the thumb is left as it is.
    """
    bend = angles[:, 9::4] + angles[:, 10::4]  # (B, 4)
    coupled = angles.clone()
    coupled[:, 9::4] = bend / (1 + DIP_PER_PIP)
    coupled[:, 10::4] = bend - coupled[:, 9::4]
    return coupled


def base_poses() -> dict[str, Tensor]:
    """The library of named base poses: name -> angles (23,) in radians, wrist at zero.

    All keep the limits, `DIP_PER_PIP` and the flesh tolerance. What is linear in the angles, as limits and ratios are, holds
    between any two of them too.
    """
    angles = couple_dip(torch.deg2rad(torch.from_numpy(gestures()))).float()
    return dict(zip(GESTURE_NAMES, angles, strict=True))


@dataclass(frozen=True)
class InterpolatedPoses:
    """Poses on the lines between base poses.

    Attributes:
        angles: (N, 23) radians.
        pairs: (N, 2) positions in the library of the base poses on either side; a base pose itself stands there twice.
        fractions: (N,) 0 at the first of the pair, 1 at the second.
    """

    angles: Tensor
    pairs: Tensor
    fractions: Tensor

    def __getitem__(self, index: slice | Tensor) -> InterpolatedPoses:
        return InterpolatedPoses(self.angles[index], self.pairs[index], self.fractions[index])


@dataclass(frozen=True)
class RejectionReport:
    """How many poses were proposed and why some were rejected; `print` says it in a sentence.

    Attributes:
        proposed: poses looked at.
        in_finger: rejected, because a vertex of one finger is deeper than `tolerance` inside another.
        in_palm: rejected for a finger that deep in the palm alone.
        tolerance: metres.
    """

    proposed: int
    in_finger: int
    in_palm: int
    tolerance: float

    @property
    def kept(self) -> int:
        return self.proposed - self.in_finger - self.in_palm

    @property
    def rate(self) -> float:
        """Share of the proposed poses that was rejected."""
        return (self.in_finger + self.in_palm) / max(self.proposed, 1)

    def __str__(self) -> str:
        return (
            f"{self.proposed:,} poses proposed, {self.kept:,} kept, {100 * self.rate:.1f} % rejected: fingers more than "
            f"{1000 * self.tolerance:g} mm inside another in {self.in_finger:,}, inside the palm alone in {self.in_palm:,}"
        )


def interpolations(steps: int, poses: Mapping[str, Tensor] | None = None) -> InterpolatedPoses:
    """The base poses, then `steps` poses evenly between every two of them, linear in the angles; fingers may intersect.

    Args:
        steps: how many between two base poses, 0 or more.
        poses: name -> angles (23,) in radians; `base_poses()` if not given.
    Returns:
        N = n + steps n (n - 1) / 2 poses for n base poses.
    Raises:
        InputError: `steps` is negative, or there is no pose.
    """
    if steps < 0:
        raise InputError(f"steps is {steps}, but there cannot be fewer than 0 poses between two base poses.")
    bases = list((base_poses() if poses is None else poses).values())
    if not bases:
        raise InputError("poses is empty: there is nothing to interpolate between.")
    table = torch.stack(bases)  # (n, 23)
    itself = torch.arange(len(table)).repeat(2, 1).T  # (n, 2)
    two = torch.triu_indices(len(table), len(table), offset=1).T.repeat_interleave(steps, 0)
    pairs = torch.cat([itself, two])
    between = torch.arange(1, steps + 1) / (steps + 1)
    fractions = torch.cat([torch.zeros(len(table)), between.repeat(len(two) // max(steps, 1))]).to(table)
    return InterpolatedPoses(torch.lerp(table[pairs[:, 0]], table[pairs[:, 1]], fractions[:, None]), pairs, fractions)


@lru_cache(maxsize=1)
def _surfaces() -> tuple[HandModel, FingerSurfaces, Capsules]:
    model = HandModel.open_hand().without_correctives()
    return model, finger_surfaces(model), hand_capsules(model)


def capsules_intersect(angles: Tensor, tolerance: float = FLESH_TOLERANCE) -> Tensor:
    """(B,) whether fingers of the mean hand run more than `tolerance` metres through each other or the palm.

    As `intersects`, but without the gaps between spheres: for poses that follow each other closely.
    """
    model, _, capsules = _surfaces()
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles.float())
    return capsule_overlaps(model, capsules, pose).amax(1) > tolerance


def reject_intersecting(angles: Tensor, tolerance: float = FLESH_TOLERANCE) -> tuple[Tensor, RejectionReport]:
    """Which poses of the mean hand a hand can take, by Dibra's test on the surface.

    A pose is rejected where a vertex of one finger lies deeper than `tolerance` inside another (`vertex_penetration`), or a
    capsule of a finger that deep in the palm's, which that test does not see.

    Args:
        angles: (N, 23) radians.
        tolerance: metres that flesh gives.
    Returns:
        (N,) True for the poses to keep, and the count of the others.
    """
    model, surfaces, capsules = _surfaces()
    with_palm = (capsules.segments[capsules.pairs] < 2).any(1)
    in_finger, in_palm = [torch.zeros(0, dtype=torch.bool)], [torch.zeros(0, dtype=torch.bool)]
    for part in angles.float().split(_AT_ONCE) if len(angles) else ():
        pose = HandPose.zero(len(part))
        pose.rotations = angles_to_rotations(part)
        in_finger.append(vertex_penetration(surfaces, model(pose), above=tolerance) > tolerance)
        in_palm.append(capsule_overlaps(model, capsules, pose)[:, with_palm].amax(1) > tolerance)
    finger, palm = torch.cat(in_finger), torch.cat(in_palm)
    report = RejectionReport(len(angles), int(finger.sum()), int((palm & ~finger).sum()), tolerance)
    return ~(finger | palm), report


def interpolated_poses(
    steps: int, poses: Mapping[str, Tensor] | None = None, tolerance: float = FLESH_TOLERANCE
) -> tuple[InterpolatedPoses, RejectionReport]:
    """Dibra et al. 2018, Sec. 4: base poses, linear interpolation of every pair, rejection of intersecting poses.

    Arguments and errors are those of `interpolations` and `reject_intersecting`. The paper's 399 base poses give 122,106.
    """
    proposed = interpolations(steps, poses)
    keep, report = reject_intersecting(proposed.angles, tolerance)
    return proposed[keep], report
