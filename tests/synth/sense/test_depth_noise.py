"""What is drawn for depth pictures, and the fields of noise that they see."""

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth.sense.depth_noise import FIELD_SIDE, draw_depth_noise, noise_fields
from phalanx.synth.sense.sensors import IDEAL, KINECT1, KINECT2


def test_draws_leave_the_generator_alike():
    ends = set()
    for sensor, size in ((KINECT1, 64), (KINECT2, 128), (IDEAL, 16)):
        random = generator(5)
        draw_depth_noise(random, 3, size, sensor)
        ends.add(random.random())
    assert len(ends) == 1


def test_turns_must_be_one_a_picture():
    with pytest.raises(InputError, match="^turn: must have shape"):
        draw_depth_noise(generator(0), 2, 16, KINECT1, turn=np.zeros(3))


def test_fields_are_unit_noise_and_tile():
    along, across, _, limit, uniform = (f.view(FIELD_SIDE, FIELD_SIDE) for f in noise_fields(4.0, 0.0, 2.0, "cpu"))
    for field in (along, across):
        assert abs(field.mean()) < 0.05 and field.std().item() == pytest.approx(1.0, rel=0.02)
    seam, inside = ((along[i] - along[j]).abs().mean() for i, j in ((0, -1), (100, 101)))
    assert seam.item() == pytest.approx(inside.item(), rel=0.5)
    assert inside < 0.3 < (across[100] - across[101]).abs().mean()  # alike over the grain, or not
    assert limit.min() > 0 and limit.log().std().item() == pytest.approx(0.35, rel=0.05)
    assert (
        uniform.min() >= 0
        and uniform.max() < 1
        and torch.equal(uniform, noise_fields(0.0, 0.0, 0.0, "cpu")[4].view_as(uniform))
    )
