"""A chunk of labelled pictures from a seed and a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.data.sample import Sample
from phalanx.render.ray_casting import cast
from phalanx.synth.attached import People, clothed, draw_people
from phalanx.synth.config import SynthConfig
from phalanx.synth.furnish import Furnished, furnish
from phalanx.synth.nearby import put_nearby
from phalanx.synth.paint.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.paint.compose import (
    ComposeDraw,
    Layer,
    before_surfaces,
    compose,
    develop,
    draw_composition,
    of_frames,
)
from phalanx.synth.paint.details import draw_details
from phalanx.synth.paint.dress import DressDraw, draw_dress
from phalanx.synth.paint.flesh import FleshDraw, draw_flesh, flush, tendons
from phalanx.synth.paint.ground import NearGround, draw_ground, scene_depth, spots
from phalanx.synth.paint.light import LightDraw, draw_light, light_vertices, turned
from phalanx.synth.paint.shade import Look, Picture, render, texture_side
from phalanx.synth.paint.skin import skin_bank, skin_matrices
from phalanx.synth.paint.solids import draw_looks, shade_solids
from phalanx.synth.paint.surface import hand
from phalanx.synth.pairs import make_pairs
from phalanx.synth.realism import redrawn
from phalanx.synth.scene.domains import DOMAINS, Domain
from phalanx.synth.sense.colour_sensor import draw_colour, sense_colour
from phalanx.synth.sense.depth_noise import draw_depth_noise
from phalanx.synth.sense.depth_sensor import sense_depth
from phalanx.synth.sense.effects import apply_effects, draw_effects
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS, WEBCAM, ColourCamera, DepthSensor
from phalanx.synth.shots import Shot, draw_shot
from phalanx.synth.standing import stand_in_panoramas


def make_chunk(config: SynthConfig, seed: int, index: int, device: torch.device | str = "cpu") -> Sample:
    """Chunk number `index` of the stream `seed`: `config.chunk` labelled pictures of right hands.

    A pure function of its arguments: on the CPU the same bytes in any process, whatever was made before. (A GPU rounds
    differently and adds in no fixed order, so its pictures agree but for the last bits.) The first call of a process builds
    the banks of skins, backgrounds and panoramas, which takes seconds.

    Labels are joints, their pixels, pose, shape and camera; with `config.dense` also depth, mask, parts and vertices. `mask` is the
    coverage of the surface of hand and (clothed) forearm, `depth` that of its nearest part; both ignore things in front of the hand.
    `sensed_depth` is what a depth sensor, if there is one, makes of hand and surroundings, without things that `compose` puts in front.

    `ids` are (seed, chunk, number in the chunk); with a rig or in clips (hand in the stream, frame, view), and samples carry
    `world_to_camera` and `time`. Whole persons and pairs of arms have two pictures each, the second a mirror image for the left hand,
    with `boxes` and `hand_masks` of both hands; their `ids` are (person in the stream, 0, 0 or 1 for the mirror image).

    Raises:
        InputError: the folder of backgrounds or that of panoramas is at fault, or the weights that redraw pictures.
    """
    place = torch.device(device)
    with torch.no_grad(), one_thread(place):
        return _make(config, seed, index, place)


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On the CPU sums depend on the number of threads; one thread makes the same bytes everywhere (and is quickest here)."""
    threads = torch.get_num_threads()
    if device.type == "cpu" and threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if device.type == "cpu" and threads != 1:
            torch.set_num_threads(threads)


def _make(config: SynthConfig, seed: int, index: int, device: torch.device) -> Sample:
    """The stages in their order, which is also the order in which they draw from the chunk's generators.

    The generators are the scene's, the sensors' and that of the paint of things.
    """
    generator, sensing, painting = (stream_generator(seed, index, *key) for key in ((), (1,), (2,)))
    domain = DOMAINS[config.domain]
    if config.pairs:
        return make_pairs(config, seed, index, device, partial(_photograph_pairs, config, domain))
    camera = _choose_camera(config, domain, sensing)
    sensor = _choose(sensing, DEPTH_SENSORS, config.depth_sensor, domain.depth_sensors)
    shot = draw_shot(config, generator, sensor, device, index * config.hands)

    behind = _paint_background(config, domain, shot, generator)
    skin = _draw_skin(config, domain, shot, stream_generator(seed, index, 3))
    people = draw_people(shot, skin.colours, stream_generator(seed, index, 6))
    clothes = _clothe(shot, people, generator, stream_generator(seed, index, 8))
    light = _light(domain, shot, generator)
    light = stand_in_panoramas(config, domain, shot, light, behind, stream_generator(seed, index, 4))
    behind = _of_pictures(behind, shot)
    surroundings = behind.mean((2, 3))
    nearby = put_nearby(shot, clothes.vertices, light, domain.painters, seed, index)
    ground = None
    if nearby is not None:
        painted = nearby.paint(shot, config.size, light, surroundings)
        nearby.put(painted, behind)
        light, ground = nearby.light(light), nearby.ground(painted)
    touched = None if nearby is None else nearby.pressed(clothes.vertices)
    picture = _paint_hands(config, shot, clothes, light, skin, surroundings, touched)
    composition = _draw_composition(shot, generator)
    if nearby is not None:
        composition = before_surfaces(composition, nearby.pictures)
    furnished = furnish(
        stream_generator(seed, index, 7), config.things, shot, clothes.vertices, nearby, composition.blocked
    )

    front = own = Layer(picture.colour, picture.coverage, picture.depth)
    others = _paint_things(config.size, shot, clothes, light, skin, surroundings, painting, furnished)
    if others is not None:
        front = front.over(others)
    if people is not None:
        front = front.over(people.paint(shot, config.size, light, skin.colours, surroundings))
    if furnished is not None:
        composition = furnished.composition(composition)
        front = furnished.put(front, shot, light, surroundings, own, behind)

    image = develop(compose(picture, front, behind, shot.surface.joints, shot.joints_2d, composition))
    if camera is None:
        image = apply_effects(image, draw_effects(generator, len(image), config.size, config.effects))
    else:
        image = _photograph(image, camera, sensing, shot.place if shot.clips else None)
    if config.realism is not None and config.colour:
        each = config.views * config.times
        image = redrawn(image, Path(config.realism), config.realism_share, each, seed, index)
    sensed = None
    if sensor is not None and config.dense:
        sensed = _sense(front, ground, sensor, shot, skin, sensing)

    sample = _label(config, seed, index, shot)
    sample.image, sample.sensed_depth = image if config.colour else None, sensed
    if config.dense:
        sample.depth, sample.mask, sample.parts = picture.depth, picture.coverage, picture.parts
        sample.vertices = shot.surface.vertices
    return sample


Sensor = TypeVar("Sensor", ColourCamera, DepthSensor)


def _choose(
    generator: np.random.Generator, known: Sequence[Sensor], name: str | None, usual: Sequence[Sensor]
) -> Sensor | None:
    """The sensor of this name; of the name `domain` one of the usual."""
    if name == "domain":
        return usual[int(generator.integers(len(usual)))] if usual else None
    return next((sensor for sensor in known if sensor.name == name), None)


def _choose_camera(config: SynthConfig, domain: Domain, generator: np.random.Generator) -> ColourCamera | None:
    """The modelled camera; none: the free mixture of effects, which would flicker in clips."""
    camera = _choose(generator, COLOUR_CAMERAS, config.camera or "domain", domain.cameras)
    return WEBCAM if camera is None and config.times > 1 else camera


def _paint_background(config: SynthConfig, domain: Domain, shot: Shot, generator: np.random.Generator) -> Tensor:
    """What lies behind the hands at each place, `(P, 3, S, S)` in linear light."""
    tiles = tile_bank(
        config.tiles, config.backgrounds, config.photograph_share, str(shot.device), domain.painters, domain.half
    )
    return backgrounds(draw_backgrounds(generator, shot.places, config.tiles), tiles, config.size).square_()


def _of_pictures(behind: Tensor, shot: Shot) -> Tensor:
    """What lies behind each picture's hand, `(B, 3, S, S)`, of backgrounds `(P, 3, S, S)` of places."""
    if shot.places < len(shot.place):
        behind = behind[torch.as_tensor(shot.place, device=shot.device)]
    return behind


@dataclass
class _Clothes:
    """What B hands wear, as drawn, and what `dress` makes of it: vertices (B, V, 3), cover and phase (B, V)."""

    draw: DressDraw
    vertices: Tensor
    cover: Tensor
    phase: Tensor


def _clothe(shot: Shot, people: People | None, generator: np.random.Generator, more: np.random.Generator) -> _Clothes:
    draw = draw_details(more, draw_dress(generator, shot.hands))[shot.views.hand]
    both, worn = clothed(shot, people, draw)
    return _Clothes(both, *worn)


def _light(domain: Domain, shot: Shot, generator: np.random.Generator) -> LightDraw:
    """The light of each picture, in its camera's frame."""
    light = domain.light(draw_light(generator, shot.hands))[shot.views.hand]
    if shot.views.world_to_camera is not None:
        light = turned(light, shot.views.world_to_camera[:, :3, :3].numpy())
    return light


@dataclass
class _Skin:
    """Skins of B hands: `colours (B, 3, 6)` as of `skin_matrices`, `variant (B,)` in the bank of details, and what flesh does."""

    colours: Tensor
    variant: Tensor
    flesh: FleshDraw


def _draw_skin(config: SynthConfig, domain: Domain, shot: Shot, generator: np.random.Generator) -> _Skin:
    colours = skin_matrices(generator, shot.hands, domain.tones)
    variant = generator.integers(0, config.skins, shot.hands)
    if domain.half is not None:
        variant = np.minimum(2 * (variant // 2) + domain.half, config.skins - 1)
    of = shot.views.hand
    flesh = draw_flesh(generator, shot.hands)[of]
    drawn, which = (torch.as_tensor(values[of], device=shot.device) for values in (colours, variant))
    return _Skin(drawn, which, flesh)


def _paint_hands(
    config: SynthConfig,
    shot: Shot,
    clothes: _Clothes,
    light: LightDraw,
    skin: _Skin,
    surroundings: Tensor,
    touched: Tensor | None,
) -> Picture:
    """Hands and forearms alone.

    Args:
        surroundings: (B, 3) mean colour of what lies behind them.
        touched: (B, V) how hard each vertex is pressed, 0 to 1; none: nothing is.
    """
    topology = hand(str(shot.device))[1]
    lit = light_vertices(shot.surface, clothes.vertices, topology, light, surroundings)
    colours = torch.cat([skin.colours, torch.as_tensor(clothes.draw.colour, device=shot.device)], -1)
    blood, raised = flush(shot.pose.rotations, skin.flesh, touched), tendons(shot.pose.rotations, skin.flesh)
    look = Look(lit, clothes.cover, clothes.phase, colours, skin.variant, clothes.draw, blood, raised)
    bank = skin_bank(config.skins, texture_side(config.size), str(shot.device))
    return render(clothes.vertices, shot.K, config.size, topology, look, bank)


def _draw_composition(shot: Shot, generator: np.random.Generator) -> ComposeDraw:
    """Shadows, other hands and things in the way."""
    drawn = draw_composition(generator, shot.places)
    return of_frames(drawn, shot.place) if shot.clips else drawn


def _paint_things(
    size: int,
    shot: Shot,
    clothes: _Clothes,
    light: LightDraw,
    skin: _Skin,
    surroundings: Tensor,
    generator: np.random.Generator,
    furnished: Furnished | None,
) -> Layer | None:
    """Solids held, if there are any; not the hands themselves, nor things that have taken the solids' place."""
    things = shot.things
    if things is None:
        return None
    met = cast(things if furnished is None else furnished.solids(things), shot.K, size)
    look = draw_looks(generator, things)
    return Layer(shade_solids(met, things, light, look, surroundings), met.coverage, met.depth)


def _photograph_pairs(
    config: SynthConfig, domain: Domain, image: Tensor | None, generator: np.random.Generator
) -> Tensor | None:
    """What cameras make of developed pictures `(B, 3, S, S)` of people; of none, none, with the same random choices."""
    camera = _choose_camera(config, domain, generator)
    if camera is None:
        effects = draw_effects(generator, config.pictures, config.size, config.effects)
        return None if image is None else apply_effects(image, effects)
    if image is None:
        draw_colour(generator, config.pictures, config.size, camera)
        return None
    return _photograph(image, camera, generator)


def _photograph(
    image: Tensor, camera: ColourCamera, generator: np.random.Generator, place: np.ndarray | None = None
) -> Tensor:
    """What the camera makes of displayed pictures `(B, 3, S, S)`, rounded to 8 bits; those of a `place (B,)` are frames of a clip."""
    draw = draw_colour(generator, len(image), image.shape[-1], camera)
    if place is not None:
        draw = draw.steady(place)
    return sense_colour(image.clamp_(0.0, 1.0), camera, draw).mul_(255.0).round_().div_(255.0).add_(0.0)


def _sense(
    front: Layer,
    near: NearGround | None,
    sensor: DepthSensor,
    shot: Shot,
    skin: _Skin,
    generator: np.random.Generator,
) -> Tensor:
    """What the depth sensor makes of all that is in `front`, of surfaces near it and of the ground behind: `(B, S, S)` metres."""
    # Skin reflects 0.6 (pale) to 0.4 (dark) near 850 nm (Jacquez et al. 1955).
    infrared = 0.4 + 0.2 * skin.colours[:, 0, 0].exp()
    ground = draw_ground(generator, shot.places)[shot.place]
    spot = spots(shot.surface.joints, torch.as_tensor(shot.place, device=shot.device))
    whole, albedo = scene_depth(front.depth, front.coverage, spot, shot.K, infrared, ground, near)
    noise = draw_depth_noise(generator, len(whole), whole.shape[-1], sensor, shot.views.turn)
    return sense_depth(whole, shot.K, sensor, noise, albedo)


def _label(config: SynthConfig, seed: int, index: int, shot: Shot) -> Sample:
    """All labels that are not pictures, nor as large."""
    single = config.rig is None and config.scene != "motion"
    views = shot.views
    ids = (
        (seed, index, np.arange(len(shot.K))) if single else (index * shot.hands + views.hand, views.frame, views.view)
    )
    if views.world_to_camera is None:  # a camera that stands alone is the world
        world_to_camera = torch.eye(4, dtype=shot.K.dtype, device=shot.device).repeat(len(shot.K), 1, 1)
    else:
        world_to_camera = views.world_to_camera.to(shot.device)
    return Sample(
        joints=shot.surface.joints,
        joints_2d=shot.joints_2d,
        rotations=shot.pose.rotations,
        shape=shot.pose.shape,
        orientation=shot.pose.orientation,
        translation=shot.pose.translation,
        K=shot.K,
        world_to_camera=world_to_camera,
        time=shot.time,
        ids=torch.as_tensor(np.stack(np.broadcast_arrays(*ids), 1).astype(np.int64), device=shot.device),
    )
