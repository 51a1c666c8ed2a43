"""Cameras: pinhole and orthographic, projecting, unprojecting, and following the picture through crops and resizes.

OpenCV axes: x right, y down, z forward; pixel centres are integers, the top-left pixel is (0, 0).
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.geometry.crops import SquareBox

Plane = TypeVar("Plane", bound="ImagePlane")


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth
class ImagePlane:
    """What both kinds of camera share: K and the picture's size, and how they follow the picture.

    Attributes:
        K: (..., 3, 3), last row (0, 0, 1). Skew, fx != fy and turned crops (K[1, 0] != 0) are allowed.
        width, height: of the picture, in pixels.
    Raises:
        InputError: when K has another shape, is not finite, is singular or has another last row, or the size is not
            positive.
    """

    K: Tensor
    width: int
    height: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", check_camera_matrix(self.K))
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"camera: width and height must be positive, not {self.width}x{self.height}")

    def transform(self: Plane, image_to_image: Tensor, width: int, height: int) -> Plane:
        """The camera of a new picture whose pixels are `image_to_image` (..., 3, 3), affine, times the old ones."""
        return type(self)(image_to_image.to(self.K) @ self.K, width, height)

    def crop(self: Plane, box: SquareBox, size: int) -> Plane:
        """The camera of the `size` x `size` crop that `square_crop(image, box, size)` cuts out."""
        return self.transform(torch.from_numpy(box.image_to_crop(size)), size, size)

    def resize(self: Plane, width: int, height: int) -> Plane:
        """The camera of the whole picture brought to another size."""
        if width <= 0 or height <= 0:
            raise InputError(f"camera: width and height must be positive, not {width}x{height}")
        x, y = width / self.width, height / self.height
        resize = torch.tensor([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], dtype=torch.float64)
        return self.transform(resize, width, height)

    def mirror(self: Plane) -> Plane:
        """The camera of the picture flipped left to right, in which the world is mirrored too (x becomes -x)."""
        flip_pixels = torch.tensor([[-1.0, 0, self.width - 1], [0, 1, 0], [0, 0, 1]]).to(self.K)
        flip_world = torch.diag(torch.tensor([-1.0, 1, 1])).to(self.K)
        return type(self)(flip_pixels @ self.K @ flip_world, self.width, self.height)

    def contains(self, pixels: Tensor) -> Tensor:
        """Whether pixel positions (..., 2) lie in the picture; boolean (...)."""
        limit = pixels.new_tensor([self.width - 0.5, self.height - 0.5])
        return ((pixels >= -0.5) & (pixels < limit)).all(-1)

    def _to_pixels(self, plane: Tensor) -> Tensor:
        """Positions on the plane z = 1 (..., N, 2) to pixels (..., N, 2)."""
        return plane @ self.K[..., :2, :2].transpose(-1, -2) + self.K[..., None, :2, 2]

    def _to_plane(self, pixels: Tensor) -> Tensor:
        """Pixels (..., N, 2) to positions on the plane z = 1 (..., N, 2)."""
        (a, b), (c, d) = (self.K[..., i, :2, None].unbind(-2) for i in range(2))  # each (..., 1)
        x, y = (pixels - self.K[..., None, :2, 2]).unbind(-1)  # (..., N)
        determinant = a * d - b * c
        return torch.stack(((d * x - b * y) / determinant, (a * y - c * x) / determinant), dim=-1)


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth
class Camera(ImagePlane):
    """A pinhole camera: pixel = K (x / z, y / z, 1)."""

    def project(self, points: Tensor) -> Tensor:
        """Camera-frame points (..., N, 3) in metres to pixels (..., N, 2). Depth must not be zero."""
        return self._to_pixels(points[..., :2] / points[..., 2:])

    def unproject(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Pixels (..., N, 2) at depth z (..., N) in metres to camera-frame points (..., N, 3)."""
        return self.rays(pixels) * depth[..., None]

    def rays(self, pixels: Tensor) -> Tensor:
        """Viewing rays (..., N, 3) through pixels (..., N, 2), with z = 1."""
        plane = self._to_plane(pixels)
        return torch.cat((plane, torch.ones_like(plane[..., :1])), dim=-1)


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth
class OrthographicCamera(ImagePlane):
    """A camera without perspective: pixel = K (x, y, 1), so K[0, 0] and K[1, 1] are pixels per metre."""

    def project(self, points: Tensor) -> Tensor:
        """Camera-frame points (..., N, 3) in metres to pixels (..., N, 2)."""
        return self._to_pixels(points[..., :2])

    def unproject(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Pixels (..., N, 2) at depth z (..., N) in metres to camera-frame points (..., N, 3)."""
        return torch.cat((self._to_plane(pixels), depth[..., None]), dim=-1)


def check_camera_matrix(K: Tensor, name: str = "K") -> Tensor:
    """`K` (array-like or tensor) as a floating tensor (..., 3, 3), or an InputError that names what is wrong."""
    try:
        K = torch.as_tensor(K)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: is not an array of numbers ({error})") from error
    if K.shape[-2:] != (3, 3):
        raise InputError(f"{name}: must be (..., 3, 3), not {tuple(K.shape)}")
    if not K.is_floating_point():
        K = K.to(torch.float32)
    # for one matrix NumPy is ten times as fast as torch, and every crop has one
    values = K.detach().double().cpu().numpy()
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


def camera_from_field_of_view(width: int, height: int, degrees: float) -> Camera:
    """A pinhole camera looking through the picture's centre whose longer side spans `degrees`."""
    if not 0 < degrees < 180:
        raise InputError(f"field of view: must lie between 0 and 180 degrees, not {degrees}")
    focal = max(width, height) / 2 / torch.tan(torch.deg2rad(torch.tensor(degrees / 2, dtype=torch.float64))).item()
    K = torch.tensor([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Camera(K, width, height)
