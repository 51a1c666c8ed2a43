from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.methods.depth_regularizer import (
    DepthBatch,
    DepthRegularizer,
    DepthRegularizerConfig,
    RegularizerWeights,
    concatenate,
    load,
    save_weights,
)

CONFIG = DepthRegularizerConfig(size=32, stages=2, width=8, hidden=16, regularizer=16, dropout=0.0)


def batch(count=4, seed=0, labelled=1.0) -> DepthBatch:
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(count, *shape, generator=random)

    depth = torch.where(uniform(32, 32) < 0.3, 0.4 + 0.2 * uniform(32, 32), 0.0)
    return DepthBatch(
        uniform(3, 32, 32),
        0.1 + 0.8 * uniform(21, 2),
        depth,
        0.45 + 0.1 * uniform(),
        0.04 + 0.01 * uniform(),
        labelled * (2 * uniform(21) - 1),
        torch.full((count,), labelled),
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = DepthRegularizer(CONFIG)
    for unit in made.machine.modules():  # fresh residual blocks pass on no gradient to their first half
        if isinstance(unit, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(unit.weight)
    return made


def moved(network, losses) -> set[str]:
    """Which of the three networks gradients of losses reach."""
    network.zero_grad()
    sum(losses.values()).backward()
    return {
        name.split(".")[0]
        for name, p in network.named_parameters()
        if p.grad is not None and float(p.grad.abs().max()) > 0
    }


def test_shapes(network):
    places, depths = network(torch.rand(2, 3, 32, 32))
    assert places.shape == (2, 21, 2) and depths.shape == (2, 21)
    assert network.depth_map(places, depths).shape == (2, 32, 32)


def test_weak_supervision_has_no_depth_loss_and_teaches_depth_by_maps(network):
    weak = batch(labelled=0.0)
    terms = network.losses(weak)
    assert float(terms["depths"].detach()) == 0.0 and float(terms["depth_map"].detach()) > 0
    network.zero_grad()
    terms["depth_map"].backward()
    last = network.regression.linear[-1].weight.grad
    assert last is not None and float(last.abs().max()) > 0


def test_pictures_without_3d_labels_count_in_no_depth(network):
    network.eval()
    labelled, weak = batch(), batch(seed=1, labelled=0.0)
    weak.depths += 7.0  # never looked at
    alone = network.estimator_losses(labelled)["depths"]
    torch.testing.assert_close(network.estimator_losses(concatenate([labelled, weak]))["depths"], alone)


def test_who_learns_in_which_stage(network):
    both = concatenate([batch(), batch(seed=1, labelled=0.0)])
    assert moved(network, network.estimator_losses(both)) == {"machine", "regression"}
    assert moved(network, network.regularizer_losses(both)) == {"regularizer"}
    assert moved(network, network.losses(both)) == {"machine", "regression", "regularizer"}
    (player,) = network.players()
    assert {id(p) for p in player.parameters} == {id(p) for p in network.parameters()}
    network.config = replace(CONFIG, weights=RegularizerWeights(depth_map=0.0))
    assert [player.name for player in network.players()] == ["estimator"]


def test_terms_are_weighted(network):
    network.eval()
    pictures = batch()
    one = {name: float(value.detach()) for name, value in network.losses(pictures).items()}
    network.config = replace(CONFIG, weights=RegularizerWeights(2.0, 0.3, depth_map=5.0))
    for (name, value), factor in zip(network.losses(pictures).items(), (2.0, 3.0, 5.0), strict=True):
        assert float(value.detach()) == pytest.approx(factor * one[name], rel=1e-5)


def test_pictures_without_depth_teach_no_map(network):
    network.eval()
    pictures = batch()
    whole = network.losses(pictures[:3])["depth_map"]
    pictures.depth[3] = 0
    torch.testing.assert_close(network.losses(pictures)["depth_map"], whole)


def test_maps_do_not_depend_on_the_unit_of_length(network):
    """Eq. 4 and 5 know ratios of lengths alone."""
    network.eval()
    pictures = batch()
    larger = replace(pictures, depth=2 * pictures.depth, root_depth=2 * pictures.root_depth, scale=2 * pictures.scale)
    for one, other in zip(
        network.maps_of(pictures, pictures.depths), network.maps_of(larger, pictures.depths), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_weights_come_back(network, tmp_path):
    network.eval()
    path = tmp_path / "weights.safetensors"
    save_weights(network, path, HandModel.open_hand())
    found = load(path)
    assert not found.training and found.config.width == 8
    images = torch.rand(2, 3, 32, 32)
    for one, other in zip(network(images), found(images), strict=True):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=0)  # half precision
    with pytest.raises(InputError, match="no such weights file"):
        load(tmp_path / "none.safetensors")
