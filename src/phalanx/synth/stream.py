"""Endless chunks, made by this process or by several, in order and with the same bytes either way."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from phalanx.core.allocator import keep_freed_memory
from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig

_AHEAD = 2  # chunks that wait ready per worker
_LEVELS = {"image": 255.0, "mask": 4.0}  # fields that hold multiples of one over this, and travel as bytes


def _pack(sample: Sample) -> dict[str, np.ndarray]:
    packed = {}
    for name, value in sample.present().items():
        if name in _LEVELS:
            value = (value * _LEVELS[name]).round().to(torch.uint8)
        packed[name] = value.contiguous().numpy()
    return packed


def _unpack(packed: dict[str, np.ndarray]) -> Sample:
    fields: dict[str, Any] = {}
    for name, array in packed.items():
        value = torch.from_numpy(array)
        fields[name] = value.float().div_(_LEVELS[name]) if name in _LEVELS else value
    return Sample(**fields)


def prepare_worker() -> None:
    """Settings of a process that makes pictures beside others: one thread, no memory handed back, and no life without its parent."""
    torch.set_num_threads(1)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(pipe: Connection, config: SynthConfig, seed: int, first: int, step: int) -> None:
    """Make every `step`-th chunk and send it, until the other end hangs up."""
    prepare_worker()
    index = first
    try:
        while True:
            try:
                message: Any = _pack(make_chunk(config, seed, index))
            except Exception as error:  # handed to the consumer, who raises it
                pipe.send(
                    error
                    if isinstance(error, InputError)
                    else RuntimeError(f"synthesis of chunk {index} failed: {error!r}")
                )
                return
            pipe.send(message)
            index += step
    except (BrokenPipeError, ConnectionResetError, EOFError, KeyboardInterrupt):
        pass
    finally:
        pipe.close()


def _receive(pipe: Connection, ready: queue.Queue, stop: threading.Event) -> None:
    """Keep a few of a worker's chunks ready, so that workers need not wait for the consumer."""
    while not stop.is_set():
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = RuntimeError("a synthesis worker ended unexpectedly")
        while not stop.is_set():
            try:
                ready.put(message, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(message, Exception):
            return


def stream(config: SynthConfig, seed: int, workers: int = 0, start: int = 0) -> Iterator[Sample]:
    """Chunks `start`, `start + 1`, ... of the stream `seed` without end, on the CPU.

    Any number of workers gives the same chunks in the same order, byte for byte. Close the iterator (or let it be collected) to
    end the workers.

    Args:
        config: what to make.
        seed: which stream; not negative.
        workers: processes that make chunks, one thread each; 0 makes them in this process, on demand. A script that uses
            workers needs the usual `if __name__ == "__main__":`.
        start: number of the first chunk.

    Raises:
        InputError: the folder of backgrounds is at fault.
        RuntimeError: a worker died.
    """
    if workers <= 0:
        index = start
        while True:
            yield make_chunk(config, seed, index)
            index += 1
    context = multiprocessing.get_context("spawn")
    stop = threading.Event()
    processes, pipes, threads = [], [], []
    queues: list[queue.Queue] = []
    saved = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        os.environ.update({name: "1" for name in saved})  # inherited by the workers, read when they import torch
        for worker in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, config, seed, start + worker, workers), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        _restore(saved)
        for pipe in pipes:
            queues.append(queue.Queue(_AHEAD))
            threads.append(threading.Thread(target=_receive, args=(pipe, queues[-1], stop), daemon=True))
            threads[-1].start()
        worker = 0
        while True:
            message = queues[worker].get()
            if isinstance(message, Exception):
                raise message
            yield _unpack(message)
            worker = (worker + 1) % workers
    finally:
        _restore(saved)
        stop.set()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for thread in threads:
            thread.join()
        for pipe in pipes:
            pipe.close()


def _restore(saved: dict[str, str | None]) -> None:
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
