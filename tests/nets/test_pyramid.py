import pytest
import torch

from phalanx.nets.blocks import ConvUnit, Residual, fold_batch_norm
from phalanx.nets.pyramid import Pyramid


def small() -> Pyramid:
    torch.manual_seed(0)
    return Pyramid((8, 12, 16, 24), (1, 1, 2, 1), (16, 12, 8))


@pytest.mark.parametrize("size", [32, 64, 96])
def test_any_multiple_of_32(size):
    features, pooled = small()(torch.rand(2, 3, size, size))
    assert features.shape == (2, 8, size // 4, size // 4)
    assert pooled.shape == (2, 24)


def test_fresh_block_passes_through():
    block = Residual(6, 6).eval()
    x = torch.rand(2, 6, 8, 8)  # positive: ReLU leaves it
    assert torch.equal(block(x), x)


def test_folding_keeps_the_outputs():
    network = small()
    network.train()
    for _ in range(3):
        network(torch.rand(4, 3, 64, 64))
    network.eval()
    for unit in network.modules():
        if isinstance(unit, ConvUnit):
            torch.nn.init.normal_(unit[1].weight)
            torch.nn.init.normal_(unit[1].bias)
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features, pooled = network(picture)
        fold_batch_norm(network)
        folded, pooled_again = network(picture)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(features, folded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pooled, pooled_again, atol=1e-4, rtol=1e-4)


def test_folding_refuses_training_mode():
    with pytest.raises(RuntimeError, match="training mode"):
        fold_batch_norm(small())


def test_refuses_wrong_counts():
    with pytest.raises(ValueError, match="4 widths"):
        Pyramid((8, 8, 8), (1, 1, 1), (8, 8, 8))
