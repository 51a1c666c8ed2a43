"""What tests of synthesis share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phalanx.hand.model import HandModel


@pytest.fixture(scope="session")
def model() -> HandModel:
    """The open hand, on the CPU."""
    return HandModel.open_hand()


@pytest.fixture(scope="session")
def in_world() -> Callable[[Tensor, Tensor], Tensor]:
    """A function from points (B, N, 3) in cameras' frames and `world_to_camera` (B, 4, 4) to those points in the world, float64."""

    def function(points: Tensor, world_to_camera: Tensor) -> Tensor:
        back = torch.linalg.inv(world_to_camera.double())
        return points.double() @ back[:, :3, :3].mT + back[:, None, :3, 3]

    return function
