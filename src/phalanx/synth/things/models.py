"""The things that synthesis knows: those frozen in the package, and others from a folder."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.things.bake import SOLIDS, Model, areas, pack

ROLES = ("held", "small", "furniture", "plant")
"""What things are for: in hands and on tables; on tables and shelves; on the floor; on the floor or on tables."""
ASSETS = Path(__file__).parent.parent / "assets"
_CREASE = 0.75  # cosine: edges as sharp as this or sharper are seen as edges


@dataclass
class Things:
    """T things as padded tensors; each in its own frame: metres, z up, the origin in the middle of what it stands on.

    Attributes:
        names: of the things; role: (T,) numbers in `ROLES`.
        count: (T,) triangles, of F that there is room for.
        corners, normals: (T, F, 3, 3) of the triangles, 0 beyond the count.
        patch: (T, F, 3) column, row and side of each triangle's patch in the atlas.
        atlas: (P, 3) uint8 texels, row after row; width: texels in a row.
        size: (T, 3) metres across.
        kind, half, rotation, centre: (T, N), (T, N, 3), (T, N, 3, 3), (T, N, 3) solids; kind is -1 where there is none.
        mirrored: (T,) share of the light that is mirrored.
    """

    names: list[str]
    role: np.ndarray
    count: np.ndarray
    corners: Tensor
    normals: Tensor
    patch: Tensor
    atlas: Tensor
    width: int
    size: np.ndarray
    kind: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    centre: np.ndarray
    mirrored: np.ndarray

    def to(self, device: str) -> Things:
        """The same, its tensors on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("corners", "normals", "patch", "atlas")}
        return replace(self, **moved)


def freeze(models: dict[str, Model]) -> dict[str, np.ndarray]:
    """Arrays of a file that `thaw` reads; places are rounded to 1/65535 of a thing's size."""
    atlas, places = pack([patch for model in models.values() for patch in model.patches])
    low = np.stack([model.vertices.min(0) for model in models.values()])
    size = np.stack([np.ptp(model.vertices, axis=0).max() for model in models.values()])
    vertices = [
        ((m.vertices - lowest) / across * 65535).round()
        for m, lowest, across in zip(models.values(), low, size, strict=True)
    ]
    padded = [_padded(model) for model in models.values()]
    return {
        "names": np.array(list(models)),
        "role": np.array([ROLES.index(model.role) for model in models.values()], np.int8),
        "mirrored": np.array([model.mirrored for model in models.values()], np.float32),
        "vertex_count": np.array([len(model.vertices) for model in models.values()]),
        "face_count": np.array([len(model.faces) for model in models.values()]),
        "low": low.astype(np.float32),
        "across": size.astype(np.float32),
        "vertices": np.concatenate(vertices).astype(np.uint16),
        "faces": np.concatenate([model.faces for model in models.values()]).astype(np.uint16),
        "places": places.astype(np.uint16),
        "atlas": atlas,
        "kind": np.stack([solids[0] for solids in padded]).astype(np.int8),
        **{
            name: np.stack([solids[i] for solids in padded]).astype(np.float32)
            for i, name in enumerate(("half", "rotation", "centre"), start=1)
        },
    }


def _padded(model: Model) -> tuple[np.ndarray, ...]:
    """The model's solids, with room for `SOLIDS`."""
    kind, half = np.full(SOLIDS, -1), np.full((SOLIDS, 3), 0.001)
    rotation, centre = np.tile(np.eye(3), (SOLIDS, 1, 1)), np.zeros((SOLIDS, 3))
    number = len(model.kind)
    kind[:number], half[:number] = model.kind, model.half
    rotation[:number], centre[:number] = model.rotation, model.centre
    return kind, half, rotation, centre


def thaw(arrays: dict[str, np.ndarray]) -> Things:
    """The things of a file that was written with what `freeze` gives."""
    vertex_end, face_end = np.cumsum(arrays["vertex_count"]), np.cumsum(arrays["face_count"])
    most = int(arrays["face_count"].max())
    number = len(vertex_end)
    corners, normals = (np.zeros((number, most, 3, 3), np.float32) for _ in range(2))
    patch = np.ones((number, most, 3), np.int64)
    size = np.zeros((number, 3))
    for i in range(number):
        rows = slice(vertex_end[i] - arrays["vertex_count"][i], vertex_end[i])
        own = slice(face_end[i] - arrays["face_count"][i], face_end[i])
        vertices = arrays["low"][i] + arrays["vertices"][rows] / 65535.0 * arrays["across"][i]
        faces = arrays["faces"][own].astype(np.int64)
        corners[i, : len(faces)] = vertices[faces]
        normals[i, : len(faces)] = _corner_normals(vertices, faces)
        patch[i, : len(faces)] = arrays["places"][own]
        size[i] = np.ptp(vertices, axis=0)
    return Things(
        [str(name) for name in arrays["names"]],
        arrays["role"].astype(np.int64),
        arrays["face_count"].astype(np.int64),
        torch.from_numpy(corners),
        torch.from_numpy(normals),
        torch.from_numpy(patch),
        torch.from_numpy(arrays["atlas"].reshape(-1, 3).copy()),
        arrays["atlas"].shape[1],
        size,
        arrays["kind"].astype(np.int64),
        arrays["half"].astype(np.float64),
        arrays["rotation"].astype(np.float64),
        arrays["centre"].astype(np.float64),
        arrays["mirrored"],
    )


def _corner_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals (F, 3, 3) of triangles' corners: smooth, but at sharp edges."""
    area, flat = areas(vertices, faces)
    owner = np.argsort(faces.reshape(-1), kind="stable")
    corner = faces.reshape(-1)[owner]
    start = np.searchsorted(corner, np.arange(len(vertices) + 1))
    found = np.zeros((len(faces) * 3, 3))
    for vertex in np.unique(corner):
        slots = owner[start[vertex] : start[vertex + 1]]
        around = slots // 3
        alike = flat[around] @ flat[around].T > _CREASE
        found[slots] = alike @ (flat[around] * area[around, None])
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(length > 1e-12, found / np.maximum(length, 1e-12), np.repeat(flat, 3, axis=0)).reshape(-1, 3, 3)


@lru_cache(maxsize=4)
def things_bank(folder: Path | None, device: str) -> Things:
    """The things of the package together with those of the folder, if there is one.

    Raises:
        InputError: the folder is not there, or nothing in it can be used.
    """
    with np.load(ASSETS / "things.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["atlas"] = _picture(arrays.pop("atlas_file").tobytes())
    if folder is not None:
        from phalanx.synth.things.folder import read_folder

        arrays = _together(arrays, freeze(read_folder(folder)))
    return thaw(arrays).to(device)


def _picture(encoded: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def _together(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Two files' things as one."""
    places = other["places"] + np.array([0, len(one["atlas"]), 0], np.int64)
    other = {**other, "places": places}
    return {name: np.concatenate([one[name], other[name]]) for name in one}
