"""Reading pictures from files, whatever their kind, as upright RGB; and finding the pictures in a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, read_head
from phalanx.data.exif import focal_length

if TYPE_CHECKING:
    import torch

PICTURE_SUFFIXES = frozenset(".png .jpg .jpeg .jpe .jfif .webp .bmp .tif .tiff .gif .avif .jp2 .ppm .pgm .pbm".split())
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .3gp .ogv".split())

# Formats by Pillow's names. A list, so that formats which start other programs (EPS) are never tried.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in grey (ITU-R BT.601)."""

OVERLAY = "_overlay"
"""What names of results end in (before the suffix) that are pictures themselves; folders of pictures may hold some of an earlier job."""

_PACKED_SIZE = (640, 480)  # of NYU's depth pictures
_PACKED_END = 2001  # millimetres: the sensor's end, written where nothing was measured

_STRIP = 256  # rows that are taken over at a time

MIN_SIDE = 16  # pixels; nothing can be seen of a hand below that
MAX_PIXELS = 100_000_000  # a 100-megapixel camera; 300 MB as RGB
MAX_RATIO = 100  # of the sides; a square round a longer picture would not fit into memory


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture file as upright RGB: (H, W, 3) uint8. Details and errors as for `read_photo`."""
    return read_photo(path)[0]


def read_photo(path: str | os.PathLike[str]) -> tuple[np.ndarray, float | None]:
    """Read a picture file as upright RGB (H, W, 3) uint8, and the focal length in pixels that its EXIF data state, or None.

    - The orientation that the camera wrote beside the picture (EXIF) is applied, so (0, 0) is the upper left of what a
      viewer shows; a camera matrix for the picture must be that of the upright picture.
    - Grey becomes three equal channels; CMYK is converted without a colour profile.
    - Transparent pixels are laid over white, as viewers show them.
    - 16 bits a channel become 8: grey by rounding v / 257, colours by their upper byte.
    - Of an animation or a file with several pictures, the first.
    - The focal length is found as `data.exif.focal_length` has it.

    The size is read from the file's head and checked before anything is decoded.

    Raises:
        InputError: missing, a URL, not a file, empty, no picture or of an unknown format, truncated or damaged, smaller than
            `MIN_SIDE` on a side or larger than `MAX_PIXELS`. One sentence, beginning with the path.
    """
    from PIL import Image, ImageOps

    check_local(path)
    path = Path(path)
    if _is_folder(path):
        raise InputError(f"{path}: is a folder, not a picture")
    head = read_head(path, 16)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1"):
        raise InputError(f"{path}: HEIC pictures cannot be read; save it as JPEG or PNG first")

    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata and about sizes, which are checked here
        try:
            image = Image.open(path, formats=formats)
        except Image.DecompressionBombError as error:
            raise InputError(f"{path}: is larger than {MAX_PIXELS // 1_000_000} million pixels") from error
        except Exception as error:  # damaged heads make decoders raise anything, from SyntaxError to struct.error
            raise InputError(f"{path}: is not a picture of a known kind, or is damaged at its start") from error
        with image:
            check_size(image.size[0], image.size[1], str(path))
            try:
                image.load()
            except Exception as error:  # as above; among them every kind of truncation
                raise InputError(f"{path}: the picture is truncated or damaged ({_one_line(error)})") from error
            focal = None
            try:
                focal = focal_length(image.getexif(), *image.size)
                ImageOps.exif_transpose(image, in_place=True)  # a copy is as large as the picture
            except Exception:
                pass  # unreadable EXIF: the pixels are still there
            return _to_rgb8(str(path), image), focal


def read_image_of_size(path: str | os.PathLike[str], width: int, height: int) -> np.ndarray:
    """As `read_image`, of a picture that must have this size: (height, width, 3) uint8."""
    image = read_image(path)
    if image.shape != (height, width, 3):
        raise InputError(f"{path}: {width}x{height} pixels expected, has {image.shape[1]}x{image.shape[0]}")
    return image


def image_batch(image: np.ndarray) -> torch.Tensor:
    """A picture (H, W, 3) uint8 as (1, 3, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def image_bytes(image: torch.Tensor) -> np.ndarray:
    """A picture (3, H, W) in [0, 1] as (H, W, 3) uint8, rounded: what `image_batch` undoes."""
    return (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def read_depth(
    path: str | os.PathLike[str], unit: float, size: tuple[int, int] | None = None, end: int = 1 << 16
) -> np.ndarray:
    """Read a picture of depth, a 16-bit grey PNG: (H, W) float32 metres, 0 = no reading.

    Args:
        path: of the file.
        unit: metres that a value of 1 stands for.
        size: width and height that it must have.
        end: the first of the values that stand for no reading.

    Raises:
        InputError: missing, empty, no PNG, truncated or damaged, not 16-bit grey, or of another size.
    """
    from PIL import Image

    path = Path(path)
    read_head(path, 1)  # says what is wrong with a file that is not there
    try:
        with Image.open(path, formats=["PNG"]) as image:
            kind, depth = image.mode, np.asarray(image)  # (H, W)
    except Exception as error:  # damaged files make decoders raise anything, from SyntaxError to struct.error
        raise InputError(f"{path}: is truncated, damaged or no PNG ({_one_line(error)})") from error
    if not kind.startswith("I"):
        raise InputError(f"{path}: is not a 16-bit grey picture, but of kind {kind}")
    if size and depth.shape[::-1] != size:
        raise InputError(f"{path}: {size[0]}x{size[1]} pixels expected, has {depth.shape[1]}x{depth.shape[0]}")
    return (np.where(depth < end, depth, 0) * unit).astype(np.float32)


def read_packed_depth(path: Path) -> np.ndarray:
    """A depth picture of the NYU set, an 8-bit one of millimetres as 256 green + blue: (480, 640) float32 metres, 0 = no reading."""
    image = read_image_of_size(path, *_PACKED_SIZE)
    if image[..., 0].any():
        raise InputError(f"{path}: has red in it, which depth pictures do not")
    depth = image[..., 1].astype(np.float32) * 256 + image[..., 2]
    return np.where(depth == _PACKED_END, np.float32(0), depth / 1000)


def check_size(width: int, height: int, name: str) -> None:
    """Raise InputError, beginning with `name`, if a picture of that size is too small, too large or too long to look for a hand in."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: {width}x{height} is larger than {MAX_PIXELS // 1_000_000} million pixels; make it smaller first"
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: {width}x{height} pixels are too few; both sides need {MIN_SIDE} or more")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise InputError(f"{name}: {width}x{height} pixels: one side is more than {MAX_RATIO} times the other")


def rgb_of_array(image: np.ndarray) -> np.ndarray:
    """A picture in memory, (H, W) or (H, W, C), as RGB (H, W, 3), uint8 or float32 in [0, 1]; treated as one in a file (`read_photo`).

    C is 1 (grey), 2 (grey, opacity), 3 (RGB) or 4 (RGB, opacity); values are uint8, uint16 or floats in [0, 1].

    Raises:
        InputError: another shape or type, too small or large, values that are not finite or not in [0, 1].
    """
    from PIL import Image

    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 2 <= image.shape[2] <= 4):
        raise InputError(f"image: must be (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, not {image.shape}{_why(image)}")
    check_size(image.shape[1], image.shape[0], "image")
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
            raise InputError("image: floating-point values must lie in [0, 1]")
        return _float_rgb(image.astype(np.float32))
    if image.dtype == np.uint16:
        image = ((image.astype(np.int64) + 128) // 257 if image.ndim == 2 else image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError(f"image: must be uint8, uint16, or float in [0, 1], not {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    return _to_rgb8("image", Image.fromarray(np.ascontiguousarray(image)))


def rgb_of_pillow(image: Any) -> np.ndarray:
    """A picture of Pillow's, of any mode, as RGB (H, W, 3) uint8, as one in a file; its EXIF orientation is left alone.

    Raises InputError if it is too small or too large, or has pixels whose range is not known.
    """
    check_size(image.size[0], image.size[1], "image")
    return _to_rgb8("image", image)


def _why(image: np.ndarray) -> str:
    if image.ndim == 3 and image.shape[0] in (1, 3, 4):
        return "; move the channels to the end"
    return "; give one picture at a time" if image.ndim == 4 else ""


def _float_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W), or (H, W, C) with opacity last where C is even, as (H, W, 3), over white."""
    image = image[..., None] if image.ndim == 2 else image
    colour = image
    if image.shape[2] in (2, 4):
        colour, opacity = image[..., :-1], image[..., -1:]
        colour = np.clip(colour * opacity + (1 - opacity), 0, 1)
    return np.repeat(colour, 3, axis=-1) if colour.shape[2] == 1 else colour


def _to_rgb8(path: str, image: Any) -> np.ndarray:
    """A loaded Pillow image of any mode as (H, W, 3) uint8."""
    from PIL import Image

    if image.mode == "F":
        raise InputError(f"{path}: has floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # grey with more than 8 bits
        grey = np.asarray(image).astype(np.int64)  # (H, W)
        if grey.min() < 0 or grey.max() > 65535:
            raise InputError(f"{path}: has grey values beyond 16 bits; save it with 8 or 16 bits")
        grey = ((grey + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    try:
        for top in range(0, height, _STRIP):  # Pillow makes up to three copies on the way
            rgb[top : top + _STRIP] = image.crop((0, top, width, min(top + _STRIP, height))).convert("RGB")
    except ValueError as error:
        raise InputError(f"{path}: pixels of kind {image.mode} cannot be read as RGB") from error
    return rgb


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def check_local(path: str | os.PathLike[str]) -> None:
    """Raise InputError if a path is a URL, or far too long for one."""
    text = os.fspath(path)
    if isinstance(text, str) and ("://" in text or text.startswith("data:image/")):
        raise InputError(f"{text[:80]}{'...' if len(text) > 80 else ''}: is a URL; download the file first")
    if len(text) > 4096:
        raise InputError(f"{text[:40]!r}...: is not a path; it has {len(text)} characters")


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether the path has the suffix of a video file."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def find_inputs(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand folders into the picture and video files directly inside them, sorted by name; keep files as they are.

    A file that is named twice, in whatever way, comes once. Files are not opened; of those in folders, hidden ones and what
    an earlier job drew there (`OVERLAY`) are passed over.

    Raises:
        InputError: a URL, or a folder that cannot be read or has neither pictures nor videos.
    """
    found: dict[str, Path] = {}
    for named in paths:
        check_local(named)
        given = Path(named)
        for path in _pictures_inside(given) if _is_folder(given) else [given]:
            found.setdefault(real_path(path), path)
    return list(found.values())


def real_path(path: Path) -> str:
    """The same for all names of one file. `Path.resolve` would raise where links run in a circle."""
    return os.path.realpath(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, say: opening it will tell
        return False


def _pictures_inside(folder: Path) -> list[Path]:
    entries = [folder / name for name in sorted(list_folder(folder))]
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    named = [p for p in entries if p.suffix.lower() in known and not p.name.startswith(".")]
    inside = [p for p in named if not p.stem.endswith(OVERLAY) and p.is_file()]
    if not inside:
        raise InputError(f"{folder}: the folder has no pictures or videos in it")
    return inside
