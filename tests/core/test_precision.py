import time

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.precision import check_precision, faster_precision


def work(seconds, calls):
    """Work that takes so many seconds in float32 and in bfloat16."""

    def prepare(dtype):
        def call():
            calls.append(dtype)
            time.sleep(seconds[dtype == torch.bfloat16])

        return call

    return prepare


@pytest.mark.parametrize(
    ("seconds", "faster"),
    [((0.02, 0.005), torch.bfloat16), ((0.01, 0.01), torch.float32), ((0.01, 0.02), torch.float32)],
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster(seconds, faster):
    assert faster_precision(work(seconds, [])) == faster


def test_hopeless_work_is_not_repeated():
    calls = []
    assert faster_precision(work((0.002, 0.06), calls)) == torch.float32
    assert calls.count(torch.bfloat16) == 2


def test_short_work_is_repeated_and_long_work_is_not():
    for seconds, few, most in ((0.0, 30, 31), (0.06, 5, 7)):
        calls = []
        faster_precision(work((seconds, seconds), calls))
        assert few < calls.count(torch.bfloat16) <= most


def test_it_is_measured_on_one_thread():
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        faster_precision(lambda dtype: lambda: seen.append(torch.get_num_threads()))
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_cannot_be_done_is_float32(at_once):
    def prepare(dtype):
        def fail():
            raise RuntimeError("needs another CPU")

        if dtype == torch.bfloat16 and at_once:
            fail()
        return fail if dtype == torch.bfloat16 else lambda: None

    assert faster_precision(prepare) == torch.float32


def test_faults_of_the_work_itself_are_not_hidden():
    def prepare(dtype):
        raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        faster_precision(prepare)


def test_precisions_have_names():
    for name in ("auto", "float32", "bfloat16"):
        check_precision(name)
    with pytest.raises(InputError, match="precision: must be 'auto', 'float32' or 'bfloat16', not 'half'"):
        check_precision("half")
