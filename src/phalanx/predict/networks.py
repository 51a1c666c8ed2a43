"""Networks of PyTorch where prediction takes and gives NumPy arrays. Only this file of the way from photo to hand imports PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.fit.evidence import Evidence


class NetworkEstimator:
    """An estimator that takes and gives tensors, as one of crops (`predict.looks.CropEstimator`).

    Args:
        network: with `config.size` and `evidence(batch (B, 3, S, S))`, as `methods.base.HandEstimator`; a module is moved to `device`.
        device: where it computes.
    """

    def __init__(self, network: Any, device: str | torch.device = "cpu") -> None:
        self.network: Any = network.to(device) if isinstance(network, nn.Module) else network
        self.device = device

    @property
    def config(self) -> Any:
        """The network's."""
        return self.network.config

    def evidence(self, batch: np.ndarray) -> Evidence[np.ndarray]:
        """What the network says of crops (B, 3, S, S) in [0, 1]."""
        with torch.no_grad():
            found: Evidence = self.network.evidence(torch.from_numpy(batch).to(self.device))
        return found.map(_array)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
