import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from phalanx.losses.latent_depth import coordinate_error, map_error
from phalanx.nets.blocks import ConvUnit, can_pack
from phalanx.nets.hourglass import Hourglass, StackedHourglass, prepare, wider
from phalanx.nets.readout import integral_with_depth


def trained(network: nn.Module) -> nn.Module:
    """As after training: normalisations that do something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.normal_(layer.bias, std=0.3)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize(("size", "stacks", "depth"), [(32, 1, 2), (48, 2, 2), (32, 3, 3)])
def test_shapes(size, stacks, depth):
    network = StackedHourglass(1, 5, width=8, stacks=stacks, depth=depth).eval()
    maps = network(torch.rand(2, 1, size, size))
    assert [one.shape for one in maps] == [(2, 5, size // 4, size // 4)] * stacks
    assert network(torch.rand(1, 1, size, 2 * size))[-1].shape == (1, 5, size // 4, size // 2)


def test_refuses_sides_and_counts_that_cannot_be():
    with pytest.raises(ValueError, match=r"sides \(32, 40\) are no multiples of 16"):
        StackedHourglass(1, 2, width=8, depth=2)(torch.rand(1, 1, 32, 40))
    with pytest.raises(ValueError, match="positive counts .*stacks=0"):
        StackedHourglass(1, 2, stacks=0)


def test_channels_grow_by_half():
    assert [wider(width) for width in (8, 64, 96, 144)] == [16, 96, 144, 216]  # 12 to 16: multiples of 8
    inner = Hourglass(64, 2)
    assert isinstance(inner.inner, Hourglass)
    assert inner.inner.down.second[0].weight.shape[0] == 144


def test_the_default_is_small_enough_to_run_in_real_time():
    network = StackedHourglass(1, 82).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, 128, 128))
    assert 0.3e9 < counter.get_total_flops() / 2 < 0.5e9


def test_a_cell_sees_the_whole_picture():
    torch.manual_seed(0)
    network = trained(StackedHourglass(1, 1, width=8))
    picture = torch.rand(1, 1, 128, 128, requires_grad=True)
    network(picture)[0][0, 0, 0, 0].backward()
    assert picture.grad is not None and picture.grad[0, 0, -8:, -8:].abs().max() > 0


def test_every_weight_is_trained_and_predictions_are_fed_back():
    torch.manual_seed(0)
    network = trained(StackedHourglass(2, 3, width=8, stacks=2, depth=2)).train()
    first, second = network(torch.rand(3, 2, 32, 32))
    head = network.heads[0].weight
    assert torch.autograd.grad(second.square().sum(), head, retain_graph=True)[0].abs().max() > 0
    (first.square().sum() + second.square().sum()).backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.abs().max() > 0] == []


def test_gradients():
    torch.manual_seed(0)
    network = trained(StackedHourglass(1, 1, width=4, stacks=2, depth=1)).double()
    network.precision = torch.float64
    picture = torch.randn(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(network(x)), picture)


def test_maps_keep_float32_under_autocast():
    network = StackedHourglass(1, 2, width=8, stacks=2, depth=1)
    with torch.autocast("cpu", torch.bfloat16):
        maps = network(torch.rand(2, 1, 16, 16))
    assert [one.dtype for one in maps] == [torch.float32] * 2


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_prepared_networks_compute_the_same(precision, tolerance):
    if not can_pack(precision):
        pytest.skip(f"this CPU has no packed convolutions in {precision}")
    torch.manual_seed(0)
    network = trained(StackedHourglass(1, 6, width=16, stacks=2, depth=2))
    small, large = torch.randn(1, 1, 32, 32), torch.randn(3, 1, 64, 48)
    with torch.no_grad():
        want = [network(x) for x in (small, large)]
    prepare(network, 32, precision)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert not any(len(unit) > 1 for unit in network.modules() if isinstance(unit, ConvUnit))
    for x, wanted in zip((small, large), want, strict=True):
        before = x.clone()
        for _ in range(2):
            for got, one in zip(network(x), wanted, strict=True):
                assert got.dtype == torch.float32 and not got.requires_grad
                assert (got - one).abs().max() < tolerance * one.abs().max()
        assert torch.equal(x, before)


@pytest.mark.parametrize("supervision", ["coordinates", "maps"])
def test_four_pictures_are_learnt_by_heart(supervision):
    """Both supervisions of Eq. 1-3, from the first stack to the last, until every joint is read within a fifth of a cell."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    joints = 3
    network = StackedHourglass(1, 2 * joints, width=16, stacks=2, depth=2).train()
    pictures = torch.rand(4, 1, 32, 32, generator=generator)
    target = torch.rand(4, joints, 3, generator=generator) * 0.6 + torch.tensor([0.2, 0.2, -0.3])
    weights = torch.ones(4, joints)
    descent = torch.optim.Adam(network.parameters(), lr=5e-3)

    def loss(maps: Tensor) -> Tensor:
        heat, depth = maps.split(joints, dim=1)
        if supervision == "coordinates":
            return coordinate_error(integral_with_depth(heat, depth), target, weights)
        return torch.stack(map_error(heat, depth, target, weights, sigma=1.5 / 8)).sum()

    for _ in range(150):
        descent.zero_grad()
        torch.stack([loss(maps) for maps in network(pictures)]).sum().backward()
        descent.step()
    with torch.no_grad():
        read = integral_with_depth(*network(pictures)[-1].split(joints, dim=1))
    assert float((read - target).abs().mean()) < 0.025
