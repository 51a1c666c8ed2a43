"""How lenses bend rays: between positions on the plane z = 1 of a pinhole camera and those where the picture shows them. NumPy.

A distorted camera is a lens and a camera matrix: `pixel = K @ (lens.distort(x / z, y / z), 1)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError

LensModel = Literal["radial-tangential", "fisheye", "inverse radial-tangential"]

COUNTS: dict[str, tuple[int, ...]] = {
    "radial-tangential": (4, 5, 8, 12),
    "fisheye": (4,),
    "inverse radial-tangential": (5,),
}
"""How many coefficients each model may have."""

WIDEST = 5.0
"""Tangent of 79 degrees: what is farther from the axis is no part of a pinhole's picture that anybody would look at."""

_STEPS = 60  # of Newton's method, most of which the farthest positions alone need
_EXACT = 1e-9  # on the plane z = 1, where all of them end; a pixel is a thousandth or so


@dataclass(frozen=True, eq=False)
class Lens:
    """A lens.

    Attributes:
        model: "radial-tangential" (Brown and Conrady, as OpenCV and ROS's plumb_bob and rational_polynomial have it), "fisheye"
            (Kannala and Brandt, as OpenCV's fisheye and ROS's equidistant), or "inverse radial-tangential" (RealSense: the same
            polynomial, from positions in the picture to those on the plane).
        coefficients: of the first k1, k2, p1, p2, and where there are more k3; k4, k5, k6; s1, s2, s3, s4. Of the second k1 to k4. Of the
            third k1, k2, p1, p2, k3.
        reach: the largest distance from the axis, on the plane z = 1, up to which the lens does not fold the picture over; at most
            `WIDEST`.
    Raises:
        InputError: another model, or a number of coefficients that it does not have.
    """

    model: LensModel
    coefficients: np.ndarray
    reach: float = field(init=False)

    def __post_init__(self) -> None:
        if self.model not in get_args(LensModel):
            raise InputError(f"distortion: the model must be one of {', '.join(COUNTS)}, not {self.model!r}")
        values = as_array(self.coefficients, (None,), "distortion")
        if len(values) not in COUNTS[self.model]:
            counts = " or ".join(map(str, COUNTS[self.model]))
            raise InputError(f"distortion: {self.model} has {counts} coefficients, not {len(values)}")
        object.__setattr__(self, "coefficients", values)
        object.__setattr__(self, "reach", self._find_reach())

    def distort(self, plane: np.ndarray) -> np.ndarray:
        """Positions (..., 2) on the plane z = 1 to where the picture shows them (..., 2). Those beyond `reach` count as on its edge."""
        plane = self._within(np.asarray(plane, np.float64))
        if self.model == "inverse radial-tangential":
            return _solve(self._polynomial, plane)[0]
        return self._bent(plane)

    def undistort(self, shown: np.ndarray) -> np.ndarray:
        """Positions (..., 2) in the picture, as `distort` gives them, to the plane z = 1 (..., 2); NaN beyond `reach`."""
        shown = np.asarray(shown, np.float64)
        if self.model == "fisheye":
            plane = self._unbent_fisheye(shown)
        elif self.model == "inverse radial-tangential":
            plane = self._polynomial(shown)[0]
        else:
            plane, found = _solve(self._polynomial, shown)
            plane = np.where(found[..., None], plane, np.nan)
        with np.errstate(invalid="ignore"):
            return np.where(np.hypot(plane[..., :1], plane[..., 1:]) <= self.reach * (1 + 1e-9), plane, np.nan)

    def _within(self, plane: np.ndarray) -> np.ndarray:
        radius = np.hypot(plane[..., :1], plane[..., 1:])
        return plane * np.minimum(1, self.reach / np.maximum(radius, 1e-12))

    def _bent(self, plane: np.ndarray) -> np.ndarray:
        if self.model == "radial-tangential":
            return self._polynomial(plane)[0]
        radius = np.hypot(plane[..., :1], plane[..., 1:])
        angle = np.arctan(radius)
        return plane * np.where(radius > 1e-9, self._fisheye(angle)[0] / np.maximum(radius, 1e-9), 1.0)

    def _fisheye(self, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the axis in the picture of rays at an angle to it, and its derivative."""
        powers = angle[..., None] ** np.arange(2, 10, 2)
        shown = angle * (1 + (powers * self.coefficients).sum(-1))
        return shown, 1 + (powers * self.coefficients * np.arange(3, 11, 2)).sum(-1)

    def _unbent_fisheye(self, shown: np.ndarray) -> np.ndarray:
        radius = np.hypot(shown[..., :1], shown[..., 1:])
        angle, low, high = np.minimum(radius, 1.0), np.zeros_like(radius), np.full_like(radius, np.arctan(self.reach))
        for _ in range(_STEPS):
            value, slope = self._fisheye(angle)
            low, high = np.where(value < radius, angle, low), np.where(value < radius, high, angle)
            step = angle - (value - radius) / np.where(slope > 1e-9, slope, 1e-9)
            angle = np.where((step > low) & (step < high), step, (low + high) / 2)
        off = np.abs(self._fisheye(angle)[0] - radius) > 1e-6
        plane = shown * np.where(radius > 1e-9, np.tan(angle) / np.maximum(radius, 1e-9), 1.0)
        return np.where(off, np.nan, plane)

    def _polynomial(self, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Brown and Conrady's polynomial of positions (..., 2), and its derivatives (..., 2, 2)."""
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.pad(self.coefficients, (0, 12 - len(self.coefficients)))
        x, y = plane[..., 0], plane[..., 1]
        r = x * x + y * y  # the square of the distance
        above, below = 1 + r * (k1 + r * (k2 + r * k3)), 1 + r * (k4 + r * (k5 + r * k6))
        factor = above / below
        slope = (k1 + r * (2 * k2 + 3 * r * k3) - factor * (k4 + r * (2 * k5 + 3 * r * k6))) / below  # by r
        value = np.stack(
            (
                x * factor + 2 * p1 * x * y + p2 * (r + 2 * x * x) + r * (s1 + r * s2),
                y * factor + 2 * p2 * x * y + p1 * (r + 2 * y * y) + r * (s3 + r * s4),
            ),
            axis=-1,
        )
        across = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        prism_x, prism_y = 2 * (s1 + 2 * r * s2), 2 * (s3 + 2 * r * s4)
        rows = (
            (factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + x * prism_x, across + y * prism_x),
            (across + x * prism_y, factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + y * prism_y),
        )
        return value, np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def _find_reach(self) -> float:
        """Where on the way out from the axis the mapping first turns back, in any of 16 directions."""
        radius = np.linspace(0, WIDEST, 501)[1:, None]
        if self.model == "fisheye":
            slope = self._fisheye(np.arctan(radius))[1]
            place = radius
        else:
            turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            place = np.stack((np.cos(turn), np.sin(turn)), axis=-1) * radius[..., None]  # (R, 16, 2)
            with np.errstate(all="ignore"):  # far out, a rational model may divide by 0
                value, derivative = self._polynomial(place)
                (a, b), (c, d) = np.moveaxis(derivative, (-2, -1), (0, 1))
                slope = np.minimum(a * d - b * c, (value * place).sum(-1))
            place = radius if self.model == "radial-tangential" else np.hypot(value[..., 0], value[..., 1])
        folded = ~(slope > 0).all(axis=1)  # NaN, too
        end = int(np.argmax(folded)) if folded.any() else len(radius)
        if end == 0:
            raise InputError("distortion: the lens folds the picture over at its middle")
        return float(min(place[end - 1].min(), WIDEST))


def _solve(
    mapping: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (..., 2) that `mapping` takes to those `wanted`, by Newton's method from there, and where they were found (...)."""
    place = wanted.copy()
    off = np.zeros_like(wanted)
    for _ in range(_STEPS):
        value, derivative = mapping(place)
        off = value - wanted
        if np.abs(off).max(initial=0) < _EXACT:
            break
        a, b, c, d = (derivative[..., i, j] for i in range(2) for j in range(2))
        determinant = a * d - b * c
        determinant = np.where(np.abs(determinant) < 1e-6, 1e-6, determinant)
        step = np.stack((d * off[..., 0] - b * off[..., 1], a * off[..., 1] - c * off[..., 0]), axis=-1)
        step = step / determinant[..., None]
        place = place - step * np.minimum(1, 0.5 / np.maximum(np.hypot(step[..., :1], step[..., 1:]), 1e-12))
    return place, np.abs(off).max(-1) < 1e-6
