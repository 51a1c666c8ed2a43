"""Meshes as files that other programs open: OBJ, PLY, GLB, STL; metres."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".stl")

SKIN = (219, 172, 150, 255)  # RGBA of the material


def save_mesh(path: str | os.PathLike[str], meshes: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write meshes, each vertices (V, 3) metres in the camera frame and faces (F, 3), into one file.

    The suffix says the format. OBJ, PLY and STL keep the camera frame (x right, y down, z away from the camera). GLB
    demands y up and a viewer that looks along -z, so there y and z are negated: the hand stands in the viewer as it
    stands in the picture. Vertices keep their order, so vertex i of the file is vertex i of the prediction; several
    meshes follow each other (in GLB they are nodes hand_0, hand_1, ...).

    Raises:
        InputError: another suffix, no mesh, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(f"{path}: meshes are saved as {', '.join(MESH_SUFFIXES)}, by suffix")
    if not meshes:
        raise InputError(f"{path}: there is no mesh to save")
    import trimesh

    flip = np.array([1.0, -1.0, -1.0]) if suffix == ".glb" else np.ones(3)
    parts = [trimesh.Trimesh(vertices * flip, faces, process=False) for vertices, faces in meshes]
    if suffix == ".glb":
        skin = trimesh.visual.material.PBRMaterial(
            name="skin", baseColorFactor=SKIN, metallicFactor=0.0, roughnessFactor=0.7
        )
        for mesh in parts:
            mesh.visual = trimesh.visual.TextureVisuals(material=skin)
        scene = trimesh.Scene({f"hand_{index}": mesh for index, mesh in enumerate(parts)})
        content: bytes | str = scene.export(file_type="glb", include_normals=True)
    else:
        content = trimesh.util.concatenate(parts).export(file_type=suffix[1:])
    with write_whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
