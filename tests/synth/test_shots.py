"""Shots: which pictures share a background, things and bodies in the cameras' frames, pixels of points."""

import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.render.solids import signed_distance
from phalanx.synth import SynthConfig
from phalanx.synth.sense.sensors import AZURE
from phalanx.synth.shots import draw_shot, project


def shot(sensor=None, **choices):
    return draw_shot(SynthConfig(size=32, **choices), generator(4), sensor, torch.device("cpu"))


@pytest.mark.parametrize(
    ("choices", "place"),
    [
        ({"chunk": 3}, [0, 1, 2]),
        ({"chunk": 8, "rig": "ring2", "scene": "motion", "frames": 2}, [0, 1, 0, 1, 2, 3, 2, 3]),
        ({"chunk": 4, "scene": "motion", "frames": 2}, [0, 0, 1, 1]),
    ],
)
def test_a_background_is_a_cameras_and_a_hands(choices, place):
    found = shot(**choices)
    assert found.place.tolist() == place and found.places == max(place) + 1
    assert found.clips == (choices.get("scene") == "motion")
    assert torch.equal(found.time, torch.as_tensor(found.views.frame) / torch.tensor(30.0))


def test_things_are_where_hands_hold_them():
    found = shot(chunk=6, scene="holding")
    assert found.things.kind.shape == (6, 1)
    skin = signed_distance(found.things, found.surface.vertices)[:, 0].amin(1)
    assert -0.015 < skin.min() and skin.max() < 0.005
    assert shot(chunk=2).things is None


def test_hands_are_held_where_the_sensor_reads():
    near, far = (shot(sensor, chunk=40).pose.translation.norm(dim=1).min() for sensor in (None, AZURE))
    assert near < 0.5 < far


def test_points_are_projected_by_all_of_the_camera_matrix():
    K = torch.tensor([[[50.0, 7, 20], [0, 40, 15], [0, 0, 1]]])
    points = torch.tensor([[[0.1, -0.2, 0.5], [0.0, 0.3, 0.8]]])
    pixels = points @ K.mT
    torch.testing.assert_close(project(points, K), pixels[..., :2] / pixels[..., 2:])
