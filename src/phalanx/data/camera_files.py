"""Cameras as users have them: numbers, and files of RealSense, ROS, OpenCV and others, with the lens and the size that they are for.

A file is JSON or YAML of one object (or of objects by name, one of which is a camera), or plain text of numbers. `docs/cameras.md` lists
the names that are understood.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.geometry.distortion import COUNTS, Lens, LensModel

MOST_BYTES = 1_000_000
"""No camera's file is larger."""

NO_CAMERA = "is not a camera's file, which is JSON, YAML or numbers in plain text"

_MATRIX = ("k", "cameramatrix", "intrinsicmatrix", "intrinsics", "mtx", "p", "projectionmatrix")
_COEFFICIENTS = ("d", "coeffs", "distortioncoefficients", "distortioncoeffs", "distcoeffs", "dist", "distortion")
_MODEL = ("distortionmodel", "model")
_WIDTH, _HEIGHT = ("width", "imagewidth"), ("height", "imageheight")
_SIZE = ("resolution", "imagesize", "size")

_MODELS: dict[str, LensModel | Literal["none", "modified"]] = {
    **dict.fromkeys(("", "0", "none", "pinhole", "no distortion"), "none"),
    **dict.fromkeys(
        (
            "plumb bob",
            "rational polynomial",
            "radtan",
            "brown conrady",
            "4",
            "radial tangential",
            "opencv",
            "full opencv",
        ),
        "radial-tangential",
    ),
    **dict.fromkeys(("equidistant", "fisheye", "kannala brandt", "kannala brandt4", "5", "opencv fisheye"), "fisheye"),
    **dict.fromkeys(("inverse brown conrady", "2", "inverse radial tangential"), "inverse radial-tangential"),
    **dict.fromkeys(("modified brown conrady", "1"), "modified"),
}
"""By the names of ROS, Kalibr, RealSense (and its numbers) and COLMAP, in lower case and with blanks for signs."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera, before it is known which picture it took.

    Attributes:
        K: (3, 3) camera matrix, pixels.
        size: width and height of the pictures that K is for, where that is known.
        lens: how it distorts; None: it does not.
        source: where it comes from, as `HandPrediction.camera_source`.
        name: of the file, or of the argument, for complaints.
    """

    K: np.ndarray
    size: tuple[int, int] | None = None
    lens: Lens | None = None
    source: Literal["given", "exif", "assumed"] = "given"
    name: str = "K"


def as_calibration(K: Any) -> Calibration:
    """A camera as a user gives it.

    Args:
        K: (3, 3) matrix, (3, 4) projection, nine numbers, (fx, fy, cx, cy); the path of a file; or an object by names, as in a file.

    Raises:
        InputError: it is none of these. One sentence, beginning with "K" or with the path.
    """
    if isinstance(K, Calibration):
        return K
    if isinstance(K, str | os.PathLike):
        return read_calibration(K)
    if isinstance(K, Mapping):
        return _of_object(K, "K")
    return Calibration(as_intrinsics(K))


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """The camera in a file.

    Raises:
        InputError: missing, damaged, no camera, one that is not supported, or several. One sentence, beginning with the path.
    """
    path = Path(path)
    found = read_document(path)
    if isinstance(found, Mapping):
        return _of_object(found, str(path))
    if not isinstance(found, list):
        raise InputError(f"{path}: {NO_CAMERA}")
    return Calibration(as_intrinsics(found, str(path)), name=str(path))


def read_document(path: Path) -> Any:
    """What a file of JSON, YAML or plain numbers holds: objects, lists and numbers.

    Raises:
        InputError: missing, damaged, or none of these. One sentence, beginning with the path.
    """
    head = read_head(path, MOST_BYTES + 1)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {NO_CAMERA}") from error
    if len(head) > MOST_BYTES or "\0" in text:
        raise InputError(f"{path}: {NO_CAMERA}")
    if (values := _plain_numbers(text)) is not None:
        return values
    return _json(path, text) if text.lstrip().startswith(("{", "[")) else _yaml(path, text)


def _plain_numbers(text: str) -> list[Any] | None:
    """The numbers of a text that holds nothing else: row by row, or in one row; None if there is something else."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    try:
        rows = [[float(word) for word in re.split(r"[\s,;]+", line.strip(" \t,;"))] for line in lines if line.strip()]
    except ValueError:
        return None
    return rows[0] if len(rows) == 1 else rows


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is cut short or not JSON") from error


def _yaml(path: Path, text: str) -> Any:
    """The first document in a YAML file, in OpenCV's dialect too: its own head, and its own kind of matrix."""
    import yaml  # type: ignore[import-untyped]

    class Loader(yaml.SafeLoader):
        """Takes objects of unknown kinds for plain ones, and makes nothing of them."""

    def plain(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value

    Loader.add_constructor(None, plain)
    text = re.sub(r"\A\s*%YAML[^\n]*\n", "", text)
    try:
        return next((document for document in yaml.load_all(text, Loader) if document is not None), None)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is cut short or not YAML") from error


def _of_object(found: Mapping[Any, Any], name: str) -> Calibration:
    """The camera in an object by names, or in one of the objects in it."""
    values = {_plain(key): value for key, value in found.items()}
    if not _is_camera(values):
        inside = {
            str(key): inner
            for key, inner in found.items()
            if isinstance(inner, Mapping) and _is_camera({_plain(each): value for each, value in inner.items()})
        }
        if len(inside) > 1:
            raise InputError(f"{name}: holds {len(inside)} cameras ({', '.join(inside)}); give a file of one")
        if not inside:
            raise InputError(f"{name}: holds no camera matrix: neither K nor camera_matrix, nor fx, fy, cx, cy")
        around = {key: value for key, value in found.items() if not isinstance(value, Mapping)}  # a size, perhaps
        return _of_object(around | dict(next(iter(inside.values()))), name)
    size = _size(values, name)
    _check_region(values, size, name)
    return Calibration(_matrix(values, name), size, _lens(values, name), name=name)


def _plain(key: Any) -> str:
    return re.sub(r"[_\-\s]", "", str(key)).lower()


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _is_camera(values: Mapping[str, Any]) -> bool:
    matrix = _first(values, _MATRIX)
    return {"fx", "fy"} <= values.keys() or (matrix is not None and not _is_object(matrix))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and "data" not in value


def _numbers(value: Any) -> Any:
    """A matrix that is written as an object of rows, cols and data, as lists."""
    if isinstance(value, Mapping) and "data" in value:
        data = value["data"]
        if {"rows", "cols"} <= value.keys() and isinstance(data, list):
            rows, cols = value["rows"], value["cols"]
            if rows == 3 and cols in (3, 4) and len(data) == rows * cols:
                return [data[cols * row : cols * (row + 1)] for row in range(rows)]
        return data
    return value


def _matrix(values: Mapping[str, Any], name: str) -> np.ndarray:
    if {"fx", "fy"} <= values.keys():
        centre = [_first(values, names) for names in (("ppx", "cx"), ("ppy", "cy"))]
        if None in centre:
            raise InputError(f"{name}: has fx and fy, but not the principal point (cx, cy or ppx, ppy)")
        return as_intrinsics([values["fx"], values["fy"], *centre], name)
    return as_intrinsics(_numbers(_first(values, _MATRIX)), f"{name}: the camera matrix")


def _size(values: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    sides = [_first(values, _WIDTH), _first(values, _HEIGHT)]
    both = _numbers(_first(values, _SIZE))
    if None in sides and isinstance(both, list | tuple) and len(both) == 2:
        sides = list(both)
    if sides == [None, None]:
        return None
    if None in sides:
        raise InputError(f"{name}: has a width or a height, but not both")
    width, height = as_array(sides, (2,), f"{name}: width and height").tolist()
    if width == height == 0:  # ROS: not known
        return None
    if width < 1 or height < 1 or not width.is_integer() or not height.is_integer():
        raise InputError(f"{name}: width and height must be whole numbers of pixels, not {width:g} and {height:g}")
    return int(width), int(height)


def _check_region(values: Mapping[str, Any], size: tuple[int, int] | None, name: str) -> None:
    """ROS: a picture that is a part of what the camera matrix is for."""
    region = values.get("roi")
    if not isinstance(region, Mapping):
        return
    x, y, width, height = (region.get(side) or 0 for side in ("x_offset", "y_offset", "width", "height"))
    if (x, y) != (0, 0) or ((width, height) != (0, 0) and (width, height) != size):
        raise InputError(f"{name}: its region of interest (roi) is a part of the picture; give K for that part")


def _lens(values: Mapping[str, Any], name: str) -> Lens | None:
    said = _first(values, _MODEL)
    if values.get("fisheyemodel"):  # OpenCV's calibration sample
        said = "fisheye"
    coefficients = _numbers(_first(values, _COEFFICIENTS))
    if coefficients is None or (isinstance(coefficients, list | tuple) and not coefficients):
        coefficients = [0.0] * 4
    try:
        flat = np.ravel(np.asarray(coefficients, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: the distortion coefficients are not numbers") from error
    if not np.isfinite(flat).all():
        raise InputError(f"{name}: the distortion coefficients are not all finite numbers")
    if not flat.any():
        return None if said is None or _model(said, name) != "fisheye" else Lens("fisheye", np.zeros(4))
    model = "radial-tangential" if said is None else _model(said, name)
    if model == "none":
        raise InputError(f"{name}: has distortion coefficients, but {said!r} for its distortion model")
    if model == "modified":
        if flat[2:4].any():
            raise InputError(
                f"{name}: {said} with tangential coefficients is not supported; undistort the pictures first"
            )
        model = "radial-tangential"
    fewest = max(COUNTS[model]) if len(flat) > max(COUNTS[model]) else min(c for c in COUNTS[model] if c >= len(flat))
    if flat[fewest:].any():
        raise InputError(
            f"{name}: has {len(flat)} distortion coefficients that are not 0; {model} is supported with up to {max(COUNTS[model])}"
        )
    try:
        return Lens(model, np.pad(flat, (0, max(fewest - len(flat), 0)))[:fewest])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _model(said: Any, name: str) -> LensModel | Literal["none", "modified"]:
    plain = re.sub(r"[_\-\s]+", " ", str(said).lower()).removeprefix("distortion.").strip()
    if plain not in _MODELS:
        raise InputError(
            f"{name}: the distortion model {said!r} is not supported (plumb_bob, rational_polynomial, equidistant and RealSense's "
            "brown_conrady and inverse_brown_conrady are); undistort the pictures first"
        )
    return _MODELS[plain]
