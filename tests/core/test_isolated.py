"""What the process and autocast around a call may not change."""

import multiprocessing

import pytest
import torch

from phalanx.core.isolated import isolated


@isolated
def product(side: int = 300) -> float:
    """Large enough to be shared out among threads."""
    matrix = torch.full((side, side), 1.0 + 2.0**-12)
    return float((matrix @ matrix)[0, 0])


def in_child(pipe):
    pipe.send((product(), torch.get_num_threads()))


def test_autocast_changes_nothing():
    plain = product()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product() == plain
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is back on afterwards


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_computes_with_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        plain = product()  # OpenMP has started its threads
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=in_child, args=(theirs,), daemon=True)
        child.start()
        answered = ours.poll(25)
        child.kill()
        child.join()
        assert answered, "the forked process hangs"
        assert ours.recv() == (plain, 1)
        assert torch.get_num_threads() == 2  # of this process
    finally:
        torch.set_num_threads(before)


def test_name_and_text_are_kept():
    assert product.__name__ == "product" and "threads" in product.__doc__
