"""How smoothly joints move: figures of one recording, whose frames follow each other at a fixed rate.

Time is in seconds where `frames_per_second` is given; with 1, differences are per frame, as in the public code of HMMR
and VIBE. Recordings must not be joined: the cut would count as a movement. `valid` (N, J) says which joints count in
which frame; what needs a frame in which the joint does not count is NaN.
"""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.metrics.checks import Valid, checked_pair, checked_points


def acceleration_errors(
    predicted: ArrayLike, true: ArrayLike, frames_per_second: float, valid: Valid = None
) -> np.ndarray:
    """Distance of predicted and true acceleration: `(N, J, D) x 2 -> (N - 2, J)`, in units per second squared.

    Acceleration is the second difference x(t-1) - 2 x(t) + x(t+1), by the square of the time between frames. Kanazawa et
    al., "Learning 3D Human Dynamics from Video" (HMMR), CVPR 2019, section 4, and Kocabas et al., "VIBE", CVPR 2020,
    section 4; their code (`compute_error_accel`) leaves time out, so frames_per_second=1 gives its figures, in units per
    frame squared.
    """
    first, second, mask = checked_points(predicted, true, valid)
    return _lengths(first - second, 2, frames_per_second, mask)


def accelerations(joints: ArrayLike, frames_per_second: float, valid: Valid = None) -> np.ndarray:
    """Size of the acceleration: `(N, J, D) -> (N - 2, J)`, in units per second squared (no truth is needed)."""
    points, _, mask = checked_pair(joints, joints, valid)
    return _lengths(points, 2, frames_per_second, mask)


def jitter(joints: ArrayLike, frames_per_second: float, valid: Valid = None) -> np.ndarray:
    """Size of the jerk, the third derivative: `(N, J, D) -> (N - 3, J)`, in units per second cubed.

    The measure of smoothness of Flash and Hogan, "The coordination of arm movements", J. Neuroscience 1985; its mean is
    the "jitter" of Yi et al., "TransPose", SIGGRAPH 2021, and of those who evaluate video after it (some of whom print
    tenths of m/s^3). Compare it with the truth's, which is not 0.
    """
    points, _, mask = checked_pair(joints, joints, valid)
    return _lengths(points, 3, frames_per_second, mask)


def lag(predicted: ArrayLike, true: ArrayLike, longest: float = 5.0) -> float:
    """By how many frames a recording trails the truth: `(N, J, D) x 2`, in frames, to a fiftieth.

    It is the shift s from -longest to longest by which the truth, delayed and interpolated linearly, is nearest to what was predicted:
    the least of sum |predicted(t) - true(t - s)|^2 over the frames that all shifts have. Noise moves it where nothing else moves.
    """
    first, second, _ = checked_points(predicted, true, None)
    margin = int(np.ceil(longest)) + 1
    if len(first) <= 2 * margin:
        raise InputError(f"joints: at least {2 * margin + 1} frames expected, got {len(first)}")
    frames = np.arange(margin, len(first) - margin)
    shifts = np.arange(-round(50 * longest), round(50 * longest) + 1) / 50
    sums = []
    for shift in shifts:
        before = np.floor(frames - shift).astype(int)
        share = (frames - shift - before)[:, None, None]
        delayed = (1 - share) * second[before] + share * second[before + 1]
        sums.append(np.square(first[frames] - delayed).sum())
    return float(shifts[np.argmin(sums)])


def _lengths(points: np.ndarray, order: int, frames_per_second: float, mask: np.ndarray | None) -> np.ndarray:
    if not np.isfinite(frames_per_second) or frames_per_second <= 0:
        raise InputError(f"frames_per_second: a positive number expected, got {frames_per_second}")
    count = len(points)
    if count <= order:
        raise InputError(f"joints: at least {order + 1} frames expected, got {count}")
    sizes = np.linalg.norm(np.diff(points, n=order, axis=0), axis=-1) * float(frames_per_second) ** order
    if mask is None:
        return sizes
    seen = np.all([mask[k : count - order + k] for k in range(order + 1)], axis=0)
    return np.where(seen, sizes, np.nan)
