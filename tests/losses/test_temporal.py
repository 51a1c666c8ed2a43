"""Terms of clips against slow twins, with weights, and their gradients."""

import pytest
import torch

from phalanx.hand.skeleton import BONES
from phalanx.losses.temporal import both_ways, constant_lengths, known_lengths, unsteadiness

PAIRS = torch.tensor(BONES)


@pytest.fixture
def points():
    return torch.randn(2, 4, 21, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_consistency_is_the_equation_and_moves_both_sides(points):
    forward, backward = points.clone().requires_grad_(), (points + 0.3).requires_grad_()
    loss = both_ways(forward, backward)
    assert loss.item() == pytest.approx(3 * 0.3**2)
    loss.backward()
    assert torch.allclose(forward.grad, -backward.grad) and forward.grad.abs().min() > 0
    assert both_ways(points, points).item() == 0


def test_consistency_counts_what_is_valid_alone(points):
    off = points.clone()
    off[1, 2] += 1.0
    valid = torch.ones(2, 4)
    valid[1, 2] = 0
    assert both_ways(points, off).item() == pytest.approx(3 / 8)
    assert both_ways(points, off, valid).item() == 0
    assert both_ways(points, off, valid[..., None].expand(-1, -1, 21)).item() == 0


def test_lengths_are_constant_under_motion_and_known_ones_at_their_own(points):
    turn = torch.linalg.qr(points[0, :4, :3])[0]  # (4, 3, 3), a rotation for each frame
    rigid = (points[:, :1] @ turn[None].mT) + points[:, :, :1]
    assert constant_lengths(rigid, PAIRS).item() < 1e-20
    lengths = (points[:, :1, PAIRS[:, 0]] - points[:, :1, PAIRS[:, 1]]).norm(dim=-1)[:, 0]
    assert known_lengths(rigid, PAIRS, lengths).item() < 1e-20
    slow = [(points[:, t, a] - points[:, t, b]).norm(dim=-1) for t in range(4) for a, b in BONES]
    slow = torch.stack(slow, 1).view(2, 4, 20)
    assert constant_lengths(points, PAIRS).item() == pytest.approx(
        (slow - slow.mean(1, keepdim=True)).square().mean().item()
    )
    assert known_lengths(points, PAIRS, torch.ones(20).double()).item() == pytest.approx(
        (slow - 1).square().mean().item()
    )
    valid = torch.ones(2, 4, 21)
    valid[:, :, 4] = 0  # the thumb's tip: its bone goes
    kept = [number for number, bone in enumerate(BONES) if 4 not in bone]
    wanted = (slow[..., kept] - 1).square().mean().item()
    assert known_lengths(points, PAIRS, torch.ones(20).double(), valid).item() == pytest.approx(wanted)


def test_even_motion_is_steady(points):
    even = points[:, :1] + torch.arange(4).view(1, 4, 1, 1) * points[:, 1:2]
    assert unsteadiness(even).item() < 1e-20
    slow = torch.stack([points[:, t - 1] - 2 * points[:, t] + points[:, t + 1] for t in (1, 2)], 1)
    assert unsteadiness(points).item() == pytest.approx(slow.square().sum(-1).mean().item())
    valid = torch.ones(2, 4)
    valid[:, 0] = 0
    assert unsteadiness(points, valid).item() == pytest.approx(slow[:, 1].square().sum(-1).mean().item())
