"""Hands from joints in a picture alone."""

import pytest
import torch
from fits_of_tensors import array, solve_pictures

from phalanx.fit.pictures import PictureJoints, hand_sizes
from phalanx.geometry.alignment import similarity_align


@pytest.fixture(scope="module")
def scene(model):
    """Joints (24, 21, 3) of natural hands before a camera, and their places."""
    import numpy as np

    from phalanx.geometry.rotations import rotvec_to_rotmat
    from phalanx.hand.anatomy import angles_to_rotations
    from phalanx.hand.model import HandPose
    from phalanx.hand.pose_space import gestures

    torch.manual_seed(0)
    pose = HandPose.zero(24)
    pose.rotations = angles_to_rotations(torch.as_tensor(np.radians(gestures()[:24]), dtype=torch.float32))
    pose.orientation = rotvec_to_rotmat(2 * torch.randn(24, 3))
    pose.translation = torch.tensor([0.05, -0.1, 0.6]).expand(24, 3)
    joints = model.joints(pose)
    return joints, joints[..., :2] / joints[..., 2:]


def solve(model, places, **more):
    return solve_pictures(model, PictureJoints(places, torch.ones(places.shape[:2], dtype=torch.bool), **more))


def aligned(found, joints) -> torch.Tensor:
    return 1e3 * (similarity_align(found, joints) - joints).norm(dim=-1).mean(1)


def test_the_hand_is_found_in_its_picture(model, scene):
    joints, places = scene
    found, cost, off, _ = solve(model, places)
    assert 1e3 * float(off.mean()) < 1
    assert float(aligned(found, joints).median()) < 6
    assert cost.shape == (24,) and bool(torch.isfinite(cost).all())
    assert float((found[:, 0, 2] / joints[:, 0, 2] - 1).abs().median()) < 0.15  # by the size of the likeliest hand


def test_relative_depth_tells_sides_apart(model, scene):
    joints, places = scene
    depth = joints[..., 2] / joints[:, :1, 2] - 1
    own = solve(model, places, depth=depth)
    other = solve(model, places * torch.tensor([-1.0, 1.0]), depth=depth)
    assert int((own[1] < other[1]).sum()) >= 23
    assert float(aligned(own[0], joints).median()) < 5


def test_depth_chooses_among_starts(model, scene, monkeypatch):
    from phalanx.fit import pictures as module

    monkeypatch.setattr(module, "STARTS", 1)
    joints, places = scene
    depth = joints[..., 2] / joints[:, :1, 2] - 1
    with_depth, without = solve(model, places, depth=depth), solve(model, places)
    ours, theirs = float(aligned(with_depth[0], joints).mean()), float(aligned(without[0], joints).mean())
    assert ours < 0.7 * theirs, (ours, theirs)


def test_a_known_length_sets_the_size(model, scene):
    _, places = scene
    for length in (0.15, 0.2):
        found, *_ = solve(model, places[:4], length=length)
        bones = found[:, [9, 10, 11, 12]] - found[:, [0, 9, 10, 11]]
        assert float((bones.norm(dim=-1).sum(1) - length).abs().max()) < 2e-3


def test_missing_places_do_not_count(model, scene):
    _, places = scene
    seen = torch.ones(24, 21, dtype=torch.bool)
    seen[:, [0, 7, 16]] = False
    spoilt = torch.where(seen[..., None], places, torch.nan)
    _, cost, off, state = solve_pictures(model, PictureJoints(spoilt, seen, torch.full((24, 21), torch.nan)))
    assert bool(torch.isfinite(cost).all()) and bool(torch.isfinite(state.inner).all())
    assert torch.equal(torch.isfinite(off), seen)
    assert 1e3 * float(off[seen].mean()) < 1


def test_sizes_are_those_of_what_is_seen():
    places = torch.zeros(2, 21, 2)
    places[:, 1:] = torch.tensor([0.1, 0.0])
    seen = torch.zeros(2, 21, dtype=torch.bool)
    seen[:, :2] = True
    assert hand_sizes(PictureJoints(array(places), array(seen))) == pytest.approx(0.05)
