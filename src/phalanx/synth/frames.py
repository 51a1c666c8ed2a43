"""Whole frames with any number of people and all their hands labelled, from a seed and a number: what detectors learn from."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial

import numpy as np
import torch
from torch import Tensor

from phalanx.core.parallel import ordered
from phalanx.core.seeding import generator as stream_generator
from phalanx.data.frames import Frames
from phalanx.geometry.point_lists import places
from phalanx.synth.chunks import one_thread
from phalanx.synth.crowds import CrowdPicture, chosen_sensor, paint_crowd, sense_crowd
from phalanx.synth.frames_config import FramesConfig
from phalanx.synth.holding import grasp_bank
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.compose import develop
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.scene.gathering import Gathering, draw_gathering
from phalanx.synth.sense.effects import apply_effects, draw_effects

__all__ = ["FramesConfig", "make_frames", "stream_frames"]

_KEY = 10  # of all generators of frames
_LEAST_SEEN = 6  # pixels of a hand, below which it is not there
_NEAREST = 0.12  # metres: no hand comes nearer to the camera, or to a sensor than it can see
_SHARPNESS = 160  # side in pixels of the pictures whose blur frames have


def make_frames(config: FramesConfig, seed: int, index: int, device: torch.device | str = "cpu") -> Frames:
    """Chunk number `index` of the stream `seed`: `config.chunk` frames with the labels of all hands that are seen.

    A pure function of its arguments: on the CPU the same bytes in any process. The first call of a process builds the banks of skins,
    backgrounds and panoramas, which takes seconds.

    Raises:
        InputError: the folder of backgrounds or that of panoramas is at fault.
    """
    place = torch.device(device)
    with torch.no_grad(), one_thread(place):
        return _make(config, seed, index, place)


def stream_frames(config: FramesConfig, seed: int, workers: int = 0, start: int = 0) -> Generator[Frames, None, None]:
    """Chunks `start`, `start + 1`, ... of the stream `seed` without end, on the CPU; the same bytes for any number of workers.

    Args:
        workers: processes that make chunks, one thread each; 0: this process makes them, on demand.

    Raises:
        InputError: a folder is at fault.
        RuntimeError: a worker died.
    """
    if workers <= 0:
        yield from ordered(partial(make_frames, config, seed), 0, start)
    with closing(ordered(partial(_make_packed, config, seed), workers, start)) as packed:
        for chunk in packed:
            fields = {name: torch.from_numpy(array) for name, array in chunk.items()}
            fields["image"] = fields["image"].float().div_(255.0)
            yield Frames(**fields)


def _make_packed(config: FramesConfig, seed: int, index: int) -> dict[str, np.ndarray]:
    frames = make_frames(config, seed, index)
    bytes_ = (frames.image * 255.0).round_().to(torch.uint8)
    fields = {**frames.fields_there(), "image": bytes_}
    return {name: value.contiguous().numpy() for name, value in fields.items()}


def _make(config: FramesConfig, seed: int, index: int, device: torch.device) -> Frames:
    """The stages in their order; each has a generator of its own."""
    scene, dressing, lighting, standing, sensing = (stream_generator(seed, index, _KEY, k) for k in range(5))
    domain = DOMAINS[config.domain]
    grasps = grasp_bank(config.things)
    gathering = draw_gathering(
        scene,
        body("cpu")[0],
        hand("cpu")[0],
        config.chunk,
        config.people,
        config.width,
        config.height,
        domain.build,
        grasps=grasps.angles[grasps.usable],
    )
    sensor = chosen_sensor(config.depth_sensor, domain, stream_generator(seed, index, _KEY, 5))
    nearest = max(_NEAREST, 0.0 if sensor is None else sensor.nearest)
    gathering = gathering.kept_away(hand("cpu")[0], nearest, config.width, config.height)
    picture = paint_crowd(config, gathering, dressing, lighting, standing, device)
    effects = draw_effects(sensing, config.chunk, _SHARPNESS, config.effects)
    frames = _label(config, gathering, picture)
    frames.image = apply_effects(develop(picture.linear), effects)
    if sensor is not None:
        frames.sensed_depth = sense_crowd(sensor, gathering, picture, sensing)
    frames.ids = torch.tensor([[seed, index, i] for i in range(config.chunk)], device=device)
    return frames


def _label(config: FramesConfig, gathering: Gathering, picture: CrowdPicture) -> Frames:
    """All labels but the pictures; hands of a frame in the order in which they were drawn."""
    canvas, K = picture.canvas, gathering.K.to(picture.linear.device)
    frames, most, device = config.chunk, config.hands, K.device
    masks = torch.zeros_like(canvas.owner)
    result = Frames(
        image=torch.zeros(0),
        K=K,
        present=torch.zeros((frames, most), dtype=torch.bool, device=device),
        side=torch.zeros((frames, most), dtype=torch.uint8, device=device),
        boxes=torch.zeros((frames, most, 4), device=device),
        share=torch.zeros((frames, most), device=device),
        joints=torch.zeros((frames, most, 21, 3), device=device),
        joints_2d=torch.zeros((frames, most, 21, 2), device=device),
        orientation=torch.zeros((frames, most, 3, 3), device=device),
        masks=masks,
        depth=canvas.layer.depth * (canvas.layer.coverage >= 0.5),
    )
    found = [0] * frames
    for each in sorted(picture.hands, key=lambda one: one.hand):
        frame = int(gathering.frame[each.hand // 2])
        rows, columns, _ = each.window(config.width, config.height)
        seen = canvas.owner[frame, rows, columns] == 1 + each.hand
        count = int(seen.sum())
        if count < _LEAST_SEEN:
            continue
        n = found[frame]
        found[frame] += 1
        x, x_last, y, y_last = _extent(seen, columns.start, rows.start)
        own = picture.joints[each.hand]
        result.present[frame, n] = True
        result.side[frame, n] = int(gathering.left[each.hand])
        result.boxes[frame, n] = torch.tensor([x, y, x_last + 1 - x, y_last + 1 - y], device=device)
        result.share[frame, n] = min(count / max(each.whole, 1.0), 1.0)
        result.joints[frame, n] = own
        pixels = own @ K[frame].T
        result.joints_2d[frame, n] = pixels[:, :2] / pixels[:, 2:].clamp_min(0.01)
        result.orientation[frame, n] = gathering.hands.orientation[each.hand].to(device)
        masks[frame, rows, columns].masked_fill_(seen, n + 1)
    return result


def _extent(seen: Tensor, left: int, top: int) -> tuple[int, int, int, int]:
    """First and last column, first and last row of what is `seen (h, w)` in a window that begins at (left, top)."""
    columns, rows = places(seen.any(0)), places(seen.any(1))
    return left + int(columns[0]), left + int(columns[-1]), top + int(rows[0]), top + int(rows[-1])
