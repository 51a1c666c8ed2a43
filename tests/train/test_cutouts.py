"""Hands are cut out of plain backgrounds."""

import cv2
import numpy as np

from phalanx.hand.skeleton import PARENTS
from phalanx.train.cutouts import cut_out


def drawn_hand(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of a hand of thick lines before a plain wall, its mask and its joints."""
    joints = np.zeros((21, 2))
    joints[0] = [64, 100]
    for finger in range(5):
        angle = np.deg2rad(-50 + 24 * finger)
        for k in range(4):
            joints[1 + 4 * finger + k] = joints[0] + (28 + 13 * k) * np.array([np.sin(angle), -np.cos(angle)])
    mask = np.zeros((128, 128), np.uint8)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            cv2.line(mask, *(tuple(int(v) for v in joints[k].round()) for k in (joint, parent)), 255, 9)
    cv2.fillConvexPoly(mask, cv2.convexHull(joints[[0, 1, 5, 9, 13, 17]].round().astype(np.int32)), 255)
    draw = np.random.default_rng(seed)
    image = np.where(mask[..., None] > 0, np.array([190, 140, 110]), np.array([205, 210, 215])) + draw.normal(
        0, 5, (128, 128, 3)
    )
    return image.clip(0, 255).astype(np.uint8), mask > 0, joints


def test_a_hand_is_cut_out():
    image, mask, joints = drawn_hand(1)
    found = cut_out(image, joints) > 127
    assert (found & mask).sum() / (found | mask).sum() > 0.85
    assert np.array_equal(cut_out(image, joints), cut_out(image, joints))


def test_a_hand_that_fills_the_picture_is_all_of_it():
    image = np.full((40, 40, 3), 150, np.uint8)
    joints = np.random.default_rng(2).uniform(-60, 100, (21, 2))
    assert cut_out(image, joints).min() == 255
