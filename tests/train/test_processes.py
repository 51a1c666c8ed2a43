"""Two processes share every batch and give the curve of one within rounding."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from phalanx.core.errors import InputError
from phalanx.train.plan import LoopConfig, Phase, check_config
from phalanx.train.processes import launched

SCRIPT = """
import sys
from phalanx.methods.compact import CompactConfig
from phalanx.synth import SynthConfig
from phalanx.train.compact import CompactTraining, run
from phalanx.train.plan import LoopConfig, Phase

if __name__ == "__main__":
    out, processes = sys.argv[1], int(sys.argv[2])
    run(
        CompactTraining(
            model=CompactConfig(size=64, widths=(8, 8, 8, 8), depths=(0, 1, 1, 1), top_down=(8, 8, 8), hidden=8),
            loop=LoopConfig(
                samples=48, evaluate_every=16, warmup=8, average=8, processes=processes,
                precision=sys.argv[3], kernel_precision=sys.argv[3],
            ),
            synth=SynthConfig(size=64, chunk=8, tiles=2, skins=1),
            phases=[Phase(1.0, 64, 8, 2)],
            workers=1,
            buffer=16,
            held_out=8,
        ),
        out,
    )
"""


def curve(folder: Path) -> list[dict[str, float]]:
    with (folder / "curve.csv").open() as file:
        return [
            {name: float(value) for name, value in row.items() if name != "minutes"} for row in csv.DictReader(file)
        ]


def test_two_processes_give_the_curve_of_one(tmp_path):
    script = tmp_path / "train_tiny.py"
    script.write_text(SCRIPT)
    for processes in (1, 2):
        command = [sys.executable, str(script), str(tmp_path / str(processes)), str(processes), "float32"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / str(processes) / "compact.safetensors").exists()
    one, two = curve(tmp_path / "1"), curve(tmp_path / "2")
    assert len(one) == len(two) == 3
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == pytest.approx(value, rel=3e-4, abs=1e-5), name


def test_two_processes_agree_on_a_precision(tmp_path):
    script = tmp_path / "train_tiny.py"
    script.write_text(SCRIPT.replace("samples=48", "samples=16"))
    command = [sys.executable, str(script), str(tmp_path / "run"), "2", "auto"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "auto" not in (tmp_path / "run" / "config.json").read_text()


def test_one_process_is_this_one():
    assert launched(lambda fabric, number: (fabric.world_size, number), LoopConfig(), 7) == (1, 7)


def test_processes_that_cannot_share_are_refused():
    with pytest.raises(InputError, match="3 processes cannot share batches of 8"):
        check_config(LoopConfig(processes=3), [Phase(1.0, 64, 8)])
    with pytest.raises(InputError, match="device: 'cuda:1'"):
        launched(print, LoopConfig(device="cuda:1", processes=2))
