"""Dataclasses whose fields all hold arrays of one batch: change every field, or join several such records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from phalanx.core.arrays import concatenate

Record = TypeVar("Record")


def map_fields(record: Record, function: Callable[[Any], Any]) -> Record:
    """A new record with `function` applied to every field."""
    return type(record)(*(function(getattr(record, field.name)) for field in fields(record)))  # type: ignore[arg-type]


def index_fields(record: Record, index: Any) -> Record:
    """The rows `index` of every field."""
    return map_fields(record, lambda values: values[index])


def join_fields(records: Sequence[Record], join: Callable[[list[Any]], Any] = concatenate) -> Record:
    """One record whose fields are those of all `records` (at least one) joined, along the batch unless `join` does otherwise."""
    kind = type(records[0])
    return kind(*(join([getattr(record, field.name) for record in records]) for field in fields(kind)))  # type: ignore[arg-type]
