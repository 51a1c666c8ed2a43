"""Milliseconds a picture for visibility of the posed open hand: Warp kernel, torch twin, and trimesh's ray casting.

    pip install rtree && python benchmarks/render.py [--sizes 128 256] [--batches 1 32] [--device cuda]

On the CPU one thread is used, and its own time counts, not what others do with the core. The hand, half closed and
seen from the palm, fills nine tenths of the picture's height. Beside the time: how many pixels differ from the twin's,
and by how much, in millimetres, depth differs from ray casting's where both hit the hand (trimesh's own ray caster needs
`rtree`; without it that row is left out). Below: milliseconds for what comes after visibility, forwards and backwards.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import trimesh
from timing import milliseconds_on
from torch import Tensor

from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.render.mesh import barycentrics, depth, interpolate, vertex_normals
from phalanx.render.silhouette import MeshEdges, mesh_edges, soft_silhouette
from phalanx.render.visibility import visibility

FILL = 0.9  # of the picture's height
DISTANCE = 0.5  # metres


def posed_hand(device: str, field_of_view: float) -> tuple[Tensor, Tensor]:
    """Vertices (1, V, 3) of a half-closed hand, palm to the camera, fingers up, and its faces (F, 3)."""
    model = HandModel.open_hand()
    pose = HandPose.zero(1)
    angles = 0.5 * LIMITS[:, 1].float()
    angles[:3] = 0  # a straight wrist
    pose.rotations = angles_to_rotations(angles[None])
    pose.orientation = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None]  # y up, palm (z) to the camera
    vertices = model(pose).vertices.detach()
    low, high = vertices.amin(1), vertices.amax(1)
    height = 2 * DISTANCE * np.tan(np.deg2rad(field_of_view) / 2) * FILL
    vertices = (vertices - (low + high)[:, None] / 2) * (height / (high - low)[0, 1])
    return (vertices + torch.tensor([0, 0, DISTANCE])).to(device), model.faces.to(device)


def ray_casting(vertices: Tensor, faces: Tensor, camera: Camera) -> tuple[float, np.ndarray]:
    """Milliseconds of one run of trimesh's ray caster, its search tree built before, and depth (H, W), 0 for misses."""
    mesh = trimesh.Trimesh(vertices[0].double().cpu().numpy(), faces.cpu().numpy(), process=False)
    size = camera.width
    pixels = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), -1).reshape(-1, 2)
    rays = Camera(camera.K.astype(np.float64), size, size).rays(pixels.double().numpy())
    caster = trimesh.ray.ray_triangle.RayMeshIntersector(mesh)
    caster.intersects_first(np.zeros((1, 3)), rays[:1])
    start = time.process_time()
    points, ray, _ = caster.intersects_location(np.zeros_like(rays), rays, multiple_hits=False)
    passed = time.process_time() - start
    found = np.zeros(size * size)
    found[ray] = points[:, 2]
    return passed * 1000, found.reshape(size, size)


def measure(size: int, batches: list[int], device: str) -> None:
    """Print the rows of one picture size."""
    camera = camera_from_field_of_view(size, size, 40.0)
    one, faces = posed_hand(device, 40.0)
    K = torch.from_numpy(camera.K).to(device)[None]
    edges = mesh_edges(faces)
    index = visibility(one, faces, K, size, size, "torch")
    found = depth(one, faces, index, barycentrics(one, faces, K, index))[0].cpu().numpy()
    for batch in batches:
        turned = torch.linspace(0.0, 0.02, batch, device=device)[:, None, None] + one  # no two alike
        many = K.expand(batch, 3, 3)
        twin = visibility(turned, faces, many, size, size, "torch")
        for backend in ("warp", "torch"):
            different = int((visibility(turned, faces, many, size, size, backend) != twin).sum())
            spent = milliseconds_on(partial(visibility, turned, faces, many, size, size, backend), device) / batch
            print(f"{size:4d}  {batch:5d}  {backend:8s}  {spent:10.3f}  {different:16d}", flush=True)
        for name, call in after_visibility(turned, faces, many, twin, edges).items():
            print(f"{size:4d}  {batch:5d}  {name:40s}  {milliseconds_on(call, device) / batch:8.3f}", flush=True)
    if importlib.util.find_spec("rtree") is None:
        print(f"{size:4d}      1  trimesh   left out: rtree is not installed")
        return
    spent, expected = ray_casting(one, faces, camera)
    both = (expected > 0) & (found > 0)
    worst = np.abs(found - expected)[both].max() * 1000
    print(f"{size:4d}      1  trimesh   {spent:10.1f}  {'':16s}  depth within {worst:.4f} mm on {both.sum()} pixels")


def after_visibility(
    vertices: Tensor, faces: Tensor, K: Tensor, index: Tensor, edges: MeshEdges
) -> dict[str, Callable[[], object]]:
    """The differentiable steps, to be timed."""
    leaf = vertices.clone().requires_grad_()

    def attributes(backwards: bool) -> None:
        with torch.set_grad_enabled(backwards):
            barycentric = barycentrics(leaf, faces, K, index)
            picture = interpolate(torch.cat((leaf, vertex_normals(leaf, faces)), -1), faces, index, barycentric)
            if backwards:
                picture.square().sum().backward()

    def silhouette(backwards: bool) -> None:
        with torch.set_grad_enabled(backwards):
            coverage = soft_silhouette(leaf, faces, K, index, edges)
            if backwards:
                coverage.square().sum().backward()

    return {
        "positions and normals": lambda: attributes(False),
        "positions and normals, with gradients": lambda: attributes(True),
        "silhouette": lambda: silhouette(False),
        "silhouette, with gradients": lambda: silhouette(True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    _, faces = posed_hand(arguments.device, 40.0)
    print(f"{len(faces)} triangles, device {arguments.device}; ms are a picture's share of its batch")
    print("size  batch  backend   ms/picture  differing pixels")
    for size in arguments.sizes:
        measure(size, arguments.batches, arguments.device)


if __name__ == "__main__":
    main()
