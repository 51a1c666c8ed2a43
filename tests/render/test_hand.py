"""The renderer on what it is made for: the posed hand, seen from palm and side. `render` itself knows no hand."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d, mse_loss, pad

from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.render.mesh import barycentrics, depth
from phalanx.render.silhouette import mesh_edges, soft_silhouette
from phalanx.render.visibility import visibility

DISTANCE = 0.5  # metres


@pytest.fixture(scope="module")
def model():
    return HandModel.open_hand()


def posed(model, turn=0.0):
    """Vertices (1, V, 3) of the half closed hand, fingers up, turned from the palm's view about the upright axis."""
    pose = HandPose.zero(1)
    angles = 0.5 * LIMITS[:, 1].float()
    angles[:3] = 0  # a straight wrist
    pose.rotations = angles_to_rotations(angles[None])
    c, s = np.cos(turn), np.sin(turn)
    pose.orientation = torch.tensor([[[c, 0, -s], [0, -1, 0], [-s, 0, -c]]], dtype=torch.float32)
    vertices = model(pose).vertices
    return vertices - (vertices.amin(1) + vertices.amax(1))[:, None] / 2 + torch.tensor([0, 0, DISTANCE])


def camera(vertices, size, fill):
    """K (3, 3) of a picture of `size` pixels of whose height the hand fills the share `fill`."""
    focal = fill * size * DISTANCE / float(np.ptp(vertices[0, :, 1].numpy()))
    return torch.tensor([[focal, 0, size / 2 - 0.37], [0, 1.02 * focal, size / 2 - 0.71], [0, 0, 1]])


def coverage(model, vertices, K, size, edges=None):
    return soft_silhouette(vertices, model.faces, K, visibility(vertices, model.faces, K, size, size), edges)


def supersampled(scene, model, vertices, K, size, factor=16):
    """Coverage of 16 x 16 samples a pixel."""
    fine = scene.finer(K, factor)
    covers = [visibility(v, model.faces, fine, size * factor, size * factor) >= 0 for v in vertices.split(8)]
    return torch.cat([avg_pool2d(cover.float()[:, None], factor)[:, 0] for cover in covers])


@pytest.mark.parametrize("turn", [0.0, 0.9])
def test_kernel_and_twin_agree_on_every_pixel(model, turn):
    vertices = torch.cat((posed(model, turn), posed(model, turn + 3)))
    K = camera(vertices, 128, 0.9)
    twin = visibility(vertices, model.faces, K, 128, 128, "torch")
    assert (twin >= 0).float().mean() > 0.15
    torch.testing.assert_close(visibility(vertices, model.faces, K, 128, 128, "warp"), twin, rtol=0, atol=0)


def test_depth_agrees_with_ray_casting(scene, model):
    vertices, size = posed(model), 40
    K = camera(vertices, size, 0.9)
    index = visibility(vertices, model.faces, K, size, size)
    found = depth(vertices, model.faces, index, barycentrics(vertices, model.faces, K, index))[0].numpy()
    expected = scene.cast_rays(vertices, model.faces, K, size, size)
    both = (expected > 0) & (found > 0)
    assert ((expected > 0) != (found > 0)).sum() <= 1  # a ray through an edge
    assert both.sum() > 250
    assert np.abs(found - expected)[both].max() < 1e-4  # 0.1 mm


def test_depth_gradient_agrees_with_supersampled_pictures(scene, model):
    """Where the surface goes on around a pixel: at its rims depth jumps, which is the silhouette's affair."""
    vertices, size, factor, step = posed(model, 0.4), 32, 16, 2e-4
    K = camera(vertices, size, 8)  # so near that triangles are larger than pixels, each of which asks but one of them

    def picture(vertices, K, size):
        index = visibility(vertices, model.faces, K, size, size)
        return depth(vertices, model.faces, index, barycentrics(vertices, model.faces, K, index))

    leaf = vertices.clone().requires_grad_()
    found = picture(leaf, K, size)
    near, far = -max_pool2d(-found.detach(), 5, 1, 2), max_pool2d(found.detach(), 5, 1, 2)
    weight = torch.rand(found.shape, generator=torch.Generator().manual_seed(0)) * ((near > 0) & (far - near < 0.01))
    assert (weight > 0).sum() > 300
    (found * weight).sum().backward()
    moving = leaf.grad[0].norm(dim=-1).argsort(descending=True)[:60:5].tolist()
    expected = []
    for vertex in moving:
        moved = vertices.repeat(6, 1, 1)  # forth and back along three axes
        moved[:3, vertex] += step * torch.eye(3)
        moved[3:, vertex] -= step * torch.eye(3)
        fine = picture(moved, scene.finer(K, factor), size * factor).double()
        sums = (avg_pool2d(fine[:, None], factor)[:, 0] * weight).sum((-2, -1))
        expected.append((sums[:3] - sums[3:]) / (2 * step))
    given, expected = leaf.grad[0, moving].flatten().numpy(), torch.cat(expected).numpy()
    assert np.dot(given, expected) / np.linalg.norm(given) / np.linalg.norm(expected) > 0.95
    assert 0.9 < np.linalg.norm(given) / np.linalg.norm(expected) < 1.1


@pytest.mark.parametrize("turn", [0.0, 0.9])
def test_gradient_agrees_with_supersampled_pictures(scene, model, turn):
    """Of the squared distance to a target silhouette, by vertices of the outline, against finite differences."""
    # By skinning alone: where flesh folds at the outline two edges lie in one pixel, and the gradient is up to a third too long.
    vertices, size = posed(model.without_correctives(), turn), 64
    K = camera(vertices, size, 0.9)
    target = supersampled(scene, model, vertices + torch.tensor([0.004, -0.003, 0]), K, size)
    leaf = vertices.clone().requires_grad_()
    found = coverage(model, leaf, K, size)
    (found - target).square().sum().backward()
    weight = 2 * (found.detach() - target)
    assert (found - supersampled(scene, model, vertices, K, size)).abs().mean() < 0.002
    moving = (leaf.grad[0].norm(dim=-1) > 0).nonzero()[:, 0]
    moving = moving[torch.randperm(len(moving), generator=torch.Generator().manual_seed(0))[:16]].tolist()
    step = 0.25 * DISTANCE / float(K[0, 0])  # a quarter of a pixel
    pictures = vertices.repeat(4 * len(moving), 1, 1).unflatten(0, (-1, 2, 2))  # (N, axis, sign, V, 3)
    for i, vertex in enumerate(moving):
        for axis in range(2):
            pictures[i, axis, 0, vertex, axis] += step
            pictures[i, axis, 1, vertex, axis] -= step
    covers = supersampled(scene, model, pictures.flatten(0, 2), K, size).unflatten(0, (-1, 2, 2))
    expected = ((covers[:, :, 0] - covers[:, :, 1]) * weight).sum((-2, -1)).flatten().numpy() / (2 * step)
    given = leaf.grad[0, moving, :2].flatten().numpy()
    assert np.dot(given, expected) / np.linalg.norm(given) / np.linalg.norm(expected) > 0.95
    assert 0.8 < np.linalg.norm(given) / np.linalg.norm(expected) < 1.25


@pytest.mark.parametrize("turn", [0.0, 1.57])
def test_gradient_descent_moves_the_hand_15_pixels_onto_its_target(model, turn):
    """From eight directions at once, on pyramids of masks, since a silhouette's gradient reaches one pixel only."""
    vertices, size, steps = posed(model, turn), 96, 60
    K, edges = camera(vertices, size, 0.5), mesh_edges(model.faces)
    pixel = DISTANCE / float(K[0, 0])  # metres
    target = coverage(model, vertices, K, size, edges)[:, None].expand(8, -1, -1, -1)
    angle = torch.arange(8) * torch.pi / 4
    shift = 15 * pixel * torch.stack((angle.cos(), angle.sin(), torch.zeros(8)), -1)[:, None]  # (8, 1, 3)
    shift.requires_grad_()
    optimiser = torch.optim.Adam([shift])
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1.5 * pixel * (1 - step / steps) ** 2
        pairs = [(coverage(model, vertices + shift, K, size, edges)[:, None], target)]
        for _ in range(5):
            pairs.append(tuple(avg_pool2d(pad(mask, (1, 1, 1, 1)), 4, 2) for mask in pairs[-1]))
        optimiser.zero_grad()
        sum(mse_loss(*pair) for pair in pairs).backward()
        shift.grad[..., 2] = 0  # sideways only
        optimiser.step()
    assert (shift.detach() / pixel).norm(dim=-1).max() < 0.5
