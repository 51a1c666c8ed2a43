"""Long lists of points in another order: what PyTorch has, too, but on the CPU by NumPy and OpenCV, in a tenth of the time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor


def places(mask: Tensor) -> Tensor:
    """Numbers `(N,)` int64, rising, of the places of a flattened mask that are true: `mask.flatten().nonzero()[:, 0]`."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def repeated(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Values `(..., N)`, each repeated so many times along the last axis."""
    if values.device.type != "cpu":
        return values.repeat_interleave(torch.tensor(counts, device=values.device), -1)
    return torch.from_numpy(np.repeat(values.contiguous().numpy(), counts, axis=-1))


def interleaved(columns: Sequence[Tensor]) -> Tensor:
    """Up to four float32 columns `(T,)` as rows `(T, C)`: `torch.stack(columns, -1)`."""
    if columns[0].device.type != "cpu" or not len(columns[0]):
        return torch.stack(list(columns), -1)
    merged = cv2.merge([column.contiguous().numpy() for column in columns])
    return torch.from_numpy(merged).view(len(columns[0]), len(columns))


def transposed(rows: Tensor) -> Tensor:
    """Float32 rows `(T, C)` as columns `(C, T)`, each of which lies together: `rows.t().contiguous()`."""
    if rows.device.type != "cpu" or not rows.numel():
        return rows.t().contiguous()
    return torch.from_numpy(cv2.transpose(rows.contiguous().numpy())).view(rows.shape[1], len(rows))
