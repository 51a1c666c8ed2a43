"""Rooms: every ray meets the side that it points to, whichever way the camera looks."""

import numpy as np
import torch

from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.rooms import Patch, Room, draw_room, paint_room

K = torch.tensor([[40.0, 0.0, 39.5], [0.0, 40.0, 29.5], [0.0, 0.0, 1.0]])
LIGHT = draw_light(np.random.default_rng(0), 1)
TILE = torch.full((3, 8, 8), 0.4)
AHEAD = 4


def plain(patches: list[Patch]) -> Room:
    colours = np.full((6, 3), 0.2)
    colours[AHEAD] = 0.6
    low, high = np.array([-2.0, -1.5, -1.0]), np.array([2.0, 1.0, 3.0])
    return Room(np.eye(3), low, high, colours, np.zeros(4), np.zeros((0, 2)), 0.0, np.zeros(3), 1e3, 0, 0.0, patches)


def test_patches_are_where_they_project_to():
    red = np.array([0.9, 0.1, 0.1])
    box = (-0.5, 0.7, 0.4, 1.6)  # over a floor that is a metre below the camera
    colour = paint_room(plain([Patch(AHEAD, box, red, red, 0.0)]), K, 60, 80, LIGHT, TILE)
    rows, columns = (colour[0] > 2.0 * colour[1]).nonzero().unbind(1)
    edges = torch.tensor([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]).float() - 0.5
    wanted = torch.tensor([39.5 - 40 / 6, 39.5 + 28 / 3, 29.5 - 8, 29.5 + 8])
    assert (edges - wanted).abs().max() <= 1.0


def test_rooms_hold_people_and_are_finite_from_all_sides():
    random = np.random.default_rng(1)
    for _ in range(12):
        turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
        turn[:, 0] *= np.linalg.det(turn)
        points = random.normal(size=(9, 3)) * 0.5 + [0.0, 0.0, 1.5]
        room = draw_room(random, turn, points, points[:2], 4)
        own = points @ turn
        assert (own > room.low).all() and (own < room.high).all() and (room.low < 0).all() and (room.high > 0).all()
        colour = paint_room(room, K, 60, 80, LIGHT, TILE)
        assert colour.isfinite().all() and (colour >= 0).all()
    straight = paint_room(plain([]), torch.tensor([[40.0, 0, 40], [0, 40, 30], [0, 0, 1]]), 60, 80, LIGHT, TILE)
    assert straight.isfinite().all()  # a ray straight ahead has no slope at all
