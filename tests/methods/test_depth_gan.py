"""DGGAN's equations against slow twins, who moves down what, and which depth maps are looked at."""

from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.losses.depth_maps import LEAST_RANGE
from phalanx.losses.latent_depth import PEAK, SIGMA
from phalanx.methods.depth_gan import (
    COLOUR,
    DEPTH,
    DepthGAN,
    DepthGANConfig,
    DepthGANWeights,
    depths_of,
    heat_map_error,
    load,
    relative_map,
    save_weights,
    stretched,
)
from phalanx.nets.picture_translation import taken_for_real

TINY = DepthGANConfig(stages=2, width=8, hidden=16, generator=4, discriminator=4, regularizer=16)
WEIGHTS = DepthGANWeights(task=0.7, adversarial=0.3, heat_maps=0.2, depth=1.1, depth_map=1.3)


def depth_maps(count=3, seed=0):
    random = torch.Generator().manual_seed(seed)
    depth = 0.4 + 0.2 * torch.rand(count, 64, 64, generator=random)
    depth[torch.rand(depth.shape, generator=random) < 0.5] = 0
    return depth


def batch_of(count=3, paired=True, seed=0) -> Mixture:
    random = torch.Generator().manual_seed(seed)
    sample = Sample(
        image=torch.rand(count, 3, 64, 64, generator=random),
        joints=torch.rand(count, 21, 3, generator=random) * 0.1 + 0.5,
        joints_2d=4 + 56 * torch.rand(count, 21, 2, generator=random),
        depth=depth_maps(count, seed + 1) if paired else None,
    )
    return Mixture({COLOUR: sample, DEPTH: Sample(depth=depth_maps(count, seed + 2))})


@pytest.fixture
def network():
    torch.manual_seed(0)
    return DepthGAN(replace(TINY, weights=WEIGHTS)).eval()  # batch statistics and dropout stand still


def gradients(terms, parameters):
    """Of the sum of terms; zeros where there is none."""
    found = torch.autograd.grad(sum(terms.values()), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def test_heat_maps_are_held_against_gaussians_at_every_stage():
    torch.manual_seed(0)
    heat = [torch.randn(2, 21, 8, 8) for _ in range(3)]
    points = torch.rand(2, 21, 2)
    points[0, 0] = 3.0  # far outside: its label is empty
    total = 0.0
    for stage in heat:
        for b in range(2):
            for k in range(21):
                for row in range(8):
                    for column in range(8):
                        x, y = (column + 0.5) / 8 - points[b, k, 0], (row + 0.5) / 8 - points[b, k, 1]
                        squared = float(x * x + y * y) / SIGMA**2
                        label = PEAK * 2.718281828459045 ** (-squared / 2) if abs(squared) <= 9 else 0.0
                        total += (float(stage[b, k, row, column]) - label) ** 2
    assert float(heat_map_error(heat, points)) == pytest.approx(total / (3 * 21 * 2), rel=1e-4)


def test_depth_maps_are_brought_to_0_to_1():
    depth = depth_maps(3)
    depth[1], depth[2] = 0, 0
    depth[2, 5, 5], depth[2, 5, 6] = 0.5, 0.5 + LEAST_RANGE / 4
    found = relative_map(depth)
    readings = sorted(float(value) for value in depth[0].flatten() if value > 0)
    stray = round(0.02 * (len(readings) - 1))  # at either end
    least, most = readings[stray], readings[round(0.98 * (len(readings) - 1))]
    for row, column in ((0, 0), (3, 7), (20, 40), (63, 63)):
        value = float(depth[0, row, column])
        expected = min(max((value - least) / (most - least), 0.0), 1.0) if value > 0 else 1.0
        assert float(found[0, row, column]) == pytest.approx(expected, abs=1e-5)
    assert bool((found[1] == 1).all())  # nothing read
    assert float(found[2, 5, 6]) == pytest.approx(0.25, abs=1e-4)  # hardly any range: not blown up
    assert torch.allclose(relative_map(2 * depth[:1]), found[:1], atol=1e-5)  # without scale
    drawn = 0.2 + 0.1 * torch.rand(2, 64, 64)
    expected = (drawn - drawn.flatten(1).min(1).values[:, None, None]) / (drawn[1].max() - drawn[1].min())
    assert torch.allclose(stretched(drawn)[1], expected[1], atol=1e-6)


def test_depths_are_lengths_of_a_bone_from_the_wrist():
    sample = batch_of().get(COLOUR)
    length = (sample.joints[1, 9] - sample.joints[1, 10]).square().sum().sqrt()
    expected = (sample.joints[1, 4, 2] - sample.joints[1, 0, 2]) / length
    assert float(depths_of(sample)[1, 4]) == pytest.approx(float(expected), rel=1e-5)
    assert not depths_of(sample)[:, 0].any()


def test_the_task_is_equation_3_7(network):
    batch = batch_of()
    sample = batch.get(COLOUR)
    heat, depths = network.pose(sample.image)
    off = (depths - depths_of(sample)).detach()
    smooth = torch.where(off.abs() < 1, off**2 / 2, off.abs() - 0.5).mean()  # continuous at 1, as Eq. 3.4 is not at 0.5
    foretold, target = network.pose.depth_map(depths, sample.joints_2d), relative_map(sample.depth)
    expected = {
        "heat_maps": 0.7 * 0.2 * heat_map_error(heat, (sample.joints_2d + 0.5) / 64),
        "depth": 0.7 * 1.1 * smooth,
        "depth_map": 0.7 * 1.3 * (foretold - target).abs().mean(),
    }
    found = network.paired_pose_losses(batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5), name


def test_players_move_down_the_gradients_of_equation_3_1(network):
    batch = batch_of()
    sample = batch.get(COLOUR)
    drawer, pose = list(network.generator.parameters()), list(network.pose.parameters())
    drawn = stretched(network.generator(sample.image))
    whole = {
        **network.task_losses(sample, drawn),  # here the drawn map is part of the graph
        "fooled": 0.3 * taken_for_real(network.discriminator(drawn)),
    }
    expected = gradients(whole, drawer + pose)
    _, generator, estimator = network.players()
    found = gradients(generator.losses(batch), drawer) + gradients(estimator.losses(batch), pose)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_depth_loss_reaches_the_generator_and_nothing_else_of_the_task_does(network):
    batch = batch_of()
    drawer, pose = list(network.generator.parameters()), list(network.pose.parameters())
    reached = gradients({"depth_map": network.generator_losses(batch)["depth_map"]}, drawer)
    assert sum(float(g.abs().sum()) for g in reached) > 1e-4
    assert not any(g.any() for g in gradients(network.generator_losses(batch), pose))
    assert not any(g.any() for g in gradients(network.pose_losses(batch), drawer))
    assert not any(g.any() for g in gradients(network.discriminator_losses(batch), drawer + pose))
    network.config.weights = replace(WEIGHTS, depth_map=0.0)
    assert network.generator_losses(batch).keys() == {"fooled"}
    assert network.pose_losses(batch).keys() == {"heat_maps", "depth"}


def test_drawn_maps_and_gradients_agree_with_differences(network):
    network.double()
    sample = batch_of(2).get(COLOUR).map(lambda value: value.double())
    batch = Mixture({COLOUR: sample, DEPTH: Sample(depth=depth_maps(2).double())})
    for player in network.players():
        parameter = max(player.parameters, key=lambda p: p.numel())
        (slope,) = gradients(player.losses(batch), [parameter])
        place = int(slope.abs().argmax())
        step = 1e-6
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                parameter.view(-1)[place] += sign * step
                values.append(float(sum(player.losses(batch).values())))
                parameter.view(-1)[place] -= sign * step
        assert float(slope.view(-1)[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)


def test_end_to_end_no_picture_needs_its_own_depth(network):
    with_pairs, without = batch_of(), batch_of(paired=False)
    for player, other in zip(network.players(), network.players(), strict=True):
        one, two = player.losses(with_pairs), other.losses(without)
        assert {name: float(value.detach()) for name, value in one.items()} == {
            name: float(value.detach()) for name, value in two.items()
        }
    # but in the start it does, and there the discriminator is shown it where there is no other
    alone = Mixture({COLOUR: with_pairs.get(COLOUR)})
    names = [set(player.losses(alone)) for player in network.players_apart()]
    assert names == [{"judged"}, {"fooled", "pairs"}, {"heat_maps", "depth", "depth_map"}]
    (pose,) = network.players_of_pose()
    assert pose.losses(alone).keys() == names[2]


@pytest.mark.parametrize("players", [DepthGAN.players, DepthGAN.players_apart])
def test_every_player_moves_all_of_its_own_and_together_all(network, players):
    network.train()
    for module in network.modules():  # residual blocks begin as the identity, and let nothing through
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    moved = [id(parameter) for player in players(network) for parameter in player.parameters]
    assert sorted(moved) == sorted(id(parameter) for parameter in network.parameters())
    for player in players(network):
        assert all(
            bool(g.isfinite().all()) and bool(g.any()) for g in gradients(player.losses(batch_of(8)), player.parameters)
        )


def test_the_regularizer_knows_no_places_unless_it_is_given_them(network):
    depths, places = torch.rand(2, 21), torch.rand(2, 21, 2)
    plain = network.pose.depth_map(depths, places)
    assert plain.shape == (2, 64, 64) and torch.equal(plain, network.pose.depth_map(depths, 1 - places))
    assert not torch.equal(plain, network.pose.depth_map(1 + depths, places))
    torch.manual_seed(0)
    seeing = DepthGAN(replace(TINY, regularizer_2d=True)).eval()
    assert not torch.equal(seeing.pose.depth_map(depths, places), seeing.pose.depth_map(depths, 1 - places))


def test_weights_come_back(network, tmp_path):
    hand = HandModel.open_hand()
    save_weights(network, tmp_path / "weights.safetensors", hand)
    again = load(tmp_path / "weights.safetensors")
    assert not again.training and again.config.stages == 2 and not any(p.requires_grad for p in again.parameters())
    images = torch.rand(2, 3, 64, 64)
    places, depths = again(images)
    assert places.shape == (2, 21, 2) and depths.shape == (2, 21)
    torch.testing.assert_close(places, network(images)[0], atol=2e-2, rtol=0)  # kept in half precision
    with pytest.raises(InputError, match="there is no such weights file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="size: must be 64, 128, 256, ... pixels, not 96"):
        DepthGANConfig(size=96)
