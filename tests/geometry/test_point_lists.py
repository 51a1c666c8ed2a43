"""Lists of points are those of PyTorch."""

import pytest
import torch

from phalanx.geometry.point_lists import interleaved, places, repeated, transposed

VALUES = torch.rand(4, 1000, generator=torch.Generator().manual_seed(0))


def test_places_are_where_the_mask_is_true():
    mask = VALUES > 0.7
    assert torch.equal(places(mask), mask.flatten().nonzero()[:, 0])
    assert torch.equal(places(mask[:, ::3]), mask[:, ::3].flatten().nonzero()[:, 0])
    assert places(mask[0] & ~mask[0]).shape == (0,)


def test_values_are_repeated():
    counts = torch.tensor([3, 0, 2])
    assert torch.equal(repeated(VALUES[:, :3], [3, 0, 2]), VALUES[:, :3].repeat_interleave(counts, 1))
    assert torch.equal(repeated(VALUES[0, 0:6:2], [3, 0, 2]), VALUES[0, 0:6:2].repeat_interleave(counts))


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("length", [0, 1, 1000])
def test_columns_become_rows_and_columns_again(count, length):
    columns = VALUES[:count, :length]
    rows = interleaved(list(columns))
    assert torch.equal(rows, torch.stack(list(columns), -1))
    assert torch.equal(transposed(rows), columns) and transposed(rows).is_contiguous()


def test_columns_may_lie_apart():
    assert torch.equal(
        interleaved([VALUES[0, ::2], VALUES[1, 1::2]]), torch.stack([VALUES[0, ::2], VALUES[1, 1::2]], -1)
    )
    assert torch.equal(transposed(VALUES[:, ::2]), VALUES[:, ::2].t())
