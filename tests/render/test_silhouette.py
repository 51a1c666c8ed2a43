import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, mse_loss

from phalanx.render.silhouette import mesh_edges, soft_silhouette
from phalanx.render.visibility import visibility

SIZE = 32


def supersampled(scene, vertices, faces, K, size, factor=16):
    fine = visibility(vertices, faces, scene.finer(K, factor), size * factor, size * factor) >= 0
    return avg_pool2d(fine.float()[:, None], factor)[:, 0]


def coverage(vertices, faces, K, size, edges=None):
    return soft_silhouette(vertices, faces, K, visibility(vertices, faces, K, size, size), edges)


def test_edges_of_a_closed_mesh_and_of_an_open_one(scene):
    vertices, faces = scene.place("ball")
    edges = mesh_edges(faces)
    assert vertices.shape[1] - len(edges.ends) + len(faces) == 2  # Euler
    assert (edges.ends[:, 0] < edges.ends[:, 1]).all()
    assert (edges.senses.sum(-1) == 0).all()  # neighbours run along their edge in opposite senses
    for end in edges.ends.T:
        assert (faces[edges.faces] == end[:, None, None]).any(-1).all()
    square = mesh_edges(torch.tensor([[0, 1, 2], [2, 1, 3]]))
    border = square.faces[:, 0] == square.faces[:, 1]
    assert square.ends[~border].tolist() == [[1, 2]] and border.sum() == 4
    three = mesh_edges(torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    assert three.senses[(three.ends == torch.tensor([0, 1])).all(-1)].tolist() == [[0, 0]]


def test_coverage_is_that_of_a_supersampled_picture(scene, mesh):
    vertices, faces = mesh
    vertices = torch.cat((vertices, vertices * torch.tensor([1, 1, 0.8]), vertices + torch.tensor([0.11, 0.02, 0])))
    K = scene.camera(SIZE, SIZE)
    expected = supersampled(scene, vertices, faces, K, SIZE)
    found = coverage(vertices, faces, K, SIZE)
    hard = (visibility(vertices, faces, K, SIZE, SIZE) >= 0).float()
    edge = (expected > 0) & (expected < 1)
    assert edge.sum() > 100
    assert (found - expected)[edge].abs().mean() < 0.012 < 0.15 < (hard - expected)[edge].abs().mean()
    assert (found - expected).abs().max() < 0.3  # where the outline turns from steep to shallow
    assert (found == hard)[~edge].float().mean() > 0.998


def test_an_open_surface_seen_from_either_side():
    square = torch.tensor([[[-0.1, -0.08, 0.5], [0.1, -0.08, 0.5], [-0.1, 0.08, 0.5], [0.1, 0.08, 0.5]]])
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    K = torch.tensor([[50.0, 0, 15.8], [0, 50, 16.1], [0, 0, 1]])
    # 20 x 16 pixels about (15.8, 16.1)
    x = (torch.arange(32.0) + 0.5).clamp(5.8, 25.8) - (torch.arange(32.0) - 0.5).clamp(5.8, 25.8)
    y = (torch.arange(32.0) + 0.5).clamp(8.1, 24.1) - (torch.arange(32.0) - 0.5).clamp(8.1, 24.1)
    expected = (y[:, None] * x)[None]
    corner = (expected > 0.01) & (expected < 0.99) & ~torch.isclose(expected, x) & ~torch.isclose(expected, y[:, None])
    for some in (faces, faces.flip(-1)):
        found = coverage(square, some, K, 32)
        torch.testing.assert_close(found[~corner], expected[~corner], atol=1e-4, rtol=0)
        assert (found - expected)[corner].abs().max() < 0.15


@pytest.mark.parametrize(("name", "smooth"), [*itertools.product(["ball", "capsule"], [False, True]), ("box", False)])
def test_gradient_agrees_with_supersampled_pictures(scene, name, smooth):
    """Against finite differences, vertex by vertex, of a picture of 16 x 16 samples a pixel."""
    vertices, faces = scene.place(name)
    K, edges = scene.camera(SIZE, SIZE), mesh_edges(faces)
    torch.manual_seed(0)
    weight = torch.randn(1, SIZE, SIZE)
    if smooth:
        weight = avg_pool2d(weight[:, None], 5, 1, 2)[:, 0]
    leaf = vertices.clone().requires_grad_()
    (coverage(leaf, faces, K, SIZE, edges) * weight).sum().backward()
    step = 0.25 / (1.9 * SIZE / 0.6)  # a quarter of a pixel
    moving = (leaf.grad[0].norm(dim=-1) > 0).nonzero()[:, 0][::2].tolist()
    pictures = vertices.repeat(4 * len(moving), 1, 1).unflatten(0, (-1, 2, 2))  # (N, axis, sign, V, 3)
    for i, vertex in enumerate(moving):
        for axis in range(2):
            pictures[i, axis, 0, vertex, axis] += step
            pictures[i, axis, 1, vertex, axis] -= step
    covers = supersampled(scene, pictures.flatten(0, 2), faces, K, SIZE).unflatten(0, (-1, 2, 2))
    expected = ((covers[:, :, 0] - covers[:, :, 1]) * weight).sum((-2, -1)).flatten().numpy() / (2 * step)
    found = leaf.grad[0, moving, :2].flatten().numpy()
    cosine = np.dot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert len(moving) >= 3
    assert cosine > 0.95, cosine
    assert 0.8 < np.linalg.norm(found) / np.linalg.norm(expected) < 1.25


def test_nothing_to_cover(scene):
    vertices, faces = scene.place("ball")
    vertices = (vertices * torch.tensor([1, 1, -1])).requires_grad_()  # behind the camera
    found = coverage(vertices, faces, scene.camera(8, 8), 8)
    assert (found == 0).all()
    found.sum().backward()
    assert (vertices.grad == 0).all()
    full, _ = scene.place("ball", size=0.3)
    assert (coverage(full, faces, scene.camera(8, 8), 8) == 1).all()


def test_one_pixel_wide_pictures(scene):
    vertices, faces = scene.place("ball", centre=(0.0, 0.0, 0.6))
    K = torch.tensor([[20.0, 0, 0], [0, 20, 4], [0, 0, 1]])
    found = soft_silhouette(vertices, faces, K, visibility(vertices, faces, K, 9, 1))
    assert found.shape == (1, 9, 1) and torch.isfinite(found).all()


@pytest.mark.parametrize("direction", range(8))
def test_gradient_descent_moves_a_mesh_15_pixels_onto_its_target(scene, direction):
    """On pyramids of masks, since a silhouette's gradient reaches one pixel only."""
    vertices, faces = scene.place("capsule", centre=(0.0, 0, 0.6), size=0.08)
    size = 64
    K = torch.tensor([[90.0, 0, 31.5], [0, 90, 31.5], [0, 0, 1]])
    metres = 0.6 / 90
    angle = torch.tensor(direction * torch.pi / 4)
    start = torch.stack((angle.cos(), angle.sin(), torch.tensor(0.0))) * 15 * metres
    target, edges = coverage(vertices, faces, K, size), mesh_edges(faces)
    shift = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([shift], lr=metres)
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 1.2 * metres * (1 - step / 80) ** 2
        found = coverage(vertices + shift, faces, K, size, edges)
        optimiser.zero_grad()
        pairs = [(found[:, None], target[:, None])]
        for _ in range(5):
            pairs.append(tuple(avg_pool2d(torch.nn.functional.pad(mask, (1, 1, 1, 1)), 4, 2) for mask in pairs[-1]))
        sum(mse_loss(*pair) for pair in pairs).backward()
        shift.grad[2] = 0  # sideways only
        optimiser.step()
    assert (shift.detach() / metres).norm() < 0.5, shift / metres  # pixels
