"""A variational auto-encoder over points of a posed hand, as a prior on their pose and shape.

Kingma and Welling, "Auto-encoding variational Bayes", 2014, as Wan et al., "Self-supervised 3D hand pose estimation through training
by fitting", CVPR 2019, use it for Eq. 13: it is trained once on points of sampled hands, then frozen, and estimated points are drawn
to where the lower bound is high. The paper says neither how the network is built nor in which frame points are. Here:

- Points are centred on their anchors (points that move nearly as one, such as the palm's) and turned onto those of a template, so
  the prior knows neither where a hand is nor how it is seen: it spends itself on fingers and proportions. The paper trains it on
  sampled viewpoints too; asked for all rotations of all poses, the same network, trained as long, leaves 9.1 mm between hands and their
  reconstructions instead of 3.7, and no sampled choice of viewpoints is the truth about a user's.
- Size is kept: points are metres, and a hand too large is as improbable as a bent bone. Mirror images are not turned back.
- The likelihood is Gaussian, with one learned standard deviation for each point, never below `FLOOR`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phalanx.geometry.turns import matrix_to_rotmat

SCALE = 0.05
"""Metres that the networks see as 1: about the spread of a hand's points."""

FLOOR = 0.0005
"""Least standard deviation of the likelihood, metres: no point is known better, and the bound stays bounded."""

_SPREAD = (
    0.003  # metres: the standard deviation that training starts from; from 10 mm it came to use fewer dimensions of z
)
_ROUND = (
    1e-8  # square metres, added to the covariance: anchors that coincide or lie in a line have a turn and a gradient
)


class PoseVAE(nn.Module):
    """Encoder Q(z | points) and decoder P(points | z), three linear layers each; prior of z is the standard normal.

    Args:
        template: (N, 3) points of one hand, metres: its anchors are what others are turned onto. Kept with the weights.
        anchors: indices of the points that fix the frame, at least three of them not in a line; None for all points.
        latent: dimensions of z. Training leaves those that it does not need at the prior.
        hidden: width of the layers.

    As a prior: `vae.requires_grad_(False)`; gradients still flow to the points.
    """

    template: Tensor
    anchors: Tensor

    def __init__(
        self, template: Tensor, anchors: Sequence[int] | None = None, latent: int = 32, hidden: int = 256
    ) -> None:
        super().__init__()
        if template.ndim != 2 or template.shape[1] != 3:
            raise ValueError(f"PoseVAE: the template must be (N, 3), not {tuple(template.shape)}")
        chosen = list(range(len(template)) if anchors is None else anchors)
        if len(chosen) < 3:
            raise ValueError(f"PoseVAE: at least 3 anchors, got {len(chosen)}")
        self.register_buffer("anchors", torch.tensor(chosen))
        self.register_buffer("template", template.detach() - template.detach()[chosen].mean(dim=0))
        self.latent = latent
        self.encoder = _layers(template.numel(), hidden, 2 * latent)
        self.decoder = _layers(latent, hidden, template.numel())
        self.log_variance = nn.Parameter(torch.full((len(template),), 2 * math.log(_SPREAD / SCALE)))

    def canonical(self, points: Tensor) -> Tensor:
        """Points (B, N, 3), metres, in any frame: centred on the anchors and turned so that these fit the template's best."""
        centred = points - points[:, self.anchors].mean(dim=1, keepdim=True)  # (B, N, 3)
        covariance = self.template[self.anchors].mT @ centred[:, self.anchors]  # (B, 3, 3)
        rotation = matrix_to_rotmat(covariance + _ROUND * torch.eye(3, dtype=points.dtype, device=points.device))
        return centred @ rotation.mT

    def encode(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of Q(z) for points (B, N, 3), metres, in any frame."""
        return self._encode(self.canonical(points))

    def decode(self, latent: Tensor) -> Tensor:
        """Mean (..., N, 3) of P(points | z) for z (..., latent): metres, in the template's frame."""
        offset: Tensor = self.decoder(latent)  # (..., 3 N)
        return self.template + SCALE * offset.unflatten(-1, (-1, 3))

    def spread(self) -> Tensor:
        """Standard deviations (N,) of P(points | z), metres, the same in all directions."""
        return torch.sqrt(FLOOR**2 + SCALE**2 * self.log_variance.exp())

    def elbo(self, points: Tensor, noise: Tensor) -> Tensor:
        """Lower bound (B,) of the log-density of points (B, N, 3), nats, Eq. 13: to be maximised.

        The density is that of the canonical points in metres. The expectation over Q is the mean over K draws, the divergence
        is exact.

        Args:
            points: metres, in any frame.
            noise: (K, B, latent) standard normal draws; zeros read the bound at the mean of Q, which has no noise.
        """
        wanted = self.canonical(points)  # (B, N, 3)
        mean, log_variance = self._encode(wanted)  # (B, L)
        got = self.decode(mean + torch.exp(0.5 * log_variance) * noise)  # (K, B, N, 3)
        spread = self.spread()  # (N,)
        squared = (wanted - got).square().sum(dim=-1)  # (K, B, N)
        log_density = -0.5 * squared / spread.square() - 3 * torch.log(spread) - 1.5 * math.log(2 * math.pi)
        return log_density.sum(dim=-1).mean(dim=0) - divergence(mean, log_variance)

    def training_loss(self, points: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What descends on sampled hands, points (B, N, 3): minus the bound (one draw), in nats a coordinate; a scalar."""
        noise = torch.randn(1, len(points), self.latent, generator=generator, dtype=points.dtype, device=points.device)
        return -self.elbo(points, noise).mean() / self.template.numel()

    def _encode(self, canonical: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(((canonical - self.template) / SCALE).flatten(1))  # (B, 2 L)
        mean, raw = code.chunk(2, dim=-1)
        return mean, 10 * torch.tanh(raw / 10)  # points far from any hand must not overflow


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence (...) of normal densities (..., L) from the standard normal one, nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )
