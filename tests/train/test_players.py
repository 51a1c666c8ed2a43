"""Adversarial methods, stages and precisions, on the example method of examples/pose_gan.py."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.methods.base import Method, Player
from phalanx.train import descent
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Stage

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import pose_gan  # noqa: E402

FIXED = {"precision": "float32", "kernel_precision": "float32"}


def run(out: Path, stages=None, **options):
    torch.manual_seed(5)
    stages = [pose_gan.stage(640, **FIXED)] if stages is None else stages
    return train(pose_gan.PoseGAN(), stages, out, report=lambda line: None, **options)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_stopped_gan_ends_with_the_same_bits(tmp_path, stop):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after=stop)
    assert same(whole, run(tmp_path / "parts", resume=True))
    whole_rows, parts = rows_of(tmp_path / "whole"), rows_of(tmp_path / "parts")
    assert [{**row, "minutes": ""} for row in whole_rows] == [{**row, "minutes": ""} for row in parts]


def test_a_killed_gan_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); import pose_gan as p, torch\n"
        "from phalanx.train.loop import train\n"
        "old, calls = p.PoseGAN.critic_losses, [0]\n"
        "def losses(self, batch):\n"
        "    calls[0] += 1\n"
        "    if calls[0] == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return old(self, batch)\n"
        "p.PoseGAN.critic_losses = losses\n"
        "torch.manual_seed(5)\n"
        f"stage = p.stage(640, checkpoint_minutes=0.0, **{FIXED})\n"
        "train(p.PoseGAN(), [stage], sys.argv[2])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(EXAMPLES), str(tmp_path / "killed")], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(whole, run(tmp_path / "killed", resume=True))
    assert [name for name in os.listdir(tmp_path / "killed") if ".part" in name] == []


def test_the_gan_learns_the_poses(tmp_path):
    run(tmp_path, [pose_gan.stage(40_000, **FIXED)])
    rows = rows_of(tmp_path)
    first, last = rows[0], rows[-1]
    assert float(last["mean_off_deg"]) < min(6.0, float(first["mean_off_deg"]))
    assert {"loss_critic_real", "loss_critic_made", "loss_generator_fooled"} <= set(last)


class Two(Method):
    """Two scalars: each player moves its own towards 1, and its losses see the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[float, float]] = []

    def players(self) -> tuple[Player, ...]:
        return (
            Player("a", (self.a,), lambda batch: self._off(self.a), optimiser=_plain),
            Player("b", (self.b,), lambda batch: self._off(self.b), every=3, optimiser=_plain),
        )

    def _off(self, value):
        self.seen.append((float(self.a.detach()), float(self.b.detach())))
        return {"off": (value - 1).square().sum() + 0 * (self.a + self.b).sum()}


def _plain(parameters):
    return torch.optim.SGD(parameters, lr=0.25)


def numbers_stage(samples=64, name="only", players=None, **changes):
    config = LoopConfig(minutes=None, samples=samples, warmup=0, average=1, evaluate_every=1_000, **FIXED, **changes)
    options = {} if players is None else {"players": players}
    return Stage(name, config, [Phase(1.0, 32, 16)], lambda: pose_gan.PoseFeed(1), lambda n, size: {}, **options)


def test_players_move_in_turn_and_only_what_is_theirs(tmp_path):
    model = Two()
    train(model, [numbers_stage()], tmp_path, report=lambda line: None)
    # four steps: a, b, a, a, a, b; b's losses of the first step see what a has just done
    assert len(model.seen) == 6
    (first, second, third, *_, last) = model.seen
    assert first == (0.0, 0.0) and second[0] > 0.4 and second[1] == 0.0 and third[1] > 0.4
    assert last[0] > 0.7 and last[1] == pytest.approx(third[1])
    assert set(rows_of(tmp_path)[0]) >= {"loss_a_off", "loss_b_off"}


def test_stages_follow_one_another_and_resume_in_either(tmp_path):
    def stages():
        first = pose_gan.stage(320, **FIXED)
        second = replace(pose_gan.stage(256, **FIXED), name="critic", players=lambda model: model.players()[:1])
        return [first, second]

    whole = run(tmp_path / "whole", stages())
    for stop in (2, 5, 7):
        run(tmp_path / f"{stop}", stages(), stop_after=stop)
        assert same(whole, run(tmp_path / f"{stop}", stages(), resume=True)), stop
    rows = rows_of(tmp_path / "whole")
    assert [row["stage"] for row in rows] == sorted(row["stage"] for row in rows) and rows[-1]["stage"] == "2"
    assert rows[-1]["seen"] == "576"
    first = run(tmp_path / "first", stages()[:1])
    assert all(torch.equal(value, whole.generator.state_dict()[n]) for n, value in first.generator.state_dict().items())
    assert not same(first, whole)
    with pytest.raises(InputError, match="another configuration .*of stage critic"):
        changed = replace(stages()[1], config=replace(stages()[1].config, seed=7))
        run(tmp_path / "whole", [stages()[0], changed], resume=True)


def test_precision_is_measured_once_and_kept(tmp_path, monkeypatch):
    calls = []

    def measured(prepare):
        prepare(torch.float32)(), prepare(torch.bfloat16)()  # as the true one does; it must not change the run
        calls.append(prepare)
        return torch.bfloat16

    monkeypatch.setattr(descent, "faster_precision", measured)
    stage = pose_gan.stage(640, precision="auto", kernel_precision="auto")
    settings = {"loop": {"samples": 640, "precision": "auto"}}
    run(tmp_path / "a", [stage], stop_after=3, settings=settings)
    text = (tmp_path / "a" / "config.json").read_text()
    assert '"precision": "bfloat16"' in text and '"kernel_precision": "float32"' in text
    resumed = run(tmp_path / "a", [stage], resume=True)
    assert len(calls) == 1
    fixed = pose_gan.stage(640, precision="bfloat16", kernel_precision="float32")
    assert same(resumed, run(tmp_path / "b", [fixed]))


def test_what_precisions_take_is_measured_for_real(tmp_path):
    stage = pose_gan.stage(320, precision="auto", kernel_precision="auto")
    run(tmp_path, [stage], settings={"loop": {}})
    kept = (tmp_path / "config.json").read_text()
    assert "auto" not in kept and ("float32" in kept or "bfloat16" in kept)


def test_a_method_with_neither_losses_nor_players_is_named(tmp_path):
    class Nothing(Method):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

    with pytest.raises(NotImplementedError, match="Nothing has neither losses nor players"):
        train(Nothing(), [numbers_stage()], tmp_path, report=lambda line: None)


def test_a_rare_players_losses_are_means_over_its_own_turns(tmp_path):
    class Steady(Two):
        def _off(self, value):
            return {"off": 0.5 + 0 * (self.a + self.b).sum()}

    train(Steady(), [numbers_stage(samples=128)], tmp_path, report=lambda line: None)
    (row,) = rows_of(tmp_path)
    assert float(row["loss_a_off"]) == pytest.approx(0.5) and float(row["loss_b_off"]) == pytest.approx(0.5)


def test_a_run_is_not_resumed_in_another_precision(tmp_path):
    run(tmp_path, [pose_gan.stage(320, **FIXED)], stop_after=2)
    with pytest.raises(InputError, match="computes in float32; it cannot be resumed in bfloat16"):
        run(tmp_path, [pose_gan.stage(320, precision="bfloat16", kernel_precision="float32")], resume=True)


def test_what_is_decided_is_kept_from_the_first_step_on(tmp_path, monkeypatch):
    monkeypatch.setattr(descent, "faster_precision", lambda prepare: torch.bfloat16)
    stage = pose_gan.stage(640, precision="auto", kernel_precision="auto", checkpoint_minutes=1e6)

    class Killed(Exception):
        pass

    def losses(self, batch, before=pose_gan.PoseGAN.critic_losses):
        if (tmp_path / "checkpoint.pt").exists():
            raise Killed
        return before(self, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pose_gan.PoseGAN, "critic_losses", losses)
        run(tmp_path, [stage])
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert tuple(state["books"]["precision"]) == ("bfloat16", "float32") and state["books"]["position"]["step"] == 1
