"""Feeding endless synthesis to the loop: fill a buffer, train on it a few times, fill again. It knows no method: what is kept of
synthesis, and what becomes of it when it is trained on, are functions that it is handed; those for colour pictures are here.

The next buffer is gathered in the background while the present one is trained on. What a batch holds depends only on the
stream, the seed and the feed's state, so that a resumed run sees the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from phalanx.core.seeding import generator
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.train.augment import augment
from phalanx.train.plan import Feed

_KEPT = ("joints", "joints_2d", "rotations", "shape", "orientation", "translation", "K")


Batch = TypeVar("Batch")


class BufferFeed(Generic[Batch]):
    """Batches from a buffer of generated pictures, each trained on `reuse` times with fresh augmentation.

    Args:
        open_stream: `open_stream(start)` gives the samples (chunks, or what is made of them) of the stream in order from number
            `start`; the same number must give the same sample.
        chunks: samples in a buffer.
        seed: of order and augmentation.
        keep: what is kept of a sample, by name, one row a picture.
        finish: `finish(rows, size, random)` makes a batch of `size`-pixel pictures of rows so kept, augmented with `random`.
    """

    def __init__(
        self,
        open_stream: Callable[[int], Iterator[Any]],
        chunks: int,
        seed: int,
        keep: Callable[[Any], dict[str, Tensor]],
        finish: Callable[[dict[str, Tensor], int, torch.Generator], Batch],
    ) -> None:
        self._open_stream = open_stream
        self._chunks = chunks
        self._seed = seed
        self._keep, self._finish = keep, finish
        self._stream: Iterator[Any] | None = None
        self._gatherer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gather")
        self._coming: Future[dict[str, Tensor]] | None = None
        self._closed = False
        self._buffer: dict[str, Tensor] = {}
        self._fill, self._turn, self._offset = -1, 0, 0

    def next(self, batch: int, size: int, reuse: int) -> Batch:
        """The next `batch` pictures at `size` x `size`, augmented, as floats."""
        if self._fill < 0:
            self._refill(0)
        count = self._count()
        if self._offset + batch > count:
            self._turn, self._offset = self._turn + 1, 0
            if self._turn >= reuse:
                self._refill(self._fill + 1)
                count = self._count()
        if batch > count:
            raise ValueError(f"BufferFeed: a batch of {batch} out of a buffer of {count}")
        order = generator(self._seed, self._fill, self._turn).permutation(count)
        index = torch.from_numpy(np.sort(order[self._offset : self._offset + batch]))
        random = torch.Generator().manual_seed(
            int(generator(self._seed, self._fill, self._turn, self._offset).integers(2**62))
        )
        self._offset += batch
        return self._finish({name: values[index] for name, values in self._buffer.items()}, size, random)

    def state(self) -> dict[str, int]:
        """Where the feed stands."""
        return {"fill": self._fill, "turn": self._turn, "offset": self._offset}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from `state`; the buffer is generated anew."""
        if state["fill"] >= 0:
            self._stream = self._coming = None
            self._refill(state["fill"])
        self._fill, self._turn, self._offset = state["fill"], state["turn"], state["offset"]

    def close(self) -> None:
        """Stop gathering and end the stream; the feed gives no more batches."""
        self._closed = True
        self._gatherer.shutdown()
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    def _count(self) -> int:
        return len(next(iter(self._buffer.values())))

    def _refill(self, fill: int) -> None:
        if self._stream is None:
            self._stream = self._open_stream(fill * self._chunks)
        if self._coming is None:
            self._coming = self._gatherer.submit(self._gather, self._stream)
        self._buffer = self._coming.result()
        self._coming = self._gatherer.submit(self._gather, self._stream)
        self._fill, self._turn, self._offset = fill, 0, 0

    def _gather(self, stream: Iterator[Any]) -> dict[str, Tensor]:
        buffer: dict[str, Tensor] = {}
        for number in range(self._chunks):
            if self._closed:
                return {}
            part = self._keep(next(stream))
            count = len(next(iter(part.values())))
            if not buffer:  # in one piece: small tensors kept from each chunk would scatter the heap
                buffer = {
                    name: torch.empty(self._chunks * count, *value.shape[1:], dtype=value.dtype)
                    for name, value in part.items()
                }
            for name, value in part.items():
                buffer[name][number * count : (number + 1) * count] = value
        return buffer


def stored_feed(
    kept: Mapping[str, Tensor], seed: int, finish: Callable[[dict[str, Tensor], int, torch.Generator], Batch]
) -> BufferFeed[Batch]:
    """Endless batches of what is stored, each time round in another order; `finish` as `BufferFeed` has it."""

    def again(start: int) -> Iterator[Mapping[str, Tensor]]:
        while True:
            yield kept

    return BufferFeed(again, 1, seed, dict, finish)


class MixedFeed:
    """Batches of several kinds at once, each from a feed of its own, in fixed numbers.

    Args:
        feeds: by kind.
        counts: samples of each kind in a batch; their sum is the batch that the loop asks for.
    """

    def __init__(self, feeds: Mapping[str, Feed], counts: Mapping[str, int]) -> None:
        if feeds.keys() != counts.keys():
            raise ValueError(f"MixedFeed: feeds of {sorted(feeds)}, counts of {sorted(counts)}")
        self._feeds, self._counts = dict(feeds), dict(counts)
        self._askers = ThreadPoolExecutor(max_workers=len(self._feeds), thread_name_prefix="mix")

    def next(self, batch: int, size: int, reuse: int) -> Mixture:
        """The next batch."""
        if batch != sum(self._counts.values()):
            raise ValueError(f"MixedFeed: a batch of {batch} is not one of {self._counts}")
        asked = {  # at once: each may have to wait for its first buffer
            kind: self._askers.submit(feed.next, self._counts[kind], size, reuse) for kind, feed in self._feeds.items()
        }
        return Mixture({kind: part.result() for kind, part in asked.items()})

    def state(self) -> dict[str, Any]:
        """Where each feed stands."""
        return {kind: feed.state() for kind, feed in self._feeds.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for kind, feed in self._feeds.items():
            feed.restore(state[kind])

    def close(self) -> None:
        """Close all feeds."""
        self._askers.shutdown()
        for feed in self._feeds.values():
            feed.close()


class JoinedFeed(Generic[Batch]):
    """A feed whose batches are those of several kinds in one.

    Args:
        feed: of all kinds.
        join: `join(parts)` makes one batch of a batch of each kind.
    """

    def __init__(self, feed: MixedFeed, join: Callable[[list[Any]], Batch]) -> None:
        self._feed, self._join = feed, join
        self.state, self.restore, self.close = feed.state, feed.restore, feed.close

    def next(self, batch: int, size: int, reuse: int) -> Batch:
        """The next batch."""
        return self._join(list(self._feed.next(batch, size, reuse).parts.values()))


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """What another process kept of a sample, as a buffer takes it."""
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def pack(sample: Sample) -> dict[str, Tensor]:
    """What training keeps of a sample: picture and mask as bytes, labels as they are."""
    assert sample.image is not None
    kept = {name: value for name, value in sample.present().items() if name in _KEPT}
    kept["image"] = (sample.image * 255).round().to(torch.uint8)
    if sample.mask is not None:
        kept["mask"] = (sample.mask * 255).round().to(torch.uint8)
    return kept


def unpack(kept: dict[str, Tensor]) -> Sample:
    """The sample back, as floats."""
    return Sample(**{n: v.float() / 255 if n in ("image", "mask") else v for n, v in kept.items()})


def finish_pictures(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """Colour pictures so packed at `size` x `size`, with photometric augmentation."""
    sample = resize(unpack(kept), size)
    assert sample.image is not None
    sample.image = augment(sample.image, random).contiguous(memory_format=torch.channels_last)
    return sample


def resize(sample: Sample, size: int) -> Sample:
    """`sample` (square) with pictures of `size` x `size` by area averaging, and its pixels and cameras to match."""
    assert sample.image is not None
    if sample.image.shape[-1] == size:
        return sample
    scale = size / sample.image.shape[-1]
    changed = {"image": functional.interpolate(sample.image, size=(size, size), mode="area")}
    if sample.mask is not None:
        changed["mask"] = functional.interpolate(sample.mask[:, None], size=(size, size), mode="area")[:, 0]
    if sample.joints_2d is not None:
        changed["joints_2d"] = (sample.joints_2d + 0.5) * scale - 0.5
    if sample.K is not None:
        # pixel centres are integers: p' = (p + 1/2) s - 1/2
        shrink = sample.K.new_tensor([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
        changed["K"] = shrink @ sample.K
    return Sample(**(sample.present() | changed))
