"""Things that no free model was found for, made of simple shapes: tools, pens, crockery, telephones, instruments."""

from __future__ import annotations

import cv2
import numpy as np
from thing_shapes import (
    BLACK,
    BLUE,
    CREAM,
    DARK,
    RED,
    STEEL,
    WHITE,
    WOOD,
    YELLOW,
    Colour,
    bent,
    block,
    half_ring,
    handle,
    keys,
    letters,
    moved,
    picture_on,
    screen,
    turned,
)

from phalanx.synth.things.bake import Part, plain


def mug(colour: Colour, inside: Colour = WHITE) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.036, 0.0),
        (0.039, 0.006),
        (0.04, 0.05),
        (0.04, 0.095),
        (0.036, 0.095),
        (0.036, 0.012),
        (0.0, 0.01),
    ]
    return [*turned(rings, [colour] * 4 + [inside] * 3, 18), bent(half_ring(0.03, 0.03, 0.048, 0.037), 0.006, colour)]


def glass() -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.033, 0.0),
        (0.004, 0.012),
        (0.004, 0.085),
        (0.025, 0.1),
        (0.038, 0.13),
        (0.036, 0.165),
        (0.032, 0.2),
    ]
    pale = (196, 204, 206)
    inner = [(0.031, 0.2), (0.035, 0.165), (0.036, 0.14), (0.0, 0.14)]
    return [*turned(rings, pale, 16), *turned(inner, [pale, pale, (96, 20, 34)], 16)]


def tumbler(colour: Colour) -> list[Part]:
    rings = [(0.0, 0.0), (0.028, 0.0), (0.036, 0.12), (0.034, 0.12), (0.027, 0.008), (0.0, 0.008)]
    return turned(rings, colour, 16)


def bottle(body: Colour, cap: Colour, label: Colour) -> list[Part]:
    rings = [(0.0, 0.0), (0.03, 0.0), (0.0325, 0.008), (0.0325, 0.05), (0.0325, 0.12), (0.0325, 0.15), (0.026, 0.175)]
    rings += [(0.0125, 0.2), (0.0125, 0.208), (0.0145, 0.208), (0.0145, 0.225), (0.0, 0.225)]
    return turned(rings, [body] * 3 + [label, *[body] * 4, cap, cap, cap], 16)


def wine(colour: Colour) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.037, 0.0),
        (0.037, 0.07),
        (0.037, 0.15),
        (0.037, 0.19),
        (0.03, 0.215),
        (0.0145, 0.24),
        (0.0145, 0.3),
    ]
    return turned([*rings, (0.0, 0.3)], [colour, colour, CREAM, colour, colour, colour, RED, RED], 16)


def tin(colour: Colour, band: Colour) -> list[Part]:
    rings = [
        (0.0, 0.001),
        (0.026, 0.0),
        (0.033, 0.006),
        (0.033, 0.04),
        (0.033, 0.085),
        (0.033, 0.112),
        (0.027, 0.121),
        (0.0, 0.118),
    ]
    return turned(rings, [STEEL, STEEL, colour, band, colour, STEEL, STEEL], 16)


def paper_cup() -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.029, 0.0),
        (0.033, 0.035),
        (0.036, 0.08),
        (0.039, 0.108),
        (0.042, 0.11),
        (0.04, 0.12),
        (0.0, 0.122),
    ]
    return turned(rings, [WHITE, WHITE, WOOD, WHITE, DARK, DARK, DARK], 16)


def jar() -> list[Part]:
    rings = [(0.0, 0.0), (0.034, 0.0), (0.036, 0.01), (0.036, 0.07), (0.034, 0.078), (0.034, 0.095), (0.0, 0.095)]
    return turned(rings, [(150, 60, 40), (150, 60, 40), CREAM, (150, 60, 40), YELLOW, YELLOW], 16)


def pen(body: Colour, tip: Colour, radius: float = 0.0048) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.001, 0.0),
        (radius * 0.8, 0.018),
        (radius, 0.026),
        (radius, 0.09),
        (radius, 0.128),
        (radius * 0.8, 0.14),
    ]
    parts = turned([*rings, (0.0, 0.141)], [tip, tip, tip, body, body, tip, tip], 10)
    return parts + [block((0.002, 0.003, 0.035), (radius + 0.001, 0.0, 0.115), tip)]


def pencil(colour: Colour) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.001, 0.003),
        (0.0038, 0.022),
        (0.0038, 0.15),
        (0.0038, 0.156),
        (0.0037, 0.166),
        (0.0, 0.168),
    ]
    return turned(rings, [BLACK, CREAM, colour, STEEL, (220, 130, 130), (220, 130, 130)], 6)


def brush(handle: Colour, head: Colour) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.002, 0.003),
        (0.0055, 0.03),
        (0.0055, 0.06),
        (0.0038, 0.13),
        (0.0042, 0.145),
        (0.0042, 0.165),
        (0.006, 0.178),
    ]
    return turned([*rings, (0.0, 0.2)], [handle] * 5 + [STEEL, head, head], 10)


def screwdriver(handle: Colour) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.01, 0.001),
        (0.014, 0.01),
        (0.014, 0.05),
        (0.0125, 0.07),
        (0.014, 0.09),
        (0.008, 0.105),
        (0.0032, 0.108),
    ]
    rings += [(0.0032, 0.19), (0.0012, 0.2), (0.0, 0.2)]
    return turned(rings, [DARK, handle, handle, DARK, handle, handle, STEEL, STEEL, STEEL, STEEL], 10)


def hammer(grip: Colour) -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.012, 0.0),
        (0.0155, 0.008),
        (0.0145, 0.06),
        (0.0145, 0.13),
        (0.012, 0.16),
        (0.0105, 0.28),
        (0.0, 0.281),
    ]
    parts = turned(rings, [grip] * 5 + [WOOD, STEEL], 10)
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    head = turned(
        [(0.0, -0.045), (0.015, -0.045), (0.015, -0.03), (0.012, -0.022), (0.012, 0.02), (0.006, 0.055), (0.0, 0.06)],
        STEEL,
        10,
    )
    return parts + moved(head, (0.0, 0.0, 0.272), turn)


def wrench() -> list[Part]:
    parts = [block((0.017, 0.008, 0.15), (0, 0, 0.1), STEEL)]
    for z, size in ((0.012, 0.021), (0.19, 0.024)):
        parts += [block((size * 1.8, 0.009, size), (0, 0, z), STEEL)]
        parts += [
            block((size * 0.5, 0.009, size), (s * size * 0.65, 0, z + np.sign(z - 0.1) * size * 0.8), STEEL)
            for s in (-1, 1)
        ]
    return parts


def pliers(grip: Colour) -> list[Part]:
    parts = [block((0.02, 0.01, 0.05), (0, 0, 0.15), STEEL, 0.5)]
    for s in (-1, 1):
        line = [(s * 0.02, 0.0, 0.0), (s * 0.023, 0.0, 0.04), (s * 0.018, 0.0, 0.09), (s * 0.004, 0.0, 0.13)]
        parts.append(bent(line, 0.007, grip))
    return parts


def torch_lamp() -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.014, 0.0),
        (0.0155, 0.008),
        (0.0145, 0.06),
        (0.0155, 0.11),
        (0.0215, 0.135),
        (0.0215, 0.155),
        (0.019, 0.156),
    ]
    return turned([*rings, (0.0, 0.15)], [BLACK, BLACK, DARK, DARK, BLACK, STEEL, BLACK, (250, 246, 214)], 14)


def knife() -> list[Part]:
    return [
        block((0.024, 0.016, 0.11), (0, 0, 0.055), BLACK),
        block((0.03, 0.0025, 0.14), (0.002, 0, 0.18), STEEL, 0.4),
    ]


def spoon() -> list[Part]:
    parts = [block((0.009, 0.003, 0.13), (0, 0, 0.065), STEEL, 0.7)]
    bowl = turned([(0.0, -0.03), (0.014, -0.018), (0.0185, 0.0), (0.015, 0.016), (0.0, 0.028)], STEEL, 10)
    return parts + [Part(part.vertices * (1, 0.3, 1) + (0, 0, 0.155), part.faces, part.uv, part.image) for part in bowl]


def fork() -> list[Part]:
    parts = [
        block((0.009, 0.003, 0.125), (0, 0, 0.0625), STEEL, 0.7),
        block((0.023, 0.003, 0.022), (0, 0, 0.135), STEEL),
    ]
    return parts + [block((0.003, 0.0025, 0.045), (x, 0, 0.167), STEEL) for x in (-0.01, -0.0033, 0.0033, 0.01)]


def toothbrush(colour: Colour) -> list[Part]:
    parts = [block((0.013, 0.011, 0.11), (0, 0, 0.055), colour), block((0.007, 0.006, 0.08), (0, 0, 0.15), WHITE)]
    return parts + [block((0.011, 0.011, 0.026), (0, 0.008, 0.177), BLUE)]


def recorder() -> list[Part]:
    rings = [
        (0.0, 0.0),
        (0.013, 0.0),
        (0.015, 0.02),
        (0.0105, 0.04),
        (0.0105, 0.2),
        (0.013, 0.205),
        (0.013, 0.25),
        (0.009, 0.31),
        (0.0, 0.31),
    ]
    parts = turned(rings, [CREAM, CREAM, CREAM, (96, 56, 32), CREAM, CREAM, (96, 56, 32), CREAM], 12)
    return parts + [block((0.003, 0.007, 0.007), (0.0105, 0, z), BLACK) for z in np.linspace(0.06, 0.18, 7)]


def ukulele() -> list[Part]:
    body = turned(
        [(0.0, 0.0), (0.09, 0.0), (0.095, 0.03), (0.09, 0.06), (0.0, 0.06)],
        [WOOD, (120, 70, 36), (120, 70, 36), (206, 160, 98)],
        18,
    )
    body = [Part(part.vertices * (1, 1.25, 1), part.faces, part.uv, part.image) for part in body]
    neck = [
        block((0.036, 0.28, 0.02), (0, 0.24, 0.052), (70, 42, 28)),
        block((0.06, 0.1, 0.016), (0, 0.42, 0.05), WOOD),
    ]
    hole = [
        plain(part.vertices + (0, 0.02, 0.0605), part.faces, BLACK)
        for part in turned([(0.028, 0), (0.0, 0.001)], BLACK, 14)
    ]
    return body + neck + hole


def phone(back: Colour, seed: int, size: tuple[float, float, float] = (0.072, 0.148, 0.0085)) -> list[Part]:
    width, long, thick = size
    shown = picture_on((width, long), (0, 0, thick), screen(60, 120, seed))
    camera = block((0.022, 0.026, 0.0012), (-width * 0.27, long * 0.35, -0.0006), BLACK)
    return [block(size, (0, 0, 0.5 * thick), back, without=("top",)), shown, camera]


def keyed(size: tuple[float, float, float], rows: int, columns: int, body: Colour, key: Colour) -> list[Part]:
    """Keyboards, remote controls, calculators."""
    top = picture_on(size[:2], (0, 0, size[2]), keys(rows, columns, body, key))
    return [block(size, (0, 0, 0.5 * size[2]), body, without=("top",)), top]


def mouse() -> list[Part]:
    parts = turned(
        [(0.0, 0.0), (0.03, 0.0), (0.032, 0.012), (0.024, 0.029), (0.0, 0.036)],
        [DARK, DARK, (70, 70, 74), (70, 70, 74)],
        14,
    )
    return [Part(part.vertices * (1, 1.75, 1), part.faces, part.uv, part.image) for part in parts]


def book(cover: Colour, seed: int, size: tuple[float, float, float]) -> list[Part]:
    width, long, thick = size
    pages = block((width * 0.97, long * 0.97, thick - 0.004), (0.002, 0, 0.5 * thick), CREAM)
    back = block((width, long, 0.002), (0, 0, 0.001), cover)
    front = block((width, long, 0.002), (0, 0, thick - 0.001), cover, without=("top",))
    spine = block((0.002, long, thick - 0.004), (-0.5 * width + 0.001, 0, 0.5 * thick), cover)
    return [
        pages,
        back,
        front,
        spine,
        picture_on((width, long), (0, 0, thick), letters(80, 110, cover, WHITE, seed, True)),
    ]


def laptop() -> list[Part]:
    parts = keyed((0.32, 0.22, 0.016), 6, 14, (150, 152, 156), DARK)
    lean = np.array([[1.0, 0, 0], [0, 0.26, -0.966], [0, 0.966, 0.26]])
    lid = block((0.32, 0.21, 0.006), (0, 0.105, -0.003), (150, 152, 156), without=("top",))
    return parts + moved([lid, picture_on((0.32, 0.21), (0, 0.105, 0.0), screen(160, 100, 3))], (0, 0.11, 0.012), lean)


def monitor() -> list[Part]:
    stand = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    page = letters(200, 120, (222, 226, 232), (40, 60, 90), 5)
    panel = block((0.54, 0.32, 0.03), (0, 0, -0.015), BLACK, without=("top",))
    foot = [block((0.06, 0.03, 0.2), (0, 0.02, 0.1), DARK), block((0.24, 0.18, 0.012), (0, 0, 0.006), DARK)]
    return [*moved([panel, picture_on((0.54, 0.32), (0, 0, 0.0), page)], (0, -0.03, 0.32), stand), *foot]


def ball(radius: float, colour: Colour, other: Colour | None = None, long: float = 1.0) -> list[Part]:
    height = np.linspace(-np.pi / 2, np.pi / 2, 11)
    rings = [(radius * float(np.cos(h)), radius * long * float(1 + np.sin(h))) for h in height]
    bands = [colour if other is None or i % 4 < 3 else other for i in range(10)]
    return turned(rings, bands, 16)


def apple(colour: Colour) -> list[Part]:
    rings = [
        (0.0, 0.004),
        (0.014, 0.0),
        (0.03, 0.014),
        (0.0375, 0.038),
        (0.034, 0.058),
        (0.018, 0.068),
        (0.004, 0.06),
        (0.0, 0.06),
    ]
    return turned(rings, colour, 16) + [block((0.003, 0.003, 0.018), (0, 0, 0.068), (84, 58, 34))]


def plate(colour: Colour, rim: Colour) -> list[Part]:
    rings = [(0.0, 0.0), (0.055, 0.0), (0.1, 0.016), (0.1, 0.019), (0.07, 0.012), (0.055, 0.005), (0.0, 0.004)]
    return turned(rings, [colour, colour, rim, rim, colour, colour], 22)


def die(side: float, colour: Colour, dots: Colour) -> list[Part]:
    image = np.full((24, 24, 3), colour, np.uint8)
    for x, y in ((6, 6), (18, 18), (12, 12), (6, 18), (18, 6)):
        cv2.circle(image, (x, y), 2, dots, -1)
    return [
        block((side,) * 3, (0, 0, side / 2), colour, without=("top",)),
        picture_on((side, side), (0, 0, side), image),
    ]


def card(front: Colour, seed: int) -> list[Part]:
    image = letters(72, 44, front, WHITE, seed)
    image[8:18, 8:22] = (212, 184, 96)
    size = (0.0856, 0.054, 0.0009)
    return [block(size, (0, 0, 0.00045), front, without=("top",)), picture_on(size[:2], (0, 0, 0.0009), image)]


def coin(colour: Colour) -> list[Part]:
    return turned([(0.0, 0.0), (0.012, 0.0), (0.012, 0.0022), (0.0105, 0.002), (0.0, 0.002)], colour, 16)


def carton(size: tuple[float, float, float], ground: Colour, seed: int) -> list[Part]:
    """A box with print on two sides."""
    x, y, z = size
    front = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    back = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    printed = [picture_on((x, z), (0, 0, 0), letters(60, 90, ground, DARK, seed, True))]
    body = block(size, (0, 0, 0.5 * z), ground, without=("front", "back"))
    return [body, *moved(printed, (0, -0.5 * y, 0.5 * z), front), *moved(printed, (0, 0.5 * y, 0.5 * z), back)]


def bag(colour: Colour) -> list[Part]:
    bar = bent(handle(0.075, 0.085, 0.3), 0.007, DARK)
    return [block((0.3, 0.1, 0.28), (0, 0, 0.14), colour, 0.9), bar]


def bucket(colour: Colour) -> list[Part]:
    rings = [(0.0, 0.0), (0.095, 0.0), (0.125, 0.23), (0.12, 0.23), (0.092, 0.01), (0.0, 0.01)]
    line = [
        (x, 0.0, z)
        for x, z in (
            (-0.12, 0.22),
            (-0.115, 0.3),
            (-0.075, 0.36),
            (-0.055, 0.37),
            (0.055, 0.37),
            (0.075, 0.36),
            (0.115, 0.3),
            (0.12, 0.22),
        )
    ]
    return [*turned(rings, colour, 18), bent(line, 0.007, STEEL)]


def racket() -> list[Part]:
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, 25)
    rim = [(0.125 * float(np.cos(a)), 0.0, 0.5 + 0.165 * float(np.sin(a))) for a in angle]
    grip = turned(
        [(0.0, 0.0), (0.017, 0.0), (0.0165, 0.02), (0.0155, 0.2), (0.01, 0.22), (0.009, 0.34), (0.0, 0.34)], DARK, 10
    )
    strings = [block((0.0015, 0.0015, 0.26), (x, 0, 0.5), CREAM) for x in np.linspace(-0.07, 0.07, 5)]
    return [
        *grip,
        bent(rim, 0.009, RED),
        *strings,
        *(block((0.2, 0.0015, 0.0015), (0, 0, z), CREAM) for z in (0.42, 0.5, 0.58)),
    ]


def desk_lamp(colour: Colour) -> list[Part]:
    foot = turned([(0.0, 0.0), (0.08, 0.0), (0.08, 0.012), (0.0, 0.018)], colour, 16)
    arms = [
        bent([(0.0, 0.0, 0.01), (-0.09, 0.0, 0.2)], 0.006, STEEL),
        bent([(-0.09, 0.0, 0.2), (0.06, 0.0, 0.36)], 0.006, STEEL),
    ]
    shade = turned([(0.07, -0.06), (0.045, 0.0), (0.02, 0.03), (0.0, 0.035)], colour, 14)
    return [*foot, *arms, *moved(shade, (0.09, 0.0, 0.35)), *moved(ball(0.02, (250, 244, 214)), (0.09, 0.0, 0.31))]
