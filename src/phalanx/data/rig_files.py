"""Rigs of cameras as users have them: our JSON, OpenCV's stereo files, Kalibr's camera chains and COLMAP's models. NumPy alone.

A rig is cameras (`data.camera_files.Calibration`) and where they stand. Lengths become metres where the unit is known; a file whose
format does not fix the unit must state it, or the user does, or it is found from the hands. `docs/rigs.md` lists what is understood.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics, is_rotation
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_head, write_json
from phalanx.data.camera_files import Calibration, as_calibration, read_document
from phalanx.geometry.distortion import Lens

SCHEMA = "phalanx.rig/1"

UNITS = {"m": 1.0, "metre": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres of units by name."""
BY_HAND = "hand"
"""The unit of a rig whose scale is to be found from the hands."""

FARTHEST, NEAREST = 30.0, 0.004
"""Metres between the two cameras of a rig that are farthest and least far apart: beyond these a unit is wrong."""

SLACK = 1e-2
"""How far a file's rotation may be from one: some are written with three digits. It is then made one."""


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A camera of a rig.

    Attributes:
        calibration: K, lens and size.
        world_to_camera: (4, 4), metres if the rig is metric.
        name: for people.
    """

    calibration: Calibration
    world_to_camera: np.ndarray
    name: str

    @property
    def centre(self) -> np.ndarray:
        """(3,) where it stands."""
        centre: np.ndarray = -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]
        return centre


@dataclass(frozen=True, eq=False)
class CameraRig:
    """Calibrated cameras.

    Attributes:
        cameras: two or more, at different places.
        metric: lengths are metres; otherwise of an unknown unit.
        name: of the file, for complaints.
    Raises:
        InputError: fewer than two cameras, two at one place, or lengths that cannot be metres.
    """

    cameras: tuple[RigCamera, ...]
    metric: bool
    name: str = "rig"

    def __post_init__(self) -> None:
        if len(self.cameras) < 2:
            raise InputError(f"{self.name}: a rig has two cameras or more, not {len(self.cameras)}")
        if len({camera.name for camera in self.cameras}) < len(self.cameras):
            raise InputError(f"{self.name}: two cameras have one name: {', '.join(c.name for c in self.cameras)}")
        apart = {(a.name, b.name): float(np.linalg.norm(a.centre - b.centre)) for a, b in combinations(self.cameras, 2)}
        for (a, b), distance in apart.items():
            if distance <= 1e-4 * max(apart.values()) or distance == 0:
                raise InputError(f"{self.name}: cameras {a} and {b} stand at the same place, so they show no depth")
        if self.metric and not (NEAREST <= min(apart.values()) and max(apart.values()) <= FARTHEST):
            raise InputError(
                f"{self.name}: its cameras stand {min(apart.values()):.3g} to {max(apart.values()):.3g} m apart, if its lengths are "
                "metres; give the unit that they are in: mm, cm, m, metres as a number, or hand to find it from the hands"
            )

    def __len__(self) -> int:
        return len(self.cameras)

    def scaled(self, factor: float, metric: bool = True) -> CameraRig:
        """The rig with `factor` times its lengths."""
        return replace(self, cameras=tuple(_lengthened(camera, factor) for camera in self.cameras), metric=metric)

    def to_json(self) -> dict[str, Any]:
        """As what `json.dump` takes: the rig's own format."""
        cameras = []
        for camera in self.cameras:
            entry: dict[str, Any] = {"name": camera.name, "K": camera.calibration.K.round(6).tolist()}
            if camera.calibration.size is not None:
                entry["width"], entry["height"] = camera.calibration.size
            if camera.calibration.lens is not None:
                lens = camera.calibration.lens
                entry |= {"distortion_model": lens.model, "distortion": lens.coefficients.round(9).tolist()}
            cameras.append({**entry, "world_to_camera": camera.world_to_camera.round(9).tolist()})
        return {"schema": SCHEMA, "unit": "m" if self.metric else BY_HAND, "cameras": cameras}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(path, self.to_json(), indent=1)


def _lengthened(camera: RigCamera, factor: float) -> RigCamera:
    placed = camera.world_to_camera.copy()
    placed[:3, 3] *= factor
    return replace(camera, world_to_camera=placed)


def read_rig(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], unit: float | str | None = None
) -> CameraRig:
    """The rig in a file, in a folder of COLMAP's, or in several files of OpenCV's (intrinsics and extrinsics).

    Args:
        paths: of the file or files.
        unit: of the lengths in it: metres as a number, "m", "cm", "mm", or "hand", which leaves it open; None: as the file states, or
            as its format fixes it (Kalibr: metres).

    Raises:
        InputError: one sentence that begins with the path: missing, damaged, no rig, or its unit is not known.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise InputError("rig: name a file")
    first = Path(given[0])
    factor, metric = _factor(unit)
    if first.is_dir():
        cameras, stated = _colmap(first), None
    else:
        found: dict[str, Any] = {}
        for path in map(Path, given):
            document = read_document(path)
            if not isinstance(document, Mapping):
                raise InputError(f"{path}: holds no rig, which is an object with cameras in it")
            found |= document
        cameras, stated = _of_object(found, str(first))
    if unit is None:
        if stated is None:
            raise InputError(
                f"{first}: does not say which unit its lengths are in; give it (--unit mm, cm, m, metres as a number, or hand to find "
                "it from the hands)"
            )
        factor, metric = _factor(stated, str(first))
    return CameraRig(tuple(_lengthened(camera, factor) for camera in cameras), metric, str(first))


def _factor(unit: Any, name: str = "unit") -> tuple[float, bool]:
    """Metres of one unit, and whether that is known."""
    if unit is None or (isinstance(unit, str) and unit.strip().lower() == BY_HAND):
        return 1.0, False
    if isinstance(unit, str) and unit.strip().lower().rstrip("s") in UNITS:
        return UNITS[unit.strip().lower().rstrip("s")], True
    try:
        factor = float(unit)
    except (TypeError, ValueError):
        factor = 0.0
    if isinstance(unit, bool) or not np.isfinite(factor) or factor <= 0:
        raise InputError(f"{name}: the unit must be mm, cm, m, metres as a number, or hand, not {unit!r}")
    return factor, True


def _of_object(found: dict[str, Any], name: str) -> tuple[list[RigCamera], Any]:
    """The cameras, in the file's own unit, and that unit if it is known."""
    values = {_plain(key): value for key, value in found.items()}
    listed = values.get("cameras")
    if isinstance(listed, list):
        return _listed(values, listed, name)
    chain = {key: value for key, value in found.items() if isinstance(value, Mapping) and _is_placed(value)}
    numbered = sorted(
        chain, key=lambda key: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]
    )
    if any("tcncnm1" in map(_plain, chain[key]) for key in numbered) or any(
        "tcamimu" in map(_plain, chain[key]) for key in numbered
    ):
        return _kalibr([(key, chain[key]) for key in numbered], name), "m"
    if len(numbered) >= 2:
        return [_camera({**chain[key], "name": key}, i, name) for i, key in enumerate(numbered)], values.get("unit")
    if _first(values, _RIGHT_MATRIX) is not None:
        return _stereo(values, name), values.get("unit")
    raise InputError(
        f"{name}: holds no rig: neither a list of cameras with K and world_to_camera, nor two cameras with R and T (OpenCV), nor "
        "cam0, cam1 with T_cn_cnm1 (Kalibr)"
    )


_LEFT_MATRIX = ("cameramatrix1", "k1", "m1", "cameramatrixleft", "leftcameramatrix", "kl", "mtxl")
_RIGHT_MATRIX = ("cameramatrix2", "k2", "m2", "cameramatrixright", "rightcameramatrix", "kr", "mtxr")
_LEFT_LENS = ("distcoeffs1", "d1", "distortioncoefficients1", "distcoeffsleft", "leftdistcoeffs", "dl", "distl")
_RIGHT_LENS = ("distcoeffs2", "d2", "distortioncoefficients2", "distcoeffsright", "rightdistcoeffs", "dr", "distr")
_SIZE = ("imagesize", "resolution", "size")


def _plain(key: Any) -> str:
    return re.sub(r"[_\-\s]", "", str(key)).lower()


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _is_placed(value: Mapping[Any, Any]) -> bool:
    """Whether an object may be a camera of a rig."""
    keys = {_plain(key) for key in value}
    return bool(keys & {"intrinsics", "k", "cameramatrix", "fx"}) and not keys >= {"rows", "cols", "data"}


def _listed(values: Mapping[str, Any], listed: list[Any], name: str) -> tuple[list[RigCamera], Any]:
    shared = {side: values[side] for side in ("width", "height") if side in values}
    unit = "m" if "spot" in values else values.get("unit")  # those of synthesis are metric
    cameras = []
    for i, entry in enumerate(listed):
        if not isinstance(entry, Mapping):
            raise InputError(f"{name}: camera {i} is no object with K and world_to_camera")
        cameras.append(_camera({**shared, **entry}, i, name))
    return cameras, unit


def _camera(entry: Mapping[Any, Any], number: int, name: str) -> RigCamera:
    values = {_plain(key): value for key, value in entry.items()}
    label = str(values.get("name", f"camera{number}"))
    try:
        calibration = as_calibration({key: value for key, value in entry.items() if _plain(key) not in _PLACES})
    except InputError as error:
        raise InputError(f"{name}: camera {label}: {str(error).removeprefix('K: ')}") from error
    return RigCamera(
        replace(calibration, name=f"{name}, camera {label}"), _placement(values, f"{name}: camera {label}"), label
    )


_PLACES = {
    "worldtocamera",
    "extrinsics",
    "extrinsic",
    "cameratoworld",
    "r",
    "t",
    "rvec",
    "tvec",
    "rotation",
    "translation",
    "name",
}


def _placement(values: Mapping[str, Any], name: str) -> np.ndarray:
    """World to camera (4, 4), from a matrix, its inverse, or a rotation (matrix or vector) and a translation."""
    if (matrix := _first(values, ("worldtocamera", "extrinsics", "extrinsic"))) is not None:
        return as_placement(matrix, name)
    if (matrix := values.get("cameratoworld")) is not None:
        inverse: np.ndarray = np.linalg.inv(as_placement(matrix, name))
        return inverse
    turn, shift = _first(values, ("r", "rotation", "rvec")), _first(values, ("t", "translation", "tvec"))
    if turn is None or shift is None:
        raise InputError(f"{name}: where it stands is missing: world_to_camera, or R and T")
    return _joined(turn, shift, name)


def as_placement(matrix: Any, name: str) -> np.ndarray:
    """(4, 4) from a (3, 4) or (4, 4) matrix whose rotation is one but for rounding. Raises InputError for anything else."""
    values = np.asarray(_flat(matrix, name))
    if values.size not in (12, 16):
        raise InputError(f"{name}: where it stands must be a 3 x 4 or 4 x 4 matrix")
    values = values.reshape(-1, 4)
    return _joined(values[:3, :3], values[:3, 3], name)


def _joined(turn: Any, shift: Any, name: str) -> np.ndarray:
    import cv2

    rotation, place = _flat(turn, name), as_array(_flat(shift, name), (3,), f"{name}: translation")
    if rotation.size not in (3, 9):
        raise InputError(f"{name}: its rotation must be a 3 x 3 matrix or a rotation vector")
    matrix = cv2.Rodrigues(rotation)[0] if rotation.size == 3 else rotation.reshape(3, 3)
    if not is_rotation(matrix, SLACK):
        raise InputError(
            f"{name}: its rotation is none: rows must be square to each other and of length 1, without a mirror"
        )
    u, _, v = np.linalg.svd(matrix)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = u @ v, place
    return result


def _flat(values: Any, name: str) -> np.ndarray:
    """Numbers in one row, from lists or OpenCV's objects of rows, cols and data."""
    values = values["data"] if isinstance(values, Mapping) and "data" in values else values
    try:
        flat = np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: where it stands is not an array of numbers") from error
    return as_array(flat, (None,), f"{name}: where it stands")


def _stereo(values: Mapping[str, Any], name: str) -> list[RigCamera]:
    """OpenCV's stereo calibration: the world is the first camera; R and T lead from it to the second."""
    turn, shift = _first(values, ("r", "rotation", "rot")), _first(values, ("t", "translation", "trans"))
    if turn is None or shift is None:
        raise InputError(
            f"{name}: has two camera matrices, but not R and T between them; give the file of extrinsics, too"
        )
    size = _first(values, _SIZE)
    sides = {"image_size": size} if size is not None else {}
    sides |= {key: values[key] for key in ("imagewidth", "imageheight", "width", "height") if key in values}
    cameras: list[RigCamera] = []
    for label, matrices, lenses in (("left", _LEFT_MATRIX, _LEFT_LENS), ("right", _RIGHT_MATRIX, _RIGHT_LENS)):
        matrix = _first(values, matrices)
        if matrix is None:
            raise InputError(f"{name}: the {label} camera's matrix is missing")
        placed = np.eye(4) if label == "left" else _joined(turn, shift, f"{name}: R and T")
        entry = {
            "K": matrix,
            "distortion_coefficients": _first(values, lenses),
            "name": label,
            "world_to_camera": placed,
        }
        cameras.append(_camera({**sides, **entry}, len(cameras), name))
    return cameras


def _kalibr(chain: Sequence[tuple[str, Mapping[Any, Any]]], name: str) -> list[RigCamera]:
    """Kalibr's camera chain: the world is the first camera; `T_cn_cnm1` leads from the camera before to each."""
    placed, cameras = np.eye(4), []
    for number, (key, entry) in enumerate(chain):
        values = {_plain(each): value for each, value in entry.items()}
        model = str(values.get("cameramodel", "pinhole")).lower()
        if model != "pinhole":
            raise InputError(f"{name}: camera {key} has the model {model!r}, and pinhole alone is supported")
        if number and values.get("tcncnm1") is None:
            raise InputError(f"{name}: camera {key} has no T_cn_cnm1, which says where it stands")
        if number:
            placed = as_placement(values["tcncnm1"], f"{name}: camera {key}") @ placed
        kept = {each: entry[each] for each in entry if _plain(each) in _KALIBR}
        cameras.append(_camera({**kept, "name": key, "world_to_camera": placed}, number, name))
    return cameras


_KALIBR = {"intrinsics", "distortionmodel", "distortioncoeffs", "resolution"}

_COLMAP = {  # number in binary files: name, parameters, and what they are
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
}


def _colmap(folder: Path) -> list[RigCamera]:
    """A model of COLMAP's in text or binary: each picture is a camera, named as its file (or, where these agree, as its folder)."""
    folder = next((inner for inner in (folder, folder / "0", folder / "sparse" / "0") if _colmap_ending(inner)), folder)
    ending = _colmap_ending(folder)
    if ending is None:
        raise InputError(f"{folder}: holds no model of COLMAP's, which is cameras.txt and images.txt, or both as .bin")
    files = folder / f"cameras{ending}", folder / f"images{ending}"
    try:
        cameras = (_text_cameras if ending == ".txt" else _binary_cameras)(files[0])
        images = (_text_images if ending == ".txt" else _binary_images)(files[1])
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{folder}: is damaged, or no model of COLMAP's") from error
    images.sort(key=lambda image: image[0])
    names = [Path(image[0]) for image in images]
    labels = [path.parent.name for path in names]
    if len(set(labels)) < len(labels):
        labels = [path.stem for path in names]
    result = []
    for (picture, camera, placed), label in zip(images, labels, strict=True):
        if camera not in cameras:
            raise InputError(f"{files[1]}: picture {picture} is of camera {camera}, which {files[0].name} lacks")
        result.append(RigCamera(replace(cameras[camera], name=f"{folder}, {picture}"), placed, label))
    return result


def _colmap_ending(folder: Path) -> str | None:
    for ending in (".txt", ".bin"):
        if (folder / f"cameras{ending}").is_file() and (folder / f"images{ending}").is_file():
            return ending
    return None


def _colmap_camera(model: str, size: tuple[int, int], numbers: Sequence[float], path: Path) -> Calibration:
    known = {name for name, _ in _COLMAP.values()}
    if model not in known:
        raise InputError(
            f"{path}: the camera model {model} is not supported; undistort the pictures first ({', '.join(sorted(known))} are)"
        )
    single = model.startswith("SIMPLE") or model == "RADIAL"
    fx, fy = (numbers[0], numbers[0]) if single else (numbers[0], numbers[1])
    rest = list(numbers[1:] if single else numbers[2:])
    # COLMAP's pixels have their middle at a half.
    K = as_intrinsics([fx, fy, rest[0] - 0.5, rest[1] - 0.5], str(path))
    bend = rest[2:]
    if not any(bend):
        return Calibration(K, size)
    if model == "OPENCV_FISHEYE":
        return Calibration(K, size, Lens("fisheye", np.array(bend)))
    if model in ("SIMPLE_RADIAL", "RADIAL"):
        bend = [*bend, 0.0][:2] + [0.0, 0.0]
    return Calibration(K, size, Lens("radial-tangential", np.array(bend)))


def _colmap_place(numbers: Sequence[float]) -> np.ndarray:
    """World to camera from a quaternion (w, x, y, z) and a translation."""
    w, x, y, z = np.array(numbers[:4]) / np.linalg.norm(numbers[:4])
    placed = np.eye(4)
    placed[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    placed[:3, 3] = numbers[4:7]
    return placed


def _text_cameras(path: Path) -> dict[int, Calibration]:
    cameras: dict[int, Calibration] = {}
    for _, line in numbered_lines(path):
        if not line.startswith("#"):
            number, model, width, height, *numbers = line.split()
            size = int(width), int(height)
            cameras[int(number)] = _colmap_camera(model, size, [float(each) for each in numbers], path)
    return cameras


def _text_images(path: Path) -> list[tuple[str, int, np.ndarray]]:
    """Every second line is a picture; between them are its points, which may be an empty line."""
    read_head(path, 1)
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    images = []
    for line in lines[::2]:
        if line:
            words = line.split(maxsplit=9)
            images.append((words[9], int(words[8]), _colmap_place([float(each) for each in words[1:8]])))
    return images


def _binary_cameras(path: Path) -> dict[int, Calibration]:
    content = path.read_bytes()
    cameras: dict[int, Calibration] = {}
    (count,), place = struct.unpack_from("<Q", content), 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", content, place)
        name, parameters = _COLMAP[model]
        numbers = struct.unpack_from(f"<{parameters}d", content, place + 24)
        cameras[number] = _colmap_camera(name, (width, height), numbers, path)
        place += 24 + 8 * parameters
    return cameras


def _binary_images(path: Path) -> list[tuple[str, int, np.ndarray]]:
    content = path.read_bytes()
    (count,), place, images = struct.unpack_from("<Q", content), 8, []
    for _ in range(count):
        _, *numbers, camera = struct.unpack_from("<i7di", content, place)
        end = content.index(b"\0", place + 64)
        (points,) = struct.unpack_from("<Q", content, end + 1)
        images.append((content[place + 64 : end].decode("utf-8"), camera, _colmap_place(numbers)))
        place = end + 9 + 24 * points
    return images
