"""Hands cut out of photographs before plain backgrounds, to be put before others.

The joints say where the hand surely is, the picture's rim where it surely is not; GrabCut (Rother et al. 2004) decides the rest.
"""

from __future__ import annotations

import cv2
import numpy as np

from phalanx.hand.skeleton import PARENTS

_BONE = 0.06  # thickness of what is surely hand, in extents of the joints
_REACH = 0.22  # how far from it the hand may be
_ROUNDS = 3


def cut_out(image: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """How much of each pixel is hand or forearm: (H, W) uint8.

    Args:
        image: (H, W, 3) uint8 RGB, one hand before a plain background; its forearm may leave by the lower edge.
        joints: (21, 2) pixels.
    """
    height, width = image.shape[:2]
    extent = float(np.ptp(joints, axis=0).max())
    surely = np.zeros((height, width), np.uint8)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            ends = [tuple(int(v) for v in np.clip(joints[k], -1e4, 1e4).round()) for k in (joint, parent)]
            cv2.line(surely, ends[0], ends[1], 1, max(int(_BONE * extent), 1))
    palm = np.clip(joints[[0, 1, 5, 9, 13, 17]], -1e4, 1e4).round().astype(np.int32)
    cv2.fillConvexPoly(surely, cv2.convexHull(palm), 1)
    side = 2 * max(int(_REACH * extent), 1) + 1
    maybe = cv2.dilate(surely, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    wrist = np.clip(joints[0].round().astype(int), 0, [width - 1, height - 1])
    half = int(0.35 * extent)
    maybe[wrist[1] :, max(wrist[0] - half, 0) : wrist[0] + half] = 1  # the forearm
    state = np.where(maybe > 0, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    state[surely > 0] = cv2.GC_FGD
    if not (state == cv2.GC_BGD).any() or not (state == cv2.GC_FGD).any():
        return np.full((height, width), 255, np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(image), state, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    hand = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.GaussianBlur(hand * 255, (0, 0), 0.7)
