"""Notes come once, from one process of several."""

import subprocess
import sys

_SCRIPT = """
from functools import partial
from phalanx.core.notes import note
from phalanx.core.parallel import ordered, shared

def make(number):
    note("half of it is missing")
    return number

if __name__ == "__main__":
    made = ordered(make, 3)
    assert [next(made) for _ in range(6)] == list(range(6))
    made.close()
"""


def test_a_note_comes_once_from_several_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["phalanx: half of it is missing"]


def test_a_note_comes_once_from_shared_work(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        _SCRIPT[: _SCRIPT.index("    made =")] + "    with shared(make, range(40), 3) as made:\n        list(made)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["phalanx: half of it is missing"]
