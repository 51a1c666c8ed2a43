"""Files in MANO's format: all ways to write them are read, and what is none, damaged or hostile is refused."""

import os
import pickle
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_mano import Ch, Select, as_mano_writes, made_up, mirrored, python2_pickle

from phalanx.core.errors import InputError
from phalanx.hand.mano import load_mano


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_all_ways_to_write_a_file_read_alike(mano_files, tmp_path, protocol: int) -> None:
    expected = load_mano(mano_files["MANO_RIGHT"])
    path = tmp_path / "python2.pkl"
    path.write_bytes(as_mano_writes(made_up(), protocol))
    for (name, ours), (_, theirs) in zip(expected.named_buffers(), load_mano(path).named_buffers(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_python_3_pickles_with_sparse_matrices(mano_files, tmp_path, protocol: int) -> None:
    from scipy import sparse

    expected = load_mano(mano_files["MANO_RIGHT"])
    path = tmp_path / "python3.pkl"
    for kind in (sparse.csc_matrix, sparse.csr_matrix):
        entries = made_up()
        entries["J_regressor"] = kind(entries["J_regressor"])
        entries["v_template"] = entries["v_template"].astype(">f8")
        path.write_bytes(pickle.dumps(entries | {"count": np.float64(3), "empty": np.zeros((0, 3))}, protocol))
        for (name, ours), (_, theirs) in zip(expected.named_buffers(), load_mano(path).named_buffers(), strict=True):
            assert torch.equal(ours, theirs), name


class Call:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that make a file `marker` when an ordinary unpickler reads them."""
    code = f"open({str(marker)!r}, 'w').close()"
    bent = pickle.dumps(made_up() | {"extra": Call(eval, code)}, 2)
    return {
        "os.system": pickle.dumps(Call(os.system, f"touch '{marker}'"), 0),
        "eval": pickle.dumps(Call(eval, code)),
        "exec in protocol 0": pickle.dumps(Call(exec, code), 0),
        "inside a MANO file": bent,
        "posix.mkdir": f"cposix\nmkdir\n(S{str(marker)!r}\ntR.".encode(),
        "instance opcode": f"(S{code!r}\ni__builtin__\neval\n.".encode(),
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x09dtype.mro\x93\x29\x52.",
        "before the entries": pickle.dumps((Call(eval, code), made_up())),
    }


@pytest.mark.parametrize("name", list(hostile(Path("x"))))
def test_hostile_files_are_refused_and_nothing_of_them_runs(tmp_path, name: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "MANO_RIGHT.pkl"
    content = hostile(marker)[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match="MANO_RIGHT.pkl: not a readable MANO file"):
        load_mano(path)
    assert not marker.exists()
    if name != "dotted name":  # the payload is live: it would have run
        pickle.loads(content)
        assert marker.exists()


def test_what_hostile_files_bend_does_not_last(tmp_path) -> None:
    """Setting attributes on what the unpickler hands out reaches neither numpy nor this process's next file."""
    path = tmp_path / "MANO_RIGHT.pkl"
    for kind in (b"numpy\nndarray", b"numpy\ndtype", b"chumpy.ch\nCh", b"numpy.core.multiarray\n_reconstruct"):
        path.write_bytes(b"\x80\x02c" + kind + b"\nN}U\x08__name__U\x04bents\x86b.")
        with pytest.raises(InputError):
            load_mano(path)
    path.write_bytes(as_mano_writes(made_up()))
    assert load_mano(path).side == "right"
    assert "bent" not in (np.ndarray.__name__, np.dtype.__name__, type(pickle.loads(pickle.dumps(np.ones(1)))).__name__)


@pytest.mark.parametrize("keep", [1, 10, 300, 5000, 0.5, 0.999])
def test_truncated(mano_files, tmp_path, keep: float) -> None:
    content = mano_files["RIGHT_py2"].read_bytes()
    path = tmp_path / "cut.pkl"
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(InputError, match="cut.pkl: not a readable MANO file"):
        load_mano(path)


@pytest.mark.parametrize("content", [b"hello\n", b"<html></html>", b"\x89PNG\r\n", b"PK\x03\x04", b"\x00" * 100])
def test_other_files(tmp_path, content: bytes) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other.pkl: not a readable MANO file"):
        load_mano(path)


def test_no_file(tmp_path) -> None:
    with pytest.raises(InputError, match="missing.pkl: cannot be read"):
        load_mano(tmp_path / "missing.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        load_mano(tmp_path)
    (tmp_path / "empty.pkl").touch()
    with pytest.raises(InputError, match="empty.pkl: the file is empty"):
        load_mano(tmp_path / "empty.pkl")
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(InputError, match="large.pkl: is larger than the 64 MB"):
        load_mano(tmp_path / "large.pkl")


BAD: dict[str, tuple[Any, str]] = {
    "v_template": (np.zeros((6890, 3)), r"v_template: must have shape \(778, 3\), has \(6890, 3\)"),
    "shapedirs": (np.zeros((778, 3, 16)), "shapedirs: must have shape"),
    "posedirs": (np.full((778, 3, 135), np.nan), "posedirs: has values that are not finite"),
    "J_regressor": (np.zeros((24, 778)), "J_regressor: must have shape"),
    "weights": (np.full((778, 16), 0.5), "weights: must sum to 1"),
    "kintree_table": (np.zeros((2, 16), np.int64), "kintree_table: is not the tree"),
    "f": (np.full((1538, 3), 778), "f: must be indices"),
    "hands_components": (np.zeros((45, 48)), "hands_components: must have shape"),
    "hands_mean": ("flat", "hands_mean: not an array of numbers"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_entries(tmp_path, name: str) -> None:
    path = tmp_path / "bad.pkl"
    value, fault = BAD[name]
    path.write_bytes(pickle.dumps(made_up() | {name: value}))
    with pytest.raises(InputError, match=f"bad.pkl: {fault}"):
        load_mano(path)
    entries = made_up()
    del entries[name]
    path.write_bytes(pickle.dumps(entries))
    with pytest.raises(InputError, match=f"bad.pkl: not a MANO file: it has no entry {name}"):
        load_mano(path)


def test_other_faults(tmp_path) -> None:
    path = tmp_path / "bad.pkl"
    entries = made_up()
    turned = deepcopy(entries)
    turned["v_template"] = turned["v_template"][:, [1, 0, 2]]
    objects = entries | {"hands_mean": np.array([None] * 45)}
    broken = Select(Ch(np.zeros(3)), np.array([5]), (778, 3, 10))
    for value, fault in (
        ([1, 2], "holds a list instead of named entries"),
        (turned, "do not point along x"),
        (objects, "holds an array of type 'O8'"),
        (entries | {"shapedirs": broken}, "entry shapedirs is damaged"),
        (entries | {"bs_style": np.array([b"lbs"])}, "holds an array of type 'S3'"),
        (entries | {"bs_style": np.ndarray}, "neither a plain value nor an array"),
    ):
        path.write_bytes(python2_pickle(value, 2))
        with pytest.raises(InputError, match=f"bad.pkl: .*{fault}") as caught:
            load_mano(path)
        assert "\n" not in str(caught.value)


def test_damaged_bytes_never_surprise(mano_files, tmp_path) -> None:
    """Whatever byte is wrong: a hand or one sentence, and no other exception."""
    content = bytearray(mano_files["RIGHT_py2"].read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.pkl"
    refused = 0
    structure = [i for i in range(len(content)) if i < 400 or content[i] in b"cRbU."][:4000]
    for place in rng.choice(structure, 60, replace=False):
        damaged = content.copy()
        damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_mano(path)
        except InputError as error:
            assert "damaged.pkl" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 5


def test_neither_chumpy_nor_scipy_is_needed(mano_files, monkeypatch) -> None:
    for name in ("chumpy", "scipy", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError):
        import scipy.sparse  # noqa: F401
    assert load_mano(mano_files["RIGHT_py2"]).side == "right"


def test_npz_files_are_read_too(mano_files, tmp_path) -> None:
    expected = load_mano(mano_files["MANO_LEFT"])
    path = tmp_path / "MANO_LEFT.npz"
    np.savez(path, **mirrored(made_up()))
    for (name, ours), (_, theirs) in zip(expected.named_buffers(), load_mano(path).named_buffers(), strict=True):
        assert torch.equal(ours, theirs), name
    whole = path.read_bytes()
    for name, content, fault in (
        ("cut.npz", whole[: len(whole) // 2], "not a whole NPZ file"),
        ("text.npz", b"nothing", "not a whole NPZ file"),
        ("empty.npz", b"", "is empty"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: .*{fault}"):
            load_mano(tmp_path / name)
    np.savez(tmp_path / "objects.npz", v_template=np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", joints=np.zeros(3))
    with pytest.raises(InputError, match=r"objects.npz: .*not a whole NPZ"):
        load_mano(tmp_path / "objects.npz")
    with pytest.raises(InputError, match=r"other.npz: not a MANO file: it has no entry v_template"):
        load_mano(tmp_path / "other.npz")
