"""A picture of a distorting lens as a pinhole camera at the same place would have taken it, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox, box_around_edges, box_around_points
from phalanx.geometry.distortion import Lens
from phalanx.predict.inputs import WIDEST, PictureCamera

_LARGEST = (
    2.0  # sides of the given picture that the straight one has at most: its rim is drawn out, and hardly ever of use
)
_STEP = 8  # pixels between places where the lens is computed; between them it is as good as linear
_ALONG = 65  # places along each side of a picture or box that is bent


@dataclass(frozen=True, eq=False)
class StraightPicture:
    """A picture in which straight things are straight; without a lens the given one itself.

    Attributes:
        image: (H, W, 3), of the given picture's type.
        camera: of `image`; axes and place are those of the given camera.
        given: camera of the picture as it was given.
        lens: of the given picture.
    """

    image: np.ndarray
    camera: Camera[np.ndarray]
    given: Camera[np.ndarray]
    lens: Lens | None

    def box(self, box: SquareBox) -> SquareBox:
        """The upright square that holds what an upright `box` shows of the given picture."""
        if self.lens is None:
            return box
        shown = _clipped(_rim(box), self.given.width, self.given.height)
        pixels = self.camera.project(_rays(self.lens.undistort(self.given.rays(shown)[..., :2])))
        pixels = pixels[np.isfinite(pixels).all(-1)]
        if len(pixels) == 0 or not self.camera.contains(pixels).any():
            raise InputError("box: lies where the camera's lens shows nothing that can be straightened")
        return _around(_clipped(pixels, self.camera.width, self.camera.height))

    def square(self, square: SquareBox) -> SquareBox | None:
        """The square, turned as it is, that holds what a turned `square` shows of the given picture; None where it shows nothing."""
        if not square.overlaps(self.given.width, self.given.height):
            return None
        if self.lens is None:
            return square
        shown = _rim(square) - [square.centre_x, square.centre_y]
        cosine, sine = math.cos(square.angle), math.sin(square.angle)
        shown = shown @ np.array([[cosine, sine], [-sine, cosine]]) + [square.centre_x, square.centre_y]
        shown = _clipped(shown, self.given.width, self.given.height)
        pixels = self.camera.project(_rays(self.lens.undistort(self.given.rays(shown)[..., :2])))
        pixels = pixels[np.isfinite(pixels).all(-1)]
        if len(pixels) == 0 or not self.camera.contains(pixels).any():
            return None
        return box_around_points(_clipped(pixels, self.camera.width, self.camera.height), angle=square.angle)

    def box_in_given(self, box: SquareBox) -> SquareBox:
        """The upright square of the given picture that holds what `box`, seen as upright, shows of this one."""
        if self.lens is None:
            return box
        pixels = _clipped(_rim(box), self.camera.width, self.camera.height)
        return _around(bent_pixels(self.given, self.lens, self.camera.rays(pixels)))


def straighten(image: np.ndarray, found: PictureCamera) -> StraightPicture:
    """A picture (H, W, 3) of the camera `found`, straight; as large as it takes to show all of it up to 68 degrees from the axis."""
    given, lens = found.camera, found.lens
    if lens is None:
        return StraightPicture(image, given, given, None)
    low, high = _bounds(given, lens)
    width, height = (int(side) for side in np.ceil(high - low).clip(16) + 1)
    shift = np.array([[1.0, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    camera = given.transform(shift, width, height)
    places = _places(camera, given, lens)
    straight = cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return StraightPicture(straight, camera, given, lens)


def bent_pixels(camera: Camera[np.ndarray], lens: Lens | None, points: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) at which a camera with a lens shows points (N, 3) before it, metres."""
    if lens is None:
        return camera.project(points)
    return camera.project(_rays(lens.distort(points[..., :2] / points[..., 2:])))


def _bounds(given: Camera[np.ndarray], lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """Corners (2,) of the straight picture, in pixels that count like the given picture's."""
    size = np.array([given.width, given.height])
    shown = _rim(box_around_edges(0, 0, given.width, given.height))
    shown = np.concatenate((_clipped(shown, *size), _grid(size)))
    plane = lens.undistort(given.rays(shown)[..., :2])
    with np.errstate(invalid="ignore"):
        plane = plane[np.hypot(plane[:, 0], plane[:, 1]) <= WIDEST]
    if len(plane) == 0:
        raise InputError("distortion: the lens shows nothing within 68 degrees of its axis")
    pixels = given.project(_rays(plane))
    low, high = pixels.min(0), pixels.max(0)
    middle = np.clip(given.K[:2, 2], low, high)  # what is nearest to the axis is kept
    share = np.minimum(1, (_LARGEST * size) / np.maximum(high - low, 1))
    return np.floor(middle + (low - middle) * share), middle + (high - middle) * share


def _places(camera: Camera[np.ndarray], given: Camera[np.ndarray], lens: Lens) -> np.ndarray:
    """Where in the given picture each pixel of the straight one is: (H, W, 2) float32."""
    count = [-(-side // _STEP) + 2 for side in (camera.width, camera.height)]
    # `cv2.resize` by the step takes cell j for position step * j + (step - 1) / 2; one more cell stands on each side.
    x, y = (_STEP * (np.arange(n) - 1) + (_STEP - 1) / 2 for n in count)
    coarse = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    places = bent_pixels(given, lens, camera.rays(coarse)).reshape(count[1], count[0], 2).astype(np.float32)
    fine = cv2.resize(places, (count[0] * _STEP, count[1] * _STEP), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(fine[_STEP : _STEP + camera.height, _STEP : _STEP + camera.width])


def _rays(plane: np.ndarray) -> np.ndarray:
    return np.concatenate((plane, np.ones_like(plane[..., :1])), axis=-1)


def _grid(size: np.ndarray) -> np.ndarray:
    """Places (N, 2) all over a picture: of a fisheye's, the rim shows nothing and its middle does."""
    x, y = (np.linspace(0, side - 1, 33) for side in size)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _rim(box: SquareBox) -> np.ndarray:
    """Places (N, 2) along the sides of a box, as if it were not turned."""
    along = np.linspace(-0.5, 0.5, _ALONG)
    end = np.full_like(along, 0.5)
    sides = ((along, -end), (along, end), (-end, along), (end, along))
    return np.concatenate([np.stack(side, -1) for side in sides]) * box.side + [box.centre_x, box.centre_y]


def _clipped(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.clip(pixels, -0.5, [width - 0.5, height - 0.5])


def _around(pixels: np.ndarray) -> SquareBox:
    (left, top), (right, bottom) = pixels.min(0) + 0.5, pixels.max(0) + 0.5
    return box_around_edges(left, top, max(right, left + 1), max(bottom, top + 1))
