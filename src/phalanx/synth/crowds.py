"""Pictures of gatherings: surroundings, bodies, tables and hands in whole frames, in linear light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.geometry.resampling import resized
from phalanx.hand.model import HandPose
from phalanx.synth.body.model import JOINT, SIDES
from phalanx.synth.frames_config import FramesConfig
from phalanx.synth.holding import grasp_bank, placed_in_hands
from phalanx.synth.paint.background import TileBank, backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.paint.body import paint_bodies
from phalanx.synth.paint.body_look import BodyLook, draw_body_looks, femininity, match_sleeves
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.canvas import Canvas
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.crowd_hands import HandsLook, PaintedHand, paint_crowd_hands
from phalanx.synth.paint.details import draw_details, gloved_in_pairs
from phalanx.synth.paint.dress import draw_dress
from phalanx.synth.paint.flesh import draw_flesh
from phalanx.synth.paint.ground import draw_ground, scene_depth, spots
from phalanx.synth.paint.light import Balls, LightDraw, draw_light, light_on_planes, mirrored
from phalanx.synth.paint.panorama import panorama_bank
from phalanx.synth.paint.rooms import draw_room, paint_room
from phalanx.synth.paint.shadows import about_people, light_on_table
from phalanx.synth.paint.skin import skin_matrices
from phalanx.synth.paint.standpoint import draw_standpoints, exposed, exposures, look_around, stand_in, to_frame
from phalanx.synth.paint.surface import hand
from phalanx.synth.paint.table import paint_table
from phalanx.synth.scene.domains import DOMAINS, Domain
from phalanx.synth.scene.gathering import MIRROR, Gathering
from phalanx.synth.sense.depth_noise import draw_depth_noise
from phalanx.synth.sense.depth_sensor import sense_depth
from phalanx.synth.sense.sensors import DEPTH_SENSORS, DepthSensor
from phalanx.synth.things.models import things_bank
from phalanx.synth.things.paint import painted_singly

_FACING = np.array([[0.0, 0.0, -1.0], [0.8, 0.0, -0.6], [-0.8, 0.0, -0.6]])  # normals of faces that cameras expose for
_TABLES = np.array(
    [
        [0.45, 0.3, 0.18],
        [0.62, 0.46, 0.3],
        [0.3, 0.2, 0.14],
        [0.78, 0.64, 0.46],
        [0.88, 0.87, 0.84],
        [0.6, 0.6, 0.6],
        [0.15, 0.15, 0.16],
    ]
)  # displayed
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SHOWN, _USUAL = 0.24, 0.3  # linear values that cameras give faces of the reflectance `_USUAL`
_SITTING = 0.75  # cosine of the angle between thighs and the vertical, below which people sit
_GLOVED = 0.03  # share of the people who wear gloves
_WHITEST = 0.65  # mean linear value of a background, beyond which cameras expose for faces no more
_DIMMEST = 0.1  # mean linear value of a background
_SOLID = 0.999  # coverage through which nothing is seen
_COARSE = 200  # pixels: up to this size backgrounds are painted pixel by pixel


@dataclass
class CrowdPicture:
    """What B frames of a gathering show.

    Attributes:
        linear: (B, 3, H, W) linear light.
        canvas: all people and tables, and whose hand is seen where: hand number h is 1 + h there.
        hands: those of the 2 P hands that reach into their frames.
        joints: (2 P, 21, 3) of all of them, in the cameras' frames.
        vertices: (2 P, V, 3) of their bare skin, left ones in the mirror images of these frames.
        skin: (P, 3, 6) colours.
    """

    linear: Tensor
    canvas: Canvas
    hands: list[PaintedHand]
    joints: Tensor
    vertices: Tensor
    skin: np.ndarray


def paint_crowd(
    config: FramesConfig,
    gathering: Gathering,
    dressing: np.random.Generator,
    lighting: np.random.Generator,
    standing: np.random.Generator,
    device: torch.device,
) -> CrowdPicture:
    """Paint people and their surroundings; the generators are those of looks, of light and backgrounds, and of panoramas.

    Raises:
        InputError: the folder of backgrounds or that of panoramas is at fault.
    """
    domain = DOMAINS[config.domain]
    K = gathering.K.to(device)
    look = _draw_looks(config, domain, gathering, dressing)
    if config.colour:
        behind, light = _surroundings(config, domain, gathering, look.skin, lighting, standing, device)
    else:
        behind = torch.zeros((len(gathering.K), 3, config.height, config.width), device=device)
        light = domain.light(draw_light(lighting, len(gathering.K)))
    mean = behind.mean((2, 3))
    surface, joints = (
        map_fields(gathering.body, lambda value: value.to(device)),
        gathering.hand_joints(hand("cpu")[0]).to(device),
    )
    on_bodies, on_hands = about_people(surface, body(str(device))[1], joints, gathering.frame)
    tables = _painted_tables(config, domain, gathering, K, light, lighting, on_hands)
    hidden = _hidden_by(tables, config, len(K), device)
    canvas = Canvas.of(_paint_bodies(config, gathering, look, light, mean, device, on_bodies, hidden))
    for i, left, top, layer in tables:
        canvas.put(i, layer, left, top)
    _put_things(config, canvas, gathering, K, light, mean)
    hands, joints, vertices = _paint_hands(config, gathering, look, light, mean, device, on_hands)
    for each in hands:
        canvas.put(int(gathering.frame[each.hand // 2]), each.layer, each.left, each.top, 1 + each.hand, each.bare)
    linear = behind.mul_(1.0 - canvas.layer.coverage[:, None]).add_(canvas.layer.colour)
    return CrowdPicture(linear, canvas, hands, joints, vertices, look.skin)


def _surroundings(
    config: FramesConfig,
    domain: Domain,
    gathering: Gathering,
    skin: np.ndarray,
    generator: np.random.Generator,
    standing: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, LightDraw]:
    """What lies behind people `(B, 3, H, W)`, linear, and the light of each frame.

    In large frames it is painted at half their size and enlarged: tiles and panoramas are no finer.
    """
    step = 2 if min(config.width, config.height) > _COARSE else 1
    width, height = config.width // step, config.height // step
    frames, side = len(gathering.K), max(width, height)
    tiles = _tiles(config, domain, device)
    light = domain.light(draw_light(generator, frames))
    off = np.exp(generator.normal(0.0, 0.25, frames))
    draw, inside = None, np.zeros(frames, bool)
    if domain.panoramas and config.panorama_share > 0:
        bank = panorama_bank(config.panoramas, str(device))
        draw = draw_standpoints(standing, frames, config.panorama_share, len(bank), (0.0, 0.0))
        inside, off = draw.inside, np.where(draw.inside, draw.exposure, off)
    in_room = ~inside & (generator.random(frames) < config.room_share) & domain.panoramas
    tiled = np.flatnonzero(~in_room)
    square = torch.zeros((frames, 3, side, side), device=device)
    if len(tiled):
        painted = backgrounds(draw_backgrounds(generator, len(tiled), config.tiles), tiles, side).square_()
        _mute(painted, generator)
        square.index_copy_(0, torch.as_tensor(tiled, device=device), painted)
    if draw is not None:
        to_camera = to_frame(gathering.down, draw.heading)
        light = stand_in(light, draw, bank, to_camera, np.zeros(frames, bool))
        K = gathering.K.to(device).clone()  # the frame lies in the middle of a square
        K[:, :2, 2] += 0.5
        K[:, :2] /= step
        K[:, 0, 2] += (side - width) // 2 - 0.5
        K[:, 1, 2] += (side - height) // 2 - 0.5
        look_around(square, draw, bank, light, to_camera, K, _distances(gathering))
        factor = exposures(square, light, draw)
        square.mul_(torch.as_tensor(factor, device=device)[:, :, None, None])
        light = exposed(light, factor)
    top, left = (side - height) // 2, (side - width) // 2
    behind = square[:, :, top : top + height, left : left + width]
    for i in np.flatnonzero(in_room):
        behind[i] = _room(gathering, int(i), tiles, light, generator, (height, width), step)
    factor = np.where(inside[:, None], 1.0, _white(light, generator.uniform(0.3, 1.0, frames)))
    brighter = _for_faces(exposed(light, factor), skin, gathering.frame, off)
    whitest = _WHITEST / behind.mean((1, 2, 3)).clamp_min(1e-3).cpu().numpy()
    factor = factor * np.minimum(brighter, np.maximum(whitest, 1.0))[:, None]
    light = exposed(light, factor.astype(np.float32))
    before_tiles = (
        ~in_room & ~inside
    )  # tiles are as bright as they are painted, none so dark that cameras expose longer
    lifted = (_DIMMEST / behind[before_tiles].mean((1, 2, 3)).clamp_min(1e-3)).clamp(1.0, 5.0).cpu().numpy()
    factor[before_tiles] = lifted[:, None]
    behind = behind * torch.as_tensor(factor, dtype=torch.float32, device=device)[:, :, None, None]
    if step > 1:
        behind = resized(behind, config.height, config.width)
    return behind, light


def _mute(pictures: Tensor, generator: np.random.Generator) -> None:
    """Take some of the colour of linear `pictures (B, 3, S, S)`, in place: what is behind people is seldom gaudy."""
    share = torch.as_tensor(generator.uniform(0.2, 1.0, len(pictures)), dtype=torch.float32, device=pictures.device)
    grey = pictures.mean(1, keepdim=True)
    pictures.sub_(grey).mul_(share[:, None, None, None]).add_(grey)


def _room(
    gathering: Gathering,
    frame: int,
    tiles: TileBank,
    light: LightDraw,
    generator: np.random.Generator,
    shape: tuple[int, int],
    step: int,
) -> Tensor:
    """The room `(3, H, W)` about the people of a frame, every `step`-th pixel."""
    heading = generator.normal(0, 0.3, 1) + generator.choice([0.0, 0.0, 0.8])
    turn = to_frame(gathering.down[frame : frame + 1], heading)[0]
    joints = gathering.body.joints[torch.as_tensor(gathering.frame == frame)].double().numpy()
    feet = joints[:, [JOINT[f"{side}_ankle"] for side in SIDES]].reshape(-1, 3)
    room = draw_room(generator, turn, joints.reshape(-1, 3), feet, len(tiles))
    K = gathering.K[frame].to(tiles.device).clone()
    K[:2, 2] += 0.5
    K[:2] /= step
    K[:2, 2] -= 0.5
    tile = tiles.tiles(np.array([room.tile]))[0].float().div(255.0).square()
    return paint_room(room, K, *shape, light[np.array([frame])], tile)


def _white(light: LightDraw, balance: np.ndarray) -> np.ndarray:
    """Factors `(B, 3)` of cameras whose white balance takes a share `balance (B,)` of the light's colour."""
    each = [light_on_planes(light, np.tile(normal, (len(balance), 1))) for normal in _FACING]
    lit = np.mean(each, 0) + 1e-4
    return ((lit @ _LUMINANCE)[:, None] / lit) ** balance[:, None]


def _for_faces(light: LightDraw, skin: np.ndarray, frame: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """By how much more or less `(B,)` cameras expose that find faces, in the `light (B,)` that they would take without.

    Args:
        skin: (P, 3, 6) colours of people in the frames `frame (P,)`.
        exposure: (B,) by what factor exposure is off.
    """
    frames = len(exposure)
    own = np.exp(skin[:, :, 0]) @ _LUMINANCE
    reflects = np.exp(np.bincount(frame, np.log(own), frames) / np.bincount(frame, minlength=frames))
    each = [light_on_planes(light, np.tile(normal, (frames, 1))) for normal in _FACING]
    shown = np.mean(each, 0) @ _LUMINANCE * reflects + 1e-4
    wanted = _SHOWN * (reflects / _USUAL) ** 0.4 * exposure**0.7
    return ((wanted / shown) ** 0.8).clip(0.4, 6.0)


def _tiles(config: FramesConfig, domain: Domain, device: torch.device) -> TileBank:
    return tile_bank(
        config.tiles, config.backgrounds, config.photograph_share, str(device), domain.painters, domain.half
    )


def _distances(gathering: Gathering) -> np.ndarray:
    """Metres (B,) to the nearest neck of each frame, on which the camera focuses."""
    far = gathering.body.joints[:, 0, 2].double().numpy()
    return np.array([max(far[gathering.frame == i].min(), 0.3) for i in range(len(gathering.K))])


@dataclass
class _Looks:
    """How P people look: bodies, skins (P, 3, 6), and what hands need."""

    body: BodyLook
    skin: np.ndarray
    hands: HandsLook


def _draw_looks(config: FramesConfig, domain: Domain, gathering: Gathering, generator: np.random.Generator) -> _Looks:
    people = len(gathering.frame)
    owner = np.repeat(np.arange(people), 2)
    skin = skin_matrices(generator, people, domain.tones)
    feminine = femininity(body("cpu")[0], gathering.body.shape)
    bodies = draw_body_looks(generator, people, skin, feminine)
    bodies.skirt[_sitting(gathering), 0] = 0.0  # trousers, or shorts
    worn = gloved_in_pairs(generator, draw_details(generator, draw_dress(generator, 2 * people)), _GLOVED)
    dress = match_sleeves(worn, bodies, owner)
    variant = generator.integers(0, config.skins, people)
    if domain.half is not None:
        variant = np.minimum(2 * (variant // 2) + domain.half, config.skins - 1)
    flesh = draw_flesh(generator, people)[owner]
    return _Looks(bodies, skin, HandsLook(dress, skin[owner], variant[owner], flesh, config.skins))


def _sitting(gathering: Gathering) -> np.ndarray:
    """Which people (P,) have a thigh that is far from upright."""
    joints, down = gathering.body.joints.double().numpy(), gathering.down[gathering.frame]
    upright = []
    for side in SIDES:
        thigh = joints[:, JOINT[f"{side}_knee"]] - joints[:, JOINT[f"{side}_hip"]]
        upright.append((thigh * down).sum(1) / np.linalg.norm(thigh, axis=1))
    return np.minimum(*upright) < _SITTING


def _paint_bodies(
    config: FramesConfig,
    gathering: Gathering,
    look: _Looks,
    light: LightDraw,
    mean: Tensor,
    device: torch.device,
    others: Balls,
    hidden: Tensor | None,
) -> Layer:
    owner = torch.as_tensor(gathering.frame, device=device)
    return paint_bodies(
        map_fields(gathering.body, lambda value: value.to(device)),
        look.body,
        look.skin,
        light[gathering.frame] if config.colour else None,
        gathering.K.to(device)[owner],
        config.height,
        config.width,
        mean[owner],
        gathering.frame,
        len(gathering.K),
        others,
        hidden,
    )


def _paint_hands(
    config: FramesConfig,
    gathering: Gathering,
    look: _Looks,
    light: LightDraw,
    mean: Tensor,
    device: torch.device,
    others: Balls,
) -> tuple[list[PaintedHand], Tensor, Tensor]:
    frame = np.repeat(gathering.frame, 2)
    left = gathering.left
    owner = torch.as_tensor(frame, device=device)
    pose: HandPose = gathering.hands.map(lambda value: value.to(device))
    scale = torch.as_tensor(np.repeat(gathering.scale, 2), dtype=torch.float32, device=device)
    K = gathering.K.to(device)[owner]
    own = mirrored(light[frame], left) if config.colour else None
    flip = torch.as_tensor(np.where(left[:, None, None], MIRROR.numpy(), 1.0), dtype=torch.float32, device=device)
    others = Balls(others.centres * flip, others.radii)
    return paint_crowd_hands(pose, scale, left, K, config.width, config.height, look.hands, own, mean[owner], others)


def _put_things(
    config: FramesConfig, canvas: Canvas, gathering: Gathering, K: Tensor, light: LightDraw, mean: Tensor
) -> None:
    """What people hold, in place."""
    rows = np.flatnonzero(gathering.held >= 0)
    if not len(rows):
        return
    bank = grasp_bank(config.things)
    things = things_bank(config.things, str(K.device))
    pose = gathering.hands[torch.as_tensor(rows)]
    scale = torch.as_tensor(np.repeat(gathering.scale, 2)[rows])
    frame = np.repeat(gathering.frame, 2)[rows]
    grasps = bank.usable[gathering.held[rows]]
    placed = placed_in_hands(bank, grasps, frame, pose, scale, gathering.left[rows], things.centre[:, 0])
    for i, left, top, layer in painted_singly(placed, things, K, config.height, config.width, light, mean):
        canvas.put(i, layer, left, top)


def _painted_tables(
    config: FramesConfig,
    domain: Domain,
    gathering: Gathering,
    K: Tensor,
    light: LightDraw,
    generator: np.random.Generator,
    balls: Balls,
) -> list[tuple[int, int, int, Layer]]:
    """Tables before people: the picture, first column and row of the window that one is in, and it; `balls (2 P, S)` shade them."""
    tiles, painted = _tiles(config, domain, K.device), []
    for i, table in enumerate(gathering.tables):
        chosen, metres = int(generator.integers(len(tiles))), float(generator.uniform(0.4, 1.2))
        plain, colour = (
            generator.random() < 0.75,
            _TABLES[generator.integers(len(_TABLES))] + generator.normal(0, 0.04, 3),
        )
        if table is None:
            continue
        texture = tiles.tiles(np.array([0 if plain else chosen]))[0].float().div(255.0).square()
        if plain:
            grain = texture.mean(0, keepdim=True)
            paint = torch.as_tensor(np.clip(colour, 0.04, 0.95) ** 2.2, dtype=torch.float32, device=K.device)
            texture = paint[:, None, None] * (0.9 + 0.1 * grain / grain.mean().clamp_min(1e-3))
        left, top, width, height = table.window(gathering.K[i], config.width, config.height)
        if width and height:
            shifted = K[i].clone()
            shifted[0, 2] -= left
            shifted[1, 2] -= top
            own = torch.as_tensor(np.repeat(gathering.frame, 2) == i, device=K.device)
            about = Balls(balls.centres[own].flatten(0, 1)[None], balls.radii[own].flatten(0, 1)[None])
            lit = light_on_table(table, shifted, height, width, light[np.array([i])], about)
            painted.append((i, left, top, paint_table(table, shifted, height, width, lit, texture, metres)))
    return painted


def _hidden_by(
    tables: list[tuple[int, int, int, Layer]], config: FramesConfig, frames: int, device: torch.device
) -> Tensor | None:
    """Metres (B, H, W) beyond which tables hide everything; none without tables."""
    if not tables:
        return None
    hidden = torch.full((frames, config.height, config.width), torch.inf, device=device)
    for i, left, top, layer in tables:
        rows, columns = layer.depth.shape[1:]
        solid = (layer.coverage[0] > _SOLID) & (layer.depth[0] > 0)
        hidden[i, top : top + rows, left : left + columns] = torch.where(solid, layer.depth[0], torch.inf)
    return hidden


def chosen_sensor(name: str | None, domain: Domain, generator: np.random.Generator) -> DepthSensor | None:
    """The depth sensor of a name; of the name `domain` one of the domain's; none without a name."""
    if name == "domain":
        return domain.depth_sensors[int(generator.integers(len(domain.depth_sensors)))]
    return next((sensor for sensor in DEPTH_SENSORS if sensor.name == name), None)


def sense_crowd(
    sensor: DepthSensor, gathering: Gathering, picture: CrowdPicture, generator: np.random.Generator
) -> Tensor:
    """What a depth sensor makes of all that is in the frames and of the ground behind, (B, H, W) metres."""
    layer, frames = picture.canvas.layer, len(gathering.K)
    device = layer.depth.device
    first = np.searchsorted(gathering.frame, np.arange(frames))  # a person of each frame
    spot = spots(gathering.body.joints.to(device), torch.as_tensor(gathering.frame, device=device))
    # Skin reflects 0.6 (pale) to 0.4 (dark) near 850 nm (Jacquez et al. 1955).
    infrared = 0.4 + 0.2 * torch.as_tensor(np.exp(picture.skin[first, 0, 0]), dtype=torch.float32, device=device)
    K, ground = gathering.K.to(device), draw_ground(generator, frames)
    whole, albedo = scene_depth(
        layer.depth, layer.coverage, spot[torch.as_tensor(first, device=device)], K, infrared, ground
    )
    noise = draw_depth_noise(generator, frames, layer.depth.shape[-1], sensor)
    return sense_depth(whole, K, sensor, noise, albedo)
