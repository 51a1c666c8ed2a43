"""A batch of several kinds of samples: labelled, weakly labelled and unlabelled ones, as methods without 3D labels learn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Batch(Protocol):
    """What training asks of a batch of any kind."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Batch: ...

    def to(self, device: torch.device) -> Batch: ...


@dataclass(frozen=True)
class Mixture:
    """Samples by kind, as in `Mixture({"labelled": sample, "unlabelled": other})`; kinds may be absent.

    The kinds are a method's own words; what lies under them is a batch itself (`len`, slices, `to`).
    """

    parts: Mapping[str, Batch]

    def __len__(self) -> int:
        """Samples of all kinds together."""
        return sum(len(part) for part in self.parts.values())

    def __getitem__(self, rows: slice) -> Mixture:
        """These rows of every kind, so that a share of the batch has its share of each."""
        return Mixture({kind: part[rows] for kind, part in self.parts.items()})

    def get(self, kind: str) -> Any:
        """The samples of a kind, or None."""
        return self.parts.get(kind)

    def to(self, device: torch.device) -> Mixture:
        """The same on `device`."""
        return Mixture({kind: part.to(device) for kind, part in self.parts.items()})
