"""Models of things brought to one form: few triangles, each with a square patch of one atlas, and the solids that hands take them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.core.seeding import generator as stream_generator
from phalanx.render.solids import BOX, CAPSULE, ELLIPSOID

LARGEST = 800
"""Triangles that a thing has at most."""
SOLIDS = 4
"""Solids that stand for a thing: the one that hands take it by, and what else there is of it."""
_SAMPLES = 30_000  # points at which a surface's colour is known
_TEXELS = 80  # across a thing: pictures rarely show one larger
_WIDEST = 32  # texels along the side of a patch
_PLAIN = 5.0  # levels of 255: patches whose texels differ less get fewer of them
_ATLAS = 512  # texels across the atlas
_BEYOND = 0.004  # metres: what stands further out of the first solid gets solids of its own


SolidArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Kinds (S,), half sizes (S, 3), rotations (S, 3, 3) and centres (S, 3) of solids."""


@dataclass
class Part:
    """A piece of a model: `vertices (V, 3)`, `faces (F, 3)`, `uv (F, 3, 2)` in `image (H, W, 3)` uint8 from its lower left corner."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray


@dataclass
class Model:
    """One thing.

    Attributes:
        vertices: (V, 3) metres; z is up, the origin in the middle of what it stands on.
        faces: (F, 3) counter-clockwise, seen from outside.
        patches: F squares (n, n, 3) uint8, n a power of two; a triangle's corners are at the middles of its texels (0, 0), (0, n - 1)
            and (n - 1, 0) (row, column: first, second, third corner).
        kind, half, rotation, centre: of at most `SOLIDS` solids (N,), (N, 3), (N, 3, 3), (N, 3), as `render.solids.Solids` has them: first
            the one that hands take it by. None: hands do not hold it.
        role: what it is for, a name in `models.ROLES`.
        mirrored: share of the light that is mirrored.
    """

    vertices: np.ndarray
    faces: np.ndarray
    patches: list[np.ndarray]
    kind: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    centre: np.ndarray
    role: str
    mirrored: float


def plain(vertices: np.ndarray, faces: np.ndarray, colour: tuple[float, ...] | np.ndarray) -> Part:
    """A part of one colour, 0 to 255."""
    image = np.asarray(colour)[None, None, :3].astype(np.uint8)
    return Part(vertices, faces, np.zeros((len(faces), 3, 2)), image)


def joined(parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of all parts."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return np.concatenate([part.vertices for part in parts]), np.concatenate(faces)


def areas(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas (F,) and unit normals (F, 3) of triangles."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    size = np.linalg.norm(normal, axis=1)
    return 0.5 * size, normal / np.maximum(size, 1e-30)[:, None]


def samples(parts: list[Part], count: int = _SAMPLES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3) spread evenly over the surface, its normals there (N, 3) and its colours (N, 3), 0 to 255."""
    generator = stream_generator(0)
    size = [areas(part.vertices, part.faces) for part in parts]
    total = max(sum(float(area.sum()) for area, _ in size), 1e-30)
    found = []
    for part, (area, normal) in zip(parts, size, strict=True):
        if not area.sum() > 0:
            continue
        number = max(int(count * area.sum() / total), 64)
        face = generator.choice(len(area), number, p=area / area.sum())
        weight = generator.dirichlet(np.ones(3), number)
        point = np.einsum("nk,nkd->nd", weight, part.vertices[part.faces[face]])
        uv = np.einsum("nk,nkd->nd", weight, part.uv[face])
        height, width = part.image.shape[:2]
        column = np.floor((uv[:, 0] % 1.0) * width).astype(int) % width
        row = np.floor((1.0 - uv[:, 1] % 1.0) * height).astype(int) % height
        found.append((point, normal[face], part.image[row, column].astype(float)))
    points, normals, colours = (np.concatenate(values) for values in zip(*found, strict=True))
    return points, normals, colours


def patches(vertices: np.ndarray, faces: np.ndarray, parts: list[Part]) -> list[np.ndarray]:
    """Patches of the triangles, with the colours that the parts have nearest to them."""
    from scipy.spatial import cKDTree  # here, because importing SciPy is slow

    points, normals, colours = samples(parts)
    tree = cKDTree(points)
    texel = max(float(np.ptp(vertices, axis=0).max()), 1e-6) / _TEXELS
    corners = vertices[faces]  # (F, 3, 3)
    _, own = areas(vertices, faces)
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    side = 2 ** np.ceil(np.log2(np.clip(longest / texel, 1, _WIDEST))).astype(int)
    made: list[np.ndarray] = [np.zeros(0)] * len(faces)
    for n in np.unique(side):
        rows = np.flatnonzero(side == n)
        for count in (min(n, 4), n):
            found = _nearest_colours(corners[rows], own[rows], int(count), tree, normals, colours, texel)
            varied = []
            for row, patch in zip(rows, found, strict=True):
                made[row] = _smallest(patch)
                varied.append(len(made[row]) > 1)
            rows = rows[varied]
            if count == n or not len(rows):
                break
    return made


def _nearest_colours(
    corners: np.ndarray,
    facing: np.ndarray,
    n: int,
    tree: Any,
    normals: np.ndarray,
    colours: np.ndarray,
    texel: float,
) -> np.ndarray:
    """Patches (F, n, n, 3) of triangles (F, 3, 3) that face `facing` (F, 3): of each texel the colour nearest to it."""
    step = np.arange(n) / max(n - 1, 1)
    down, across = (grid.ravel() for grid in np.meshgrid(step, step, indexing="ij"))
    beyond = np.maximum(down + across - 1.0, 0.0) / 2.0  # onto the triangle's edge
    down, across = down - beyond, across - beyond
    if n == 1:
        down = across = np.full(1, 1 / 3)
    weights = np.stack([1.0 - down - across, across, down], -1)  # (n n, 3)
    weights = 1 / 3 + 0.92 * (weights - 1 / 3)  # of its own colours, not of its neighbours'
    place = np.einsum("pk,fkd->fpd", weights, corners)
    distance, index = tree.query(place.reshape(-1, 3), k=4)
    turned = np.abs((normals[index] * np.repeat(facing, n * n, axis=0)[:, None]).sum(-1))
    best = (distance + 2.0 * texel * (1.0 - turned)).argmin(1)
    return colours[index[np.arange(len(index)), best]].reshape(len(corners), n, n, 3)


def _smallest(patch: np.ndarray) -> np.ndarray:
    """The patch with as few texels as do."""
    while len(patch) > 1:
        half = len(patch) // 2
        small = patch.reshape(half, 2, half, 2, 3).mean((1, 3))
        if half == 1:
            wide = np.broadcast_to(small, patch.shape)
        else:
            line = np.linspace(0, half - 1, len(patch)).round().astype(int)
            wide = small[line][:, line]
        if np.sqrt(np.square(wide - patch).mean()) > _PLAIN:
            break
        patch = small
    return patch.round().clip(0, 255).astype(np.uint8)


def pack(all_patches: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """An atlas (H, W, 3) uint8 of all patches, and where (F, 3) each is: column, row and side. Equal ones share a place."""
    order = sorted(range(len(all_patches)), key=lambda i: -len(all_patches[i]))
    places = np.zeros((len(all_patches), 3), np.int64)
    known: dict[bytes, tuple[int, int]] = {}
    rows: list[np.ndarray] = []
    column = _ATLAS
    top = height = 0
    for i in order:
        patch = all_patches[i]
        n = len(patch)
        key = bytes([n]) + patch.tobytes()
        if key not in known:
            if column + n > _ATLAS or n != height:
                top, height, column = top + height, n, 0
                rows.append(np.zeros((n, _ATLAS, 3), np.uint8))
            rows[-1][:, column : column + n] = patch
            known[key] = (column, top)
            column += n
        places[i] = (*known[key], n)
    return np.concatenate(rows), places


def solids_of(
    points: np.ndarray, kind: int, axis: int, low: float, high: float, own: np.ndarray | None = None
) -> SolidArrays:
    """The solid that hands take a thing by, and boxes about all that stands out of it.

    Args:
        points: (N, 3) of the thing's surface.
        kind: of the first solid.
        axis: along which it lies.
        low, high: from which share of the thing's length along that axis to which it reaches.
        own: (N, 3) points of the piece that it is, if that is not the whole thing.
    """
    piece = points if own is None else own
    start, end = piece[:, axis].min(), piece[:, axis].max()
    first, last = start + low * (end - start), start + high * (end - start)
    turn = np.eye(3)[:, [(axis + 1) % 3, (axis + 2) % 3, axis]]  # own axes -> the thing's
    own = piece[(piece[:, axis] >= first - 1e-9) & (piece[:, axis] <= last + 1e-9)] @ turn
    if kind in (BOX, ELLIPSOID):
        lowest, highest = own.min(0), own.max(0)
    else:  # round: the middle of its outline; handles at its side do not count
        middle = np.median(own[:, :2], axis=0)
        for _ in range(20):
            radius = np.linalg.norm(own[:, :2] - middle, axis=1)
            rim = own[:, :2][(radius > 0.8 * np.median(radius)) & (radius < 1.2 * np.median(radius))]
            middle = 0.5 * (np.percentile(rim, 1, axis=0) + np.percentile(rim, 99, axis=0))
        radius = np.percentile(np.linalg.norm(rim - middle, axis=1), 75)
        lowest = np.array([*(middle - radius), own[:, 2].min()])
        highest = np.array([*(middle + radius), own[:, 2].max()])
    kinds, halves = [kind], [0.5 * (highest - lowest)]
    turns, centres = [turn], [turn @ (0.5 * (highest + lowest))]
    local = (points - centres[0]) @ turn
    out = outside(kind, halves[0], local) > _BEYOND
    beside = np.abs(local[:, 2]) <= halves[0][2] + 1e-4
    for group in (out & beside, out & ~beside & (local[:, 2] > 0), out & ~beside & (local[:, 2] < 0)):
        if group.sum() > 3:
            lowest, highest = local[group].min(0), local[group].max(0)
            kinds.append(BOX)
            halves.append(0.5 * (highest - lowest) + 1e-4)
            turns.append(turn)
            centres.append(centres[0] + turn @ (0.5 * (highest + lowest)))
    return np.array(kinds), np.stack(halves), np.stack(turns), np.stack(centres)


def outside(kind: int, half: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Metres (N,) by which points (N, 3) in a solid's own axes stand out of it, at most; negative inside."""
    if kind == ELLIPSOID:
        return (np.linalg.norm(own / np.maximum(half, 1e-9), axis=1) - 1.0) * half.min()
    if kind == BOX:
        return (np.abs(own) - half).max(1)
    across = np.linalg.norm(own[:, :2], axis=1)
    if kind == CAPSULE:
        beyond = np.maximum(np.abs(own[:, 2]) - (half[2] - half[0]), 0.0)
        return np.sqrt(across**2 + beyond**2) - half[0]
    return np.maximum(across - half[0], np.abs(own[:, 2]) - half[2])


def clustered(vertices: np.ndarray, faces: np.ndarray, most: int = LARGEST) -> tuple[np.ndarray, np.ndarray]:
    """A coarser mesh of at most `most` triangles: vertices within one cell of a grid become one (Rossignac and Borrel 1993)."""
    cells = 96.0
    low, size = vertices.min(0), max(float(np.ptp(vertices, axis=0).max()), 1e-9)
    while True:
        cell = np.floor((vertices - low) / size * cells).astype(np.int64)
        _, group = np.unique(cell, axis=0, return_inverse=True)
        group = group.reshape(-1)
        count = np.bincount(group)
        middle = np.stack([np.bincount(group, vertices[:, i]) / count for i in range(3)], -1)
        merged = group[faces]
        whole = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 2] != merged[:, 0])
        merged = merged[whole]
        _, first = np.unique(np.sort(merged, 1), axis=0, return_index=True)
        merged = merged[np.sort(first)]
        if len(merged) <= most or cells < 3:
            return middle, merged[:most]
        cells *= 0.88
