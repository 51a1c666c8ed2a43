import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.core.npz import read_npz


def header(text: str) -> bytes:
    """An NPY file of no numbers, whose header says `text`."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.zeros(3))
    start, end = content.getvalue()[:10], content.getvalue()[10:]
    return start + text.encode().ljust(end.index(b"\n")) + b"\n" + end[-24:]


def pack(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def test_arrays_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(3), two=np.array("text"), three=np.zeros((0, 2)))
    arrays = read_npz(tmp_path / "a.npz")
    assert (
        list(arrays) == ["one", "two", "three"] and arrays["one"].tolist() == [0, 1, 2] and str(arrays["two"]) == "text"
    )
    assert list(read_npz(tmp_path / "a.npz", ("three",))) == ["three"]
    with pytest.raises(InputError, match=r"a\.npz: lacks four and five$"):
        read_npz(tmp_path / "a.npz", ("one", "four", "five"))


BAD = {
    "unclosed": header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,"),  # TokenError
    "no_python": header("{'descr': '<f8', 'shape': (03,), 'fortran_order': False}"),  # SyntaxError
    "huge": header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
    "no_magic": b"XNUMPY" + header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }")[6:],  # bytes, no array
    "no_text": header("{'descr': '<U6', 'fortran_order': False, 'shape': (1,), }")[:-24] + b"\xff" * 24,  # SystemError
    "empty": b"",
}


@pytest.mark.parametrize("fault", BAD)
def test_damaged_headers_are_one_sentence_that_names_the_file(tmp_path, fault):
    with pytest.raises(InputError, match=r"a\.npz: is damaged or not an NPZ file \(\w+\)$"):
        read_npz(
            pack(
                tmp_path / "a.npz",
                fine=header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"),
                x=BAD[fault],
            )
        )


def test_other_files_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(99))
    whole = (tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "b.npy", np.arange(3))
    for content in (whole[:150], whole[:-30], b"text", (tmp_path / "b.npy").read_bytes()):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz: is damaged or not an NPZ file"):
            read_npz(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"none\.npz: cannot be read: no such file"):
        read_npz(tmp_path / "none.npz")
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.npz: the file is empty"):
        read_npz(tmp_path / "a.npz")
