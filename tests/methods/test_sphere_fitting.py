"""The method of Wan et al.: what it reads out of maps, what each term pulls at, and that views meet in the right frames."""

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.cube_views import CubeViews, cube_views
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.hand.spheres import sphere_centres
from phalanx.losses.latent_depth import depth_labels, label_maps
from phalanx.methods.sphere_fitting import (
    METHOD,
    SPHERES,
    FittingBatch,
    FittingWeights,
    SphereFittingConfig,
    SphereFittingEstimator,
    add_noise,
    before_wrist,
    load,
    moved,
    save_weights,
)
from phalanx.nets.weights import write_weights
from phalanx.synth import SynthConfig, make_chunk

SIZE = 64
HAND = HandModel.open_hand().checksum()


@pytest.fixture(scope="module")
def views():
    sample = make_chunk(SynthConfig(size=96, chunk=9, rig="ring3", tiles=2, skins=1), 3, 0)
    sample.sensed_depth = None  # the hand alone
    return cube_views(sample, 3, SIZE, sample.joints.mean(1))


@pytest.fixture(scope="module")
def truth(views):
    return sphere_centres(views.joints.flatten(0, 1)).unflatten(0, views.maps.shape[:2])


def estimator(**weights):
    torch.manual_seed(0)
    return SphereFittingEstimator(SphereFittingConfig(size=SIZE, width=16, weights=FittingWeights(**weights)))


def test_centres_are_where_the_maps_say():
    network = estimator()
    maps = torch.full((1, 2 * SPHERES, 32, 32), -5.0)
    maps[:, SPHERES:] = 0.0
    maps[0, 3, 20, 4] = 5.0  # row, column of the fourth sphere's heat map
    maps[0, SPHERES + 3, 20, 4] = -0.25
    centre = network.read(maps)[0, 3]
    cell = EXTENT / 32
    assert torch.allclose(centre, torch.tensor([(4.5 - 16) * cell, (20.5 - 16) * cell, -0.25 * EXTENT]), atol=1e-6)


def test_synthetic_terms_train_the_network_and_not_the_prior(views):
    network = estimator()
    terms = network.losses(FittingBatch(views.single_views()))
    assert set(terms) == {"maps", "coordinates"} and all(value > 0.01 for value in terms.values())
    sum(terms.values()).backward()
    grads = [p.grad for p in network.hourglass.parameters() if p.grad is not None]
    assert len(grads) > 20 and all(bool(g.isfinite().all()) for g in grads)
    assert all(p.grad is None for p in network.prior.parameters())


def test_synthetic_terms_vanish_at_the_truth_alone(views, truth):
    """A stack that says where the spheres are, and one that says so of a hand a few millimetres off."""
    network, labelled = estimator(), views.single_views()

    def terms(centres):
        target = centres.flatten(0, 1) / EXTENT + torch.tensor([0.5, 0.5, 0.0])
        heat = label_maps(target[..., :2], 32, 32)
        return network._supervised(torch.cat((heat, depth_labels(heat, target[..., 2])), dim=1), labelled)

    at_truth = terms(truth)
    assert float(at_truth["maps"]) < 1e-9 and float(at_truth["coordinates"]) < 1e-4
    for step in (torch.tensor([0.004, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.004])):
        off = terms(truth + step)
        assert all(float(off[name]) > 1e-4 and float(off[name]) > 50 * float(at_truth[name]) for name in off), off


def test_every_views_estimate_is_held_against_every_views_map(views, truth):
    network = estimator(vae=0)
    at_truth = network.fitting_terms(truth, views)
    assert set(at_truth) == {"model_to_data", "data_to_model", "multi_view", "bone_length", "collision"}
    assert at_truth["multi_view"] < 1e-6 and at_truth["bone_length"] < 0.2
    # One view's estimate moved towards the camera: its own map and those of the others complain.
    wrong = truth.clone()
    wrong[:, 1] += torch.tensor([0.0, 0.0, -0.03])
    off = network.fitting_terms(wrong, views)
    for name in ("model_to_data", "data_to_model", "multi_view"):
        assert off[name] > at_truth[name] + 0.01, name
    # A frame moved as a whole, in all views alike, is consistent and fits no map.
    away = moved(torch.linalg.inv(views.to_first), moved(views.to_first, truth) + torch.tensor([0.03, 0.0, 0.0]))
    shifted = network.fitting_terms(away, views)
    assert shifted["multi_view"] < 1e-6 and shifted["data_to_model"] > at_truth["data_to_model"] + 0.2
    # With the views' motions mixed up nothing agrees.
    mixed = CubeViews(views.maps, views.to_first[:, [0, 2, 1]], views.middles)
    assert network.fitting_terms(truth, mixed)["multi_view"] > 1.0


def test_two_views_have_no_median(views, truth):
    pair = CubeViews(views.maps[:, :2], views.to_first[:, :2], views.middles[:, :2])
    assert "multi_view" not in estimator(vae=0).fitting_terms(truth[:, :2], pair)


def test_fitting_moves_spheres_to_the_hand(views, truth):
    """Descent on Eq. 4 over the centres themselves, from a centimetre off."""
    network = estimator(vae=0)
    torch.manual_seed(1)
    centres = (truth + 0.01 * torch.randn_like(truth)).requires_grad_()
    before = (centres - truth).norm(dim=-1).mean()
    descent = torch.optim.Adam([centres], lr=1e-3)
    for _ in range(60):
        descent.zero_grad()
        sum(network.fitting_terms(centres, views).values()).backward()
        descent.step()
    assert (centres - truth).norm(dim=-1).mean() < 0.65 * before


def test_where_nothing_is_read_depth_does_not_move():
    network = estimator(data_to_model=0, vae=0, bone_length=0, collision=0)
    centres = torch.zeros(1, 1, SPHERES, 3, requires_grad=True)
    empty = CubeViews(torch.full((1, 1, SIZE, SIZE), EXTENT / 2), torch.eye(4).expand(1, 1, 4, 4), torch.zeros(1, 1, 3))
    network.fitting_terms(centres + 0.001, empty)["model_to_data"].backward()
    assert centres.grad[..., 2].abs().max() == 0 and centres.grad[..., :2].abs().max() > 0
    for depth, moves in (
        (0.02, True),
        (0.08, False),
    ):  # a surface a little farther back draws spheres to it; one far behind is not theirs
        half = empty.maps.clone()
        half[..., : SIZE // 2] = depth
        centres.grad = None
        views = CubeViews(half, empty.to_first, empty.middles)
        network.fitting_terms(centres + 0.001, views)["model_to_data"].backward()
        assert bool(centres.grad[..., 2].min() < 0) == moves


def test_the_forearm_does_not_draw_the_wrist(truth):
    """Points on either side of the wrist, along the line from the middle knuckle."""
    centres = truth[:, 0]
    wrist, knuckle = joints_of_spheres(centres)[:, [0, 9]].unbind(1)
    axis = wrist - knuckle
    beside = 0.2 * torch.linalg.cross(axis, torch.tensor([[1.0, 0.0, 0.0]]).expand_as(axis))
    ways = torch.tensor([-1.0, 0.0, 0.9, 1.1, 2.0])[:, None]  # of the way from knuckle to wrist
    points = (knuckle + beside)[:, None] + ways * axis[:, None]
    expected = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]).expand(len(points), -1)
    torch.testing.assert_close(before_wrist(points, centres), expected)


def test_all_kinds_of_frames_in_a_batch(views):
    network = estimator()
    batch = FittingBatch(views.single_views()[:4], (views[:2], views.single_views()[4:6]))
    blind = [CubeViews(part.maps, part.to_first, part.middles) for part in batch.unlabelled]
    terms = network.losses(FittingBatch(batch.labelled, tuple(blind)))
    assert set(terms) == {
        "maps",
        "coordinates",
        "model_to_data",
        "data_to_model",
        "multi_view",
        "vae",
        "bone_length",
        "collision",
    }
    assert all(bool(value.isfinite()) for value in terms.values())


def test_a_batch_counts_maps_and_is_shared_out_frame_by_frame(views):
    batch = FittingBatch(views.single_views()[:4], (views[:2], views.single_views()[4:6]))
    assert len(batch) == 4 + 2 * 3 + 2 and len(FittingBatch()) == 0
    shares = [batch[rank::2] for rank in range(2)]
    assert [len(share) for share in shares] == [6, 6]
    assert torch.equal(shares[1].labelled.joints, batch.labelled.joints[[1, 3]])
    assert torch.equal(shares[1].unlabelled[0].maps, views.maps[1:2])
    moved_there = batch.to("meta")
    assert [part.maps.device.type for part in moved_there.parts()] == ["meta"] * 3 and len(moved_there) == 12


def test_evidence_is_joints_and_how_far_they_are_trusted(views):
    network = estimator(vae=0).eval()
    maps = views.maps[0]
    evidence = network.evidence(maps)
    assert torch.equal(evidence.joints, joints_of_spheres(network(maps).detach()))
    assert torch.equal(evidence.sigma_joints, torch.full((3, 21), 0.01)) and not evidence.joints.requires_grad
    assert evidence.joints_2d is None and evidence.rotations is None


def test_noise_keeps_the_hand_in_its_place(views):
    maps = views.maps.flatten(0, 1)
    noisy = add_noise(maps, torch.Generator().manual_seed(0))
    assert torch.equal(noisy, add_noise(maps, torch.Generator().manual_seed(0)))
    surface, then = maps < EXTENT / 2, noisy < EXTENT / 2
    assert 0.001 < (surface != then).float().mean() < 0.06
    both = surface & then
    assert 0.0003 < (noisy - maps)[both].abs().median() < 0.004 and noisy.max() == EXTENT / 2


def test_joints_come_out_of_the_estimate(views, truth):
    joints = joints_of_spheres(truth)
    assert (joints - views.joints).norm(dim=-1).mean() < 0.0015


def test_weights_files_hold_the_network_and_not_how_it_was_trained(tmp_path):
    network = estimator(vae=0)
    save_weights(network, tmp_path / "w.safetensors", HandModel.open_hand())
    back = load(tmp_path / "w.safetensors", trainable=True)
    assert back.config == SphereFittingConfig(size=SIZE, width=16)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=2e-3, atol=2e-3)  # half precision


def test_weights_that_do_not_fit_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, estimator(vae=0).state_dict(), METHOD, {"size": SIZE, "width": 24, "stacks": 1}, HAND)
    with pytest.raises(InputError, match="w.safetensors: the weights do not fit the network they name"):
        load(path)
    write_weights(path, estimator(vae=0).state_dict(), METHOD, {"size": SIZE}, HAND)
    with pytest.raises(InputError, match="w.safetensors: the weights do not fit the network they name"):
        load(path, trainable=True)
