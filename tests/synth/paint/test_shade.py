"""Rendering: coverage, depth and interpolation against slow twins."""

import numpy as np
import torch
import torch.nn.functional as F

from phalanx.core.seeding import generator
from phalanx.render.visibility import visibility
from phalanx.synth.paint.compose import Layer, compose, draw_composition
from phalanx.synth.paint.dress import draw_dress, dress, forearm_relief
from phalanx.synth.paint.gloves import Glove
from phalanx.synth.paint.light import draw_light, light_vertices
from phalanx.synth.paint.shade import Look, Picture, render, texture_side
from phalanx.synth.paint.skin import skin_bank
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.hands import draw_hands

SIZE = 48


def _scene(batch: int = 3):
    random = generator(3)
    model, topology = hand("cpu")
    views = draw_hands(random, model, batch, SIZE)
    pose, K = views.pose, views.K
    surface = model(pose)
    clothes = draw_dress(random, batch)
    clothes.edge[:] = -9.0
    clothes.items.clear()
    vertices, cover, phase = dress(surface, topology, topology.rest_normals, clothes)
    lit = light_vertices(surface, vertices, topology, draw_light(random, batch), torch.full((batch, 3), 0.3))
    colours = torch.zeros(batch, 3, 8)
    none = torch.zeros_like(cover)
    look = Look(lit, cover, phase, colours, torch.zeros(batch, dtype=torch.int64), clothes, none, none.clone())
    return topology, surface, vertices, K, look


def test_coverage_and_depth_are_those_of_four_samples_a_pixel():
    topology, _, vertices, K, look = _scene()
    picture = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    fine = K.clone()
    fine[:, :2] *= 2
    fine[:, :2, 2] += 0.5
    seen = visibility(vertices, topology.faces, fine, 2 * SIZE, 2 * SIZE)
    assert torch.equal(picture.coverage, F.avg_pool2d((seen >= 0)[:, None].float(), 2)[:, 0])
    # A slow twin of depth: rays through the pixels' centres against the planes of the triangles they see.
    once = visibility(vertices, topology.faces, K, SIZE, SIZE)
    b, y, x = ((once >= 0) & (picture.coverage == 1)).nonzero().unbind(1)
    corners = vertices[b[:, None], topology.faces[once[b, y, x].long()]].double()  # (N, 3, 3)
    ray = torch.linalg.solve(K[b].double(), torch.stack([x, y, torch.ones_like(x)], -1).double()[..., None])[..., 0]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    depth = (normal * corners[:, 0]).sum(-1) / (normal * ray).sum(-1)
    error = (picture.depth[b, y, x].double() - depth).abs()
    assert len(error) > 500
    assert error.median() < 5e-5 and error.quantile(0.95) < 2e-3


def test_colour_is_interpolated_light_times_reflectance():
    """With light equal to the rest position and reflectance one, colour is the rest position seen at each pixel."""
    topology, surface, _, K, look = _scene()
    look.light.diffuse = (topology.rest.T[:, :, None] + 0.5).expand(-1, -1, 3).contiguous()
    look.light.gloss.zero_()
    look.light.relief.zero_()
    picture = render(surface.vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    seen = visibility(surface.vertices, topology.faces, K, SIZE, SIZE)
    b, y, x = ((seen >= 0) & (picture.coverage == 1)).nonzero().unbind(1)
    corners = topology.rest[topology.faces[seen[b, y, x].long()]]
    rest = picture.colour[b, :, y, x] - 0.5
    outside = torch.maximum(corners.amin(1) - rest, rest - corners.amax(1)).amax(1)
    assert outside.quantile(0.9) < 1e-3  # within the triangle seen (at rims, samples of several are mixed)


def test_cloth_covers_and_bands_are_painted():
    topology, _, vertices, K, look = _scene()
    bare = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    look.colours[:, 0, 6] = -3.0  # cloth that reflects no red
    look.cover = torch.ones_like(look.cover)
    clothed = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    ratio = clothed.colour[:, 0].sum() / bare.colour[:, 0].sum()
    assert ratio < 0.3
    assert torch.equal(clothed.coverage, bare.coverage)


def test_stripes_too_fine_for_the_pixels_are_left_out():
    topology, _, vertices, K, look = _scene()
    look.cover = torch.ones_like(look.cover)
    look.phase = 1500.0 * topology.rest[None, :, 1].expand_as(look.cover).contiguous()
    look.dress.stripes[:] = [1500.0, 0.0, 0.0]  # 4 mm
    plain = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    look.colours[:, :, 7] = -2.0
    far = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    assert torch.equal(far.colour, plain.colour)  # 2 mm a pixel and more
    fine = K.clone()
    fine[:, :2] *= 6
    near = render(vertices, fine, 6 * SIZE, topology, look, skin_bank(1, 64, "cpu"))
    assert near.colour.sum() / near.coverage.sum() < 0.8 * plain.colour.sum() / plain.coverage.sum()


def test_items_are_painted_on_the_hand_that_wears_them():
    topology, surface, vertices, K, look = _scene()
    plain = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    blue = np.log(np.array([0.01, 0.01, 0.9]))
    look.dress.items.append((1, Glove("surgical", -0.04, 9.0, 0.002, blue, blue, 1.0, False)))
    gloved = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    assert torch.equal(gloved.colour[::2], plain.colour[::2])
    red = [(picture.colour[1, 0] * (picture.parts[1] > 2)).sum() for picture in (gloved, plain)]
    assert red[0] < 0.4 * red[1]
    moved, _, _ = dress(surface, topology, topology.rest_normals, look.dress)
    far = (moved - vertices).norm(dim=-1)
    assert far[::2].max() == 0 and 0.001 < far[1, topology.rest[:, 1] > 0.02].mean() < 0.004


def test_blood_reddens_and_tendons_stand_out_without_moving_anything():
    topology, _, vertices, K, look = _scene()
    look.colours[:, 1, 3] = -1.0  # blood takes green
    plain = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    look.blood += 1.0
    red = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    assert torch.allclose(red.colour[:, 0], plain.colour[:, 0], atol=1e-5)
    assert red.colour[:, 1].sum() < 0.6 * plain.colour[:, 1].sum()
    look.tendons += 1.0
    raised = render(vertices, K, SIZE, topology, look, skin_bank(1, 64, "cpu"))
    assert (raised.colour - red.colour).abs().max() > 0.01
    for picture in (red, raised):
        assert torch.equal(picture.depth, plain.depth) and torch.equal(picture.parts, plain.parts)
        assert torch.equal(picture.coverage, plain.coverage)


def test_sleeves_stand_off_and_bare_hands_do_not():
    random = generator(5)
    model, topology = hand("cpu")
    pose = draw_hands(random, model, 2, SIZE).pose
    surface = model(pose)
    clothes = draw_dress(random, 2)
    clothes.edge[:] = [-9.0, 0.0]
    clothes.slant[:] = 0
    clothes.folds[:, 0] = 0
    clothes.thickness[:] = [0.004, 0.0]
    vertices, cover, _ = dress(surface, topology, topology.rest_normals, clothes)
    moved = (vertices - surface.vertices).norm(dim=-1)
    short = topology.rest[:, 1] > -0.08  # beyond, the arm is drawn out
    relief = forearm_relief(topology.rest)
    assert torch.allclose(moved[0, short], relief[short].abs(), atol=1e-6)
    sleeve = short & (topology.rest[:, 1] < 0)
    assert torch.allclose(moved[1, sleeve], 0.004 + relief[sleeve], atol=1e-5)
    assert moved[1, topology.rest[:, 1] > 0].max() == 0
    assert (cover[1] >= 1)[topology.rest[:, 1] < -0.002].all() and (cover[0] < 0).all()


def test_things_held_lie_between_the_skin_before_and_behind():
    """A red sheet at the depth of one joint covers just what lies behind it."""
    size = 64
    depth = torch.full((1, size, size), 0.5)
    depth[:, :, :20], depth[:, :, 40:] = 0.4, 0.6
    picture = Picture(torch.zeros(1, 3, size, size), torch.ones(1, size, size), depth, torch.ones(1, size, size).byte())
    draw = draw_composition(generator(0), 1)
    empty = np.array([], dtype=np.int64)
    draw.shadowed, draw.joined, draw.blocked = empty, empty, np.array([0])
    draw.thing = np.array([[0, 0, 0, 2, 2, 12, 0.01, 3]], np.float32)
    draw.thing_colour, draw.thing_texture = np.array([[1, 0, 0]], np.float32), np.array([-1])
    draw.thing_depth = np.array([0.0], np.float32)
    joints, pixels = torch.full((1, 21, 3), 0.55), torch.full((1, 21, 2), 32.0)
    front = Layer(picture.colour, picture.coverage, picture.depth)
    red = compose(picture, front, torch.zeros(1, 3, size, size), joints, pixels, draw)[0, 0]
    assert red[:, :40].max() < 1e-3 and red[:, 41:].min() > 0.3


def test_texture_side_follows_the_picture():
    assert [texture_side(size) for size in (16, 64, 96, 128, 256, 512)] == [64, 128, 256, 256, 512, 512]
