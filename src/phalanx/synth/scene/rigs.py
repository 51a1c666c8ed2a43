"""Rigs: calibrated cameras round one spot, where a hand is seen by all of them at once."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics, as_number, check_rig, is_rigid
from phalanx.core.errors import InputError
from phalanx.core.files import reason
from phalanx.geometry.camera import camera_from_field_of_view

_HAND = 0.18  # metres, the length of a hand
_LEAST = 8.0  # pixels of it in a picture that is worth making


@dataclass(frozen=True, eq=False)
class Rig:
    """V cameras; the world's axes are any, in metres.

    Raises:
        InputError: a camera's K is singular, its rotation is none, or it does not see the spot.
    """

    K: np.ndarray  # (V, 3, 3); whatever becomes an array is taken, here and below
    world_to_camera: np.ndarray  # (V, 4, 4)
    width: int  # of every camera's pictures, pixels
    height: int
    spot: np.ndarray  # (3,) where hands are, world
    reach: float = 0.06  # metres about the spot within which hands are
    turn: float | None = (
        None  # degrees: hands stand upright, palm to camera 0, turned by up to so much; None: held anyhow
    )
    person: int | None = None  # number of the one person whose hands are seen; None: everybody's

    def __post_init__(self) -> None:
        if len(self.K) != len(self.world_to_camera) or len(self.K) == 0:
            raise InputError(
                f"rig: one K and one world_to_camera for each camera are wanted, not {len(self.K)} and {len(self.world_to_camera)}"
            )
        if self.width < 1 or self.height < 1 or not 0 < self.reach < math.inf:
            raise InputError(
                f"rig: width, height and reach must be positive, not {self.width}, {self.height}, {self.reach}"
            )
        if self.turn is not None and not 0 <= self.turn <= 180:
            raise InputError(f"rig: turn must be 0 to 180 degrees, not {self.turn}")
        for name, values in (
            ("K", [as_intrinsics(K, f"rig: camera {i}: K") for i, K in enumerate(self.K)]),
            ("world_to_camera", [_as_rigid(m, f"rig: camera {i}") for i, m in enumerate(self.world_to_camera)]),
            ("spot", as_array(self.spot, (3,), "rig: spot")),
        ):
            object.__setattr__(self, name, np.asarray(values))
        for i, (K, extrinsics) in enumerate(zip(self.K, self.world_to_camera, strict=True)):
            x, y, z = K @ (extrinsics[:3, :3] @ self.spot + extrinsics[:3, 3])
            if z <= 2 * self.reach or not (0 <= x / z < self.width and 0 <= y / z < self.height):
                raise InputError(f"rig: camera {i} does not see the spot {self.spot.tolist()} from a distance")
            if (large := min(K[0, 0], K[1, 1]) * _HAND / z) < _LEAST:
                raise InputError(
                    f"rig: camera {i} sees a hand at the spot {large:.2g} pixels large (are lengths in metres?)"
                )

    def __len__(self) -> int:
        return len(self.K)


def looking_at(position: np.ndarray, spot: np.ndarray, up: np.ndarray) -> np.ndarray:
    """`world_to_camera` (4, 4) of a camera at `position` that looks at `spot`, `up` being up in its picture as near as can be."""
    forward = np.asarray(spot, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])  # x right, y down, z forward
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, -rotation @ position
    return result


def ring(views: int = 8, distance: float = 0.7, size: int = 512, degrees: float = 40.0) -> Rig:
    """`views` cameras evenly round the spot, by turns 20 degrees above and below its level (the thesis, ch. 5, has up to 8)."""
    if not 1 <= views <= 64:
        raise InputError(f"views: must lie between 1 and 64, not {views}")
    extrinsics = []
    for view in range(views):
        azimuth, elevation = 2 * math.pi * view / views, math.radians(20 if view % 2 else -20)
        out = np.array(
            [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), -math.cos(azimuth) * math.cos(elevation)]
        )
        extrinsics.append(looking_at(distance * out, np.zeros(3), np.array([0.0, -1.0, 0.0])))
    return Rig(np.tile(_pinhole(size, degrees), (views, 1, 1)), np.stack(extrinsics), size, size, np.zeros(3))


def stereo() -> Rig:
    """A rectified pair with the intrinsics and the baseline of the STB dataset's stereo camera (Zhang et al. 2016)."""
    K = np.array([[822.79041, 0, 318.47345], [0, 822.79041, 250.31296], [0, 0, 1]])
    extrinsics = np.tile(np.eye(4), (2, 1, 1))
    extrinsics[1, 0, 3] = -0.120054
    return Rig(np.stack([K, K]), extrinsics, 640, 480, np.array([0.06, 0.0, 0.6]))


def five_views(distance: float = 0.6, size: int = 512, degrees: float = 40.0) -> Rig:
    """Cameras before, behind, beside and above the hand, which turns by up to 45 degrees about each axis: Dibra et al. 2018, Sec. 4."""
    places = [(0, 0, -1), (0, 0, 1), (-1, 0, 0), (1, 0, 0), (0, -1, 0)]
    ups = [(0, -1, 0)] * 4 + [(0, 0, 1)]
    extrinsics = [
        looking_at(distance * np.array(place, float), np.zeros(3), np.array(up, float))
        for place, up in zip(places, ups, strict=True)
    ]
    return Rig(np.tile(_pinhole(size, degrees), (5, 1, 1)), np.stack(extrinsics), size, size, np.zeros(3), turn=45.0)


def upright_ring() -> Rig:
    """`ring` of four cameras round hands that stand upright, palm to the first, turned by up to 45 degrees about each axis."""
    return replace(ring(4), turn=45.0)


def upright_stereo() -> Rig:
    """`stereo` before such hands."""
    return replace(stereo(), turn=45.0)


PRESETS = {
    "ring8": ring,
    "stereo": stereo,
    "five_views": five_views,
    "upright4": upright_ring,
    "upright_stereo": upright_stereo,
}
"""Rigs by name; `ring` may have another number of views."""


@lru_cache(maxsize=8)
def load_rig(name: str) -> Rig:
    """A rig by its name (`PRESETS`, and `ring1` to `ring64`), or from a JSON file.

    Behind a name of the package may stand the number of a person, as in `stereo@7`: all hands are then that person's, of one shape.

    The file is an object of `width`, `height`, `spot` (3), optionally `reach` (metres) and `turn` (degrees), and `cameras`, a
    list of objects of `K` (3 x 3, or fx, fy, cx, cy) and `world_to_camera` (4 x 4, metres).

    Raises:
        InputError: no such preset or file, or its cameras make no sense.
    """
    if alone := re.fullmatch(r"(\w+)@(\d{1,9})", name):
        return replace(load_rig(alone[1]), person=int(alone[2]))
    if name in PRESETS:
        return PRESETS[name]()
    if number := re.fullmatch(r"ring(\d+)", name):
        return ring(int(number[1]))
    path = Path(name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: neither a rig ({', '.join(PRESETS)}) nor a readable file: {reason(error)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a JSON file") from error
    try:
        width, height = check_rig(data, ("spot",), ("reach", "turn"))
        intrinsics: Any = [camera["K"] for camera in data["cameras"]]
        extrinsics: Any = [camera["world_to_camera"] for camera in data["cameras"]]
        turn = data.get("turn")
        return Rig(
            K=intrinsics,
            world_to_camera=extrinsics,
            width=width,
            height=height,
            spot=data["spot"],
            reach=as_number(data.get("reach", 0.06), "reach"),
            turn=None if turn is None else as_number(turn, "turn"),
        )
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix('rig: ')}") from error


def _pinhole(size: int, degrees: float) -> np.ndarray:
    return np.asarray(camera_from_field_of_view(size, size, degrees).K, dtype=np.float64)


def _as_rigid(matrix: np.ndarray, name: str) -> np.ndarray:
    matrix = as_array(matrix, (4, 4), f"{name}: world_to_camera")
    if not is_rigid(matrix):
        raise InputError(f"{name}: world_to_camera is not a rotation and a translation")
    return matrix
