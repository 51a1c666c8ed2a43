"""Cameras: pinhole and orthographic, projecting, unprojecting, and following the picture through crops and resizes.

OpenCV axes: x right, y down, z forward; pixel centres are integers, the top-left pixel is (0, 0). One source serves NumPy arrays
and PyTorch tensors: a camera is of the kind of its K, and takes and gives arrays of that kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from phalanx.core.arrays import Array, is_tensor, like, namespace
from phalanx.core.errors import InputError
from phalanx.geometry.crops import SquareBox

if TYPE_CHECKING:
    from torch import Tensor

Plane = TypeVar("Plane", bound="ImagePlane[Any]")


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class ImagePlane(Generic[Array]):
    """What both kinds of camera share: K and the picture's size, and how they follow the picture.

    Attributes:
        K: (..., 3, 3), last row (0, 0, 1); what is no tensor becomes a NumPy array. Skew, fx != fy and turned crops
            (K[1, 0] != 0) are allowed.
        width, height: of the picture, in pixels.
    Raises:
        InputError: when K has another shape, is not finite, is singular or has another last row, or the size is not
            positive.
    """

    K: Array
    width: int
    height: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", check_camera_matrix(self.K))
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"camera: width and height must be positive, not {self.width}x{self.height}")

    def transform(self: Plane, image_to_image: np.ndarray | Tensor, width: int, height: int) -> Plane:
        """The camera of a new picture whose pixels are `image_to_image` (..., 3, 3), affine, times the old ones."""
        return type(self)(like(image_to_image, self.K) @ self.K, width, height)

    def crop(self: Plane, box: SquareBox, size: int) -> Plane:
        """The camera of the `size` x `size` crop that `square_crop(image, box, size)` cuts out."""
        return self.transform(box.image_to_crop(size), size, size)

    def resize(self: Plane, width: int, height: int) -> Plane:
        """The camera of the whole picture brought to another size."""
        if width <= 0 or height <= 0:
            raise InputError(f"camera: width and height must be positive, not {width}x{height}")
        x, y = width / self.width, height / self.height
        return self.transform(np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]), width, height)

    def mirror(self: Plane) -> Plane:
        """The camera of the picture flipped left to right, in which the world is mirrored too (x becomes -x)."""
        flip_pixels = like([[-1.0, 0, self.width - 1], [0, 1, 0], [0, 0, 1]], self.K)
        flip_world = like([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]], self.K)
        return type(self)(flip_pixels @ self.K @ flip_world, self.width, self.height)

    def contains(self, pixels: Array) -> Array:
        """Whether pixel positions (..., 2) lie in the picture; boolean (...)."""
        limit = like([self.width - 0.5, self.height - 0.5], pixels)
        return namespace(pixels).all((pixels >= -0.5) & (pixels < limit), axis=-1)

    def _to_pixels(self, plane: Array) -> Array:
        """Positions on the plane z = 1 (..., N, 2) to pixels (..., N, 2)."""
        return plane @ self.K[..., :2, :2].swapaxes(-1, -2) + self.K[..., None, :2, 2]

    def _to_plane(self, pixels: Array) -> Array:
        """Pixels (..., N, 2) to positions on the plane z = 1 (..., N, 2)."""
        a, b, c, d = (self.K[..., i, j, None] for i in range(2) for j in range(2))  # each (..., 1)
        centred = pixels - self.K[..., None, :2, 2]
        x, y = centred[..., 0], centred[..., 1]  # (..., N)
        determinant = a * d - b * c
        plane = (d * x - b * y) / determinant, (a * y - c * x) / determinant
        return namespace(pixels).stack(plane, axis=-1)


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class Camera(ImagePlane[Array]):
    """A pinhole camera: pixel = K (x / z, y / z, 1)."""

    def project(self, points: Array) -> Array:
        """Camera-frame points (..., N, 3) in metres to pixels (..., N, 2). Depth must not be zero."""
        return self._to_pixels(points[..., :2] / points[..., 2:])

    def unproject(self, pixels: Array, depth: Array) -> Array:
        """Pixels (..., N, 2) at depth z (..., N) in metres to camera-frame points (..., N, 3)."""
        return self.rays(pixels) * depth[..., None]

    def rays(self, pixels: Array) -> Array:
        """Viewing rays (..., N, 3) through pixels (..., N, 2), with z = 1."""
        xp, plane = namespace(pixels), self._to_plane(pixels)
        return xp.concatenate((plane, xp.ones_like(plane[..., :1])), axis=-1)


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class OrthographicCamera(ImagePlane[Array]):
    """A camera without perspective: pixel = K (x, y, 1), so K[0, 0] and K[1, 1] are pixels per metre."""

    def project(self, points: Array) -> Array:
        """Camera-frame points (..., N, 3) in metres to pixels (..., N, 2)."""
        return self._to_pixels(points[..., :2])

    def unproject(self, pixels: Array, depth: Array) -> Array:
        """Pixels (..., N, 2) at depth z (..., N) in metres to camera-frame points (..., N, 3)."""
        return namespace(pixels).concatenate((self._to_plane(pixels), depth[..., None]), axis=-1)


def check_camera_matrix(K: Any, name: str = "K") -> Any:
    """`K` as a floating array (..., 3, 3), or an InputError that names what is wrong.

    Tensors stay tensors and NumPy arrays arrays; anything else becomes a NumPy array. Whole numbers become floating ones.
    """
    if is_tensor(K):
        K = K if K.is_floating_point() else K.float()
        values = K.detach().double().cpu().numpy()  # for one matrix NumPy is ten times as fast, and every crop has one
    else:
        try:
            K = np.asarray(K)
            values = K.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: is not an array of numbers ({error})") from error
        K = K if np.issubdtype(K.dtype, np.floating) else values
    if K.shape[-2:] != (3, 3):
        raise InputError(f"{name}: must be (..., 3, 3), not {tuple(K.shape)}")
    if values.size == 0:
        return K
    if not np.isfinite(values).all():
        raise InputError(f"{name}: has values that are not finite")
    if np.abs(values[..., 2, :] - (0, 0, 1)).max() > 1e-6:
        raise InputError(f"{name}: its last row must be 0, 0, 1")
    scale = np.abs(values[..., :2, :2]).max((-2, -1))
    determinant = values[..., 0, 0] * values[..., 1, 1] - values[..., 0, 1] * values[..., 1, 0]
    if (np.abs(determinant) <= 1e-6 * scale * scale).any():
        raise InputError(f"{name}: is singular")
    return K


def camera_from_field_of_view(width: int, height: int, degrees: float) -> Camera[np.ndarray]:
    """A pinhole camera looking through the picture's centre whose longer side spans `degrees`; K is float32 (NumPy)."""
    if not 0 < degrees < 180:
        raise InputError(f"field of view: must lie between 0 and 180 degrees, not {degrees}")
    focal = max(width, height) / 2 / math.tan(math.radians(degrees / 2))
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)
    return Camera(K, width, height)
