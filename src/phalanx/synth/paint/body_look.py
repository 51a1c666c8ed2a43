"""How people look, as drawn: skin, face, hair, clothes; and sleeves of hands that match the clothes of those they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.synth.body.model import BodyModel
from phalanx.synth.paint.body_textures import PRINTS
from phalanx.synth.paint.clutter import PALETTE
from phalanx.synth.paint.dress import DressDraw

TROUSERS, TOP, JACKET, SHOES, CAP = range(5)
"""Garments, from the innermost to the outermost."""
GARMENTS = 5
PLAIN, RINGS, BARS, CHECKS, DOTS, SPECKLED = range(6)
"""Patterns of cloth."""
SKINS = 6

_TAN = -1.2  # mean log reflectance of skins between light and dark
_BARE = 0.535  # metres from the wrist: a sleeve that ends there, beyond the shoulder, is none
_HAIR = np.log(
    [[0.008, 0.006, 0.005], [0.02, 0.012, 0.008], [0.05, 0.026, 0.013], [0.11, 0.06, 0.028], [0.3, 0.2, 0.095]]
    + [[0.17, 0.06, 0.022], [0.36, 0.35, 0.33]]
)
_IRIS = np.array(
    [[0.02, 0.011, 0.006], [0.05, 0.026, 0.011], [0.07, 0.06, 0.025], [0.1, 0.15, 0.17], [0.08, 0.12, 0.2]]
)
_DENIM = np.log(
    [[0.02, 0.035, 0.075], [0.06, 0.1, 0.17], [0.012, 0.013, 0.017], [0.14, 0.12, 0.085], [0.05, 0.05, 0.055]]
)
_LEATHER = np.log([[0.012, 0.012, 0.013], [0.06, 0.03, 0.016], [0.6, 0.58, 0.55], [0.18, 0.1, 0.05]])


@dataclass
class BodyLook:
    """How P people look; a row a person. Lengths in metres, colours are log reflectance in linear light.

    Attributes:
        photograph: (P,) int64 of the skin's detail; strength: (P, 3) of its melanin, blood and shade.
        freckles: (P,) strength, 0 for none.
        iris: (P, 3) linear; brow: (P, 3) strength, half height and rise; lips: (P, 4) colour added to that of the lips, and how glossy.
        glasses: (P, 3) half width, thickness of the frame and darkness of the lenses; width 0: none.
        hair: (P, 3) colour; hair_lift: (P, 2) how far hair stands off, and the hairline's shift in texels; lift 0: shaved.
        long: (P, 2) length of hair below the crown's rim, and how far it stands off; 0: none.
        beard: (P, 3) density, stand-off and shift of its border in texels.
        worn: (P, GARMENTS) bool.
        cloth, second: (P, GARMENTS, 3) colours; pattern: (P, GARMENTS) int64; repeats: (P, GARMENTS) of it across the texture.
        ease: (P, GARMENTS, 2) how far cloth stands off, and the strength of its folds.
        sleeve: (P, 2) metres up from the wrist at which sleeves of top and jacket end, of the 0.5 to the shoulder.
        neck: (P, 5) of the top: how far below the neck's base it begins, how it leans to the front, depth and half width of a V, and how
            far from the neck's axis it begins at the sides.
        straps: (P,) half width between the arms' holes of a top without sleeves.
        hem: (P, 2) how far below the neck's base top and jacket end; open: (P,) half width of the jacket's opening (0: closed).
        waist, legs: (P,) where trousers begin, and the height over the ground where they end.
        shoe: (P,) height over the ground up to which shoes reach.
        skirt: (P, 2) length from the waist and widening at its hem; length 0: none.
        print: (P, 4) number of the print (-1: none), half width, and its middle below the neck and to the side.
        phase: (P, 8) uniform numbers that shift textures.
    """

    photograph: np.ndarray
    strength: np.ndarray
    freckles: np.ndarray
    iris: np.ndarray
    brow: np.ndarray
    lips: np.ndarray
    glasses: np.ndarray
    hair: np.ndarray
    hair_lift: np.ndarray
    long: np.ndarray
    beard: np.ndarray
    worn: np.ndarray
    cloth: np.ndarray
    second: np.ndarray
    pattern: np.ndarray
    repeats: np.ndarray
    ease: np.ndarray
    sleeve: np.ndarray
    neck: np.ndarray
    straps: np.ndarray
    hem: np.ndarray
    open: np.ndarray
    waist: np.ndarray
    legs: np.ndarray
    shoe: np.ndarray
    skirt: np.ndarray
    print: np.ndarray
    phase: np.ndarray

    def __len__(self) -> int:
        return len(self.photograph)

    def __getitem__(self, index: np.ndarray | slice) -> BodyLook:
        return map_fields(self, lambda values: values[index])


def draw_body_looks(
    generator: np.random.Generator, people: int, skin: np.ndarray | None = None, feminine: np.ndarray | None = None
) -> BodyLook:
    """Draw the looks of `people` persons.

    Args:
        skin: (P, 3, 6) colours of their skins, as `skin.skin_matrices` has them: dark skins rarely have light hair or eyes; none: any.
        feminine: (P,) from 0 to 1: how likely dresses, long hair and make-up are, and how unlikely beards; none: drawn.
    """
    drawn = generator.random(people)
    feminine = drawn if feminine is None else np.asarray(feminine)
    light = np.ones(people, bool) if skin is None else np.asarray(skin)[:, :, 0].mean(1) > _TAN
    look = {**_draw_skins(generator, people, feminine, light), **_draw_hair(generator, people, feminine, light)}
    look |= _draw_clothes(generator, people, feminine)
    look["phase"] = generator.random((people, 8))
    whole = ("photograph", "pattern")
    kept = {
        name: values if name in whole or values.dtype == bool else values.astype(np.float32)
        for name, values in look.items()
    }
    return BodyLook(**kept)


def _draw_skins(
    generator: np.random.Generator, people: int, feminine: np.ndarray, light: np.ndarray
) -> dict[str, np.ndarray]:
    def chance(share: float | np.ndarray) -> np.ndarray:
        return generator.random(people) < share

    eyes = generator.choice(len(_IRIS), people, p=[0.4, 0.25, 0.12, 0.13, 0.1])
    iris = _IRIS[np.where(light | chance(0.05), eyes, eyes % 2)]
    painted = chance(0.45 * feminine)
    lipstick = np.log([0.75, 0.35, 0.4]) * generator.uniform(0.4, 2.0, (people, 1)) + generator.normal(
        0, 0.12, (people, 3)
    )
    lips = np.where(painted[:, None], lipstick, generator.normal(0, 0.05, (people, 3)))
    framed = chance(0.22)
    return {
        "photograph": generator.integers(0, SKINS, people),
        "strength": generator.uniform([0.35, 0.45, 0.5], [0.9, 1.05, 1.0], (people, 3)),
        "freckles": np.where(chance(0.15), generator.uniform(0.2, 0.8, people), 0.0),
        "iris": iris * np.exp(generator.normal(0, 0.25, (people, 3))),
        "brow": np.stack(
            [
                generator.uniform(0.4, 1.0, people),
                generator.uniform(0.0022, 0.0045, people) - 0.001 * feminine,
                generator.normal(0.0, 0.0015, people),
            ],
            -1,
        ),
        "lips": np.concatenate([lips, np.where(painted, generator.uniform(0.5, 2.5, people), 0.3)[:, None]], 1),
        "glasses": np.stack(
            [
                np.where(framed, generator.uniform(0.021, 0.028, people), 0.0),
                generator.uniform(0.0008, 0.003, people),
                np.where(chance(0.15), generator.uniform(0.8, 0.98, people), 0.06),
            ],
            -1,
        ),
    }


def _draw_hair(
    generator: np.random.Generator, people: int, feminine: np.ndarray, light: np.ndarray
) -> dict[str, np.ndarray]:
    kind = generator.random(people)
    which = generator.choice(len(_HAIR), people, p=[0.27, 0.22, 0.18, 0.11, 0.08, 0.05, 0.09])
    dyed = generator.random(people) < 0.05
    colour = _HAIR[np.where(light | dyed | (which == len(_HAIR) - 1), which, which % 2)]
    colour = colour + generator.normal(0, 0.18, (people, 1)) + generator.normal(0, 0.04, (people, 3))
    long = generator.random(people) < 0.75 * feminine**1.5 + 0.03
    shaved = ~long & (kind < 0.14)
    lift = np.where(kind < 0.3, generator.uniform(0.002, 0.006, people), generator.uniform(0.008, 0.032, people))
    bearded = generator.random(people) < 0.5 * (1.0 - feminine)
    stubble = generator.random(people) < 0.5
    density = np.where(stubble, generator.uniform(0.15, 0.5, people), generator.uniform(0.6, 1.0, people))
    return {
        "hair": colour,
        "hair_lift": np.stack(
            [np.where(shaved, 0.0, lift), generator.normal(0, 5, people) - 8 * (generator.random(people) < 0.12)], -1
        ),
        "long": np.stack(
            [np.where(long, generator.uniform(0.1, 0.36, people), 0), generator.uniform(0.012, 0.03, people)], -1
        ),
        "beard": np.stack(
            [
                np.where(bearded, density, 0.0),
                np.where(stubble, 0.0, generator.uniform(0.002, 0.012, people)),
                generator.uniform(-8, 3, people),
            ],
            -1,
        ),
    }


def _cloth_colours(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    colour = PALETTE[generator.integers(0, len(PALETTE), shape)] / 255.0 + generator.normal(0, 0.06, (*shape, 3))
    return np.log(np.clip(colour, 0.06, 0.95) ** 2.2)


def _draw_clothes(generator: np.random.Generator, people: int, feminine: np.ndarray) -> dict[str, np.ndarray]:
    def chance(share: float | np.ndarray) -> np.ndarray:
        return generator.random(people) < share

    def uniform(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, people)

    dressed = chance(0.3 * feminine)  # a dress, or a skirt with a top
    worn = np.ones((people, GARMENTS), bool)
    worn[:, TOP] = dressed | ~chance(0.03 * (1 - feminine))
    worn[:, JACKET] = worn[:, TOP] & chance(0.25)
    worn[:, SHOES] = ~chance(0.2)
    worn[:, CAP] = chance(0.1)
    cloth = _cloth_colours(generator, (people, GARMENTS))
    denim = chance(0.65)
    cloth[denim, TROUSERS] = (
        _DENIM[generator.integers(0, len(_DENIM), people)] + generator.normal(0, 0.2, (people, 1))
    )[denim]
    cloth[:, SHOES] = np.where(
        chance(0.7)[:, None], _LEATHER[generator.integers(0, len(_LEATHER), people)], cloth[:, SHOES]
    )
    second = _cloth_colours(generator, (people, GARMENTS))
    alike = generator.random((people, GARMENTS)) < 0.4
    second[alike] = (cloth + generator.normal(0, 0.5, (people, GARMENTS, 1)))[alike]
    pattern = generator.choice(6, (people, GARMENTS), p=[0.58, 0.1, 0.08, 0.12, 0.04, 0.08])
    pattern[:, TROUSERS] = np.where(chance(0.85), PLAIN, pattern[:, TROUSERS])
    pattern[:, SHOES] = PLAIN
    long = chance(0.45)
    rolled = chance(0.15)
    sleeve = np.where(long, generator.triangular(-0.02, 0.0, 0.09, people), uniform(0.27, 0.42))
    sleeve = np.where(rolled, uniform(0.1, 0.27), sleeve)
    sleeveless = chance(0.08 + 0.17 * feminine)
    sleeve = np.where(sleeveless | ~worn[:, TOP], _BARE, sleeve)
    jacket = np.where(chance(0.85), generator.triangular(-0.03, -0.005, 0.06, people), uniform(0.08, 0.3))
    jacket = np.where(worn[:, JACKET], jacket, _BARE)
    v_neck = chance(0.35)
    high = chance(0.1)
    neck = np.stack(
        [
            np.where(high, uniform(-0.045, -0.02), uniform(0.02, 0.045)),
            np.where(high, 0.3, uniform(0.1, 0.5)),
            np.where(v_neck & ~high, uniform(0.04, 0.13), 0.0),
            uniform(0.04, 0.08),
            np.where(chance(0.2), uniform(0.11, 0.15), uniform(0.08, 0.105)),
        ],
        -1,
    )
    gown = dressed & chance(0.6)
    hem = np.stack([np.where(gown, 0.46, uniform(0.5, 0.66)), uniform(0.5, 0.78)], -1)
    opened = np.where(chance(0.7), uniform(0.02, 0.09), 0.0)
    short = chance(0.25)
    legs = np.where(short, uniform(0.42, 0.72), uniform(0.03, 0.1))
    skirt = np.stack([np.where(dressed, uniform(0.4, 0.95), 0.0), uniform(0.0, 0.1)], -1)
    # Under a skirt as much is of its cloth as it hides.
    legs = np.where(dressed, 1.06 - skirt[:, 0], legs)
    cloth[dressed, TROUSERS] = np.where(gown[dressed, None], cloth[dressed, TOP], cloth[dressed, TROUSERS])
    ease = np.stack(
        [generator.uniform(0.002, 0.016, (people, GARMENTS)), generator.uniform(0.3, 1.3, (people, GARMENTS))], -1
    )
    ease[:, JACKET, 0] += ease[:, TOP, 0] + 0.004
    ease[:, SHOES, 0] = 0.008
    printed = chance(0.3) & ~worn[:, JACKET]
    return {
        "worn": worn,
        "cloth": cloth,
        "second": second,
        "pattern": pattern,
        "repeats": np.exp(generator.uniform(np.log(15), np.log(90), (people, GARMENTS))),
        "ease": ease,
        "sleeve": np.stack([sleeve, jacket], -1),
        "neck": neck,
        "straps": uniform(0.1, 0.15),
        "hem": hem,
        "open": opened,
        "waist": uniform(0.38, 0.47),
        "legs": legs,
        "shoe": uniform(0.03, 0.16),
        "skirt": skirt,
        "print": np.stack(
            [
                np.where(printed, generator.integers(0, PRINTS, people), -1),
                np.where(chance(0.3), uniform(0.02, 0.04), uniform(0.08, 0.14)),
                uniform(0.15, 0.25),
                np.where(chance(0.3), uniform(-0.08, 0.08), 0.0),
            ],
            -1,
        ),
    }


def femininity(model: BodyModel, shape: Tensor) -> np.ndarray:
    """From 0 to 1 `(P,)`, how feminine bodies of `shape (P, S)` are: by what their chests stand out before what lies beside and below."""
    template = model.template
    places = template.new_tensor([[0.085, 0.21, -0.13], [0.0, 0.19, -0.1], [0.06, 0.33, -0.1]])
    bust, middle, below = torch.cdist(places, template).argmin(1).tolist()
    depth = model.shape_basis[:, 2]
    direction = depth[bust] - 0.5 * (depth[middle] + depth[below])
    out = -(shape @ direction) / direction.norm().clamp_min(1e-6)
    return torch.sigmoid(2.0 * out).cpu().numpy()


def match_sleeves(draw: DressDraw, look: BodyLook, person: np.ndarray) -> DressDraw:
    """The clothes `draw` of B hands, with sleeves as those of the people `person (B,)` they belong to. Gloves and bands stay.

    What the hands' sleeves are like is `edge`, `slant`, `thickness`, `folds`, `colour` and `stripes` of `DressDraw`.
    """
    outer = np.where(look.worn[:, JACKET] & (look.sleeve[:, 1] < look.sleeve[:, 0] + 0.01), 1, 0)[person]
    garment = np.where(outer == 1, JACKET, TOP)
    gloved = draw.edge > 1.0
    edge = np.where(gloved, draw.edge, -look.sleeve[person, outer]).astype(np.float32)
    cloth, second = (values[person, garment] for values in (look.cloth, look.second))
    patterned = (look.pattern[person, garment] != PLAIN)[:, None] & ~gloved[:, None]
    colour = np.stack([cloth, np.where(patterned, second - cloth, 0.0)], -1).astype(np.float32)
    ease = look.ease[person, garment, 0]
    return replace(
        draw,
        edge=edge,
        slant=np.where(gloved[:, None], draw.slant, 0.0).astype(np.float32),
        thickness=np.where(gloved[:, None], draw.thickness, np.stack([ease, 0.02 + 0 * ease], -1)).astype(np.float32),
        folds=np.where(gloved[:, None], draw.folds, draw.folds * np.array([0.5, 1.0, 1.0])).astype(np.float32),
        colour=np.where(gloved[:, None, None], draw.colour, colour).astype(np.float32),
    )
