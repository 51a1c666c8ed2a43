"""Sheets of synthetic pictures to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_whole
from phalanx.hand.skeleton import BONES
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig

_FINGER_COLOURS = (
    (230, 40, 40),
    (250, 170, 20),
    (60, 200, 60),
    (40, 120, 250),
    (210, 60, 230),
)  # RGB, thumb to little finger


def draw_joints(tile: np.ndarray, joints_2d: np.ndarray, scale: int = 2) -> np.ndarray:
    """The skeleton drawn over an RGB tile `(S, S, 3)` uint8, `scale` times enlarged; `joints_2d (21, 2)` in the tile's pixels."""
    size = tile.shape[0] * scale
    canvas = np.ascontiguousarray(cv2.resize(tile, (size, size), interpolation=cv2.INTER_CUBIC))
    points = np.round((np.nan_to_num(joints_2d) + 0.5) * scale - 0.5).clip(-9999, 9999).astype(int).tolist()
    for a, b in BONES:
        colour = _FINGER_COLOURS[(b - 1) // 4]
        cv2.line(canvas, points[a], points[b], colour, max(1, scale), cv2.LINE_AA)
    for j in range(1, 21):
        cv2.circle(canvas, points[j], scale + 1, _FINGER_COLOURS[(j - 1) // 4], -1, cv2.LINE_AA)
    return canvas


def save_sheet(
    path: Path | str,
    seed: int = 0,
    rows: int = 6,
    columns: int = 10,
    size: int = 128,
    config: SynthConfig | None = None,
) -> None:
    """Write a sheet of `rows` x `columns` pictures (PNG or JPEG by the name), the lower half with joints drawn over them.

    Args:
        path: where to; appears whole or not at all.
        seed: which stream.
        rows, columns: tiles down and across.
        size: pixels of each synthetic picture (drawn twice as large).
        config: other choices; its `size` is overruled.

    Raises:
        InputError: no tiles asked for, the name's ending is not a picture's, or the file cannot be written.
    """
    path = Path(path)
    if rows < 1 or columns < 1:
        raise InputError(f"a sheet needs at least one row and one column, not {rows} x {columns}")
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: the name of a sheet must end in .png or .jpg")
    writable_file(path)
    config = replace(config or SynthConfig(), size=size, dense=False)
    tiles: list[np.ndarray] = []
    chunk = 0
    while len(tiles) < rows * columns:
        sample = make_chunk(config, seed, chunk)
        assert sample.image is not None and sample.joints_2d is not None
        images = (sample.image.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        for image, joints in zip(images, sample.joints_2d.numpy(), strict=True):
            overlaid = len(tiles) >= (rows // 2) * columns
            plain = cv2.resize(image, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
            tiles.append(draw_joints(image, joints) if overlaid else plain)
        chunk += 1
    lines = [np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)]
    ok, data = cv2.imencode(path.suffix.lower(), np.vstack(lines)[..., ::-1])
    if not ok:
        raise InputError(f"{path}: could not be encoded")
    with write_whole(path) as temporary:
        temporary.write_bytes(data.tobytes())
