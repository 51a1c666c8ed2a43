import math

import pytest
import torch

from phalanx.losses.regression import chordal, directions, l1, laplace_nll


def test_l1_sums_coordinates_and_averages_points():
    value = l1(torch.zeros(1, 2, 2), torch.tensor([[[1.0, 2.0], [3.0, 5.0]]]), torch.tensor([[1.0, 0.5]]))
    assert float(value) == pytest.approx((3 + 0.5 * 8) / 1.5)


def test_laplace_likelihood_agrees_with_torch_and_is_least_at_the_mean_error():
    errors = torch.tensor([0.3, 1.0, 0.2, 2.5], dtype=torch.float64)
    ones = torch.ones_like(errors)

    def at(scale: float) -> float:
        return float(laplace_nll(errors, torch.full_like(errors, math.log(scale)), ones))

    reference = -torch.distributions.Laplace(torch.zeros(()).double(), 0.7).log_prob(errors).mean()
    assert at(0.7) == pytest.approx(float(reference))
    best = float(errors.mean())
    assert at(best) < min(at(best * 1.1), at(best * 0.9))


@pytest.mark.parametrize("angle", [0.1, 1.0, 3.0])
def test_chordal_is_sqrt_8_sine_of_half_the_angle(angle):
    turned = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]], dtype=torch.float64
    )
    value = chordal(turned[None], torch.eye(3, dtype=torch.float64)[None], torch.ones(1, dtype=torch.float64))
    assert float(value) == pytest.approx(math.sqrt(8) * math.sin(angle / 2), abs=1e-4)


def test_directions_ignore_length_and_see_turns():
    parents = torch.tensor([0, 1])
    joints = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]]])
    longer = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [3.0, 9.0, 0.0]]])
    weights = torch.ones(1, 3)
    assert float(directions(longer, joints, parents, weights)) < 1e-4
    bent = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    assert float(directions(bent, joints, parents, weights)) == pytest.approx(1.0, abs=1e-4)  # (0 + |1| + |1|) / 2
    assert float(directions(bent, joints, parents, torch.tensor([[1.0, 1.0, 0.0]]))) < 1e-4
