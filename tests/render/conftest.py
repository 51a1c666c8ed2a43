"""Meshes and cameras to draw: no hand, because `render` knows none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

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


@pytest.fixture(params=MESHES)
def mesh(request) -> tuple[torch.Tensor, torch.Tensor]:
    return place(MESHES[request.param]())


@pytest.fixture
def scene() -> SimpleNamespace:
    """The functions above, which test files cannot import from here."""
    return SimpleNamespace(camera=camera, finer=finer, place=lambda name, **where: place(MESHES[name](), **where))
