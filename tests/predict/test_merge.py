"""Which views are hands, and which are one hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from phalanx.hand.model import HandModel
from phalanx.predict.looks import box_around_joints
from phalanx.predict.merge import HOPELESS, OFFSET, belief, different_hands, is_hand


@pytest.fixture(scope="module")
def joints():
    """(21, 2) pixels of an open hand that points up, 100 pixels long, about (200, 200)."""
    flat = HandModel.open_hand().rest_joints[:, :2].double().numpy() * [1, -1]
    flat = flat / np.ptp(flat, axis=0).max() * 100
    return flat - flat.mean(0) + 200


def turned(joints, angle):
    c, s = math.cos(angle), math.sin(angle)
    return (joints - joints.mean(0)) @ np.array([[c, s], [-s, c]]) + joints.mean(0)


def test_of_views_of_one_hand_the_surest_stays(joints):
    near, small = joints + [20, 10], (joints - 200) * 0.7 + 205
    assert different_hands([near, joints, small], [False] * 3, [0.5, 0.9, 0.6]) == [1]
    assert different_hands([joints, joints + 500, near], [True] * 3, [0.5, 0.1, 0.6]) == [1, 2]
    assert different_hands([], [], []) == []


def test_hands_that_touch_stay_two(joints):
    """Side by side, folded (two kinds in one place), shaken (pointing at each other), and small before large."""
    for other, kinds in [
        (joints + [40, 0], (False, False)),
        (joints + [3, 3], (False, True)),
        (turned(joints, math.pi), (False, False)),
        (turned(joints, math.pi / 2), (False, False)),
        ((joints - 200) * 0.2 + 200, (False, False)),
    ]:
        assert different_hands([joints, other], kinds, [0.9, 0.8]) == [0, 1]


def test_a_hand_is_where_it_was_detected(joints):
    square = box_around_joints(turned(joints, 0.7), 400, 400)
    assert is_hand(turned(joints, 0.7), 0.9, square)
    assert is_hand(turned(joints, 0.7) + [30, 0], 0.9, square)  # part of it beyond
    assert not is_hand(turned(joints, 0.7) + [120, 0], 0.9, square)
    assert not is_hand(joints, 0.9, replace(square, side=square.side / 4, centre_x=square.centre_x + 60))
    assert not is_hand(turned(joints, 0.7), 0.99 * HOPELESS, square)


def test_estimator_and_detector_agree_or_not():
    assert 0 < belief(0.0, 0.0) < belief(0.1, 0.5) < belief(0.5, 0.5) < belief(0.5, 0.9) < belief(1.0, 1.0) < 1
    assert belief(0.5, 0.5) == pytest.approx(1 / (1 + math.exp(-OFFSET)))  # neither says anything
    assert belief(0.9, 0.05) < 0.9 < belief(0.9, 0.9)
