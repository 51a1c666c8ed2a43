import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.data.joint_lines import read_joint_lines

FRAMES = np.arange(2 * 4 * 3).reshape(2, 4, 3) / 4
TEXT = "".join(" ".join(f"{value:.3f}" for value in frame.ravel()) + "\n" for frame in FRAMES)


def test_plain_and_compressed_files_are_read_alike(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT + "\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    for name in ("a.txt", "a.txt.gz"):
        np.testing.assert_array_equal(read_joint_lines(tmp_path / name, 4), FRAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no frames"),
        (TEXT + "1 2 3\n", "line 3: 12 numbers expected .4 joints., has 3"),
        ("1 2 3\n\n" + TEXT, "line 1: 12 numbers"),
        (TEXT.replace("1.250", "nan"), "line 1: 'nan' is not a finite"),
        (TEXT.replace("4.500", "4,5"), "line 2: '4,5' is not a finite"),
        (TEXT.replace("4.500", "inf"), "line 2: 'inf'"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"a.txt: .*{message}"):
        read_joint_lines(path, 4)


def test_files_at_fault_are_named(tmp_path):
    with pytest.raises(InputError, match="none.txt: cannot be read"):
        read_joint_lines(tmp_path / "none.txt", 4)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT.encode() * 50)[:-20])
    with pytest.raises(InputError, match="cut.gz: is cut short or damaged"):
        read_joint_lines(tmp_path / "cut.gz", 4)
    (tmp_path / "text.gz").write_text(TEXT)
    with pytest.raises(InputError, match="text.gz: is cut short or damaged"):
        read_joint_lines(tmp_path / "text.gz", 4)
    (tmp_path / "picture.txt").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="picture.txt: "):
        read_joint_lines(tmp_path / "picture.txt", 4)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "a.txt"
    path.write_bytes(data)
    try:
        assert np.isfinite(read_joint_lines(path, 1)).all()
    except InputError:
        pass
