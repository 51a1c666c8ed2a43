"""A chunk of labelled pictures from a seed and a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.data.sample import Sample
from phalanx.hand.model import HandPose
from phalanx.synth.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.compose import compose, draw_composition
from phalanx.synth.config import SynthConfig
from phalanx.synth.dress import draw_dress, dress
from phalanx.synth.effects import apply_effects, draw_effects
from phalanx.synth.light import draw_light, light_vertices
from phalanx.synth.scene import draw_hands
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

    Labels: joints, their pixels, pose, shape, camera; with `config.dense` also depth, mask and vertices. `mask` is the coverage of
    the surface of hand and (clothed) forearm, `depth` that of its nearest part; both see through things put in front of the hand.
    `ids` are (seed, chunk, number in the chunk).

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
    batch, size = config.chunk, config.size
    model_cpu, _ = hand("cpu")
    model, topology = hand(str(device))
    tiles = tile_bank(config.tiles, config.backgrounds, config.photograph_share, str(device))
    skins = skin_bank(config.skins, texture_side(size), str(device))

    pose, K = draw_hands(generator, model_cpu, batch, size)
    pose = HandPose(*(getattr(pose, name).to(device) for name in ("rotations", "shape", "orientation", "translation")))
    K = K.to(device)
    surface = model(pose)
    joints_2d = project(surface.joints, K)

    behind = backgrounds(draw_backgrounds(generator, batch, config.tiles), tiles, size).square_()  # linear light
    dress_draw = draw_dress(generator, batch)
    vertices, cover, phase = dress(surface, topology, topology.rest_normals, dress_draw)
    lit = light_vertices(surface, vertices, topology, draw_light(generator, batch), behind.mean((2, 3)))
    cloth = torch.as_tensor(dress_draw.colour, device=device)
    colours = torch.cat([torch.as_tensor(skin_matrices(generator, batch), device=device), cloth], -1)
    skin = torch.as_tensor(generator.integers(0, config.skins, batch), device=device)
    look = Look(lit["diffuse"], lit["gloss"], lit["relief"], cover, phase, colours, skin, dress_draw)
    picture = render(vertices, K, size, topology, look, skins)
    image = compose(picture, behind, surface.joints, joints_2d, draw_composition(generator, batch))
    image = _develop(image)
    image = apply_effects(image, draw_effects(generator, batch, size, config.effects))

    ids = torch.tensor([[seed, index, i] for i in range(batch)], dtype=torch.int64, device=device)
    return Sample(
        image=image,
        depth=picture.depth if config.dense else None,
        mask=picture.coverage if config.dense else None,
        joints=surface.joints,
        joints_2d=joints_2d,
        vertices=surface.vertices if config.dense else None,
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
        K=K,
        ids=ids,
    )
