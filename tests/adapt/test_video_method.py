"""Terms of neighbouring frames: nothing to say at the truth, and gradients where frames disagree."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from clip_folder import clip, write_coco, write_frames
from small_estimator import SMALL

from phalanx.adapt.video_clips import read_clips
from phalanx.adapt.video_files import VideoFiles
from phalanx.adapt.video_method import (
    FRAMES,
    ClipFeed,
    Lift,
    VideoMethod,
    VideoWeights,
    agreement,
    carried_error,
    clip_batch,
    evenness,
    meeting,
)
from phalanx.data.mixture import Mixture
from phalanx.fit.crop import upright_crop
from phalanx.fit.evidence import Evidence
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.methods.compact import CompactEstimator, centre_ray
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CompactEstimator(SMALL).eval()


@pytest.fixture(scope="module")
def hands(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp("clips")
    for number in (0, 1):
        pictures, points, _, _ = clip(number)
        write_frames(folder / f"c{number}", pictures)
        names = [f"c{number}/{row:04d}.png" for row in range(1, len(points) + 1)]
        write_coco(folder / f"c{number}.json", points, names)
    return read_clips(VideoFiles(folder, camera=clip(0)[3].tolist()), network, lambda: None, 1000).hands


def truth(batch, size=64):
    """What a perfect estimator says of the crops of clip 0, without a mesh."""
    joints = torch.from_numpy(clip(0)[2]).float()
    crop = upright_crop(batch.K.flatten(0, 1), size)
    depth = (joints[..., 2] / joints[:, 9:10, 2] - 1) * crop.focal.mean(-1)
    return Evidence(joints_2d=batch.joints.flatten(0, 1), depth=depth), joints


def test_joints_are_lifted_out_of_turned_crops(hands):
    batch = clip_batch(hands, [list(range(12))], 64, np.random.default_rng(0))
    found, joints = truth(batch)
    lift = Lift(HandModel.open_hand(), torch.device("cpu"))
    got = lift.pose(found, batch.K[0], 64)
    relative = joints - joints[:, [0, 1, 5, 9, 13, 17]].mean(1, keepdim=True)
    scale = (got * relative).sum() / (relative * relative).sum()
    assert (got - scale * relative).abs().max() < 2e-3 and got[:, [0, 1, 5, 9, 13, 17]].mean(1).abs().max() < 1e-5
    lengths = (got[:, lift.bones[:, 0]] - got[:, lift.bones[:, 1]]).norm(dim=-1)
    assert lengths.sum(1) == pytest.approx(lift.total, rel=1e-5) and lengths.std(0).max() < 1e-3


def test_the_mesh_is_lifted_out_of_turned_crops():
    """Parameters of synthetic labels lead to their joints along the camera's axes, however the crop is turned."""
    sample = make_chunk(SynthConfig(size=64, chunk=4, tiles=2, skins=1), 3, 0)
    lift = Lift(HandModel.open_hand(), torch.device("cpu"))
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
    middle = torch.tensor([[1, 0, -31.5], [0, 1, -31.5], [0, 0, 1.0]])
    K = torch.linalg.inv(middle) @ turn @ middle @ sample.K  # the crop, turned about its centre
    upright = upright_crop(K, 64).turn
    ray = (upright @ centre_ray(K, 64)[..., None])[..., 0]
    evidence = Evidence(
        rotations=sample.rotations, orientation=ray_to_rotmat(ray).mT @ upright @ sample.orientation, shape=sample.shape
    )
    vertices, joints = lift.mesh(evidence, K, 64)
    want = lift.sized(sample.joints)
    assert (joints - want).abs().max() < 2e-3 and len(vertices) == 4 and vertices.shape[1] > 100
    assert not torch.allclose(upright, torch.eye(3), atol=0.1)


def test_neighbours_meet_where_motion_is_smooth():
    times = torch.tensor([[0.0, 1.0, 2.5, 3.0, 4.5, 5.0]])  # of no steady rate
    t = times[0, :, None, None]
    even = (1 + 2 * t).expand(6, 4, 3)[None]
    forward, backward, between, own = meeting(even, times)
    assert all((each - own).abs().max() < 1e-5 for each in (forward, backward, between)) and own.shape == (1, 2, 4, 3)
    cubic = (0.3 * t - 0.2 * t**2 + 0.05 * t**3).expand(6, 4, 3)[None]
    assert (meeting(cubic, times)[2] - meeting(cubic, times)[3]).abs().max() < 1e-5
    steady = torch.arange(6.0)[None]
    s = steady[0, :, None, None]
    forward, backward, _, own = meeting((s**2).expand(6, 4, 3)[None], steady)
    assert (forward - backward).abs().max() < 1e-5 and (forward - own).abs().max() > 0.5
    trembling = even + 0.1 * torch.randn(even.shape, generator=torch.Generator().manual_seed(0))
    assert min(float(value) for value in agreement(trembling, times).values()) > 1e-3


def test_flow_carries_labels_to_the_next_labels(hands):
    batch = clip_batch(hands, [list(range(6)), list(range(6, 12))], 64, np.random.default_rng(0))
    at_labels = float(carried_error(batch.joints, batch))
    shaken = batch.joints + 0.05 * torch.randn(batch.joints.shape, generator=torch.Generator().manual_seed(0))
    assert at_labels < 0.3 * float(carried_error(shaken, batch))
    perfect = replace(batch, onward=torch.zeros_like(batch.onward), back=torch.zeros_like(batch.back))
    matrix, offset = batch.to_picture[..., :2, :2], batch.to_picture[..., None, :2, 2]
    pixels = batch.joints @ matrix.mT + offset
    perfect.onward[:, :-1] = pixels[:, 1:] - pixels[:, :-1]
    perfect.back[:, 1:] = pixels[:, :-1] - pixels[:, 1:]
    assert float(carried_error(batch.joints, perfect)) < 2e-4
    perfect.onward[:] = perfect.back[:] = torch.nan
    assert float(carried_error(shaken, perfect)) == 0


def test_uneven_motion_of_labels_asks_for_no_smooth_pose(hands):
    batch = clip_batch(hands, [list(range(6)), list(range(6, 12))], 64, np.random.default_rng(0))
    even = evenness(batch)
    assert even.shape == (2, 2) and float(even.min()) > 0.7  # 30 frames a second
    jumping = clip_batch(hands, [[0, 11, 3, 8, 1, 10]], 64)
    assert float(evenness(replace(jumping, times=torch.arange(6.0)[None])).max()) < 0.5 * float(even.min())
    shifted = replace(batch, to_picture=batch.to_picture.clone())
    shifted.to_picture[:, 2, 0, 2] += 30  # the whole hand jumps
    assert torch.allclose(evenness(shifted), even, atol=1e-3)
    unknown = replace(batch, joints=torch.full_like(batch.joints, torch.nan))
    assert float(evenness(unknown).max()) == 0
    points = torch.randn(2, 6, 5, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    full, none = (agreement(points, batch.times, weight * torch.ones(2, 2)) for weight in (1.0, 0.0))
    half = agreement(points, batch.times, 0.5 * torch.ones(2, 2))
    assert all(float(none[name]) == 0 and torch.allclose(half[name], full[name] / 2) for name in full)


def test_every_term_moves_the_network(hands, network):
    batch = clip_batch(hands, [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9]], 64, np.random.default_rng(0))
    method = VideoMethod(network, VideoWeights(mesh_pose=1.0))
    found = network.read(batch.images.flatten(0, 1)).evidence
    terms = method.consistency(found, batch)
    assert set(terms) == {"carried", "pose_ways", "pose_own", "mesh_ways", "mesh_own", "lengths", "shape", "mesh_pose"}
    for name, value in terms.items():
        network.zero_grad()
        value.backward(retain_graph=True)
        head = network.parameters_head[-1].weight.grad
        maps = network.maps.weight.grad
        moved = head if name.startswith(("mesh", "shape")) else maps
        assert float(value.detach()) > 0 and moved is not None and float(moved.abs().max()) > 0, name
    none = VideoMethod(network, VideoWeights(**dict.fromkeys(asdict(VideoWeights()), 0.0))).consistency(found, batch)
    assert all(float(value.detach()) == 0 for value in none.values())


def test_own_labels_teach_no_sureness(hands, network):
    batch = clip_batch(hands, [[0, 1, 2, 3, 4, 5]] * 2, 64)
    method = VideoMethod(network)
    assert "label_uncertainty" in method.losses(Mixture({"clips": batch}))
    own = replace(batch, own=torch.ones(2))
    terms = method.losses(Mixture({"clips": own}))
    assert "label_uncertainty" not in terms and "label_coordinates" in terms
    synthetic = make_chunk(SynthConfig(size=64, chunk=4, tiles=2, skins=1), 3, 0)
    both = method.losses(Mixture({"clips": own, "synthetic": synthetic}))
    assert {"label_coordinates", "coordinates", "depth", "pose_ways"} <= set(both)


def test_batches_hang_on_seed_and_step_alone(hands):
    feed, other = ClipFeed(hands, 3, lambda: None), ClipFeed(hands, 3, lambda: None)
    first, second = feed.next(4, 64, 1), feed.next(4, 64, 1)
    other.restore({"step": 1})
    again = other.next(4, 64, 1)
    assert torch.equal(again.images, second.images) and torch.equal(
        again.joints.nan_to_num(), second.joints.nan_to_num()
    )
    assert not torch.equal(first.images, second.images) and first.images.shape == (4, FRAMES, 3, 64, 64)
    assert len(first) == 4 and len(first[:2]) == 2 and first.to(torch.device("cpu")).K.shape == (4, FRAMES, 3, 3)
    steps = first.times.diff(dim=1)
    assert torch.allclose(steps, torch.ones_like(steps), atol=1e-3)
