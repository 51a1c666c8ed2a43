"""Pictures of synthesis redrawn by a network that learnt what photographs look like (`methods.tonality_gan`); their labels stay.

Everything random of a hand's redrawing, z, comes from seed, chunk and hand, and is the same in all its views and frames: clips would
flicker otherwise.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.methods.tonality_gan import TonalityGan, load

_KEY = 9
"""Of the stream of random numbers that this draws from, in a chunk."""

_PART = 8
"""Pictures redrawn together: what the network makes of more of them leaves the cache, and takes a third longer."""


def check_realism(path: Path, size: int) -> None:
    """Raise InputError unless `path` has a network that redraws pictures of `size` pixels."""
    network = _network(path)
    if network.config.size != size:
        raise InputError(f"{path}: redraws pictures of {network.config.size} pixels, not of {size}")


def redrawn(images: Tensor, path: Path, share: float, each: int, seed: int, index: int) -> Tensor:
    """Pictures (N, 3, S, S) in [0, 1] of a chunk, those of a share of its hands redrawn, in steps of 1/255.

    Args:
        images: a hand's pictures follow each other.
        path: weights of `methods.tonality_gan`.
        share: probability that a hand's are redrawn.
        each: pictures of a hand.
        seed: of the stream.
        index: of the chunk.

    Raises:
        InputError: there are no such weights, or they are for pictures of another size.
    """
    check_realism(path, images.shape[-1])
    network = _network(path).to(images.device)
    random = generator(seed, index, _KEY)
    chosen = torch.from_numpy(random.random(len(images) // each) < share).to(images.device)
    z = int(random.integers(2**62))
    hands = images.unflatten(0, (-1, each)).clone()
    if chosen.any():
        for picture in range(each):  # the same z for all of a hand
            of_hands = torch.Generator().manual_seed(z)
            drawn = torch.cat([network.blend(part, of_hands) for part in hands[chosen, picture].split(_PART)])
            hands[chosen, picture] = (255 * drawn).round() / 255
    return hands.flatten(0, 1)


@lru_cache(maxsize=2)
def _network(path: Path) -> TonalityGan:
    """The network of a file, read once a process."""
    return load(path)
