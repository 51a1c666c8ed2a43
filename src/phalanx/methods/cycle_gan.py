"""Rendered hands made to look real without pairs: two networks that undo each other (CycleGAN), a baseline for `methods.tonality_gan`.

Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, as Chen (dissertation, 2020,
chapter 2) compares with it, made of the parts of `methods.tonality_gan`:

    rendered -> forth -> real?      judged beside photographs (Eq. 1)
    rendered -> forth -> back = rendered,   real -> back -> forth = real      (Eq. 2)

Otherwise than Zhu et al.: the generators are the same encoder-decoders without z, not residual ones; the players descend logarithms of
what is judged, as the other two methods here do, not squares; nothing judges a history of drawn pictures; there is no identity term, which
their code has for paintings alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.data.mixture import Mixture
from phalanx.methods.base import Method, Player
from phalanx.nets.picture_translation import (
    PatchDiscriminator,
    PictureGenerator,
    adam,
    check_pictures,
    check_side,
    real_or_drawn,
    taken_for_real,
)
from phalanx.nets.weights import NO_HAND, load_network, write_weights

METHOD = "cycle_gan"
"""What its weights files say they are of."""

REAL, RENDERED = "real", "rendered"
"""Kinds in a batch, a `Mixture` of two `Sample`s of pictures, as many of each."""


@dataclass
class CycleWeights:
    """Factors of the loss terms."""

    adversarial: float = 1.0
    """Eq. 1, of each direction."""
    cycle: float = 10.0
    """lambda, Eq. 2 and 3."""


@dataclass
class CycleConfig:
    """The networks and their losses."""

    size: int = 128
    """Side of the pictures, pixels: 32, 64, 128, ..."""
    generator: int = 24
    """Channels of each generator's first layer."""
    discriminator: int = 24
    """Channels of each discriminator's first layer."""
    halvings: int = 2
    """Of a picture's side where patches are judged: 2 judges patches of 26 pixels, 3 of 54."""
    rate: float = 5e-4
    """Peak learning rate of all networks."""
    weights: CycleWeights = field(default_factory=CycleWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        check_side(self.size)


ARCHITECTURE = tuple(item.name for item in fields(CycleConfig) if item.name not in ("rate", "weights"))
"""What of `CycleConfig` weights are of."""


class CycleGan(Method):
    """Two generators and two discriminators. `network(images (B, 3, S, S) in [0, 1])` makes rendered pictures look real."""

    def __init__(self, config: CycleConfig | None = None) -> None:
        super().__init__()
        self.config = config or CycleConfig()
        c = self.config
        self.forth, self.back = (PictureGenerator(c.size, c.generator) for _ in range(2))
        self.judge_real, self.judge_rendered = (PatchDiscriminator(c.discriminator, 3, c.halvings) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        return self.forth(images)

    @torch.no_grad()
    def blend(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Compositions (B, 3, S, S) in [0, 1] made to look real; nothing is drawn of `random`.

        Raises ValueError if they are of another size than the network's.
        """
        check_pictures(images, self.config.size)
        return self(images)

    @torch.no_grad()
    def judged(self, real: Tensor, rendered: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits of patches being real, of photographs (B, 3, S, S) and of rendered pictures made to look real."""
        return self.judge_real(real), self.judge_real(self(rendered))

    def players(self) -> tuple[Player, ...]:
        """Both discriminators, then both generators."""
        judges = (*self.judge_real.parameters(), *self.judge_rendered.parameters())
        drawers = (*self.forth.parameters(), *self.back.parameters())
        return (
            Player("discriminators", judges, self.discriminator_losses, 1, self._adam),
            Player("generators", drawers, self.generator_losses, 1, self._adam),
        )

    def discriminator_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Minus Eq. 1, of both directions."""
        real, rendered = _pictures(batch)
        with torch.no_grad():
            drawn, plain = self.forth(rendered), self.back(real)
        factor = self.config.weights.adversarial
        return {
            "real": factor * real_or_drawn(self.judge_real(real), self.judge_real(drawn)),
            "rendered": factor * real_or_drawn(self.judge_rendered(rendered), self.judge_rendered(plain)),
        }

    def generator_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """What the generators descend, Eq. 3."""
        real, rendered = _pictures(batch)
        weights = self.config.weights
        drawn, plain = self.forth(rendered), self.back(real)
        fooled = taken_for_real(self.judge_real(drawn)) + taken_for_real(self.judge_rendered(plain))
        cycle = (self.back(drawn) - rendered).abs().mean() + (self.forth(plain) - real).abs().mean()  # Eq. 2
        return {"fooled": weights.adversarial * fooled, "cycle": weights.cycle * cycle}

    def _adam(self, parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
        return adam(self.config.rate, parameters)


def save_weights(network: CycleGan, path: str | Path) -> None:
    """Write all networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, NO_HAND)


def load(path: str | Path, trainable: bool = False) -> CycleGan:
    """The networks with the weights of `path`: ready to blend, or as they were, for training on.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """

    def build(values: dict[str, Any]) -> CycleGan:
        return CycleGan(CycleConfig(**{key: values[key] for key in ARCHITECTURE}))

    network = load_network(path, METHOD, NO_HAND, build)
    return network if trainable else network.eval().requires_grad_(False)


def _pictures(batch: Mixture) -> tuple[Tensor, Tensor]:
    """Real and rendered pictures, each (B, 3, S, S)."""
    return batch.get(REAL).image, batch.get(RENDERED).image
