"""One source for NumPy arrays and PyTorch tensors: the namespace of an array, and the few functions whose names differ.

Code for both keeps to operators, slices, `reshape`, `swapaxes` and the functions that NumPy (1.26 and later) and PyTorch call by the
same name, with `axis` and `keepdims`; where the array API standard and both agree on a name, that one. PyTorch is never imported
here: where there is a tensor, it has been imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
"""A NumPy array or a PyTorch tensor; within one call all are of the same kind."""


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether `value` is a PyTorch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def namespace(array: Any) -> Any:
    """The module whose functions take `array`: `numpy` or `torch`."""
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]


def like(values: object, reference: Array) -> Array:
    """`values` as an array of the kind, type and device of `reference`; not copied if it is one already."""
    if isinstance(reference, np.ndarray):
        return np.asarray(values, dtype=reference.dtype)
    return sys.modules["torch"].as_tensor(values, dtype=reference.dtype, device=reference.device)


def zeros(shape: Sequence[int], reference: Array) -> Array:
    """Zeros of the kind, type and device of `reference`."""
    if isinstance(reference, np.ndarray):
        return np.zeros(shape, dtype=reference.dtype)
    return reference.new_zeros(shape)


def concatenate(arrays: Sequence[Array]) -> Array:
    """Arrays one behind the other, along their first axis."""
    joined: Array = namespace(arrays[0]).concatenate(arrays)
    return joined


def diagonal(array: Array, first: int, second: int) -> Array:
    """The diagonal of two axes as the last axis, a view that can be written to."""
    if isinstance(array, np.ndarray):
        view = np.diagonal(array, axis1=first, axis2=second)
        view.setflags(write=True)
        return view
    return array.diagonal(dim1=first, dim2=second)


def lengths(vectors: Array) -> Array:
    """Euclidean lengths (..., 1) of vectors (..., D)."""
    if isinstance(vectors, np.ndarray):
        return np.linalg.norm(vectors, axis=-1, keepdims=True)
    return sys.modules["torch"].linalg.vector_norm(vectors, dim=-1, keepdim=True)


def unit(vectors: Array) -> Array:
    """Vectors (..., D) of length 1; those shorter than 1e-12 stay short instead of becoming infinite."""
    return vectors / namespace(vectors).clip(lengths(vectors), 1e-12, None)


def solve(matrix: Array, right: Array) -> Array:
    """The X of `matrix` (..., N, N) X = `right` (..., N, M). A singular matrix gives anything, or NumPy's LinAlgError."""
    if isinstance(matrix, np.ndarray):
        return np.linalg.solve(matrix, right)
    return sys.modules["torch"].linalg.solve_ex(matrix, right)[0]


def solve_positive(matrix: Array, right: Array) -> Array:
    """As `solve`, for symmetric positive definite matrices alone."""
    if isinstance(matrix, np.ndarray):
        return np.linalg.solve(matrix, right)
    torch = sys.modules["torch"]
    return torch.cholesky_solve(right, torch.linalg.cholesky_ex(matrix)[0])
