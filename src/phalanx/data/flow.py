"""Optical flow between neighbouring frames, both ways: where pixels go, which of them can be trusted, where a clip is cut.

Kroeger et al., "Fast optical flow using dense inverse search" (DIS), ECCV 2016, as OpenCV has it. A flow `(H, W, 2)` from one picture to
another is in pixels: what lies at p in the first lies at p + flow(p) in the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from phalanx.core.errors import InputError

SMALLEST = 12
"""Pixels that the longer side of a picture has at least: the search needs a patch and its surroundings."""

UNTRUSTED = (0.01, 0.5)
"""A pixel is not trusted if flow there and back is off by more than this share of both flows' squares, plus so many pixels squared.

Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010, Eq. 5."""

OTHER = 40.0
"""Grey levels, of 255, by which a pixel differs from the one it goes to, where they show something else."""

CUT = 0.6
"""Share of the pixels that are not found again beyond which two frames belong to two clips.

Of neighbours in rendered clips at 64 pixels and 10 frames a second, 0 to 0.53 are lost, of frames of two clips 0.82 to 0.96."""


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow (H, W, 2), float32, pixels, from one picture to another, both (H, W, 3) uint8 RGB.

    Pictures of less than 256 pixels are searched down to single pixels, larger ones, as OpenCV's preset has it, down to two.

    Raises:
        InputError: the pictures differ in size, are of another kind, or smaller than `SMALLEST`.
    """
    import cv2

    pictures = [_picture(name, value) for name, value in (("first", first), ("second", second))]
    if first.shape != second.shape:
        raise InputError(f"second: a picture of {first.shape[:2]} as the first expected, got {second.shape[:2]}")
    if max(first.shape[:2]) < SMALLEST:
        raise InputError(f"first: {SMALLEST} pixels or more on the longer side expected, got {first.shape[:2]}")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # one a call: it keeps state
    if max(first.shape[:2]) < 256:
        search.setFinestScale(0)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    found: np.ndarray = search.calc(grey[0], grey[1], None)
    return found


def flow_both_ways(frames: Sequence[np.ndarray] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flows of T frames, each (H, W, 3) uint8 RGB: from each to the next, and from each next one back; both (T - 1, H, W, 2) float32.

    Raises:
        InputError: there are fewer than two frames; and as `flow_between`.
    """
    if len(frames) < 2:
        raise InputError(f"frames: flow needs two frames at least, got {len(frames)}")
    pairs = list(pairwise(frames))
    forward = np.stack([flow_between(first, second) for first, second in pairs])
    return forward, np.stack([flow_between(second, first) for first, second in pairs])


def warped(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What `picture` (H, W) or (H, W, C) shows at p + flow(p), for each p: the second picture laid on the first. Beyond its edge, the edge.

    Args:
        picture: any kind of number that OpenCV samples (uint8, float32).
        flow: (H, W, 2) pixels.
    """
    import cv2

    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = (x + flow[..., 0], y + flow[..., 1])
    found: np.ndarray = cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found


def carried(points: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Where points (N, 2) in pixels go with a flow (H, W, 2), read between pixels; those outside go as the nearest edge does."""
    import cv2

    at = np.asarray(points, np.float32)
    moved = cv2.remap(flow, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result: np.ndarray = at + moved[0]
    return result


def trusted(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that flow (H, W, 2) leads to where the flow back leads to them again (`UNTRUSTED`)."""
    back = warped(backward, forward)
    share, least = UNTRUSTED
    limit = share * (np.square(forward).sum(-1) + np.square(back).sum(-1)) + least
    result: np.ndarray = np.square(forward + back).sum(-1) <= limit
    return result


def lost_share(first: np.ndarray, second: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> float:
    """Share of the pixels of `first` (H, W, 3) uint8 that are not found again in `second`: their flow is not trusted, or leads to
    what looks different (`OTHER`)."""
    import cv2

    there = cv2.cvtColor(warped(second, forward), cv2.COLOR_RGB2GRAY).astype(np.float32)
    here = cv2.cvtColor(np.ascontiguousarray(first), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float((~trusted(forward, backward) | (np.abs(there - here) > OTHER)).mean())


def cuts(frames: Sequence[np.ndarray] | np.ndarray, most: float = CUT) -> list[int]:
    """Numbers of the frames, of T each (H, W, 3) uint8 RGB, that do not go on from the one before: another clip begins there.

    Args:
        frames: of one size.
        most: share of the pixels that may be lost from frame to frame.

    Raises:
        InputError: as `flow_both_ways`.
    """
    forward, backward = flow_both_ways(frames)
    lost = [
        lost_share(*pair, *flows)
        for pair, *flows in zip(pairwise(frames), forward, backward, strict=False)  # pairs have no length to check
    ]
    return [number for number, share in enumerate(lost, 1) if share > most]


def _picture(name: str, value: np.ndarray) -> np.ndarray:
    if value.ndim != 3 or value.shape[-1] != 3 or value.dtype != np.uint8:
        raise InputError(f"{name}: a picture (H, W, 3) of uint8 expected, got {value.shape} of {value.dtype}")
    return np.ascontiguousarray(value)
