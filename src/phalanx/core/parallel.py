"""Work spread over processes whose results come back in order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import threading
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

from phalanx.core.allocator import keep_freed_memory
from phalanx.core.errors import InputError

Result = TypeVar("Result")

_AHEAD = 2  # results that wait ready per worker


def ordered(
    make: Callable[[int], Result], workers: int, start: int = 0, stop: int | None = None
) -> Generator[Result, None, None]:
    """`make(start)`, `make(start + 1)`, ... up to but without `stop`, or without end, in order.

    Close the iterator (or let it be collected) to end the workers.

    Args:
        make: a function of a module, or a `functools.partial` of one, so that it can be sent to processes; its results, too, are
            sent (NumPy arrays travel well, tensors do not).
        workers: processes, one thread each; 0 calls `make` in this process, on demand. A script that uses workers needs the usual
            `if __name__ == "__main__":`.
        start, stop: of the numbers.

    Raises:
        InputError: raised by `make`.
        RuntimeError: `make` failed otherwise, or a worker died.
    """
    if workers <= 0:
        number = start
        while stop is None or number < stop:
            yield make(number)
            number += 1
        return
    context = multiprocessing.get_context("spawn")
    ended = threading.Event()
    processes, pipes, threads = [], [], []
    queues: list[queue.Queue] = []
    saved = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        os.environ.update({name: "1" for name in saved})  # inherited by the workers, read when they import torch
        for worker in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, make, start + worker, workers, stop), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        _restore(saved)
        for pipe in pipes:
            queues.append(queue.Queue(_AHEAD))
            threads.append(threading.Thread(target=_receive, args=(pipe, queues[-1], ended), daemon=True))
            threads[-1].start()
        number = start
        while stop is None or number < stop:
            message = queues[(number - start) % workers].get()
            if isinstance(message, Exception):
                raise message
            yield message
            number += 1
    finally:
        _restore(saved)
        ended.set()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for thread in threads:
            thread.join()
        for pipe in pipes:
            pipe.close()


def prepare_worker() -> None:
    """Settings of a process that works beside others: one thread, no memory handed back, and no life without its parent."""
    torch.set_num_threads(1)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(pipe: Connection, make: Callable[[int], object], first: int, step: int, stop: int | None) -> None:
    """Make every `step`-th result and send it, until the last one or until the other end hangs up."""
    prepare_worker()
    number = first
    try:
        while stop is None or number < stop:
            try:
                message = make(number)
            except Exception as error:  # handed to the consumer, who raises it
                known = isinstance(error, InputError)
                send(pipe, error if known else RuntimeError(f"a worker failed at number {number}: {error!r}"))
                return
            send(pipe, message)
            number += step
    except (BrokenPipeError, ConnectionResetError, EOFError, KeyboardInterrupt):
        pass
    finally:
        pipe.close()


def send(pipe: Connection, message: object) -> None:
    """Send anything that can be pickled; large arrays go as they are, without being copied first."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    pipe.send_bytes(pickle.dumps((head, [view.nbytes for view in views])))
    for view in views:
        if view.nbytes:
            pipe.send_bytes(view)


def receive(pipe: Connection) -> object:
    """What `send` sent; arrays are writable. Raises EOFError or OSError if the other end hung up."""
    head, sizes = pickle.loads(pipe.recv_bytes())
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            pipe.recv_bytes_into(buffer)
    return pickle.loads(head, buffers=buffers)


def _receive(pipe: Connection, ready: queue.Queue, ended: threading.Event) -> None:
    """Keep a few of a worker's results ready, so that workers need not wait for the consumer."""
    while not ended.is_set():
        try:
            message = receive(pipe)
        except (EOFError, OSError):
            message = RuntimeError("a worker ended unexpectedly")
        while not ended.is_set():
            try:
                ready.put(message, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(message, Exception):
            return


def _restore(saved: dict[str, str | None]) -> None:
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
