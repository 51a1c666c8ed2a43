"""A chunk of labelled pictures from a seed and a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.core.records import map_fields
from phalanx.core.seeding import generator as stream_generator
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.skeleton import FOREARM
from phalanx.render.ray_casting import cast
from phalanx.render.solids import Solids
from phalanx.synth.config import SynthConfig
from phalanx.synth.paint.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.paint.compose import Layer, compose, draw_composition, of_frames
from phalanx.synth.paint.dress import FOREARM_STRETCH, DressDraw, draw_dress, dress
from phalanx.synth.paint.ground import draw_ground, scene_depth, spots
from phalanx.synth.paint.light import LightDraw, draw_light, light_vertices, mirrored, turned
from phalanx.synth.paint.shade import Look, Picture, render, texture_side
from phalanx.synth.paint.skin import skin_bank, skin_matrices
from phalanx.synth.paint.solids import draw_looks, shade_solids
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.scene.hands import FRAMINGS, Views, draw_hands
from phalanx.synth.scene.people import draw_arms, draw_people, hand_boxes, mirrored_boxes, paint_people, to_elbow
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.scene.views import draw_clips, draw_views
from phalanx.synth.sense.colour_sensor import draw_colour, sense_colour
from phalanx.synth.sense.depth_sensor import draw_depth_noise, sense_depth
from phalanx.synth.sense.effects import apply_effects, draw_effects
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS, WEBCAM, ColourCamera, DepthSensor


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
    """Pixels `(B, N, 2)` of points `(B, N, 3)` in the camera frame; `K (B, 3, 3)`."""
    focal, centre = K[:, [0, 1], [0, 1]][:, None], K[:, None, :2, 2]
    slopes = points[..., :2] / points[..., 2:]
    pixels = slopes * focal + centre
    pixels[..., 0] += slopes[..., 1] * K[:, :1, 1]
    return pixels


def make_chunk(config: SynthConfig, seed: int, index: int, device: torch.device | str = "cpu") -> Sample:
    """Chunk number `index` of the stream `seed`: `config.chunk` labelled pictures of right hands.

    A pure function of its arguments: on the CPU the same bytes in any process, whatever was made before (a GPU rounds
    differently and adds in no fixed order, so its pictures agree but for the last bits). The first call of a process builds
    the banks of skins and backgrounds, which takes seconds.

    Labels: joints, their pixels, pose, shape, camera; with `config.dense` also depth, mask, parts and vertices. `mask` is the coverage of
    the surface of hand and (clothed) forearm, `depth` that of its nearest part; both see through things put in front of the hand.
    `sensed_depth` is what a depth sensor, if there is one, makes of hand and surroundings (without things put in front). `ids` are
    (seed, chunk, number in the chunk); with a rig or in clips (hand in the stream, frame, view), and samples carry
    `world_to_camera` and `time`. Whole persons and pairs of arms have two pictures each, the second a mirror image for the left hand, with
    `boxes` and `hand_masks` of both hands; `ids` are (person in the stream, 0, 0 or 1 for the mirror image).

    Raises:
        InputError: the folder of backgrounds is at fault.
    """
    place = torch.device(device)
    with torch.no_grad(), _one_thread(place):
        return _make(config, seed, index, place)


def _develop(linear: Tensor) -> Tensor:
    """Linear light to display-referred values, in place: square root, with a shoulder that lets highlights roll off below 1."""
    for rows in cache_blocks(linear, len(linear)):
        image = linear[rows]
        dim = image.mean((1, 2, 3), keepdim=True)
        image.mul_((0.06 / dim).clamp(1.0, 5.0)).clamp_(0.0, 4.0).sqrt_()  # cameras expose longer in the dark
        over = (image - 0.75).clamp_min_(0.0)
        image.sub_(over).add_(over.div_(1.0 + over * 2.0))
    return linear


def _make(config: SynthConfig, seed: int, index: int, device: torch.device) -> Sample:
    generator, sensing = stream_generator(seed, index), stream_generator(seed, index, 1)
    size, domain = config.size, DOMAINS[config.domain]
    model_cpu, _ = hand("cpu")
    model, topology = hand(str(device))
    tiles = tile_bank(
        config.tiles, config.backgrounds, config.photograph_share, str(device), domain.painters, domain.half
    )
    skins = skin_bank(config.skins, texture_side(size), str(device))

    camera = _choose(sensing, COLOUR_CAMERAS, config.camera or "domain", domain.cameras)
    if camera is None and config.times > 1:
        camera = WEBCAM  # the free mixture of effects would flicker
    sensor = _choose(sensing, DEPTH_SENSORS, config.depth_sensor, domain.depth_sensors)
    views = _draw_views(config, generator, model_cpu, sensor)
    hands, of, people = config.hands, views.hand, config.pairs
    # What one camera sees of one hand, once or in a clip; a person and its mirror image stand before the same.
    place = of if people else of * config.views + views.view
    batch, places = len(of), int(place.max()) + 1
    pose = views.pose.map(lambda value: value.to(device))
    K = views.K.to(device)
    surface = model(pose)
    joints_2d = project(surface.joints, K)

    behind = backgrounds(draw_backgrounds(generator, places, config.tiles), tiles, size).square_()  # linear light
    dress_draw = of_hands(draw_dress(generator, hands), of)
    stretch = FOREARM_STRETCH if views.body is None else to_elbow(surface, topology, views.body.to(device))
    vertices, cover, phase = dress(surface, topology, topology.rest_normals, dress_draw, stretch)
    light = of_hands(domain.light(draw_light(generator, hands)), of)
    if views.world_to_camera is not None:
        light = turned(light, views.world_to_camera[:, :3, :3].numpy())
    if people:
        light = mirrored(light, views.view == 1)
    colours = torch.as_tensor(skin_matrices(generator, hands, domain.tones)[of], device=device)
    variant = generator.integers(0, config.skins, hands)
    if domain.half is not None:
        variant = np.minimum(2 * (variant // 2) + domain.half, config.skins - 1)
    if places < batch:
        behind = behind[torch.as_tensor(place, device=device)]
    if people:
        behind[1::2] = behind[1::2].flip(-1)
    lit = light_vertices(surface, vertices, topology, light, behind.mean((2, 3)))
    cloth = torch.as_tensor(dress_draw.colour, device=device)
    skin = torch.as_tensor(variant[of], device=device)
    look = Look(
        lit["diffuse"], lit["gloss"], lit["relief"], cover, phase, torch.cat([colours, cloth], -1), skin, dress_draw
    )
    picture = render(vertices, K, size, topology, look, skins)
    composition = draw_composition(generator, 0 if people else places)
    if config.times > 1:
        composition = of_frames(composition, place)
    own = Layer(picture.colour, picture.coverage, picture.depth)
    layer, masks, boxes = None, None, None
    things = _things(views, pose, device)
    if things is not None:
        met = cast(things, K, size)
        drawing = stream_generator(seed, index, 2)
        if people:
            sleeved = dress_draw.edge > -0.5
            paint = paint_people(drawing, things, colours[:, :, 0].cpu().numpy(), dress_draw.colour[..., 0], sleeved)
        else:
            paint = draw_looks(drawing, things)
        layer = Layer(shade_solids(met, things, light, paint, behind.mean((2, 3))), met.coverage, met.depth)
    if people and layer is not None:
        layer = map_fields(own, lambda value: _swapped(value).flip(-1)).over(layer)
        masks, boxes = _both_hands(picture, layer, project(surface.vertices[:, model.parts != FOREARM], K))
    image = _develop(compose(picture, behind, surface.joints, joints_2d, composition, layer))

    if camera is None:
        image = apply_effects(image, draw_effects(generator, batch, size, config.effects))
    else:
        colour_draw = draw_colour(sensing, batch, size, camera)
        if config.times > 1:
            colour_draw = colour_draw.steady(place)
        image = sense_colour(image.clamp_(0.0, 1.0), camera, colour_draw).mul_(255.0).round_().div_(255.0)
    sensed = None
    if sensor is not None and config.dense:
        # Skin reflects 0.6 (pale) to 0.4 (dark) near 850 nm (Jacquez et al. 1955).
        infrared = 0.4 + 0.2 * colours[:, 0, 0].exp()
        ground = draw_ground(sensing, places)[place]
        if people:
            ground = ground.mirrored(views.view == 1)
        front = own if layer is None else own.over(layer)
        points = surface.joints if views.body is None else torch.cat([surface.joints, views.body.to(device).centre], 1)
        spot = spots(points, torch.as_tensor(place, device=device))
        whole, albedo = scene_depth(front.depth, front.coverage, spot, K, infrared, ground)
        noise = draw_depth_noise(sensing, batch, size, sensor, views.turn)
        sensed = sense_depth(whole, K, sensor, noise, albedo)

    single = config.rig is None and config.scene != "motion" and not config.pairs
    ids = (seed, index, np.arange(batch)) if single else (index * hands + of, views.frame, views.view)
    return Sample(
        image=image,
        depth=picture.depth if config.dense else None,
        sensed_depth=sensed,
        mask=picture.coverage if config.dense else None,
        parts=picture.parts if config.dense else None,
        hand_masks=masks if config.dense else None,
        boxes=boxes,
        joints=surface.joints,
        joints_2d=joints_2d,
        vertices=surface.vertices if config.dense else None,
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
        K=K,
        world_to_camera=_world_to_camera(views, K),
        time=_times(config).to(device, torch.float32)[views.frame],
        ids=torch.as_tensor(np.stack(np.broadcast_arrays(*ids), 1).astype(np.int64), device=device),
    )


def _world_to_camera(views: Views, K: Tensor) -> Tensor:
    """`(B, 4, 4)`; a camera that stands alone is the world."""
    if views.world_to_camera is None:
        return torch.eye(4, dtype=K.dtype, device=K.device).repeat(len(K), 1, 1)
    return views.world_to_camera.to(K.device)


def _times(config: SynthConfig) -> Tensor:
    return torch.arange(config.frames, dtype=torch.float64) / config.frame_rate


def _draw_views(
    config: SynthConfig, generator: np.random.Generator, model: HandModel, sensor: DepthSensor | None
) -> Views:
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


def _swapped(value: Tensor) -> Tensor:
    """`(B, ...)` of each picture's mirror image: pictures 1, 0, 3, 2, ..."""
    return value.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _both_hands(picture: Picture, other: Layer, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """What is seen of a person's right and left hand: masks `(B, 2, S, S)` and boxes `(B, 2, 4)`.

    A picture's left hand is the right one of its mirror image.

    Args:
        picture: the right hands with their forearms.
        other: what else is there.
        pixels: `(B, N, 2)` of the hands' vertices.
    """
    bare = picture.coverage * (picture.parts != 1 + FOREARM)
    seen = bare * (1.0 - other.in_front(picture.depth) * other.coverage)
    boxes = hand_boxes(pixels, seen)
    size = seen.shape[-1]
    masks = torch.stack([seen, _swapped(seen).flip(-1)], 1)
    return masks, torch.stack([boxes, mirrored_boxes(_swapped(boxes), size)], 1)


def _things(views: Views, pose: HandPose, device: torch.device) -> Solids | None:
    """What is seen besides hands, in the cameras' frames."""
    if views.held is not None:
        return views.held.to(device).moved(pose.orientation, pose.translation)
    return None if views.body is None else views.body.to(device)


Sensor = TypeVar("Sensor", ColourCamera, DepthSensor)


def _choose(
    generator: np.random.Generator, known: Sequence[Sensor], name: str | None, usual: Sequence[Sensor]
) -> Sensor | None:
    """The sensor of this name; of the name `domain` one of the usual."""
    if name == "domain":
        return usual[int(generator.integers(len(usual)))] if usual else None
    return next((sensor for sensor in known if sensor.name == name), None)


Draw = TypeVar("Draw", DressDraw, LightDraw)


def of_hands(draw: Draw, hand: np.ndarray) -> Draw:
    """What was drawn for each hand, for each picture: `hand (B,)` says which hand it shows."""
    values = {f.name: getattr(draw, f.name) for f in fields(draw)}
    spread: dict[str, Any] = {name: value[hand] for name, value in values.items() if isinstance(value, np.ndarray)}
    if isinstance(draw, DressDraw):
        spread["bands"] = [(int(picture), band) for of, band in draw.bands for picture in np.flatnonzero(hand == of)]
    return type(draw)(**spread)
