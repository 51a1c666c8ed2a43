"""The prior of joints: hands are usual, points, flat and bent hands are not; turning and moving change nothing."""

import pytest
import torch

from phalanx.hand.joint_prior import JointPrior
from phalanx.hand.model import HandModel


@pytest.fixture(scope="module")
def prior():
    return JointPrior.of_hand(HandModel.open_hand())


@pytest.fixture
def hand():
    """An average hand at rest, in lengths of the middle finger's first bone."""
    rest = HandModel.open_hand().rest_joints
    return (rest / (rest[9] - rest[10]).norm())[None].float()


def test_usual_hands_cost_little_and_others_much(prior, hand):
    usual = prior.cost(hand).item()
    assert usual < 1.5
    assert prior.cost(torch.zeros(1, 21, 3)).item() > 5 * usual
    long = hand.clone()
    long[:, 8] += hand[:, 8] - hand[:, 7]  # a fingertip twice as far
    assert prior.cost(long).item() > 1.2 * usual
    assert prior.cost(hand * torch.tensor([-1.0, 1.0, 1.0])).item() > 2 * usual  # a left hand
    assert prior.cost(prior.mean[None]).item() < 1e-6


def test_where_and_how_turned_does_not_matter(prior, hand):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.linalg.det(turn)
    moved = hand @ turn.T + torch.tensor([0.3, -2.0, 5.0])
    torch.testing.assert_close(prior.cost(moved), prior.cost(hand), rtol=1e-3, atol=1e-4)


def test_descent_makes_a_hand_more_usual(prior, hand):
    odd = (hand + 0.3 * torch.randn(hand.shape, generator=torch.Generator().manual_seed(2))).requires_grad_()
    before = prior.cost(odd).sum()
    (gradient,) = torch.autograd.grad(before, odd)
    assert gradient.isfinite().all()
    assert prior.cost(odd - 1e-3 * gradient).item() < before.item()
