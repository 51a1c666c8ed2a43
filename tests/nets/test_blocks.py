"""Blocks as they are used for inference."""

import pytest
import torch
from torch import nn

from phalanx.nets.blocks import ConvUnit, Residual, fold_batch_norm, pack_convolutions


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_packed_convolutions_compute_the_same(dtype, tolerance):
    torch.manual_seed(0)
    module = nn.Sequential(
        ConvUnit(3, 8, stride=2), Residual(8, 16, stride=2), ConvUnit(16, 12, kernel=1, activation=False)
    )
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    module.eval().requires_grad_(False)
    fold_batch_norm(module)
    small, large = torch.randn(1, 3, 32, 32), torch.randn(3, 3, 64, 48)
    want = [module(x) for x in (small, large)]
    pack_convolutions(module, small, dtype)
    for x, y in zip((small, large), want, strict=True):
        got = module(x.to(dtype))
        assert got.dtype == dtype
        assert (got.float() - y).abs().max() < tolerance * y.abs().max()


def test_packed_convolutions_elsewhere_are_the_convolutions(monkeypatch):
    """Where PyTorch is built without oneDNN."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    module = nn.Sequential(ConvUnit(3, 8)).eval().requires_grad_(False)
    fold_batch_norm(module)
    x = torch.randn(2, 3, 16, 16)
    want = module(x)
    pack_convolutions(module, x, torch.float32)
    torch.testing.assert_close(module(x), want)
