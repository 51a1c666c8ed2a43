"""Checks at the borders: where arrays and cameras of users enter."""

import math
from collections.abc import Sequence

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.json_values import Json


def as_array(values: object, shape: Sequence[int | None], name: str) -> np.ndarray:
    """`values` as a finite float64 array of `shape`; None in `shape` stands for any length.

    Raises:
        InputError: not numbers, another shape, NaN or infinity in it; the sentence starts with `name`.
    """
    array = _floats(values, name, "an array of numbers" if shape else "a number")
    if len(array.shape) != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in shape) + ("," if len(shape) == 1 else "")
        raise InputError(f"{name}: must have shape ({wanted}), has {tuple(array.shape)}")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: has values that are not finite numbers")
    return array


def as_intrinsics(values: object, name: str = "K") -> np.ndarray:
    """Camera intrinsics as a (3, 3) float64 matrix [[fx, s, cx], [0, fy, cy], [0, 0, 1]].

    Also takes (fx, fy, cx, cy), nine numbers (row by row, or column by column), and projections (3, 4), whose last column says where
    the camera stands.

    Raises:
        InputError: wrong shape, not finite, singular, a focal length that is not positive, or another last row.
    """
    matrix = _floats(values, name, "an array of numbers")
    if matrix.shape == (4,):
        fx, fy, cx, cy = matrix
        matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    elif matrix.shape == (9,):
        matrix = matrix.reshape(3, 3)
        matrix = matrix.T if np.array_equal(matrix[:, 2], [0, 0, 1]) else matrix
    elif matrix.shape == (3, 4):
        matrix = matrix[:, :3]
    matrix = as_array(matrix, (3, 3), name)
    fx, fy = matrix[0, 0], matrix[1, 1]
    if fx == 0 or fy == 0:
        raise InputError(f"{name}: the camera matrix is singular (fx = {fx:g}, fy = {fy:g})")
    if not np.array_equal(matrix[2], [0.0, 0.0, 1.0]) or matrix[1, 0] != 0:
        singular = "the camera matrix is singular; it " if np.linalg.matrix_rank(matrix) < 3 else ""
        raise InputError(f"{name}: {singular}must have the form [[fx, s, cx], [0, fy, cy], [0, 0, 1]]")
    if fx < 0 or fy < 0:
        raise InputError(f"{name}: focal lengths must be positive, got fx = {fx:g}, fy = {fy:g}")
    return matrix


def is_rotation(matrix: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Whether the rows of a (3, 3) matrix are orthonormal to within `tolerance`, and no mirroring is in it."""
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() <= tolerance and np.linalg.det(matrix) > 0)


def is_rigid(matrix: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Whether a (4, 4) matrix is a rotation, to within `tolerance`, and a translation."""
    return is_rotation(matrix[:3, :3], tolerance) and np.array_equal(matrix[3], [0, 0, 0, 1])


def _floats(values: object, name: str, wanted: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not {wanted}") from error


def check_names(found: object, needed: tuple[str, ...], optional: tuple[str, ...], who: str) -> dict[str, Json]:
    """`found`, read from JSON, which must be an object of the names `needed` and perhaps the `optional`.

    Raises:
        InputError: it is not, beginning with `who`.
    """
    if not isinstance(found, dict):
        raise InputError(f"{who}must be an object of {', '.join(needed)}")
    if missing := [name for name in needed if name not in found]:
        raise InputError(f"{who}{missing[0]} is missing")
    if unknown := [name for name in found if name not in needed + optional]:
        raise InputError(f"{who}{unknown[0]!r} is none of {', '.join(needed + optional)}")
    return found


def check_rig(data: object, needed: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> tuple[int, int]:
    """Width and height in pixels of a rig read from JSON, whose names, `needed` and `optional` ones included, are as they should be.

    Raises:
        InputError: names are missing or unknown, cameras are no list of objects, a size is no whole number.
    """
    rig = check_names(data, ("width", "height", *needed, "cameras"), optional, "is not a rig: ")
    if not isinstance(rig["cameras"], list):
        raise InputError("cameras must be a list of objects with K and world_to_camera")
    for i, camera in enumerate(rig["cameras"]):
        check_names(camera, ("K", "world_to_camera"), ("name",), f"camera {i}: ")
    width, height = (as_number(rig[side], side) for side in ("width", "height"))
    for side, pixels in (("width", width), ("height", height)):
        if not pixels.is_integer():
            raise InputError(f"{side} must be a whole number of pixels, not {pixels}")
    return int(width), int(height)


def as_number(value: object, name: str) -> float:
    """A number read from JSON. Raises InputError, naming `name`, if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
