from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields


@dataclass
class Pair:
    first: Tensor
    second: Tensor


PAIRS = [Pair(torch.tensor([1.0]), torch.tensor([[2.0, 3.0]])), Pair(torch.tensor([4.0, 5.0]), torch.zeros(2, 2))]


def test_every_field_is_mapped():
    doubled = map_fields(PAIRS[1], lambda value: 2 * value)
    assert isinstance(doubled, Pair) and doubled.first.tolist() == [8.0, 10.0] and doubled.second.shape == (2, 2)
    assert PAIRS[1].first.tolist() == [4.0, 5.0]


def test_records_are_joined_along_the_batch_or_as_asked():
    joined = join_fields(PAIRS)
    assert joined.first.tolist() == [1.0, 4.0, 5.0] and joined.second.tolist() == [[2.0, 3.0], [0.0, 0.0], [0.0, 0.0]]
    assert join_fields([PAIRS[0], PAIRS[0]], lambda parts: torch.stack(parts, 1)).second.shape == (1, 2, 2)
    with pytest.raises(IndexError):
        join_fields([])
