import errno
import hashlib
import os
import stat

import pytest

from phalanx.core.errors import InputError
from phalanx.core.files import (
    file_checksum,
    list_folder,
    numbered_lines,
    read_json,
    writable_file,
    writable_folder,
    write_whole,
)


def test_appears_with_its_bytes_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    with write_whole(target) as part:
        assert part.parent == tmp_path and part.suffix == ".json"
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_failure_keeps_the_old_file_and_removes_the_new_one(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyError), write_whole(target) as part:
        part.write_text("half")
        raise KeyError("stop")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        with write_whole(tmp_path / "a") as part:
            part.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: no space left"), write_whole(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_other_system_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "a.txt"):
        open(tmp_path / "missing")


def test_missing_folder_and_folder_as_target(tmp_path):
    with pytest.raises(InputError, match="no such file"), write_whole(tmp_path / "none" / "a"):
        pass
    with pytest.raises(InputError, match="is a folder"), write_whole(tmp_path):
        pass


def test_writable_folder(tmp_path):
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(InputError, match="output folder cannot be written"):
            writable_folder(bad)


def test_writable_file(tmp_path):
    assert writable_file(tmp_path / "a" / "b.json") == tmp_path / "a" / "b.json"
    assert os.listdir(tmp_path / "a") == []
    with pytest.raises(InputError, match="a: cannot be written: it is a folder"):
        writable_file(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: the output folder cannot be written"):
        writable_file(tmp_path / "file" / "b.json")


def test_name_that_the_system_refuses(tmp_path):
    with pytest.raises(InputError, match="cannot be written: file name too long"), write_whole(tmp_path / ("a" * 300)):
        pass
    assert os.listdir(tmp_path) == []


def test_names_in_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".a").touch()
    assert sorted(list_folder(tmp_path)) == [".a", "b"]
    for bad in (tmp_path / "none", tmp_path / ".a"):
        with pytest.raises(InputError, match=f"^{bad}: cannot be read: no"):
            list_folder(bad)


def test_json_comes_as_it_is_or_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, "\u00e4"]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, "\u00e4"]}
    for content in (b'{"a": [1', b"\xff\xfe\xfd", b"[" * 200_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.json: is cut short or not JSON"):
            read_json(path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.json: cannot be read: no such file"):
        read_json(path)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_lines_that_are_not_blank_have_their_numbers(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("  1 = \u00e4\t\r\n\r\n \n2 = b".encode(encoding))
    assert numbered_lines(path) == [(1, "1 = \u00e4"), (4, "2 = b")]
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.txt: the file is empty"):
        numbered_lines(path)


def test_the_checksum_is_that_of_the_whole_content(tmp_path):
    content = bytes(range(256)) * 9_000  # more than one part
    (tmp_path / "a").write_bytes(content)
    assert file_checksum(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a").write_bytes(content[:-1])
    assert file_checksum(tmp_path / "a") != hashlib.sha256(content).hexdigest()
