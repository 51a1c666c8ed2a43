"""What people wear on hands and forearms: sleeves, gloves, rings, watches, bracelets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.model import HandSurface
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.surface import Topology

FOREARM_FROM = -0.08  # metres along the rest hand's y axis: beyond this the forearm is drawn out for rendering
FOREARM_STRETCH = 2.0
_METALS = np.array([[0.75, 0.6, 0.28], [0.6, 0.6, 0.6], [0.03, 0.03, 0.035], [0.5, 0.28, 0.2]])  # linear reflectance


@dataclass
class Band:
    """A ring, watch or bracelet: part of the surface painted over."""

    segments: tuple[int, ...]  # of the hand model
    middle: float  # metres along the rest hand's y axis
    half_width: float
    colour: np.ndarray  # (3,) log reflectance
    gloss: float


@dataclass
class DressDraw:
    """Random clothes for B hands."""

    edge: np.ndarray  # (B,) rest y where the sleeve ends; below the forearm's end: bare; far above the tips: a glove
    slant: np.ndarray  # (B, 2) how the edge leans across x and z
    thickness: np.ndarray  # (B, 2) metres that cloth stands off at the edge, and more per metre up the arm
    folds: np.ndarray  # (B, 3) height in metres, waves per metre, phase
    colour: np.ndarray  # (B, 3, 2) log reflectance of the cloth, and what a stripe adds
    stripes: np.ndarray  # (B, 3) radians per metre along y, along x and z
    bands: list[tuple[int, Band]]  # hand, band

    def __getitem__(self, index: np.ndarray) -> DressDraw:
        bands = [(int(picture), band) for owner, band in self.bands for picture in np.flatnonzero(index == owner)]
        arrays = (self.edge, self.slant, self.thickness, self.folds, self.colour, self.stripes)
        edge, slant, thickness, folds, colour, stripes = (array[index] for array in arrays)
        return DressDraw(edge, slant, thickness, folds, colour, stripes, bands)


def _cloth_colour(generator: np.random.Generator, batch: int) -> np.ndarray:
    colour = PALETTE[generator.integers(0, len(PALETTE), batch)] / 255.0 + generator.normal(0, 0.06, (batch, 3))
    return np.log(np.clip(colour, 0.06, 0.97) ** 2.2)


def draw_dress(generator: np.random.Generator, batch: int) -> DressDraw:
    """Draw clothes: half of the arms wear sleeves, one hand in seventy a glove, one in five something round a finger or the wrist."""
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
    bands = _draw_bands(generator, batch)
    return DressDraw(
        edge.astype(np.float32),
        generator.normal(0, 0.12, (batch, 2)).astype(np.float32),
        thickness.astype(np.float32),
        folds.astype(np.float32),
        np.stack([cloth, second], -1).astype(np.float32),
        stripes.astype(np.float32),
        bands,
    )


def _draw_bands(generator: np.random.Generator, batch: int) -> list[tuple[int, Band]]:
    """Rings on one finger in ten, watches and bracelets on one wrist in ten: the number of the hand, and what it wears."""
    bands: list[tuple[int, Band]] = []
    for i in range(batch):
        metal = np.log(_METALS[generator.integers(4)])
        any_colour = np.log(generator.uniform(0.02, 0.8, 3))
        kind, segment = generator.random(), int(generator.choice([2, 5, 8, 11, 11, 14]))
        place, width, strap = generator.uniform(0, 1), generator.uniform(0, 1), generator.uniform(0, 1)
        if kind < 0.1 and segment > 2:
            middle = (0.093, 0.096, 0.093, 0.08)[(segment - 5) // 3] + 0.022 * place
            bands.append((i, Band((segment,), middle, 0.001 + 0.0015 * width, metal, 2.0)))
        elif kind < 0.2:
            colour = metal if strap < 0.4 else any_colour
            bands.append((i, Band((0, 1), -0.012 - 0.04 * place, 0.002 + 0.014 * width, colour, 1.2)))
    return bands


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
    cover = inside / 0.0015
    thickness = on(draw.thickness)
    wave = folds[:, :1] * torch.sin(folds[:, 1:2] * (y + 0.4 * x * slant[:, :1].sign() + 0.3 * z) + folds[:, 2:])
    stand_off = (thickness[:, :1] + thickness[:, 1:] * inside.clamp(0, 0.2) + wave) * (inside > 0)  # (B, V)
    stand_off = stand_off + forearm_relief(topology.rest)
    arm = surface.transforms[:, 1, :3, :3]
    further = torch.as_tensor(stretch, device=device).reshape(-1, 1) - 1.0  # (B or 1, 1)
    down = (FOREARM_FROM - y).clamp_min(0.0) * further  # (B or 1, V) the arm goes on further than the model's
    vertices = (
        surface.vertices
        + stand_off[..., None] * (rest_normals @ arm.transpose(1, 2))
        - down[..., None] * arm[:, None, :, 1]
    )
    phase = stripes @ torch.stack([y, x, z])
    return vertices, cover, phase
