"""Streams: in order, the same bytes for any number of workers, nothing left behind."""

import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.synth.stream import _receive, _work

CONFIG = SynthConfig(size=32, chunk=2, tiles=2, skins=1)


def test_workers_change_nothing():
    expected = [make_chunk(CONFIG, 5, index) for index in range(1, 6)]
    for workers in (0, 2):
        chunks = stream(CONFIG, seed=5, workers=workers, start=1)
        for index, sample in enumerate(expected):
            got = next(chunks).present()
            assert got.keys() == sample.present().keys()
            for name, value in sample.present().items():
                assert got[name].dtype == value.dtype and torch.equal(got[name], value), (workers, index, name)
        children = multiprocessing.active_children()
        assert len(children) == workers
        chunks.close()
        assert not any(child.is_alive() for child in children)
        assert not multiprocessing.active_children()


def test_a_workers_complaint_reaches_the_consumer(tmp_path):
    """What a worker sends when its folder is wrong, and that it then ends (here without a process of its own)."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    _work(theirs, SynthConfig(size=32, chunk=1, skins=1, backgrounds=tmp_path / "nothing"), 0, 0, 1)
    message = ours.recv()
    assert isinstance(message, InputError) and "nothing: no such folder" in str(message)
    ready: queue.Queue = queue.Queue()
    _receive(ours, ready, threading.Event())
    assert "ended unexpectedly" in str(ready.get())
    ours.close()


def test_complaints_without_workers(tmp_path):
    with pytest.raises(InputError, match="nothing: no such folder"):
        next(stream(SynthConfig(size=32, chunk=1, skins=1, backgrounds=tmp_path / "nothing"), seed=0, workers=0))


def test_workers_do_not_outlive_a_killed_parent():
    code = (
        "import multiprocessing, os, time; from concurrent.futures import ProcessPoolExecutor\n"
        "from phalanx.synth.stream import prepare_worker\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), prepare_worker)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 60).result()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with pytest.raises(ProcessLookupError):
        for _ in range(200):
            os.kill(worker, 0)
            time.sleep(0.1)
