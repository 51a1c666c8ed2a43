"""Filters for a hand in motion: One-Euro for what comes in live, and a smoother without lag for recordings that are whole.

Both work on what a hand is made of (`HandState`): where it is seen, how far away it is, how the palm is turned, and the joint angles.
Shape is no part of it: a person's hand has one. Times need not be even.

One-Euro (Casiez, Roussel and Vogel, "1 Euro filter", CHI 2012) is a low pass whose cutoff rises with speed: slow movements, in which
trembling is seen, are smoothed, and quick ones, in which lag is seen, are followed. Here the speed, which it knows anyway, also says
where the hand has got to since the frame before (a damped linear trend, as Holt's), so that a steady movement has hardly any lag; and
the palm's turn and the joint angles go through two mild filters in a row, which take out more trembling than a strong one of the same lag.
The smoother fits a parabola to the frames around each one, near ones weighing more (Savitzky and Golay 1964, for uneven times by
Cleveland 1979), so it sees as far ahead as back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from phalanx.fit.chain import hand_length, numpy_chain_of
from phalanx.geometry.camera import Camera
from phalanx.hand.angles import ANGLE_NAMES, LIMITS, angles_to_rotations
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.assemble import assemble_hands
from phalanx.predict.sides import is_flipped

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel


@dataclass(frozen=True)
class Cutoff:
    """Of a One-Euro filter: `least` Hz, and `slope` more for each unit that the value changes by in a second."""

    least: float
    slope: float
    speed: float = 1.0
    """Hz, cutoff of the low pass that the speed itself goes through."""


@dataclass(frozen=True)
class FilterConfig:
    """How strongly what a hand is made of is filtered."""

    bearing: Cutoff = field(default=Cutoff(4.0, 30.0, 2.0))
    """Where the hand is seen, tangents of angles."""
    depth: Cutoff = field(default=Cutoff(0.8, 6.0, 1.5))
    """Logarithm of the wrist's distance."""
    orientation: Cutoff = field(default=Cutoff(1.7, 1.8, 2.0))
    """Of the palm, radians; of each of two filters in a row."""
    angles: Cutoff = field(default=Cutoff(2.4, 3.2, 2.5))
    """Of the joints, radians, each by itself; of each of two filters in a row."""


TREND = 0.85
"""Share of its speed that a value is taken to go on with until the next frame: with all of it, movements that end overshoot more."""

REACH = 0.2
"""Seconds to either side that the smoother looks at,"""
LEAST_REACH = 3.5
"""and frames at least, by the median of their distances."""


@dataclass(frozen=True, eq=False)
class HandState:
    """A right hand before a camera, as the hand model is posed; of left hands the mirror image.

    Attributes:
        bearing: (2,) x / z and y / z, the mean of all joints. It is measured better than that of the wrist alone, and so the hand stays
            where it is seen while what cannot be seen well is smoothed.
        depth: z of the wrist, metres.
        orientation: (3, 3) of the palm, hand frame to camera frame.
        angles: (23,) radians, in the order of `ANGLE_NAMES`.
    """

    bearing: np.ndarray
    depth: float
    orientation: np.ndarray
    angles: np.ndarray


Difference = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From two values a vector that leads from the second to the first."""


class OneEuro:
    """A One-Euro filter of vectors, or of rotations with `rotation_difference` and `rotation_sum`.

    Args:
        cutoff: its settings.
        apart: each number has a speed of its own; otherwise the vector has one.
        minus, plus: difference of two values, and a value moved by one.
    """

    def __init__(
        self,
        cutoff: Cutoff,
        apart: bool = False,
        minus: Difference = np.subtract,
        plus: Difference = np.add,
    ) -> None:
        self.cutoff, self.apart, self.minus, self.plus = cutoff, apart, minus, plus
        self.value: np.ndarray | None = None
        self.speed: np.ndarray = np.zeros(1)
        self.time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value at `time` (seconds, later than the one before)."""
        if self.value is None:
            self.value, self.time = value, time
            self.speed = np.zeros_like(self.minus(value, value))
            return value
        step = time - self.time
        if not step > 0:
            raise ValueError(f"time: {time} does not come after {self.time}")
        pace = np.abs(self.speed) if self.apart else float(np.linalg.norm(self.speed))
        ahead = self.plus(self.value, TREND * self.speed * step)
        share = _share(self.cutoff.least + self.cutoff.slope * pace, step)
        found = self.plus(ahead, share * self.minus(value, ahead))
        moved = self.minus(found, self.value)
        self.speed = self.speed + _share(self.cutoff.speed, step) * (moved / step - self.speed)
        self.value, self.time = found, time
        return found


def _share(cutoff: Any, step: float) -> Any:
    """How far a low pass of `cutoff` Hz goes towards a new value that comes after `step` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def rotation_difference(to: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) that turns `start` (3, 3) into `to` (3, 3), in the frame of `start`."""
    return cv2.Rodrigues(start.T @ to)[0][:, 0]


def rotation_sum(start: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """`start` (3, 3) turned by a rotation vector (3,) in its own frame."""
    return start @ cv2.Rodrigues(np.asarray(turn, np.float64))[0]


class HandFilter:
    """One-Euro filters of one hand: `HandFilter()(state, time)` gives the filtered state, from what came so far."""

    def __init__(self, config: FilterConfig | None = None) -> None:
        config = FilterConfig() if config is None else config
        self.bearing = OneEuro(config.bearing)
        self.depth = OneEuro(config.depth)
        self.orientation = [OneEuro(config.orientation, False, rotation_difference, rotation_sum) for _ in range(2)]
        self.angles = [OneEuro(config.angles, apart=True) for _ in range(2)]

    def __call__(self, state: HandState, time: float) -> HandState:
        """`time` in seconds must come after the one before."""
        orientation, angles = state.orientation, state.angles
        for turns, bends in zip(self.orientation, self.angles, strict=True):
            orientation, angles = turns(orientation, time), bends(angles, time)
        bearing = self.bearing(state.bearing, time)
        return HandState(bearing, float(np.exp(self.depth(np.log([state.depth]), time)[0])), orientation, angles)


def smooth_states(
    states: Sequence[HandState], times: Sequence[float] | np.ndarray, reach: float = REACH
) -> list[HandState]:
    """States at increasing `times` (seconds), each from those less than `reach` seconds before and after it; no lag.

    Where frames come seldom, three of them to either side count, as long as they come evenly.

    Angles keep the limits of the joints.
    """
    times = np.asarray(times, np.float64)
    numbers = np.array([[*state.bearing, math.log(state.depth), *state.angles] for state in states])  # (T, 26)
    low, high = LIMITS.T
    if len(times) > 1:
        reach = max(reach, LEAST_REACH * float(np.median(np.diff(times))))
    result = []
    for number, state in enumerate(states):
        away = times - times[number]
        near = np.nonzero(np.abs(away) < reach)[0]
        weights = _central(away[near] / reach)  # (n,)
        values = weights @ numbers[near]
        turns = np.array([rotation_difference(states[k].orientation, state.orientation) for k in near.tolist()])
        result.append(
            HandState(
                values[:2],
                math.exp(values[2]),
                rotation_sum(state.orientation, weights @ turns),
                np.clip(values[3:], low, high),
            )
        )
    return result


def _central(away: np.ndarray) -> np.ndarray:
    """What each value at the places (n,) in (-1, 1) counts for in the parabola through them, at place 0: (n,), sum 1."""
    root = (1 - np.abs(away) ** 3) ** 1.5  # of the tricube weights
    degrees = np.arange(min(3, len(away)))
    return np.linalg.pinv(root[:, None] * away[:, None] ** degrees)[0] * root


def state_of(model: HandModel | PlainHand, hand: HandPrediction, shape: np.ndarray) -> HandState:
    """The state of a predicted hand, taken for one of another shape (10,).

    A longer hand is as much farther away, so that it looks as large; but where its size was given or measured, its distance stays.
    """
    joints = hand.joints * _mirror(hand)
    angles = np.radians([hand.angles_degrees[name] for name in ANGLE_NAMES])
    depth = float(joints[0, 2])
    if hand.scale_source == "prior":
        now, before = lengths_of(model, [shape, hand.shape])
        depth *= now / before
    return HandState(_mean_bearing(joints), depth, hand.orientation, angles)


def lengths_of(model: HandModel | PlainHand, shapes: Sequence[np.ndarray]) -> list[float]:
    """Metres from the wrist to the tip of the stretched middle finger, of each shape (10,)."""
    lengths: list[float] = hand_length(numpy_chain_of(model, np.float64), np.stack(shapes).astype(np.float64))[
        0
    ].tolist()
    return lengths


def with_states(
    model: HandModel | PlainHand,
    hands: Sequence[HandPrediction],
    states: Sequence[HandState],
    shapes: Sequence[np.ndarray],
) -> list[HandPrediction]:
    """Hands of one picture, each in another state and of another shape (10,), the one that the state was taken for (`state_of`).

    Where a hand's size was given or measured, it keeps it. A hand that would reach behind the camera comes back as it was.
    """
    if not hands:
        return []
    if any((hand.K != hands[0].K).any() for hand in hands):  # where the camera is assumed, one may demand a longer one
        each = zip(hands, states, shapes, strict=True)
        return [with_states(model, [hand], [state], [shape])[0] for hand, state, shape in each]
    model = plain_hand(model)
    scales = [hand.scale for hand in hands]
    now = lengths_of(model, shapes)
    for row, hand in enumerate(hands):
        if hand.scale_source != "prior":
            scales[row] *= lengths_of(model, [hand.shape])[0] / now[row]
    rotations = angles_to_rotations(np.stack([state.angles for state in states]))
    orientation, shape = np.stack([state.orientation for state in states]), np.stack(shapes)
    degrees = np.degrees([state.angles for state in states])
    still = (rotations, shape, orientation, np.zeros_like(shape[:, :3]))
    pose = HandPose(*(values.astype(model.template.dtype) for values in still))
    wrists = [
        _wrist(relative, state.depth / scale, state.bearing)
        for relative, state, scale in zip(model.joints(pose).astype(np.float64), states, scales, strict=True)
    ]
    pose.translation = np.stack(wrists).astype(model.template.dtype)
    first = hands[0]
    posed = assemble_hands(
        model,
        pose,
        Camera(first.K, first.width, first.height),
        [is_flipped(hand.side, hand.mirrored) for hand in hands],
        [scale * length if scale != 1 else None for scale, length in zip(scales, now, strict=True)],
        [_facts(hand) for hand in hands],
        first.lens,
        degrees,
    )
    return [hand if new is None else new for new, hand in zip(posed, hands, strict=True)]


def smoothed(model: HandModel | PlainHand, hands: Sequence[HandPrediction]) -> list[HandPrediction]:
    """One hand in the frames of a recording, as `Tracker(filtered=False)` gives it, without trembling, without lag and of one shape.

    Args:
        model: the hand.
        hands: predictions of it in the order of their times, which they have; all of one side.
    """
    states, shape = smooth_track(model, hands)
    return [with_states(model, [hand], [state], [shape])[0] for hand, state in zip(hands, states, strict=True)]


def smooth_track(model: HandModel | PlainHand, hands: Sequence[HandPrediction]) -> tuple[list[HandState], np.ndarray]:
    """The states of such a hand, and its shape (10,): what `smoothed` poses."""
    if not hands:
        return [], np.zeros(10)
    weights = np.array([hand.score for hand in hands])
    shape = np.average([hand.shape for hand in hands], axis=0, weights=weights if weights.any() else None)
    times = [0.0 if hand.time is None else hand.time for hand in hands]
    return smooth_states([state_of(model, hand, shape) for hand in hands], times), shape


def _wrist(joints: np.ndarray, depth: float, bearing: np.ndarray) -> np.ndarray:
    """(3,) where the wrist is so that joints (21, 3) relative to it have that bearing, the wrist being `depth` away."""
    away = np.maximum(joints[:, 2:] + depth, 0.05 * depth)
    across = (bearing - (joints[:, :2] / away).mean(0)) / (1 / away).mean()
    return np.append(across, depth)


def _mean_bearing(joints: np.ndarray) -> np.ndarray:
    bearing: np.ndarray = (joints[:, :2] / joints[:, 2:]).mean(0)
    return bearing


_POSED = {"width", "height", "K", "joints_2d", "joints", "vertices", "faces", "rotations", "orientation", "shape"}
_POSED |= {"angles_degrees", "scale", "distortion_model", "distortion"}


def _facts(hand: HandPrediction) -> dict[str, Any]:
    """What of a prediction follows neither from its pose nor from its camera."""
    return {each.name: getattr(hand, each.name) for each in fields(hand) if each.name not in _POSED}


def _mirror(hand: HandPrediction) -> np.ndarray:
    """(3,) what positions are multiplied by to be those of the hand model."""
    return np.array([-1.0 if is_flipped(hand.side, hand.mirrored) else 1.0, 1.0, 1.0])
