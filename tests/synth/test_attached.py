"""Hands of crops that have people: on their arms, in their sleeves, with their bodies about."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.attached import clothed, draw_people
from phalanx.synth.body.model import JOINT
from phalanx.synth.paint.body_look import draw_body_looks, femininity
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.dress import draw_dress
from phalanx.synth.shots import draw_shot


@pytest.fixture(scope="module", params=["third_person", "egocentric"])
def shot(request):
    config = SynthConfig(size=64, chunk=12, scene=request.param, tiles=2, skins=1)
    return draw_shot(config, generator(6), None, torch.device("cpu"))


def test_some_hands_have_people_on_whose_wrists_they_are(shot):
    count = len(shot.views.body.vertices)
    assert 0 < count < 12 and len(shot.views.down) == count
    wrist = shot.views.body.joints[:, JOINT["right_wrist"]]
    assert (shot.pose.translation[:count] - wrist).norm(dim=1).max() < 2e-3
    assert ((shot.joints_2d > -0.5) & (shot.joints_2d < 63.5)).all(-1).sum(1).min() >= 16


def test_hands_wear_the_sleeves_of_their_people(shot):
    people = draw_people(shot, torch.full((12, 3, 6), -1.0), generator(1))
    plain = draw_dress(generator(2), 12)
    worn, (vertices, cover, phase) = clothed(shot, people, plain)
    count = len(people)
    assert np.array_equal(worn.edge[count:], plain.edge[count:]) and worn.items == plain.items
    assert not np.array_equal(worn.colour[:count], plain.colour[:count])
    assert vertices.shape == shot.surface.vertices.shape and cover.shape == phase.shape == vertices.shape[:2]
    far = (vertices - shot.pose.translation[:, None]).norm(dim=-1).amax(1)
    assert far[:count].max() < 0.3 < far[count:].min()  # their arms are the bodies' own


def test_people_look_as_their_skins_and_builds_say(shot):
    pale, dark = (draw_people(shot, torch.full((12, 3, 6), level), generator(1)).look for level in (-0.6, -2.5))
    count = len(pale)
    expected = draw_body_looks(
        generator(1), count, np.full((count, 3, 6), -2.5), femininity(body("cpu")[0], shot.views.body.shape)
    )
    assert np.array_equal(dark.hair, expected.hair) and np.array_equal(dark.long, expected.long)
    assert not np.array_equal(pale.hair, dark.hair)


def test_pictures_show_people_and_labels_stay_those_of_the_hands():
    config = SynthConfig(size=64, chunk=8, scene="third_person", tiles=2, skins=1, depth_sensor="ideal")
    sample = make_chunk(config, 6, 0).check()
    pixels = sample.joints @ sample.K.mT
    torch.testing.assert_close(pixels[..., :2] / pixels[..., 2:], sample.joints_2d, rtol=1e-4, atol=1e-2)
    again = make_chunk(config, 6, 0)
    assert all(torch.equal(value, again.present()[name]) for name, value in sample.present().items())
