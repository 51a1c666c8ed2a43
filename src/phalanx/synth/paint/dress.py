"""What people wear on hands and forearms: sleeves with hems and folds, and what goes round fingers and wrist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.hand.model import HandSurface
from phalanx.synth.paint.cloth import SOFT_EDGE
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.coats import heights
from phalanx.synth.paint.jewellery import METALS, Ring, Wristband
from phalanx.synth.paint.surface import Topology, hand
from phalanx.synth.paint.worn import Item

FOREARM_FROM = -0.08  # metres along the rest hand's y axis: beyond this the forearm is drawn out for rendering
FOREARM_STRETCH = 2.0


@dataclass
class DressDraw:
    """Random clothes for B hands."""

    edge: np.ndarray  # (B,) rest y where the sleeve ends; below the forearm's end: bare; far above the tips: a glove of the sleeve's cloth
    slant: np.ndarray  # (B, 2) how the edge leans across x and z
    thickness: np.ndarray  # (B, 2) metres that cloth stands off at the edge, and more per metre up the arm
    folds: np.ndarray  # (B, 3) height in metres, waves per metre, phase
    colour: np.ndarray  # (B, 3, 2) log reflectance of the cloth, and what a stripe adds
    stripes: np.ndarray  # (B, 3) radians per metre along y, along x and z
    weave: np.ndarray  # (B, 5) fabric, strength, width of the hem, its fabric, its lift, as `paint_cloth` has them
    crumple: np.ndarray  # (B, 2) height of crumples in metres, phase
    items: list[tuple[int, Item]]  # hand, what it wears beside its sleeve; the outermost last

    def __getitem__(self, index: np.ndarray) -> DressDraw:
        items = [(int(picture), item) for owner, item in self.items for picture in np.flatnonzero(index == owner)]
        names = ("edge", "slant", "thickness", "folds", "colour", "stripes", "weave", "crumple")
        return DressDraw(**{name: getattr(self, name)[index] for name in names}, items=items)

    def worn_by(self) -> dict[int, list[Item]]:
        """The items of each hand that wears any."""
        worn: dict[int, list[Item]] = {}
        for owner, item in self.items:
            worn.setdefault(owner, []).append(item)
        return worn


def _cloth_colour(generator: np.random.Generator, batch: int) -> np.ndarray:
    colour = PALETTE[generator.integers(0, len(PALETTE), batch)] / 255.0 + generator.normal(0, 0.06, (batch, 3))
    return np.log(np.clip(colour, 0.06, 0.97) ** 2.2)


def draw_dress(generator: np.random.Generator, batch: int) -> DressDraw:
    """Draw clothes: half of the arms wear sleeves, one hand in seventy a glove, one in six something round a finger or the wrist.

    They are plain; `details.draw_details` makes more of them.
    """
    bare = generator.random(batch) < 0.45
    edge = np.where(bare, -9.0, generator.triangular(-0.2, -0.03, 0.008, batch))
    gloved = generator.random(batch) < 0.015
    edge[gloved] = 9.0
    thickness = np.stack([generator.uniform(0.001, 0.009, batch), generator.uniform(0.0, 0.08, batch)], -1)
    thickness[gloved] = [0.0008, 0.0]
    folds = np.stack(
        [
            np.where(gloved, 0.0, generator.uniform(0, 0.0035, batch)),
            generator.uniform(120, 400, batch),
            generator.uniform(0, 2 * np.pi, batch),
        ],
        -1,
    )
    cloth = _cloth_colour(generator, batch)
    striped = (generator.random(batch) < 0.3)[:, None]
    second = np.where(striped, _cloth_colour(generator, batch) - cloth, generator.normal(0, 0.03, (batch, 1)))
    across = generator.random(batch) < 0.6
    stripes = np.where(
        across[:, None],
        generator.uniform(200, 1500, (batch, 1)) * [1, 0, 0],
        generator.uniform(150, 700, (batch, 3)) * generator.choice([0, 1], (batch, 3)),
    )
    items = _draw_items(generator, batch)
    return DressDraw(
        edge.astype(np.float32),
        generator.normal(0, 0.12, (batch, 2)).astype(np.float32),
        thickness.astype(np.float32),
        folds.astype(np.float32),
        np.stack([cloth, second], -1).astype(np.float32),
        stripes.astype(np.float32),
        np.zeros((batch, 5), np.float32),
        np.zeros((batch, 2), np.float32),
        items,
    )


def _draw_items(generator: np.random.Generator, batch: int) -> list[tuple[int, Item]]:
    """Plain rings on one finger in twelve, bracelets on one wrist in ten: the number of the hand, and what it wears."""
    items: list[tuple[int, Item]] = []
    for i in range(batch):
        metal = np.log(METALS[generator.integers(4)])
        any_colour = np.log(generator.uniform(0.02, 0.8, 3))
        kind, segment = generator.random(), int(generator.choice([2, 5, 8, 11, 11, 14]))
        place, width, strap = generator.uniform(0, 1), generator.uniform(0, 1), generator.uniform(0, 1)
        if kind < 0.1 and segment > 2:
            finger = (segment - 2) // 3
            items.append(
                (i, Ring(finger, 0.4 + 0.35 * place, 0.001 + 0.0016 * width, 0.0013, metal, 6.0 * strap, None, 0.0))
            )
        elif kind < 0.2:
            colour, gloss = (metal, 1.8) if strap < 0.4 else (any_colour, 0.4)
            half_width = 0.002 + 0.011 * width
            band = Wristband(
                -0.012 - 0.04 * place, half_width, 0.0015, colour, gloss, 0, 0.0, False, metal, metal, False, 0.0
            )
            items.append((i, band))
    return items


def forearm_relief(rest: Tensor) -> Tensor:
    """Metres `(V,)` by which an arm stands off the model's tube: `rest` `(V, 3)` are the template's vertices; nothing from the palm on.

    Up the arm the bellies of flexors (palm's side, ulnar) and extensors (back, radial) swell and leave flats between them; at the
    wrist the head of the ulna stands out on the back and the styloid of the radius a little at the thumb's side.
    """
    y = rest[:, 1]
    around = rest[:, [0, 2]] - rest[y < -0.05][:, [0, 2]].mean(0)
    around = around / around.norm(dim=1, keepdim=True).clamp_min(1e-6)  # (V, 2) radial, palmar

    def lobe(radial: float, palmar: float, width: float) -> Tensor:
        towards = around @ around.new_tensor([radial, palmar])
        return torch.exp((towards - 1.0) / width)

    def ring(middle: float, width: float) -> Tensor:
        return torch.exp(-((y - middle) ** 2) / (2 * width**2))

    up = ((-0.04 - y) / 0.12).clamp(0, 1)
    up = up * up * (3 - 2 * up)
    muscles = up * (0.013 * lobe(-0.5, 0.87, 0.35) + 0.011 * lobe(0.7, -0.71, 0.35) - 0.003)
    bones = 0.004 * lobe(-0.7, -0.71, 0.15) * ring(-0.032, 0.009) + 0.0015 * lobe(1.0, 0.0, 0.2) * ring(-0.022, 0.009)
    return muscles + bones * (-y / 0.012).clamp(0, 1)


def dress(
    surface: HandSurface,
    topology: Topology,
    rest_normals: Tensor,
    draw: DressDraw,
    stretch: float | Tensor = FOREARM_STRETCH,
) -> tuple[Tensor, Tensor, Tensor]:
    """Clothe a posed hand.

    Args:
        surface: the posed hand.
        rest_normals: `(V, 3)` of the template.
        topology: tables of the hand's surface.
        draw: what `draw_dress` drew.
        stretch: factor by which the forearm is lengthened, for all or `(B,)` for each.

    Returns:
        Vertices `(B, V, 3)` with `forearm_relief`, cloth standing off and the forearm lengthened, so that its cut end stays out of
        pictures;
        how far under cloth each vertex is, `(B, V)` in units of a soft edge (0 and below: skin, 1 and above: cloth);
        phase of the stripes `(B, V)`.
    """
    device = surface.vertices.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    x, y, z = topology.rest.unbind(-1)  # (V,)
    slant, folds, stripes = on(draw.slant), on(draw.folds), on(draw.stripes)
    inside = on(draw.edge)[:, None] + slant @ torch.stack([x, z]) - y  # (B, V) metres up the sleeve
    cover = inside / SOFT_EDGE
    thickness = on(draw.thickness)
    wave = folds[:, :1] * torch.sin(folds[:, 1:2] * (y + 0.4 * x * slant[:, :1].sign() + 0.3 * z) + folds[:, 2:])
    weave, crumple = on(draw.weave), on(draw.crumple)
    hem = weave[:, 4:] * (inside < weave[:, 2:3])
    bends = torch.sin(75.0 * (y - 0.7 * z + 0.3 * x) + crumple[:, 1:])
    lean = torch.sin(115.0 * (y + 0.6 * x) + 1.5 * bends - crumple[:, 1:])
    wave = wave + crumple[:, :1] * (inside / 0.03).clamp(0, 1) * (lean + 0.6 - 1.2 * bends.abs())
    stand_off = (thickness[:, :1] + thickness[:, 1:] * inside.clamp(0, 0.2) + hem + wave) * (inside > 0)  # (B, V)
    stand_off = stand_off + forearm_relief(topology.rest)
    arm = surface.transforms[:, 1, :3, :3]
    further = torch.as_tensor(stretch, device=device).reshape(-1, 1) - 1.0  # (B or 1, 1)
    down = (FOREARM_FROM - y).clamp_min(0.0) * further  # (B or 1, V) the arm goes on further than the model's
    vertices = (
        surface.vertices
        + stand_off[..., None] * (rest_normals @ arm.transpose(1, 2))
        - down[..., None] * arm[:, None, :, 1]
    )
    _put_on(vertices, surface, rest_normals, draw, (inside > 0).float())
    phase = stripes @ torch.stack([y, x, z])
    return vertices, cover, phase


def _put_on(vertices: Tensor, surface: HandSurface, rest_normals: Tensor, draw: DressDraw, sleeved: Tensor) -> None:
    """Let what hands wear beside sleeves stand off their `vertices (B, V, 3)`, in place; `sleeved (B, V)` is 1 under a sleeve."""
    weights = hand(str(vertices.device))[0].skin_weights
    for owner, items in draw.worn_by().items():
        turns = surface.transforms[owner, :, :3, :3].flatten(1)  # (17, 9)
        for which, height in heights(items, sleeved[owner]):
            turn = (weights.index_select(0, which) @ turns).unflatten(1, (3, 3))
            normals = F.normalize((turn @ rest_normals.index_select(0, which)[..., None])[..., 0], dim=1)
            vertices[owner].index_add_(0, which, height[:, None] * normals)
