import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.nets.pose_lifting import LiftingStream, PoseLifting, canonical_joints


def hand(seed, count=3):
    random = torch.Generator().manual_seed(seed)
    joints = torch.randn(count, 21, 3, generator=random, dtype=torch.float64)
    return joints - joints[:, :1]


@given(seed=st.integers(0, 1000), angle=st.tuples(*[st.floats(-3, 3)] * 3))
@settings(max_examples=30, deadline=None)
def test_canonical_joints_do_not_turn_with_the_hand(seed, angle):
    joints = hand(seed)
    turn = rotvec_to_rotmat(torch.tensor([angle], dtype=torch.float64))
    still, before = canonical_joints(joints)
    moved, after = canonical_joints(joints @ turn.mT)
    torch.testing.assert_close(moved, still)
    torch.testing.assert_close(after, turn @ before)


def test_the_canonical_frame_is_what_its_description_says():
    joints = hand(1)
    canonical, turn = canonical_joints(joints)
    torch.testing.assert_close(canonical @ turn.mT, joints)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(3, dtype=torch.float64))
    middle, across = canonical[:, 9], canonical[:, 17] - canonical[:, 5]
    assert (middle[:, 0] > 0).all() and middle[:, 1:].abs().max() < 1e-12
    assert (across[:, 1] > 0).all() and across[:, 2].abs().max() < 1e-12


def test_shapes_and_fresh_networks_say_little():
    torch.manual_seed(0)
    network = PoseLifting(21, 16, 8, 16).eval()
    canonical, turn = network(torch.rand(2, 21, 16, 16))
    assert canonical.shape == (2, 21, 3) and turn.shape == (2, 3, 3)
    assert canonical.abs().max() < 0.2
    np.testing.assert_allclose((turn @ turn.mT).detach(), np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-6)


@pytest.mark.parametrize("side", [8, 16, 24])
def test_a_stream_takes_sides_that_are_multiples_of_8(side):
    assert LiftingStream(5, side, 4, 8, 7)(torch.rand(2, 5, side, side)).shape == (2, 7)
