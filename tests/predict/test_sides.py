"""Which kinds of hand are looked for, and which of two views is believed."""

import math
from dataclasses import replace

import pytest

from phalanx.geometry.crops import SquareBox
from phalanx.predict.detection import Detection
from phalanx.predict.sides import CLEAR, LEARNT_WEIGHT, is_flipped, kinds_to_look_for, of_side, side_of, sureness

CLAIM = Detection((0, 0, 10, 10), 0.9, 0.5, SquareBox(5, 5, 20))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_side_and_how_it_looks_belong_together(mirrored):
    for side in ("left", "right"):
        assert side_of(is_flipped(side, mirrored), mirrored) == side
    assert is_flipped("left", mirrored) is not mirrored


def test_what_the_detector_is_sure_of_is_not_looked_at_twice():
    assert list(kinds_to_look_for("auto", False, CLEAR + 0.01)) == [False]
    assert list(kinds_to_look_for("auto", True, 0.99 - CLEAR)) == [True]  # how it looks, whatever the person's side
    assert all(set(kinds_to_look_for("auto", False, right)) == {False, True} for right in (CLEAR, 0.5, 1 - CLEAR))
    assert kinds_to_look_for("left", False, 0.99) == {True: 0.0} and kinds_to_look_for("left", True) == {False: 0.0}


def test_log_odds_of_detector_and_estimator_add():
    """The estimator's smaller error must outweigh what the detector says, and does at a ratio that follows from both."""

    def is_right(right, ratio):
        """`ratio`: error that the estimator expects if it is right, over that if it is left."""
        log_p = kinds_to_look_for("auto", False, right)
        return sureness(log_p[False], 0.02 * ratio) > sureness(log_p[True], 0.02)

    assert is_right(0.5, 0.99) and not is_right(0.5, 1.01)
    assert is_right(0.75, 1.01) and not is_right(0.25, 0.99)
    weight = sureness(0.0, 1.0) - sureness(0.0, math.e)  # of one e-fold
    balance = 3 ** (1 / weight)  # where the detector's odds of three to one are outweighed
    assert is_right(0.75, 0.999 * balance) and not is_right(0.75, 1.001 * balance)
    assert 1.02 < balance < 1.3


def test_learnt_handedness_counts_beside_the_error():
    alike = sureness(0.0, 0.02, 1.0) - sureness(0.0, 0.02, 0.0)
    assert alike == pytest.approx(LEARNT_WEIGHT)
    assert sureness(0.0, 0.02, 0.0) > sureness(0.0, 0.03, 0.0)


def test_of_a_given_side_clear_others_are_left_out_unless_all_are():
    clear_left, clear_right = replace(CLAIM, right=0.1), replace(CLAIM, right=0.9)
    claims = [clear_left, CLAIM, clear_right]
    assert of_side(claims, "auto", False) == claims
    assert of_side(claims, "right", False) == [CLAIM, clear_right] == of_side(claims, "left", True)
    assert of_side(claims, "left", False) == [clear_left, CLAIM]
    assert of_side([clear_left, clear_left], "right", False) == [clear_left, clear_left]
    assert of_side([], "right", False) == []
