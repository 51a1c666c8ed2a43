"""What tests of the command share: complaints as they must be, and Python as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def one_sentence(lines, *says):
    """Standard error holds one complaint, which says all of this."""
    assert len(lines) == 1, lines
    assert lines[0].startswith("phalanx: ")
    for text in says:
        assert str(text) in lines[0], lines[0]


def python(*arguments, **options):
    """Run Python on this source with warnings as errors; returns the finished process."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, **options)
