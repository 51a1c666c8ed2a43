import pytest
import torch

from phalanx.hand.model import HandModel
from phalanx.losses.surfaces import bent_surface, curvature, neighbour_offsets
from phalanx.nets.graph import mesh_edges


@pytest.fixture(scope="module")
def mesh():
    hand = HandModel.open_hand()
    return hand.template, mesh_edges(hand.faces)


def test_offsets_lead_to_the_mean_of_the_neighbours(mesh):
    rest, edges = mesh
    found = neighbour_offsets(rest[None], edges)[0]
    for vertex in (0, 17, 1234):
        others = [int(b if a == vertex else a) for a, b in edges if vertex in (a, b)]
        torch.testing.assert_close(found[vertex], rest[others].mean(0) - rest[vertex])
    alone = torch.rand(1, 3, 3)
    assert not neighbour_offsets(alone, torch.tensor([[0, 1]]))[0, 2].any()


def test_a_surface_at_rest_costs_nothing_wherever_it_is(mesh):
    rest, edges = mesh
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    moved = torch.stack([rest, rest @ turn.T + 3])
    assert float(bent_surface(moved, edges, rest).max()) < 1e-5
    rough = rest + 0.002 * torch.randn(rest.shape, generator=torch.Generator().manual_seed(1))
    length = (rest[edges[:, 0]] - rest[edges[:, 1]]).norm(dim=1).mean()
    change = (curvature(rough[None], edges) - curvature(rest[None], edges))[0] / length
    total = sum(float(value) ** 2 for value in change) / len(rest)
    assert float(bent_surface(rough[None], edges, rest)) == pytest.approx(total, rel=1e-4) and total > 0.01


def test_gradients_agree_with_differences():
    random = torch.Generator().manual_seed(0)
    rest = torch.rand(5, 3, generator=random, dtype=torch.float64)
    edges = torch.tensor([[0, 1], [1, 2], [2, 3], [0, 3], [0, 4]])
    vertices = (rest + 0.1 * torch.rand(2, 5, 3, generator=random, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: bent_surface(v, edges, rest), (vertices,))
