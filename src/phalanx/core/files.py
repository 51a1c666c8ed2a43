"""Output files that appear whole or not at all; folders, JSON and lines of text, read with one sentence for what is at fault."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from phalanx.core.errors import InputError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block succeeds, remove it when not.

    The temporary name is hidden and ends in the suffix of `path`, so that writers which choose their format by suffix
    work. The bytes are flushed to disk before the renaming: after a crash `path` is the old file or the new one.

    Raises:
        InputError: the folder is missing or cannot be written, `path` is a folder, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot be written: it is a folder")
        # Made here, and not with `tempfile`, so that the file gets the permissions that the user's umask asks for.
        temporary.open("xb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {reason(error)}") from error
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise InputError(f"{path}: cannot be written: {reason(error)}") from error
            raise
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: object, indent: int | None = None) -> None:
    """Write JSON-ready data, whole or not at all. NaN and infinity are refused (ValueError)."""
    text = json.dumps(data, allow_nan=False, indent=indent)
    with write_whole(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder `path` (and its parents) if need be, and make sure that files can be written in it.

    Raises:
        InputError: it is a file, or cannot be made or written.
    """
    path = Path(path)
    if path.is_file():
        raise InputError(f"{path}: the output folder cannot be written: it is a file")
    probe = path / f".{secrets.token_hex(4)}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{path}: the output folder cannot be written: {reason(error)}") from error
    return path


def writable_file(path: str | os.PathLike[str]) -> Path:
    """Make sure, before the work whose result it shall hold, that the file `path` can be written; makes its folder.

    Raises:
        InputError: it is a folder, or its folder cannot be made or written.
    """
    path = Path(path)
    writable_folder(path.parent)
    if path.is_dir():
        raise InputError(f"{path}: cannot be written: it is a folder")
    return path


def read_head(path: Path, count: int) -> bytes:
    """The first bytes of a file, at least one and at most `count`.

    Raises:
        InputError: it is missing, cannot be read, is empty, or is a pipe (opening it would wait for a writer, and what
            is read of it here would be gone for the real reader).
    """
    try:
        if path.is_fifo():
            raise InputError(f"{path}: is a pipe; save it in a file first")
        with path.open("rb") as file:
            head = file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if not head:
        raise InputError(f"{path}: the file is empty")
    return head


def list_folder(path: Path) -> list[str]:
    """Names in a folder, in no order. Raises InputError if it cannot be read."""
    try:
        return os.listdir(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def files_below(folder: Path, suffixes: Collection[str], what: str, kind: str) -> list[Path]:
    """Files with one of the suffixes in a folder and in folders in it, in order; hidden ones are passed over.

    Args:
        folder: of the user's.
        suffixes: in small letters.
        what: the folder is one of these, for errors.
        kind: of the files, for errors.

    Raises:
        InputError: there is no such folder, or it holds none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {what}")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    files = sorted(path for path in found if not path.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: holds no {kind} ({', '.join(suffixes)})")
    return files


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's content, read in parts."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """Contents of a JSON file. Raises InputError if it is missing, cannot be read, is cut short or not JSON."""
    read_head(path, 1)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is cut short or not JSON ({error})") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Lines of a text file that are not blank, stripped of blanks, each with its number from 1; UTF-8, and where it is not that, Latin 1.

    Raises:
        InputError: as `read_head`.
    """
    read_head(path, 1)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def reason(error: OSError) -> str:
    """What the system says about `error`, as the end of a sentence: 'no such file or directory'."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
