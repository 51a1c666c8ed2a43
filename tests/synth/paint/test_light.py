"""Light: occlusion against counting rays, shadows where they belong, shading that follows the light."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.hand.model import HandPose
from phalanx.synth.paint.light import draw_light, light_vertices, occlusion
from phalanx.synth.paint.surface import balls, face_edges, hand, vertex_normals


def test_occlusion_agrees_with_counting_rays():
    """Cosine-weighted rays from a point; a ball wholly above the horizon blocks cos * r^2 / d^2 of them exactly."""
    random = generator(0)
    radius, ray_count = 0.02, 200_000
    azimuth, height2 = random.uniform(0, 2 * np.pi, ray_count), random.random(ray_count)
    rays = np.stack(
        [np.sqrt(1 - height2) * np.cos(azimuth), np.sqrt(1 - height2) * np.sin(azimuth), np.sqrt(height2)], 1
    )
    normal = torch.tensor([[[0.0, 0.0, 1.0]]])
    for centre in ([0.0, 0.0, 0.05], [0.03, 0.02, 0.06], [0.08, 0.0, 0.03]):
        along = rays @ np.array(centre)
        hit = (along > 0) & (np.dot(centre, centre) - along**2 < radius**2)
        blocked = occlusion(
            torch.zeros(1, 1, 3), normal, torch.tensor([[centre]]), torch.tensor([radius]), normal, torch.ones(1, 1)
        )
        assert blocked[0, 0, 0].item() == pytest.approx(hit.mean(), rel=0.03)


def test_shadows_fall_away_from_the_light():
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.2], [0.1, 0.0, 0.0], [0.015, 0.0, 0.0]]])
    ball, light = torch.tensor([[[0.0, 0.0, 0.1]]]), torch.tensor([[[0.0, 0.0, 1.0]]])
    shadow = occlusion(points, torch.zeros_like(points), ball, torch.tensor([0.015]), light, torch.tensor([[0.1]]))[
        0, 1
    ]
    assert shadow[0] == 1 and shadow[1] == 0 and shadow[2] == 0
    assert 0.3 < shadow[3] < 0.7  # the penumbra


def _lit(**changes: np.ndarray):
    model, topology = hand("cpu")
    pose = HandPose.zero(1)
    pose.orientation = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None]  # palm to the camera
    pose.translation = torch.tensor([[0.0, 0.0, 0.5]])
    draw = draw_light(generator(1), 1)
    draw.ambient[:] = 0
    draw.ambient[:, :, 0] = 0.2
    draw.colour[:] = 0
    draw.bounce[:] = 0
    surface = model(pose)
    lit = light_vertices(surface, surface.vertices, topology, replace(draw, **changes), torch.ones(1, 3))
    return topology, lit


def test_the_lit_side_is_lighter():
    direction = np.array([[[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]], np.float32)
    colour = np.array([[[1.0, 0.5, 0.25], [0, 0, 0]]], np.float32)
    topology, lit = _lit(direction=direction, colour=colour)
    palmar, dorsal = topology.rest_normals[:, 2] > 0.8, topology.rest_normals[:, 2] < -0.8
    red, _, blue = lit.diffuse[..., 0]
    assert red[palmar].mean() > 1.0 > 0.3 > red[dorsal].max()
    assert (red - blue)[palmar].mean() > 0.5 and (red - blue)[dorsal].abs().max() < 0.05
    assert lit.gloss.min() >= 0 and (lit.gloss[0, palmar] > 0).any()


def test_occluded_skin_is_darker_and_redder():
    _, lit = _lit()
    red, _, blue = lit.diffuse[..., 0]
    assert 0 < red.min() and red.max() <= 0.2 + 1e-6
    between = red < 0.17
    assert between.any() and (red / blue)[between].min() > 1.0


def test_normals_and_balls_fit_the_surface():
    model, topology = hand("cpu")
    surface = model(HandPose.zero(2))
    place = surface.vertices.permute(2, 1, 0)
    normals = vertex_normals(*face_edges(place, topology.faces), topology.around)
    assert torch.allclose(normals[:, :, 0].T, topology.rest_normals, atol=1e-4)
    centres = balls(surface, topology)
    assert torch.equal(centres[0], centres[1])
    distance = torch.cdist(centres[0], model.template).amin(1)
    fingers = len(topology.ball_share)
    assert (distance - topology.ball_radius)[:fingers].abs().max() < 1e-4  # they touch the skin from inside
    assert math.isclose(float(topology.spread_weights.sum(1).mean()), 1.0, rel_tol=1e-5)
