"""From heat maps of 2D joints to a hand in 3D: a shape in a frame of the hand's own, and how that frame is turned.

Zimmermann and Brox, "Learning to estimate 3D hand pose from single RGB images", ICCV 2017, Sec. 4.3 (Hand3D): two streams of the same form
look at the heat maps, one for the 63 canonical coordinates (PosePrior), one for the viewpoint, three numbers of axis and angle. Otherwise
than theirs: convolutions have batch normalisation, as networks start from nothing here; their widths are settings; all hands are right
ones, so no side goes in; heat maps have as many cells as they come with.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from phalanx.geometry.rotations import rotvec_to_rotmat, sixd_to_rotmat
from phalanx.nets.blocks import ConvUnit

FIRST, SECOND, ACROSS = 9, 5, 17
"""The canonical frame: its first axis goes from the wrist to the middle finger's MCP, its second lies in the plane of that and of the line
from the index finger's MCP to the little finger's."""


class LiftingStream(nn.Module):
    """Heat maps (B, inputs, h, h) to `outputs` numbers, (B, outputs): three times two convolutions, the second of which halves the side.

    `h` is a multiple of 8.
    """

    def __init__(self, inputs: int, side: int, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        widths = [inputs, width, 2 * width, 4 * width]
        self.convolutions = nn.Sequential(
            *(
                unit
                for before, after in pairwise(widths)
                for unit in (ConvUnit(before, after), ConvUnit(after, after, stride=2))
            )
        )
        self.linear = nn.Sequential(
            nn.Linear(widths[-1] * (side // 8) ** 2, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outputs),
        )
        nn.init.normal_(self.linear[-1].weight, std=0.01)  # type: ignore[arg-type]
        nn.init.zeros_(self.linear[-1].bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        return self.linear(self.convolutions(maps).flatten(1))


class PoseLifting(nn.Module):
    """Heat maps (B, J, h, h) to canonical joints (B, J, 3) and the turn (B, 3, 3) of their frame into the camera's."""

    def __init__(self, joints: int, side: int, width: int, hidden: int) -> None:
        super().__init__()
        self.prior = LiftingStream(joints, side, width, hidden, 3 * joints)
        self.viewpoint = LiftingStream(joints, side, width, hidden // 2, 3)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        canonical = self.prior(maps).float().unflatten(1, (-1, 3))
        return canonical, rotvec_to_rotmat(self.viewpoint(maps).float())


def canonical_joints(relative: Tensor) -> tuple[Tensor, Tensor]:
    """Joints (B, 21, 3) from the wrist, before the camera, to those in the canonical frame, and its turn (B, 3, 3) into the camera's.

    `relative = canonical @ turn.T`.
    """
    across = relative[:, ACROSS] - relative[:, SECOND]
    turn = sixd_to_rotmat(torch.cat((relative[:, FIRST], across), dim=-1))
    return relative @ turn, turn
