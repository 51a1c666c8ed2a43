"""Surfaces that hands rest on: they touch, they hide nothing, and planes and cylinders are what they claim."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.hand.skeleton import FOREARM
from phalanx.synth.paint.place import SUNK, Surfaces, draw_places, heights, in_sight, on_surface, pressed, settle
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.hands import draw_hands


@pytest.fixture(scope="module")
def settled():
    """24 hands that all get a surface if one fits."""
    model = hand("cpu")[0]
    views = draw_hands(generator(8), model, 24, 64)
    vertices = model(views.pose).vertices
    draw = draw_places(generator(9), 24)
    camera = torch.zeros(24, 1, 3, dtype=torch.float64)
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64).expand(24, 3)
    arm = model.parts == FOREARM
    surfaces, kept = settle(draw, vertices.double(), arm, views.pose.orientation.double(), camera, up)
    return surfaces, kept, draw[kept.numpy()], vertices[kept], arm


def test_most_hands_get_a_surface_that_they_touch_as_drawn(settled):
    surfaces, kept, draw, vertices, arm = settled
    assert len(kept) >= 20 and (draw.curvature > 0).any() and (draw.press > 0).any() and (draw.press < 0).any()
    lowest = heights(surfaces, vertices.double())[:, ~arm].amin(1).numpy()
    flat = draw.curvature == 0
    assert np.abs(lowest + draw.press)[flat].max() < 1e-9
    assert (lowest > -draw.press - 1e-9).all()


def test_nothing_lies_further_below_than_flesh_gives(settled):
    surfaces, _, _, vertices, _ = settled
    points = vertices.double()
    beneath = torch.where(on_surface(surfaces, points), heights(surfaces, points), 0.0)
    assert -SUNK <= beneath.min() < -1e-3
    assert in_sight(surfaces, points).all()


def test_skin_is_pressed_where_it_touches_and_nowhere_else(settled):
    surfaces, kept, draw, vertices, _ = settled
    everywhere = torch.cat([vertices[:1], vertices])
    touch = pressed(surfaces, torch.arange(1, 1 + len(kept)), everywhere)
    assert touch.shape == everywhere.shape[:2] and touch.min() == 0 and touch.max() == 1
    assert (touch[0] == 0).all() and (touch[1:][torch.from_numpy(draw.press < -0.0011)] == 0).all()
    assert (touch > 0).float().mean() < 0.1


def test_heights_over_a_cylinder_are_distances_from_its_axis():
    axes = torch.eye(3, dtype=torch.float64)[None]
    cylinder = Surfaces(axes, torch.zeros(1, 3).double(), torch.tensor([1 / 0.08]).double(), torch.zeros(1, 5, 3))
    points = torch.from_numpy(generator(1).normal(0, 0.2, (1, 50, 3)))
    expected = torch.hypot(points[..., 0], points[..., 2] + 0.08) - 0.08
    assert torch.allclose(heights(cylinder, points), expected, atol=1e-9)


def test_surfaces_move_and_mirror_with_what_touches_them(settled):
    surfaces, kept, _, vertices, _ = settled
    motion = torch.eye(4, dtype=torch.float64).repeat(len(kept), 1, 1)
    motion[:, :3, :3] = torch.tensor(
        [[-0.6, 0, 0.8], [0, 1, 0], [0.8, 0, 0.6]], dtype=torch.float64
    )  # a turn and a mirror
    motion[:, :3, 3] = torch.tensor([0.1, -0.2, 0.3])
    moved = vertices.double() @ motion[:, :3, :3].mT + motion[:, None, :3, 3]
    assert torch.allclose(heights(surfaces.moved(motion), moved), heights(surfaces, vertices.double()), atol=1e-9)
    assert torch.equal(on_surface(surfaces.moved(motion), moved), on_surface(surfaces, vertices.double()))
