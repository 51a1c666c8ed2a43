"""Endless chunks in order, made by this process or by several, with the same bytes either way."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial

import numpy as np
import torch
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.core.parallel import ordered
from phalanx.data.sample import Sample
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig

_LEVELS = {"image": 255.0, "mask": 4.0}  # fields that hold multiples of one over this, and travel as bytes


def stream(config: SynthConfig, seed: int, workers: int = 0, start: int = 0) -> Generator[Sample, None, None]:
    """Chunks `start`, `start + 1`, ... of the stream `seed` without end, on the CPU.

    Any number of workers gives the same chunks in the same order, byte for byte. The workers end when the iterator is closed or
    collected.

    Args:
        config: what to make.
        seed: which stream; not negative.
        workers: processes that make chunks, one thread each; 0: this process makes them, on demand. A script that uses workers needs
            the usual `if __name__ == "__main__":`.
        start: number of the first chunk.

    Raises:
        InputError: the folder of backgrounds is at fault.
        RuntimeError: a worker died.
    """
    if workers <= 0:
        yield from ordered(partial(make_chunk, config, seed), 0, start)
    with closing(ordered(partial(_make_packed, config, seed), workers, start)) as packed:
        for chunk in packed:
            yield _unpack(chunk)


def _make_packed(config: SynthConfig, seed: int, index: int) -> dict[str, np.ndarray]:
    packed = {}
    for name, value in make_chunk(config, seed, index).present().items():
        if name in _LEVELS:
            levels = torch.empty(value.shape, dtype=torch.uint8)
            for rows in cache_blocks(value, len(value)):
                levels[rows] = (value[rows] * _LEVELS[name]).round_()
            value = levels
        packed[name] = value.contiguous().numpy()
    return packed


def _unpack(packed: dict[str, np.ndarray]) -> Sample:
    fields: dict[str, Tensor] = {}
    for name, array in packed.items():
        value = torch.from_numpy(array)
        fields[name] = value.float().div_(_LEVELS[name]) if name in _LEVELS else value
    return Sample(**fields)
