"""The choices of whole frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import InputError
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.sense.sensors import DEPTH_SENSORS


@dataclass(frozen=True)
class FramesConfig:
    """Choices for a stream of synthetic frames."""

    width: int = 640
    """Columns of a frame, a multiple of 16."""
    height: int = 480
    """Rows of a frame, a multiple of 16."""
    chunk: int = 8
    """Frames made together."""
    people: tuple[int, int] = (1, 8)
    """Fewest and most people in a frame; few are more frequent."""
    domain: str = "any"
    """World that the frames are from: a name in `synth.scene.domains.DOMAINS`."""
    depth_sensor: str | None = None
    """Depth sensor: a name in `synth.sense.sensors.DEPTH_SENSORS`, or `domain`: one of the domain's in each chunk; none: no sensed
    depth."""
    backgrounds: Path | None = None
    """Folder of photographs to put behind people (searched recursively); none: procedural clutter alone."""
    photograph_share: float = 0.5
    """Share of the background tiles cut from photographs when there is a folder."""
    panoramas: Path | None = None
    """Folder of HDR panoramas that people stand in; none: those of the package."""
    panorama_share: float = 0.35
    """Share of the frames that are in a panorama."""
    room_share: float = 0.75
    """Share of the other frames that are in a plain room."""
    things: Path | None = None
    """Folder of models that people may hold, besides those of the package."""
    tiles: int = 160
    """Number of background tiles kept in memory."""
    skins: int = 16
    """Number of skin details of hands kept in memory."""
    colour: bool = True
    """Whether frames are painted; without, they are black, and labels and depth the same."""
    effects: float = 1.0
    """Strength of what camera and compression do; 1 is realistic, 0 leaves frames almost as rendered."""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            if not 16 <= getattr(self, name) <= 4096 or getattr(self, name) % 16:
                raise InputError(f"{name}: must be a multiple of 16 pixels in [16, 4096], not {getattr(self, name)}")
        for name in ("chunk", "tiles", "skins"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if len(self.people) != 2 or not 1 <= self.people[0] <= self.people[1] <= 32:
            raise InputError(f"people: must be the fewest and the most, from 1 to 32, not {self.people}")
        for name, chosen, known in (
            ("domain", self.domain, list(DOMAINS)),
            ("depth_sensor", self.depth_sensor or "ideal", ["domain", *(sensor.name for sensor in DEPTH_SENSORS)]),
        ):
            if chosen not in known:
                raise InputError(f"{name}: {chosen} is none of {', '.join(known)}")
        for name in ("photograph_share", "panorama_share", "room_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: must lie in [0, 1], not {getattr(self, name)}")
        if not 0.0 <= self.effects <= 2.0:
            raise InputError(f"effects: must lie in [0, 2], not {self.effects}")

    @property
    def hands(self) -> int:
        """Most hands of a frame."""
        return 2 * self.people[1]
