import csv
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.methods.base import Method
from phalanx.train.feed import BufferFeed, finish_pictures, pack
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Position, Stage, schedule

PHASES = [Phase(0.5, 32, 4, 2), Phase(1.0, 64, 4, 1)]


class Tiny(Method):
    """A convolution that must say the mean position of the joints."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 3, 2))

    def losses(self, batch: Sample) -> dict[str, torch.Tensor]:
        said = self.net(batch.image).float().mean(dim=(2, 3))
        wanted = batch.joints_2d.mean(1) / batch.image.shape[-1]
        return {"near": (said - wanted).square().mean(), "small": 1e-3 * said.square().mean()}


def chunk(index: int) -> Sample:
    random = torch.Generator().manual_seed(index)
    return Sample(
        image=torch.rand(6, 3, 64, 64, generator=random), joints_2d=64 * torch.rand(6, 21, 2, generator=random)
    )


def endless(start: int):
    while True:
        yield chunk(start)
        start += 1


def config(**changes) -> LoopConfig:
    settings = {"minutes": None, "samples": 80, "evaluate_every": 24, "warmup": 8, "average": 20}
    fixed = {"precision": "float32", "kernel_precision": "float32"}  # bits are compared, and auto is measured anew
    return LoopConfig(**(settings | fixed | changes))


def start(out: Path, resume: bool = False, stop_after: int | None = None, **changes) -> nn.Module:
    torch.manual_seed(3)
    stage = Stage(
        "all",
        config(**changes),
        PHASES,
        lambda: BufferFeed(endless, 2, 5, pack, finish_pictures),
        lambda network, size: {"size_again": float(size)},
    )
    return train(
        Tiny(),
        [stage],
        out,
        resume=resume,
        report=lambda line: None,
        stop_after=stop_after,
    )


@pytest.mark.parametrize("stop", [1, 7, 13])
def test_resumed_run_ends_with_the_same_bits(tmp_path, stop):
    whole = start(tmp_path / "whole")
    start(tmp_path / "parts", stop_after=stop)
    parts = start(tmp_path / "parts", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    read = [(tmp_path / name / "curve.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert len(read[0]) == len(read[1]) == 5  # a head, three times 24 pictures, the end
    clock = read[0][0].split(",").index("minutes")
    without = [[[v for k, v in enumerate(line.split(",")) if k != clock] for line in lines] for lines in read]
    assert without[0] == without[1]  # losses too: means over all steps since the last row
    assert (tmp_path / "parts" / "curve.png").stat().st_size > 1000


def test_killed_process_resumes_with_the_same_bits(tmp_path):
    whole = start(tmp_path / "whole")
    # The child writes a checkpoint at every step and is killed without warning in its tenth.
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); import test_loop as t; from pathlib import Path\n"
        "old, t.chunk_count = t.Tiny.losses, [0]\n"
        "def losses(self, batch):\n"
        "    t.chunk_count[0] += 1\n"
        "    if t.chunk_count[0] == 10: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return old(self, batch)\n"
        "t.Tiny.losses = losses\n"
        "t.start(Path(sys.argv[2]), checkpoint_minutes=0.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "killed")])
    assert done.returncode == -signal.SIGKILL
    resumed = start(tmp_path / "killed", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [name for name in os.listdir(tmp_path / "killed") if ".part" in name] == []


def test_a_device_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="device: 'cuda:99'"):
        start(tmp_path, device="cuda:99")


def test_loss_falls_and_curve_says_so(tmp_path):
    start(tmp_path, samples=400, learning_rate=1e-2)
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss_near"]) < 0.5 * float(rows[0]["loss_near"])
    assert [float(row["size_again"]) for row in rows] == [float(row["size"]) for row in rows]
    assert {32.0, 64.0} == {float(row["size"]) for row in rows}


def test_rate_rises_then_falls_to_a_hundredth():
    plan = config(samples=1000, warmup=100)
    values = [schedule(plan, Position(seen=seen)) for seen in range(0, 1001, 20)]
    assert values[0] < 0.05
    assert max(values) == pytest.approx(0.98, abs=0.03)
    assert values[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(values[5:]))


def test_refuses_what_makes_no_sense(tmp_path):
    with pytest.raises(InputError, match="positive number"):
        start(tmp_path / "a", samples=0)
    start(tmp_path / "b", stop_after=1)
    with pytest.raises(InputError, match="already here"):
        start(tmp_path / "b")
    with pytest.raises(InputError, match="another configuration"):
        start(tmp_path / "b", resume=True, learning_rate=1.0)
    (tmp_path / "b" / "checkpoint.pt").write_bytes((tmp_path / "b" / "checkpoint.pt").read_bytes()[:500])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        start(tmp_path / "b", resume=True)
