import subprocess
import sys

import numpy as np
import pytest
import torch

from phalanx.render.visibility import fill_keys_torch, project_vertices, visibility


def nearest_faces_slowly(vertices, faces, K, height, width):
    """Float64 ray casting, pixel by pixel and triangle by triangle: face, and how clearly hit or missed, (H, W)."""
    best = np.full((height, width), -1)
    near = np.full((height, width), np.inf)
    margin = np.full((height, width), np.inf)
    rays = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))], -1)
    rays = rays @ np.linalg.inv(K).T
    for i, corners in enumerate(vertices[faces]):
        if corners[:, 2].min() < 0.05:
            continue
        weights = rays @ np.stack([np.cross(corners[j - 2], corners[j - 1]) for j in range(3)], -1)  # (H, W, 3)
        total = weights.sum(-1)
        if not np.abs(total).max() > 1e-12:
            continue  # a vertex named twice
        barycentric = weights / total[..., None]
        margin = np.minimum(margin, np.abs(barycentric.min(-1)))
        depth = np.linalg.det(corners) / total
        closer = (barycentric.min(-1) >= 0) & (depth < near)
        best[closer], near[closer] = i, depth[closer]
    return best, margin


def soup(seed, batch=3, count=60, spread=0.5):
    """Random triangles: some before the camera, some behind it, some degenerate, some reaching out of the picture."""
    generator = torch.Generator().manual_seed(seed)
    vertices = (torch.rand(batch, 40, 3, generator=generator) - 0.5) * spread
    vertices[..., 2] += 0.3  # so some are nearer than 5 cm
    faces = torch.randint(0, 40, (count, 3), generator=generator)  # some name a vertex twice
    K = torch.tensor([[60.0, 2.5, 20], [1.5, 45, 17], [0, 0, 1]]) + torch.rand(batch, 3, 3, generator=generator) * 1e-2
    K[:, 2] = torch.tensor([0.0, 0, 1])
    return vertices, faces, K


@pytest.mark.parametrize("seed", range(6))
def test_kernel_and_twin_agree_on_every_pixel(seed):
    vertices, faces, K = soup(seed, spread=0.2 + 0.3 * seed)
    twin = visibility(vertices, faces, K, 36, 48, "torch")
    assert twin.dtype == torch.int32 and twin.shape == (3, 36, 48)
    assert (twin >= 0).any() and len(twin.unique()) > 5
    torch.testing.assert_close(visibility(vertices, faces, K, 36, 48, "warp"), twin, rtol=0, atol=0)


def test_kernel_and_twin_agree_on_a_mesh(mesh):
    vertices, faces = mesh
    K = torch.tensor([[300.0, 0, 75], [0, 260, 60], [0, 0, 1]])
    twin = visibility(vertices, faces, K, 120, 160, "torch")
    assert 0.05 < (twin >= 0).float().mean() < 0.9
    torch.testing.assert_close(visibility(vertices, faces, K, 120, 160, "warp"), twin, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_without_back_faces_only_what_faces_the_camera_is_seen(backend):
    vertices, faces, K = soup(3, batch=2, spread=0.3)
    front = visibility(vertices, faces, K, 36, 48, backend, back_faces=False)
    for picture in range(2):
        corners = vertices[picture][faces]  # (F, 3, 3)
        normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        faces_camera = (normal * corners[:, 0]).sum(-1) < 0
        assert faces_camera.any() and not faces_camera.all()
        kept = visibility(vertices[picture : picture + 1], faces[faces_camera], K[picture], 36, 48, backend)[0]
        number = torch.cat([faces_camera.nonzero()[:, 0].int(), torch.tensor([-1], dtype=torch.int32)])
        assert torch.equal(front[picture], number[kept.long()])


def test_a_closed_surface_looks_the_same_without_back_faces(mesh):
    vertices, faces = mesh
    K = torch.tensor([[300.0, 0, 75], [0, 260, 60], [0, 0, 1]])
    both = visibility(vertices, faces, K, 120, 160)
    assert torch.equal(visibility(vertices, faces, K, 120, 160, back_faces=False), both)


@pytest.mark.parametrize("seed", range(3))
def test_against_slow_ray_casting(seed):
    vertices, faces, K = soup(seed + 10, batch=1, count=25)
    found = visibility(vertices, faces, K, 24, 32, "torch")[0].numpy()
    arrays = (array.double().numpy() for array in (vertices[0], K[0]))
    expected, margin = nearest_faces_slowly(next(arrays), faces.numpy(), next(arrays), 24, 32)
    clear = margin > 1e-4  # float32 may decide otherwise right on an edge
    assert clear.mean() > 0.9 and (expected >= 0).mean() > 0.3
    np.testing.assert_array_equal(found[clear], expected[clear])


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_ties_go_to_the_lower_index(backend):
    vertices = torch.tensor([[[-0.1, -0.1, 0.5], [0.1, -0.1, 0.5], [0.0, 0.1, 0.5], [0.2, 0.1, 0.6]]])
    faces = torch.tensor([[3, 1, 2], [2, 1, 0], [0, 1, 2], [1, 2, 0]])
    K = torch.tensor([[50.0, 0, 16], [0, 50, 16], [0, 0, 1]])
    assert set(visibility(vertices, faces, K, 32, 32, backend).unique().tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_no_cracks_between_triangles(backend):
    """A wavy sheet larger than the picture covers all of it, though its edges run through pixel centres."""
    side = 24
    x, y = torch.meshgrid(torch.linspace(-0.5, 0.5, side), torch.linspace(-0.5, 0.5, side), indexing="xy")
    z = 0.6 + 0.05 * torch.sin(9 * x) * torch.cos(7 * y)
    vertices = torch.stack((x, y, z), -1).reshape(1, -1, 3)
    corner = (torch.arange(side - 1)[:, None] * side + torch.arange(side - 1)).reshape(-1)
    faces = torch.cat(
        (
            torch.stack((corner, corner + 1, corner + side), -1),
            torch.stack((corner + side + 1, corner + side, corner + 1), -1),
        )
    )
    K = torch.tensor([[64.0, 0, 32], [0, 64, 32], [0, 0, 1]])
    assert (visibility(vertices, faces, K, 64, 64, backend) >= 0).all()
    flat = torch.cat((vertices[..., :2], torch.full_like(vertices[..., :1], 0.6)), -1)
    assert (visibility(flat, faces, K, 64, 64, backend) >= 0).all()


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_both_sides_are_seen(mesh, backend):
    vertices, faces = mesh
    K = torch.tensor([[100.0, 0, 24], [0, 100, 24], [0, 0, 1]])
    turned = visibility(vertices, faces.flip(-1), K, 48, 48, backend)
    torch.testing.assert_close(turned, visibility(vertices, faces, K, 48, 48, backend), rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_what_is_left_out(backend):
    K = torch.tensor([[50.0, 0, 16], [0, 50, 16], [0, 0, 1]])
    triangle = torch.tensor([[-0.1, -0.1, 1.0], [0.1, -0.1, 1.0], [0.0, 0.1, 1.0]])
    faces = torch.tensor([[0, 1, 2]])

    def seen(vertices):
        return bool((visibility(vertices[None], faces, K, 32, 32, backend) >= 0).any())

    assert seen(triangle)
    assert seen(triangle * 0.0501) and not seen(triangle * 0.0499)  # nearer than 5 cm
    assert not seen(-triangle)  # behind the camera
    assert not seen(triangle * torch.tensor([0.0, 1, 1]))  # edge on
    assert not seen(triangle + torch.tensor([5.0, 0, 0]))  # beside the picture
    for bad in (torch.nan, torch.inf, -torch.inf):
        for axis in range(3):
            vertices = triangle.clone()
            vertices[1, axis] = bad
            assert not seen(vertices)
    assert seen(triangle + torch.tensor([0.25, 0, 0]))  # partly beside it
    assert seen(triangle * torch.tensor([1e4, 1e4, 1]))  # all around it


@pytest.mark.parametrize("backend", ["warp", "torch"])
def test_nothing_to_draw(backend):
    K = torch.eye(3)[None].expand(2, 3, 3)
    vertices, faces = torch.rand(2, 5, 3), torch.zeros(0, 3, dtype=torch.int64)
    assert (visibility(vertices, faces, K, 4, 6, backend) == -1).all()
    assert visibility(vertices, torch.tensor([[0, 1, 2]]), K, 0, 6, backend).shape == (2, 0, 6)
    assert visibility(vertices[:0], torch.tensor([[0, 1, 2]]), K[:0], 4, 6, backend).shape == (0, 4, 6)


@pytest.mark.parametrize("most_samples", [50, 1000])
def test_twin_in_chunks(most_samples):
    vertices, faces, K = soup(3)
    keys = torch.full((3, 36, 48), (0x7F800000 << 32) | 0xFFFFFFFF)
    fill_keys_torch(project_vertices(vertices, K), faces, keys, most_samples=most_samples)
    torch.testing.assert_close(keys.to(torch.int32), visibility(vertices, faces, K, 36, 48), rtol=0, atol=0)


def test_wrong_arguments():
    vertices, faces, K = torch.rand(2, 5, 3), torch.tensor([[0, 1, 2]]), torch.eye(3)
    with pytest.raises(ValueError, match="vertices must be"):
        visibility(vertices[0], faces, K, 4, 4)
    with pytest.raises(ValueError, match="K must be"):
        visibility(vertices, faces, torch.eye(3).expand(3, 3, 3), 4, 4)
    with pytest.raises(ValueError, match="backend"):
        visibility(vertices, faces, K, 4, 4, "numpy")  # type: ignore[arg-type]


def test_without_a_place_for_kernels_torch_draws(tmp_path):
    (tmp_path / "file").touch()
    code = (
        "import torch, warnings; from phalanx.render.visibility import visibility\n"
        "v = torch.tensor([[[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]]]); f = torch.tensor([[0, 1, 2]])\n"
        "print((visibility(v, f, torch.eye(3), 2, 2) >= 0).any().item())"
    )
    environment = {"WARP_CACHE_PATH": str(tmp_path / "file" / "cache"), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr
    assert "rasterising with torch" in done.stderr
