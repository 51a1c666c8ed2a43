"""Cubes round hands: points go where they are, whatever the camera; the nearest thing is found."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.geometry.cubes import (
    EXTENT,
    cube_maps,
    depth_to_points,
    maps_of_points,
    nearest_hand,
    places_on,
    surface_points,
    turned_maps,
)
from phalanx.geometry.rotations import rotvec_to_rotmat

SIZE = 64


def camera(focal=300.0, size=160, batch=1):
    K = torch.tensor([[focal, 0, size / 2 - 0.5], [0, focal, size / 2 - 0.5], [0, 0, 1]])
    return K.repeat(batch, 1, 1)


def ball(centre, radius, K, size=160):
    """Depth map of a ball by rays; 0 where it is missed."""
    centre = torch.tensor(centre)
    rays = depth_to_points(torch.ones(1, size, size), K)[0]
    unit = rays / rays.norm(dim=-1, keepdim=True)
    along = unit @ centre
    inside = along.square() - centre.square().sum() + radius**2
    distance = along - inside.clamp_min(0).sqrt()
    return torch.where(inside > 0, distance * unit[..., 2], torch.zeros(()))[None]


def cells(size=SIZE, extent=EXTENT):
    line = ((torch.arange(size) + 0.5) / size - 0.5) * extent
    return torch.meshgrid(line, line, indexing="xy")


def test_points_are_on_their_rays():
    K = camera()
    depth = torch.rand(1, 6, 5) + 0.3
    points = depth_to_points(depth, K)
    pixels = points @ K[0].T
    pixels = pixels[..., :2] / pixels[..., 2:]
    x, y = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="xy")
    assert torch.allclose(pixels[0], torch.stack([x, y], -1), atol=1e-4)
    assert torch.equal(points[..., 2], depth)


@settings(max_examples=15, deadline=None)
@given(
    x=st.floats(-0.06, 0.06),
    y=st.floats(-0.06, 0.06),
    z=st.floats(0.48, 0.7),  # all of the ball is in the picture
    dx=st.floats(-0.05, 0.05),
    dz=st.floats(-0.05, 0.05),
)
def test_a_ball_is_drawn_as_an_orthographic_camera_sees_it(x, y, z, dx, dz):
    radius, K = 0.06, camera(260)
    middle = torch.tensor([[x + dx, y, z + dz]])
    got = cube_maps(ball((x, y, z), radius, K), K, middle, SIZE)[0]
    across, down = cells()
    beside = (across + dx).square() + down.square()
    inner = beside < (0.75 * radius) ** 2  # what the camera, too, sees
    want = -dz - (radius**2 - beside).clamp_min(0).sqrt()
    assert inner.sum() > 100
    assert (got[inner] < EXTENT / 2).all()  # no holes
    # A reading is up to a pixel or a cell away from the cell's middle, and the surface slopes.
    assert (got - want)[inner].abs().max() < 0.0075 and (got - want)[inner].abs().median() < 0.0025
    assert (got[beside > (radius + 0.008) ** 2] == EXTENT / 2).all()


def test_what_lies_outside_the_cube_is_not_there():
    K = camera(batch=2)
    depth = torch.full((2, 160, 160), 0.6)
    maps = cube_maps(depth, K, torch.tensor([[0, 0, 0.6], [0, 0, 0.76]]), SIZE)
    assert maps[0].abs().max() < 1e-6 and (maps[1] == EXTENT / 2).all()
    depth[:, :, :80] = 0
    maps = cube_maps(depth, K, torch.tensor([[0, 0, 0.6], [0, 0, 0.5]]), SIZE)
    assert (maps[0, :, :31] == EXTENT / 2).all() and maps[0, :, 34:].abs().max() < 1e-6
    assert maps[1, 32, 40] == pytest.approx(0.1, abs=1e-6)


def test_readings_far_apart_leave_no_holes():
    K = camera(focal=90, size=40)  # 6.7 mm between readings at 60 cm, cells of 4.7 mm
    depth = torch.full((1, 40, 40), 0.6)
    maps = cube_maps(depth, K, torch.tensor([[0, 0, 0.6]]), SIZE)
    assert (maps[:, 12:-12, 12:-12] < EXTENT / 2).all()


def test_the_nearest_of_a_cell_stays():
    K = camera(focal=250)
    depth = torch.full((1, 160, 160), 0.62)
    depth[:, ::2] = 0.58
    maps = cube_maps(depth, K, torch.tensor([[0, 0, 0.6]]), 32)
    assert torch.allclose(maps, torch.tensor(-0.02), atol=1e-6)


def test_the_nearest_thing_is_found_before_a_wall_and_despite_wrong_readings():
    K = camera()
    depth = ball((0.05, -0.03, 0.5), 0.05, K)
    depth = torch.where(depth > 0, depth, torch.tensor(0.9))
    depth[0, 3, 7] = 0.05
    depth[0, 100:103, 20:24] = 0
    middle = nearest_hand(depth, K)[0]
    assert (middle[:2] - torch.tensor([0.05, -0.03])).norm() < 0.006 and 0.44 < middle[2] < 0.49
    assert nearest_hand(torch.zeros(2, 8, 8), camera(batch=2)).isnan().all()


def test_the_middle_moves_with_the_hand():
    K = camera()
    first = nearest_hand(ball((0.0, 0.0, 0.5), 0.05, K), K)[0]
    second = nearest_hand(ball((0.06, 0.0, 0.6), 0.05, K), K)[0]
    moved = second - first
    assert abs(float(moved[0]) - 0.06) < 0.01 and abs(float(moved[2]) - 0.1) < 0.005 and abs(float(moved[1])) < 0.003
    assert math.isfinite(float(moved.sum()))


@pytest.mark.parametrize("focal", [90.0, 300.0])
def test_turned_maps_are_those_of_turned_points(focal):
    K = camera(focal)
    depth = ball((0.05, -0.03, 0.6), 0.06, K)[0]
    middles = torch.tensor([[0.05, -0.03, 0.55], [0.0, 0.0, 0.6], [2.0, 0.0, 0.6]])
    turns = rotvec_to_rotmat(torch.tensor([[0.0, 0.0, 0.0], [0.2, -0.3, 0.4], [0.0, 0.0, 0.1]]))
    pitch = EXTENT / SIZE
    points = surface_points(depth, K[0], pitch)
    maps = turned_maps(depth, K[0], middles, turns, SIZE, EXTENT, pitch)
    for found, middle, turn in zip(maps, middles, turns, strict=True):
        (wanted,) = maps_of_points((points - middle) @ turn.T, torch.zeros(1, 3), SIZE, EXTENT)
        agree = (found - wanted).abs() < 0.004
        assert agree.float().mean() > 0.98  # rims differ where readings are split
        assert ((found < EXTENT / 2) == (wanted < EXTENT / 2)).float().mean() > 0.98
    assert (maps[2] == EXTENT / 2).all() and (maps[:2] < EXTENT / 2).flatten(1).any(1).all()


def test_the_same_points_are_seen_about_each_middle():
    points = torch.tensor([[0.0, 0.0, 0.6], [0.1, 0.02, 0.65], [-0.4, 0.0, 0.6], [0.0, 0.0, 0.9]])
    maps = maps_of_points(points, torch.tensor([[0.0, 0.0, 0.6], [-0.3, 0.0, 0.6]]), 30, EXTENT)
    assert [(cells < EXTENT / 2).nonzero().tolist() for cells in maps] == [[[15, 15], [17, 25]], [[15, 5]]]


def test_what_is_thick_is_looked_at_before_walls():
    K = camera(size=160)
    depth = ball((0.1, 0.05, 0.9), 0.05, K)[0]
    depth = torch.where(depth > 0, depth, torch.tensor(1.2))
    depth[:, :40] = 0.7  # a flat thing that is nearer
    places = places_on(surface_points(depth, K[0], 0.01), 6)
    assert len(places) == 6 and float((places - torch.tensor([0.1, 0.05, 0.87])).norm(dim=1).min()) < 0.06
    assert not len(places_on(torch.zeros(0, 3)))
