"""Calls whose results depend neither on the process that makes them nor on autocast of the code around them."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_LOADED_IN = os.getpid()
"""The process that imported this module; where another one runs it, that was forked."""

_settled = threading.local()
"""`process`: the forked process in which this thread computes with one thread."""

_AUTOCAST_DEVICES = ("cpu", "cuda")


def isolated(call: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """`call`, which works in forked processes and without autocast. Neither matters as long as PyTorch is not imported."""

    @functools.wraps(call)
    def wrapped(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        torch = sys.modules.get("torch")
        if torch is None:
            return call(*args, **options)
        settle_after_fork()
        with ExitStack() as stack:
            for device in _AUTOCAST_DEVICES:
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            return call(*args, **options)

    return wrapped


def settle_after_fork() -> None:
    """In a forked process, let PyTorch compute with one thread; elsewhere, do nothing.

    A fork copies one thread of its parent. OpenMP of the copy still counts on the other threads, and waits for them for ever as soon as
    it shares work out. OpenCV's threads need no such care: who shares out work there takes part in it, and does what nobody takes.
    """
    process = os.getpid()
    if getattr(_settled, "process", None) == process:
        return
    import torch

    if process != _LOADED_IN or type(multiprocessing.current_process()).__name__ == "ForkProcess":
        torch.set_num_threads(1)
    _settled.process = process
