"""What the pictures of a chunk show: posed hands in front of their cameras, with the things they hold or the bodies they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.model import HandModel, HandPose, HandSurface
from phalanx.render.solids import Solids
from phalanx.synth.config import SynthConfig
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.scene.hands import FRAMINGS, Views, draw_hands
from phalanx.synth.scene.people import draw_arms, draw_people
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.scene.views import draw_clips, draw_views
from phalanx.synth.sense.sensors import DepthSensor


@dataclass
class Shot:
    """B pictures of posed hands, on the device of the chunk.

    Attributes:
        views: poses and cameras as they were drawn, on the CPU.
        hands: number of hands, or of pairs of hands; `views.hand` says which one each picture shows.
        place: (B,) number of each picture's background. There is one for each hand and camera, also in clips; the two pictures of a
            pair of hands share one.
        pairs: whether each second picture is the mirror image of the one before, for the other hand.
        clips: whether several pictures are frames of one clip.
        pose, surface: the hands, in their cameras' frames.
        K: (B, 3, 3) cameras of the crops; joints_2d: (B, 21, 2) pixels; time: (B,) seconds.
    """

    views: Views
    hands: int
    place: np.ndarray
    pairs: bool
    clips: bool
    pose: HandPose
    surface: HandSurface
    K: Tensor
    joints_2d: Tensor
    time: Tensor

    @property
    def device(self) -> torch.device:
        """Where the pictures are made."""
        return self.K.device

    @property
    def places(self) -> int:
        """Number of backgrounds."""
        return int(self.place.max()) + 1

    @property
    def mirrored(self) -> np.ndarray:
        """Which pictures `(B,)` of pairs are mirror images."""
        return self.views.view == 1

    @property
    def body(self) -> Solids | None:
        """Bodies of persons in the cameras' frames, if they are seen."""
        return None if self.views.body is None else self.views.body.to(self.device)

    @property
    def things(self) -> Solids | None:
        """Everything else that is seen, in the cameras' frames: things that hands hold, or bodies."""
        if self.views.held is None:
            return self.body
        return self.views.held.to(self.device).moved(self.pose.orientation, self.pose.translation)


def draw_shot(
    config: SynthConfig, generator: np.random.Generator, sensor: DepthSensor | None, device: torch.device
) -> Shot:
    """Draw hands and cameras, and pose the hands.

    Args:
        config: what to make.
        generator: of the chunk's scene.
        sensor: the depth sensor, if there is one; hands keep to where it can read.
        device: where the pictures will be made.
    """
    views = draw_scene(config, generator, hand("cpu")[0], sensor)
    pose, K = views.pose.map(lambda value: value.to(device)), views.K.to(device)
    surface = hand(str(device))[0](pose)
    return Shot(
        views,
        config.hands,
        views.hand if config.pairs else views.hand * config.views + views.view,
        config.pairs,
        config.times > 1,
        pose,
        surface,
        K,
        project(surface.joints, K),
        _times(config).to(device, torch.float32)[views.frame],
    )


def draw_scene(
    config: SynthConfig, generator: np.random.Generator, model: HandModel, sensor: DepthSensor | None
) -> Views:
    """Draw the hands and cameras of the scene, on the CPU; arguments as in `draw_shot`."""
    build = DOMAINS[config.domain].build
    times = _times(config) if config.times > 1 else None
    if config.rig is not None:
        return draw_views(generator, model, config.hands, load_rig(config.rig), config.size, times, build)
    framing = FRAMINGS.get(config.scene, FRAMINGS["hands"])
    if sensor is not None:  # nobody holds a hand where the sensor reads nothing
        nearest = max(framing.distance[0], 1.25 * sensor.nearest)
        framing = replace(framing, distance=(nearest, max(framing.distance[1], 1.5 * nearest)))
    if config.pairs:
        draw = draw_people if config.scene == "people" else draw_arms
        return draw(generator, model, config.hands, config.size, build, 0.0 if sensor is None else sensor.nearest)
    if times is not None:
        return draw_clips(generator, model, config.hands, config.size, times, framing, build)
    return draw_hands(generator, model, config.hands, config.size, framing, build)


def project(points: Tensor, K: Tensor) -> Tensor:
    """Pixels `(B, N, 2)` of points `(B, N, 3)` in the camera frame; `K (B, 3, 3)`."""
    focal, centre = K[:, [0, 1], [0, 1]][:, None], K[:, None, :2, 2]
    slopes = points[..., :2] / points[..., 2:]
    pixels = slopes * focal + centre
    pixels[..., 0] += slopes[..., 1] * K[:, :1, 1]
    return pixels


def _times(config: SynthConfig) -> Tensor:
    """Seconds `(T,)` of the frames of a clip."""
    return torch.arange(config.frames, dtype=torch.float64) / config.frame_rate
