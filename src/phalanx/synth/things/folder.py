"""Models of users' own things: OBJ, GLB, PLY and STL files of a folder, brought to real size and few triangles."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import files_below
from phalanx.core.notes import note
from phalanx.render.solids import BOX, CYLINDER, ELLIPSOID
from phalanx.synth.things.bake import (
    LARGEST,
    Model,
    Part,
    SolidArrays,
    areas,
    clustered,
    joined,
    outside,
    patches,
    plain,
    samples,
    solids_of,
)

SUFFIXES = (".obj", ".glb", ".ply", ".stl")
MOST = 64
"""Models of a folder that are used."""
_MOST_FACES = 1_000_000
_MOST_BYTES = 200_000_000
_UNITS = (("metres", 1.0, 0.008, 3.0), ("centimetres", 0.01, 3.0, 300.0), ("millimetres", 0.001, 300.0, 3000.0))
"""Unit, metres, and the lengths between which a thing is taken to be given in it."""
_STL_UNITS = (("metres", 1.0, 0.008, 1.0), ("millimetres", 0.001, 1.0, 3000.0))
"""The same of STL, which machines that make things write in millimetres."""
_FITS = 0.003  # metres: hands take things that are as near as this to a box, a cylinder or a ball
_THINNEST = 0.0003  # metres: half of the thickness that a sheet has
_HELD = 0.3  # metres: nobody holds things larger than this


def model_files(folder: Path) -> list[Path]:
    """Files of a folder, and of folders in it, that may be models; in order.

    Raises:
        InputError: there is no such folder, or it holds none.
    """
    return files_below(folder, SUFFIXES, "things", "models")


def read_folder(folder: Path) -> dict[str, Model]:
    """The things of a folder by the names of their files; of those that cannot be used, and of units that were guessed, a note.

    Of more than `MOST` models every so manieth is used, and a note says so.

    Raises:
        InputError: there is no such folder, or nothing in it can be used.
    """
    files = model_files(folder)
    models = {}
    used = files[:: -(-len(files) // MOST)]
    if len(used) < len(files):
        note(f"{folder}: has {len(files)} models, of which {len(used)} are used, spread evenly; at most {MOST} are")
    for path in used:
        try:
            models[path.relative_to(folder).as_posix()] = read_model(path)
        except InputError as error:
            note(f"{error}; it is left out")
    if not models:
        raise InputError(f"{folder}: none of its {len(files)} models can be used")
    return models


def read_model(path: Path) -> Model:
    """One thing of a file. Y is taken to be up, as in glTF; in PLY and STL files z is.

    Raises:
        InputError: the file is damaged, too large, without surfaces, or of a size that no thing has.
    """
    parts = _read_parts(path)
    if path.suffix.lower() in (".obj", ".glb"):
        up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        parts = [Part(part.vertices @ up.T, part.faces, part.uv, part.image) for part in parts]
    vertices, faces = joined(parts)
    if not np.isfinite(vertices).all() or not areas(vertices, faces)[0].sum() > 0:
        raise InputError(f"{path}: has vertices that are not finite, or no surface")
    used = vertices[np.unique(faces)]
    low, high = used.min(0), used.max(0)
    scale = _metres(path, float((high - low).max()))
    foot = np.array([*(0.5 * (low + high))[:2], low[2]])
    parts = [Part((part.vertices - foot) * scale, part.faces, part.uv, part.image) for part in parts]
    vertices, faces = joined(parts)
    if len(faces) > LARGEST:
        vertices, faces = clustered(vertices, faces)
    size = float(np.ptp(vertices, axis=0).max())
    solids = _solids(vertices, faces) if size < _HELD else None
    role = "held" if solids is not None else "small" if size < 0.5 else "furniture"
    if solids is None:
        solids = (np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3)))
    kind, half, rotation, centre = solids
    return Model(vertices, faces, patches(vertices, faces, parts), kind, half, rotation, centre, role, 0.04)


def _metres(path: Path, longest: float) -> float:
    """Metres in the unit of a model whose longest side is given; what was assumed is said.

    Raises:
        InputError: no unit makes it as large as a thing.
    """
    for unit, metres, least, most in _STL_UNITS if path.suffix.lower() == ".stl" else _UNITS:
        if least <= longest <= most:
            if unit != "metres":
                note(f"{path}: is {longest:.4g} units long, which are taken to be {unit}")
            return metres
    raise InputError(
        f"{path}: is {longest:.4g} units long, which is the size of no thing in metres, centimetres or millimetres"
    )


def _read_parts(path: Path) -> list[Part]:
    import trimesh

    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: is empty")
    if size > _MOST_BYTES:
        raise InputError(f"{path}: has {size / 1e6:.0f} MB, more than {_MOST_BYTES / 1e6:.0f}")
    log = logging.getLogger("trimesh")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scene = trimesh.load(path, force="scene", process=False)
            for mesh in scene.geometry.values():
                _mend_textures(path, mesh)
            meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
            number = sum(len(mesh.faces) for mesh in meshes)
            if number > _MOST_FACES - 1:
                raise InputError(f"{path}: has {number} triangles, a million or more")
            _note_missing(path)
            parts = [_part(path, mesh) for mesh in meshes]
    except InputError:
        raise
    except Exception as error:  # whatever a reader of foreign files stumbles over
        raise InputError(f"{path}: is no model of its kind, or is damaged ({type(error).__name__})") from error
    finally:
        log.setLevel(level)
    if not parts:
        raise InputError(f"{path}: holds no triangles")
    return parts


def _part(path: Path, mesh: Any) -> Part:
    """A mesh with its texture, or with the mean colour of its faces."""
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    material, uv = getattr(mesh.visual, "material", None), getattr(mesh.visual, "uv", None)
    if material is None:
        return _coloured(mesh, vertices, faces)
    image = getattr(material, "image", None)
    if image is None:
        image = getattr(material, "baseColorTexture", None)
    if image is None or uv is None:
        if image is None and uv is not None and _names_texture(path):
            note(f"{path}: its texture cannot be read; it is painted in one colour")
        return plain(vertices, faces, np.asarray(material.main_color))
    corners = np.nan_to_num(np.asarray(uv, np.float64)[faces], posinf=0.0, neginf=0.0)
    return Part(vertices, faces, corners, np.asarray(image.convert("RGB")))


def _mend_textures(path: Path, mesh: Any) -> None:
    """Put one colour in place of textures that are damaged; trimesh cannot even copy them."""
    from PIL import Image

    material = getattr(mesh.visual, "material", None)
    for name in ("image", "baseColorTexture"):
        image = getattr(material, name, None)
        if image is None:
            continue
        try:
            image.load()
        except (OSError, SyntaxError):  # Pillow has both for broken files
            note(f"{path}: its texture is damaged; it is painted in one colour")
            setattr(material, name, Image.new("RGB", (1, 1), (150, 150, 150)))


def _note_missing(path: Path) -> None:
    """Name files beside a model that it asks for and that are not there: materials of OBJ, pictures of GLB."""
    if path.suffix.lower() == ".obj":
        lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
        wanted = [
            line.split(None, 1)[1].strip()
            for line in lines
            if line.lower().startswith("mtllib ") and len(line.split()) > 1
        ]
    elif path.suffix.lower() == ".glb":
        data = path.read_bytes()
        images = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")]).get("images", [])
        wanted = [
            unquote(str(image["uri"]))
            for image in images
            if "uri" in image and not str(image["uri"]).startswith("data:")
        ]
    else:
        return
    missing = sorted({name for name in wanted if not (path.parent / name).is_file()})
    if missing:
        note(f"{path}: {', '.join(missing)} is not beside it; what needs that is painted in one colour")


def _names_texture(path: Path) -> bool:
    """Whether a material beside an OBJ names a texture."""
    beside = path.parent.glob("*.mtl") if path.suffix.lower() == ".obj" else ()
    return any("map_kd" in file.read_text(encoding="utf-8", errors="ignore").lower() for file in beside)


def _coloured(mesh: Any, vertices: np.ndarray, faces: np.ndarray) -> Part:
    """A part with a colour for each of its faces, side by side in a picture; grey where there are none."""
    if getattr(mesh.visual, "kind", None) not in ("vertex", "face"):
        return plain(vertices, faces, (160, 160, 160))
    colours = np.asarray(mesh.visual.face_colors)[None, :, :3].astype(np.uint8)
    uv = np.stack([(np.arange(len(faces)) + 0.5) / len(faces), np.full(len(faces), 0.5)], -1)
    return Part(vertices, faces, np.repeat(uv[:, None], 3, axis=1), colours)


def _solids(vertices: np.ndarray, faces: np.ndarray) -> SolidArrays | None:
    """The solid that a thing nearly is; None if it is like none that hands take."""
    points = samples([plain(vertices, faces, (0, 0, 0))], 4000)[0]
    best = None
    for kind, axis in ((BOX, 2), (ELLIPSOID, 2), (CYLINDER, 0), (CYLINDER, 1), (CYLINDER, 2)):
        solids = solids_of(points, kind, axis, 0.0, 1.0)
        half, turn, centre = (array[0] for array in solids[1:])
        away = np.percentile(np.abs(outside(kind, half, (points - centre) @ turn)), 95)
        if away < _FITS and (best is None or away < best[0]):
            best = (away, solids)
    if best is None:
        return None
    kinds, halves, turns, centres = best[1]
    return kinds, halves.clip(_THINNEST), turns, centres
