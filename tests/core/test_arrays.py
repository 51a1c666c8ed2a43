"""The same calls on NumPy arrays and on tensors give the same numbers, of the same kind and type."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from phalanx.core import arrays


def both(*shape, dtype=np.float64):
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    return values, torch.from_numpy(values.copy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: arrays.like([[1, 2], [3, 4]], x),
        lambda x: arrays.zeros((2, 3), x),
        arrays.lengths,
        arrays.unit,
        lambda x: arrays.diagonal(x, 1, 2),
        lambda x: arrays.solve(x, x[..., :1]),
        lambda x: arrays.solve_positive(x @ x.swapaxes(-1, -2), x[..., :2]),
    ],
)
def test_both_kinds_agree(call, dtype):
    array, _ = both(5, 4, 4, dtype=dtype)
    array[:, range(4), range(4)] += 5  # far from singular
    tensor = torch.from_numpy(array.copy())
    ours, theirs = call(array), call(tensor)
    assert isinstance(ours, np.ndarray) and arrays.is_tensor(theirs)
    assert ours.dtype == dtype and theirs.dtype == tensor.dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-10 if dtype is np.float64 else 1e-5)


def test_namespaces():
    array, tensor = both(2)
    assert arrays.namespace(array) is np and arrays.namespace(array.sum()) is np and arrays.namespace(tensor) is torch
    assert not arrays.is_tensor(array) and not arrays.is_tensor([1.0])


def test_solutions_solve():
    for matrix in both(6, 5, 5):
        right = matrix[..., :2] + 1
        square = matrix @ matrix.swapaxes(-1, -2)
        np.testing.assert_allclose(matrix @ arrays.solve(matrix, right), right, atol=1e-9)
        np.testing.assert_allclose(square @ arrays.solve_positive(square, right), right, atol=1e-6)


def test_a_diagonal_is_a_view_that_can_be_written_to():
    for matrix in both(2, 3, 4, 3):
        view = arrays.diagonal(matrix, 1, 3)  # (2, 4, 3)
        view += 10
        for i in range(3):
            assert (matrix[:, i, :, i] > 5).all()
        assert matrix[:, 0, :, 1].max() < 5


def test_short_vectors_stay_finite():
    for vectors in both(2, 3):
        assert np.isfinite(np.asarray(arrays.unit(0 * vectors))).all()


def test_arrays_alone_need_no_pytorch():
    code = "import sys, numpy as np; from phalanx.core.arrays import *; unit(np.ones(3)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
