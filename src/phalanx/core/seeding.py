"""Random streams that depend on a seed and a position, never on who draws first."""

import numpy as np


def generator(seed: int, *keys: int) -> np.random.Generator:
    """The random stream number `keys` of `seed`: independent of every other (seed, keys), the same on every machine.

    `generator(7, 3, 1)` may be, say, picture 1 of chunk 3 of seed 7: whichever worker makes it, and whatever was drawn
    before, its numbers are the same. Built on `numpy.random.SeedSequence(seed, spawn_key=keys)` and PCG64, both of
    which NumPy promises to keep.

    Raises:
        ValueError: the seed or a key is negative.
    """
    if seed < 0 or any(key < 0 for key in keys):
        raise ValueError(f"seed and keys must not be negative, got {seed}, {keys}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=keys)))
