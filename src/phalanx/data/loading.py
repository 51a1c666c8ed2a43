"""Batches of pictures out of shards, in any order, decoded by several processes."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import reason
from phalanx.core.parallel import ordered
from phalanx.core.seeding import generator
from phalanx.data.sample import Sample
from phalanx.data.shards import decode_pixels, pixels_to_fields


@dataclass(frozen=True)
class ShardIndex:
    """Where every picture of some shards lies.

    Attributes:
        paths: the files.
        shard: (N,) which file each picture is in.
        places: by kind of member ("image.png", "labels.npy", ...): (N, 2) int64, first byte and length; length 0 where there is none.
    """

    paths: tuple[Path, ...]
    shard: np.ndarray
    places: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.shard)


def index_shards(paths: Sequence[str | Path]) -> ShardIndex:
    """Look through shards for their pictures, in order, decoding nothing.

    Raises:
        InputError: there are no shards or no pictures, a file is missing, is no tar file or is cut short.
    """
    files = tuple(Path(path) for path in paths)
    shard: list[int] = []
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for number, path in enumerate(files):
        last = None
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    if key != last:
                        shard.append(number)
                        last = key
                    found.setdefault(kind, {})[len(shard) - 1] = (member.offset_data, member.size)
                    if member.offset_data + member.size > path.stat().st_size:
                        raise InputError(f"{path}: is cut short at {member.name}")
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        except tarfile.TarError as error:
            raise InputError(f"{path}: is not a whole tar file ({error})") from error
    if not shard:
        raise InputError(f"{files[0]}: holds no pictures" if files else "index_shards: no shards given")
    places = {kind: np.zeros((len(shard), 2), dtype=np.int64) for kind in found}
    for kind, where in found.items():
        places[kind][list(where)] = list(where.values())
    return ShardIndex(files, np.array(shard), places)


def load_batches(
    index: ShardIndex,
    batch: int,
    workers: int = 0,
    fields: Sequence[str] | None = None,
    seed: int | None = None,
    start: int = 0,
) -> Generator[Sample, None, None]:
    """Batches of `batch` pictures: once and in order, or, with a `seed`, without end and each time round in another order.

    The same arguments give the same batches, however many workers there are; what is left over at the end of a round is dropped.

    Args:
        index: of the shards.
        batch: pictures a batch; all must have the same fields and size.
        workers: processes that read and decode; 0 does it in this one. See `core.parallel.ordered`.
        fields: of `Sample`, those to read; None reads all that the first picture has. Fewer are quicker.
        seed: of the orders.
        start: number of the first batch.

    Raises:
        InputError: fewer pictures than a batch, fields that are not there, or a member that cannot be decoded.
    """
    if not 1 <= batch <= len(index):
        raise InputError(f"load_batches: a batch of {batch} out of {len(index)} pictures")
    stop = len(index) // batch if seed is None else None
    chosen = None if fields is None else tuple(fields)
    with closing(ordered(partial(_read, index, batch, chosen, seed), workers, start, stop)) as packed:
        for arrays in packed:
            yield Sample(**pixels_to_fields({name: torch.from_numpy(array) for name, array in arrays.items()}))


def _read(
    index: ShardIndex, batch: int, fields: tuple[str, ...] | None, seed: int | None, number: int
) -> dict[str, np.ndarray]:
    """Batch `number`: pixels and labels as they are stored, by field."""
    rounds, place = divmod(number, len(index) // batch)
    pictures = np.arange(place * batch, (place + 1) * batch)
    if seed is not None:
        pictures = _order(seed, rounds, len(index))[pictures]
    parts = [_read_picture(index, int(picture), fields) for picture in pictures]
    wanted = {name for part in parts for name in part} if fields is None else set(fields)
    for picture, part in zip(pictures, parts, strict=True):
        if missing := wanted - set(part):
            raise InputError(f"{index.paths[index.shard[picture]]}: has pictures without {', '.join(sorted(missing))}")
    try:
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    except ValueError as error:
        raise InputError(
            f"{index.paths[index.shard[pictures[0]]]}: pictures differ in size; take a batch of 1"
        ) from error


def _read_picture(index: ShardIndex, picture: int, fields: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    path = index.paths[index.shard[picture]]
    found: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as file:
            for kind, places in index.places.items():
                first, length = places[picture]
                if length and (fields is None or kind == "labels.npy" or kind.removesuffix(".png") in fields):
                    file.seek(first)
                    found |= decode_pixels(f"{path}: {kind} of picture {picture}", kind, file.read(length), fields)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return found


@lru_cache(maxsize=2)
def _order(seed: int, rounds: int, count: int) -> np.ndarray:
    return generator(seed, rounds).permutation(count)
