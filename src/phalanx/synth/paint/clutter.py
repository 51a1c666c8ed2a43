"""Procedural backgrounds: painters that fill one tile with something a camera might see behind a hand.

Every painter takes a NumPy generator and a side length in pixels and returns an RGB tile `(side, side, 3)` in 0..255. They run
only when a bank of tiles is built (`background.py`), so they may use OpenCV's drawing functions freely.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import cv2
import numpy as np

Painter = Callable[[np.random.Generator, int], np.ndarray]

PALETTE = np.array(  # paints, furniture, packaging, clothes; RGB
    [
        [235, 233, 228], [205, 200, 190], [150, 146, 140], [92, 92, 96], [40, 41, 45], [120, 86, 58], [171, 128, 86],
        [214, 184, 140], [66, 84, 110], [44, 62, 120], [80, 130, 180], [150, 190, 215], [60, 110, 70], [130, 160, 90],
        [190, 50, 45], [225, 120, 50], [235, 200, 70], [110, 50, 90], [220, 150, 160], [70, 120, 125], [24, 24, 28],
        [250, 250, 248], [88, 60, 44], [180, 175, 160],
    ],
    dtype=np.float64,
)  # fmt: skip
_SKIN = np.array(
    [[244, 215, 196], [232, 190, 165], [222, 172, 142], [205, 150, 115], [176, 120, 88], [130, 84, 60], [84, 54, 40]],
    dtype=np.float64,
)


def _colour(generator: np.random.Generator, spread: float = 18.0) -> np.ndarray:
    """A plausible colour `(3,)`: mostly paint and packaging, sometimes any."""
    if generator.random() < 0.15:
        return generator.uniform(0, 255, 3)
    return np.clip(PALETTE[generator.integers(len(PALETTE))] + generator.normal(0, spread, 3), 0, 255)


def skin_colour(generator: np.random.Generator) -> np.ndarray:
    """A skin-like colour `(3,)` in 0..255."""
    colour = _SKIN[generator.integers(len(_SKIN))] * generator.uniform(0.75, 1.05)
    return np.clip(colour + generator.normal(0, 7, 3), 0, 255)


def _scalar(colour: np.ndarray) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _pixel(x: float, y: float) -> tuple[int, int]:
    return int(x), int(y)


def fractal_noise(generator: np.random.Generator, side: int, power: float, channels: int = 1) -> np.ndarray:
    """Noise `(side, side, channels)` whose amplitude falls as frequency to `-power`; zero mean, unit deviation."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(generator.normal(size=(channels, side, side))) / frequency**power
    spectrum[:, 0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return (noise / (noise.std(axis=(1, 2), keepdims=True) + 1e-9)).transpose(1, 2, 0)


def _shade(tile: np.ndarray, generator: np.random.Generator, strength: float = 0.35) -> np.ndarray:
    """Multiply by a smooth field of light."""
    side = tile.shape[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle, curve = generator.uniform(0, 2 * np.pi), generator.normal(0, 0.5)
    centre = generator.uniform(-0.6, 0.6, 2)
    field = np.cos(angle) * x + np.sin(angle) * y + curve * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    field = 1.0 + strength * generator.uniform(0.2, 1.5) * (field - field.mean())
    return np.clip(tile * field[..., None], 0, 255)


def _grain(tile: np.ndarray, generator: np.random.Generator, amount: float) -> np.ndarray:
    return np.clip(tile + amount * fractal_noise(generator, tile.shape[0], generator.uniform(0.3, 1.2)), 0, 255)


def wall(generator: np.random.Generator, side: int) -> np.ndarray:
    """A plain wall or sheet of paper with uneven light, a corner or a faint fold."""
    colour = (
        _colour(generator, 10)
        if generator.random() < 0.5
        else np.full(3, generator.uniform(90, 250)) + generator.normal(0, 8, 3)
    )
    tile = np.tile(np.clip(colour, 0, 255), (side, side, 1)).astype(np.float64)
    y, x = np.mgrid[0:side, 0:side] / side
    for _ in range(generator.integers(0, 3)):
        angle, offset = generator.uniform(0, np.pi), generator.uniform(0.1, 0.9)
        distance = np.cos(angle) * (x - offset) + np.sin(angle) * (y - offset)
        width = generator.uniform(0.003, 0.15)
        tile *= (1.0 + generator.normal(0, 0.12) / (1.0 + np.exp(-np.clip(distance / width, -30, 30))))[..., None]
    return _grain(_shade(tile, generator, 0.7), generator, generator.uniform(0.5, 6))


def coloured_noise(generator: np.random.Generator, side: int) -> np.ndarray:
    """Clouds of colour with a natural picture's spectrum."""
    noise = fractal_noise(generator, side, generator.uniform(0.8, 1.8), 3)
    mixing = np.linalg.qr(generator.normal(size=(3, 3)))[0] * np.array([60, 18, 10]) * generator.uniform(0.5, 1.2)
    mixing[:, 0] = 60 * generator.uniform(0.5, 1)
    return np.clip(_colour(generator) * 0.5 + 64 + noise @ mixing.T, 0, 255)


def dead_leaves(generator: np.random.Generator, side: int) -> np.ndarray:
    """Shapes of all sizes over one another, each with its own shading: the statistics of cluttered scenes."""
    tile = np.tile(_colour(generator), (side, side, 1)).astype(np.float32)
    texture = fractal_noise(generator, side, 1.0).astype(np.float32)
    for radius in np.sort(np.clip(side * 0.02 / generator.power(1.3, 70), 2, side * 0.4))[::-1]:
        centre = generator.uniform(-0.1, 1.1, 2) * side
        corners = generator.integers(3, 7)
        angle = generator.uniform(0, 2 * np.pi) + np.sort(generator.uniform(0, 2 * np.pi, corners))
        points = centre + radius * generator.uniform(0.5, 1.2, (corners, 1)) * np.stack(
            [np.cos(angle), np.sin(angle)], 1
        )
        mask = np.zeros((side, side), np.uint8)
        kind = generator.random()
        if kind < 0.4:
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
        elif kind < 0.75:
            axes = (int(radius), int(max(1.0, radius * generator.uniform(0.2, 1.0))))
            cv2.ellipse(mask, _pixel(*centre), axes, float(generator.uniform(0, 180)), 0, 360, 1, -1)
        else:
            box = (
                (float(centre[0]), float(centre[1])),
                (float(radius * 2), float(radius * generator.uniform(0.2, 2))),
                float(generator.choice([0.0, 0.0, generator.uniform(0, 90)])),
            )
            cv2.fillPoly(mask, [cv2.boxPoints(box).astype(np.int32)], 1)
        colour = skin_colour(generator) if generator.random() < 0.12 else _colour(generator)
        inside = mask.astype(bool)
        tile[inside] = colour + generator.uniform(0, 14) * texture[inside]
    return _shade(np.clip(tile, 0, 255), generator)


def _box_front(tile: np.ndarray, generator: np.random.Generator, x0: int, y0: int, x1: int, y1: int) -> None:
    """One packaged thing: a body with a rounded shading, bands and a label."""
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    colour = _colour(generator, 25)
    body = np.tile(colour, (y1 - y0, x1 - x0, 1))
    for _ in range(generator.integers(0, 4)):
        top, height = generator.integers(0, y1 - y0), generator.integers(1, max(2, (y1 - y0) // 3))
        body[top : top + height] = _colour(generator, 25)
    across = np.linspace(-1, 1, x1 - x0)
    if generator.random() < 0.6:  # a can or bottle: lit from one side, with a highlight
        light = 1 - 0.55 * (across - generator.uniform(-0.4, 0.4)) ** 2
        light = light + generator.uniform(0, 0.8) * np.exp(-(((across - generator.uniform(-0.7, 0.7)) / 0.12) ** 2))
    else:
        light = np.ones_like(across) * generator.uniform(0.6, 1.1)
    tile[y0:y1, x0:x1] = np.clip(body * light[None, :, None], 0, 255)


def shelves(generator: np.random.Generator, side: int) -> np.ndarray:
    """Rows of boxes, bottles, tins or books."""
    tile = np.tile(_colour(generator) * generator.uniform(0.15, 0.7), (side, side, 1))
    row_height = int(side / generator.uniform(1.5, 6.5))
    y = -int(generator.integers(0, row_height))
    board = _colour(generator)
    regular = generator.random() < 0.5
    while y < side:
        x, width = -int(generator.integers(0, 12)), int(generator.uniform(0.12, 0.7) * row_height) + 2
        state = generator.integers(1 << 31)
        kinds = [int(generator.integers(1 << 31)) for _ in range(3)]
        while x < side:
            if not regular:
                width = int(generator.uniform(0.08, 0.6) * row_height) + 2
            height = int(row_height * (0.75 if regular else generator.uniform(0.45, 0.88)))
            top, bottom = max(0, y + row_height - height), min(side, y + row_height - 2)
            own = np.random.default_rng(kinds[int(generator.integers(3))] if regular else state + x)
            _box_front(tile, own, max(0, x), top, min(side, x + width - int(generator.integers(0, 3))), bottom)
            x += width + int(generator.integers(0, 3))
        cv2.rectangle(
            tile, (0, y + row_height - 2), (side, y + row_height + max(1, row_height // 20)), _scalar(board), -1
        )
        y += row_height
    return _shade(tile, generator)


def windows(generator: np.random.Generator, side: int) -> np.ndarray:
    """Window, door or picture frames on a wall, bright or dark inside."""
    tile = wall(generator, side)
    for _ in range(generator.integers(1, 5)):
        x0, y0 = generator.integers(-side // 4, side, 2)
        w, h = (generator.uniform(0.15, 0.8, 2) * side).astype(int)
        inside = np.full(3, generator.uniform(200, 255)) if generator.random() < 0.4 else _colour(generator)
        corners = _pixel(x0, y0), _pixel(x0 + w, y0 + h)
        cv2.rectangle(tile, *corners, _scalar(inside), -1)
        cv2.rectangle(tile, *corners, _scalar(_colour(generator)), int(generator.integers(1, 10)))
        if generator.random() < 0.5:
            bar = _pixel(x0 + w // 2, y0), _pixel(x0 + w // 2, y0 + h)
            cv2.line(tile, *bar, _scalar(_colour(generator)), int(generator.integers(1, 5)))
    return _grain(_shade(tile, generator), generator, 3)


def tiling(generator: np.random.Generator, side: int) -> np.ndarray:
    """Bricks, bathroom tiles, planks, chequered cloth."""
    base, joint = _colour(generator), _colour(generator)
    tile = np.tile(joint, (side, side, 1))
    h = int(generator.uniform(0.03, 0.3) * side) + 2
    w = int(h * generator.choice([1.0, 1.0, 2.2, 6.0]))
    gap, shift = int(generator.integers(0, 3)), generator.choice([0.0, 0.5])
    for row, y in enumerate(range(-h, side, h)):
        for x in range(-w - int(shift * w * (row % 2)), side, w):
            colour = np.clip(base + generator.normal(0, generator.uniform(2, 22), 3), 0, 255)
            cv2.rectangle(tile, (x, y), (x + w - 1 - gap, y + h - 1 - gap), _scalar(colour), -1)
    return _grain(_shade(tile, generator), generator, 5)


def poster(generator: np.random.Generator, side: int) -> np.ndarray:
    """Text-like marks on paper, a screen or a shirt."""
    tile = np.tile(_colour(generator, 8).astype(np.uint8), (side, side, 1))  # OpenCV writes text on 8-bit pictures only
    for _ in range(generator.integers(2, 14)):
        ink, size = _scalar(_colour(generator)), float(generator.uniform(0.25, 2.2)) * side / 256
        letters = "".join(chr(c) for c in generator.integers(48, 90, generator.integers(2, 16)))
        origin = (int(generator.integers(-side // 3, side)), int(generator.integers(0, side)))
        cv2.putText(tile, letters, origin, int(generator.integers(0, 5)), size, ink, max(1, int(size * 2)), cv2.LINE_AA)
    for _ in range(generator.integers(0, 5)):
        p, q = generator.integers(0, side, 2), generator.integers(0, side, 2)
        cv2.rectangle(tile, _pixel(*p), _pixel(*q), _scalar(_colour(generator)), int(generator.choice([1, 2, -1])))
    return _shade(tile, generator, 0.2)


def cloth(generator: np.random.Generator, side: int) -> np.ndarray:
    """Folded cloth: plain, striped or plaid."""
    y, x = np.mgrid[0:side, 0:side] / side
    angle = generator.uniform(0, np.pi)
    warp = 0.012 * fractal_noise(generator, side, 2.0)[..., 0]
    along = np.cos(angle) * x + np.sin(angle) * y + warp
    across = -np.sin(angle) * x + np.cos(angle) * y + warp
    tile = np.tile(_colour(generator), (side, side, 1))
    for direction in (along, across):
        if generator.random() < 0.4:
            stripes = (np.sin(direction * generator.uniform(10, 120)) > generator.uniform(-0.5, 0.8))[..., None]
            tile = np.where(stripes, 0.5 * tile + 0.5 * _colour(generator), tile)
    folds = fractal_noise(generator, side, generator.uniform(1.4, 2.0))[..., 0]
    light = 1 + generator.uniform(0.05, 0.3) * np.sin(2.5 * folds + generator.uniform(3, 15) * along)
    return _grain(np.clip(tile * light[..., None], 0, 255), generator, 4)


def foliage(generator: np.random.Generator, side: int) -> np.ndarray:
    """Leaves, grass, gravel: many small strokes of one family of colours."""
    family = np.array([[60, 90, 40], [110, 140, 60], [140, 120, 80], [120, 120, 115]])[generator.integers(4)]
    tile = np.tile(family * 0.4, (side, side, 1)).astype(np.float64)
    for _ in range(int(generator.uniform(150, 500))):
        centre = generator.integers(0, side, 2)
        axes = (int(generator.integers(2, side // 12)), int(generator.integers(1, 5)))
        colour = np.clip(family * generator.uniform(0.4, 1.7) + generator.normal(0, 12, 3), 0, 255)
        cv2.ellipse(tile, _pixel(*centre), axes, float(generator.uniform(0, 180)), 0, 360, _scalar(colour), -1)
    return _shade(tile, generator)


def lights(generator: np.random.Generator, side: int) -> np.ndarray:
    """Out-of-focus lamps in a dark place."""
    tile = np.tile(_colour(generator) * 0.2, (side, side, 1))
    layer = np.zeros_like(tile)
    for _ in range(generator.integers(3, 30)):
        centre = generator.integers(0, side, 2)
        radius = int(generator.integers(2, side // 10))
        cv2.circle(layer, _pixel(*centre), radius, _scalar(_colour(generator)), -1)
    return np.clip(tile + cv2.GaussianBlur(layer, (0, 0), float(generator.uniform(1, 5))), 0, 255)


def desk(generator: np.random.Generator, side: int) -> np.ndarray:
    """A table top below a wall, with things on it: lines of perspective."""
    tile = wall(generator, side)
    horizon = int(generator.uniform(0.1, 0.75) * side)
    wood = _colour(generator)
    top = _grain(np.tile(wood, (side, side, 1)), generator, 8)
    tile[horizon:] = top[horizon:]
    for _ in range(generator.integers(0, 10)):
        x, w = int(generator.integers(-20, side)), int(generator.uniform(0.05, 0.4) * side)
        base = int(generator.uniform(horizon / side, 1.0) * side)
        _box_front(
            tile, generator, max(0, x), max(0, base - int(generator.uniform(0.05, 0.5) * side)), min(side, x + w), base
        )
    for _ in range(generator.integers(0, 6)):  # planks or cables running away
        cv2.line(
            tile,
            (int(generator.uniform(0, side)), horizon),
            (int(generator.uniform(-side, 2 * side)), side),
            _scalar(wood * 0.7),
            int(generator.integers(1, 3)),
        )
    return _shade(tile, generator)


def person(generator: np.random.Generator, side: int) -> np.ndarray:
    """Somebody behind the hand: clothes, neck, a face-like oval with hair, eyes and mouth."""
    tile = [wall, shelves, windows, dead_leaves][generator.integers(4)](generator, side)
    skin = skin_colour(generator)
    scale = side * generator.uniform(0.25, 0.95)
    cx, cy = generator.uniform(0, 1) * side, generator.uniform(-0.1, 0.75) * side
    shirt = cloth(generator, side)

    def oval(
        target: np.ndarray,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: tuple[float, ...] | int,
        tilt: float = 0.0,
    ) -> None:
        """Half axes in units of `scale`, at least a pixel; the place in those units from (cx, cy)."""
        axes = max(1, int(width * scale)), max(1, int(height * scale))
        cv2.ellipse(target, _pixel(cx + x * scale, cy + y * scale), axes, tilt, 0, 360, colour, -1)

    mask = np.zeros((side, side), np.uint8)
    oval(mask, 0, 1.5, 0.95, 0.95, 1)
    tile = np.where(mask[..., None] > 0, shirt, tile)
    neck = _pixel(cx - 0.17 * scale, cy), _pixel(cx + 0.17 * scale, cy + 0.65 * scale)
    cv2.rectangle(tile, *neck, _scalar(skin * 0.8), -1)
    hair = np.array([[28, 22, 20], [60, 42, 30], [120, 90, 60], [150, 146, 140]])[generator.integers(4)] * 1.0
    tilt = float(generator.normal(0, 12))
    oval(tile, 0, -0.08, 0.37, 0.48, _scalar(hair), tilt)
    oval(tile, 0, 0.03, 0.3, 0.42, _scalar(skin), tilt)
    for sign in (-1, 1):
        oval(tile, sign * 0.12, -0.02, 0.05, 0.02, _scalar(hair), tilt)
        oval(tile, sign * 0.12, -0.08, 0.06, 0.012, _scalar(hair), tilt)
    oval(tile, 0, 0.24, 0.09, 0.025, _scalar(skin * np.array([0.85, 0.55, 0.55])), tilt)
    tile = cv2.GaussianBlur(tile, (0, 0), max(0.6, 0.012 * scale))
    return _shade(np.clip(tile, 0, 255), generator)


def limbs(generator: np.random.Generator, side: int) -> np.ndarray:
    """Skin-coloured capsules and ovals: arms, legs, shoulders that are not the hand looked for."""
    tile = [wall, cloth, coloured_noise, dead_leaves, desk][generator.integers(5)](generator, side)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    skin = skin_colour(generator)
    for _ in range(generator.integers(1, 5)):
        p, q = generator.uniform(-0.2, 1.2, (2, 2)) * side
        radius = generator.uniform(0.02, 0.16) * side
        along = q - p
        t = np.clip(((x - p[0]) * along[0] + (y - p[1]) * along[1]) / (along @ along + 1e-6), 0, 1)
        distance = np.hypot(x - p[0] - t * along[0], y - p[1] - t * along[1]) / (
            radius * (1 + 0.4 * generator.normal() * (t - 0.5)).clip(0.3, 2)
        )
        round_light = np.sqrt(np.clip(1 - distance**2, 0, 1)) * generator.uniform(0.2, 0.6) + generator.uniform(
            0.5, 0.8
        )
        alpha = np.clip((1 - distance) * radius / 1.5, 0, 1)[..., None]
        tile = tile * (1 - alpha) + alpha * np.clip(skin * round_light[..., None], 0, 255)
    return _shade(tile, generator, 0.25)


PAINTERS: tuple[tuple[Painter, float], ...] = (
    (wall, 1.6),
    (coloured_noise, 0.3),
    (dead_leaves, 1.8),
    (shelves, 2.2),
    (windows, 1.0),
    (tiling, 0.8),
    (poster, 0.7),
    (cloth, 1.4),
    (foliage, 0.8),
    (lights, 0.5),
    (desk, 1.3),
    (person, 1.8),
    (limbs, 1.2),
)
"""The painters and how often each is chosen."""


def paint(generator: np.random.Generator, side: int, painters: Collection[str] | None = None) -> np.ndarray:
    """One background tile `(side, side, 3)` uint8 RGB, painted by a painter drawn from `PAINTERS`, or from those of these names."""
    choice = [(painter, weight) for painter, weight in PAINTERS if painters is None or painter.__name__ in painters]
    weights = np.array([weight for _, weight in choice])
    painter = choice[generator.choice(len(choice), p=weights / weights.sum())][0]
    tile = np.clip(painter(generator, side), 0, 255).astype(np.uint8)
    if generator.random() < 0.5:  # seen obliquely
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        moved = corners + generator.uniform(-0.35, 0.05, (4, 2)).astype(np.float32) * (1 - 2 * corners)
        warp = cv2.getPerspectiveTransform(corners * side, (moved * side).astype(np.float32))
        tile = cv2.warpPerspective(tile, warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if generator.random() < 0.25:
        tile = cv2.GaussianBlur(tile, (0, 0), float(generator.uniform(0.4, 1.6)))
    return tile
