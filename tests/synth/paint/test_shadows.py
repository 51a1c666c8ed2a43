"""What people keep light from: the tables under their hands, and those beside them."""

from dataclasses import replace

import numpy as np
import torch

from phalanx.synth.body.model import BodyPose
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.light import Balls, draw_light
from phalanx.synth.paint.shadows import about_people, hand_balls, light_on_table
from phalanx.synth.paint.surface import hand
from phalanx.synth.paint.table import Table


def test_tables_are_dark_below_hands_alone():
    light = draw_light(np.random.default_rng(0), 1)
    above = np.zeros_like(light.direction)
    above[..., 1] = -1.0
    light = replace(light, direction=above, colour=np.ones_like(light.colour))
    table = Table(
        np.array([0.0, 0.3, 0.8]), np.array([0.0, -1.0, 0.0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), (0.6, 0.4)
    )
    K = torch.tensor([[400.0, 0, 256], [0, 400.0, 32], [0, 0, 1]])
    balls = Balls(torch.tensor([[[0.0, 0.24, 0.8]]]), torch.tensor([[0.04]]))
    lit, bare = (
        light_on_table(table, K, 288, 512, light, each) for each in (balls, Balls(balls.centres, 0 * balls.radii))
    )
    below = (round(400 * 0.3 / 0.8 + 32), 256)
    assert (lit[:, below[0], below[1]] < 0.7 * bare[:, below[0], below[1]]).all()
    torch.testing.assert_close(lit[:, below[0], 5], bare[:, below[0], 5], rtol=0.03, atol=0)


def test_people_shade_those_beside_them_in_the_same_frame():
    model, topology = body("cpu")
    rest = model.rest_pose(3)
    places = torch.tensor([[0.0, 0.0, 2.0], [0.5, 0.0, 2.0], [0.4, 0.0, 2.0]])
    surface = model(BodyPose(**{**vars(rest), "translation": places}))
    joints = hand("cpu")[0].rest_joints.expand(6, -1, -1) + places.repeat_interleave(2, 0)[:, None]
    bodies, hands = about_people(surface, topology, joints, np.array([0, 0, 1]))
    beside = bodies.radii[:, 2 * hand_balls(joints[:1]).radii.shape[1] :]
    assert (beside[:2] > 0).all() and (beside[2] == 0).all()
    far = bodies.centres[0, -beside.shape[1] :, 0]
    assert (far - 0.5).abs().max() < 0.45  # the neighbour's, not one's own
    own = hand_balls(joints)
    torch.testing.assert_close(hands.centres[0, -6:], own.centres[1])
    torch.testing.assert_close(hands.centres[3, -6:], own.centres[2])
