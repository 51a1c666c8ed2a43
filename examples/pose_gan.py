"""A method of your own in one file: a generator of finger poses against a critic. docs/adding_a_method.md walks through it.

    python examples/pose_gan.py runs/pose_gan

It learns how the MCP and PIP joints of the index finger bend together from poses of the hand model, and writes a curve of how far the
generated poses are from the drawn ones. A minute on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from phalanx.core.seeding import generator
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.pose_space import sample_angles
from phalanx.methods.base import Method, Player
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Stage

COLUMNS = [ANGLE_NAMES.index(name) for name in ("index_mcp_flexion", "index_pip_flexion")]


@dataclass
class Poses:
    """A batch: angles (B, 2) in radians."""

    angles: Tensor

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, rows: slice) -> Poses:
        return Poses(self.angles[rows])

    def to(self, device: torch.device) -> Poses:
        return Poses(self.angles.to(device))


class PoseFeed:
    """Batches of drawn poses; batch number n is the same whenever it is asked for."""

    def __init__(self, seed: int) -> None:
        self._seed, self._step = seed, 0

    def next(self, batch: int, size: int, reuse: int) -> Poses:
        angles = sample_angles(generator(self._seed, self._step), batch)[:, COLUMNS]
        self._step += 1
        return Poses(torch.as_tensor(angles, dtype=torch.float32))

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]

    def close(self) -> None:
        pass


class PoseGAN(Method):
    """A generative adversarial network (Goodfellow et al. 2014, with the non-saturating loss of their Sec. 3)."""

    def __init__(self, noise: int = 4, width: int = 64) -> None:
        super().__init__()
        self.noise = noise
        self.generator = nn.Sequential(nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def players(self) -> tuple[Player, ...]:
        """The critic moves in every step, the generator in every second one."""
        critic, made = tuple(self.critic.parameters()), tuple(self.generator.parameters())
        return (
            Player("critic", critic, self.critic_losses, optimiser=_adam),
            Player("generator", made, self.generator_losses, every=2, optimiser=_adam),
        )

    def draw(self, count: int) -> Tensor:
        """Poses (count, 2) out of noise; its random numbers are part of a checkpoint."""
        device = next(self.parameters()).device
        return self.generator(torch.randn(count, self.noise, device=device))

    def critic_losses(self, batch: Poses) -> dict[str, Tensor]:
        """Real poses shall score high, generated ones low."""
        made = self.draw(len(batch)).detach()
        return {"real": softplus(-self.critic(batch.angles)).mean(), "made": softplus(self.critic(made)).mean()}

    def generator_losses(self, batch: Poses) -> dict[str, Tensor]:
        """Generated poses shall score high."""
        return {"fooled": softplus(-self.critic(self.draw(len(batch)))).mean()}


def _adam(parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=2e-3, betas=(0.5, 0.9))


@torch.no_grad()
def figures(network: nn.Module, size: int) -> dict[str, float]:
    """How far means and deviations of 2,000 generated poses are from drawn ones, degrees."""
    assert isinstance(network, PoseGAN)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = network.draw(2_000).cpu()
    real = PoseFeed(1_000_003).next(2_000, size, 1).angles
    off = torch.stack([made.mean(0) - real.mean(0), made.std(0) - real.std(0)]).abs().rad2deg()
    return {"mean_off_deg": float(off[0].mean()), "deviation_off_deg": float(off[1].mean())}


def stage(samples: int = 200_000, **settings: object) -> Stage:
    """The run's only stage."""
    config = LoopConfig(
        minutes=None, samples=samples, warmup=2_000, average=10_000, evaluate_every=max(1, samples // 8), **settings
    )
    return Stage("poses", config, [Phase(1.0, 32, batch=64)], lambda: PoseFeed(1), figures)


if __name__ == "__main__":
    torch.set_num_threads(1)  # layers this small are slower with more
    torch.manual_seed(0)
    train(PoseGAN(), [stage()], sys.argv[1] if len(sys.argv) > 1 else "runs/pose_gan", resume=True)
