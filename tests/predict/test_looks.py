"""Squares to look at, and what is looked at once more."""

import numpy as np

from phalanx.predict.inputs import MIN_BOX, as_box
from phalanx.predict.looks import box_around_joints


def test_joints_beyond_the_picture_do_not_carry_the_crop_away():
    joints = np.full((21, 2), -500.0)
    box = box_around_joints(joints, 320, 240)
    assert (box.centre_x, box.centre_y, box.side) == (0, 0, 2 * MIN_BOX)
    x, y = box.centre_x + 0.5 - box.side / 2, box.centre_y + 0.5 - box.side / 2
    as_box((x, y, box.side, box.side), 320, 240)  # a tracked hand may be looked for there again
