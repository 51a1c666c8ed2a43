from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from phalanx.fit.evidence import Evidence
from phalanx.predict.networks import NetworkEstimator


class Mean(nn.Module):
    """Says where the brightness is, in double precision."""

    config = SimpleNamespace(size=64)

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def evidence(self, batch):
        assert batch.device == self.factor.device and batch.dtype == torch.float32
        return Evidence(sigma_2d=self.factor * batch.double().mean((1, 2, 3))[:, None])


def test_arrays_in_and_out():
    estimator, batch = NetworkEstimator(Mean()), np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    assert estimator.config.size == 64
    found = estimator.evidence(batch)
    assert isinstance(found.sigma_2d, np.ndarray) and found.sigma_2d.dtype == np.float32 and found.joints_2d is None
    np.testing.assert_allclose(found.sigma_2d[:, 0], 2 * batch.mean((1, 2, 3)), rtol=1e-5)
