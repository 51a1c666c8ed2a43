"""Surfaces out of vectors and values out of surfaces, on a small mesh."""

import pytest
import torch

from phalanx.nets.graph import mesh_edges
from phalanx.nets.graph_coarsening import hierarchy
from phalanx.nets.graph_mesh import MeshDecoder, MeshReader


@pytest.fixture(scope="module")
def levels():
    """A grid of 6 x 6 vertices."""
    number = torch.arange(36).view(6, 6)
    corner, right, below, across = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = torch.cat([torch.stack(t, -1).view(-1, 3) for t in ((corner, right, below), (right, across, below))])
    return hierarchy(36, mesh_edges(faces), 3)


def test_decoder_learns_a_surface(levels):
    torch.manual_seed(0)
    network = MeshDecoder(levels, 4, (8, 8, 8, 8))
    vectors = torch.randn(3, 4)
    target = torch.randn(3, 36, 3).cumsum(1) / 6
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    first = None
    for _ in range(60):
        loss = (network(vectors) - target).square().mean()
        first = loss.item() if first is None else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert network(vectors).shape == (3, 36, 3)
    assert loss.item() < 0.3 * first


def test_reader_takes_every_vertex_into_account(levels):
    torch.manual_seed(0)
    network = MeshReader(levels, 5, width=4, hidden=8)
    surface = torch.randn(16, 36, 3, requires_grad=True)
    found = network(surface)
    assert found.shape == (16, 5)
    found.square().sum().backward()
    assert bool((surface.grad.abs().sum((0, 2)) > 0).all())
    assert all(bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_graphs_are_not_among_the_weights(levels):
    assert not any("clusters" in name or "_values" in name for name in MeshDecoder(levels, 4, (4,) * 4).state_dict())


def test_wrong_numbers_of_levels(levels):
    with pytest.raises(ValueError, match="4 levels need as many widths"):
        MeshDecoder(levels, 4, (8, 8))
    with pytest.raises(ValueError, match="three levels"):
        MeshReader(levels[:2], 5)
