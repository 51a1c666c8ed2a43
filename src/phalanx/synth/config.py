"""What can be chosen about synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import InputError
from phalanx.synth.rigs import load_rig


@dataclass(frozen=True)
class SynthConfig:
    """Choices for a stream of synthetic pictures."""

    size: int = 128
    """Side of the square pictures in pixels, a multiple of 16."""
    chunk: int = 32
    """Pictures in a chunk; with a rig, as many whole sets of views as that holds, and at least one."""
    rig: str | None = None
    """Calibrated cameras that see each hand at once: a name (`synth.rigs.PRESETS`) or a JSON file; none: single pictures."""
    backgrounds: Path | None = None
    """Folder of photographs to put behind hands (searched recursively); none: procedural clutter alone."""
    photograph_share: float = 0.5
    """Share of the background tiles cut from photographs when there is a folder."""
    tiles: int = 320
    """Number of background tiles kept in memory."""
    skins: int = 16
    """Number of skin details kept in memory."""
    effects: float = 1.0
    """Strength of what camera and compression do; 1 is realistic, 0 leaves pictures almost as rendered."""
    dense: bool = True
    """Whether samples carry depth, mask, parts and vertices."""

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

    @property
    def pictures(self) -> int:
        """Pictures in a chunk."""
        if self.rig is None:
            return self.chunk
        views = len(load_rig(self.rig))
        return max(1, self.chunk // views) * views
