"""The hands of a chunk stand in panoramas: lit by them, seen before them, exposed with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.config import SynthConfig
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.paint.panorama import panorama_bank
from phalanx.synth.paint.standpoint import (
    StandpointDraw,
    downward,
    draw_standpoints,
    exposed,
    exposures,
    look_around,
    stand_in,
    to_frame,
)
from phalanx.synth.scene.domains import Domain
from phalanx.synth.shots import Shot

_LOOKING_DOWN = {"egocentric": (35.0, 15.0), "third_person": (10.0, 15.0)}  # degrees, mean and deviation, by scene


def stand_in_panoramas(
    config: SynthConfig, domain: Domain, shot: Shot, light: LightDraw, behind: Tensor, generator: np.random.Generator
) -> LightDraw:
    """Put a share of the hands into panoramas: their light, and in place what is `behind` each place `(P, 3, S, S)`, linear.

    All views and frames of a hand stand at the same spot of the same panorama. Each view exposes for
    what it sees, and stays so for a clip.

    Returns:
        The light of each picture, in its camera's frame.

    Raises:
        InputError: the folder of panoramas is at fault.
    """
    if not domain.panoramas or config.panorama_share == 0:
        return light
    bank = panorama_bank(config.panoramas, str(shot.device))
    looking_down = _LOOKING_DOWN.get(config.scene, (5.0, 20.0))
    drawn = draw_standpoints(generator, shot.hands, config.panorama_share, len(bank), looking_down)
    draw, to_camera = drawn[shot.views.hand], _to_camera(shot, drawn)
    light = stand_in(light, draw, bank, to_camera, np.zeros(len(shot.place), bool))
    first = np.unique(shot.place, return_index=True)[1]  # picture of each place
    distance = shot.views.pose.translation.norm(dim=1).cpu().numpy()[first]
    K = shot.K[torch.as_tensor(first, device=shot.device)]
    look_around(behind, draw[first], bank, light[first], to_camera[first], K, distance)
    factor = exposures(behind, light[first], draw[first])
    behind.mul_(torch.as_tensor(factor, device=shot.device)[:, :, None, None])
    return exposed(light, factor[shot.place])


def _to_camera(shot: Shot, draw: StandpointDraw) -> np.ndarray:
    """Rotations `(B, 3, 3)` from the panoramas' frames to those of the cameras."""
    views = shot.views
    if views.world_to_camera is not None:  # up is where it is in most of the rig's pictures
        turn = views.world_to_camera[:, :3, :3].cpu().double().numpy()
        down = turn[:, 1].mean(0) + 1e-3 * np.array([0.0, 1.0, 0.0])
        return turn @ to_frame(np.tile(down, (shot.hands, 1)), draw.heading)[views.hand]
    first = np.unique(views.hand, return_index=True)[1]
    down = downward(draw, np.asarray(views.turn)[first])
    if views.down is not None:
        down[: len(views.down)] = views.down
    return to_frame(down, draw.heading)[views.hand]
