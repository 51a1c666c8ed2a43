"""What made things are put together from: turned bodies, blocks, tubes and pictures."""

from __future__ import annotations

import cv2
import numpy as np

from phalanx.synth.things.bake import Part, plain

Colour = tuple[int, int, int]
STEEL, DARK, WHITE, WOOD, RED = (168, 170, 174), (38, 38, 42), (236, 234, 228), (168, 120, 72), (188, 36, 32)
YELLOW, BLUE, GREEN, BLACK, CREAM = (232, 182, 40), (36, 84, 168), (52, 128, 72), (18, 18, 20), (226, 208, 172)


def turned(rings: list[tuple[float, float]], colours: list[Colour] | Colour, sides: int = 14) -> list[Part]:
    """A body of revolution about z: radius and height of its rings, from below, and the colour of each band between two rings."""
    angle = np.arange(sides) * 2 * np.pi / sides
    several = colours if isinstance(colours, list) else [colours] * (len(rings) - 1)
    parts = []
    for (r0, z0), (r1, z1), colour in zip(rings[:-1], rings[1:], several, strict=True):
        lower = np.stack([r0 * np.cos(angle), r0 * np.sin(angle), np.full(sides, z0)], -1)
        upper = np.stack([r1 * np.cos(angle), r1 * np.sin(angle), np.full(sides, z1)], -1)
        i, j = np.arange(sides), np.roll(np.arange(sides), -1)
        faces = np.concatenate([np.stack([i, j, j + sides], -1), np.stack([i, j + sides, i + sides], -1)])
        parts.append(plain(np.concatenate([lower, upper]), faces, colour))
    return parts


def block(
    size: tuple[float, float, float],
    centre: tuple[float, float, float],
    colour: Colour,
    taper: float = 1.0,
    without: tuple[str, ...] = (),
) -> Part:
    """A box; its upper face is `taper` times as wide. `without` names faces that pictures take the place of: top, front or back."""
    x, y, z = (0.5 * s for s in size)
    corners = np.array([[a, b, c] for c in (-1, 1) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))], float)
    corners[4:, :2] *= taper
    faces = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
    faces += [[i, j, j + 4] for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))]
    faces += [[i, j + 4, i + 4] for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))]
    absent = {"top": (2, 3), "front": (4, 8), "back": (6, 10)}
    gone = {face for name in without for face in absent[name]}
    kept = [face for i, face in enumerate(faces) if i not in gone]
    return plain(corners * (x, y, z) + centre, np.array(kept), colour)


def picture_on(size: tuple[float, float], centre: tuple[float, float, float], image: np.ndarray) -> Part:
    """A picture that lies face up: `size` along x and y."""
    x, y = 0.5 * size[0], 0.5 * size[1]
    corners = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]]) + centre
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Part(corners, faces, np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])[faces] * 0.998 + 0.001, image)


def bent(points: list[tuple[float, float, float]], radius: float, colour: Colour, sides: int = 8) -> Part:
    """A tube along a line that lies in the plane y = 0."""
    line = np.array(points)
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, [0.0, 1.0, 0.0])
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(angle)[None, :, None] * across[:, None] + np.sin(angle)[None, :, None] * np.array([0.0, 1.0, 0.0])
    vertices = (line[:, None] + radius * ring).reshape(-1, 3)
    faces = []
    for k in range(len(line) - 1):
        for i in range(sides):
            a, b = k * sides + i, k * sides + (i + 1) % sides
            faces += [[a, b, b + sides], [a, b + sides, a + sides]]
    return plain(vertices, np.array(faces), colour)


def moved(parts: list[Part], shift: tuple[float, float, float], turn: np.ndarray | None = None) -> list[Part]:
    """The same parts, turned, then shifted."""
    rotation = np.eye(3) if turn is None else turn
    return [Part(part.vertices @ rotation.T + shift, part.faces, part.uv, part.image) for part in parts]


def half_ring(radius: float, height: float, middle: float, start: float) -> list[tuple[float, float, float]]:
    """Half an ellipse in the plane y = 0, from below: a handle that stands `radius` out from x = `start`."""
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)
    return [(start + radius * float(np.cos(a)), 0.0, middle + height * float(np.sin(a))) for a in angle]


def letters(width: int, height: int, ground: Colour, ink: Colour, seed: int, title: bool = False) -> np.ndarray:
    """A page or a cover: blocks of lines, a picture, a title."""
    generator = np.random.default_rng(seed)
    image = np.full((height, width, 3), ground, np.uint8)
    step = max(height // 18, 3)
    for top in range(step, height - step, step):
        end = int(width * generator.uniform(0.5, 0.9))
        if generator.random() < 0.85:
            cv2.line(image, (width // 10, top), (end, top), ink, 1)
    if title:
        image[height // 8 : height // 2] = np.clip(generator.normal(128, 60, 3), 0, 255).astype(np.uint8)
        cv2.circle(image, (width // 2, int(height * 0.32)), width // 5, ink, -1)
    return image


def screen(width: int, height: int, seed: int) -> np.ndarray:
    """A telephone's screen with rows of symbols and a black rim."""
    generator = np.random.default_rng(seed)
    line = np.linspace(0, 1, height)[:, None, None]
    a, b = generator.uniform(0, 255, (2, 3))
    image = np.broadcast_to(a * (1 - line) + b * line, (height, width, 3)).astype(np.uint8).copy()
    for row in range(5):
        for column in range(4):
            if generator.random() < 0.8:
                x, y = int((column + 0.5) * width / 4), int((row + 0.7) * height / 6)
                colour = tuple(int(c) for c in generator.uniform(20, 255, 3))
                half = width // 11
                cv2.rectangle(image, (x - half, y - half), (x + half, y + half), colour, -1)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), BLACK, max(width // 20, 2))
    return image


def keys(rows: int, columns: int, ground: Colour, key: Colour) -> np.ndarray:
    image = np.full((rows * 10, columns * 10, 3), ground, np.uint8)
    for row in range(rows):
        for column in range(columns):
            image[row * 10 + 2 : row * 10 + 9, column * 10 + 2 : column * 10 + 9] = key
    return image


def handle(half: float, rise: float, base: float) -> list[tuple[float, float, float]]:
    """A handle along x: how far it reaches to either side, how high it stands, and over what."""
    return [
        (x, 0.0, z)
        for x, z in (
            (-half, base - 0.03),
            (-half, base + rise * 0.7),
            (-half * 0.8, base + rise),
            (half * 0.8, base + rise),
            (half, base + rise * 0.7),
            (half, base - 0.03),
        )
    ]
