"""Domains: worlds that on purpose have nothing in common, so that what is learnt in one can be tried in the other.

`studio` is a clean source: larger builds, lighter skins, soft white light from the camera's side, plain grounds, good sensors. `field`
stands in for reality where there are no labels: smaller builds, darker skins, hard coloured key light from aside and behind, clutter,
cheap sensors. No half of the builds, range of tones, skin detail, kind of light, painter, photograph or sensor of one occurs in the other.
Poses, views, clothes and what stands in the way are the same. Neither has panoramas, whose light is of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from phalanx.synth.paint.clutter import PAINTERS
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.sense.sensors import (
    AZURE,
    D415,
    D435,
    DEPTH_SENSORS,
    KINECT1,
    KINECT2,
    MACHINE_VISION,
    PERFECT_CAMERA,
    PHONE,
    SR300,
    WEBCAM,
    ColourCamera,
    DepthSensor,
)

_PLAIN = ("wall", "coloured_noise", "tiling", "cloth")
_WARM, _COOL = np.array([1.35, 1.0, 0.5], np.float32), np.array([0.6, 1.0, 1.45], np.float32)


@dataclass(frozen=True)
class Domain:
    """What a world is made of."""

    name: str
    """Its name."""
    build: int = 0
    """Half of the first component of shape that hands are from, -1 (the larger hands) or 1; 0: both."""
    tones: tuple[float, float] = (0.0, 1.0)
    """Skin tones, from 0, the lightest, to 1, the darkest."""
    half: int | None = None
    """Half of the skin details and of the photographs behind hands that are its own, 0 or 1; none: all."""
    painters: tuple[str, ...] = tuple(painter.__name__ for painter, _ in PAINTERS)
    """What paints backgrounds (`synth.paint.clutter`)."""
    light: Callable[[LightDraw], LightDraw] = lambda draw: draw
    """What becomes of light as it is drawn."""
    panoramas: bool = True
    """Whether hands stand in panoramas, too."""
    cameras: tuple[ColourCamera, ...] = ()
    """Colour cameras, of which each chunk has one; none: the free mixture of effects (`synth.sense.effects`)."""
    depth_sensors: tuple[DepthSensor, ...] = DEPTH_SENSORS[1:]
    """Depth sensors, of which each chunk has one where depth is sensed."""


def soft_white(draw: LightDraw) -> LightDraw:
    """The light of `draw` from the camera's side, large and white: softness 0.35 and more."""
    direction = draw.direction.copy()
    direction[..., 2] = -np.abs(direction[..., 2]) - 0.3
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return replace(
        draw,
        direction=direction,
        colour=np.repeat(draw.colour.mean(-1, keepdims=True), 3, -1),
        ambient=np.repeat(1.3 * draw.ambient.mean(1, keepdims=True), 3, 1),
        softness=np.maximum(draw.softness, 0.35),
    )


def hard_coloured(draw: LightDraw) -> LightDraw:
    """The light of `draw` from aside or behind, small and warm or cool: softness 0.2 and less."""
    direction = draw.direction.copy()
    direction[:, 0, 2] = np.abs(direction[:, 0, 2]) - 0.3
    direction[:, 0, 0] *= 1.5
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    tint = np.where(direction[..., :1] > 0, _WARM, _COOL)  # (B, LIGHTS, 3)
    return replace(
        draw,
        direction=direction.astype(np.float32),
        colour=1.3 * draw.colour.mean(-1, keepdims=True) * tint,
        ambient=0.7 * draw.ambient * np.where(draw.direction[:, 0, :1] > 0, _COOL, _WARM)[..., None],
        softness=np.minimum(draw.softness, 0.2),
    )


ANY = Domain("any")
STUDIO = Domain(
    "studio",
    build=-1,
    tones=(0.0, 0.4),
    half=0,
    painters=_PLAIN,
    light=soft_white,
    panoramas=False,
    cameras=(PERFECT_CAMERA, MACHINE_VISION),
    depth_sensors=(AZURE, D415),
)
FIELD = Domain(
    "field",
    build=1,
    tones=(0.5, 1.0),
    half=1,
    painters=tuple(name for name in ANY.painters if name not in _PLAIN),
    light=hard_coloured,
    panoramas=False,
    cameras=(WEBCAM, PHONE),
    depth_sensors=(SR300, KINECT1, KINECT2, D435),
)

DOMAINS = {domain.name: domain for domain in (ANY, STUDIO, FIELD)}
"""By name; `any` is everything there is, as the default estimator learns it."""
