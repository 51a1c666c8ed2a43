"""Graphs with features on their nodes: the normalised Laplacian, and convolutions that are Chebyshev polynomials of it.

Defferrard, Bresson and Vandergheynst, "Convolutional neural networks on graphs with fast localized spectral filtering", NeurIPS 2016,
as Chen 2020 (Sec. 4.3.2 and 5.3.2) and Ge et al. 2019 use them on the surface of a hand. A graph is its number of nodes, its edges
`(E, 2)`, each once, and their weights `(E,)`; features are `(B, N, F)`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


def mesh_edges(faces: Tensor) -> Tensor:
    """Edges (E, 2) of a mesh with `faces` (F, 3), each once, the smaller number first, in order."""
    sides = torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]])).long()
    return sides.sort(dim=1).values.unique(dim=0)


def adjacency(nodes: int, edges: Tensor, weights: Tensor | None = None) -> Tensor:
    """The symmetric adjacency matrix (N, N), sparse, float64; `weights` (E,), 1 for each edge if None."""
    values = torch.ones(len(edges), dtype=torch.float64) if weights is None else weights.double()
    both = torch.cat((edges, edges.flip(1))).T
    return torch.sparse_coo_tensor(both, values.repeat(2), (nodes, nodes), check_invariants=True).coalesce()


def normalised_laplacian(matrix: Tensor) -> Tensor:
    """`L = I - D^-1/2 A D^-1/2` (N, N), sparse, of an adjacency matrix A (N, N), sparse; a node without edges has a 1 on the diagonal."""
    degree = matrix.sum(dim=1).to_dense()  # (N,)
    root = torch.where(degree > 0, degree, 1.0).rsqrt()
    (rows, columns), values = matrix.indices(), matrix.values()
    scaled = torch.sparse_coo_tensor(
        matrix.indices(), -root[rows] * values * root[columns], matrix.shape, check_invariants=True
    )
    return (_identity(len(degree)) + scaled).coalesce()


def largest_eigenvalue(laplacian: Tensor) -> float:
    """Of a symmetric sparse matrix (N, N), by Lanczos iteration."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import eigsh

    count = laplacian.shape[0]
    if count < 3:  # too few for the iteration
        return float(torch.linalg.eigvalsh(laplacian.to_dense()).max())
    matrix = coo_matrix((laplacian.values().numpy(), laplacian.indices().numpy()), shape=(count, count)).tocsr()
    begin = np.random.default_rng(0).normal(size=count)  # the same on every call
    return float(eigsh(matrix, k=1, which="LA", v0=begin, return_eigenvectors=False)[0])


def scaled_laplacian(matrix: Tensor) -> Tensor:
    """`2 L / lambda_max - I` (N, N), sparse, whose eigenvalues lie in [-1, 1], of an adjacency matrix (N, N), sparse."""
    laplacian = normalised_laplacian(matrix)
    scale = 2 / largest_eigenvalue(laplacian)
    return (scale * laplacian - _identity(laplacian.shape[0])).coalesce()


class ChebyshevConvolution(nn.Module):
    """`F' = sum over i = 0..S of T_i(L) F theta_i` and a bias (Eq. 5.4): features (B, N, F_in) to (B, N, F_out).

    In print the sum has factors alpha_i, which theta_i contain, and F is left out. T_i are the Chebyshev polynomials by their
    recursion, so each step is one product with a sparse matrix and a node sees S edges far. Products with the Laplacian are
    computed in the precision of the weights, whatever a surrounding autocast says.

    Args:
        laplacian: (N, N) sparse, as `scaled_laplacian` gives it; symmetric.
        inputs, outputs: features of a node.
        order: S.
    """

    _places: Tensor
    _values: Tensor

    def __init__(self, laplacian: Tensor, inputs: int, outputs: int, order: int = 2) -> None:
        super().__init__()
        if order < 0 or min(inputs, outputs) < 1:
            raise ValueError(f"ChebyshevConvolution: no such order or features: {order=}, {inputs=}, {outputs=}")
        self.order, self.inputs = order, inputs
        laplacian = laplacian.coalesce()
        self.register_buffer("_places", laplacian.indices(), persistent=False)
        self.register_buffer("_values", laplacian.values().float(), persistent=False)
        self.nodes = laplacian.shape[0]
        self.weight = nn.Parameter(torch.empty((order + 1) * inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=math.sqrt(2 / ((order + 1) * inputs)))

    def forward(self, features: Tensor) -> Tensor:
        batch, nodes, inputs = features.shape
        if (nodes, inputs) != (self.nodes, self.inputs):
            raise ValueError(
                f"ChebyshevConvolution: {self.nodes} nodes of {self.inputs} expected, not {nodes} of {inputs}"
            )
        with torch.autocast(features.device.type, enabled=False):
            values = self._values.to(self.weight.dtype)
            laplacian = torch.sparse_coo_tensor(
                self._places, values, (nodes, nodes), is_coalesced=True, check_invariants=False
            )
            first = features.to(self.weight.dtype).transpose(0, 1).reshape(nodes, batch * inputs)  # T_0 F
            terms = [first]
            if self.order > 0:
                terms.append(_product(laplacian, first))  # T_1 F
            for _ in range(self.order - 1):
                terms.append(2 * _product(laplacian, terms[-1]) - terms[-2])  # T_i F
        seen = torch.cat(
            [term.view(nodes, batch, inputs) for term in terms], dim=-1
        )  # nodes first: what follows copies nothing
        return (seen @ self.weight + self.bias).transpose(0, 1)  # (B, N, F_out)


class _Product(torch.autograd.Function):
    """A symmetric sparse matrix (N, N) times (N, C); the matrix takes no gradient, which saves its transposition."""

    @staticmethod
    def forward(context, matrix, values):  # type: ignore[no-untyped-def]
        context.matrix = matrix
        return torch.sparse.mm(matrix, values)

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        return None, torch.sparse.mm(context.matrix, gradient.contiguous())


def _product(matrix: Tensor, values: Tensor) -> Tensor:
    result: Tensor = _Product.apply(matrix, values)
    return result


def _identity(nodes: int) -> Tensor:
    index = torch.arange(nodes)
    ones = torch.ones(nodes, dtype=torch.float64)
    return torch.sparse_coo_tensor(torch.stack((index, index)), ones, (nodes, nodes), check_invariants=True)
