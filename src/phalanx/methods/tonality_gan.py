"""Rendered hands that belong in their pictures: a network redraws a composition out of its edges and its blurred colours (TAGAN).

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, chapter 2 (BMVC 2019).

    picture -> edges (shape map) -----+
       |                              +-> encoder-decoder, z by dropout -> drawn picture -> L1 to the picture (Eq. 2.9)
       +-> average filter (colour map) +                                        |          -> histograms of colours (Eq. 2.10)
                                                                                v
                              edges, colour map, and drawn or real picture -> patches judged (Eq. 2.6)

    in training: photographs alone. In use: a rendered hand put before a photograph, or any picture of ours.

It learns to draw photographs from what a photograph and a composition can have in common: where edges are, and what colour the
neighbourhood has. What it adds are the light, texture, blur and noise between, which it knows from photographs alone.

What the thesis leaves unsaid or misprints, and what was chosen:

- **x and y**: Eq. 2.9 compares what is drawn from x with y, which means nothing for two different pictures. Fig. 2.4 shows the real
  pictures with maps of their own, so in training x *is* y: both maps are those of the real picture. No composition is ever trained on.
- **Shape map**: HED is a trained network. Here the length of the brightness' gradient (Scharr), against its mean in the picture, so that
  dim pictures have edges, too (`shape_map`). It is soft, as HED's is.
- **Colour map**: an average filter; its size is not printed (`TonalityConfig.blur`, a thirtieth of the side).
- **Eq. 2.6**: the generator descends `-log D` in place of `log(1 - D)`, whose gradients vanish once the discriminator is sure.
  Generator and discriminator are those of Pix2Pix (`nets.picture_translation` says where not), which print names as the model. TAGAN's
  generator draws changes of the colour map, in logits, so that it begins with the right colours. z is what its decoder's
  first layers drop, in use as well, and `blend` draws it from a generator that one hands it: the same seed, the same picture.
- **Eq. 2.8**: neither factor is printed (`TonalityWeights`).
- **Eq. 2.9** is a mean over values.
- **Eq. 2.10** is KL(h_g || h_y), as printed. Histograms are soft, of each of the three channels (`losses.colour`).
- **Eq. 2.4**: the affine map ranks candidates alone; a match is placed by a similarity, or its 3D labels would be wrong
  (`fit.pose_retrieval`).
- **The real hand beneath** a match stays in the picture in print, and sticks out from behind. Here it is painted over first
  (`train.compositions`).
- **Optimisers** are not printed: Adam as Pix2Pix has it (beta 0.5), at a rate for a few thousand steps.

`Pix2Pix` (Eq. 2.1 to 2.3) is the same without colours: it draws from edges alone. `methods.cycle_gan` is the other baseline.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.data.images import LUMA
from phalanx.data.sample import Sample
from phalanx.losses.colour import colour_histograms, histogram_divergence
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

METHOD = "tonality_gan"
"""What its weights files say they are of."""

_EDGE = 2.0
"""Times its mean in the picture that a gradient has where the shape map is a half."""

_FLAT = 0.01
"""A gradient, in brightness a pixel, that counts for nothing in any picture: noise of flat ones."""


@dataclass
class TonalityWeights:
    """Factors of Eq. 2.7 and 2.8; none is printed. 0 leaves a term out."""

    adversarial: float = 1.0
    """Of Eq. 2.6."""
    shape: float = 200.0
    """lambda 2, Eq. 2.9; lambda of Eq. 2.2 for `Pix2Pix`."""
    colour: float = 5.0
    """lambda 1, Eq. 2.10."""


@dataclass
class TonalityConfig:
    """The networks and their losses."""

    size: int = 128
    """Side of the pictures, pixels: 32, 64, 128, ..."""
    generator: int = 24
    """Channels of the generator's first layer."""
    discriminator: int = 24
    """Channels of the discriminator's first layer."""
    halvings: int = 2
    """Of a picture's side where patches are judged: 2 judges patches of 26 pixels, 3 of 54."""
    dropout: float = 0.5
    """Share of the cells that the decoder's first layers drop: z."""
    blur: float = 0.03
    """Side of the average filter, in sides of the picture."""
    bins: int = 16
    """Of the histogram of a channel."""
    rate: float = 1e-3
    """Peak learning rate of both networks."""
    weights: TonalityWeights = field(default_factory=TonalityWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        check_side(self.size)
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: must lie in [0, 1), not {self.dropout}")


ARCHITECTURE = tuple(item.name for item in fields(TonalityConfig) if item.name not in ("rate", "weights"))
"""What of `TonalityConfig` weights are of."""


def shape_map(images: Tensor) -> Tensor:
    """Edges x_s (B, 1, H, W) in [0, 1) of pictures (B, 3, H, W) in [0, 1]."""
    weights = images.new_tensor(LUMA)[:, None, None]
    grey = functional.pad((images * weights).sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    along = images.new_tensor([[-3.0, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32  # Scharr
    x, y = functional.conv2d(grey, torch.stack((along, along.T))[:, None]).unbind(1)
    slope = (x.square() + y.square()).sqrt()[:, None]
    return slope / (slope + _EDGE * slope.mean(dim=(2, 3), keepdim=True) + _FLAT)


def colour_map(images: Tensor, side: float) -> Tensor:
    """Blurred colours x_b (B, 3, H, W) of pictures (B, 3, H, W): the mean of a square of an odd number of pixels, of about `side` sides."""
    reach = max(1, round(side * images.shape[-1] / 2))
    across = functional.avg_pool2d(images, (1, 2 * reach + 1), 1, (0, reach), count_include_pad=False)
    return functional.avg_pool2d(across, (2 * reach + 1, 1), 1, (reach, 0), count_include_pad=False)


class ConditionalGan(Method):
    """A generator that draws a picture from maps of it, and a discriminator that judges the picture beside them.

    `network(images (B, 3, S, S) in [0, 1])` redraws pictures, (B, 3, S, S); see `blend`. A batch is a `Sample` of photographs.
    """

    name: ClassVar[str]
    """What its weights files say they are of."""
    channels: ClassVar[int]
    """Of the maps that it draws from."""

    def __init__(self, config: TonalityConfig | None = None) -> None:
        super().__init__()
        self.config = config or TonalityConfig()
        c = self.config
        self.generator = PictureGenerator(c.size, c.generator, self.channels, c.dropout)
        self.discriminator = PatchDiscriminator(c.discriminator, self.channels + 3, c.halvings)

    @abstractmethod
    def maps(self, images: Tensor) -> Tensor:
        """What is drawn from, (B, channels, S, S)."""

    def forward(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        return self.draw(self.maps(images), random)

    def draw(self, maps: Tensor, random: torch.Generator | None = None) -> Tensor:
        """A picture (B, 3, S, S) of its maps (B, channels, S, S)."""
        return self.generator(maps, random)

    @torch.no_grad()
    def blend(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Compositions (B, 3, S, S) in [0, 1], redrawn; `random` (on the CPU) draws z.

        Raises ValueError if they are of another size than the network's.
        """
        check_pictures(images, self.config.size)
        return self(images, random)

    @torch.no_grad()
    def judged(self, real: Tensor, rendered: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits of patches being real, of photographs (B, 3, S, S) and of what is drawn from their own maps, as in training."""
        maps = self.maps(real)
        return self._judge(maps, real), self._judge(maps, self.draw(maps, random))

    def players(self) -> tuple[Player, ...]:
        """Eq. 2.7: the discriminator ascends Eq. 2.6, then the generator descends all of it."""
        return (
            Player("discriminator", tuple(self.discriminator.parameters()), self.discriminator_losses, 1, self._adam),
            Player("generator", tuple(self.generator.parameters()), self.generator_losses, 1, self._adam),
        )

    def discriminator_losses(self, batch: Sample) -> dict[str, Tensor]:
        """Minus Eq. 2.6 (2.1): real pictures shall be taken for real, drawn ones not."""
        assert batch.image is not None
        y, maps = batch.image, self.maps(batch.image)
        with torch.no_grad():
            drawn = self.draw(maps)
        return {
            "judged": self.config.weights.adversarial * real_or_drawn(self._judge(maps, y), self._judge(maps, drawn))
        }

    def generator_losses(self, batch: Sample) -> dict[str, Tensor]:
        """What the generator descends, Eq. 2.7 (2.2): Eq. 2.6, and the distances of what it draws to the real picture."""
        assert batch.image is not None
        y, maps = batch.image, self.maps(batch.image)
        drawn = self.draw(maps)
        fooled = self.config.weights.adversarial * taken_for_real(self._judge(maps, drawn))
        return {"fooled": fooled} | self.distances(drawn, y)

    def distances(self, drawn: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Weighted distances of what was drawn (B, 3, S, S) to real pictures: Eq. 2.9, which is Eq. 2.3."""
        return {"shape": self.config.weights.shape * (real - drawn).abs().mean()}

    def _judge(self, maps: Tensor, images: Tensor) -> Tensor:
        return self.discriminator(torch.cat((maps, images), dim=1))

    def _adam(self, parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
        return adam(self.config.rate, parameters)


class TonalityGan(ConditionalGan):
    """TAGAN: draws from edges and blurred colours, and keeps the colours' distribution."""

    name = METHOD
    channels = 4

    def maps(self, images: Tensor) -> Tensor:
        """x_s and x_b."""
        return torch.cat((shape_map(images), colour_map(images, self.config.blur)), dim=1)

    def draw(self, maps: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Changes of the colour map."""
        return self.generator(maps, random, maps[:, 1:])

    def distances(self, drawn: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Eq. 2.8: the terms of Eq. 2.9 and 2.10."""
        h_g, h_y = (colour_histograms(images.float(), self.config.bins) for images in (drawn, real))
        colour = self.config.weights.colour * histogram_divergence(h_g, h_y)  # Eq. 2.10
        return super().distances(drawn, real) | {"colour": colour}


class Pix2Pix(ConditionalGan):
    """Isola et al. 2017, as Eq. 2.1 to 2.3 have it: draws from edges alone."""

    name = "pix2pix"
    channels = 1

    def maps(self, images: Tensor) -> Tensor:
        """x_s."""
        return shape_map(images)


def save_weights(network: ConditionalGan, path: str | Path) -> None:
    """Write both networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), network.name, values, NO_HAND)


Kind = TypeVar("Kind", bound=ConditionalGan)


def load_as(kind: Callable[[TonalityConfig], Kind], name: str, path: str | Path, trainable: bool = False) -> Kind:
    """Networks of a kind with the weights of `path`; errors as `load`."""

    def build(values: dict[str, Any]) -> Kind:
        return kind(TonalityConfig(**{key: values[key] for key in ARCHITECTURE}))

    network = load_network(path, name, NO_HAND, build)
    return network if trainable else network.eval().requires_grad_(False)


def load(path: str | Path, trainable: bool = False) -> TonalityGan:
    """The networks with the weights of `path`: ready to blend, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    return load_as(TonalityGan, METHOD, path, trainable)
