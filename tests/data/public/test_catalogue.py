"""Every reader is in the catalogue, says what it is, and does not take another's folder for its own."""

from pathlib import Path

import pytest

import phalanx.data
from phalanx.data.public.catalogue import PLAIN_FOLDERS, PUBLIC_SETS

ROOM = Path(phalanx.data.__file__).parent


def test_every_reader_is_in_the_catalogue():
    listed = {kind.__module__.rpartition(".")[2] for kind in (*PUBLIC_SETS, *PLAIN_FOLDERS)}
    written = {path.stem for path in ROOM.rglob("*.py") if "(Dataset)" in path.read_text(encoding="utf-8")}
    assert listed == written


@pytest.mark.parametrize("kind", (*PUBLIC_SETS, *PLAIN_FOLDERS), ids=lambda kind: kind.__name__)
def test_readers_say_what_they_are_and_refuse_an_empty_folder(kind, tmp_path):
    assert kind.name and kind.splits and kind.licence and kind.__doc__
    assert not kind.recognises(tmp_path)
    assert not kind.recognises(tmp_path / "none")
    with pytest.raises(ValueError, match=str(tmp_path)):
        kind(tmp_path, kind.splits[0])
