"""Backgrounds: a bank of tiles, each made when a picture first needs it, that are cut, recoloured and combined anew for every picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.core.errors import InputError
from phalanx.core.notes import note
from phalanx.core.seeding import generator as stream_generator
from phalanx.data.images import read_image
from phalanx.geometry.grids import sampling_grid
from phalanx.synth.paint.clutter import paint

_BANK_SEED = 20_240_301  # the bank is the same in every process, or workers would differ
_SIDE = 256  # pixels of a tile
_LEVELS = 4
_FINE = 2 * _SIDE
_KEPT = 128  # photographs in memory while tiles are cut: some 130 MB
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def _reduced(path: Path) -> np.ndarray | InputError:
    """A photograph no finer than tiles cut from half of it need: `_FINE` pixels on its shorter side; or why it cannot be read."""
    try:
        picture = read_image(path)
    except InputError as error:
        return error
    scale = _FINE / min(picture.shape[:2])
    return picture if scale >= 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _photograph(
    generator: np.random.Generator, files: Sequence[Path], read: Callable[[Path], np.ndarray | InputError]
) -> np.ndarray:
    """A tile cut from one of the files, `(_SIDE, _SIDE, 3)`. Files that cannot be read are named in a note."""
    usable = list(files)
    while usable:
        number = int(generator.integers(len(usable)))
        picture = read(usable[number])
        if isinstance(picture, InputError):
            note(f"{picture}; it is left out")
            usable.pop(number)
            continue
        height, width = picture.shape[:2]
        side = max(1, int(min(height, width) * generator.uniform(0.5, 1.0)))
        top, left = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1))
        cut = picture[top : top + side, left : left + side]
        return cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    raise InputError(f"{files[0].parent}: none of its pictures can be read")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of background pictures")
    pictures = (path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)
    files = sorted(
        path for path in pictures if not path.name.startswith(".")
    )  # some systems leave such beside pictures
    if not files:
        raise InputError(f"{folder}: holds no pictures ({', '.join(sorted(_PICTURES))})")
    return files


class TileBank:
    """Tiles at full, half, quarter and eighth resolution, in sRGB: each is painted when it is first asked for."""

    def __init__(self, count: int, painted: Callable[[int], np.ndarray], device: str) -> None:
        """`painted(number)` gives a tile `(_SIDE, _SIDE, 3)` uint8, always the same for a number."""
        self.device = torch.device(device)
        self._painted = painted
        self._there = np.zeros(count, bool)
        sides = [_SIDE >> level for level in range(_LEVELS)]
        self._levels = [torch.zeros(count, 3, side, side, dtype=torch.uint8, device=device) for side in sides]

    def __len__(self) -> int:
        return len(self._there)

    def tiles(self, numbers: np.ndarray, level: int = 0) -> Tensor:
        """The tiles of these numbers (N,), `(N, 3, side, side)` uint8, at a level: 0 is the finest."""
        for number in sorted(set(numbers[~self._there[numbers]].tolist())):
            tile = torch.from_numpy(self._painted(number)).permute(2, 0, 1)
            for i, kept in enumerate(self._levels):
                kept[number] = tile
                if i + 1 < _LEVELS:
                    tile = F.avg_pool2d(tile.float(), 2).round().to(torch.uint8)
            self._there[number] = True
        return self._levels[level][torch.as_tensor(numbers, device=self.device)]


@lru_cache(maxsize=4)
def tile_bank(
    count: int,
    photographs: Path | None,
    photograph_share: float,
    device: str,
    painters: tuple[str, ...] | None = None,
    half: int | None = None,
) -> TileBank:
    """A bank of tiles; the same arguments give the same tiles in every process.

    Args:
        count: number of tiles.
        photographs: folder of pictures to cut tiles from (searched recursively), or None.
        photograph_share: fraction of the tiles that is cut from photographs if there is a folder.
        device: where the bank lives.
        painters: names of the painters of the other tiles; none: all.
        half: the half of the photographs, by their names, that tiles are cut from, 0 or 1; none: all.

    Raises:
        InputError: the folder does not exist, or holds no pictures, none of this half or none that can be read.
    """
    files = _files(photographs) if photographs is not None else []
    if half is not None:
        ours = [file for file in files if hashlib.sha256(file.name.encode()).digest()[0] % 2 == half]
        if files and not ours:
            raise InputError(
                f"{photographs}: none of its {len(files)} pictures falls to this domain (names divide them between the domains); "
                "add more"
            )
        files = ours
    from_files = round(count * photograph_share) if files else 0
    read = lru_cache(maxsize=_KEPT)(_reduced)

    def painted(number: int) -> np.ndarray:
        generator = stream_generator(_BANK_SEED, number)
        if number < from_files:  # each from the whole list, or tiles would depend on those before them
            return _photograph(generator, files, read)
        return paint(generator, _SIDE, painters)

    bank = TileBank(count, painted, device)
    if from_files:
        bank.tiles(np.zeros(1, int))  # whether any can be read is known before the first picture
    return bank


@dataclass
class BackgroundDraw:
    """Random choices for the backgrounds of B pictures; two layers each, the second seen through a mask."""

    tile: np.ndarray  # (2, B) index into the bank
    level: np.ndarray  # (2, 2) resolution level of each layer, for pictures at even and odd places
    double: np.ndarray  # pictures with a second layer
    affine: np.ndarray  # (2, B, 2, 3) picture to tile, grid_sample's coordinates
    colour: np.ndarray  # (B, 2, 3, 4) colour matrix and offset per layer
    edge: np.ndarray  # (B, 5) mask of the second layer: direction (2), offset, softness, curvature


def draw_backgrounds(generator: np.random.Generator, batch: int, bank_size: int) -> BackgroundDraw:
    """Draw tiles, cuts, colours and masks for `batch` pictures."""
    tile = generator.integers(0, bank_size, (2, batch))
    zoom = np.exp(generator.uniform(np.log(0.4), np.log(0.85), (2, batch)))
    zoom[:, 1::2] = generator.uniform(0.6, 1.0, (2, len(zoom[0, 1::2])))  # cut from a lower level
    angle = np.where(
        generator.random((2, batch)) < 0.75,
        generator.normal(0, 0.08, (2, batch)),
        generator.uniform(-np.pi, np.pi, (2, batch)),
    )
    flip = generator.choice([-1.0, 1.0], (2, batch))
    room = np.maximum(0.0, 1.0 - zoom)
    affine = np.zeros((2, batch, 2, 3), np.float32)
    affine[..., 0, 0], affine[..., 0, 1] = zoom * np.cos(angle) * flip, -zoom * np.sin(angle)
    affine[..., 1, 0], affine[..., 1, 1] = zoom * np.sin(angle) * flip, zoom * np.cos(angle)
    affine[..., 0, 2] = generator.uniform(-1, 1, (2, batch)) * room
    affine[..., 1, 2] = generator.uniform(-1, 1, (2, batch)) * room
    grey = np.full((3, 3), 1 / 3)
    keep = np.where(
        generator.random((batch, 2)) < 0.6,
        generator.uniform(0.1, 0.7, (batch, 2)),
        generator.uniform(0.7, 1.2, (batch, 2)),
    )[..., None, None]
    gain = np.exp(generator.normal(0, 0.35, (batch, 2, 1, 1))) * np.exp(generator.normal(0, 0.05, (batch, 2, 3, 1)))
    matrix = (keep * np.eye(3) + (1 - keep) * grey) * gain
    swap = generator.random((batch, 2)) < 0.2  # another channel order: other paints for the same thing
    order = generator.permuted(np.tile(np.arange(3), (batch, 2, 1)), axis=-1)
    matrix = np.where(swap[..., None, None], np.take_along_axis(matrix, order[..., None, :], -1), matrix)
    offset = generator.normal(0, 0.06, (batch, 2, 1, 1)) * np.ones((1, 1, 3, 1))
    direction = generator.uniform(0, 2 * np.pi, batch)
    edge = np.stack(
        [
            np.cos(direction),
            np.sin(direction),
            generator.uniform(-0.6, 0.9, batch),
            np.where(generator.random(batch) < 0.7, 0.02, 0.2) * np.ones(batch),
            np.where(generator.random(batch) < 0.5, 0.0, generator.normal(0, 0.6, batch)),
        ],
        -1,
    )
    level = np.stack([np.zeros(2, int), generator.choice([1, 1, 1, 2, 3], 2)], -1)
    return BackgroundDraw(
        tile,
        level,
        np.flatnonzero(generator.random(batch) < 0.45),
        affine,
        np.concatenate([matrix, offset], -1).astype(np.float32),
        edge.astype(np.float32),
    )


def backgrounds(draw: BackgroundDraw, bank: TileBank, size: int) -> Tensor:
    """Render the drawn backgrounds: `(B, 3, size, size)` in [0, 1], display-referred (sRGB-like)."""
    device = bank.device
    batch = draw.tile.shape[1]
    layers = []
    for layer in range(2):
        used = np.arange(batch) if layer == 0 else draw.double
        flat = torch.empty((len(used), 3, size * size), device=device)
        # Every second picture is cut from a lower level: what grid_sample magnifies smoothly looks out of focus.
        for first in (0, 1):
            level = int(draw.level[layer, first])
            for rows in cache_blocks(flat, len(used[first::2])):
                chosen = used[first::2][rows]
                tiles = bank.tiles(draw.tile[layer, chosen], level).float()
                grid = sampling_grid(torch.as_tensor(draw.affine[layer, chosen], device=device), size)
                picture = F.grid_sample(tiles, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
                colour = torch.as_tensor(draw.colour[chosen, layer], device=device)  # (N, 3, 4)
                flat[first::2][rows] = torch.baddbmm(colour[:, :, 3:], colour[:, :, :3] / 255.0, picture.flatten(2))
        layers.append(flat.view(len(used), 3, size, size))
    if len(draw.double) == 0:
        return layers[0].clamp_(0, 1)
    pictures = torch.as_tensor(draw.double, device=device)
    edge = torch.as_tensor(draw.edge[draw.double], device=device)
    line = torch.linspace(-1, 1, size, device=device)
    x, y = line[None, None, :], line[None, :, None]
    cx, cy, offset, soft, curve = (edge[:, i, None, None] for i in range(5))
    mask = torch.sigmoid((cx * x + cy * y + curve * (cx * y - cy * x) ** 2 - offset) / soft)[:, None]  # (B, 1, S, S)
    layers[0][pictures] = torch.lerp(layers[0][pictures], layers[1], mask)
    return layers[0].clamp_(0, 1)
