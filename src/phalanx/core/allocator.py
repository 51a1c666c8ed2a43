"""How this process uses memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_NEVER = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next large array, instead of handing its pages back and asking anew.

    Work that makes and frees arrays of megabytes all the time spends a tenth of its time on fresh pages otherwise. The process
    stays as large as it ever was, so this is for processes that are our own: workers and long commands. Returns whether the C
    library (glibc) knows how to.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _NEVER) and mallopt(_TRIM_THRESHOLD, _NEVER))


def cache_blocks(images: Tensor, count: int) -> Iterator[slice]:
    """Parts of `count` of `images` to work on in turn: on the CPU single ones, which fit a core's cache, elsewhere all at once."""
    block = 1 if images.device.type == "cpu" else max(1, count)
    return (slice(start, start + block) for start in range(0, count, block))
