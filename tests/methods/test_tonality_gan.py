import math

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.losses.colour import colour_histograms, histogram_divergence
from phalanx.methods import cycle_gan
from phalanx.methods.tonality_gan import (
    Pix2Pix,
    TonalityConfig,
    TonalityGan,
    TonalityWeights,
    colour_map,
    load,
    load_as,
    save_weights,
    shape_map,
)

CONFIG = TonalityConfig(size=32, generator=4, discriminator=4)


@pytest.fixture(params=[TonalityGan, Pix2Pix])
def network(request):
    torch.manual_seed(0)
    return request.param(CONFIG)


def photographs(count=4, seed=0):
    return Sample(image=torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))


def test_shape_map_against_a_slow_twin():
    image = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    grey = np.pad(np.tensordot([0.299, 0.587, 0.114], image[0].numpy(), 1), 1, mode="edge")
    slope = np.zeros((6, 5))
    for r in range(6):
        for c in range(5):
            part = grey[r : r + 3, c : c + 3]
            x = sum(w * (part[k, 2] - part[k, 0]) for k, w in enumerate((3, 10, 3))) / 32
            y = sum(w * (part[2, k] - part[0, k]) for k, w in enumerate((3, 10, 3))) / 32
            slope[r, c] = math.hypot(x, y)
    np.testing.assert_allclose(shape_map(image)[0, 0], slope / (slope + 2 * slope.mean() + 0.01), rtol=1e-6)


def test_shape_map_knows_edges_and_no_colours():
    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 0.6
    edges = shape_map(step)[0, 0]
    assert (edges[:, 7:9] > 0.7).all() and edges[:, :6].max() < 1e-6 and edges[:, 10:].max() < 1e-6
    dim = shape_map(step / 10)[0, 0]
    assert (dim[:, 7:9] > 0.6).all()  # dim pictures have edges, too
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    red, green = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    red[:, 0], green[:, 1] = step[:, 0] / weights[0], step[:, 1] / weights[1]
    torch.testing.assert_close(shape_map(red), shape_map(green))


def test_colour_map_is_an_average_of_what_there_is():
    image = torch.rand(1, 3, 9, 9, dtype=torch.float64)
    found = colour_map(image, 0.5)  # 9 * 0.5 / 2 = 2 pixels to each side
    for r, c in ((0, 0), (4, 4), (8, 3)):
        part = image[0, :, max(0, r - 2) : r + 3, max(0, c - 2) : c + 3]
        torch.testing.assert_close(found[0, :, r, c], part.mean((1, 2)))
    assert found.shape == image.shape


def test_maps_are_those_of_the_method():
    image = photographs().image
    tagan, pix = TonalityGan(CONFIG), Pix2Pix(CONFIG)
    torch.testing.assert_close(tagan.maps(image), torch.cat((shape_map(image), colour_map(image, CONFIG.blur)), 1))
    torch.testing.assert_close(pix.maps(image), shape_map(image))


def test_losses_are_the_equations(network):
    network.eval().requires_grad_(False)
    network.generator.dropout = 0.0
    batch = photographs()
    maps, weights = network.maps(batch.image), network.config.weights
    drawn = network.draw(maps)

    def judged(images):
        return network.discriminator(torch.cat((maps, images), 1)).sigmoid()

    of_real, of_drawn = judged(batch.image), judged(drawn)
    terms = network.discriminator_losses(batch)
    expected = -(of_real.log().mean() + (1 - of_drawn).log().mean())  # Eq. 2.6
    assert float(terms["judged"]) == pytest.approx(float(expected), rel=1e-4)
    terms = network.generator_losses(batch)
    assert float(terms["fooled"]) == pytest.approx(float(-of_drawn.log().mean()), rel=1e-4)
    assert float(terms["shape"]) == pytest.approx(weights.shape * float((batch.image - drawn).abs().mean()), rel=1e-5)
    if isinstance(network, TonalityGan):
        h_g, h_y = (colour_histograms(images, 16) for images in (drawn, batch.image))
        expected = weights.colour * float(histogram_divergence(h_g, h_y))
        assert float(terms["colour"]) == pytest.approx(expected, rel=1e-5)
    else:
        assert "colour" not in terms


def test_distances_vanish_at_the_truth_alone(network):
    image = photographs().image
    assert all(float(value) == 0 for value in network.distances(image, image).values())
    assert all(float(value) > 0 for value in network.distances(image.flip(0) * 0.5, image).values())


def test_each_player_moves_its_own_network(network):
    batch = photographs()
    for player in network.players():
        network.zero_grad()
        sum(player.losses(batch).values()).backward()
        own = {id(parameter) for parameter in player.parameters}
        moved = {id(p) for p in network.parameters() if p.grad is not None and p.grad.any()}
        assert own <= moved, player.name
        if player.name == "discriminator":
            assert moved == own
    moved_by_all = [id(p) for player in network.players() for p in player.parameters]
    assert sorted(moved_by_all) == sorted(id(p) for p in network.parameters())  # each by one player
    assert [player.name for player in network.players()] == ["discriminator", "generator"]


def test_a_step_of_a_player_leaves_the_other_where_it_is(network):
    batch = photographs()
    for player in network.players():
        before = {name: value.clone() for name, value in network.named_parameters()}
        optimiser = player.optimiser(player.parameters)
        sum(player.losses(batch).values()).backward()
        optimiser.step()
        own = {id(parameter) for parameter in player.parameters}
        for name, parameter in network.named_parameters():
            assert torch.equal(parameter, before[name]) != (id(parameter) in own), (player.name, name)
        network.zero_grad()


def test_pix2pix_is_blind_to_colours_and_tagan_is_not():
    grey = photographs(1).image.mean(1, keepdim=True)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    reddish = grey * torch.tensor([1.2, 1 - 0.2 * 0.299 / 0.587, 1.0])[:, None, None]  # as bright, pixel by pixel
    torch.testing.assert_close((reddish * weights).sum(1), (grey.expand(-1, 3, -1, -1) * weights).sum(1))
    drawn = {}
    for kind in (Pix2Pix, TonalityGan):
        torch.manual_seed(0)
        network = kind(CONFIG).eval()
        seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
        one, other = network.blend(grey.expand(-1, 3, -1, -1), seeds[0]), network.blend(reddish, seeds[1])
        drawn[kind] = float((one - other).abs().mean())
    assert drawn[Pix2Pix] < 1e-5 and drawn[TonalityGan] > 1e-2


def test_judged_are_photographs_beside_their_own_maps(network):
    network.eval()
    real, rendered = photographs().image, photographs(seed=1).image
    of_real, of_drawn = network.judged(real, rendered, torch.Generator().manual_seed(2))
    maps = network.maps(real)
    drawn = network.draw(maps, torch.Generator().manual_seed(2))
    assert torch.equal(of_real, network.discriminator(torch.cat((maps, real), 1)))
    assert torch.equal(of_drawn, network.discriminator(torch.cat((maps, drawn), 1)))


def test_a_seed_is_a_picture(network):
    network.eval()
    image = photographs().image
    first, again, other = (network.blend(image, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == image.shape and (first >= 0).all() and (first <= 1).all() and not first.requires_grad
    state = torch.get_rng_state()
    network.blend(image, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="pictures of 32 pixels expected"):
        network.blend(torch.rand(1, 3, 64, 64))


def test_a_fresh_network_begins_with_the_colours():
    torch.manual_seed(0)
    network = TonalityGan(CONFIG).eval()
    image = torch.full((1, 3, 32, 32), 0.3) * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    assert (network.blend(image) - image).abs().mean() < 0.1
    assert (Pix2Pix(CONFIG).eval().blend(image) - 0.5).abs().mean() < 0.2


def test_weights_go_to_a_file_and_back(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(network, path)
    image = photographs().image
    found = load_as(type(network), network.name, path)
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    torch.testing.assert_close(found.blend(image, seeds[0]), network.eval().blend(image, seeds[1]), atol=5e-3, rtol=0)
    if isinstance(network, TonalityGan):
        assert load(path, trainable=True).training
    else:
        with pytest.raises(InputError, match="pix2pix"):
            load(path)
    cycle_gan.save_weights(cycle_gan.CycleGan(cycle_gan.CycleConfig(size=32, generator=4, discriminator=4)), path)
    with pytest.raises(InputError, match="cycle_gan"):
        load(path)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="32, 64, 128"):
        TonalityConfig(size=96)
    with pytest.raises(InputError, match="dropout"):
        TonalityConfig(dropout=1.0)
    assert TonalityWeights(colour=0.0).colour == 0.0
