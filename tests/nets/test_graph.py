"""Chebyshev convolutions against dense spectral algebra."""

import pytest
import torch

from phalanx.nets.graph import (
    ChebyshevConvolution,
    adjacency,
    largest_eigenvalue,
    mesh_edges,
    normalised_laplacian,
    scaled_laplacian,
)

FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1], [4, 3, 5]])


def dense_laplacian(nodes, edges, weights=None):
    matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
    for number, (first, second) in enumerate(edges.tolist()):
        value = 1.0 if weights is None else float(weights[number])
        matrix[first, second] = matrix[second, first] = value
    root = matrix.sum(1).clamp_min(1e-12).rsqrt()
    return torch.eye(nodes, dtype=torch.float64) - root[:, None] * matrix * root


def test_edges_of_a_mesh():
    edges = mesh_edges(FACES)
    assert len(edges) == 5 + 6 - 1  # Euler, of a disc: V - E + F = 1
    assert (edges[:, 0] < edges[:, 1]).all()
    assert {(0, 1), (1, 4), (3, 5)} <= set(map(tuple, edges.tolist()))


@pytest.mark.parametrize("weighted", [False, True])
def test_laplacian_is_the_dense_one(weighted):
    edges = mesh_edges(FACES)
    weights = torch.arange(1.0, len(edges) + 1) if weighted else None
    laplacian = normalised_laplacian(adjacency(6, edges, weights))
    dense = dense_laplacian(6, edges, weights)
    torch.testing.assert_close(laplacian.to_dense(), dense)
    values = torch.linalg.eigvalsh(dense)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert largest_eigenvalue(laplacian) == pytest.approx(float(values[-1]))
    scaled = torch.linalg.eigvalsh(scaled_laplacian(adjacency(6, edges, weights)).to_dense())
    assert (scaled[0].item(), scaled[-1].item()) == (pytest.approx(-1), pytest.approx(1))


def test_node_without_edges():
    laplacian = normalised_laplacian(adjacency(4, torch.tensor([[0, 1], [1, 2]])))
    assert laplacian.to_dense()[3].tolist() == [0, 0, 0, 1]
    assert largest_eigenvalue(normalised_laplacian(adjacency(2, torch.tensor([[0, 1]])))) == pytest.approx(2)


def test_convolution_is_a_filter_of_the_spectrum():
    """U g(Lambda) U^T F with g a sum of Chebyshev polynomials, cos(i arccos x), by eigendecomposition."""
    torch.manual_seed(0)
    scaled = scaled_laplacian(adjacency(6, mesh_edges(FACES)))
    convolution = ChebyshevConvolution(scaled, 3, 5, order=4).double()
    features = torch.randn(2, 6, 3, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(convolution_matrix(convolution))
    expected = convolution.bias.expand(2, 6, 5).clone()
    for i, theta in enumerate(convolution.weight.view(5, 3, 5)):
        response = torch.cos(i * torch.arccos(values.clamp(-1, 1)))
        expected = expected + vectors @ (response[:, None] * (vectors.T @ features)) @ theta
    torch.testing.assert_close(convolution(features), expected, atol=1e-6, rtol=1e-6)


def convolution_matrix(convolution):
    """The operator as the layer holds it."""
    matrix = torch.zeros(convolution.nodes, convolution.nodes, dtype=torch.float64)
    rows, columns = convolution._places
    matrix[rows, columns] = convolution._values.double()
    return matrix


def test_gradients():
    torch.manual_seed(0)
    scaled = scaled_laplacian(adjacency(6, mesh_edges(FACES)))
    convolution = ChebyshevConvolution(scaled, 2, 3, order=3).double()
    features = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: torch.func.functional_call(convolution, {"weight": weight, "bias": bias}, (x,)),
        (features, convolution.weight, convolution.bias),
    )


def test_a_node_sees_as_many_edges_far_as_the_order():
    path = torch.tensor([[i, i + 1] for i in range(7)])
    convolution = ChebyshevConvolution(scaled_laplacian(adjacency(8, path)), 1, 1, order=2)
    features = torch.zeros(1, 8, 1)
    features[0, 0] = 1
    reached = (convolution(features) - convolution.bias)[0, :, 0] != 0
    assert reached.tolist() == [True] * 3 + [False] * 5


def test_under_autocast_products_keep_their_precision():
    convolution = ChebyshevConvolution(scaled_laplacian(adjacency(6, mesh_edges(FACES))), 3, 4)
    features = torch.randn(1, 6, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolution(features)
        found.float().sum().backward()
    torch.testing.assert_close(found.float(), convolution(features), atol=0.05, rtol=0.05)
    assert convolution.weight.grad.dtype == torch.float32


def test_wrong_shapes_are_named():
    scaled = scaled_laplacian(adjacency(6, mesh_edges(FACES)))
    with pytest.raises(ValueError, match="6 nodes of 3 expected, not 5 of 3"):
        ChebyshevConvolution(scaled, 3, 4)(torch.zeros(1, 5, 3))
    with pytest.raises(ValueError, match="order"):
        ChebyshevConvolution(scaled, 3, 4, order=-1)
