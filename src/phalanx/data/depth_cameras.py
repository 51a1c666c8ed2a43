"""Depth cameras by name: what their numbers mean and how they look out, for frames that come without calibration.

Sizes and focal lengths are those that makers give for the modes usually recorded; a camera's own calibration is better. Units:
`docs/synthesis.md` and the heads of the readers name sources.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_json
from phalanx.data.depth_images import DEPTH_SUFFIXES, read_depth_values
from phalanx.data.images import OVERLAY, read_packed_depth

INTRINSICS = ("intrinsics.json", "intrinsics.txt")
"""Names of the file of a camera and its unit of depth; `data.folders` says what is in them."""

_LIKELY = (0.08, 8.0)  # metres: median distance of what a depth camera reads


class UnitMissing(InputError):
    """A camera is given as numbers, and a frame of whole numbers has no unit: a fault of the call and not of the frame."""


@dataclass(frozen=True)
class DepthCamera:
    """How a camera's depth frames are to be read."""

    name: str
    width: int
    """Pixels of the mode that `focal` is of."""
    height: int
    focal: float
    """Pixels."""
    unit: float
    """Metres that a value of 1 stands for."""
    packed: bool = False
    """Whether frames are 8-bit pictures, 256 green + blue, as those of the NYU set."""
    like: str | None = None
    """Name of the depth sensor in `synth.sense.sensors` that it is; none: its own."""

    def K(self, width: int, height: int) -> np.ndarray:
        """Camera matrix (3, 3) of frames of another size, cut or scaled from the same field of view; the axis is in the middle."""
        focal = self.focal * max(width / self.width, height / self.height)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


DEPTH_CAMERAS = {
    camera.name: camera
    for camera in (
        DepthCamera("kinect1", 640, 480, 585.0, 1e-3),
        DepthCamera("kinect2", 512, 424, 365.0, 1e-3),
        DepthCamera("azure", 640, 576, 504.0, 1e-3),
        DepthCamera("sr300", 640, 480, 476.0, 0.125e-3),
        DepthCamera("sr305", 640, 480, 476.0, 0.125e-3),
        DepthCamera("d415", 1280, 720, 1004.0, 1e-3),
        DepthCamera("d435", 848, 480, 424.0, 1e-3),
        DepthCamera("nyu", 640, 480, 588.0, 1e-3, packed=True, like="kinect1"),
    )
}
"""By name."""


def read_frame(path: str | os.PathLike[str], camera: str, unit: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A depth frame in metres `(H, W)`, 0 = no reading, and its camera matrix `(3, 3)`.

    Args:
        path: of the frame (`data.depth_images.read_depth_values`), or of the picture that its camera packs it in.
        camera: a name in `DEPTH_CAMERAS`, or `fx,fy,cx,cy` in pixels.
        unit: metres that a value of 1 stands for; none: the named camera's, and 1 of frames of floating-point numbers.

    Raises:
        UnitMissing: the camera is given as numbers and has no unit.
        InputError: no such camera, a file that cannot be read, a frame without readings, or one
            whose distances no hand could have: the unit is wrong.
    """
    known = DEPTH_CAMERAS.get(camera)
    if known is None:
        _intrinsics(camera)  # a camera at fault is named before its frame is read
    if known is not None and known.packed:
        metres = unit_of(camera, unit)
        depth = read_packed_depth(Path(path)) * (metres / known.unit)
    else:
        values = read_depth_values(path)
        metres = 1.0 if unit is None and values.dtype == np.float32 else unit_of(camera, unit)
        depth = (values * metres).astype(np.float32)
    if not (depth > 0).any():
        raise InputError(f"{path}: is empty, no pixel has a depth")
    typical = float(np.median(depth[depth > 0]))
    if not _within(typical):
        raise InputError(
            f"{path}: is {typical:.3g} m away if 1 stands for {metres:g} m: the unit is wrong{_units_that_fit(typical / metres)}"
        )
    return depth, camera_matrix(camera, depth.shape[1], depth.shape[0])


def _units_that_fit(value: float) -> str:
    """Cameras under whose unit a frame of that median value would be at a hand's distance, as the end of a sentence."""
    fitting = [
        f"{name} ({c.unit:g} m)" for name, c in DEPTH_CAMERAS.items() if not c.packed and _within(value * c.unit)
    ]
    return f"; it would fit {', '.join(fitting)}" if fitting else ""


def depth_frames(folder: Path) -> list[Path]:
    """Files of depth frames in a folder and below it, but for pictures that `phalanx predict --depth` left there."""
    pictures = (path for path in folder.rglob("*") if path.suffix.lower() in DEPTH_SUFFIXES and path.is_file())
    return sorted(path for path in pictures if not path.stem.endswith(OVERLAY) and not path.name.startswith("."))


def check_camera(camera: str, unit: float | None = None) -> None:
    """Raise InputError if camera or unit, as `read_frame` takes them, are at fault for frames of every kind."""
    if camera not in DEPTH_CAMERAS:
        _intrinsics(camera)
    if unit is not None:
        unit_of(camera, unit)


def camera_matrix(camera: str, width: int, height: int) -> np.ndarray:
    """Camera matrix (3, 3) of frames of a size, of a camera as `read_frame` takes it; raises InputError as it does."""
    known = DEPTH_CAMERAS.get(camera)
    return _intrinsics(camera) if known is None else known.K(width, height)


def lacking_units(paths: Sequence[Path]) -> str:
    """Begins the sentence about frames that have no unit, of which one says it for all."""
    others = f" and {len(paths) - 1} other frame{'s' * (len(paths) > 2)}" if len(paths) > 1 else ""
    return f"{paths[0]}{others}"


def unit_of(camera: str, unit: float | None = None) -> float:
    """Metres that a value of 1 stands for, of a camera and a unit as `read_frame` takes them; raises InputError as it does."""
    known = DEPTH_CAMERAS.get(camera)
    if known is None:
        _intrinsics(camera)
    metres = known.unit if unit is None and known is not None else unit
    if metres is None:
        raise UnitMissing(f"unit: a camera given as {camera!r} needs the metres that a value of 1 stands for (--unit)")
    if not 0 < metres < np.inf:
        raise InputError(f"unit: must be positive, not {metres}")
    return metres


def _within(distance: float) -> bool:
    return _LIKELY[0] < distance < _LIKELY[1]


def _intrinsics(text: str) -> np.ndarray:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise InputError(f"camera: {text!r} is neither one of {', '.join(DEPTH_CAMERAS)} nor fx,fy,cx,cy")
    return as_intrinsics(numbers, "camera")


def read_intrinsics(folder: Path) -> tuple[Path, np.ndarray, float] | None:
    """A folder's file of `INTRINSICS`, the camera matrix (3, 3) in it, and the metres that a depth of 1 stands for; None: it has none."""
    source = next((folder / name for name in INTRINSICS if (folder / name).is_file()), None)
    if source is None:
        return None
    return source, *(_json_intrinsics if source.suffix == ".json" else _text_intrinsics)(source)


def _json_intrinsics(path: Path) -> tuple[np.ndarray, float]:
    data = read_json(path)
    if not isinstance(data, dict) or not {"K", "depth_unit"} <= data.keys():
        raise InputError(f"{path}: must hold K and depth_unit")
    return as_intrinsics(data["K"], f"{path}: K"), _unit(data["depth_unit"], str(path))


def _text_intrinsics(path: Path) -> tuple[np.ndarray, float]:
    rows: list[list[float]] = []
    unit = None
    for number, line in numbered_lines(path):
        words = line.split("#")[0].split()
        try:
            if words[:1] == ["depth_unit"]:
                (value,) = words[1:]
                unit = _unit(value, f"{path}: line {number}")
            elif words:
                rows.append([float(word) for word in words])
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: line {number}: numbers expected, or depth_unit and a number") from error
    if unit is None:
        raise InputError(f"{path}: has no line depth_unit")
    return as_intrinsics(rows[0] if len(rows) == 1 else rows, f"{path}: K"), unit


def _unit(value: object, name: str) -> float:
    unit = float(as_array(value, (), f"{name}: depth_unit"))
    if unit <= 0:
        raise InputError(f"{name}: depth_unit must be positive, not {unit:g}")
    return unit
