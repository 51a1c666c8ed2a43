"""Differentiable pictures of meshes: torch on the triangles that `visibility` found.

Which triangle a pixel sees is discrete; everything here is a smooth function of the vertices once that is given.
Maps have channels last, (B, H, W, C), and are zero where `face_index` is -1.
"""

from typing import NamedTuple

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
    width = face_index.shape[2]
    corners = _corners(vertices, faces)  # (B, F, 3, 3)
    after = corners.roll(-1, -2)
    # vj x (vk - vj) is vj x vk, less cancellation
    planes = torch.linalg.cross(after, corners.roll(-2, -2) - after).flatten(1, 2)  # (B, 3F, 3)
    planes = (planes @ torch.linalg.inv(K)).unflatten(1, (-1, 3))  # from rays to pixels (x, y, 1)
    seen = _seen(face_index)
    x = (seen.pixel % width).to(planes)[:, None]  # (N, 1)
    y = (seen.pixel // width % face_index.shape[1]).to(planes)[:, None]
    a, b, c = _rows(planes, seen).unbind(-1)  # (N, 3) each
    weights = a * x + b * y + c
    total = weights @ weights.new_ones(3, 1)
    return _picture(weights / torch.where(total == 0, 1, total), seen, face_index)


def interpolate(attributes: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Spread values at vertices, (B, V, C) or (V, C), over the picture (B, H, W, C)."""
    return interpolate_corners(_corners(attributes, faces), face_index, barycentric)


def interpolate_corners(attributes: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Spread values at triangles' corners, (B, F, 3, C) or (F, 3, C) such as UV, over the picture (B, H, W, C)."""
    seen = _seen(face_index)
    corners = _rows(attributes, seen)  # (N, 3, C)
    weights = barycentric.reshape(-1, 3).index_select(0, seen.pixel)  # (N, 3)
    return _picture(torch.bmm(weights[:, None], corners)[:, 0], seen, face_index)


def depth(vertices: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Depth z in metres (B, H, W), 0 where nothing is seen."""
    return interpolate(vertices[..., 2:], faces, face_index, barycentric)[..., 0]


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, F, 3) of triangles, out of the side from which their corners run counter-clockwise."""
    return functional.normalize(_area_vectors(vertices, faces), dim=-1, eps=1e-20)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, V, 3) of vertices: of the triangles around them, each weighted by its area."""
    vectors = _area_vectors(vertices, faces)
    normals = torch.zeros_like(vertices)
    for corner in faces.T.to(torch.int64):
        normals = normals.index_add(1, corner, vectors)
    return functional.normalize(normals, dim=-1, eps=1e-20)


def normal_map(vertices: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Smooth unit normals (B, H, W, 3), camera frame."""
    normals = interpolate(vertex_normals(vertices, faces), faces, face_index, barycentric)
    return unit(normals)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 3) brought to length 1; zeros stay zero. On maps twice as fast as `functional.normalize`."""
    squared = vectors.square().reshape(-1, 3) @ vectors.new_ones(
        3, 1
    )  # a product with ones sums three numbers quickest
    return vectors * squared.clamp_min(1e-36).rsqrt().reshape(*vectors.shape[:-1], 1)


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
    to_light = functional.normalize(to_light, dim=-1)
    if to_light.ndim == 1:
        cosine = normals.reshape(-1, 3) @ to_light[:, None]
    else:
        cosine = torch.bmm(normals.flatten(1, 2), to_light[:, :, None])
    return colour * (ambient + (1 - ambient) * cosine.clamp_min(0)).reshape(*normals.shape[:-1], 1)


class _Seen(NamedTuple):
    """The N pixels, of all B * H * W of a batch, that see a triangle."""

    pixel: Tensor  # (N,) index into the flattened batch
    picture: Tensor  # (N,)
    face: Tensor  # (N,)
    batch: int


def _seen(face_index: Tensor) -> _Seen:
    flat = face_index.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    pixels = max(face_index.shape[1] * face_index.shape[2], 1)
    return _Seen(pixel, pixel // pixels, flat.index_select(0, pixel).to(torch.int64), len(face_index))


def _rows(of_faces: Tensor, seen: _Seen) -> Tensor:
    """Entries (N, 3, C) of (B, F, 3, C) or (F, 3, C) for the triangles that are seen."""
    if of_faces.ndim == 4 and len(of_faces) != seen.batch:
        raise ValueError(f"{len(of_faces)} meshes do not match face_index of {seen.batch} pictures")
    faces, _, channels = of_faces.shape[-3:]
    index = seen.face if of_faces.ndim == 3 else seen.picture * faces + seen.face
    return of_faces.reshape(-1, 3 * channels).index_select(0, index).unflatten(-1, (3, channels))


def _picture(values: Tensor, seen: _Seen, face_index: Tensor) -> Tensor:
    """Values (N, C) of the seen pixels as a picture (B, H, W, C), zero elsewhere."""
    empty = values.new_zeros(face_index.numel(), values.shape[-1])
    return empty.index_copy(0, seen.pixel, values).reshape(*face_index.shape, -1)


def _corners(attributes: Tensor, faces: Tensor) -> Tensor:
    """Values at vertices, (..., V, C), at the corners of triangles, (..., F, 3, C)."""
    return attributes.index_select(-2, faces.reshape(-1).to(torch.int64)).unflatten(-2, (-1, 3))


def _area_vectors(vertices: Tensor, faces: Tensor) -> Tensor:
    """Normals (B, F, 3) whose length is twice the triangle's area."""
    first, second, third = _corners(vertices, faces).unbind(-2)  # (B, F, 3)
    return torch.linalg.cross(second - first, third - first)
