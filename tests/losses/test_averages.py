import pytest
import torch

from phalanx.losses.averages import weighted_mean


def test_mean_is_weighted():
    values = torch.tensor([1.0, 2.0, 100.0])
    assert float(weighted_mean(values, torch.tensor([1.0, 3.0, 0.0]))) == pytest.approx(7 / 4)
    assert float(weighted_mean(values, torch.zeros(3))) == 0.0


def test_the_mean_of_two_processes_is_that_of_one(two_processes):
    """Also of gradients, where all weights but one lie in one process."""
    values = torch.arange(8.0)
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    code = """
from phalanx.losses.averages import weighted_mean
values, weights = (part[4 * rank : 4 * rank + 4] for part in given)
values = values.clone().requires_grad_()
mean = weighted_mean(values.square(), weights)
mean.backward()
result = mean.detach(), values.grad
"""
    parts = two_processes(code, (values, weights))
    whole = values.clone().requires_grad_()
    mean = weighted_mean(whole.square(), weights)
    mean.backward()
    torch.testing.assert_close(torch.stack([part for part, _ in parts]).mean(), mean.detach())
    torch.testing.assert_close(torch.cat([gradient for _, gradient in parts]) / 2, whole.grad)
