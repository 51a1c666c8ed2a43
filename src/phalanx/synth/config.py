"""The choices of synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import InputError
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

SCENES = {
    "hands": "hands before all kinds of cameras, as the default estimator learns them",
    "egocentric": "hands as the camera on their owner's head sees them",
    "third_person": "somebody else's hands, seen by a camera in the room",
    "holding": "hands that hold things",
    "people": "full frames with a person, for finding both hands",
    "arms": "full frames with both arms of somebody, for finding hands close by",
    "motion": "clips of moving hands",
}
"""What can be seen, by name."""


@dataclass(frozen=True)
class SynthConfig:
    """Choices for a stream of synthetic pictures."""

    size: int = 128
    """Side of the square pictures in pixels, a multiple of 16."""
    chunk: int = 32
    """Pictures in a chunk; with a rig or in clips, as many hands as fit with all their views and frames, and at least one."""
    scene: str = "hands"
    """What is seen: a name in `SCENES`."""
    frames: int = 16
    """Pictures of a clip, in scenes that move."""
    frame_rate: float = 30.0
    """Pictures a second of a clip."""
    rig: str | None = None
    """Calibrated cameras that see each hand at the same time: a name (`synth.scene.rigs.PRESETS`) or a JSON file; none: single pictures."""
    poses: Path | None = None
    """File of recorded joints (NPZ, NPY, CSV, JSON) that hands before a rig are posed on, by spin match; none: poses are drawn."""
    domain: str = "any"
    """World that the pictures are from: a name in `synth.scene.domains.DOMAINS`."""
    camera: str | None = None
    """Colour camera: a name in `synth.sense.sensors.COLOUR_CAMERAS`; none: those of the domain, or a free mixture of effects."""
    depth_sensor: str | None = None
    """Depth sensor: a name in `synth.sense.sensors.DEPTH_SENSORS`, or `domain`: one of the domain's in each chunk. None: no depth."""
    backgrounds: Path | None = None
    """Folder of photographs to put behind hands (searched recursively); none: procedural clutter alone."""
    photograph_share: float = 0.5
    """Share of the background tiles cut from photographs when there is a folder."""
    panoramas: Path | None = None
    """Folder of HDR panoramas (Radiance, OpenEXR; searched recursively) that hands stand in; none: those of the package."""
    panorama_share: float = 0.6
    """Share of the hands that stand in a panorama, in domains that have any: lit by it and seen before it."""
    things: Path | None = None
    """Folder of models (OBJ, GLB, PLY, STL; searched recursively) of things that stand about and are held, besides those of the package."""
    realism: Path | None = None
    """Weights of `methods.tonality_gan` that redraw pictures so that they look like the photographs it learnt from; none: as rendered."""
    realism_share: float = 1.0
    """Share of the hands whose pictures are redrawn, where there are such weights."""
    tiles: int = 320
    """Number of background tiles kept in memory."""
    skins: int = 16
    """Number of skin details kept in memory."""
    effects: float = 1.0
    """Strength of what camera and compression do; 1 is realistic, 0 leaves pictures almost as rendered."""
    colour: bool = True
    """Whether samples carry pictures. Without, full frames of people and arms are not painted, which saves half of the time; labels and
    depth are the same."""
    dense: bool = True
    """Whether samples carry depth, mask, parts and vertices."""

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096 or self.size % 16:
            raise InputError(f"size: must be a multiple of 16 pixels, at most 4096, not {self.size}")
        for name in ("chunk", "frames", "tiles", "skins"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if not 1.0 <= self.frame_rate <= 1000.0:
            raise InputError(f"frame_rate: must lie in [1, 1000] pictures a second, not {self.frame_rate}")
        for name, chosen, known in (
            ("scene", self.scene, list(SCENES)),
            ("domain", self.domain, list(DOMAINS)),
            ("camera", self.camera or "ideal", [camera.name for camera in COLOUR_CAMERAS]),
            ("depth_sensor", self.depth_sensor or "ideal", ["domain", *(sensor.name for sensor in DEPTH_SENSORS)]),
        ):
            if chosen not in known:
                raise InputError(f"{name}: {chosen} is none of {', '.join(known)}")
        if self.rig is not None and self.scene not in ("hands", "motion"):
            raise InputError(f"rig: the scene {self.scene} has a camera of its own; take hands or motion")
        if self.poses is not None and (self.rig is None or self.scene != "hands"):
            raise InputError("poses: recorded hands are seen by a rig, in the scene hands; name the rig")
        if self.panoramas is not None and not DOMAINS[self.domain].panoramas:
            raise InputError(
                f"panoramas: hands of the domain {self.domain} stand in none; leave the folder out, or take the domain any"
            )
        for name in ("photograph_share", "panorama_share", "realism_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: must lie in [0, 1], not {getattr(self, name)}")
        if self.realism is not None and self.pairs:
            raise InputError(
                f"realism: the network redraws single hands, and the scene {self.scene} shows whole frames"
            )
        if not 0.0 <= self.effects <= 2.0:
            raise InputError(f"effects: must lie in [0, 2], not {self.effects}")

    @property
    def pairs(self) -> bool:
        """Whether scenes show both hands of a person: in two pictures, the second a mirror image for the left hand."""
        return self.scene in ("people", "arms")

    @property
    def views(self) -> int:
        """Pictures of a hand, or of a person's two, at once."""
        if self.pairs:
            return 2
        return 1 if self.rig is None else len(load_rig(self.rig))

    @property
    def times(self) -> int:
        """How often each camera sees a hand."""
        return self.frames if self.scene == "motion" else 1

    @property
    def hands(self) -> int:
        """Hands in a chunk."""
        return max(1, self.chunk // (self.views * self.times))

    @property
    def pictures(self) -> int:
        """Pictures in a chunk."""
        return self.hands * self.views * self.times
