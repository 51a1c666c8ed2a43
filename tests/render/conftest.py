"""Meshes and cameras to draw, simple ones (the hand's are in `test_hand.py`), and a slow ray caster."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from phalanx.geometry.camera import Camera

MESHES = {
    "ball": lambda: trimesh.creation.icosphere(subdivisions=2),
    "capsule": lambda: trimesh.creation.capsule(height=1.5, radius=0.5, count=[10, 10]),
    "cylinder": lambda: trimesh.creation.cylinder(radius=0.4, height=1.6, sections=14),
    "box": lambda: trimesh.creation.box(),
}


def place(mesh: trimesh.Trimesh, centre=(0.013, -0.007, 0.6), size: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (1, V, 3) float32 turned askew and put before the camera, and faces (F, 3)."""
    turn = trimesh.transformations.rotation_matrix(1.1, [1, 0.6, 0.3])[:3, :3]
    vertices = np.asarray(mesh.vertices) @ turn.T * size + centre
    return torch.tensor(vertices, dtype=torch.float32)[None], torch.tensor(np.asarray(mesh.faces))


def camera(width: int, height: int) -> torch.Tensor:
    """A pinhole K (1, 3, 3) with fx != fy and its principal point off the centre."""
    return torch.tensor([[[1.9 * width, 0, 0.47 * width], [0, 2.1 * width, 0.52 * height], [0, 0, 1]]])


def finer(K: torch.Tensor, factor: int) -> torch.Tensor:
    """K of the picture with `factor` times as many pixels a side."""
    middle = (factor - 1) / 2
    return torch.tensor([[factor, 0, middle], [0, factor, middle], [0, 0, 1.0]]) @ K


class _AllCandidates:
    """Stands in for trimesh's optional R-tree: the triangles whose bounds overlap a ray's."""

    def __init__(self, triangles):
        self.low, self.high = triangles.min(1), triangles.max(1)
        self.bounds = np.concatenate([self.low.min(0), self.high.max(0)])

    def intersection(self, bounds):
        return ((self.low <= bounds[3:]) & (self.high >= bounds[:3])).all(1).nonzero()[0]


def cast_rays(vertices: torch.Tensor, faces: torch.Tensor, K: torch.Tensor, height: int, width: int) -> np.ndarray:
    """Nearest depth z (H, W) of vertices (1, V, 3) along the rays of K (3, 3), by trimesh; 0 where they hit nothing."""
    pixels = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1).reshape(-1, 2)
    rays = Camera(K.double(), width, height).rays(pixels.double()).numpy()
    triangles = vertices[0].double().numpy()[faces.numpy()]
    _, ray, points = trimesh.ray.ray_triangle.ray_triangle_id(
        triangles, np.zeros_like(rays), rays, tree=_AllCandidates(triangles), multiple_hits=True
    )
    nearest = np.full(len(rays), np.inf)
    np.minimum.at(nearest, ray, points[:, 2])
    return np.where(np.isinf(nearest), 0, nearest).reshape(height, width)


@pytest.fixture(params=MESHES)
def mesh(request) -> tuple[torch.Tensor, torch.Tensor]:
    return place(MESHES[request.param]())


@pytest.fixture
def scene() -> SimpleNamespace:
    """The functions above, which test files cannot import from here."""
    return SimpleNamespace(
        camera=camera, finer=finer, cast_rays=cast_rays, place=lambda name, **where: place(MESHES[name](), **where)
    )
