"""Hands by their anatomical angles, as tensors. The angles themselves are in `hand.angles`, which needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.hand import angles as arrays
from phalanx.hand.angles import (
    ABDUCTION,
    ANGLE_NAMES,
    FLEXION,
    JOINT_OF_ANGLE,
    angles_to_rotations,
    axis_angle_to_rotation,
    rotations_to_angles,
)

__all__ = [
    "ABDUCTION",
    "ANGLE_NAMES",
    "AXES",
    "FLEXION",
    "JOINT_OF_ANGLE",
    "LIMITS",
    "AnatomicalPose",
    "angles_to_rotations",
    "axis_angle_to_rotation",
    "rotations_to_angles",
]

AXES = torch.from_numpy(arrays.AXES)
"""(23, 3) unit axes in the hand frame at rest."""

LIMITS = torch.from_numpy(arrays.LIMITS)
"""(23, 2) radians: wide enough for lax hands, active and passive."""


@dataclass(frozen=True)
class AnatomicalPose:
    """Joint angles of B hands, by name in degrees or as joint rotations, and back.

    Attributes:
        angles: (B, 23) radians in the order of `ANGLE_NAMES`.
    """

    angles: Tensor

    @staticmethod
    def from_degrees(*hands: Mapping[str, float]) -> AnatomicalPose:
        """Of each hand its angles in degrees by name, as `HandPrediction.angles_degrees` has them; those left out are 0.

        Raises:
            InputError: something that is no mapping, a name that is none of `ANGLE_NAMES`, or a value that is no finite number.
        """
        angles = torch.zeros(len(hands), len(ANGLE_NAMES), dtype=torch.float64)
        for hand, row in zip(hands, angles, strict=True):
            if not isinstance(hand, Mapping):
                raise InputError(f"angles: must be degrees by name, not a {type(hand).__name__}")
            for name, degrees in hand.items():
                if name not in ANGLE_NAMES:
                    raise InputError(f"angles: {name!r} is none of {', '.join(ANGLE_NAMES)}")
                row[ANGLE_NAMES.index(name)] = float(as_array(degrees, (), name))
        return AnatomicalPose(torch.deg2rad(angles))

    @staticmethod
    def from_rotations(rotations: Tensor) -> AnatomicalPose:
        """The angles that explain local rotations (B, 16, 3, 3) best (`rotations_to_angles`). Raises InputError for another shape."""
        if not isinstance(rotations, Tensor) or rotations.ndim != 4 or rotations.shape[1:] != (16, 3, 3):
            raise InputError(
                f"rotations: must be a tensor (B, 16, 3, 3), not {getattr(rotations, 'shape', rotations)!s}"
            )
        return AnatomicalPose(rotations_to_angles(rotations))

    def degrees(self) -> list[dict[str, float]]:
        """Of each hand its angles in degrees by name."""
        return [dict(zip(ANGLE_NAMES, row, strict=True)) for row in torch.rad2deg(self.angles).tolist()]

    def rotations(self) -> Tensor:
        """Local rotations (B, 16, 3, 3), as `HandPose.rotations`."""
        return angles_to_rotations(self.angles)

    def within_limits(self) -> AnatomicalPose:
        """The nearest pose of which every angle keeps its `LIMITS`."""
        limits = LIMITS.to(self.angles)
        return AnatomicalPose(torch.clamp(self.angles, limits[:, 0], limits[:, 1]))
