"""How a hand is posed, and what comes of it, as tensors or NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from phalanx.core.arrays import Array
from phalanx.core.records import join_fields, map_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class HandPose(Generic[Array]):
    """Everything that poses a hand in front of a camera; a batch of `B`; tensors or NumPy arrays.

    Attributes:
        rotations: (B, 16, 3, 3) local rotations from the rest pose: forearm against palm, then thumb CMC, MCP, IP, index MCP, ...
        shape: (B, 10) shape components in standard deviations.
        orientation: (B, 3, 3) from the hand frame to the camera frame.
        translation: (B, 3) the wrist in the camera frame, metres.
    """

    rotations: Array
    shape: Array
    orientation: Array
    translation: Array

    @staticmethod
    def zero(batch: int, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> HandPose[Tensor]:
        """The flat mean hand in the hand frame; `dtype` None: float32."""
        import torch

        dtype = dtype or torch.float32
        eye = torch.eye(3, device=device, dtype=dtype)
        return HandPose(
            eye.expand(batch, 16, 3, 3).clone(),
            torch.zeros(batch, 10, device=device, dtype=dtype),
            eye.expand(batch, 3, 3).clone(),
            torch.zeros(batch, 3, device=device, dtype=dtype),
        )

    def __getitem__(self, index: slice | Array) -> HandPose[Array]:
        return self.map(lambda value: value[index])

    def map(self, function: Callable[[Any], Any]) -> HandPose[Any]:
        """A new pose with `function` applied to every field."""
        return map_fields(self, function)


def concatenate_poses(poses: Sequence[HandPose[Array]]) -> HandPose[Array]:
    """Join poses along the batch."""
    return join_fields(poses)


@dataclass
class HandSurface(Generic[Array]):
    """A posed hand in the camera frame, metres: vertices (B, V, 3), joints (B, 21, 3), transforms (B, 17, 4, 4) of the segments
    (rest hand frame -> camera)."""

    vertices: Array
    joints: Array
    transforms: Array
