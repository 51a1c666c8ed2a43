import pytest
import torch

from phalanx.nets.squeeze import SqueezeNet


@pytest.mark.parametrize("size", [225, 112, 48, 33])
def test_any_size_gives_numbers_and_moves_every_weight(size):
    network = SqueezeNet(size, 1, 5, width=8)
    found = network(torch.rand(2, 1, size, size))
    assert found.shape == (2, 5)
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_it_is_as_small_as_in_print():
    """SqueezeNet 1.1 has 0.72 million weights before its classifier."""
    count = sum(p.numel() for p in SqueezeNet(225, 3, 23).features[:-1].parameters())
    assert 0.70e6 < count < 0.74e6


def test_where_things_are_counts():
    torch.manual_seed(0)
    network = SqueezeNet(64, 1, 4, width=16)
    image = torch.zeros(2, 1, 64, 64)
    image[0, :, 8:24, 8:24] = image[1, :, 8:24, 40:56] = 1
    one, other = network(image)
    assert (one - other).abs().max() > 1e-3
