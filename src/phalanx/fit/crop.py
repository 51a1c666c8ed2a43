"""The crop that evidence was measured in: its camera upright, and positions of crop units on the plane z = 1. For NumPy and PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from phalanx.core.arrays import Array, namespace


@dataclass(frozen=True)
class UprightCrop(Generic[Array]):
    """B square crops, as upright cameras see them; a hand at X before the crop's own camera is at `turn @ X` before these."""

    turn: Array  # (B, 3, 3)
    focal: Array  # (B, 1, 2) in x and y, crop widths
    to_plane: Array  # (B, 2, 2) from pixels about the principal point to x / z and y / z
    centre: Array  # (B, 1, 2) principal point, pixels
    size: int  # pixels

    def plane(self, places: Array) -> Array:
        """x / z and y / z (B, N, 2) of places (B, N, 2) in crop units; pixel u * size - 1/2, pixel centres being integers."""
        return (places * self.size - 0.5 - self.centre) @ self.to_plane


def upright_crop(K: Array, size: int) -> UprightCrop[Array]:
    """The crops of cameras (B, 3, 3), which may be turned, of `size` pixels."""
    xp = namespace(K)
    K, turn = without_turn(K)
    focal = xp.stack((K[:, 0, 0], K[:, 1, 1]), axis=-1)[:, None] / size
    return UprightCrop(turn, focal, xp.linalg.inv(K[:, :2, :2]).swapaxes(-1, -2), K[:, None, :2, 2], size)


def without_turn(K: Array) -> tuple[Array, Array]:
    """Cameras (B, 3, 3) as `K_upright @ turn`: turn (B, 3, 3) about the optical axis, K_upright as near diagonal as can be.

    A hand at X before camera K is seen as one at `turn @ X` before the camera K_upright.
    """
    xp = namespace(K)
    angle = xp.arctan2(K[:, 1, 0] - K[:, 0, 1], K[:, 0, 0] + K[:, 1, 1])
    cosine, sine, zero = xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)
    rows = (cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1)
    turn = xp.stack(rows, axis=-1).reshape(-1, 3, 3)
    return K @ turn.swapaxes(-1, -2), turn
