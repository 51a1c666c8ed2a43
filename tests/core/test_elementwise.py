"""Functions of large tensors by OpenCV, and of others by PyTorch."""

import pytest
import torch

from phalanx.core.elementwise import LARGE, exp_, log_, sqrt_

CASES = [(exp_, torch.exp, -80.0, 20.0), (log_, torch.log, 1e-6, 50.0), (sqrt_, torch.sqrt, 0.0, 50.0)]


@pytest.mark.parametrize(("function", "plain", "low", "high"), CASES, ids=["exp", "log", "sqrt"])
@pytest.mark.parametrize("shape", [(3,), (0,), (5, LARGE), (2, 3, LARGE // 4)])
def test_as_pytorch_has_them(function, plain, low, high, shape):
    torch.manual_seed(0)
    values = low + (high - low) * torch.rand(shape)
    wanted = plain(values.double())
    same = values
    assert function(values) is same
    torch.testing.assert_close(same.double(), wanted, rtol=2e-6, atol=1e-7 if function is log_ else 1e-34)


@pytest.mark.parametrize(("function", "plain", "low", "high"), CASES, ids=["exp", "log", "sqrt"])
def test_other_layouts_and_types(function, plain, low, high):
    torch.manual_seed(1)
    wide = low + (high - low) * torch.rand(4, 2 * LARGE)
    before = wide.clone()
    function(wide[:, ::2])
    torch.testing.assert_close(wide[:, ::2], plain(before[:, ::2]))
    assert torch.equal(wide[:, 1::2], before[:, 1::2])
    double = before.double()
    torch.testing.assert_close(function(double.clone()), plain(double))
