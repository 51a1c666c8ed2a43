"""Panoramas: pictures of all that is seen from a place, and the light that falls there, taken from the full range of what they measured.

A panorama's frame is that of a camera that looks at its middle: x right, y down, z forward. Its pixels are spaced evenly in azimuth
and elevation. Values are linear and such that a white surface under the light of a panorama has the value of the light on it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import lsq_linear
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import files_below, read_head
from phalanx.core.notes import note
from phalanx.core.records import join_fields
from phalanx.data.video import quiet_opencv
from phalanx.geometry.resampling import resized
from phalanx.synth.paint.light import LIGHTS

ASSETS = Path(__file__).parent.parent / "assets"
SUFFIXES = (".hdr", ".exr")
WIDTH = 512  # pixels of a panorama in the package
_FINE_WIDTH = 1024  # at most, of users' panoramas
_MOST = 64  # panoramas of a folder
_WIDEST = 2048  # pixels across in which lights are looked for
_LARGEST = 8192 * 4096  # pixels of a file; 400 MB as it is read
_LEVELS = 5
_USUAL = 0.5  # what the mean luminance, which is that of white planes that face anywhere, is scaled to
_BRIGHTEST = 16.0  # pictures keep no more
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_NEAR = math.radians(30)  # what lies farther from its middle than so is not part of a light
_ABOVE = 4.0  # lights are what exceeds so many times the mean
_NORMALS = 600  # at which the light on a surface is fitted


@dataclass
class PanoramaLight:
    """Light at N places, in the panoramas' frames; as in `LightDraw`.

    Attributes:
        direction: (N, LIGHTS, 3); colour: (N, LIGHTS, 3); softness: (N, LIGHTS); ambient: (N, 3, 4).
    """

    direction: np.ndarray
    colour: np.ndarray
    softness: np.ndarray
    ambient: np.ndarray


@dataclass
class PanoramaBank:
    """N panoramas: what is seen, and the light.

    Attributes:
        levels: (N, 3, H, W + 2) float16 each, linear, each half as fine as the one before; the first and the last column repeat those
            across the seam.
        light: of the places.
        names: of the files.
    """

    levels: tuple[Tensor, ...]
    light: PanoramaLight
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def directions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors `(H, W, 3)` through the pixels of a panorama, and the solid angles `(H, 1)` of its pixels."""
    azimuth = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    elevation = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * np.pi
    vectors = np.cos(elevation) * np.sin(azimuth), -np.sin(elevation) + 0 * azimuth, np.cos(elevation) * np.cos(azimuth)
    edges = np.sin((0.5 - np.arange(height + 1) / height) * np.pi)
    return np.stack(vectors, -1), (edges[:-1] - edges[1:])[:, None] * 2 * np.pi / width


def irradiance(picture: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Light `(N, 3)` on white planes with `normals (N, 3)`, by summing over every pixel of the panorama `(H, W, 3)`.

    It is the irradiance over pi: the radiance of a white plane.
    """
    towards, area = directions(*picture.shape[:2])
    power = (picture * area[..., None]).reshape(-1, 3) / np.pi
    cosines = (np.maximum(towards.reshape(-1, 3) @ normal, 0.0) @ power for normal in normals)
    return np.stack(list(cosines))


def approximate_irradiance(light: PanoramaLight, normals: np.ndarray) -> np.ndarray:
    """The same `(N, P, 3)` at P normals, from the lights and the ambient light of N panoramas."""
    lit = np.maximum(np.einsum("pj,nlj->nlp", normals, light.direction), 0.0)
    basis = np.concatenate([np.ones((len(normals), 1)), normals], 1)
    sky = np.maximum(np.einsum("nck,pk->npc", light.ambient, basis), 0.0)
    return sky + np.einsum("nlp,nlc->npc", lit, light.colour)


def spread_normals(count: int) -> np.ndarray:
    """Unit vectors `(count, 3)` spread evenly over the sphere, on a spiral of golden angles."""
    i = np.arange(count) + 0.5
    z, azimuth = 1 - 2 * i / count, i * np.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], 1)


def usual_exposure(picture: np.ndarray) -> float:
    """What to multiply a panorama `(H, W, 3)` by, so that its mean luminance, over all directions, is `_USUAL`."""
    return _USUAL / _mean(picture @ _LUMINANCE)


def _mean(values: np.ndarray) -> float:
    """Over all directions, of values `(H, W)`."""
    return float((values * directions(*values.shape)[1]).sum() / (4 * np.pi))


def extract_light(picture: np.ndarray) -> PanoramaLight:
    """The light of one panorama `(H, W, 3)` of full range: N is 1.

    The brightest lights are where most of what exceeds a few times the mean lies close together; each is as large as what it is made of
    spreads. Their colours and the ambient light then are what comes nearest to the light on planes that face any direction, by
    least squares; so the energy of the panorama is kept.
    """
    towards, area = directions(*picture.shape[:2])
    luminance = picture @ _LUMINANCE
    excess = np.maximum(luminance - _ABOVE * _mean(luminance), 0.0) * area  # (H, W) power
    total = float((luminance * area).sum())
    direction, softness = np.zeros((LIGHTS, 3)), np.full(LIGHTS, 0.3)
    direction[:, 1] = -1.0  # where nothing stands out, light comes from above
    found = 0
    while found < LIGHTS and excess.sum() > 0.01 * total:
        middle = towards.reshape(-1, 3)[int(_gathered(excess).argmax())]
        for _ in range(4):
            near = (towards @ middle > math.cos(_NEAR)) * excess
            middle = (near[..., None] * towards).sum((0, 1))
            middle /= np.linalg.norm(middle)
        cosine = towards @ middle
        spread = float((near * (1 - cosine)).sum() / near.sum())  # R^2 / 4 for a disc of angular radius R
        direction[found], softness[found] = middle, np.clip(math.tan(min(2 * math.sqrt(spread), 0.6)), 0.01, 0.7)
        excess[cosine > math.cos(_NEAR)] = 0.0
        found += 1
    colour, ambient = _fit(picture, direction, found)
    arrays = (direction[None], colour[None], softness[None], ambient[None])
    return PanoramaLight(*(array.astype(np.float32) for array in arrays))


def _gathered(power: np.ndarray) -> np.ndarray:
    """Power `(H, W)` gathered over some five degrees, wider in azimuth towards the poles as the pixels are narrower."""
    height, width = power.shape
    reach = max(1, height // 36)
    wide = np.concatenate([power[:, -width // 4 :], power, power[:, : width // 4]], 1)
    gathered = np.empty_like(power)
    for row in range(height):
        stretch = min(width // 4, int(reach / math.cos((0.5 - (row + 0.5) / height) * math.pi)))
        rows = wide[max(0, row - reach) : row + reach + 1].sum(0)
        sums = np.concatenate([[0.0], rows.cumsum()])
        column = np.arange(width) + width // 4
        gathered[row] = sums[column + stretch + 1 - (stretch == width // 4)] - sums[column - stretch]
    return gathered


def _fit(picture: np.ndarray, direction: np.ndarray, found: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours `(LIGHTS, 3)` of the first `found` lights, none negative, and ambient light `(3, 4)`."""
    small = cv2.resize(picture.astype(np.float32), (256, 128), interpolation=cv2.INTER_AREA).astype(np.float64)
    normals = spread_normals(_NORMALS)
    wanted = irradiance(small, normals)  # (P, 3)
    lit = np.maximum(normals @ direction[:found].T, 0.0)
    basis = np.concatenate([lit, np.ones((len(normals), 1)), normals], 1)
    least = np.concatenate([np.zeros(found + 1), np.full(3, -np.inf)])
    fits = np.stack([lsq_linear(basis, wanted[:, c], (least, np.inf)).x for c in range(3)])  # (3, found + 4)
    colour = np.zeros((LIGHTS, 3))
    colour[:found] = fits[:, :found].T
    return colour, fits[:, found:]


def encode(linear: np.ndarray) -> np.ndarray:
    """Linear values of 0 to `_BRIGHTEST` as bytes; steps are about as fine as a display's where it shows anything."""
    linear = np.clip(linear, 0.0, _BRIGHTEST)
    return np.rint(255 * np.sqrt(linear / (1 + linear))).astype(np.uint8)


def decode(values: np.ndarray) -> np.ndarray:
    """The inverse of `encode`, float32."""
    squares = (values.astype(np.float32) / 255) ** 2
    return np.minimum(squares / np.maximum(1 - squares, 1e-3), _BRIGHTEST).astype(np.float32)


def read_panorama(path: Path) -> np.ndarray:
    """Linear RGB `(H, W, 3)` float32 of a Radiance or OpenEXR file, without negative values.

    Raises:
        InputError: the file is missing, empty, damaged, too large, of another kind, or no panorama (twice as wide as high).
    """
    head = read_head(path, 4096)
    if path.suffix.lower() == ".exr":
        picture = _read_exr(path)
    else:
        _check_radiance(path, head)
        with quiet_opencv():
            found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if found is None or found.ndim != 3 or found.dtype != np.float32:
            raise InputError(f"{path}: is damaged")
        picture = found[..., ::-1]
    _check_size(path, picture.shape[1], picture.shape[0])
    picture = np.maximum(picture, 0.0)
    if not np.isfinite(picture).all() or not picture.any():
        raise InputError(f"{path}: holds values that are not finite, or nothing but 0")
    return np.ascontiguousarray(picture, np.float32)


def _check_radiance(path: Path, head: bytes) -> None:
    """The size stands in the file's head: it is checked before anything is decoded."""
    if not head.startswith((b"#?RADIANCE", b"#?RGBE")):
        raise InputError(f"{path}: is no Radiance picture")
    _, _, rest = head.partition(b"\n\n")
    words = rest.partition(b"\n")[0].split()
    if len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X" or not (words[1] + words[3]).isdigit():
        raise InputError(f"{path}: is damaged at its start, or not stored from top left")
    _check_size(path, int(words[3]), int(words[1]))


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > _LARGEST:
        raise InputError(f"{path}: is larger than 8192 x 4096 pixels")
    if height < 32 or width != 2 * height:
        raise InputError(f"{path}: is {width} x {height} pixels, and no panorama, which is twice as wide as high")


def _read_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR  # an extra: OpenCV's wheels have no EXR any more
    except ImportError:
        raise InputError(f"{path}: EXR files need one more package: pip install OpenEXR") from None
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            low, high = (np.asarray(corner) for corner in file.header()["dataWindow"])
        _check_size(path, *(int(side) for side in high - low + 1))
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
        return np.stack([channels[name] for name in "RGB"], -1).astype(np.float32)
    except InputError:
        raise
    except Exception as error:  # damaged files make decoders raise anything
        raise InputError(f"{path}: is no OpenEXR picture with channels R, G and B, or is damaged") from error


def panorama_of(picture: np.ndarray, width: int) -> tuple[np.ndarray, PanoramaLight]:
    """What is kept of a panorama `(H, W, 3)` of full range: bytes `(width / 2, width, 3)` as `encode` gives them, and its light."""
    if picture.shape[1] > _WIDEST:  # energy is kept, and memory within bounds
        picture = cv2.resize(picture, (_WIDEST, _WIDEST // 2), interpolation=cv2.INTER_AREA)
    scaled = picture * usual_exposure(picture)
    light = extract_light(scaled)
    width = min(width, picture.shape[1])
    small = cv2.resize(np.minimum(scaled, _BRIGHTEST), (width, width // 2), interpolation=cv2.INTER_AREA)
    return encode(small), light


@lru_cache(maxsize=2)
def panorama_bank(folder: Path | None, device: str) -> PanoramaBank:
    """The panoramas of the package, or of a folder (searched recursively, Radiance and OpenEXR files); the same in every process.

    Files that cannot be used are left out, each with a note that names it. Of more than 64 panoramas every so manieth is used.

    Raises:
        InputError: the folder does not exist or holds no panorama that can be used.
    """
    if folder is None:
        names, pictures, light = _packaged()
    else:
        names, pictures, light = _own(folder)
    size = max(picture.shape[0] for picture in pictures)
    levels: list[list[Tensor]] = [[] for _ in range(_LEVELS)]
    for picture in pictures:
        level = torch.from_numpy(decode(picture)).permute(2, 0, 1)[None]
        if len(picture) != size:
            level = F.interpolate(level, (size, 2 * size), mode="bilinear", align_corners=False)
        for kept in levels:
            kept.append(torch.cat([level[..., -1:], level, level[..., :1]], -1).half())
            level = F.avg_pool2d(level, 2)
    return PanoramaBank(tuple(torch.cat(level).to(device) for level in levels), light, names)


def _packaged() -> tuple[tuple[str, ...], list[np.ndarray], PanoramaLight]:
    stored = json.loads((ASSETS / "panoramas.json").read_text(encoding="utf-8"))
    names = tuple(sorted(stored))
    pictures = []
    for name in names:
        picture = np.asarray(cv2.imread(str(ASSETS / f"panorama_{name}.jpg"), cv2.IMREAD_COLOR))
        pictures.append(picture[..., ::-1].copy())
    fields = ("direction", "colour", "softness", "ambient")
    arrays = (np.array([stored[name][field] for name in names], np.float32) for field in fields)
    return names, pictures, PanoramaLight(*arrays)


def panorama_files(folder: Path) -> list[Path]:
    """Files of a folder, and of folders in it, that may be panoramas; in order.

    Raises:
        InputError: there is no such folder, or it holds none.
    """
    return files_below(folder, SUFFIXES, "panoramas", "panoramas")


def _own(folder: Path) -> tuple[tuple[str, ...], list[np.ndarray], PanoramaLight]:
    files = panorama_files(folder)
    files = files[:: -(-len(files) // _MOST)]
    names, pictures, lights = [], [], []
    for path in files:
        try:
            picture, light = panorama_of(read_panorama(path), _FINE_WIDTH)
        except InputError as error:
            note(f"{error}; it is left out")
            continue
        names.append(path.stem)
        pictures.append(picture)
        lights.append(light)
    if not lights:
        raise InputError(f"{folder}: none of its {len(files)} panoramas can be read")
    return tuple(names), pictures, join_fields(lights, np.concatenate)


def seen(
    bank: PanoramaBank, chosen: np.ndarray, to_camera: np.ndarray, K: Tensor, size: int, blur: np.ndarray
) -> Tensor:
    """What cameras see of panoramas: `(N, 3, size, size)`, linear.

    A panorama's pixels are large: they are blended smoothly, as what is out of focus is.

    Args:
        chosen: (N,) numbers in the bank.
        to_camera: (N, 3, 3) rotations from the panoramas' frames to the cameras'.
        K: (N, 3, 3) cameras; on the bank's device.
        blur: (N,) radians across what a point at infinity is spread, 0: in focus.
    """
    device, width = K.device, bank.levels[0].shape[-1] - 2
    texel = 2 * np.pi / width
    pixel = 2.0 / (K[:, 0, 0] + K[:, 1, 1]).cpu().numpy()
    level = np.log2(np.maximum(np.maximum(pixel, blur) / texel, 1e-6)).round().clip(0, _LEVELS - 1).astype(int)
    # Few texels across: a coarser raster does, and blends more smoothly when it is enlarged.
    step = np.where(pixel * 4 <= texel * 2.0**level, 4, np.where(pixel * 2 <= texel * 2.0**level, 2, 1))
    turn = torch.as_tensor(to_camera, dtype=torch.float32, device=device)
    result = torch.empty((len(chosen), 3, size, size), device=device)
    for k in range(len(chosen)):
        picture = _look(bank.levels[level[k]][int(chosen[k])], turn[k], K[k], size, int(step[k]))
        result[k] = picture
    return result


def _look(picture: Tensor, to_camera: Tensor, K: Tensor, size: int, step: int) -> Tensor:
    """What a camera sees of one panorama `(3, H, W + 2)`: `(3, size, size)`, found for every `step`th pixel."""
    few = size // step
    line = (torch.arange(few, dtype=torch.float32, device=K.device) + 0.5) * step - 0.5
    x, y = (line - K[0, 2]) / K[0, 0], (line - K[1, 2]) / K[1, 1]
    # Rays (x, y, 1) in the panorama's frame: R^T ray.
    a, b, c = (to_camera[0, i] * x[None, :] + (to_camera[1, i] * y + to_camera[2, i])[:, None] for i in range(3))
    azimuth = torch.atan2(a, c)
    elevation = torch.atan2(b, (a * a + c * c).sqrt_())  # downwards
    width = picture.shape[-1] - 2
    grid = torch.stack([azimuth * (width / (width + 2) / math.pi), elevation * (2 / math.pi)], -1)[None]
    found = F.grid_sample(picture[None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    if step > 1:
        found = resized(found, size, size)
    return found[0]
