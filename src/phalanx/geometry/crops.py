"""Square crops of pictures, and the affine maps between a picture's pixels and its crop's.

Pixel centres are integers, so a picture of width W spans x from -0.5 to W - 0.5. `Camera.crop` takes the same box, so
that a crop carries its camera.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from phalanx.core.errors import InputError

PALM = [5, 9, 13, 17]
"""The knuckles, whose middle as seen from the wrist says which way a hand points."""

_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT}


@dataclass(frozen=True)
class SquareBox:
    """A square of a picture; it may reach beyond the picture and may be turned.

    Attributes:
        centre_x, centre_y: its centre, in pixels.
        side: its side, in pixels.
        angle: radians from the picture's x axis to the box's, positive from x to y (clockwise as seen).
    """

    centre_x: float
    centre_y: float
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        values = (self.centre_x, self.centre_y, self.side, self.angle)
        if not all(math.isfinite(value) for value in values) or self.side <= 0:
            raise InputError(f"box: centre, side and angle must be finite and the side positive, not {values}")

    def crop_to_image(self, size: int) -> np.ndarray:
        """Affine map (3, 3) float64 from pixels of the `size` x `size` crop to pixels of the picture."""
        scale = self.side / size
        cosine, sine = scale * math.cos(self.angle), scale * math.sin(self.angle)
        middle = (size - 1) / 2
        return np.array(
            [
                [cosine, -sine, self.centre_x - (cosine - sine) * middle],
                [sine, cosine, self.centre_y - (sine + cosine) * middle],
                [0, 0, 1],
            ]
        )

    def image_to_crop(self, size: int) -> np.ndarray:
        """Affine map (3, 3) float64 from pixels of the picture to pixels of the `size` x `size` crop."""
        return np.linalg.inv(self.crop_to_image(size))

    def corners(self) -> np.ndarray:
        """The four corners (4, 2) in pixels, in order around the box from its top left."""
        half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * self.side
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = half @ np.array([[cosine, sine], [-sine, cosine]])
        return turned + [self.centre_x, self.centre_y]

    def overlaps(self, width: int, height: int) -> bool:
        """Whether the upright rectangle around the box has a part in a picture of that size, as `square_crop` demands."""
        corners = self.corners()
        low, high = np.floor(corners.min(0)), np.ceil(corners.max(0)) + 1
        return bool((high > 0).all() and low[0] < width and low[1] < height)

    def scaled(self, factor: float) -> "SquareBox":
        """The box about the same centre with `factor` times the side."""
        return SquareBox(self.centre_x, self.centre_y, self.side * factor, self.angle)


def box_around_picture(width: int, height: int) -> SquareBox:
    """The smallest upright square that holds the whole picture."""
    return SquareBox((width - 1) / 2, (height - 1) / 2, max(width, height))


def box_around_edges(left: float, top: float, right: float, bottom: float) -> SquareBox:
    """The smallest upright square around a rectangle given by its edges, the whole picture being (0, 0, W, H)."""
    if not (right > left and bottom > top):
        raise InputError(f"box: left, top, right, bottom = {left}, {top}, {right}, {bottom} enclose nothing")
    return SquareBox((left + right - 1) / 2, (top + bottom - 1) / 2, max(right - left, bottom - top))


def upright_angle(joints: np.ndarray) -> float:
    """Angle of the box in which the hand with joints (21, 2), in pixels, points up: from the wrist to the knuckles."""
    x, y = np.mean(np.asarray(joints)[PALM], axis=0) - joints[0]
    return math.atan2(x, 0.0 - y)  # never -0.0, whose angle would be half a turn


def box_around_points(points: np.ndarray, factor: float = 1.0, angle: float = 0.0) -> SquareBox:
    """The smallest square, turned by `angle`, around pixel positions (N, 2), grown by `factor` about its centre."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0 or not np.isfinite(points).all():
        raise InputError(f"points: must be finite and (N, 2), N > 0, not {points.shape}")
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])  # the box's x and y
    along = points @ axes.T
    low, high = along.min(0), along.max(0)
    side = max(float((high - low).max()), 1.0)  # a single point still gets a pixel
    centre_x, centre_y = ((low + high) / 2 @ axes).tolist()
    return SquareBox(centre_x, centre_y, side, angle).scaled(factor)


def square_crop(
    image: np.ndarray,
    box: SquareBox,
    size: int,
    border: Literal["replicate", "constant"] = "replicate",
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square out of a picture and bring it to `size` x `size` pixels.

    Shrinking averages over the area that each pixel covers, so that nothing aliases; growing is bilinear.

    Args:
        image: (H, W) or (H, W, C), C <= 4, uint8 or float32.
        box: what to cut; must overlap the picture.
        size: side of the crop in pixels.
        border: what lies beyond the picture: its nearest pixel, or zeros.
    Returns:
        crop: (size, size) or (size, size, C), of the picture's type.
        crop_to_image: (3, 3) float64; `K_crop = inv(crop_to_image) @ K`, as `Camera.crop(box, size)` has it.
    Raises:
        InputError: for a picture of another type or shape, an empty one, or a box that misses it.
    """
    _check_image(image)
    height, width = image.shape[:2]
    crop_to_image = box.crop_to_image(size)
    corners = box.corners()
    low = np.floor(corners.min(0)).astype(int)
    high = np.ceil(corners.max(0)).astype(int) + 1
    if not box.overlaps(width, height):
        raise InputError(f"box: {box} lies outside the picture of {width}x{height} pixels")
    scale = box.side / size
    pre_shrink = max(int(scale / 2), 1)  # leaves a factor of 2 to 4 to the supersampled warp

    # One block more on each side: the warp looks at neighbours, and the border rule is for the picture's rim alone.
    left, top = np.clip(low - pre_shrink, 0, [width - 1, height - 1])
    right, bottom = np.clip(high + pre_shrink, [left + 1, top + 1], [width, height])
    region = image[top:bottom, left:right]
    to_region = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]) @ crop_to_image
    if pre_shrink > 1:
        region = _shrink(region, pre_shrink, _BORDERS[border])
        offset = (1 - pre_shrink) / (2 * pre_shrink)
        to_region = np.array([[1 / pre_shrink, 0, offset], [0, 1 / pre_shrink, offset], [0, 0, 1]]) @ to_region

    factor = max(math.ceil(scale / pre_shrink - 1e-9), 1)
    offset = (1 - factor) / (2 * factor)
    fine_to_crop = np.array([[1 / factor, 0, offset], [0, 1 / factor, offset], [0, 0, 1]])
    crop = cv2.warpAffine(
        np.ascontiguousarray(region),
        (to_region @ fine_to_crop)[:2],
        (size * factor, size * factor),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=_BORDERS[border],
    )
    if factor > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop.reshape(size, size, *image.shape[2:]), crop_to_image


def _shrink(region: np.ndarray, factor: int, border: int) -> np.ndarray:
    """Mean over blocks of `factor` x `factor` pixels, the last blocks filled up by the border rule."""
    missing_y, missing_x = -region.shape[0] % factor, -region.shape[1] % factor
    if missing_y or missing_x:
        region = cv2.copyMakeBorder(region, 0, missing_y, 0, missing_x, border)
    shape = (region.shape[1] // factor, region.shape[0] // factor)
    return cv2.resize(region, shape, interpolation=cv2.INTER_AREA)


def _check_image(image: np.ndarray) -> None:
    if image.dtype not in (np.uint8, np.float32):
        raise InputError(f"image: must be uint8 or float32, not {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
        raise InputError(f"image: must be (H, W) or (H, W, C) with C of 1 to 4, not {image.shape}")
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise InputError(f"image: has no pixels, shape {image.shape}")
