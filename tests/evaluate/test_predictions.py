"""Asking predictors: what they find, and that finding nothing is no fault."""

from types import SimpleNamespace

import numpy as np

from phalanx.evaluate.predictions import ask, joint_run

IMAGE = np.zeros((20, 30, 3), np.uint8)


def test_a_picture_without_a_possible_hand_counts_as_missed():
    hand = SimpleNamespace(joints_2d=np.ones((21, 2)), joints=np.ones((21, 3)))
    answers = [ask(lambda image, hands=hands, **options: hands, IMAGE, side="right")[1] for hands in ([hand], [])]
    run = joint_run(answers, ["a", "b"])
    assert run.found.tolist() == [True, False] and np.isnan(run.joints[1]).all() and (run.ms >= 0).all()


def test_the_first_hand_is_the_best():
    hands = [SimpleNamespace(joints_2d=np.full((21, 2), k), joints=np.full((21, 3), k)) for k in range(2)]
    best, found = ask(lambda image: hands, IMAGE)
    assert best is hands[0] and (found.joints == 0).all()
