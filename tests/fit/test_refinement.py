import pytest
import torch

from phalanx.fit.refinement import refine


def bowl(parameters):
    return (parameters - torch.tensor([0.3, -0.2])).square().sum(1)


def test_it_goes_down_and_keeps_the_best():
    start = torch.tensor([[0.0, 0.0], [0.3, -0.2], [1.0, 1.0]])
    found = refine(start, bowl, 200, 0.02)
    assert found.path.shape == (201, 3, 2) and torch.equal(found.path[0], start)
    torch.testing.assert_close(found.parameters[0], torch.tensor([0.3, -0.2]), atol=0.01, rtol=0)
    assert torch.equal(found.parameters[1], start[1])  # it was there already
    costs = torch.stack([bowl(step) for step in found.path])
    assert bool((costs[1:] <= costs[:-1]).all()) and torch.equal(costs[-1], found.cost)


def test_a_step_is_adams():
    start = torch.tensor([[0.9, 0.1], [0.2, 0.4]])
    twin = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([twin], lr=0.01)
    for _ in range(7):
        optimiser.zero_grad()
        bowl(twin).sum().backward()
        optimiser.step()
    torch.testing.assert_close(refine(start, bowl, 7, 0.01).parameters, twin.detach(), atol=1e-6, rtol=0)


def test_hands_do_not_see_each_other():
    start = torch.tensor([[0.9, 0.1], [0.2, 0.4], [0.0, 0.0]])
    together = refine(start, bowl, 20, 0.05).parameters
    alone = torch.cat([refine(start[i : i + 1], bowl, 20, 0.05).parameters for i in range(3)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("iterations", [0, 5])
def test_what_is_no_number_never_wins(iterations):
    def broken(parameters):
        cost = bowl(parameters)
        return torch.where(parameters[:, 0] > 0.5, torch.nan, cost)

    start = torch.tensor([[0.49, 0.0], [0.9, 0.0]])
    found = refine(start, broken, iterations, 0.1)
    assert bool(found.parameters.isfinite().all()) and float(found.cost[0]) <= float(bowl(start)[0])
    assert torch.equal(found.parameters[1], start[1]) and float(found.cost[1]) == torch.inf
