"""Full frames with one person, or with the arms of one: two samples each, the second in the mirror image for the left hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FOREARM
from phalanx.synth.config import SynthConfig
from phalanx.synth.crowds import CrowdPicture, chosen_sensor, paint_crowd, sense_crowd
from phalanx.synth.frames_config import FramesConfig
from phalanx.synth.holding import grasp_bank
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.compose import develop
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.domains import DOMAINS, Domain
from phalanx.synth.scene.gathering import Gathering, concatenate_gatherings, draw_gathering
from phalanx.synth.shots import project

_KINDS = {"people": ("webcam", "group", "desk"), "arms": ("own_eyes", "close")}
_NEAREST = 0.2  # metres: no hand comes nearer to the camera
_KEY = 6
_MORE = 4  # persons drawn beyond those that are still wanted


def make_pairs(
    config: SynthConfig,
    seed: int,
    index: int,
    device: torch.device,
    photograph: Callable[[Tensor | None, np.random.Generator], Tensor | None],
) -> Sample:
    """Chunk `index` of the scenes with whole persons and pairs of arms.

    Args:
        photograph: what the camera makes of developed pictures (2 B, 3, S, S), with a generator of its random choices; of none, none,
            but the choices are made.
    """
    scene, dressing, lighting, standing, sensing = (stream_generator(seed, index, _KEY, k) for k in range(5))
    domain = DOMAINS[config.domain]
    sensor = chosen_sensor(config.depth_sensor, domain, sensing)
    nearest = max(_NEAREST, 0.0 if sensor is None else sensor.nearest)
    gathering = _draw(config, domain, scene, nearest)
    whole = FramesConfig(
        width=config.size,
        height=config.size,
        chunk=config.hands,
        people=(1, 1),
        domain=config.domain,
        backgrounds=config.backgrounds,
        photograph_share=config.photograph_share,
        panoramas=config.panoramas,
        panorama_share=config.panorama_share,
        things=config.things,
        tiles=config.tiles,
        skins=config.skins,
        colour=config.colour,
    )
    picture = paint_crowd(whole, gathering, dressing, lighting, standing, device)
    sample = _label(config, seed, index, gathering, picture)
    sample.image = photograph(develop(_both_ways(picture.linear)) if config.colour else None, sensing)
    if sensor is not None and config.dense:
        sensed = sense_crowd(sensor, gathering, picture, sensing)
        sample.sensed_depth = _both_ways(sensed)
    return sample


def _both_ways(values: Tensor) -> Tensor:
    """Pictures (B, ...) each followed by its mirror image: (2 B, ...)."""
    return torch.stack([values, values.flip(-1)], 1).flatten(0, 1)


def _draw(config: SynthConfig, domain: Domain, generator: np.random.Generator, nearest: float) -> Gathering:
    """Persons of whom at least one hand is wholly in the frame, and none too near."""
    model = hand("cpu")[0]
    grasps = grasp_bank(config.things)
    kept: list[Gathering] = []
    missing = config.hands
    while missing > 0:
        drawn = draw_gathering(
            generator,
            body("cpu")[0],
            model,
            missing + _MORE,
            (1, 1),
            config.size,
            config.size,
            domain.build,
            _KINDS[config.scene],
            one_size=True,
            grasps=grasps.angles[grasps.usable],
        )
        chosen = np.flatnonzero(_usable(model, drawn, config.size, nearest))[:missing]
        if len(chosen):
            kept.append(drawn[chosen])
            missing -= len(chosen)
    return concatenate_gatherings(kept)


def _usable(model: HandModel, gathering: Gathering, size: int, nearest: float) -> np.ndarray:
    joints = model.joints(gathering.hands)
    # Cameras are in the middle of their pictures: mirrored ones are the same.
    pixels = project(joints, gathering.K.repeat_interleave(2, 0))
    inside = ((pixels > 0) & (pixels < size - 1)).all(-1).all(-1) & (joints[..., 2].amin(1) > 0)
    near = joints[..., 2].amin(1) > nearest
    beyond = (pixels < -0.5).all(1).any(-1) | (pixels > size - 0.5).all(1).any(-1)  # wholly beside the frame
    good = (
        inside.view(-1, 2).any(1)
        & (near | beyond).view(-1, 2).all(1)
        & (joints[..., 2].amin(1) > 0.05).view(-1, 2).all(1)
    )
    return good.numpy()


def _label(config: SynthConfig, seed: int, index: int, gathering: Gathering, picture: CrowdPicture) -> Sample:
    device, count = picture.linear.device, 2 * config.hands
    pose = gathering.hands.map(lambda value: value.to(device))
    K = gathering.K.to(device).repeat_interleave(2, 0)
    joints = picture.joints.clone()
    joints[1::2, :, 0] *= -1.0  # in the mirror
    pair, view = (grid.reshape(-1) for grid in np.indices((config.hands, 2)))
    seen, depth, coverage, parts = _hand_pictures(config.size, picture, count)
    model = hand(str(device))[0]
    boxes = hand_boxes(project(picture.vertices[:, model.parts != FOREARM], K), seen)
    sample = Sample(
        joints=joints,
        joints_2d=project(joints, K),
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
        K=K,
        world_to_camera=torch.eye(4, device=device).repeat(count, 1, 1),
        time=torch.zeros(count, device=device),
        boxes=torch.stack([boxes, mirrored_boxes(_swapped(boxes), config.size)], 1),
        ids=torch.as_tensor(np.stack([index * config.hands + pair, 0 * pair, view], 1), device=device),
    )
    if config.dense:
        sample.depth, sample.mask, sample.parts = depth, coverage, parts
        sample.hand_masks = torch.stack([seen, _swapped(seen).flip(-1)], 1)
        sample.vertices = picture.vertices
    return sample


def _hand_pictures(size: int, picture: CrowdPicture, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each hand in its own picture, left ones in the mirror: `(2 P, S, S)` what is seen to its wrist, and depth, coverage and parts of
    it and its arm alone."""
    device = picture.linear.device
    seen, depth, coverage = torch.zeros((3, count, size, size), device=device)
    parts = torch.zeros((count, size, size), dtype=torch.uint8, device=device)
    for each in picture.hands:
        number = each.hand
        rows, columns, own = each.window(size, size)
        depth[number, rows, columns] = each.layer.depth[0][own]
        coverage[number, rows, columns] = each.layer.coverage[0][own]
        parts[number, rows, columns] = each.parts[own]
        shown = picture.canvas.owner[number // 2] == 1 + number
        seen[number] = coverage[number] * shown
    for value in (seen, depth, coverage, parts):
        value[1::2] = value[1::2].flip(-1)
    return seen, depth, coverage, parts


def _swapped(value: Tensor) -> Tensor:
    """`(B, ...)` of each picture's mirror image: pictures 1, 0, 3, 2, ..."""
    return value.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def hand_boxes(pixels: Tensor, masks: Tensor) -> Tensor:
    """Boxes `(B, 4)` of hands as x, y, width, height in pixels from the frame's edge, cut off at the frame.

    A box holds the whole surface of the hand, hidden parts too, and gloves; it is all 0 if nothing of the hand is seen.

    Args:
        pixels: `(B, V, 2)` of the hand's surface.
        masks: `(B, S, S)` what is seen of it.
    """
    size = masks.shape[-1]
    low, high = ((bound + 0.5).clamp(0.0, size) for bound in (pixels.amin(1), pixels.amax(1)))
    seen = masks.flatten(1).sum(1) >= 1
    # Gloves stand off the skin.
    line = torch.arange(size, device=masks.device, dtype=pixels.dtype)
    for axis, shown in enumerate(((masks > 0).any(1), (masks > 0).any(2))):  # columns, rows
        first = torch.where(shown, line, float(size)).amin(1)
        last = torch.where(shown, line + 1.0, 0.0).amax(1)
        low[:, axis], high[:, axis] = torch.minimum(low[:, axis], first), torch.maximum(high[:, axis], last)
    return torch.cat([low, high - low], 1) * seen[:, None]


def mirrored_boxes(boxes: Tensor, size: int) -> Tensor:
    """The same boxes `(B, 4)` in mirrored frames of `size` pixels."""
    x, y, width, height = boxes.unbind(1)
    return torch.stack([torch.where(width > 0, size - x - width, 0.0), y, width, height], 1)
