"""Differentiable pictures of meshes: torch on the triangles that `visibility` found.

Which triangle a pixel sees is discrete; everything here is a smooth function of the vertices once that is given.
Maps have channels last, (B, H, W, C), and are zero where `face_index` is -1.
"""

import torch
from torch import Tensor
from torch.nn import functional


def barycentrics(vertices: Tensor, faces: Tensor, K: Tensor, face_index: Tensor) -> Tensor:
    """Where on its triangle each pixel's viewing ray lands: perspective-correct barycentric coordinates.

    With corners v0, v1, v2 and the ray r through the pixel's centre, coordinate i is proportional to r . (vj x vk).

    Args:
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3).
        K: (B, 3, 3) or (3, 3) pinhole camera.
        face_index: (B, H, W) from `visibility`.
    Returns:
        (B, H, W, 3), summing to 1; differentiable with respect to vertices and K.
    """
    height, width = face_index.shape[1:]
    corners = vertices[:, faces.to(torch.int64)]  # (B, F, 3, 3)
    after = corners.roll(-1, -2)
    # vj x (vk - vj) is vj x vk, less cancellation
    planes = torch.linalg.cross(after, corners.roll(-2, -2) - after)  # (B, F, 3, 3)
    planes = planes @ torch.linalg.inv(K).reshape(-1, 1, 3, 3)  # from rays to pixels (x, y, 1)
    seen = face_index >= 0
    a, b, c = _of_seen(planes, face_index).unbind(-1)  # (B, H, W, 3) each
    x = torch.arange(width, device=a.device, dtype=a.dtype)[:, None]  # (W, 1)
    y = torch.arange(height, device=a.device, dtype=a.dtype)[:, None, None]  # (H, 1, 1)
    weights = a * x + b * y + c  # (B, H, W, 3)
    total = weights.sum(-1)
    usable = seen & (total != 0)
    return torch.where(usable[..., None], weights / torch.where(usable, total, 1)[..., None], 0)


def interpolate(attributes: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Spread values at vertices, (B, V, C) or (V, C), over the picture (B, H, W, C)."""
    return interpolate_corners(attributes[..., faces.to(torch.int64), :], face_index, barycentric)


def interpolate_corners(attributes: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Spread values at triangles' corners, (B, F, 3, C) or (F, 3, C) such as UV, over the picture (B, H, W, C)."""
    corners = _of_seen(attributes, face_index)  # (B, H, W, 3, C)
    values = (barycentric[..., None] * corners).sum(-2)
    return torch.where((face_index >= 0)[..., None], values, 0)


def depth(vertices: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Depth z in metres (B, H, W), 0 where nothing is seen."""
    return interpolate(vertices[..., 2:], faces, face_index, barycentric)[..., 0]


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, F, 3) of triangles, out of the side from which their corners run counter-clockwise."""
    return functional.normalize(_area_vectors(vertices, faces.to(torch.int64)), dim=-1, eps=1e-20)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, V, 3) of vertices: of the triangles around them, each weighted by its area."""
    faces = faces.to(torch.int64)
    vectors = _area_vectors(vertices, faces).repeat_interleave(3, dim=1)  # (B, 3F, 3)
    return functional.normalize(torch.zeros_like(vertices).index_add(1, faces.reshape(-1), vectors), dim=-1, eps=1e-20)


def normal_map(vertices: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Smooth unit normals (B, H, W, 3), camera frame."""
    normals = interpolate(vertex_normals(vertices, faces), faces, face_index, barycentric)
    return functional.normalize(normals, dim=-1, eps=1e-20)


def shade(colour: Tensor, normals: Tensor, to_light: Tensor, ambient: float = 0.3) -> Tensor:
    """Lambert's law with one distant light and even ambient light.

    Args:
        colour: (B, H, W, 3) albedo in [0, 1].
        normals: (B, H, W, 3) unit, camera frame.
        to_light: (B, 3) or (3,) direction towards the light, camera frame; (0, 0, -1) is a light at the camera.
        ambient: share of the light that comes from everywhere.
    Returns:
        (B, H, W, 3) in [0, 1].
    """
    to_light = functional.normalize(to_light, dim=-1).reshape(-1, 1, 1, 3)
    lambert = (normals * to_light).sum(-1, keepdim=True).clamp_min(0)
    return colour * (ambient + (1 - ambient) * lambert)


def _area_vectors(vertices: Tensor, faces: Tensor) -> Tensor:
    """Normals (B, F, 3) whose length is twice the triangle's area."""
    first, second, third = vertices[:, faces].unbind(-2)  # (B, F, 3)
    return torch.linalg.cross(second - first, third - first)


def _of_seen(of_faces: Tensor, face_index: Tensor) -> Tensor:
    """Rows of (B, F, 3, C) or (F, 3, C) at each pixel's triangle, (B, H, W, 3, C); any row where nothing is seen."""
    index = face_index.clamp_min(0).to(torch.int64)  # (B, H, W)
    faces = of_faces.shape[-3]
    if faces == 0:
        return of_faces.new_zeros((*face_index.shape, *of_faces.shape[-2:]))
    if of_faces.ndim == 4:
        if len(of_faces) != len(face_index):
            raise ValueError(f"batch of {len(of_faces)} does not match face_index of {len(face_index)}")
        index = index + torch.arange(len(index), device=index.device)[:, None, None] * faces
    rows = of_faces.reshape(-1, of_faces.shape[-2] * of_faces.shape[-1]).index_select(0, index.reshape(-1))
    return rows.reshape(*face_index.shape, *of_faces.shape[-2:])
