"""What tests of several rooms share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pretend_device import pretend_device

REAL = Path(__file__).parents[2] / "shared" / "real"
"""Where real samples lie, if anywhere: beside the project, of which they are no part."""

_JOINED = """
import sys
import torch
from torch import distributed
rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
given = torch.load(f"{folder}/given.pt", weights_only=False)
"""
_PARTED = """
torch.save(result, f"{folder}/result_{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """`real("photos_3d")` is that folder of real samples; where it is missing the test is skipped."""

    def folder(name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"needs the real samples {name}, which are not part of the project")
        return REAL / name

    return folder


@pytest.fixture
def two_processes(tmp_path: Path) -> Callable[..., list[Any]]:
    """`two_processes(code, given)` runs `code` in two processes of one gloo group, which have `rank` and `given`; their `result`s."""

    def run(code: str, given: Any = None) -> list[Any]:
        torch.save(given, tmp_path / "given.pt")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        command = [sys.executable, "-W", "error", "-c", _JOINED + code + _PARTED]
        working = [
            subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True)
            for rank in range(2)
        ]
        try:
            complaints = [process.communicate(timeout=120)[1] for process in working]
        finally:
            for process in working:
                process.kill()
        assert [process.returncode for process in working] == [0, 0], "\n".join(complaints)
        return [torch.load(tmp_path / f"result_{rank}.pt", weights_only=False) for rank in range(2)]

    return run


@pytest.fixture
def pretend() -> Iterator[str]:
    """Name of a device that is not there (`pretend_device`)."""
    with pretend_device() as place:
        yield place
