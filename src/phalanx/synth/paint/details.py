"""What is drawn of clothes beyond `paint.dress`: cloth and hems of sleeves, gloves, stones, watches, plasters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phalanx.synth.paint.cloth import FABRICS
from phalanx.synth.paint.dress import DressDraw
from phalanx.synth.paint.gloves import Glove, draw_glove
from phalanx.synth.paint.jewellery import METALS, Bandage, Ring, Wristband
from phalanx.synth.paint.tattoos import Tattoo, draw_tattoo
from phalanx.synth.paint.worn import Item

_GLOVES, _MORE_RINGS, _BANDAGES, _TATTOOS = (
    0.046,
    0.04,
    0.03,
    0.05,
)  # shares of hands; gloves beside those that are drawn as sleeves
_STONES = np.array(
    [[0.85, 0.9, 0.95], [0.45, 0.01, 0.03], [0.02, 0.05, 0.4], [0.01, 0.25, 0.08], [0.01, 0.01, 0.01], [0.1, 0.5, 0.5]]
)
_PLASTERS = np.array(
    [
        [0.78, 0.55, 0.40],
        [0.85, 0.66, 0.52],
        [0.95, 0.93, 0.90],
        [0.25, 0.45, 0.80],
        [0.45, 0.28, 0.18],
        [0.9, 0.3, 0.4],
    ]
)
_GAUZE = np.array([[0.93, 0.92, 0.88], [0.86, 0.76, 0.62], [0.15, 0.15, 0.16], [0.35, 0.50, 0.75]])


def draw_details(generator: np.random.Generator, plain: DressDraw) -> DressDraw:
    """Plain clothes as `draw_dress` drew them, made more of; `generator` is one of their own."""
    batch = len(plain.edge)
    edge, weave, crumple = plain.edge.copy(), _draw_weave(generator, batch), _draw_crumple(generator, batch)
    thickness = plain.thickness.copy()
    items: list[tuple[int, Item]] = []
    for i in range(batch):
        mine = [_detailed(generator, item) for owner, item in plain.items if owner == i]
        if generator.random() < _MORE_RINGS:
            mine += _draw_rings(generator)
        if generator.random() < _BANDAGES:
            mine.append(_draw_bandage(generator))
        if generator.random() < _TATTOOS:
            mine = [*(draw_tattoo(generator) for _ in range(int(generator.integers(1, 4)))), *mine]
        gloved = generator.random() < _GLOVES or edge[i] > 1.0
        if gloved:
            glove = draw_glove(generator)
            kept = [
                item
                for item in mine
                if isinstance(item, Tattoo) or (isinstance(item, Wristband) and item.middle + item.case < glove.cuff)
            ]
            mine = [*kept, glove]
            if edge[i] > 1.0:
                edge[i] = -9.0 if generator.random() < 0.45 else generator.triangular(-0.2, -0.03, 0.008)
                thickness[i] = 0.003, 0.03
            if glove.kind in ("surgical", "cleaning"):  # drawn over a sleeve, or bare arms
                edge[i] = min(edge[i], glove.cuff + 0.05)
        items += [(i, item) for item in mine]
    return replace(plain, edge=edge, thickness=thickness, weave=weave, crumple=crumple, items=items)


def gloved_in_pairs(generator: np.random.Generator, drawn: DressDraw, share: float) -> DressDraw:
    """Clothes of 2 N hands, a right and a left one of each person by turns, with gloves on both hands of a share of the people alone."""
    items = [(owner, item) for owner, item in drawn.items if not isinstance(item, Glove)]
    for person in np.flatnonzero(generator.random(len(drawn.edge) // 2) < share):
        glove = draw_glove(generator)
        hands = (2 * int(person), 2 * int(person) + 1)
        items = [(owner, item) for owner, item in items if owner not in hands or isinstance(item, Tattoo)]
        items += [(owner, glove) for owner in hands]
    return replace(drawn, items=sorted(items, key=lambda each: each[0]))


def _draw_weave(generator: np.random.Generator, batch: int) -> np.ndarray:
    """`(B, 5)` as `cloth.paint_cloth` has it: plain or folded hems, knitted cuffs, or none."""
    fabric = generator.choice(len(FABRICS), batch, p=[0.35, 0.1, 0.3, 0.13, 0.12])
    strength = generator.uniform(0.4, 1.2, batch)
    kind = generator.random(batch)
    width = np.where(kind < 0.35, generator.uniform(0.008, 0.03, batch), generator.uniform(0.04, 0.075, batch))
    width = np.where(kind < 0.8, width, 0.0)
    knitted = (kind >= 0.35) & (kind < 0.6)
    hem_fabric = np.where(knitted, FABRICS.index("rib"), fabric)
    lift = np.where(kind < 0.35, 0.0006, np.where(knitted, 0.0, generator.uniform(0.001, 0.003, batch)))
    return np.stack([fabric, strength, width, hem_fabric, lift], -1).astype(np.float32)


def _draw_crumple(generator: np.random.Generator, batch: int) -> np.ndarray:
    height = generator.uniform(0.0, 1.0, batch) ** 1.5 * 0.0035
    return np.stack([height, generator.uniform(0, 2 * np.pi, batch)], -1).astype(np.float32)


def _detailed(generator: np.random.Generator, item: Item) -> Item:
    if isinstance(item, Ring):
        return _with_stone(generator, item)
    if isinstance(item, Wristband):
        return _with_case(generator, item)
    return item


def _with_stone(generator: np.random.Generator, ring: Ring) -> Ring:
    stone = np.log(_STONES[generator.integers(len(_STONES))])
    radius = float(generator.uniform(0.0018, 0.005))
    ring = replace(ring, thickness=float(generator.uniform(0.001, 0.0018)))
    return replace(ring, stone=stone, radius=radius) if generator.random() < 0.35 else ring


def _with_case(generator: np.random.Generator, band: Wristband) -> Wristband:
    """Half are watches, round or square, with hands or a screen; of the others some have links or beads."""
    case, square, hands = float(generator.uniform(0.012, 0.021)), generator.random() < 0.35, generator.random() < 0.6
    face = np.log(generator.choice([0.015, 0.03, 0.75, 0.85, 0.2]) * generator.uniform(0.7, 1.1, 3))
    metal = np.log(METALS[generator.integers(4)])
    links, turn = int(generator.choice([0, 14, 22, 30])), float(generator.normal(0.0, 0.25))
    inside = generator.random() < 0.07  # some wear it on the palm's side
    if generator.random() < 0.5:
        wide = float(generator.uniform(0.006, 0.011))
        steel = band.band_gloss > 1.0
        return replace(
            band, middle=min(band.middle, -0.018), half_width=wide, thickness=0.0022, case=case, square=square, hands=hands and not square,
            face=face, metal=metal, links=links if steel else 0, turn=turn + np.pi * inside,
        )  # fmt: skip
    return replace(band, half_width=min(band.half_width, 0.005), links=links, thickness=0.0025 if links else 0.0015)


def _draw_rings(generator: np.random.Generator) -> list[Item]:
    """One to three rings, on any fingers."""
    count = int(generator.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    rings: list[Item] = []
    for finger in generator.choice(5, count, replace=False, p=[0.12, 0.24, 0.24, 0.26, 0.14]):
        place = generator.uniform(0.4, 0.75) + (1.0 if finger == 0 else 0.0)
        metal = np.log(METALS[generator.choice(4, p=[0.4, 0.4, 0.1, 0.1])])
        width, turn = generator.uniform(0.0009, 0.0035), generator.uniform(0.0, 6.0)
        ring = Ring(int(finger), float(place), float(width), 0.0015, metal, float(turn), None, 0.0)
        rings.append(_with_stone(generator, ring))
    return rings


def _draw_bandage(generator: np.random.Generator) -> Bandage:
    """A plaster most often, else gauze over a finger's end or a bandage round the wrist."""

    def log(colours: np.ndarray) -> np.ndarray:
        return np.log(
            np.clip(colours[generator.integers(len(colours))] + generator.normal(0, 0.02, 3), 0.05, 0.97) ** 2.2
        )

    kind, finger = generator.random(), int(generator.integers(5))
    pad = np.full(3, generator.choice([0.0, 0.1, -0.12]))
    if kind < 0.6:
        middle = generator.choice([0.5, 1.0, 1.5, 2.0, 2.45]) + generator.normal(0, 0.1)
        middle, half = max(middle, 1.45) if finger == 0 else middle, generator.uniform(0.3, 0.42)
        return Bandage(finger, float(middle - half), float(middle + half), 0.0008, log(_PLASTERS), pad, 0.0, 0.0)
    wraps, lean = float(generator.uniform(80, 160)), float(generator.normal(0.0, 1.0))
    if kind < 0.78:
        start, thickness = (
            float(generator.uniform(1.1 if finger == 0 else 0.5, 1.7)),
            float(generator.uniform(0.001, 0.003)),
        )
        return Bandage(finger, start, 9.0, thickness, log(_GAUZE[:2]), pad, 1.3 * wraps, lean)
    start, end = float(generator.uniform(-0.09, -0.03)), float(generator.choice([0.005, 0.012, 0.075]))
    return Bandage(-1, start, end, 0.0018, log(_GAUZE), pad, 0.4 * wraps, lean, bool(generator.random() < 0.2))
