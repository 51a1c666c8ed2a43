"""Sheets of synthetic pictures to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.view.samples import BOX_COLOURS, depth_picture, draw_boxes, draw_joints, sheet, writable_sheet, write_sheet


def draw_sheet(config: SynthConfig, seed: int, rows: int, columns: int) -> np.ndarray:
    """A sheet of `rows` x `columns` pictures, RGB uint8; if there are several rows, the lower half has joints or boxes drawn on.

    If several cameras see a hand, or it is seen in a clip, each row shows one hand, in at most `columns` evenly chosen pictures. Sensed
    depth stands below each picture.
    """
    config = replace(config, dense=config.depth_sensor is not None)
    each = config.views * config.times  # pictures of a hand
    shown = np.zeros(1, int)
    if each > 1 and not config.pairs:  # of which the second picture is the mirror image
        columns = min(columns, each)
        shown = np.linspace(0, each - 1, columns).round().astype(int)
    tiles: list[np.ndarray] = []
    chunk = 0
    while len(tiles) < rows * columns:
        sample = make_chunk(config, seed, chunk)
        for hand in range(config.hands):
            for picture in hand * each + shown:
                tiles.append(_tile(sample, int(picture), overlaid=rows > 1 and len(tiles) >= (rows // 2) * columns))
        chunk += 1
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def save_sheet(
    path: Path | str,
    seed: int = 0,
    rows: int = 6,
    columns: int = 10,
    size: int = 128,
    config: SynthConfig | None = None,
) -> None:
    """Write a sheet as `draw_sheet` draws it, PNG or JPEG according to the name.

    Args:
        path: the file; it appears whole or not at all.
        seed: which stream.
        rows, columns: tiles down and across.
        size: pixels of each synthetic picture (drawn twice as large).
        config: all other choices.

    Raises:
        InputError: no tiles are asked for, the file's ending is not that of a picture, or it cannot be written.
    """
    if rows < 1 or columns < 1:
        raise InputError(f"a sheet needs at least one row and one column, not {rows} x {columns}")
    writable_sheet(path)  # complaints come before the work
    write_sheet(path, draw_sheet(replace(config or SynthConfig(), size=size), seed, rows, columns))


def draw_frames_sheet(config: FramesConfig, seed: int, count: int, columns: int, width: int = 320) -> np.ndarray:
    """A sheet of `count` whole frames, each `width` pixels wide: RGB uint8. Boxes show what is seen of right hands (green) and left ones
    (orange); sensed depth stands below each frame."""
    tiles: list[np.ndarray] = []
    scale = width / config.width
    chunk = 0
    while len(tiles) < count:
        frames = make_frames(config, seed, chunk)
        chunk += 1
        for i in range(min(len(frames), count - len(tiles))):
            there = frames.present[i]
            colours = [BOX_COLOURS[side] for side in frames.side[i, there].tolist()]
            tile = draw_boxes(image_bytes(frames.image[i]), frames.boxes[i, there].numpy(), scale, colours)
            if frames.sensed_depth is not None:
                depth = depth_picture(frames.sensed_depth[i].numpy(), frames.depth[i].numpy() > 0)
                tile = np.vstack([tile, cv2.resize(depth, tile.shape[1::-1], interpolation=cv2.INTER_NEAREST)])
            tiles.append(tile)
    return sheet(tiles, columns)


def save_frames_sheet(path: Path | str, seed: int = 0, count: int = 24, config: FramesConfig | None = None) -> None:
    """Write a sheet as `draw_frames_sheet` draws it, at most six frames across, PNG or JPEG according to the name.

    Raises:
        InputError: no frames are asked for, the file's ending is not that of a picture, or it cannot be written.
    """
    if count < 1:
        raise InputError(f"a sheet needs at least one frame, not {count}")
    writable_sheet(path)  # complaints come before the work
    write_sheet(path, draw_frames_sheet(config or FramesConfig(), seed, count, min(6, count)))


def _tile(sample: Sample, picture: int, overlaid: bool) -> np.ndarray:
    """A picture twice as large, with or without joints or boxes drawn on, and its sensed depth below it."""
    assert sample.image is not None and sample.joints_2d is not None
    image = image_bytes(sample.image[picture])
    if overlaid and sample.boxes is not None:
        tile = draw_boxes(image, sample.boxes[picture].numpy())
    elif overlaid:
        tile = draw_joints(image, sample.joints_2d[picture].numpy())
    else:
        tile = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    if sample.sensed_depth is None:
        return tile
    assert sample.depth is not None
    sensed, true = sample.sensed_depth[picture].numpy(), sample.depth[picture].numpy()
    near = (true > 0) & (abs(sensed - true) < 0.05)  # colours span the hand, not what is behind it
    depth = depth_picture(sensed, near)
    return np.vstack([tile, cv2.resize(depth, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)])
