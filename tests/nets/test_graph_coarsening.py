"""What holds for any coarsening of a graph, on the hand's own."""

from itertools import pairwise

import pytest
import torch

from phalanx.hand.model import HandModel
from phalanx.nets.graph import adjacency, mesh_edges
from phalanx.nets.graph_coarsening import hierarchy, matching, merged, pooled, through, upsampled


@pytest.fixture(scope="module")
def levels():
    hand = HandModel.open_hand()
    return hierarchy(len(hand.template), mesh_edges(hand.faces), 3)


def parts(nodes, edges):
    """Number of connected parts."""
    from scipy.sparse.csgraph import connected_components

    matrix = adjacency(nodes, edges).to_dense().numpy()
    return connected_components(matrix, directed=False)[0]


def test_three_levels_each_about_half(levels):
    assert len(levels) == 4
    assert levels[-1].clusters is None
    for fine, coarse in pairwise(levels):
        assert 0.5 <= coarse.nodes / fine.nodes < 0.6
        assert parts(coarse.nodes, coarse.edges) == parts(fine.nodes, fine.edges) == 1


def test_clusters_are_single_nodes_or_neighbours(levels):
    for fine, coarse in pairwise(levels):
        sizes = fine.clusters.bincount(minlength=coarse.nodes)
        assert set(sizes.tolist()) <= {1, 2}
        ends = fine.clusters[fine.edges]
        inside = ends[:, 0] == ends[:, 1]
        assert int(inside.sum()) == int((sizes == 2).sum())  # every pair is joined by an edge
        alone = sizes[ends] == 1
        assert not alone.all(dim=1).any()  # no two neighbours are both left alone


def test_weights_between_clusters_are_kept(levels):
    for fine, coarse in pairwise(levels):
        ends = fine.clusters[fine.edges]
        between = fine.weights[ends[:, 0] != ends[:, 1]].sum()
        assert float(coarse.weights.sum()) == pytest.approx(float(between))
        assert (coarse.edges[:, 0] < coarse.edges[:, 1]).all()
        assert len(coarse.edges.unique(dim=0)) == len(coarse.edges)


def test_heavy_edges_are_matched():
    edges = torch.tensor([[0, 1], [1, 2], [2, 3], [0, 3]])
    clusters = matching(4, edges, torch.tensor([1.0, 9.0, 1.0, 9.0]))
    assert clusters[1] == clusters[2] and clusters[0] == clusters[3]
    coarse, weights = merged(edges, torch.tensor([1.0, 9.0, 1.0, 9.0]), clusters)
    assert coarse.tolist() == [[0, 1]] and weights.tolist() == [2]


def test_coarsening_is_the_same_every_time(levels):
    first = levels[0]
    assert torch.equal(matching(first.nodes, first.edges, first.weights), first.clusters)


def test_pooling_and_upsampling(levels):
    fine, coarse = levels[:2]
    features = torch.randn(2, coarse.nodes, 3)
    back = pooled(upsampled(features, fine.clusters), fine.clusters, coarse.nodes)
    assert torch.equal(back, features)
    values = torch.arange(float(fine.nodes))[None, :, None]
    largest = pooled(values, fine.clusters, coarse.nodes)[0, :, 0]
    for cluster in (0, coarse.nodes // 2, coarse.nodes - 1):
        assert largest[cluster] == (fine.clusters == cluster).nonzero().max()


def test_through_all_levels(levels):
    end = through(levels)
    assert torch.equal(end, levels[2].clusters[levels[1].clusters[levels[0].clusters]])
    assert int(end.bincount().max()) <= 8


def test_laplacians_of_all_levels_are_scaled(levels):
    coarse = levels[-1].laplacian.to_dense()
    values = torch.linalg.eigvalsh(coarse)
    assert float(values[0]) == pytest.approx(-1, abs=1e-6) and float(values[-1]) == pytest.approx(1, abs=1e-6)
