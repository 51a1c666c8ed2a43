"""Reading depth frames as users have them: PNG, PGM and TIFF of 16 bits, TIFF, EXR and NPY of floating-point metres."""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.data.images import check_local, read_packed_depth

DEPTH_SUFFIXES = (".png", ".pgm", ".tif", ".tiff", ".exr", ".npy")
_PILLOW = {".png": "PNG", ".pgm": "PPM", ".tif": "TIFF", ".tiff": "TIFF"}
_NO_READING = 65_535  # what some cameras write for it instead of 0
_REACH = 8_000  # millimetres that depth cameras see; grey photos of 16 bits have values up to 65535
_ROUGH = 0.01  # median relative step between neighbouring readings that no surface has
_MOST_READ = 0.98  # share of the pixels that have a reading in frames of finer units
_LARGEST = 100_000_000  # pixels
_LARGEST_PACKED = 1_000_000  # pixels: larger pictures are not decoded to see whether they are packed depth
_FARTHEST_PACKED = 8.0  # metres
_PGM = re.compile(rb"P([25])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"\s")  # width, height, largest value
_stderr = threading.Lock()


def read_depth_values(path: str | os.PathLike[str]) -> np.ndarray:
    """Values of a depth frame (H, W): uint16 in the camera's unit, or float32, metres as a rule; 0 = no reading.

    65535, negative values and values that are not finite are no readings either.

    Raises:
        InputError: missing, damaged, of another kind, of several channels, of 8 bits, or absurdly large.
    """
    check_local(path)
    path = Path(path)
    read_head(path, 1)  # says what is wrong with a file that is not there
    suffix = path.suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise InputError(f"{path}: is no depth frame ({', '.join(DEPTH_SUFFIXES)} can be read)")
    read = {".npy": _read_npy, ".pgm": _read_pgm, ".exr": _read_exr}.get(suffix, _read_picture)
    try:
        values = read(path)
    except InputError:
        raise
    except Exception as error:  # damaged files make decoders raise anything
        raise InputError(f"{path}: is truncated, damaged or no {suffix[1:].upper()} file") from error
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if values.ndim != 2 or not values.size:
        raise InputError(f"{path}: a depth frame has one value a pixel, this has the shape {values.shape}")
    _check_size(path, values.shape[1], values.shape[0])
    if np.issubdtype(values.dtype, np.floating):
        return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)
    if values.dtype == bool or values.dtype.itemsize < 2 or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{path}: is not a depth frame of 16 bits, but of {values.dtype}; a colour picture?")
    values = np.where(values == np.iinfo(values.dtype).max, 0, values)  # no reading, as 65535 is
    if values.max() > _NO_READING:
        raise InputError(
            f"{path}: has whole numbers up to {values.max()}, and those of depth frames have 16 bits, so that they end at 65535; "
            "save it as floating-point metres"
        )
    return np.where((values > 0) & (values < _NO_READING), values, 0).astype(np.uint16)


def looks_like_depth(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a depth frame and no photo; False if it cannot be read.

    It has one channel, of floating-point numbers or of 16 bits. Grey photos of 16 bits either are 8 bits repeated, or change from pixel to
    pixel by more than surfaces do; others have values beyond a hand's distance in millimetres and no pixel without a reading.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in DEPTH_SUFFIXES or (suffix in _PILLOW and _kind(path)[0][0] not in "IF?"):
        return False
    try:
        values = read_depth_values(path)
    except InputError:
        return False
    if np.issubdtype(values.dtype, np.floating):
        return True
    read = values[values > 0]
    if not read.size or not (read % 257).any() or _is_rough(values.astype(np.int32)):  # 8 bits made 16
        return False
    return bool(np.median(read) < _REACH or read.size < _MOST_READ * values.size)


def looks_packed(path: str | os.PathLike[str]) -> bool:
    """Whether a colour PNG is a depth frame as the NYU set packs them (`images.read_packed_depth`): no red, and surfaces within reach."""
    kind, pixels = _kind(path)
    if Path(path).suffix.lower() != ".png" or kind != "RGB" or pixels > _LARGEST_PACKED:
        return False
    try:
        depth = read_packed_depth(Path(path))
    except InputError:
        return False
    return bool(0 < depth.max() and np.median(depth[depth > 0]) < _FARTHEST_PACKED and not _is_rough(depth))


def _is_rough(values: np.ndarray) -> bool:
    """Whether values (H, W), 0 = no reading, change from pixel to pixel by more than surfaces do."""
    beside = (values[:, 1:] > 0) & (values[:, :-1] > 0)
    steps = np.abs(np.diff(values, axis=1))[beside] / values[:, 1:][beside]
    return bool(steps.size and np.median(steps) > _ROUGH)


def _kind(path: str | os.PathLike[str]) -> tuple[str, int]:
    """Mode and number of pixels that a picture's head states; "?" where Pillow knows none, as of TIFF with 64 bits."""
    try:
        with _opened(Path(path)) as image:
            return image.mode, image.size[0] * image.size[1]
    except Exception:  # damaged heads make decoders raise anything
        return "?", 0


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A picture opened by Pillow, whose warnings (odd metadata, large pictures) are for programmers."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=[_PILLOW[path.suffix.lower()]]) as image:
            yield image


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > _LARGEST:
        raise InputError(f"{path}: {width}x{height} pixels are more than any depth camera has")


def _read_npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape = head(file)[0]
        if len(shape) >= 2:
            _check_size(path, shape[1], shape[0])
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with _opened(path) as image:
            _check_size(path, *image.size)
            return np.asarray(image)
    except Image.DecompressionBombError as error:  # Pillow gives its size in a sentence alone
        raise InputError(f"{path}: has more pixels than any depth camera ({_LARGEST // 1_000_000} million)") from error
    except Image.UnidentifiedImageError:
        if path.suffix.lower() == ".png":
            raise
        return _read_by_opencv(path)


def _read_by_opencv(path: Path) -> np.ndarray:
    """TIFF of 64-bit numbers, which Pillow does not know."""
    import cv2

    with _silent():
        values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("not decoded")
    return np.asarray(values)


def _read_pgm(path: Path) -> np.ndarray:
    """Pillow scales values to 16 bits where the file's largest value is another."""
    head = _PGM.match(read_head(path, 4096))
    if head is None:
        raise ValueError("no head of a PGM file")
    kind, width, height, largest = (int(number) for number in head.groups())
    _check_size(path, width, height)
    rest = path.read_bytes()[head.end() :]
    if kind == 2:
        text = re.sub(rb"#[^\n]*", b"", rest)
        return np.array(text.split(), np.int64)[: width * height].reshape(height, width).astype(np.uint16)
    return np.frombuffer(rest, ">u2" if largest > 255 else "u1", width * height).reshape(height, width)


def _read_exr(path: Path) -> np.ndarray:
    """The only channel of the file, or the one that is called Z."""
    try:
        import OpenEXR  # an extra: OpenCV's wheels have no EXR any more
    except ImportError:
        raise InputError(f"{path}: EXR files need one more package: pip install OpenEXR") from None
    with _silent(), OpenEXR.File(str(path), header_only=True) as file:
        (left, top), (right, bottom) = file.header()["dataWindow"]
    _check_size(path, int(right - left) + 1, int(bottom - top) + 1)
    with _silent(), OpenEXR.File(str(path)) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
        values = channels["Z"] if "Z" in channels else next(iter(channels.values()))
        return np.array(values if len(channels) == 1 or "Z" in channels else np.stack(list(channels.values()), -1))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep from users what C++ libraries write about a damaged file: one sentence of ours says it."""
    with _stderr:  # one thread at a time: another would keep the nowhere of the first for standard error
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            kept = -1
        if kept >= 0:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        try:
            with redirect_stdout(io.StringIO()):  # OpenEXR prints there, too
                yield
        finally:
            if kept >= 0:
                with suppress(OSError):
                    os.dup2(kept, 2)
                os.close(kept)
