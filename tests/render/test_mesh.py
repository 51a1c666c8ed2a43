import numpy as np
import pytest
import torch
import trimesh

from phalanx.geometry.camera import Camera
from phalanx.render.mesh import (
    barycentrics,
    depth,
    face_normals,
    interpolate,
    interpolate_corners,
    normal_map,
    shade,
    unit,
    vertex_normals,
)
from phalanx.render.visibility import visibility


def test_depth_agrees_with_ray_casting(scene, mesh):
    vertices, faces = mesh
    height, width = 40, 48
    K = scene.camera(width, height)
    index = visibility(vertices, faces, K, height, width)
    found = depth(vertices, faces, index, barycentrics(vertices, faces, K, index))[0]
    expected = scene.cast_rays(vertices, faces, K[0], height, width)
    both = (expected > 0) & (index[0] >= 0).numpy()
    assert ((expected > 0) != (index[0] >= 0).numpy()).sum() <= 1  # a ray through an edge
    assert both.sum() > 150
    assert np.abs(found.numpy() - expected)[both].max() < 1e-4  # 0.1 mm
    assert (found[index[0] < 0] == 0).all()


def test_interpolated_positions_project_onto_their_pixels(scene, mesh):
    vertices, faces = mesh
    vertices = torch.cat((vertices, vertices + torch.tensor([0.03, 0.05, 0.2])))  # B = 2, partly outside
    K = scene.camera(40, 32)
    index = visibility(vertices, faces, K, 32, 40)
    barycentric = barycentrics(vertices, faces, K, index)
    seen = index >= 0
    torch.testing.assert_close(barycentric.sum(-1), seen.float())
    assert barycentric.min() > -1e-3
    positions = interpolate(vertices, faces, index, barycentric)
    grid = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(32.0), indexing="xy"), -1)
    for picture in range(2):
        pixels = Camera(K[0], 40, 32).project(positions[picture][seen[picture]])
        torch.testing.assert_close(pixels, grid[seen[picture]], atol=2e-3, rtol=0)
    torch.testing.assert_close(depth(vertices, faces, index, barycentric), positions[..., 2])


def test_attributes_of_vertices_and_of_corners(scene, mesh):
    vertices, faces = mesh
    K = scene.camera(32, 32)
    index = visibility(vertices, faces, K, 32, 32)
    barycentric = barycentrics(vertices, faces, K, index)
    colours = torch.rand(vertices.shape[1], 5)
    whole = interpolate(colours, faces, index, barycentric)  # (1, H, W, 5), not batched
    torch.testing.assert_close(whole, interpolate(colours[None], faces, index, barycentric))
    torch.testing.assert_close(whole, interpolate_corners(colours[faces], index, barycentric))
    y, x = (index[0] >= 0).nonzero()[7]
    expected = barycentric[0, y, x] @ colours[faces[index[0, y, x]]]
    torch.testing.assert_close(whole[0, y, x], expected)
    assert (whole[index < 0] == 0).all()


def test_a_batch_is_its_pictures(scene, mesh):
    vertices, faces = mesh
    vertices = torch.cat((vertices, vertices * 1.2, vertices + 0.02))
    K = torch.cat((scene.camera(32, 24), scene.camera(28, 24), scene.camera(36, 30)))
    index = visibility(vertices, faces, K, 24, 32)
    colours = torch.rand(*vertices.shape[:2], 2)
    whole = interpolate(colours, faces, index, barycentrics(vertices, faces, K, index))
    for i in range(3):
        one = slice(i, i + 1)
        single = visibility(vertices[one], faces, K[one], 24, 32)
        torch.testing.assert_close(single, index[one])
        barycentric = barycentrics(vertices[one], faces, K[one], single)
        torch.testing.assert_close(interpolate(colours[one], faces, single, barycentric), whole[one])


def test_batches_must_match(mesh):
    vertices, faces = mesh
    index = torch.zeros(2, 4, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="1 meshes do not match face_index of 2"):
        depth(vertices, faces, index, torch.ones(2, 4, 4, 3) / 3)


def test_empty_pictures():
    vertices, faces = torch.rand(2, 5, 3), torch.tensor([[0, 1, 2], [2, 3, 4]])
    vertices.requires_grad_()
    index = torch.full((2, 3, 4), -1, dtype=torch.int32)
    for some in (faces[:0], faces):
        barycentric = barycentrics(vertices, some, torch.eye(3), index)
        maps = [barycentric, depth(vertices, some, index, barycentric), normal_map(vertices, some, index, barycentric)]
        assert all((picture == 0).all() for picture in maps)
    sum(picture.sum() for picture in maps).backward()
    assert (vertices.grad == 0).all()


def test_normals_of_a_ball(scene):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.1)
    centre = torch.tensor([0.0, 0, 0.5])
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)[None] + centre
    faces = torch.tensor(ball.faces)
    outwards = torch.nn.functional.normalize(vertices - centre, dim=-1)
    torch.testing.assert_close(vertex_normals(vertices, faces), outwards, atol=1e-2, rtol=0)
    middles = torch.nn.functional.normalize(vertices[:, faces].mean(-2) - centre, dim=-1)
    torch.testing.assert_close(face_normals(vertices, faces), middles, atol=1e-2, rtol=0)
    K = scene.camera(32, 32)
    index = visibility(vertices, faces, K, 32, 32)
    barycentric = barycentrics(vertices, faces, K, index)
    normals = normal_map(vertices, faces, index, barycentric)
    surface = interpolate(vertices, faces, index, barycentric) - centre
    seen = index >= 0
    torch.testing.assert_close(normals[seen], torch.nn.functional.normalize(surface, dim=-1)[seen], atol=1e-2, rtol=0)
    assert ((normals * surface).sum(-1)[seen] > 0).all()


def test_shading_follows_lambert():
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 4, 3), dim=-1)
    colour = torch.rand(2, 3, 4, 3)
    light = torch.tensor([[0.0, 0, -2], [3, 0, 0]])
    found = shade(colour, normals, light, ambient=0.2)
    cosine = torch.stack((-normals[0, ..., 2], normals[1, ..., 0])).clamp_min(0)
    torch.testing.assert_close(found, colour * (0.2 + 0.8 * cosine)[..., None])


def test_gradients_in_float64(scene):
    vertices, faces = scene.place("box")
    vertices, K = vertices.double(), scene.camera(10, 8).double()
    index = visibility(vertices, faces, K, 8, 10)
    assert (index >= 0).sum() > 8
    colours = torch.rand(1, vertices.shape[1], 2, dtype=torch.float64)

    def draw(vertices, K, colours):
        barycentric = barycentrics(vertices, faces, K, index)
        maps = depth(vertices, faces, index, barycentric)[..., None], normal_map(vertices, faces, index, barycentric)
        return torch.cat((*maps, interpolate(colours, faces, index, barycentric)), -1)

    K.requires_grad_()
    assert torch.autograd.gradcheck(draw, (vertices.requires_grad_(), K, colours.requires_grad_()))


@pytest.mark.parametrize("name", ["ball", "capsule"])
def test_depth_gradient_agrees_with_supersampled_pictures(scene, name):
    """Against finite differences of a depth picture averaged over 16 x 16 samples a pixel, inside the outline."""
    vertices, faces = scene.place(name)
    size, factor, step = 28, 16, 2e-4
    K = scene.camera(size, size)

    def mean_depth(vertices):
        index = visibility(vertices, faces, scene.finer(K, factor), size * factor, size * factor)
        fine = depth(vertices, faces, index, barycentrics(vertices, faces, scene.finer(K, factor), index))
        return torch.nn.functional.avg_pool2d(fine.double()[:, None], factor)[:, 0]

    index = visibility(vertices, faces, K, size, size)
    inner = torch.nn.functional.avg_pool2d((index >= 0).double(), 5, 1, 2) > 0.999
    assert inner.sum() > 20
    torch.manual_seed(0)
    weight = torch.rand(1, size, size, dtype=torch.float64) * inner  # the outline is the silhouette's affair
    leaf = vertices.clone().requires_grad_()
    (depth(leaf, faces, index, barycentrics(leaf, faces, K, index)) * weight).sum().backward()
    order = leaf.grad[0].norm(dim=-1).argsort(descending=True)[:20].tolist()
    found, expected = [], []
    for vertex in order:
        for axis in range(3):
            moved = vertices.repeat(2, 1, 1)
            moved[0, vertex, axis] += step
            moved[1, vertex, axis] -= step
            plus, minus = mean_depth(moved)
            expected.append(float(((plus - minus) * weight).sum()) / (2 * step))
            found.append(float(leaf.grad[0, vertex, axis]))
    cosine = np.dot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.95
    assert 0.9 < np.linalg.norm(found) / np.linalg.norm(expected) < 1.1


def test_unit_vectors_and_zeros():
    vectors = torch.randn(2, 5, 4, 3) * torch.tensor([1e-6, 1.0, 1e3, 1.0])[:, None]
    vectors[:, :, 3] = 0
    torch.testing.assert_close(unit(vectors), torch.nn.functional.normalize(vectors, dim=-1, eps=1e-20))
    assert torch.autograd.gradcheck(unit, torch.randn(3, 3, dtype=torch.float64, requires_grad=True))


def test_every_picture_may_have_a_light_of_its_own():
    normals = unit(torch.randn(2, 5, 4, 3))
    lights = torch.tensor([[0.0, 0, -2], [1, 2, 2]])
    colour = torch.rand(2, 5, 4, 3)
    both = shade(colour, normals, lights, ambient=0.2)
    for i in range(2):
        torch.testing.assert_close(
            both[i : i + 1], shade(colour[i : i + 1], normals[i : i + 1], lights[i], ambient=0.2)
        )
    facing = (normals[1] @ (lights[1] / 3)).clamp_min(0)[..., None]
    torch.testing.assert_close(both[1], colour[1] * (0.2 + 0.8 * facing))
