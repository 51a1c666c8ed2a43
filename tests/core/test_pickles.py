import os
import pickle
import resource
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phalanx.core import pickles
from phalanx.core.errors import InputError
from phalanx.core.pickles import read_pickle

PLAIN = {
    3: {"xyz": np.arange(12.0).reshape(4, 3), "none": None, "K": np.eye(3, dtype=np.float32)[:, ::-1]},
    "name": ["a", (1, 2.5, b"\x00\xff", {4, 5}), True],
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "scalar": (np.float32(1.5), np.int64(7), np.bool_(True)),
    "texts": np.array(["ab", "c"]),
    "empty": np.zeros((0, 3)),
    "zero_d": np.array(2.0),
}


def same(first, second) -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert type(first) is type(second) and len(first) == len(second)
        for pair in zip(first, second, strict=True):
            same(*pair)
    elif isinstance(first, np.ndarray | np.generic):
        assert type(first) is type(second) and first.shape == second.shape and first.dtype.kind == second.dtype.kind
        assert first.dtype.itemsize == second.dtype.itemsize
        np.testing.assert_array_equal(first, second)
    else:
        assert first == second and type(first) is type(second)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_arrays_come_back(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    read = read_pickle(path)
    same(PLAIN, read)
    read["columns"][0, 0] = 9  # may be written


def python2_array(values: np.ndarray) -> bytes:
    """What Python 2 writes of {'a': array}: raw numbers as a byte string."""
    raw = values.astype("<f8").tobytes()
    shape = b"".join(b"K" + bytes([n]) for n in values.shape)
    ends = {1: b"\x85", 2: b"\x86", 3: b"\x87"}
    return (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + ends[values.ndim] + b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(raw)) + raw + b"tbs."
    )


def test_python_2_strings_are_bytes_of_arrays(tmp_path):
    values = np.array([[1.5, -2.25], [3e10, 254.0]])
    (tmp_path / "old.pkl").write_bytes(python2_array(values))
    same({"a": values}, read_pickle(tmp_path / "old.pkl"))


def test_shared_and_nested_lists_keep_their_form(tmp_path):
    shared: list = [np.ones(2)]
    layers: list = shared
    for _ in range(60):  # 2^60 leaves if one did not remember what is shared
        layers = [layers, layers]
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(layers))
    read = read_pickle(tmp_path / "p.pkl")
    assert read[0] is read[1]


class Call:
    def __init__(self, function, *arguments):
        self.made_of = function, arguments

    def __reduce__(self):
        return self.made_of


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r" + struct.pack("<I", 1 << 30) + b".",  # a memo with a billion places
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 34) + b".",  # a byte array of 16 GB
        b"\x80\x02cnumpy\nndarray\nQ.",  # a persistent id
    ],
)
def test_numbers_that_ask_for_memory_get_none(tmp_path, content):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_pickle(path)
    except InputError as error:
        assert "\n" not in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "name"), [(os.mkdir, "mkdir"), (eval, "eval"), (getattr, "getattr"), (np.load, "load"), (Path, "Path")]
)
def test_calls_are_refused_and_not_run(tmp_path, protocol, function, name):
    made = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(made)!r})" if function is eval else str(made)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"a": Call(function, argument)}, protocol))
    with pytest.raises(InputError, match=rf"evil.pkl: not a readable pickle \(it asks for .*{name}"):
        read_pickle(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(PLAIN)[:200], "not a readable pickle"),
        (b"hello", "not a readable pickle"),
        (b"", "is empty"),
        (pickle.dumps(np.array([{}, None], dtype=object)), "type 'O8'"),
        (pickle.dumps(np.dtype("f8")), "neither a plain value"),
        (pickle.dumps({"a": np.ndarray}), "neither a plain value"),
        (b"\x80\x02cnumpy\ndtype\nU\x03V99\x85R.", "type 'V99'"),
        # an array that claims more than it brings, one with another's type, one that is a key
        (python2_array(np.ones((2, 2))).replace(b"K\x02K\x02", b"K\x02K\x03"), "not a readable pickle"),
        (python2_array(np.ones((2, 2))).replace(b"K\x02K\x02", b"K\x02K\x01"), "16 bytes that comes with 32"),
        (b"\x80\x02}cnumpy.core.multiarray\n_reconstruct\n)RNs.", "not a readable pickle"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "made in no known way"),
        (b"]" * 20000 + b"a" * 19999 + b".", "not a readable pickle"),  # deeper than Python goes
    ],
)
def test_faults_are_named(tmp_path, content, message):
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"bad.pkl: .*{message}"):
        read_pickle(path)


def test_missing_and_large_files(tmp_path):
    with pytest.raises(InputError, match="none.pkl: cannot be read"):
        read_pickle(tmp_path / "none.pkl")
    (tmp_path / "large.pkl").write_bytes(pickle.dumps([0] * 100))
    with pytest.raises(InputError, match="large.pkl: is larger than"):
        read_pickle(tmp_path / "large.pkl", replace(pickles.PLAIN, largest=50))
