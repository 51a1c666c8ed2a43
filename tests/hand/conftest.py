"""What tests of hands share."""

import pickle
from pathlib import Path

import pytest
from made_up_mano import as_mano_writes, made_up, mirrored

from phalanx.hand.model import HandModel


@pytest.fixture(scope="package")
def model() -> HandModel:
    """The open hand."""
    return HandModel.open_hand()


@pytest.fixture(scope="package")
def mano_files(tmp_path_factory) -> dict[str, Path]:
    """Made-up files of both sides, as Python 3 and as MANO's authors write them."""
    folder = tmp_path_factory.mktemp("mano")
    right = made_up()
    for side, entries in (("RIGHT", right), ("LEFT", mirrored(right))):
        (folder / f"MANO_{side}.pkl").write_bytes(pickle.dumps(entries))
        (folder / f"{side}_py2.pkl").write_bytes(as_mano_writes(entries))
    return {path.stem: path for path in folder.iterdir()}
