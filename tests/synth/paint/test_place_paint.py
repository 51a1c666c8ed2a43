"""Painted surfaces: where rays meet them, shadows under hands, the light that they give back."""

import numpy as np
import torch

from phalanx.core.seeding import generator
from phalanx.render.visibility import visibility
from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.place import Surfaces, draw_places
from phalanx.synth.paint.place_paint import mean_reflectance, near_light, paint_surfaces, texture_bank

SIZE = 64
K = torch.tensor([[[80.0, 0, 31.5], [0, 80.0, 31.5], [0, 0, 1]]])


def table(half: float = 0.12, curvature: float = 0.0) -> Surfaces:
    """Half a metre away, leaning by 40 degrees: its axes are across the picture, down it, and out of the surface."""
    c, s = np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40))
    axes = torch.tensor([[[1.0, 0, 0], [0, c, -s], [0, -s, -c]]], dtype=torch.float64)
    axes[:, 0] = torch.linalg.cross(axes[:, 1], axes[:, 2])
    edges = torch.tensor([[[-1.0, 0, half], [1, 0, half], [0, -1, half], [0, 1, half], [0, 0, 50]]]).double()
    origin = torch.tensor([[0.0, 0.0, 0.5]], dtype=torch.float64)
    return Surfaces(axes, origin, torch.tensor([curvature], dtype=torch.float64), edges)


def overhead(surfaces: Surfaces):
    """One light straight above the surface, and next to no other."""
    light = draw_light(generator(2), 1)
    light.direction[:] = surfaces.axes[:, None, 2].numpy()
    light.colour[:] = [[[1.0, 0.9, 0.8], [0, 0, 0]]]
    light.ambient[:], light.softness[:] = 0.0, 0.05
    light.ambient[:, :, 0] = 0.1
    return light


def painted(surfaces: Surfaces, balls: torch.Tensor):
    bank = texture_bank(("wall",), "cpu")
    draw = draw_places(generator(4), 1)
    draw.colour[:] = np.concatenate([np.zeros((3, 3)), np.full((3, 1), 0.7)], 1)  # the same all over
    grey = torch.full((1, 3), 0.3)
    radii = torch.full((balls.shape[1],), 0.04)
    return paint_surfaces(surfaces, draw, bank, K, SIZE, balls, radii, overhead(surfaces), grey)


def test_depth_and_cover_are_those_of_the_rendered_plane():
    surfaces = table()
    result = painted(surfaces, torch.full((1, 1, 3), 9.0))
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]).double() * 0.12
    corners = (corners @ surfaces.axes + surfaces.origin[:, None]).float()
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]])
    inside = visibility(corners, faces, K, SIZE, SIZE)[0] >= 0
    assert 0.1 < inside.float().mean() < 0.8
    assert ((result.coverage[0] > 0.5) == inside).float().mean() > 0.995
    row, column = torch.meshgrid(torch.arange(SIZE) * 1.0, torch.arange(SIZE) * 1.0, indexing="ij")
    ray = torch.stack([(column - 31.5) / 80, (row - 31.5) / 80, torch.ones_like(row)], -1)
    normal = surfaces.axes[0, 2].float()
    depth = (surfaces.origin[0].float() @ normal) / (ray @ normal)
    assert torch.allclose(result.depth[0][inside], depth[inside], atol=1e-4)


def test_points_seen_of_a_cylinder_lie_on_it():
    surfaces = table(50.0, 1 / 0.08)
    result = painted(surfaces, torch.full((1, 1, 3), 9.0))
    row, column = torch.meshgrid(torch.arange(SIZE) * 1.0, torch.arange(SIZE) * 1.0, indexing="ij")
    ray = torch.stack([(column - 31.5) / 80, (row - 31.5) / 80, torch.ones_like(row)], -1)
    own = surfaces.own((ray * result.depth[0, ..., None]).view(1, -1, 3).double())
    away = torch.hypot(own[..., 0], own[..., 2] + 0.08)[0].view(SIZE, SIZE)
    whole = result.coverage[0] == 1
    assert 0.1 < whole.float().mean() < 0.7
    assert (away - 0.08).abs()[whole].max() < 1e-4


def test_a_ball_on_a_table_throws_a_shadow_around_its_foot():
    surfaces = table(0.3)
    ball = (surfaces.origin + 0.04 * surfaces.axes[:, 2])[:, None].float()
    open_, shaded = painted(surfaces, torch.full((1, 1, 3), 9.0)).colour[0, 1], painted(surfaces, ball).colour[0, 1]
    whole = painted(surfaces, ball).coverage[0] == 1
    ratio = shaded / open_
    assert ratio[30:34, 30:34].max() < 0.4
    assert ratio[whole][-1] > 0.97 and ratio[whole].median() > 0.9
    assert (ratio <= 1 + 1e-5).all()


def test_hands_get_no_light_through_a_table_and_its_colour_from_below():
    surfaces = table()
    light = overhead(surfaces)
    light.direction[:, 0] *= -1  # below the table
    light.colour[:, 1] = 1.0
    normal, red = surfaces.axes[:, 2].numpy(), np.array([[0.8, 0.1, 0.1]])
    rows = np.array([0])
    near = near_light(light, rows, normal, red, np.array([0.001]))
    far = near_light(light, rows, normal, red, np.array([-1.0]))
    assert near.colour[0, 0].max() < 0.01 and np.allclose(near.colour[0, 1], 1.0)
    assert np.allclose(far.colour, light.colour, atol=0.01)
    below = near.ambient[0, :, 0] - near.ambient[0, :, 1:] @ normal[0]
    above = near.ambient[0, :, 0] + near.ambient[0, :, 1:] @ normal[0]
    assert below[0] > 3 * below[1] and below[0] > 0.4
    assert np.allclose(above, 0.1, atol=1e-6)
    assert light.ambient[0, 0, 0] == np.float32(0.1)  # as it was


def test_mean_reflectance_is_that_of_the_paint():
    draw = draw_places(generator(4), 3)
    draw.colour[:] = np.concatenate([np.zeros((3, 3)), np.array([[0.5], [0.7], [0.9]])], 1)
    assert np.allclose(mean_reflectance(draw, texture_bank(("wall",), "cpu")), [[0.25, 0.49, 0.81]] * 3)
