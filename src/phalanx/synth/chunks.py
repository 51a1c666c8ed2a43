"""A chunk of labelled pictures from a seed and a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.synth.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.compose import compose, draw_composition
from phalanx.synth.config import SynthConfig
from phalanx.synth.dress import DressDraw, draw_dress, dress
from phalanx.synth.effects import apply_effects, draw_effects
from phalanx.synth.light import LightDraw, draw_light, light_vertices, turned
from phalanx.synth.rigs import load_rig
from phalanx.synth.scene import Views, draw_hands, draw_views
from phalanx.synth.shade import Look, render, texture_side
from phalanx.synth.skin import skin_bank, skin_matrices
from phalanx.synth.surface import hand


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On the CPU sums depend on the number of threads; one thread makes the same bytes everywhere (and is quickest here)."""
    threads = torch.get_num_threads()
    if device.type == "cpu" and threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if device.type == "cpu" and threads != 1:
            torch.set_num_threads(threads)


def project(points: Tensor, K: Tensor) -> Tensor:
    """Pixels `(B, N, 2)` of points `(B, N, 3)` in the camera frame; `K (B, 3, 3)` without skew."""
    focal, centre = K[:, [0, 1], [0, 1]][:, None], K[:, None, :2, 2]
    return points[..., :2] / points[..., 2:] * focal + centre


def make_chunk(config: SynthConfig, seed: int, index: int, device: torch.device | str = "cpu") -> Sample:
    """Chunk number `index` of the stream `seed`: `config.chunk` labelled pictures of right hands.

    A pure function of its arguments: on the CPU the same bytes in any process, whatever was made before (a GPU rounds
    differently and adds in no fixed order, so its pictures agree but for the last bits). The first call of a process builds
    the banks of skins and backgrounds, which takes seconds.

    Labels: joints, their pixels, pose, shape, camera; with `config.dense` also depth, mask, parts and vertices. `mask` is the coverage of
    the surface of hand and (clothed) forearm, `depth` that of its nearest part; both see through things put in front of the hand.
    `ids` are (seed, chunk, number in the chunk); with a rig (hand in the stream, 0, view), and samples carry `world_to_camera`.

    Raises:
        InputError: the folder of backgrounds is at fault.
    """
    place = torch.device(device)
    with torch.no_grad(), _one_thread(place):
        return _make(config, seed, index, place)


def _develop(linear: Tensor) -> Tensor:
    """Linear light to display-referred values: square root, with a shoulder that lets highlights roll off below 1."""
    dim = linear.mean((1, 2, 3), keepdim=True)
    image = linear.mul_((0.06 / dim).clamp(1.0, 5.0)).clamp_(0.0, 4.0).sqrt_()  # cameras expose longer in the dark
    over = (image - 0.75).clamp_min_(0.0)
    return image.sub_(over).add_(over.div_(1.0 + over * 2.0))


def _make(config: SynthConfig, seed: int, index: int, device: torch.device) -> Sample:
    generator = stream_generator(seed, index)
    size = config.size
    model_cpu, _ = hand("cpu")
    model, topology = hand(str(device))
    tiles = tile_bank(config.tiles, config.backgrounds, config.photograph_share, str(device))
    skins = skin_bank(config.skins, texture_side(size), str(device))

    views = _draw_views(config, generator, model_cpu)
    hands, of = int(views.hand[-1]) + 1, views.hand
    batch = len(of)
    pose = views.pose.map(lambda value: value.to(device))
    K = views.K.to(device)
    surface = model(pose)
    joints_2d = project(surface.joints, K)

    behind = backgrounds(draw_backgrounds(generator, batch, config.tiles), tiles, size).square_()  # linear light
    dress_draw = of_hands(draw_dress(generator, hands), of)
    vertices, cover, phase = dress(surface, topology, topology.rest_normals, dress_draw)
    light = of_hands(draw_light(generator, hands), of)
    if views.world_to_camera is not None:
        light = turned(light, views.world_to_camera[:, :3, :3].numpy())
    lit = light_vertices(surface, vertices, topology, light, behind.mean((2, 3)))
    cloth = torch.as_tensor(dress_draw.colour, device=device)
    colours = torch.cat([torch.as_tensor(skin_matrices(generator, hands)[of], device=device), cloth], -1)
    skin = torch.as_tensor(generator.integers(0, config.skins, hands)[of], device=device)
    look = Look(lit["diffuse"], lit["gloss"], lit["relief"], cover, phase, colours, skin, dress_draw)
    picture = render(vertices, K, size, topology, look, skins)
    image = compose(picture, behind, surface.joints, joints_2d, draw_composition(generator, batch))
    image = _develop(image)
    image = apply_effects(image, draw_effects(generator, batch, size, config.effects))

    number = np.arange(batch)
    ids = (seed, index, number) if config.rig is None else (index * hands + of, 0 * of, number - of * (batch // hands))
    return Sample(
        image=image,
        depth=picture.depth if config.dense else None,
        mask=picture.coverage if config.dense else None,
        parts=picture.parts if config.dense else None,
        joints=surface.joints,
        joints_2d=joints_2d,
        vertices=surface.vertices if config.dense else None,
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
        K=K,
        world_to_camera=None if views.world_to_camera is None else views.world_to_camera.to(device),
        ids=torch.as_tensor(np.stack(np.broadcast_arrays(*ids), 1).astype(np.int64), device=device),
    )


def _draw_views(config: SynthConfig, generator: np.random.Generator, model: HandModel) -> Views:
    if config.rig is None:
        pose, K = draw_hands(generator, model, config.chunk, config.size)
        return Views(pose, K, np.arange(config.chunk))
    rig = load_rig(config.rig)
    return draw_views(generator, model, config.pictures // len(rig), rig, config.size)


Draw = TypeVar("Draw", DressDraw, LightDraw)


def of_hands(draw: Draw, hand: np.ndarray) -> Draw:
    """What was drawn for each hand, for each picture: `hand (B,)` says which hand it shows."""
    values = {f.name: getattr(draw, f.name) for f in fields(draw)}
    spread: dict[str, Any] = {name: value[hand] for name, value in values.items() if isinstance(value, np.ndarray)}
    if isinstance(draw, DressDraw):
        spread["bands"] = [(int(picture), band) for of, band in draw.bands for picture in np.flatnonzero(hand == of)]
    return type(draw)(**spread)
