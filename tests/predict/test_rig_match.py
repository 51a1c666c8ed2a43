from dataclasses import replace

import numpy as np
from true_rig import TrueRig

from phalanx.predict.looks import Look, box_around_joints
from phalanx.predict.rig_match import Candidate, one_hand


def candidate(true, frame, view, sure=0.9, shift=0.0):
    """The hand in a view, or one beside it."""
    square = box_around_joints(true.seen(frame, view), true.width(view), 240)
    found = true.look(true.image(frame, view), Look(0, square, False))
    square = replace(square, centre_x=square.centre_x + shift, centre_y=square.centre_y - 0.7 * shift)
    return Candidate(replace(found, look=Look(0, square, False)), sure)


def test_the_hand_that_most_views_agree_about_is_chosen_though_others_are_surer():
    true = TrueRig(3)
    own = [candidate(true, 5, view) for view in range(3)]
    others = [candidate(true, 5, view, 0.99, shift) for view, shift in ((0, 45.0), (1, -50.0))]
    seen = one_hand([[others[0], own[0]], [others[1], own[1]], [own[2]]], [true.camera(view) for view in range(3)])
    assert all(each is wanted for each, wanted in zip(seen, own, strict=True))


def test_a_view_that_shows_another_hand_alone_has_none():
    true = TrueRig(3)
    own = [candidate(true, 5, view) for view in range(3)]
    wrong = candidate(true, 5, 2, 0.99, 60.0)
    seen = one_hand([[own[0], candidate(true, 5, 0, 0.8, 45.0)], [own[1]], [wrong]], [true.camera(v) for v in range(3)])
    assert seen[0] is own[0] and seen[1] is own[1] and seen[2] is None


def test_one_of_each_is_taken_as_it_is_and_views_without_a_picture_have_none():
    true = TrueRig(2)
    own = candidate(true, 3, 0)
    assert one_hand([[own], []], [true.camera(0), None]) == [own, None]


def test_sizes_of_errors_are_in_pixels_of_the_picture():
    true = TrueRig(2)
    own = candidate(true, 3, 0)
    np.testing.assert_allclose(own.joints, true.seen(3, 0), atol=0.01)
    np.testing.assert_allclose(own.sigma, 0.01 * own.view.look.square.side, rtol=1e-5)
