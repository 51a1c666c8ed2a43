"""Eq. 1 to 5 on the default estimator: the cloud lies on the hand, true poses fit best, and palms take no gradient from depth."""

import numpy as np
import pytest
import torch
from small_estimator import SMALL

from phalanx.adapt.rgbd_method import POINTS, RgbdMethod, readings
from phalanx.fit.evidence import Evidence
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.methods.compact import CompactEstimator
from phalanx.methods.refinable import surface_points


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    return RgbdMethod(CompactEstimator(SMALL), 0.19)


def evidence(rows=2):
    pose = HandPose.zero(rows)
    shape = torch.linspace(-1, 1, 10 * rows).view(rows, 10)
    return Evidence(
        rotations=pose.rotations.clone().requires_grad_(),
        orientation=(pose.orientation.clone() * torch.tensor([1.0, -1.0, -1.0])).requires_grad_(),
        shape=shape.requires_grad_(),
    )


def test_the_cloud_lies_on_the_surface_of_the_shape_and_is_as_long_as_the_hand(method):
    found = evidence(1)
    cloud = method.posed(found).detach()
    hand = HandModel.open_hand()
    pose = HandPose(found.rotations, found.shape, found.orientation, torch.zeros(1, 3))
    surface = hand.without_correctives()(pose)
    chain = surface.joints[0, [0, 9, 10, 11, 12]].detach()
    scale = 0.19 / (chain[1:] - chain[:-1]).norm(dim=1).sum()
    corners, shares = surface_points(hand, POINTS)
    points = torch.einsum("nk,nki->ni", shares, surface.vertices[0, corners].detach())
    torch.testing.assert_close(cloud[0], scale * points, atol=1e-5, rtol=0)


def test_true_depth_fits_the_true_pose_best_and_moves_fingers_not_palms(method):
    true = method.posed(evidence()).detach()
    made, measured = method.maps(evidence(), true + torch.tensor([0.1, -0.05, 0.6]))
    assert float((made - measured).detach().abs().mean()) < 1e-5
    found = evidence()
    bent = found.rotations.detach().clone()
    turn = torch.tensor(0.7)
    bent[:, 4:7] = torch.tensor(
        [[1.0, 0, 0], [0, float(turn.cos()), -float(turn.sin())], [0, float(turn.sin()), float(turn.cos())]]
    )
    found.rotations = bent.requires_grad_()
    made, measured = method.maps(found, true)
    error = (made - measured).abs().mean()
    assert error.item() > 1e-3
    error.backward()
    assert found.orientation.grad is None and float(found.shape.grad.abs().sum()) > 0
    assert float(found.rotations.grad[:, 4:7].abs().sum()) > 0 and float(method.offsets.grad.abs().sum()) > 0


def test_readings_are_points_of_the_view():
    depth = np.zeros((4, 4), dtype=np.float32)
    depth[1, 3] = 0.5
    points = readings(depth, 0.8, np.random.default_rng(0))
    assert np.isnan(points[1:]).all()
    np.testing.assert_allclose(points[0], [(3.5 / 4 - 0.5) * 0.8 * 0.5, (1.5 / 4 - 0.5) * 0.8 * 0.5, 0.5], atol=1e-7)
    many = readings(np.full((64, 64), 0.5, dtype=np.float32), 0.8, np.random.default_rng(0))
    assert np.isfinite(many).all() and len(np.unique(many, axis=0)) == POINTS
