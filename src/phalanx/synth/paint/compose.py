"""Puts hands, backgrounds, other hands and things in the way together; in linear light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.core.elementwise import sqrt_
from phalanx.geometry.grids import sampling_grid
from phalanx.geometry.resampling import means_of_squares
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.shade import Picture


@dataclass
class ComposeDraw:
    """Random choices for composing B pictures; index arrays name the pictures that something is for."""

    shadowed: np.ndarray  # pictures whose hand throws a shadow on what is behind
    shadow: np.ndarray  # (len, 3) strength, shift x, shift y in picture widths
    joined: np.ndarray  # pictures with another hand or arm at the border
    guests: np.ndarray  # (len,) the pictures it comes from
    placement: np.ndarray  # (len, 2, 3) picture to guest, grid_sample's coordinates
    guest_gain: np.ndarray  # (len, 3)
    blocked: np.ndarray  # pictures with a thing in front
    thing: np.ndarray  # (len, 8) centre x, y, angle, half length, half width, roundness, softness, joint it is put at
    thing_colour: np.ndarray  # (len, 3) linear
    thing_texture: np.ndarray  # (len,) picture whose background textures the thing, or -1
    thing_depth: np.ndarray  # (len,) metres behind its joint, for things held: fingers nearer than it stay in front


def draw_composition(generator: np.random.Generator, batch: int) -> ComposeDraw:
    """Draw shadows, guests and occluders."""
    shadowed = np.flatnonzero(generator.random(batch) < 0.3)
    count = len(shadowed)
    moves = generator.uniform(0.15, 0.75, count), generator.normal(0, 0.07, count), generator.normal(0.03, 0.06, count)
    joined, guests, placement = _draw_guests(generator, batch)
    blocked, thing, colour, texture = _draw_things(generator, batch)
    gain = generator.uniform(0.6, 1.2, (len(joined), 3))
    count = len(blocked)
    depth = np.where(generator.random(count) < 0.55, generator.uniform(-0.012, 0.03, count), -9.0)
    return ComposeDraw(
        shadowed,
        np.stack(moves, -1).astype(np.float32),
        joined,
        guests,
        placement.astype(np.float32),
        gain.astype(np.float32),
        blocked,
        thing.astype(np.float32),
        colour.astype(np.float32),
        texture,
        depth.astype(np.float32),
    )


def _draw_guests(generator: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Other hands at the border: in which pictures, from which, and where; `joined`, `guests`, `placement` of `ComposeDraw`."""
    joined = np.flatnonzero(generator.random(batch) < (0.12 if batch > 1 else 0.0))
    guests = (joined + generator.integers(1, max(batch, 2), len(joined))) % batch
    angle = generator.uniform(-np.pi, np.pi, len(joined))
    zoom = np.exp(generator.normal(0, 0.3, len(joined)))
    side = generator.uniform(-np.pi, np.pi, len(joined))
    far = generator.uniform(1.15, 1.9, len(joined))
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    rotation = rotation * zoom[:, None, None]
    rotation[generator.random(len(joined)) < 0.5, :, 0] *= -1.0  # a left hand
    centre = np.stack([np.cos(side), np.sin(side)], -1) * far[:, None]
    return joined, guests, np.concatenate([rotation, -(rotation @ centre[..., None])], -1)


def _draw_things(generator: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Things in the way: `blocked`, `thing`, `thing_colour`, `thing_texture` of `ComposeDraw`."""
    blocked = np.flatnonzero(generator.random(batch) < 0.17)
    count = len(blocked)
    slim = generator.random(count) < 0.5
    half_length = np.where(slim, generator.uniform(0.25, 1.2, count), generator.uniform(0.05, 0.17, count))
    thing = np.stack(
        [
            generator.normal(0, 0.06, count),
            generator.normal(0, 0.06, count),
            generator.uniform(-np.pi, np.pi, count),
            half_length,
            np.where(slim, generator.uniform(0.01, 0.045, count), generator.uniform(0.05, 0.17, count)),
            generator.choice([2.0, 2.0, 4.0, 12.0], count),
            generator.choice([0.006, 0.01, 0.03], count),
            generator.integers(0, 21, count),
        ],
        -1,
    )
    colour = PALETTE[generator.integers(0, len(PALETTE), count)] / 255.0 + generator.normal(0, 0.06, (count, 3))
    texture = np.where(generator.random(count) < 0.5, generator.integers(0, batch, count), -1)
    return blocked, thing, np.clip(colour, 0.02, 1) ** 2, texture


def before_surfaces(draw: ComposeDraw, pictures: np.ndarray) -> ComposeDraw:
    """The same, without shadows and other hands in `pictures`, in which hands are at a surface that has shadows of its own."""
    shadowed, joined = (~np.isin(rows, pictures) for rows in (draw.shadowed, draw.joined))
    return replace(
        draw,
        shadowed=draw.shadowed[shadowed],
        shadow=draw.shadow[shadowed],
        joined=draw.joined[joined],
        guests=draw.guests[joined],
        placement=draw.placement[joined],
        guest_gain=draw.guest_gain[joined],
    )


def of_frames(draw: ComposeDraw, place: np.ndarray) -> ComposeDraw:
    """The choices for P places spread over pictures: each picture shows the place `place (B,)`, each place equally often."""
    pictures = np.argsort(place, kind="stable").reshape(place.max() + 1, -1)  # (P, T)
    times = pictures.shape[1]

    def spread(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, times, axis=0)

    def rows(places: np.ndarray) -> np.ndarray:
        return np.where(places[:, None] < 0, places[:, None], pictures[places]).reshape(-1)

    return ComposeDraw(
        rows(draw.shadowed),
        spread(draw.shadow),
        rows(draw.joined),
        rows(draw.guests),
        spread(draw.placement),
        spread(draw.guest_gain),
        rows(draw.blocked),
        spread(draw.thing),
        spread(draw.thing_colour),
        rows(draw.thing_texture),
        spread(draw.thing_depth),
    )


def _thing_cover(thing: Tensor, joints_2d: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cover `(N, 1, S, S)` and a round shading of superellipses put at a joint of each picture."""
    line = torch.arange(size, device=thing.device, dtype=torch.float32)
    at = joints_2d[torch.arange(len(thing), device=thing.device), thing[:, 7].long()] + thing[:, :2] * size  # (N, 2)
    x, y = line[None, None, :] - at[:, 0, None, None], line[None, :, None] - at[:, 1, None, None]
    c, s = torch.cos(thing[:, 2])[:, None, None], torch.sin(thing[:, 2])[:, None, None]
    along = (c * x + s * y) / (thing[:, 3, None, None] * size)
    across = (c * y - s * x) / (thing[:, 4, None, None] * size)
    power = thing[:, 5, None, None]
    form = along.abs().clamp_max(10.0) ** power + across.abs().clamp_max(10.0) ** power
    edge = (1.0 - form) * torch.minimum(thing[:, 3], thing[:, 4])[:, None, None] / power
    shading = 1.15 - 0.55 * (across + 0.25).clamp(-1, 1).square()
    return torch.sigmoid(edge / (0.4 * thing[:, 6, None, None]))[:, None], shading[:, None]


@dataclass
class Layer:
    """Something in B pictures: `colour (B, 3, S, S)` linear, multiplied by `coverage (B, S, S)`; `depth (B, S, S)` metres, 0 = none."""

    colour: Tensor
    coverage: Tensor
    depth: Tensor

    def in_front(self, depth: Tensor) -> Tensor:
        """Where `(B, S, S)` the layer, being there, is nearer than `depth`, where 0 is nothing."""
        return (self.depth > 0) & ((self.depth < depth) | (depth == 0))

    def over(self, other: Layer) -> Layer:
        """Both together, the nearer in front at each pixel."""
        front = self.in_front(other.depth)
        near = torch.where(front, self.coverage, other.coverage)
        far = torch.where(front, other.coverage, self.coverage)
        colours = (
            torch.where(front[:, None], self.colour, other.colour),
            torch.where(front[:, None], other.colour, self.colour),
        )
        return Layer(
            colours[0] + colours[1] * (1.0 - near)[:, None],
            near + far * (1.0 - near),
            torch.where(front, self.depth, other.depth),
        )


def compose(
    hand: Picture, front: Layer, behind: Tensor, joints: Tensor, joints_2d: Tensor, draw: ComposeDraw
) -> Tensor:
    """All that is in front over the background, with shadows, other hands and things in the way: `(B, 3, S, S)` linear.

    Args:
        hand: the rendered hand.
        front: the hand, together with the things or the body in the scene.
        behind: `(B, 3, S, S)` linear background; it becomes the result.
        joints, joints_2d: `(B, 21, 3)` metres and `(B, 21, 2)` pixels.
        draw: what `draw_composition` drew.
    """
    picture = behind
    # Before anything falls on them.
    textures = behind[torch.as_tensor(draw.thing_texture, device=behind.device).clamp_min(0)]
    if len(draw.shadowed):
        _cast_shadows(picture, hand, draw)
    if len(draw.joined):
        _put_guests(picture, hand, draw)
    for row in cache_blocks(picture, len(picture)):
        picture[row].mul_(1.0 - front.coverage[row, None]).add_(front.colour[row])
    if len(draw.blocked):
        _put_things(picture, hand, textures, joints, joints_2d, draw)
    return picture


def _cast_shadows(picture: Tensor, hand: Picture, draw: ComposeDraw) -> None:
    """Darken what is behind hands where their soft shadows fall, in place."""
    rows, shadow = (torch.as_tensor(array, device=picture.device) for array in (draw.shadowed, draw.shadow))
    theta = torch.eye(2, 3, device=picture.device).repeat(len(rows), 1, 1)
    theta[:, :, 2] = -2.0 * shadow[:, 1:]
    small = means_of_squares(hand.coverage[rows, None], 4)  # a sixteenth of the pixels: soft, and quick
    small = F.avg_pool2d(F.pad(small, (2, 2, 2, 2), mode="replicate"), 5, 1)
    grid = sampling_grid(theta, picture.shape[-1])
    fallen = F.grid_sample(small, grid, mode="bilinear", padding_mode="border", align_corners=False)
    light = fallen.mul_(shadow[:, 0, None, None, None]).neg_().add_(1.0)
    picture.index_copy_(0, rows, picture.index_select(0, rows).mul_(light))


def _put_guests(picture: Tensor, hand: Picture, draw: ComposeDraw) -> None:
    """Put other pictures' hands behind the pictures' own, in place."""

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=picture.device)

    rows, guests = on(draw.joined), on(draw.guests)
    layers = torch.cat([hand.colour[guests], hand.coverage[guests, None]], 1)  # (N, 4, S, S)
    grid = sampling_grid(on(draw.placement), picture.shape[-1])
    layers = F.grid_sample(layers, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    guest = layers[:, :3].mul_(on(draw.guest_gain)[:, :, None, None])
    picture.index_copy_(0, rows, picture.index_select(0, rows).mul_(1.0 - layers[:, 3:]).add_(guest))


def _put_things(
    picture: Tensor, hand: Picture, textures: Tensor, joints: Tensor, joints_2d: Tensor, draw: ComposeDraw
) -> None:
    """Put things in the way, in place: plain or with `textures (len, 3, S, S)`, before all but the skin that is nearer."""

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=picture.device)

    rows = on(draw.blocked)
    cover, shading = _thing_cover(on(draw.thing), joints_2d[rows], picture.shape[-1])
    colour = on(draw.thing_colour)[:, :, None, None] * shading
    textured = on(draw.thing_texture >= 0)[:, None, None, None]
    colour = torch.where(textured, textures.flip(-1) * shading, colour)
    held = joints[rows, draw.thing[:, 7].astype(np.int64), 2] + on(draw.thing_depth)  # (N,) depth of the thing
    depth = hand.depth[rows]
    nearer = torch.sigmoid((held[:, None, None] - depth) / 0.002) * (depth > 0)  # skin in front of it
    cover = cover * (1.0 - nearer * hand.coverage[rows])[:, None]
    picture[rows] = torch.lerp(picture[rows], colour, cover)


def develop(linear: Tensor) -> Tensor:
    """Linear light to display-referred values, in place: square root, with a shoulder that lets highlights roll off below 1."""
    for rows in cache_blocks(linear, len(linear)):
        image = linear[rows]
        dim = image.mean((1, 2, 3), keepdim=True)
        sqrt_(image.mul_((0.06 / dim).clamp(1.0, 5.0)).clamp_(0.0, 4.0))  # cameras expose longer in the dark
        over = (image - 0.75).clamp_min_(0.0)
        image.sub_(over).addcdiv_(over, over.mul(2.0).add_(1.0))
    return linear
