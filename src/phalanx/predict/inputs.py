"""What users hand to predictors, checked and brought to one form: pictures, boxes, cameras, sides and hand lengths."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration, as_calibration
from phalanx.data.images import read_photo, rgb_of_array, rgb_of_pillow
from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.geometry.crops import SquareBox, box_around_edges
from phalanx.geometry.distortion import Lens
from phalanx.hand.prediction import SIDES

FIELD_OF_VIEW = 60.0  # degrees across the longer side, where no camera is given; phones have 55 to 75
HAND_LENGTHS = (0.05, 0.35)  # metres; a newborn's is 0.06, the longest ever measured 0.32
MAX_HANDS = 8  # hands that a picture shows at most, where nobody says otherwise
MIN_SCORE = 0.7
"""How surely a hand must be there. On synthetic frames 0.7 leaves out one in ten of the hands that 0.5 finds, and two in three of its
false ones; in pictures without hands it claims one in 80 (`benchmarks/belief.py`)."""
WHOLE = "whole"  # box of the whole picture
MIN_BOX = 8.0  # pixels; side of the smallest part of a picture worth looking at
MOST_BOX = 10.0  # sides of the picture; nothing can be seen in a larger box
WIDEST = 2.5  # tangent of 68 degrees: farther from the axis lenses are no pinholes any more
WIDEST_BENT = math.pi / 2 * 1.1  # as far from the axis as lenses with a known distortion, even fisheyes, show anything
SAME_ASPECT = 0.01  # difference of the sides' ratio, as a share, up to which a camera is scaled to another size
LONGEST = 1000.0  # focal length in sides of the picture: hands would be kilometres away


def as_photo(image: Any) -> tuple[np.ndarray, float | None]:
    """A picture as RGB (H, W, 3), uint8 or float32 in [0, 1], and the focal length in pixels that its file states, or None.

    Args:
        image: the path of a picture (`data.images.read_photo`), an array (`data.images.rgb_of_array`), or a picture of Pillow's.

    Raises:
        InputError: it is neither, or at fault; None, bytes, URLs and open files are named for what they are.
    """
    if isinstance(image, str | os.PathLike):
        return read_photo(image)
    if image is None:
        raise InputError("image: is None; cv2.imread, for one, gives that for files that it cannot read")
    if isinstance(image, bytes | bytearray | memoryview):
        raise InputError("image: is bytes; give the path of a file, or an array (H, W, 3) of its pixels")
    if hasattr(image, "read") and not hasattr(image, "__array__") and not hasattr(image, "__array_interface__"):
        raise InputError("image: is an open file; give its path")
    if type(image).__module__.split(".")[0] == "PIL":
        return rgb_of_pillow(image), None
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"image: is no picture, but a {type(image).__name__}") from error
    if not np.issubdtype(array.dtype, np.number) and array.dtype != bool:
        raise InputError(f"image: is no picture, but a {type(image).__name__}")
    return rgb_of_array(array), None


def as_box(box: Any, width: int, height: int) -> SquareBox:
    """The square around a user's box (x, y, width, height) in a picture of that size.

    Raises:
        InputError: not four finite numbers, or less than 8 pixels of it lie in the picture, or it is far larger than that.
    """
    x, y, w, h = as_array(box, (4,), "box").tolist()
    if max(w, h) > MOST_BOX * max(width, height):
        raise InputError(f"box: {w:g}x{h:g} is more than {MOST_BOX:g} times the picture of {width}x{height} pixels")
    inside = min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
    if min(inside) <= 0:
        raise InputError(f"box: {x:g},{y:g},{w:g},{h:g} lies outside the picture of {width}x{height} pixels")
    if min(inside) < MIN_BOX:
        raise InputError(f"box: less than {MIN_BOX:g} pixels of {x:g},{y:g},{w:g},{h:g} lie in the picture")
    return box_around_edges(x, y, x + w, y + h)


@dataclass(frozen=True, eq=False)
class PictureCamera:
    """The camera of one picture, its lens, and where they come from, as `HandPrediction.camera_source`."""

    camera: Camera[np.ndarray]
    lens: Lens | None = None
    source: Literal["given", "exif", "assumed"] = "given"


def camera_in_file(focal: float | None, width: int, height: int) -> Calibration | None:
    """The camera of the focal length in pixels that a picture's file states, looking through its middle; None where it states none."""
    if focal is None:
        return None
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Calibration(K, (width, height), source="exif")


def picture_camera(K: Any, width: int, height: int) -> PictureCamera:
    """The camera of a picture: as given, or one that looks through its middle with a usual field of view.

    A camera that is for pictures of another size is scaled if the sides have the same ratio.

    Args:
        K: as `data.camera_files.as_calibration` takes it, or None.
        width, height: of the picture, pixels.

    Raises:
        InputError: K is at fault, or for pictures of another shape, or that of no lens, as when it does not count in pixels.
    """
    if K is None:
        assumed = camera_from_field_of_view(width, height, FIELD_OF_VIEW)
        return PictureCamera(Camera(assumed.K.astype(np.float64), width, height), source="assumed")
    given = as_calibration(K)
    camera = Camera(given.K, width, height)
    if given.size is not None and given.size != (width, height):
        check_size_of_camera(given, width, height)
        camera = Camera(given.K, *given.size).resize(width, height)
    (fx, _, cx), (_, fy, cy) = camera.K[:2].tolist()
    widest = WIDEST if given.lens is None else WIDEST_BENT
    if max(abs(cx) / fx, abs(width - cx) / fx, abs(cy) / fy, abs(height - cy) / fy) > widest:
        raise InputError(
            f"{given.name}: focal lengths of {fx:g} and {fy:g} with the principal point at {cx:g},{cy:g} make a picture of "
            f"{width}x{height} pixels too wide for a lens; all count in pixels"
        )
    if max(fx, fy) > LONGEST * max(width, height):
        raise InputError(f"{given.name}: focal lengths of {fx:g} and {fy:g} are too long for {width}x{height} pixels")
    return PictureCamera(camera, given.lens, given.source)


def scaling(K: Calibration | None, width: int, height: int) -> str:
    """For lines about a picture: that its camera was scaled from another size; empty if it was not."""
    if K is None or K.size in (None, (width, height)):
        return ""
    assert K.size is not None
    return f", camera scaled from {K.size[0]}x{K.size[1]} to {width}x{height}"


def check_size_of_camera(given: Calibration, width: int, height: int) -> None:
    """Raise InputError if a camera that is for pictures of one size cannot be scaled to this one."""
    assert given.size is not None
    theirs = f"{given.size[0]}x{given.size[1]}"
    if given.size == (height, width):
        raise InputError(
            f"{given.name}: is for pictures of {theirs} pixels, and this one has {width}x{height}: it was turned, so give the camera "
            "of the upright picture"
        )
    if abs(math.log(given.size[0] / given.size[1] * height / width)) > SAME_ASPECT:
        raise InputError(
            f"{given.name}: is for pictures of {theirs} pixels, and this one of {width}x{height} has another ratio of its sides"
        )


def check_limits(max_hands: Any, min_score: Any) -> None:
    """Raise InputError unless `max_hands` is a whole number from 1 and `min_score` lies in [0, 1]."""
    if isinstance(max_hands, bool) or not isinstance(max_hands, int | np.integer) or max_hands < 1:
        raise InputError(f"max_hands: must be a whole number of at least 1, not {max_hands!r}")
    if not 0 <= as_array(min_score, (), "min_score") <= 1:
        raise InputError(f"min_score: must lie between 0 and 1, got {float(min_score):g}")


def check_squares(squares: Sequence[Any], sides: Sequence[Any], hand_lengths: Sequence[Any]) -> None:
    """Raise InputError unless there are as many sides and lengths (or None) as squares, and all are what they should be."""
    if not len(squares) == len(sides) == len(hand_lengths):
        raise InputError(
            f"squares, sides, hand_lengths: must be as many, not {len(squares)}, {len(sides)} and {len(hand_lengths)}"
        )
    for square, side, length in zip(squares, sides, hand_lengths, strict=True):
        if not isinstance(square, SquareBox):
            raise InputError(f"squares: must be SquareBox, not {type(square).__name__}")
        check_side(side)
        check_hand_length(length)


def check_options(box: Any, K: Any, side: Any, hand_length: Any) -> None:
    """Check what can be said of the options without the picture. Raises InputError naming the one at fault."""
    if isinstance(box, str):
        if box != WHOLE:
            raise InputError(f"box: must be x, y, width, height or {WHOLE!r}, not {box!r}")
    elif box is not None:
        w, h = as_array(box, (4,), "box").tolist()[2:]
        if w <= 0 or h <= 0:
            raise InputError(f"box: width and height must be positive, got {w:g} and {h:g}")
    if K is not None:
        as_calibration(K)
    check_side(side)
    check_hand_length(hand_length)


def check_hand_length(hand_length: Any) -> None:
    """Raise InputError unless it is None or metres that a hand can have."""
    if hand_length is not None:
        low, high = HAND_LENGTHS
        if not low <= as_array(hand_length, (), "hand_length") <= high:
            raise InputError(f"hand_length: must lie between {low} and {high} metres, got {float(hand_length):g}")


def check_side(side: Any) -> None:
    """Raise InputError if `side` is neither a side nor "auto"."""
    if side not in (*SIDES, "auto"):
        raise InputError(f"side: must be 'left', 'right' or 'auto', not {side!r}")
