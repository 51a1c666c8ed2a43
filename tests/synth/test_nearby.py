"""Surfaces near hands in whole chunks: seen by colour and depth alike, the same in all views and frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.synth import SynthConfig, chunks, make_chunk, nearby
from phalanx.synth.paint.place import heights

CONFIG = SynthConfig(size=32, chunk=12, tiles=4, skins=1, depth_sensor="ideal", camera="ideal")


@pytest.fixture
def made(monkeypatch):
    """A function from settings to the sample and the surfaces of a chunk."""

    def function(config, index=0):
        found = []

        def put(*arguments):
            found.append(nearby.put_nearby(*arguments))
            return found[-1]

        monkeypatch.setattr(chunks, "put_nearby", put)
        return make_chunk(config, 3, index).check(), found[0]

    return function


def test_depth_sensors_see_the_surface_that_colour_shows(made):
    sample, near = made(replace(CONFIG, chunk=32))
    assert 4 <= len(near.pictures) <= 18
    empty = sample.mask == 0
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    pixels = torch.stack([column, row, torch.ones_like(row)], -1).view(-1, 3)
    shares = []
    for i, picture in enumerate(near.rows):
        rays = pixels @ torch.linalg.inv(sample.K[picture]).T
        points = (rays * sample.sensed_depth[picture].view(-1, 1))[None].double()
        on = heights(near.surfaces[torch.tensor([i])], points).abs()[0].view(32, 32) < 1e-3
        shares.append((on & empty[picture]).sum() / empty[picture].sum())
    assert np.mean(shares) > 0.5


def test_labels_are_the_hands_alone(made, monkeypatch):
    sample, _ = made(CONFIG)
    monkeypatch.setattr(chunks, "put_nearby", lambda *_: None)
    without = make_chunk(CONFIG, 3, 0)
    for name in ("depth", "mask", "parts", "joints", "K", "vertices", "rotations"):
        assert torch.equal(sample.present()[name], without.present()[name]), name
    assert not torch.equal(sample.image, without.image)


@pytest.mark.parametrize("changes", [{"rig": "five_views", "chunk": 20}, {"scene": "motion", "frames": 4, "chunk": 16}])
def test_views_and_frames_show_one_surface(made, in_world, changes):
    index, near = 0, None
    while near is None:
        sample, near = made(replace(CONFIG, depth_sensor=None, **changes), index)
        index += 1
    normal, origin = near.surfaces.axes[:, None, 2], near.surfaces.origin[:, None]
    ends = in_world(torch.cat([origin, origin + normal], 1), sample.world_to_camera[near.rows])
    each = 5 if "rig" in changes else 4
    assert len(near.rows) % each == 0
    for world in ends.split(each):
        assert (world - world[0]).abs().max() < 1e-5
    above = heights(near.surfaces, sample.vertices[near.rows].double())
    assert (above.view(len(near.rows) // each, -1).amin(1) < 0.1).all()


def test_held_things_have_none(made):
    assert made(replace(CONFIG, scene="holding", chunk=4))[1] is None


def test_same_surfaces_again(made):
    (first, near), (again, same) = made(CONFIG), made(CONFIG)
    assert torch.equal(near.surfaces.origin, same.surfaces.origin) and torch.equal(first.image, again.image)
    touch = near.pressed(first.vertices)
    assert touch.shape == first.vertices.shape[:2] and touch.max() == 1
