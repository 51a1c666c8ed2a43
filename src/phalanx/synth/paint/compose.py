"""Putting hand, background, other skin and things in the way together; linear light throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.allocator import cache_blocks
from phalanx.geometry.grids import sampling_grid
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.shade import Picture


@dataclass
class ComposeDraw:
    """Random choices for composing B pictures; index arrays say which pictures something is for."""

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
    shadow = np.stack(
        [
            generator.uniform(0.15, 0.75, len(shadowed)),
            generator.normal(0, 0.07, len(shadowed)),
            generator.normal(0.03, 0.06, len(shadowed)),
        ],
        -1,
    )
    joined = np.flatnonzero(generator.random(batch) < (0.12 if batch > 1 else 0.0))
    guests = (joined + generator.integers(1, max(batch, 2), len(joined))) % batch
    angle = generator.uniform(-np.pi, np.pi, len(joined))
    zoom = np.exp(generator.normal(0, 0.3, len(joined)))
    side = generator.uniform(-np.pi, np.pi, len(joined))
    far = generator.uniform(1.15, 1.9, len(joined))
    rotation = (
        np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
        * zoom[:, None, None]
    )
    rotation[generator.random(len(joined)) < 0.5, :, 0] *= -1.0  # a left hand
    centre = np.stack([np.cos(side), np.sin(side)], -1) * far[:, None]
    placement = np.concatenate([rotation, -(rotation @ centre[..., None])], -1)
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
    colour = (
        np.clip(
            PALETTE[generator.integers(0, len(PALETTE), count)] / 255.0 + generator.normal(0, 0.06, (count, 3)), 0.02, 1
        )
        ** 2
    )
    texture = np.where(generator.random(count) < 0.5, generator.integers(0, batch, count), -1)
    return ComposeDraw(
        shadowed,
        shadow.astype(np.float32),
        joined,
        guests,
        placement.astype(np.float32),
        generator.uniform(0.6, 1.2, (len(joined), 3)).astype(np.float32),
        blocked,
        thing.astype(np.float32),
        colour.astype(np.float32),
        texture,
        np.where(generator.random(count) < 0.55, generator.uniform(-0.012, 0.03, count), -9.0).astype(np.float32),
    )


def of_frames(draw: ComposeDraw, place: np.ndarray) -> ComposeDraw:
    """What was drawn for each of P places, for each picture: `place (B,)` says which place it shows, each equally often."""
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
    hand: Picture, behind: Tensor, joints: Tensor, joints_2d: Tensor, draw: ComposeDraw, layer: Layer | None = None
) -> Tensor:
    """Hand over background with shadows, other hands and things in front or held: `(B, 3, S, S)` linear.

    Args:
        hand: the rendered hand.
        behind: `(B, 3, S, S)` linear background; it becomes the result.
        joints, joints_2d: `(B, 21, 3)` metres and `(B, 21, 2)` pixels.
        draw: what `draw_composition` drew.
        layer: what else is there, in front of the hand or behind it by its depth.
    """
    device, size = behind.device, behind.shape[-1]

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    picture = behind
    textures = behind[on(draw.thing_texture).clamp_min(0)]  # before anything falls on them
    if len(draw.shadowed):
        rows, shadow = on(draw.shadowed), on(draw.shadow)
        theta = torch.eye(2, 3, device=device).repeat(len(rows), 1, 1)
        theta[:, :, 2] = -2.0 * shadow[:, 1:]
        small = F.avg_pool2d(hand.coverage[rows, None], 4)  # a sixteenth of the pixels: soft, and quick
        small = F.avg_pool2d(F.pad(small, (2, 2, 2, 2), mode="replicate"), 5, 1)
        grid = sampling_grid(theta, size)
        fallen = F.grid_sample(small, grid, mode="bilinear", padding_mode="border", align_corners=False)
        light = fallen.mul_(shadow[:, 0, None, None, None]).neg_().add_(1.0)
        picture.index_copy_(0, rows, picture.index_select(0, rows).mul_(light))
    if len(draw.joined):
        rows, guests = on(draw.joined), on(draw.guests)
        layers = torch.cat([hand.colour[guests], hand.coverage[guests, None]], 1)  # (N, 4, S, S)
        grid = sampling_grid(on(draw.placement), size)
        layers = F.grid_sample(layers, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        guest = layers[:, :3].mul_(on(draw.guest_gain)[:, :, None, None])
        picture.index_copy_(0, rows, picture.index_select(0, rows).mul_(1.0 - layers[:, 3:]).add_(guest))
    own = Layer(hand.colour, hand.coverage, hand.depth)
    both = own if layer is None else own.over(layer)
    for row in cache_blocks(picture, len(picture)):
        picture[row].mul_(1.0 - both.coverage[row, None]).add_(both.colour[row])
    if len(draw.blocked):
        rows = on(draw.blocked)
        cover, shading = _thing_cover(on(draw.thing), joints_2d[rows], size)
        colour = on(draw.thing_colour)[:, :, None, None] * shading
        textured = on(draw.thing_texture >= 0)[:, None, None, None]
        colour = torch.where(textured, textures.flip(-1) * shading, colour)
        held = joints[rows, draw.thing[:, 7].astype(np.int64), 2] + on(draw.thing_depth)  # (N,) depth of the thing
        depth = hand.depth[rows]
        before = torch.sigmoid((held[:, None, None] - depth) / 0.002) * (depth > 0)  # skin in front of it
        cover = cover * (1.0 - before * hand.coverage[rows])[:, None]
        picture[rows] = torch.lerp(picture[rows], colour, cover)
    return picture
