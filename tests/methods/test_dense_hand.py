"""Dense hands: the equations against slow twins, what gradients reach, refinement that never makes worse, and hands of their own making."""

from dataclasses import replace

import pytest
import torch
from made_up_mano import as_mano_writes, made_up

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.hand.mano import load_mano
from phalanx.hand.mesh_parameters import PARAMETERS, PLACE, POSE, ROOT, SHAPE, mano_pose
from phalanx.losses.latent_depth import heat_map_error
from phalanx.losses.surfaces import bent_surface
from phalanx.methods.dense_hand import (
    BACKGROUNDS,
    LABELLED,
    DenseHand,
    DenseHandConfig,
    DenseHandWeights,
    load,
    normalised_skeleton,
    pixels_off,
    save_weights,
    true_skeleton,
)

SIZE = 32
WEIGHTS = DenseHandWeights(0.3, 0.7, 11.0, 1.3, 0.4, 7.0, 5.0)
TINY = DenseHandConfig(SIZE, 1, 8, [8, 16], [1, 1], 12, seeds=2, refinement=6, weights=WEIGHTS)
K = torch.tensor([[60.0, 0, 15.5], [0, 60, 15.5], [0, 0, 1]])


def build(**changes) -> DenseHand:
    torch.manual_seed(0)
    network = DenseHand(replace(TINY, **changes)).eval()
    torch.nn.init.normal_(network.regressor.weight, std=0.02)
    return network


@pytest.fixture
def network():
    return build()


def hands(network, count=3, spread=0.1, seed=1):
    random = torch.Generator().manual_seed(seed)
    h = network.hand.start + spread * torch.randn(count, PARAMETERS, generator=random)
    return h, K.expand(count, 3, 3)


def sample_of(network, count=3, spread=0.1, seed=1) -> Sample:
    """Pictures in which hands of known parameters are bright."""
    h, cameras = hands(network, count, spread, seed)
    vertices, joints, _ = network.hand(h, cameras, SIZE)
    mask = network.masks(vertices, cameras).detach()
    random = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=random) + 0.6 * mask[:, None]
    places = Camera(cameras, SIZE, SIZE).project(joints)
    return Sample(image=image, mask=mask, joints=joints, joints_2d=places, K=cameras)


def test_skeletons_are_normalised_by_crop_root_and_focal_length(network):
    sample = sample_of(network)
    found = true_skeleton(sample)
    for number, joint in ((0, 4), (2, 17), (1, ROOT)):
        x, y, z = sample.joints[number, joint].tolist()
        root = float(sample.joints[number, ROOT, 2])
        expected = (
            (60 * x / z + 15.5 + 0.5) / SIZE - 0.5,
            (60 * y / z + 15.5 + 0.5) / SIZE - 0.5,
            (z - root) / (root * SIZE / 60),
        )
        torch.testing.assert_close(found[number, joint], torch.tensor(expected), atol=1e-5, rtol=1e-4)
    larger = normalised_skeleton(3 * sample.joints, sample.K, SIZE)  # a picture tells no size
    torch.testing.assert_close(larger, found, atol=1e-5, rtol=1e-4)


def test_equations_5_and_6_are_two_linear_layers_in_turn(network):
    sample = sample_of(network)
    found = network.estimate(sample.image, sample.K)
    F, places = network.features(sample.image), network.found_joints(sample.image).flatten(1)
    h, refined = network.hand.start.expand(3, -1), []
    for _ in range(3):
        z = torch.cat([F, places, h], 1)
        h = h + z @ network.regressor.weight.T + network.regressor.bias
        skeleton = normalised_skeleton(network.hand(h, sample.K, SIZE)[1], sample.K, SIZE).flatten(1)
        r = torch.cat([places, F, h, skeleton], 1)
        places = r @ network.refiner.weight.T + network.refiner.bias
        refined.append(places)
    torch.testing.assert_close(found.parameters, h, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.stack(found.refined).flatten(2), torch.stack(refined), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.joints_2d.flatten(1), places, atol=1e-5, rtol=1e-4)


def test_layers_have_the_sizes_that_are_printed():
    network = DenseHand(replace(TINY, features=2048))
    assert network.regressor.weight.T.shape == (2153, 63) and network.refiner.weight.T.shape == (2216, 42)


def test_without_2d_evidence_features_alone_regress():
    network = build(skeleton=False, refiner=False)
    sample = sample_of(network)
    found = network.estimate(sample.image, sample.K)
    assert network.regressor.in_features == 12 + 63 and not found.refined
    off = pixels_off(
        normalised_skeleton(network.hand.joints(found.parameters, sample.K, SIZE), sample.K, SIZE), found.joints_2d
    )
    assert float(off.detach().max()) < 1e-3


def test_the_loss_is_equation_7(network):
    sample = sample_of(network)
    found = network.estimate(sample.image, sample.K)
    vertices, joints, unplaced = network.hand(found.parameters, sample.K, SIZE)
    truth, skeleton = true_skeleton(sample), normalised_skeleton(joints, sample.K, SIZE)
    masked = network.features(sample.image * sample.mask[:, None])
    network.config.threshold = float(pixels_off(skeleton, truth[..., :2]).detach().median()) + 0.1  # two of three
    near = [
        224 * sum(float((skeleton[b, k, :2] - truth[b, k, :2]).detach().norm()) for k in range(21)) / 21
        < network.config.threshold
        for b in range(3)
    ]
    assert sum(near) == 2
    masks = network.masks(vertices, sample.K)
    shape = sum((masks[b] - sample.mask[b]).square().mean() for b in range(3) if near[b]) / 3
    heat = network.joints(sample.image)[1]
    expected = {
        "heat_maps": 0.3 * heat_map_error(heat, (sample.joints_2d + 0.5) / SIZE),
        "features": 0.7 * (found.features - masked).square().mean(),
        "articulation": 11.0 * (skeleton - truth).square().mean(),
        "shape": 1.3 * shape,
        "laplacian": 0.4 * bent_surface(unplaced, network.edges, network.hand.hand.template).mean(),
        "refiner": 7.0 * torch.stack([(places - truth[..., :2]).square().mean() for places in found.refined]).mean(),
    }
    weights = network.config.weights
    network.config.weights = replace(weights, shape=1.3, laplacian=0.4)
    terms = network.losses(Mixture({LABELLED: sample}))
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name


def test_a_constant_weight_counts_for_all_and_the_schedule_for_those_near(network):
    places = torch.zeros(3, 21, 2)
    skeleton = torch.zeros(3, 21, 3)
    skeleton[1, :, 0], skeleton[2, :, 1] = 14 / 224, 16 / 224
    assert network.shape_weights(skeleton, places).tolist() == [1, 1, 0]
    network.config.constant = 0.01
    assert network.shape_weights(skeleton, places).tolist() == pytest.approx([0.01] * 3)


def test_masks_pull_hands_over_them(network):
    sample = sample_of(network, 1, 0.0)
    h = hands(network, 1, 0.0)[0].clone()
    h[:, PLACE.start] += 0.03  # a pixel to the right of where it should be
    h.requires_grad_()
    loss = network.shape_loss(network.hand(h, sample.K, SIZE)[0], sample.K, sample.mask, torch.ones(1))
    (slope,) = torch.autograd.grad(loss, h)
    assert float(slope[0, PLACE.start]) > 0.01 and abs(float(slope[0, PLACE.start + 1])) < float(slope[0, PLACE.start])
    far = torch.zeros(1)
    assert float(network.shape_loss(network.hand(h, sample.K, SIZE)[0], sample.K, sample.mask, far).detach()) == 0


def test_gradients_agree_with_differences():
    network = build(weights=replace(WEIGHTS, shape=0.0)).double()  # masks: tests/render/test_silhouette.py
    sample = sample_of(build()).map(lambda value: value.detach().double())

    def loss():
        return sum(network.losses(Mixture({LABELLED: sample})).values())

    for parameter in (network.regressor.weight, network.refiner.weight, network.features.widen[0].weight):
        (slope,) = torch.autograd.grad(loss(), [parameter])
        place, step = int(slope.abs().argmax()), 1e-6
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                parameter.view(-1)[place] += sign * step
                values.append(float(loss()))
                parameter.view(-1)[place] -= sign * step
        assert float(slope.view(-1)[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)


def test_heat_maps_learn_from_equation_3_alone(network):
    sample = sample_of(network)
    network.config.threshold = 1e9
    machine = list(network.joints.parameters())
    rest = [p for name, p in network.named_parameters() if not name.startswith(("joints.", "readout."))]
    terms = network.losses(Mixture({LABELLED: sample}))
    heat = terms.pop("heat_maps")
    of_heat = torch.autograd.grad(heat, machine + rest, allow_unused=True, retain_graph=True)
    assert all(g is None for g in of_heat[len(machine) :]) and any(bool(g.any()) for g in of_heat[: len(machine)])
    of_mesh = torch.autograd.grad(sum(terms.values()), machine + rest, allow_unused=True)
    assert all(g is None for g in of_mesh[: len(machine)])
    assert all(g is not None and bool(g.isfinite().all()) for g in of_mesh[len(machine) :])


def test_the_start_reads_joints_out_of_features(network):
    sample = sample_of(network)
    (player,) = network.players_of_evidence()
    terms = player.losses(Mixture({LABELLED: sample}))
    F, masked = network.features(sample.image), network.features(sample.image * sample.mask[:, None])
    read = (F @ network.readout.weight.T + network.readout.bias).view(3, 21, 2)
    expected = {
        "heat_maps": 0.3 * heat_map_error(network.joints(sample.image)[1], (sample.joints_2d + 0.5) / SIZE),
        "features": 0.7 * (F - masked).square().mean(),
        "readout": 5.0 * (read - true_skeleton(sample)[..., :2]).square().mean(),
    }
    assert {name: float(v.detach()) for name, v in terms.items()} == pytest.approx(
        {n: float(v.detach()) for n, v in expected.items()}, rel=1e-4
    )
    assert not {id(p) for p in player.parameters} & {id(p) for p in network.regressor.parameters()}


def test_refinement_goes_down_equation_13_and_never_up(network):
    network.requires_grad_(False)
    network.config.rate = 0.005
    sample = sample_of(network, 4, 0.15)
    found = network.estimate(sample.image, sample.K)
    skeleton = normalised_skeleton(network.hand.joints(found.parameters, sample.K, SIZE), sample.K, SIZE)
    off = pixels_off(skeleton, found.joints_2d)
    network.config.threshold = float(off.median()) + 0.1
    near = off < network.config.threshold
    assert 0 < int(near.sum()) < 4

    def cost(h):  # a slow twin, hand by hand
        values = []
        for b in range(4):
            vertices, joints, unplaced = network.hand(h[b : b + 1], K[None], SIZE)
            places = normalised_skeleton(joints, K[None], SIZE)[..., :2]
            value = 11.0 * float((places - found.joints_2d[b]).square().mean())
            value += 0.4 * float(bent_surface(unplaced, network.edges, network.hand.hand.template))
            if near[b]:
                masked = network.features(sample.image[b : b + 1] * network.masks(vertices, K[None])[:, None])
                value += 0.7 * float((found.features[b] - masked).square().mean())
            values.append(value)
        return torch.tensor(values)

    network.config.weights = replace(WEIGHTS, laplacian=0.4)
    refined = network.refine(sample.image, sample.K, found)
    assert refined.path.shape == (7, 4, PARAMETERS) and torch.equal(refined.path[0], found.parameters)
    before, after = cost(found.parameters), cost(refined.parameters)
    torch.testing.assert_close(after, refined.cost, atol=1e-5, rtol=1e-3)
    assert bool((after <= before + 1e-6).all()) and float(after.sum()) < 0.9 * float(before.sum())
    network.config.rate = 10.0  # far too long steps
    again = network.refine(sample.image, sample.K, found)
    assert bool((cost(again.parameters) <= before + 1e-6).all())
    assert torch.equal(network.refine(sample.image, sample.K, found, 0).parameters, found.parameters)


def test_new_hands_are_labelled_and_wear_the_colours_of_the_seed(network):
    sample = sample_of(network, 3, 0.0)
    with torch.no_grad():
        network.regressor.weight.zero_()  # finds the start, which is the truth
        sample.image = torch.where(sample.mask[:, None] > 0.5, torch.tensor([0.9, 0.2, 0.1])[:, None, None], 0.0)
    torch.manual_seed(3)
    behind = torch.zeros(1, 3, SIZE, SIZE)
    behind[:, 2] = 1.0
    new = network.generate(sample, behind).check()
    assert len(new) == 6  # three of each of two seeds
    places = Camera(new.K, SIZE, SIZE).project(new.joints)
    torch.testing.assert_close(new.joints_2d, places)
    inside = new.mask == 1
    assert 0.02 < float(inside.float().mean()) < 0.6
    colours = new.image.permute(0, 2, 3, 1)[inside]
    torch.testing.assert_close(colours, torch.tensor([0.9, 0.2, 0.1]).expand_as(colours), atol=0.02, rtol=0)
    blue = new.image.permute(0, 2, 3, 1)[new.mask == 0]
    assert torch.equal(blue, torch.tensor([0.0, 0.0, 1.0]).expand_as(blue))
    torch.manual_seed(3)
    assert torch.equal(network.generate(sample, behind).image, new.image)
    assert not network.training


def test_new_hands_have_any_shape_and_view_and_stay_in_their_place(network):
    h, cameras = hands(network, 40, 0.1)
    torch.manual_seed(0)
    new = network.varied(h, cameras)
    assert torch.equal(new[:, POSE], h[:, POSE])
    assert 2.5 < float(new[:, SHAPE].abs().max()) <= 3 and float(new[:, SHAPE].std()) == pytest.approx(3**0.5, rel=0.1)

    def box(values):
        places = normalised_skeleton(network.hand.joints(values, cameras, SIZE), cameras, SIZE)[..., :2]
        return (places.amin(1) + places.amax(1)) / 2, (places.amax(1) - places.amin(1)).amax(1)

    for one, other in zip(box(h), box(new), strict=True):
        assert float((one - other).abs().max()) < 0.03


def test_backgrounds_in_a_batch_bring_new_hands_into_it(network):
    network.train()
    sample = sample_of(network, 4)
    behind = Sample(image=torch.rand(6, 3, SIZE, SIZE))
    seen = []
    network.features.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, len(inputs[0]))))
    terms = network.losses(Mixture({LABELLED: sample, BACKGROUNDS: behind}))
    assert seen == [(False, 4), (True, 2 * (4 + 6))]  # found at rest, then trained on with and without background
    assert network.training and all(bool(value.isfinite()) for value in terms.values())


def test_mano_is_learnt_and_refined_as_well(tmp_path):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(as_mano_writes(made_up()))
    mano = load_mano(path)
    torch.manual_seed(0)
    network = DenseHand(replace(TINY, threshold=1e9), mano.model, mano_pose(mano)).eval()
    sample = sample_of(build())
    terms = network.losses(Mixture({LABELLED: sample, BACKGROUNDS: Sample(image=sample.image)}))
    sum(terms.values()).backward()
    assert bool(network.regressor.weight.grad.isfinite().all()) and float(terms["shape"].detach()) > 0
    network.requires_grad_(False)
    refined = network.refine(sample.image, sample.K, network.estimate(sample.image, sample.K), 3)
    assert network.hand(refined.parameters, sample.K, SIZE)[0].shape == (3, 778, 3)


def test_weights_come_back(network, tmp_path):
    save_weights(network, tmp_path / "weights.safetensors")
    again = load(tmp_path / "weights.safetensors")
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    sample = sample_of(network)
    torch.testing.assert_close(
        again(sample.image, sample.K), network(sample.image, sample.K).detach(), atol=2e-2, rtol=0
    )
    with pytest.raises(InputError, match="there is no such weights file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="size: must be a multiple of 32 pixels, not 48"):
        DenseHandConfig(size=48)
    with pytest.raises(InputError, match="refiner: refines the 2D joints that skeleton gives"):
        DenseHandConfig(skeleton=False)
