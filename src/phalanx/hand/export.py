"""Meshes as files that other programs open: OBJ, PLY, GLB, STL; metres."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.core.json_values import Json
from phalanx.hand.gltf import Buffer, glb, skin_material, surface

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".stl")


def save_mesh(
    path: str | os.PathLike[str],
    meshes: Sequence[tuple[np.ndarray, np.ndarray]],
    names: Sequence[str] | None = None,
) -> None:
    """Write meshes, each vertices (V, 3) metres in the camera frame and faces (F, 3), into one file.

    The suffix says the format. OBJ, PLY and STL keep the camera frame (x right, y down, z away from the camera). GLB
    demands y up and a viewer that looks along -z, so there y and z are negated: the hand stands in the viewer as it
    stands in the picture. Vertices keep their order, so vertex i of the file is vertex i of the prediction; several
    meshes follow each other.

    Args:
        path: of the file.
        meshes: what to write, at least one.
        names: of the meshes, which their nodes in GLB have (default: hand_0, hand_1, ...).

    Raises:
        InputError: another suffix, no mesh, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(f"{path}: meshes are saved as {', '.join(MESH_SUFFIXES)}, by suffix")
    if not meshes:
        raise InputError(f"{path}: there is no mesh to save")
    if suffix == ".glb":
        names = [f"hand_{number}" for number in range(len(meshes))] if names is None else names
        content = _glb_of(meshes, names)
    else:
        content = _by_trimesh(meshes, suffix[1:])
    with write_whole(path) as part:
        part.write_bytes(content)


def _glb_of(meshes: Sequence[tuple[np.ndarray, np.ndarray]], names: Sequence[str]) -> bytes:
    """A node with a mesh for each."""
    buffer = Buffer()
    shown: list[Json] = [
        {"name": name, "primitives": [surface(buffer, vertices * [1.0, -1.0, -1.0], faces)]}
        for (vertices, faces), name in zip(meshes, names, strict=True)
    ]
    nodes: list[Json] = [{"name": name, "mesh": number} for number, name in enumerate(names)]
    scene: dict[str, Json] = {"nodes": list(range(len(nodes)))}
    document: dict[str, Json] = {"scene": 0, "scenes": [scene], "nodes": nodes, "meshes": shown}
    return glb(document | {"materials": [skin_material()]}, buffer)


def _by_trimesh(meshes: Sequence[tuple[np.ndarray, np.ndarray]], kind: str) -> bytes:
    import trimesh

    parts = [trimesh.Trimesh(vertices, faces, process=False) for vertices, faces in meshes]
    content: bytes | str = trimesh.util.concatenate(parts).export(file_type=kind)
    return content.encode() if isinstance(content, str) else content
