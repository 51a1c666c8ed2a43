"""Hands in motion, for video: fingers that go from pose to pose as people's do, and a hand that drifts before the camera.

Fingers move from one key pose to the next with the least jerk (Flash and Hogan 1985): at rest at both ends, fastest in the middle,

    x(u) = 10 u^3 - 15 u^4 + 6 u^5,    x' <= 15/8,    |x''| <= 10 / sqrt(3),

which is the single-peaked, bell-shaped speed that Darling, Cole and Abbs (1988) measured in quick pinches of 100 ms. Each angle stays
between its values at the two keys, so limits and fixed ratios hold on the way. Orientation and position are uniform cubic B-splines.
Everything is continuous up to the acceleration, bounded in speed, and depends on the generator and the time alone: frame rates and
lengths of a video sample the same motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.pose_space import capsules_intersect, sample_angles

_WRIST = {"wrist_flexion": 300, "wrist_deviation": 150, "wrist_twist": 300}
_THUMB = {"cmc_flexion": 250, "cmc_abduction": 200, "mcp_flexion": 300, "ip_flexion": 450}
_FINGER = {"mcp_flexion": 500, "mcp_abduction": 200, "pip_flexion": 600, "dip_flexion": 420}
_DEGREES_PER_SECOND = _WRIST | {f"thumb_{name}": speed for name, speed in _THUMB.items()}

PEAK_SPEED = torch.deg2rad(
    torch.tensor(
        [_DEGREES_PER_SECOND.get(name) or _FINGER[name.partition("_")[2]] for name in ANGLE_NAMES],
        dtype=torch.float64,
    )
)
"""(23,) radians a second: the speed that each angle does not pass even in brisk movements.

In 18,000 frames of people grasping (DexYCB, 30 Hz) the angles between finger bones change by less than this in 99.9 % of all frames (PIP
540 to 650, knuckles 490 to 600, DIP 290 to 420 degrees a second); half of the time by less than 30. A pinch from the open hand, 50
degrees at the PIP joint, takes 100 to 400 ms (Darling, Cole and Abbs 1988), which peaks at 940 to 230."""

SHORTEST = 0.1
"""Seconds that the quickest movement of a finger takes: Cole and Abbs (1986) saw pinches of 90 ms."""

_DIGITS = np.repeat(np.arange(6), [3, 4, 4, 4, 4, 4])  # of each angle: wrist, thumb, index, ...
_LEAST_SHARE = 0.7  # of a movement's time each digit is in motion; they do not set out together
_CANDIDATES = 6  # next poses that are looked at together
_LOOKS = 32  # poses on the way to each that must be free of collisions
_SMALL = 0.35  # share of the movements that go a part of the way only
_STILL = 0.4  # share of the key poses that are held for a while
_HOLD = 0.4  # seconds, the mean of such a while
_KNOT = 0.4  # seconds between the control points of the drift


@dataclass(frozen=True)
class MotionConfig:
    slowest: float = 0.3
    """slowest movement of the fingers, as a share of `PEAK_SPEED` that its quickest joint reaches"""
    quickest: float = 1.0
    """quickest movement of the fingers, likewise"""
    turn: float = 0.8
    """radians that the hand turns away from its first orientation at most, below pi"""
    turn_speed: float = 1.5
    """radians a second that it turns at most"""
    reach: float = 0.1
    """metres that it moves away from its first position at most"""
    speed: float = 0.4
    """metres a second that it moves at most"""


@dataclass(frozen=True)
class FingerPath:
    """Movements between key poses, each at rest at both ends, with pauses between them.

    Attributes:
        keys: (K + 1, 23) radians.
        starts: (K,) seconds at which the movement towards key k + 1 starts.
        durations: (K,) seconds.
        windows: (K, 23, 2) when in its movement each angle sets out and arrives, as shares of the duration.
    """

    keys: Tensor
    starts: Tensor
    durations: Tensor
    windows: Tensor


@dataclass(frozen=True)
class HandMotion:
    """A hand at T times: `angles` (T, 23) radians, `orientation` (T, 3, 3), `translation` (T, 3) metres; float32."""

    angles: Tensor
    orientation: Tensor
    translation: Tensor


def minimum_jerk(u: Tensor) -> Tensor:
    """The share (...) of the way that is done at the share u (...) of the time: 0 up to 0, 1 from 1 on."""
    u = u.clamp(0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def _on_the_way(start: Tensor, end: Tensor, windows: Tensor, u: Tensor) -> Tensor:
    """Angles at the share u (...) of a movement from start to end (..., 23) with windows (..., 23, 2)."""
    sets_out, arrives = windows.unbind(-1)
    return start + (end - start) * minimum_jerk((u[..., None] - sets_out) / (arrives - sets_out))


def finger_path(generator: np.random.Generator, duration: float, config: MotionConfig | None = None) -> FingerPath:
    """A random path of at least `duration` seconds through poses of `sample_angles`.

    Between two keys fingers do not run through each other on the mean hand (`capsules_intersect`, looked at 32 times on the way): a
    movement that would is drawn again, and shortened where nothing else helps. A longer path starts as the shorter one.
    """
    config = MotionConfig() if config is None else config
    keys: list[Tensor] = []
    while not keys:  # a start from which no way is blocked at once
        start = sample_angles(generator, 1)
        keys += [key.double() for key in start[~capsules_intersect(start)]]
    starts: list[float] = []
    durations: list[float] = []
    windows: list[Tensor] = []
    now = 0.0
    while now < duration or not durations:
        if generator.random() < _STILL:
            now += min(generator.exponential(_HOLD), 4 * _HOLD)
        key, window = _next_key(generator, keys[-1])
        pace = generator.uniform(config.slowest, config.quickest)
        mean = (key - keys[-1]).abs() / (window[:, 1] - window[:, 0])  # radians for each duration
        needed = float((15 / 8 * mean / (pace * PEAK_SPEED)).max())
        starts.append(now)
        durations.append(max(needed, SHORTEST))
        now += durations[-1]
        keys.append(key)
        windows.append(window)
    begin, last = torch.tensor([starts, durations], dtype=torch.float64)
    return FingerPath(torch.stack(keys), begin, last, torch.stack(windows))


def _next_key(generator: np.random.Generator, key: Tensor) -> tuple[Tensor, Tensor]:
    """A pose (23,) that can be reached from `key` without a collision, and the windows (23, 2) of the movement."""
    targets = sample_angles(generator, _CANDIDATES).double()
    way = np.where(generator.random(_CANDIDATES) < _SMALL, generator.uniform(0.1, 0.5, _CANDIDATES), 1.0)
    targets = torch.lerp(key.expand_as(targets), targets, torch.from_numpy(way)[:, None])
    share = generator.uniform(_LEAST_SHARE, 1.0, (_CANDIDATES, 6))
    sets_out = (1 - share) * generator.random((_CANDIDATES, 6))
    windows = torch.from_numpy(np.stack([sets_out, sets_out + share], 2)[:, _DIGITS])  # (N, 23, 2)
    u = torch.linspace(0, 1, _LOOKS + 1, dtype=torch.float64)[1:]
    for _ in range(5):
        path = _on_the_way(key, targets[:, None], windows[:, None], u.expand(_CANDIDATES, _LOOKS))
        free = ~capsules_intersect(path.flatten(0, 1)).view(_CANDIDATES, _LOOKS).any(1)
        if free.any():
            chosen = int(free.int().argmax())
            return targets[chosen], windows[chosen]
        targets = 0.5 * (key + targets)
    return key, windows[0]  # hold still: the next draw may find a way out


def angles_at(path: FingerPath, times: Tensor) -> Tensor:
    """The angles (T, 23) of a path at times (T,) in seconds; before it starts and after it ends the hand is still. Float64."""
    times = times.double()
    segment = (torch.searchsorted(path.starts, times, right=True) - 1).clamp(min=0)
    u = (times - path.starts[segment]) / path.durations[segment]
    return _on_the_way(path.keys[segment], path.keys[segment + 1], path.windows[segment], u)


def drift(generator: np.random.Generator, times: Tensor, speed: float, reach: float) -> Tensor:
    """A vector (T, 3) that wanders about zero: at rest at time 0, never faster than `speed`, never farther than `reach`.

    A uniform cubic B-spline over a random walk in a ball: continuous up to the second derivative, which stays below
    2 speed / 0.4 s. Speed and distance keep to those of the control points, whose averages they are. Float64.
    """
    times = times.double()
    last = float(times.max()) if len(times) else 0.0
    walk = [np.zeros(3)] * 3  # three equal ones: position, speed and acceleration start at zero
    step = np.zeros(3)
    while len(walk) < int(last / _KNOT) + 4:
        pull = -0.3 * walk[-1] / max(reach, 1e-9) * speed * _KNOT
        step = 0.6 * step + pull + generator.normal(0, 0.4 * speed * _KNOT, 3)
        step *= min(1.0, speed * _KNOT / max(float(np.linalg.norm(step)), 1e-12))
        here = walk[-1] + step
        here = here * min(1.0, reach / max(float(np.linalg.norm(here)), 1e-12))  # projecting shortens a step
        step = here - walk[-1]
        walk.append(here)
    control = torch.from_numpy(np.stack(walk))  # (N, 3)
    knot = (times / _KNOT).floor().long()
    u = (times / _KNOT - knot)[:, None]
    weights = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    return sum((weight * control[knot + k] for k, weight in enumerate(weights)), start=torch.zeros(())) / 6


def hand_motion(
    generator: np.random.Generator,
    times: Tensor,
    orientation: Tensor,
    translation: Tensor,
    config: MotionConfig | None = None,
) -> HandMotion:
    """A moving hand at given times.

    Args:
        generator: decides the motion; `times` only sample it.
        times: (T,) seconds from 0 on, usually `torch.arange(T) / frames_per_second`.
        orientation: (3, 3) hand frame -> camera at time 0.
        translation: (3,) metres, the wrist in the camera frame at time 0.
        config: how quick and how far; `MotionConfig()` if not given.
    Returns:
        angles, orientation and translation at these times. The orientation is `orientation` turned about the hand's own axes by a
        drifting rotation vector, whose speed bounds the angular one.
    Raises:
        InputError: `times` is not a list of finite numbers from 0 on, or the configuration cannot be met.
    """
    config = MotionConfig() if config is None else config
    if times.ndim != 1 or not bool(torch.isfinite(times).all()) or bool((times < 0).any()):
        raise InputError("times must be a list of finite seconds, none below 0.")
    if not 0 < config.slowest <= config.quickest <= 1:
        raise InputError(
            f"slowest and quickest are {config.slowest} and {config.quickest}, but 0 < slowest <= quickest <= 1 must hold."
        )
    if not 0 <= config.turn < np.pi or min(config.turn_speed, config.reach, config.speed) < 0:
        raise InputError("turn must lie in [0, pi), and turn_speed, reach and speed must not be negative.")
    # One stream each, so that none depends on how much the others draw.
    fingers, turning, moving = (np.random.default_rng(seed) for seed in generator.integers(2**63, size=3))
    last = float(times.max()) if len(times) else 0.0
    angles = angles_at(finger_path(fingers, last, config), times)
    turn = drift(turning, times, config.turn_speed, config.turn)
    move = drift(moving, times, config.speed, config.reach)
    return HandMotion(
        angles.float(),
        (orientation.double() @ rotvec_to_rotmat(turn)).float(),
        (translation.double() + move).float(),
    )
