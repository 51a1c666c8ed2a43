"""Graph U-Net: pooling to the best nodes, back, gradients."""

import pytest
import torch

from phalanx.nets.graph import adjacency
from phalanx.nets.graph_unet import GraphConvolution, GraphUNet, TopPool, normalised_adjacency, unpooled

PATH = adjacency(7, torch.tensor([[i, i + 1] for i in range(6)])).to_dense()


def test_adjacency_is_normalised():
    found = normalised_adjacency(PATH)
    torch.testing.assert_close(found, found.T)
    values = torch.linalg.eigvalsh(found)
    assert float(values[-1]) == pytest.approx(1)  # D^1/2 1 is kept
    assert float(values[0]) > -1


def test_pool_keeps_the_nodes_that_lie_farthest():
    pool = TopPool(2, 3).double()
    with torch.no_grad():
        pool.direction.copy_(torch.tensor([2.0, 0.0]))
    features = torch.zeros(1, 7, 2, dtype=torch.float64)
    features[0, :, 0] = torch.tensor([0.0, 5, 1, 4, -3, 3, 2])
    kept, matrix, chosen = pool(features, PATH)
    assert chosen.tolist() == [[1, 3, 5]]
    torch.testing.assert_close(
        kept[0, :, 0], torch.tensor([5.0, 4, 3]).double() * torch.sigmoid(torch.tensor([5.0, 4, 3]).double())
    )
    assert matrix[0].tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]  # nodes two edges apart are joined
    back = unpooled(kept, chosen, 7)
    assert torch.equal(back[:, [1, 3, 5]], kept) and not back[:, [0, 2, 4, 6]].any()


def test_gradients():
    torch.manual_seed(0)
    network = GraphUNet(PATH, 3, 2, width=4, keep=(4, 2)).double()
    features = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (features,))
    network = GraphUNet(PATH, 3, 2, width=32, keep=(4, 2))
    network(torch.randn(8, 7, 3)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_convolution_of_equal_samples_is_that_of_one():
    convolution = GraphConvolution(3, 2)
    features = torch.randn(4, 7, 3)
    together = convolution(features, PATH.float().expand(4, -1, -1))
    torch.testing.assert_close(together, convolution(features, PATH.float()))


def test_samples_keep_nodes_of_their_own():
    torch.manual_seed(1)
    network = GraphUNet(PATH, 3, 2, width=4, keep=(3,)).double()
    features = torch.randn(5, 7, 3, dtype=torch.float64)
    alone = torch.cat([network(features[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(network(features), alone)


def test_keeping_more_than_there_are():
    with pytest.raises(ValueError, match="7 nodes cannot keep"):
        GraphUNet(PATH, 3, 2, keep=(8,))
