"""Samples in files: one NPZ a chunk."""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from phalanx.core.files import writable_folder, write_whole
from phalanx.data.sample import Sample


def save_chunks(chunks: Iterable[Sample], folder: str | os.PathLike[str], start: int, count: int) -> list[Path]:
    """Write the next `count` of `chunks` as `chunk_NNNNNN.npz`, numbered from `start`; each appears whole or not at all.

    The keys are the fields of `Sample` that are there; pictures (B, H, W, 3) become uint8, everything else keeps its type.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = writable_folder(folder)
    paths = []
    for number, sample in enumerate(islice(chunks, count), start):
        arrays = {name: value.cpu().numpy() for name, value in sample.present().items()}
        if "image" in arrays:
            pixels = np.moveaxis(arrays["image"], 1, -1)  # (B, H, W, 3) in [0, 1]
            arrays["image"] = np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)
        path = folder / f"chunk_{number:06d}.npz"
        with write_whole(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes all keys for flags
        paths.append(path)
    return paths
