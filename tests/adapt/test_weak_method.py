"""What a step of weakly supervised adaptation teaches, and that its batches are drawn alike after a restart."""

import copy

import numpy as np
import pytest
import torch
from small_estimator import SMALL
from weak_folder import hands, write_folder

from phalanx.adapt.weak_crops import MAP
from phalanx.adapt.weak_depth import DepthHands, finish_depth, keep_depth
from phalanx.adapt.weak_drawn import DrawnDepth
from phalanx.adapt.weak_files import WeakFiles
from phalanx.adapt.weak_method import WeakFeed, WeakMethod, weak_batch
from phalanx.adapt.weak_pictures import nominal_crops, read_weak_pictures
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.methods.compact import CompactEstimator, targets
from phalanx.train.feed import finish_pictures, pack


def estimator():
    torch.manual_seed(0)
    made = CompactEstimator(SMALL)
    with torch.no_grad():
        made.maps.weight.normal_(std=0.3)  # not the same depth for all joints
    return made


@pytest.fixture(scope="module")
def sample():
    return hands()


@pytest.fixture(scope="module")
def own(tmp_path_factory, sample):
    folder = tmp_path_factory.mktemp("weak") / "data"
    write_folder(folder, sample, with_3d=True)
    return read_weak_pictures(WeakFiles(folder), estimator().eval(), print).hands


def step(own, sample, size=64):
    synthetic = finish_pictures(pack(sample), size, torch.Generator().manual_seed(1))
    return Mixture({"weak": weak_batch(own, size), "synthetic": synthetic})


def test_terms_of_a_step(own, sample):
    terms = WeakMethod(estimator().train(), 10.0).losses(step(own, sample))
    both = {"coordinates", "maps", "uncertainty", "depth"}
    assert {f"weak_{name}" for name in both} | {"depth_map"} | both <= set(terms)
    assert {"rotations", "orientation", "shape", "mask", "directions"} <= set(terms)
    assert not {"weak_rotations", "weak_mask"} & set(terms)
    alone = WeakMethod(estimator().train(), 0.0).losses(Mixture({"weak": weak_batch(own, 64)}))
    assert set(alone) == {f"weak_{name}" for name in both}


def test_depth_moves_the_estimated_depths_and_never_the_regularizer(own):
    method = WeakMethod(estimator().train(), 10.0)
    kept = copy.deepcopy(method.decoder.state_dict())
    batch = weak_batch(own, 64)
    unlabelled = DepthHands(
        batch.depth.joints,
        torch.full_like(batch.depth.depths, torch.nan),
        batch.depth.map,
        batch.depth.root_depth,
        batch.depth.width,
    )
    terms = method.losses(Mixture({"weak": type(batch)(batch.sample, unlabelled)}))
    assert float(terms["weak_depth"].detach()) == 0
    terms["depth_map"].backward()
    gradient = method.estimator.maps.weight.grad
    assert float(gradient[21:42].abs().max()) > 0 and float(gradient[42:].abs().max()) == 0  # the maps of depths
    for name, value in method.decoder.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in method.decoder.parameters())


def test_hands_that_depth_is_drawn_for_do_not_move_statistics(own, sample):
    method = WeakMethod(estimator(), 0.0, DrawnDepth()).train()
    kept = copy.deepcopy(method.estimator.state_dict())
    batch = Mixture({"weak": weak_batch(own, 64), "unpaired": torch.rand(len(own), MAP, MAP)})
    generator = method.adaptation()[1]
    assert generator.name == "generator" and set(generator.losses(batch)) == {"fooled", "near"}
    assert all(torch.equal(value, kept[name]) for name, value in method.estimator.state_dict().items())
    assert method.estimator.training


def test_hands_without_depth_and_joints_without_labels_do_not_count(own):
    method = WeakMethod(estimator().train(), 10.0)
    none = own[(~own.with_depth).nonzero()[0].tolist() or [0]]
    none.root_depth[:], none.depth[:], none.width[:] = 0, 0, 0
    none.joints[:, 5] = np.nan
    batch = weak_batch(none, 64)
    assert float(method.losses(Mixture({"weak": batch}))["depth_map"].detach()) == 0
    want = targets(batch.sample)
    assert (want.inside[:, 5] == 0).all() and want.inside.sum() > 0


def test_the_regularizer_learns_maps_of_synthesis(sample):
    kept = keep_depth(sample)
    batch = finish_depth(lambda: None, kept, 64, torch.Generator())
    hands = batch.hands
    assert hands.map.shape == (len(sample), MAP, MAP) and int((hands.root_depth > 0).sum()) >= 4
    assert batch.images.shape == (len(sample), 3, MAP, MAP) and 0.1 < float(batch.images.mean()) < 0.9
    method = WeakMethod(estimator(), 10.0)
    (player,) = method.start()
    descent, losses = player.optimiser(player.parameters), []
    for _ in range(40):
        (value,) = player.losses(batch).values()
        descent.zero_grad()
        value.backward()
        descent.step()
        losses.append(float(value.detach()))
    assert losses[-1] < 0.6 * losses[0]
    (other,) = method.adaptation()
    assert not {id(p) for p in player.parameters} & {id(p) for p in other.parameters}


def test_synthesis_and_recordings_are_measured_alike(own, sample):
    """The same hands, by the reader of folders and by what is kept of synthesis: depth of the root, its surroundings' width, the map."""
    batch = weak_batch(own, 64).depth
    kept = keep_depth(sample)
    both = (batch.root_depth > 0) & (kept["root_depth"] > 0)
    assert both.sum() >= 3
    assert float((batch.root_depth - kept["root_depth"])[both].abs().max()) < 0.02
    per_metre = batch.depths / batch.width[:, None], kept["depths"] / kept["width"][:, None]
    metres = [values[both] for values in (batch.depths * batch.width[:, None], kept["depths"] * kept["width"][:, None])]
    torch.testing.assert_close(*metres, atol=0.008, rtol=0.1)
    assert all(values.shape == (len(sample), 21) for values in per_metre)


def test_crops_are_turned_and_keep_their_labels(own):
    upright = nominal_crops(own, 64)
    plain = weak_batch(own, 64)
    torch.testing.assert_close(plain.sample.image, upright.image)
    torch.testing.assert_close(plain.sample.joints_2d, upright.joints_2d, atol=1e-3, rtol=0)
    drawn = weak_batch(own, 64, np.random.default_rng(3))
    lengths = [(b.depth.joints[:, 0] - b.depth.joints[:, 9]).norm(dim=-1) for b in (plain, drawn)]
    shares = [b.depth.depths[:, 4] for b in (plain, drawn)]
    torch.testing.assert_close(lengths[1] / lengths[0], shares[1] / shares[0], atol=1e-4, rtol=1e-3)


def test_a_feed_goes_on_where_it_was(own):
    ticks = []
    feed, other = (WeakFeed(own, 5, lambda: ticks.append(1)) for _ in range(2))
    first, second = feed.next(4, 64, 1), feed.next(12, 64, 1)  # more than there are
    assert len(second) == 12 and len(first[1:3]) == 2 and len(ticks) == 2
    other.restore({"step": 1})
    again = other.next(12, 64, 1)
    torch.testing.assert_close(again.sample.image, second.sample.image, rtol=0, atol=0)
    torch.testing.assert_close(again.depth.map, second.depth.map, rtol=0, atol=0)
    assert other.state() == feed.state() and isinstance(first.sample, Sample)
    assert first.to(torch.device("cpu")).depth.map.shape == (4, MAP, MAP)
