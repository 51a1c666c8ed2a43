"""Cameras that stand in a world: a pinhole, its lens, and where it is. NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phalanx.core.checks import as_array, is_rigid
from phalanx.core.errors import InputError
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
"""(4, 4) from a world to its mirror image, in which left hands are right ones."""


@dataclass(frozen=True, eq=False)
class PlacedCamera:
    """A camera in a world.

    Attributes:
        camera: K and the size of its pictures.
        world_to_camera: (4, 4), a rotation and a translation in the world's unit, metres in all but a rig of an unknown unit.
        lens: how it distorts; None: it does not. Pixels are those of the picture as it was taken.
        name: for people.
    Raises:
        InputError: the placement is no rotation and translation.
    """

    camera: Camera[np.ndarray]
    world_to_camera: np.ndarray
    lens: Lens | None = None
    name: str = "camera"

    def __post_init__(self) -> None:
        placed = as_array(self.world_to_camera, (4, 4), f"{self.name}: world_to_camera")
        if not is_rigid(placed):
            raise InputError(f"{self.name}: world_to_camera is not a rotation and a translation")
        object.__setattr__(self, "world_to_camera", placed)

    @property
    def centre(self) -> np.ndarray:
        """(3,) where it stands in the world."""
        centre: np.ndarray = -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]
        return centre

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., N, 3) in the camera's frame."""
        moved: np.ndarray = points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]
        return moved

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Points (..., N, 3) in the camera's frame as world points."""
        moved: np.ndarray = (points - self.world_to_camera[:3, 3]) @ self.world_to_camera[:3, :3]
        return moved

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., N, 3) to pixels (..., N, 2). Those in the camera's plane are not finite."""
        before = self.to_camera(points)
        with np.errstate(divide="ignore", invalid="ignore"):
            plane = before[..., :2] / before[..., 2:]
        if self.lens is not None:
            plane = self.lens.distort(plane)
        return self.camera.project(np.concatenate((plane, np.ones_like(plane[..., :1])), axis=-1))

    def plane(self, pixels: np.ndarray) -> np.ndarray:
        """x / z and y / z (..., N, 2) before the camera of pixels (..., N, 2); NaN where the lens shows nothing."""
        plane = self.camera.rays(pixels)[..., :2]
        return plane if self.lens is None else self.lens.undistort(plane)

    def scaled(self, factor: float) -> PlacedCamera:
        """The same camera in a world whose lengths are `factor` times as many."""
        placed = self.world_to_camera.copy()
        placed[:3, 3] *= factor
        return PlacedCamera(self.camera, placed, self.lens, self.name)


def epipolar_errors(a: np.ndarray, b: np.ndarray, first: PlacedCamera, second: PlacedCamera) -> np.ndarray:
    """Pixels (...) between joints (..., 2) of two cameras and each other's epipolar lines, the mean of both."""
    between = second.world_to_camera @ np.linalg.inv(first.world_to_camera)
    x, y, z = between[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ between[:3, :3]
    matrix = np.linalg.inv(second.camera.K).T @ essential @ np.linalg.inv(first.camera.K)
    one, two = (np.concatenate((p, np.ones_like(p[..., :1])), axis=-1) for p in (a, b))
    lines, back = one @ matrix.T, two @ matrix
    off = np.abs((lines * two).sum(-1))
    both = [off / np.maximum(np.linalg.norm(line[..., :2], axis=-1), 1e-12) for line in (lines, back)]
    errors: np.ndarray = (both[0] + both[1]) / 2
    return errors
