"""Reading depth frames as users have them: PNG, PGM and TIFF of 16 bits, TIFF, EXR and NPY of floating-point metres."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head

DEPTH_SUFFIXES = (".png", ".pgm", ".tif", ".tiff", ".exr", ".npy")
_PILLOW = {".png": "PNG", ".pgm": "PPM", ".tif": "TIFF", ".tiff": "TIFF"}
_NO_READING = 65_535  # what some cameras write for it instead of 0
_REACH = 8_000  # millimetres that depth cameras see; grey photos of 16 bits have values up to 65535
_ROUGH = 0.01  # median relative step between neighbouring readings that no surface has
_MOST_READ = 0.98  # share of the pixels that have a reading in frames of finer units
_LARGEST = 100_000_000  # pixels


def read_depth_values(path: str | os.PathLike[str]) -> np.ndarray:
    """Values of a depth frame (H, W): uint16 in the camera's unit, or float32, metres as a rule; 0 = no reading.

    65535, negative values and values that are not finite are no readings either.

    Raises:
        InputError: missing, damaged, of another kind, of several channels, of 8 bits, or absurdly large.
    """
    path = Path(path)
    read_head(path, 1)  # says what is wrong with a file that is not there
    suffix = path.suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise InputError(f"{path}: is no depth frame ({', '.join(DEPTH_SUFFIXES)} can be read)")
    try:
        if suffix == ".npy":
            with path.open("rb") as file:
                values = np.lib.format.read_array(file, allow_pickle=False)
        elif suffix == ".pgm":
            values = _read_pgm(path)
        elif suffix == ".exr":
            values = _read_exr(path)
        else:
            values = _read_picture(path, _PILLOW[suffix])
    except InputError:
        raise
    except Exception as error:  # damaged files make decoders raise anything
        raise InputError(f"{path}: is truncated, damaged or no {suffix[1:].upper()} file") from error
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if values.ndim != 2 or not values.size:
        raise InputError(f"{path}: a depth frame has one value a pixel, this has the shape {values.shape}")
    if values.size > _LARGEST:
        raise InputError(f"{path}: {values.shape[1]}x{values.shape[0]} pixels are more than any depth camera has")
    if np.issubdtype(values.dtype, np.floating):
        return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)
    if values.dtype == bool or values.dtype.itemsize < 2 or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{path}: is not a depth frame of 16 bits, but of {values.dtype}; a colour picture?")
    return np.where((values > 0) & (values < _NO_READING), values, 0).astype(np.uint16)


def looks_like_depth(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a depth frame and no photo; False if it cannot be read.

    It has one channel, of floating-point numbers or of 16 bits. Grey photos of 16 bits either are 8 bits repeated, or change from pixel to
    pixel by more than surfaces do; others have values beyond a hand's distance in millimetres and no pixel without a reading.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in DEPTH_SUFFIXES or (suffix in _PILLOW and not _may_be_depth(path)):
        return False
    try:
        values = read_depth_values(path)
    except InputError:
        return False
    if np.issubdtype(values.dtype, np.floating):
        return True
    read = values[values > 0]
    if not read.size or not (read % 257).any():  # 8 bits made 16
        return False
    beside = (values[:, 1:] > 0) & (values[:, :-1] > 0)
    steps = np.abs(np.diff(values.astype(np.int32), axis=1))[beside] / values[:, 1:][beside]
    if steps.size and np.median(steps) > _ROUGH:
        return False
    return bool(np.median(read) < _REACH or read.size < _MOST_READ * values.size)


def _may_be_depth(path: str | os.PathLike[str]) -> bool:
    """Whether a picture's head says that it has one channel of more than 8 bits."""
    from PIL import Image

    try:
        with Image.open(path, formats=list(set(_PILLOW.values()))) as image:
            return image.mode[0] in "IF"
    except Exception:  # damaged heads make decoders raise anything
        return False


def _read_picture(path: Path, kind: str) -> np.ndarray:
    from PIL import Image

    with Image.open(path, formats=[kind]) as image:
        return np.asarray(image)


def _read_pgm(path: Path) -> np.ndarray:
    """Pillow scales values to 16 bits where the file's largest value is another; OpenCV does not."""
    import cv2

    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("not decoded")
    return np.asarray(values)


def _read_exr(path: Path) -> np.ndarray:
    """The only channel of the file, or the one that is called Z."""
    try:
        import OpenEXR  # an extra: OpenCV's wheels have no EXR any more
    except ImportError:
        raise InputError(f"{path}: EXR files need one more package: pip install OpenEXR") from None
    with OpenEXR.File(str(path)) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
        values = channels["Z"] if "Z" in channels else next(iter(channels.values()))
        return np.array(values if len(channels) == 1 or "Z" in channels else np.stack(list(channels.values()), -1))
