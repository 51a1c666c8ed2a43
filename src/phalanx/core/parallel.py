"""Work spread over processes whose results come back in order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from phalanx.core.allocator import keep_freed_memory
from phalanx.core.errors import InputError
from phalanx.core.notes import leave_notes_to_others

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
    try:
        with _single_threaded():
            for worker in range(workers):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(theirs, make, start + worker, workers, stop, worker == 0), daemon=True
                )
                process.start()
                theirs.close()
                processes.append(process)
                pipes.append(ours)
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
        ended.set()
        _stop(processes, threads)
        for pipe in pipes:
            pipe.close()


@contextmanager
def shared(make: Callable[[int], Result], numbers: Sequence[int], workers: int) -> Iterator[Iterator[Result]]:
    """`make` of each of the numbers, in their order, made by this process and `workers - 1` others, each as many as it finds time for.

    The others take seconds to start, so short work gains only where this process works too: in `ordered` it does not. They start when the
    block is entered and end with it.

    Args:
        make: as in `ordered`; called here while the next result is not there.
        numbers: what to make.
        workers: this process and the others; 1 calls `make` in this process alone.

    Raises:
        InputError: raised by `make`.
        RuntimeError: `make` failed otherwise in another process, or one died.
    """
    share = _Share(len(numbers), 2 * _AHEAD * workers)
    processes, threads = [], []
    context = multiprocessing.get_context("spawn")
    try:
        with _single_threaded():
            for _ in range(min(workers, len(numbers)) - 1):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, make), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                threads.append(threading.Thread(target=_have_made, args=(ours, share, numbers), daemon=True))
        for thread in threads:
            thread.start()
        yield _results(make, share, numbers)
    finally:
        share.end()
        _stop(processes, threads)


def _stop(processes: Sequence[BaseProcess], threads: Sequence[threading.Thread]) -> None:
    """End the processes, and wait for them and for the threads that listened to them."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    for thread in threads:
        thread.join()


class _Share:
    """Who makes which of `count` things, and what is made and not yet fetched."""

    def __init__(self, count: int, ahead: int) -> None:
        self._count, self._ahead = count, ahead
        self._next = self._fetched = 0
        self._made: dict[int, object] = {}
        self._ended = False
        self._changed = threading.Condition()

    def _free(self) -> bool:
        return self._next < min(self._count, self._fetched + self._ahead)

    def take(self) -> int | None:
        """The place of the next thing to make, once there is one; None: there is nothing more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._next >= self._count or self._free())
            if self._ended or self._next >= self._count:
                return None
            self._next += 1
            return self._next - 1

    def put(self, place: int, thing: object) -> None:
        """Hand over what was made."""
        with self._changed:
            self._made[place] = thing
            self._changed.notify_all()

    def fetch_or_take(self, place: int) -> tuple[bool, Any]:
        """`(True, thing)` if the thing at `place` is there; else `(False, place of one to make)`; else waits until it is there."""
        with self._changed:
            if place not in self._made and self._free():
                self._next += 1
                return False, self._next - 1
            self._changed.wait_for(lambda: place in self._made)
            self._fetched = place + 1
            self._changed.notify_all()
            return True, self._made.pop(place)

    def end(self) -> None:
        """Nothing more is to be made."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _results(make: Callable[[int], Result], share: _Share, numbers: Sequence[int]) -> Iterator[Result]:
    for place in range(len(numbers)):
        there, found = share.fetch_or_take(place)
        while not there:
            share.put(found, make(numbers[found]))
            there, found = share.fetch_or_take(place)
        if isinstance(found, Exception):
            raise found
        yield found


def _have_made(pipe: Connection, share: _Share, numbers: Sequence[int]) -> None:
    """Have the process at the other end of `pipe` make things, from the moment when it is ready, until there is nothing more to do."""
    with pipe:
        try:
            receive(pipe)
        except (EOFError, OSError):
            return  # it never began, and nobody waits for it
        while (place := share.take()) is not None:
            try:
                send(pipe, numbers[place])
                share.put(place, receive(pipe))
            except (EOFError, OSError):
                share.put(place, RuntimeError("a worker ended unexpectedly"))
                return


def _serve(pipe: Connection, make: Callable[[int], object]) -> None:
    """Say that it is ready, then make what is asked for until the other end hangs up."""
    prepare_worker()
    leave_notes_to_others()
    try:
        send(pipe, None)
        while True:
            number = receive(pipe)
            assert isinstance(number, int)
            send(pipe, _result_or_fault(make, number))
    except (BrokenPipeError, ConnectionResetError, EOFError, KeyboardInterrupt):
        pass
    finally:
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


def _work(
    pipe: Connection, make: Callable[[int], object], first: int, step: int, stop: int | None, notes: bool
) -> None:
    """Make every `step`-th result and send it, until the last one or until the other end hangs up; `notes`: and print its notes."""
    prepare_worker()
    if not notes:
        leave_notes_to_others()
    number = first
    try:
        while stop is None or number < stop:
            message = _result_or_fault(make, number)
            send(pipe, message)
            if isinstance(message, Exception):
                return
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


def _result_or_fault(make: Callable[[int], object], number: int) -> object:
    """What was made, or the exception that its consumer is to raise."""
    try:
        return make(number)
    except Exception as error:
        return (
            error if isinstance(error, InputError) else RuntimeError(f"a worker failed at number {number}: {error!r}")
        )


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes that are started here compute with one thread: they read these when they import torch."""
    saved = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        os.environ.update({name: "1" for name in saved})
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
