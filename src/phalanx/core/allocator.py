"""How this process gives memory back to the system."""

from __future__ import annotations

import ctypes

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
