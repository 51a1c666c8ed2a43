"""What can be chosen about synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import InputError


@dataclass(frozen=True)
class SynthConfig:
    """Choices for a stream of synthetic pictures.

    Attributes:
        size: side of the square pictures in pixels, a multiple of 16.
        chunk: pictures in a chunk.
        backgrounds: folder of photographs to put behind hands (searched recursively); None: procedural clutter alone.
        photograph_share: share of the background tiles cut from photographs when there is a folder.
        tiles: number of background tiles kept in memory.
        skins: number of skin details kept in memory.
        effects: strength of what camera and compression do; 1 is realistic, 0 leaves pictures almost as rendered.
        dense: whether samples carry depth, mask and vertices.
    """

    size: int = 128
    chunk: int = 32
    backgrounds: Path | None = None
    photograph_share: float = 0.5
    tiles: int = 320
    skins: int = 16
    effects: float = 1.0
    dense: bool = True

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16:
            raise InputError(f"size: must be a multiple of 16 pixels, not {self.size}")
        for name in ("chunk", "tiles", "skins"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if not 0.0 <= self.photograph_share <= 1.0:
            raise InputError(f"photograph_share: must lie in [0, 1], not {self.photograph_share}")
        if not 0.0 <= self.effects <= 2.0:
            raise InputError(f"effects: must lie in [0, 2], not {self.effects}")
