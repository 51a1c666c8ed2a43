"""What GLB files (glTF 2.0) are written with: numbers in a buffer, surfaces, the look of skin, and the file around them.

A library would do this too, but loading one takes longer than predicting a picture.
"""

from __future__ import annotations

import json

import numpy as np

from phalanx.core.json_values import Json

FLOAT, UINT8, UINT32 = 5126, 5121, 5125
"""Kinds of numbers."""

VERTICES, INDICES = 34962, 34963
"""What numbers are for, where it must be said."""

SKIN = (219, 172, 150, 255)
"""Colour of the material, RGBA."""

_TYPES = {FLOAT: "<f4", UINT8: "u1", UINT32: "<u4"}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Buffer:
    """The binary part of a GLB, and what lies where in it."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.views: list[dict[str, Json]] = []
        self.accessors: list[dict[str, Json]] = []

    def add(self, values: np.ndarray, kind: int, target: int | None = None, bounds: bool = False) -> int:
        """Append numbers (N,) or (N, D); the number of their accessor."""
        values = np.ascontiguousarray(values, _TYPES[kind])
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        view: dict[str, Json] = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": values.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        self.bytes += values.tobytes()
        flat = values.reshape(len(values), -1)
        accessor: dict[str, Json] = {"bufferView": len(self.views) - 1, "componentType": kind, "count": len(values)}
        accessor["type"] = _KINDS[flat.shape[1]]
        if bounds:
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def surface(
    buffer: Buffer, vertices: np.ndarray, faces: np.ndarray, others: dict[str, Json] | None = None
) -> dict[str, Json]:
    """A mesh's one primitive, of vertices (V, 3) and faces (F, 3), with their normals and the first material.

    Args:
        buffer: takes the numbers.
        vertices, faces: the surface.
        others: further attributes of the vertices, by name the numbers of their accessors.
    """
    attributes: dict[str, Json] = {
        "POSITION": buffer.add(vertices, FLOAT, VERTICES, bounds=True),
        "NORMAL": buffer.add(vertex_normals(vertices, faces), FLOAT, VERTICES),
        **(others or {}),
    }
    return {"attributes": attributes, "indices": buffer.add(faces.reshape(-1), UINT32, INDICES), "material": 0}


def skin_material() -> dict[str, Json]:
    """What hands look like."""
    look: dict[str, Json] = {"metallicFactor": 0.0, "roughnessFactor": 0.7}
    look["baseColorFactor"] = [value / 255 for value in SKIN]
    return {"name": "skin", "pbrMetallicRoughness": look}


def glb(document: dict[str, Json], buffer: Buffer) -> bytes:
    """The file: a header of 12 bytes, then JSON and binary, each padded to four bytes and with length and kind before it.

    Args:
        document: nodes, meshes and so on; where the numbers lie is added to it.
        buffer: the numbers.
    """
    whole = {
        "asset": {"version": "2.0", "generator": "phalanx"},
        **document,
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.bytes)}],
    }
    text = json.dumps(whole, separators=(",", ":")).encode()
    chunks = b""
    for content, kind, blank in ((text, b"JSON", b" "), (bytes(buffer.bytes), b"BIN\0", b"\0")):
        content += blank * (-len(content) % 4)
        chunks += len(content).to_bytes(4, "little") + kind + content
    return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals: those of the faces around, by area."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
