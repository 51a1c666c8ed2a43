"""Colours of a picture on a mesh, and back in a picture."""

import pytest
import torch

from phalanx.nets.graph import mesh_edges
from phalanx.render.vertex_colours import coloured_pictures, sampled_colours, spread_colours

SIZE = 32
K = torch.tensor([[40.0, 0, 15.5], [0, 40, 15.5], [0, 0, 1]])[None]


def plane(depth, side=0.3, count=13, shift=0.0):
    """A square grid that faces the camera."""
    line = torch.linspace(-side, side, count)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack((x + shift, y, torch.full_like(x, depth)), -1).reshape(-1, 3)
    cells = [
        (r * count + c, r * count + c + 1, (r + 1) * count + c) for r in range(count - 1) for c in range(count - 1)
    ]
    first = torch.tensor(cells)
    second = torch.stack((first[:, 1], first[:, 1] + count, first[:, 2]), 1)
    return points, torch.cat((first, second))


def ramp():
    line = torch.linspace(0, 1, SIZE)
    return torch.stack((line.expand(SIZE, SIZE), line[:, None].expand(SIZE, SIZE), torch.full((SIZE, SIZE), 0.5)))[None]


def test_vertices_have_the_colours_of_their_pixels_and_give_the_picture_back():
    points, faces = plane(1.0)
    colours, seen = sampled_colours(ramp(), torch.ones(1, SIZE, SIZE), points[None], faces, K)
    inner = (points[:, :2].abs() < 0.29).all(1)
    assert bool(seen[0, inner].all())
    for vertex in (5 * 13 + 6, 7 * 13 + 3):
        x, y = (40 * points[vertex, :2] + 15.5).tolist()
        expected = torch.tensor([x / (SIZE - 1), y / (SIZE - 1), 0.5])
        torch.testing.assert_close(colours[0, vertex], expected, atol=1e-4, rtol=0)
    picture, share = coloured_pictures(points[None], faces, K, colours, torch.zeros(1, 3, SIZE, SIZE))
    middle = slice(6, 26)
    torch.testing.assert_close(picture[..., middle, middle], ramp()[..., middle, middle], atol=2e-3, rtol=0)
    assert float(share.sum()) == pytest.approx((40 * 0.6) ** 2, rel=0.03)
    assert not picture[0, :, 0].any() and not share[0, 0].any()


def test_what_lies_behind_or_is_not_allowed_is_not_seen():
    near, faces = plane(1.0, 0.1)
    far, _ = plane(1.2, 0.1)
    both = torch.cat((near, far))[None]
    faces = torch.cat((faces, faces + len(near)))
    allowed = torch.ones(1, SIZE, SIZE)
    _, seen = sampled_colours(ramp(), allowed, both, faces, K)
    inner = (near[:, :2].abs() < 0.07).all(1)
    assert bool(seen[0, : len(near)][inner].all()) and not seen[0, len(near) :].any()
    _, seen = sampled_colours(ramp(), torch.zeros_like(allowed), both, faces, K)
    assert not seen.any()


def test_colours_spread_over_the_surface_and_what_is_seen_stays():
    points, faces = plane(1.0)
    edges = mesh_edges(faces)
    colours = torch.rand(2, len(points), 3, generator=torch.Generator().manual_seed(0))
    seen = torch.zeros(2, len(points), dtype=torch.bool)
    seen[0, :26] = True  # two rows; the second picture shows nothing
    found = spread_colours(colours, seen, edges, 3)
    assert torch.equal(found[0, :26], colours[0, :26])
    around = [int(b if a == 26 else a) for a, b in edges if 26 in (a, b)]
    known = [v for v in around if v < 26]
    torch.testing.assert_close(found[0, 26], colours[0, known].mean(0))
    torch.testing.assert_close(found[0, -1], colours[0, :26].mean(0))  # farther than three edges
    assert not found[1].any()
