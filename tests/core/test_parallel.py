"""Results in order, whoever makes them; complaints reach the consumer; nothing is left behind."""

import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder
from phalanx.core.parallel import _receive, _work, ordered, receive, send, shared


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_and_end(workers):
    assert list(ordered(hex, workers, 3, 10)) == [hex(number) for number in range(3, 10)]
    assert not multiprocessing.active_children()
    assert list(ordered(hex, workers, 3, 3)) == []


def test_an_endless_one_is_closed():
    numbers = ordered(partial(max, 5), 2)
    assert [next(numbers) for _ in range(8)] == [5, 5, 5, 5, 5, 5, 6, 7]
    assert len(multiprocessing.active_children()) == 2
    numbers.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 3])
def test_shared_results_come_in_order(workers):
    numbers = [5, 3, 8, 1, 1, 9, 70, 2]
    with shared(hex, numbers, workers) as results:
        assert len(multiprocessing.active_children()) == workers - 1
        assert list(results) == [hex(number) for number in numbers]
    with shared(hex, [], workers) as results:
        assert list(results) == []
    with shared(hex, range(1000), workers) as results:  # a consumer that has enough
        assert next(results) == "0x0"
    assert not multiprocessing.active_children()


def process_id(pause: float, number: int) -> int:
    time.sleep(pause)
    return os.getpid()


def test_this_process_has_its_share_of_the_work():
    makers = set()
    with shared(partial(process_id, 0.01), range(10**6), 2) as results:
        while len(makers) < 2:
            makers.add(next(results))
    assert os.getpid() in makers


def end_elsewhere(pid: int, number: int) -> int:
    time.sleep(0.02)
    if os.getpid() != pid:
        os._exit(1)
    return number


def fail_elsewhere(pid: int, error: Exception, number: int) -> int:
    time.sleep(0.02)
    if os.getpid() != pid:
        raise error
    return number


def test_faults_in_shared_work_reach_the_consumer():
    with pytest.raises(ZeroDivisionError), shared(partial(divmod, 1), [0], 1) as results:
        next(results)
    for fault, kind, says in (
        (InputError("set: bad"), InputError, "^set: bad$"),
        (ZeroDivisionError(), RuntimeError, "failed at number .*ZeroDivisionError"),
    ):
        with (
            pytest.raises(kind, match=says),
            shared(partial(fail_elsewhere, os.getpid(), fault), range(10**6), 2) as results,
        ):
            list(results)
    with (
        pytest.raises(RuntimeError, match="a worker ended unexpectedly"),
        shared(partial(end_elsewhere, os.getpid()), range(10**6), 2) as results,
    ):
        list(results)
    assert not multiprocessing.active_children()


def test_complaints_reach_the_consumer(tmp_path):
    (tmp_path / "file").touch()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    _work(theirs, lambda number: writable_folder(tmp_path / "file"), 0, 1, None, True)  # without a process of its own
    message = receive(ours)
    assert isinstance(message, InputError) and "file" in str(message)
    ready: queue.Queue = queue.Queue()
    _receive(ours, ready, threading.Event())
    assert "ended unexpectedly" in str(ready.get())
    ours.close()
    with pytest.raises(RuntimeError, match="failed at number 4"):
        list(ordered(partial(Path.read_text, Path(tmp_path / "none")), 1, 4))


def test_arrays_arrive_as_they_were_sent():
    ours, theirs = multiprocessing.Pipe(duplex=False)
    generator = np.random.default_rng(0)
    message = {
        "large": generator.integers(0, 255, (300, 1000), dtype=np.uint8),
        "turned": generator.random((40, 30)).T,
        "strided": generator.random((8, 9))[:, ::2],
        "none": np.zeros((0, 3), np.float32),
        "number": np.float64(3.5),
        "words": ["a", None],
    }
    sender = threading.Thread(target=send, args=(theirs, message))
    sender.start()
    got = receive(ours)
    sender.join()
    theirs.close()
    assert got.keys() == message.keys() and got["words"] == ["a", None] and got["number"] == 3.5
    for name in ("large", "turned", "strided", "none"):
        assert got[name].dtype == message[name].dtype and np.array_equal(got[name], message[name])
    got["large"][0, 0] += 1  # torch takes writable arrays alone
    with pytest.raises(EOFError):
        receive(ours)
    ours.close()


def test_workers_do_not_outlive_a_killed_parent():
    code = (
        "import multiprocessing, os, time; from concurrent.futures import ProcessPoolExecutor\n"
        "from phalanx.core.parallel import prepare_worker\n"
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
