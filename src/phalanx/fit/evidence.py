"""What estimators know about hands: the one thing that the fit of the hand model starts from.

*Crop units* are 0..1 across the square crop that was looked at; depth in them is `(z_j - z_root) * f / (z_root * S)`, the length that the
same distance has in the picture at the root joint. So an estimator need not guess metres: the hand's size comes in with the fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic

from phalanx.core.arrays import Array

DEPTH_ROOT = 9
"""The joint that measured depths are relative to: the middle finger's MCP, which is seen more often than the wrist."""


@dataclass
class Evidence(Generic[Array]):
    """What an estimator knows about B right hands, tensors or NumPy arrays; what it does not know is None.

    Uncertainties are expected absolute errors.
    """

    joints_2d: Array | None = None  # (B, 21, 2) crop units, 0..1 across the crop
    sigma_2d: Array | None = None  # (B, 21) of each coordinate
    depth: Array | None = None  # (B, 21) crop units, relative to DEPTH_ROOT
    sigma_depth: Array | None = None  # (B, 21)
    joints: Array | None = None  # (B, 21, 3) metres, frame of the camera or of the cube that was looked at
    sigma_joints: Array | None = None  # (B, 21) metres
    rotations: Array | None = None  # (B, 16, 3, 3) local, as in HandPose
    orientation: Array | None = None  # (B, 3, 3) relative to the viewing ray through the crop's centre
    shape: Array | None = None  # (B, 10) standard deviations
    right: Array | None = (
        None  # (B,) log-odds of a right hand, but for a constant: only those of a crop and of its mirror image compare
    )
    mask: Array | None = (
        None  # (B, h, w) in [0, 1], how much of each cell of the crop is hand; `fit.refine` alone looks at it
    )

    def map(self, function: Callable[[Any], Any]) -> Evidence[Any]:
        """A new Evidence with `function` applied to everything that is there."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Evidence(**{name: None if value is None else function(value) for name, value in values.items()})
