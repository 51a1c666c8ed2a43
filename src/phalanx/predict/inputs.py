"""What users hand to predictors, checked and brought to one form: pictures, boxes, cameras, sides and hand lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.data.images import check_size
from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.geometry.crops import SquareBox, box_around_edges
from phalanx.hand.prediction import SIDES

FIELD_OF_VIEW = 60.0  # degrees across the longer side, where no camera is given; phones have 55 to 75
HAND_LENGTHS = (0.05, 0.35)  # metres; a newborn's is 0.06, the longest ever measured 0.32
MIN_BOX = 8.0  # pixels; side of the smallest part of a picture worth looking at
MOST_BOX = 10.0  # sides of the picture; nothing can be seen in a larger box
WIDEST = 2.5  # tangent of 68 degrees: farther from the axis lenses are no pinholes any more
LONGEST = 1000.0  # focal length in sides of the picture: hands would be kilometres away


def as_rgb(image: Any) -> np.ndarray:
    """A picture in memory as (H, W, 3), uint8 or float32 in [0, 1]; grey is repeated.

    Raises:
        InputError: another shape or type, too small, values that are not finite or not in [0, 1].
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image: must be (H, W, 3) RGB or (H, W) grey, not {image.shape}")
    check_size(image.shape[1], image.shape[0], "image")
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"image: must be uint8, or float in [0, 1], not {image.dtype}")
    if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
        raise InputError("image: floating-point values must lie in [0, 1]")
    return image.astype(np.float32)


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


def picture_camera(K: Any, width: int, height: int) -> Camera[np.ndarray]:
    """The camera of a picture: as given, or one that looks through its middle with a usual field of view.

    Raises InputError if it is that of no lens, as when it does not count in pixels.
    """
    if K is None:
        assumed = camera_from_field_of_view(width, height, FIELD_OF_VIEW)
        return Camera(assumed.K.astype(np.float64), width, height)
    matrix = as_intrinsics(K)
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    if max(abs(cx) / fx, abs(width - cx) / fx, abs(cy) / fy, abs(height - cy) / fy) > WIDEST:
        raise InputError(
            f"K: focal lengths of {fx:g} and {fy:g} with the principal point at {cx:g},{cy:g} make a picture of "
            f"{width}x{height} pixels too wide for a lens; all count in pixels"
        )
    if max(fx, fy) > LONGEST * max(width, height):
        raise InputError(f"K: focal lengths of {fx:g} and {fy:g} are too long for {width}x{height} pixels")
    return Camera(matrix, width, height)


def check_options(box: Any, K: Any, side: Any, hand_length: Any) -> None:
    """Check what can be said of the options without the picture. Raises InputError naming the one at fault."""
    if box is not None:
        w, h = as_array(box, (4,), "box").tolist()[2:]
        if w <= 0 or h <= 0:
            raise InputError(f"box: width and height must be positive, got {w:g} and {h:g}")
    if K is not None:
        as_intrinsics(K)
    check_side(side)
    if hand_length is not None:
        low, high = HAND_LENGTHS
        if not low <= as_array(hand_length, (), "hand_length") <= high:
            raise InputError(f"hand_length: must lie between {low} and {high} metres, got {float(hand_length):g}")


def check_side(side: Any) -> None:
    """Raise InputError if `side` is neither a side nor "auto"."""
    if side not in (*SIDES, "auto"):
        raise InputError(f"side: must be 'left', 'right' or 'auto', not {side!r}")
