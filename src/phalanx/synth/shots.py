"""What the pictures of a chunk show: posed hands in front of their cameras, with the things they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.model import HandModel, HandPose, HandSurface, concatenate_poses
from phalanx.render.solids import Solids
from phalanx.synth.config import SynthConfig
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.attached import KINDS, draw_attached
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.scene.hands import FRAMINGS, Framing, Views, draw_hands
from phalanx.synth.scene.recorded import recorded_hands
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.scene.views import draw_clips, draw_views
from phalanx.synth.sense.sensors import DepthSensor

_WITH_PEOPLE = 0.5  # share of hands that belong to somebody who is seen, in scenes where people are


@dataclass
class Shot:
    """B pictures of posed hands, on the device of the chunk.

    Attributes:
        views: poses and cameras as they were drawn, on the CPU.
        hands: number of hands; `views.hand` says which one each picture shows.
        place: (B,) number of each picture's background. There is one for each hand and camera, also in clips.
        clips: whether several pictures are frames of one clip.
        pose, surface: the hands, in their cameras' frames.
        K: (B, 3, 3) cameras of the crops; joints_2d: (B, 21, 2) pixels; time: (B,) seconds.
    """

    views: Views
    hands: int
    place: np.ndarray
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
    def things(self) -> Solids | None:
        """Things that hands hold, in the cameras' frames."""
        if self.views.held is None:
            return None
        return self.views.held.to(self.device).moved(self.pose.orientation, self.pose.translation)


def draw_shot(
    config: SynthConfig,
    generator: np.random.Generator,
    sensor: DepthSensor | None,
    device: torch.device,
    first: int = 0,
) -> Shot:
    """Draw hands and cameras, and pose the hands.

    Args:
        config: what to make.
        generator: of the chunk's scene.
        sensor: the depth sensor, if there is one; hands keep to where it can read.
        device: where the pictures will be made.
        first: number of the chunk's first hand, which says whose pose it has where poses are recorded.
    """
    views = draw_scene(config, generator, hand("cpu")[0], sensor, first)
    pose, K = views.pose.map(lambda value: value.to(device)), views.K.to(device)
    surface = hand(str(device))[0](pose)
    return Shot(
        views,
        config.hands,
        views.hand * config.views + views.view,
        config.times > 1,
        pose,
        surface,
        K,
        project(surface.joints, K),
        _times(config).to(device, torch.float32)[views.frame],
    )


def draw_scene(
    config: SynthConfig,
    generator: np.random.Generator,
    model: HandModel,
    sensor: DepthSensor | None,
    first: int = 0,
) -> Views:
    """Draw the hands and cameras of the scene, on the CPU; arguments as in `draw_shot`."""
    build = DOMAINS[config.domain].build
    times = _times(config) if config.times > 1 else None
    if config.rig is not None:
        recorded = None if config.poses is None else recorded_hands(str(config.poses))
        rig = load_rig(config.rig)
        return draw_views(generator, model, config.hands, rig, config.size, times, build, recorded, first)
    framing = FRAMINGS.get(config.scene, FRAMINGS["hands"])
    if sensor is not None:  # nobody holds a hand where the sensor reads nothing
        nearest = max(framing.distance[0], 1.25 * sensor.nearest)
        framing = replace(framing, distance=(nearest, max(framing.distance[1], 1.5 * nearest)))
    if times is not None:
        return draw_clips(generator, model, config.hands, config.size, times, framing, build)
    if config.scene in KINDS:
        return _some_with_people(config, generator, model, framing, build)
    return draw_hands(generator, model, config.hands, config.size, framing, build)


def _some_with_people(
    config: SynthConfig, generator: np.random.Generator, model: HandModel, framing: Framing, build: int
) -> Views:
    """Hands of which the first have people."""
    count = int(generator.binomial(config.hands, _WITH_PEOPLE))
    alone = draw_hands(generator, model, max(config.hands - count, 1), config.size, framing, build)
    if count == 0:
        return alone
    people = draw_attached(generator, body("cpu")[0], model, config.scene, count, config.size, framing, build)
    rest = slice(0, config.hands - count)
    number = np.arange(config.hands)
    return Views(
        concatenate_poses([people.pose, alone.pose[rest]]),
        torch.cat([people.K, alone.K[rest]]),
        number,
        0 * number,
        0 * number,
        np.concatenate([np.zeros(count), alone.turn[rest]]),
        body=people.body,
        down=people.down,
    )


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
