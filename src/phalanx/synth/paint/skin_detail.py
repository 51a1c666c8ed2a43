"""Detail of skin on the rest surface: photographed creases and pores (`paint.photographs`), and what differs from person to person:
lines of the palm, wrinkles, nails, veins, freckles, moles, hair, blotches and fine relief."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from phalanx.hand.anatomy import AXES, FLEXION
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FINGERS
from phalanx.render.visibility import visibility
from phalanx.synth.paint.photographs import mix_detail
from phalanx.synth.paint.surface import area_normals

TEXTURE_SIDE = 512
"""Texels along each side of the texture that detail is painted in."""

MELANIN_UNIT, BLOOD_UNIT, SHADE_UNIT = 0.4, 0.3, 0.4  # amounts (`pigment.separate`) that a unit of a channel stands for
RELIEF = 0.0014  # metres that skin lies lower for a unit of shade
_CURVE_REACH = 0.008  # metres from a crease within which anything is drawn of it


@dataclass(frozen=True)
class Texels:
    """The texels that the surface covers, T of them, and where they lie on the rest surface (NumPy, float32)."""

    pixel: np.ndarray  # (T,) flat index into the texture
    nearest: np.ndarray  # (side * side,) texel nearest to each pixel
    position: np.ndarray  # (T, 3) metres, hand frame
    normal: np.ndarray  # (T, 3)
    weights: np.ndarray  # (T, 17) skin weights

    @cached_property
    def fingers(self) -> np.ndarray:
        """How much of each texel `(T, 5)` belongs to each finger."""
        return np.stack([self.weights[:, 2 + 3 * k : 5 + 3 * k].sum(1) for k in range(5)], 1)


def unwrap(model: HandModel, uv: Tensor, side: int = TEXTURE_SIDE) -> Texels:
    """Rasterise a UV layout `(F, 3, 2)` with rest positions, normals and skin weights."""
    faces = model.faces.cpu()
    count = len(faces)
    flat = torch.cat([uv * side - 0.5, torch.ones(count, 3, 1)], -1).reshape(1, -1, 3)
    seen = visibility(flat, torch.arange(3 * count).view(count, 3), torch.eye(3)[None], side, side)[0].numpy()
    pixel = np.flatnonzero(seen.reshape(-1) >= 0)
    face = seen.reshape(-1)[pixel]
    corner = uv.numpy().astype(np.float64)[face] * side - 0.5  # (T, 3, 2)
    point = np.stack([pixel % side, pixel // side], -1)
    e1, e2, d = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], point - corner[:, 0]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    b1 = np.clip((d[:, 0] * e2[:, 1] - d[:, 1] * e2[:, 0]) / area, 0, 1)
    b2 = np.clip((e1[:, 0] * d[:, 1] - e1[:, 1] * d[:, 0]) / area, 0, 1)
    share = np.stack([1 - b1 - b2, b1, b2], -1)[..., None]  # (T, 3, 1)
    rest = model.template.cpu().numpy().astype(np.float64)
    triangles = faces.numpy()
    normals = area_normals(rest, triangles)
    vertex = triangles[face]
    normal = (normals[vertex] * share).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    weights = (model.skin_weights.cpu().numpy()[vertex] * share).sum(1)
    flat_owner = np.full(side * side, -1, np.int64)
    flat_owner[pixel] = np.arange(len(pixel))
    owner = flat_owner.reshape(side, side)
    for _ in range(6):  # let islands grow, so that nearest look-ups at their rims hit skin
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            moved = np.roll(owner, step, axis)
            owner = np.where(owner < 0, moved, owner)
    return Texels(pixel, np.maximum(owner, 0).reshape(-1), (rest[vertex] * share).sum(1), normal, weights)


class Noise:
    """Smooth random functions of rest positions: sums of trilinearly interpolated random lattices."""

    def __init__(self, generator: np.random.Generator, position: np.ndarray) -> None:
        self.lattice = torch.from_numpy(generator.standard_normal((1, 1, 32, 32, 32), dtype=np.float32))
        self.position = torch.from_numpy(position.astype(np.float32))
        self.generator = generator

    def __call__(self, wavelength: float | tuple[float, float, float]) -> np.ndarray:
        """A noise `(T,)` of about unit deviation whose features are `wavelength` metres long (along x, y, z)."""
        shift = torch.from_numpy(self.generator.uniform(0, 32, 3).astype(np.float32))
        place = (self.position / torch.tensor(wavelength, dtype=torch.float32) + shift) / 16.0 % 4.0
        place = 1.0 - (place - 2.0).abs()  # -1..1 and back: the lattice repeats mirrored
        grid = torch.nn.functional.grid_sample(
            self.lattice, place.view(1, 1, 1, -1, 3), mode="bilinear", padding_mode="border", align_corners=True
        )
        return grid.view(-1).numpy() * 1.6


def line(distance: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """1 on a line, falling smoothly within its width on either side."""
    return np.exp(-((distance / width) ** 2))


def _curve_distance(points: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points `(T, 2)` to a quadratic or cubic Bezier curve, and where along it, 0..1; of points far from it infinite."""
    t = np.linspace(0, 1, 14)[:, None]
    if len(controls) == 3:
        curve = (1 - t) ** 2 * controls[0] + 2 * t * (1 - t) * controls[1] + t**2 * controls[2]
    else:
        curve = (
            (1 - t) ** 3 * controls[0]
            + 3 * t * (1 - t) ** 2 * controls[1]
            + 3 * t**2 * (1 - t) * controls[2]
            + t**3 * controls[3]
        )
    distance, where = np.full(len(points), np.inf), np.zeros(len(points))
    low, high = curve.min(0) - _CURVE_REACH, curve.max(0) + _CURVE_REACH
    near = np.flatnonzero(((points > low) & (points < high)).all(1))
    x, y = np.ascontiguousarray(points[near].T)
    best, part = np.full(len(near), np.inf), np.zeros(len(near))
    for i in range(len(curve) - 1):
        run, dx, dy = curve[i + 1] - curve[i], x - curve[i, 0], y - curve[i, 1]
        along = np.clip((dx * run[0] + dy * run[1]) / (run @ run + 1e-12), 0, 1)
        squared = (dx - along * run[0]) ** 2 + (dy - along * run[1]) ** 2
        nearer = squared < best
        best, part = np.where(nearer, squared, best), np.where(nearer, (i + along) / (len(curve) - 1), part)
    distance[near], where[near] = np.sqrt(best), part
    return distance, where


def step(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass
class _Marks:
    """What has been drawn on T texels so far: strengths, about 0 to 1."""

    creases: np.ndarray  # (T,)
    wrinkles: np.ndarray  # (T,)
    nail: np.ndarray  # (T,)
    arch: np.ndarray  # (T,) how far the nail's arch is risen
    free: np.ndarray  # (T,) free edges of nails
    nail_tone: np.ndarray  # (T,) pale lunulas of nails
    dark: np.ndarray  # (T,) melanin over the joints of fingers
    palmar: np.ndarray  # (T,) cosine between the normal and the side that palm and fingers bend to

    @staticmethod
    def blank(texels: Texels) -> _Marks:
        """Nothing drawn yet."""
        creases, wrinkles, nail, arch, free, nail_tone, dark = (np.zeros(len(texels.position)) for _ in range(7))
        return _Marks(creases, wrinkles, nail, arch, free, nail_tone, dark, texels.normal[:, 2].copy())


def paint_variant(
    generator: np.random.Generator, texels: Texels, joints: np.ndarray, half: int | None = None
) -> dict[str, np.ndarray]:
    """One skin: fields `(T,)` named as `skin.CHANNELS`, with `height` in metres instead of slopes.

    Args:
        texels: where the texels lie on the rest surface, of a texture of `TEXTURE_SIDE`.
        joints: (21, 3) rest joints, metres.
        half: the half of the photographs that it is from, 0 or 1; none: all.
    """
    noise = Noise(generator, texels.position)
    warp = noise(0.012) * 0.0008 + noise(0.004) * 0.0003
    marks = _Marks.blank(texels)
    age = generator.random()
    photographed = mix_detail(generator, texels.pixel, TEXTURE_SIDE, half)
    nails = (
        generator.uniform(0.0004, 0.0012) + 0.0022 * generator.random() ** 2
    )  # metres that they grow beyond their beds
    for finger in range(5):
        _mark_finger(marks, generator, texels, joints, finger, warp, age, nails)
    _crease_palm(marks, generator, texels, joints, warp)
    _crease_wrist(marks, generator, texels, warp)
    palm = step(marks.palmar, -0.25, 0.45) * step(1 - texels.weights[:, 1], 0.2, 0.8)
    veins = _veins(generator, noise, texels, marks.palmar)
    mottle = 0.5 * noise(0.012) + 0.3 * noise(0.006) + 0.2 * noise(0.003)
    blood = mottle * (0.08 + 0.22 * palm) * generator.uniform(0.3, 1.3) - 0.3 * veins
    melanin = _melanin(generator, noise, texels, marks, veins, palm)
    nail, skin = marks.nail, 1 - 0.75 * marks.nail
    shade = photographed.shade * skin
    return {
        "palm": np.maximum(palm, 0.6 * marks.free),
        "melanin": (melanin + photographed.melanin / MELANIN_UNIT) * skin - 0.5 * marks.nail_tone - 0.25 * marks.free,
        "blood": (blood + photographed.blood / BLOOD_UNIT) * skin - 0.8 * marks.nail_tone - 1.3 * marks.free,
        "cavity": np.clip(0.1 + shade / SHADE_UNIT + marks.creases + 0.4 * marks.wrinkles, 0, 1) * (1 - 0.6 * nail),
        "nail": nail,
        "gloss": np.clip(0.35 + 0.12 * noise(0.004) - 0.8 * shade + 0.65 * nail + 0.12 * palm, 0, 1),
        "height": _height(noise, marks, veins, palm, age) - RELIEF * shade,
    }


@dataclass
class _Segment:
    """N texels of a finger, against one of its segments."""

    along: np.ndarray  # (N,) metres from the segment's joint towards the tip
    across: np.ndarray  # (N,) metres to the side
    facing: np.ndarray  # (N,) cosine between the normal and the side that the segment bends to
    weight: np.ndarray  # (N,) skin weight
    length: float  # metres


def _segment(texels: Texels, mine: np.ndarray, joints: np.ndarray, finger: int, number: int) -> _Segment:
    start, end = joints[FINGERS[finger][number]], joints[FINGERS[finger][number + 1]]
    length = np.linalg.norm(end - start)
    direction = (end - start) / length
    inward = np.cross(AXES.numpy()[FLEXION[1 + 3 * finger + number]], direction)
    inward /= np.linalg.norm(inward)
    away = texels.position[mine] - start
    return _Segment(
        away @ direction,
        away @ np.cross(direction, inward),
        texels.normal[mine] @ inward,
        texels.weights[mine, 2 + 3 * finger + number],
        float(length),
    )


def _mark_finger(
    marks: _Marks,
    generator: np.random.Generator,
    texels: Texels,
    joints: np.ndarray,
    finger: int,
    warp: np.ndarray,
    age: float,
    nails: float,
) -> None:
    """Wrinkles, darker knuckles and the nail of a finger.

    Args:
        warp: (T,) metres by which lines waver.
        age: 0 to 1.
        nails: metres that nails grow beyond their beds.
    """
    weight = texels.fingers[:, finger]
    mine = weight > 0.3
    warped = warp[mine]
    soft = step(weight[mine], 0.3, 0.85)  # no seam where the finger meets the palm
    side = np.zeros(len(warped))
    for number in range(3):
        segment = _segment(texels, mine, joints, finger, number)
        facing = segment.facing
        side += facing * segment.weight
        if number > 0:
            _wrinkle_knuckle(marks, generator, segment, mine, number, warped, age)
        marks.dark[mine] += soft * line(segment.along, 0.008) * step(-facing, 0.0, 0.7) * (1.0 if number else 0.6)
        if number == 2:
            _add_nail(marks, generator, segment, mine, finger, nails)
    marks.palmar[mine] += soft * (side - marks.palmar[mine])


def _wrinkle_knuckle(
    marks: _Marks,
    generator: np.random.Generator,
    segment: _Segment,
    mine: np.ndarray,
    number: int,
    warped: np.ndarray,
    age: float,
) -> None:
    """Wrinkles over a knuckle on the back."""
    reach = 0.0055 if number == 1 else 0.0035
    ripple = np.zeros(len(warped))
    for _ in range(int(generator.integers(4, 8))):
        strength, at = generator.uniform(0.3, 1.0), generator.normal(0, 0.5 * reach)
        ripple = np.maximum(ripple, strength * line(segment.along - at + 2.2 * warped, 0.0006))
    _raise(marks.wrinkles, mine, ripple * step(-segment.facing, 0.1, 0.7) * (0.25 + 0.65 * age))


def _add_nail(
    marks: _Marks, generator: np.random.Generator, segment: _Segment, mine: np.ndarray, finger: int, nails: float
) -> None:
    """A nail on the back of a finger's last segment: a rounded rectangle, arched, with a rim, a pale free edge and a lunula."""
    along, across, facing = segment.along, segment.across, segment.facing
    own = segment.weight > 0.5
    end = along[own].max() if own.any() else segment.length
    half = 0.5 * np.ptp(across[own]) if own.any() else 0.007
    nail_long = (0.62 if finger else 0.58) * end * generator.uniform(0.8, 1.02)
    centre = end - 0.5 * nail_long + 0.0005
    form = np.abs((along - centre) / (0.5 * nail_long)) ** 3.5 + np.abs(across / (0.80 * half)) ** 3.5
    plate = step(1.0 - form, -0.12, 0.18) * step(-facing, 0.02, 0.22) * (segment.weight > 0.3)
    _raise(marks.nail, mine, plate)
    rim = line(form - 1.12, 0.28) * step(-facing, 0.0, 0.2) * (along < end - 0.002)
    _raise(marks.creases, mine, 0.55 * rim * (segment.weight > 0.3))
    _raise(marks.arch, mine, plate * (1.0 - np.clip(across / (0.85 * half), -1, 1) ** 2))
    border = (
        end - nails * generator.uniform(0.8, 1.2) - 0.0010 + 40.0 * across**2
    )  # of the bed; it bows with the fingertip
    free = step(along, border - 0.0006, border + 0.0006)
    _raise(marks.creases, mine, 0.3 * plate * line(along - border, 0.0003))
    _raise(marks.creases, mine, 0.8 * line(along - end - 0.0003, 0.0005) * step(-facing, -0.1, 0.1))  # its shadow
    lunula = line(np.hypot((along - centre + 0.52 * nail_long) / 0.0035, across / 0.0045), 0.7)
    marks.nail_tone[mine] += plate * (0.5 * lunula * generator.random() - 0.15)
    _raise(marks.free, mine, plate * free)


def _great_lines(joints: np.ndarray) -> tuple[np.ndarray, ...]:
    """The heart, head and life line of the palm: control points `(4, 2)` of Bezier curves in its plane, metres."""
    index, middle, ring, little, wrist, thumb = (joints[j, :2] for j in (5, 9, 13, 17, 0, 2))
    radial = index + 0.45 * (thumb - index) + np.array([0.010, 0.004])
    heart = [
        little + [-0.012, -0.012],
        0.5 * (little + ring) + [0, -0.018],
        middle + [-0.002, -0.016],
        0.5 * (index + middle) + [0.002, 0.008],
    ]
    head = [
        radial,
        0.5 * (index + wrist) + [0.004, 0.026],
        0.5 * (middle + wrist) + [-0.008, 0.014],
        0.55 * little + 0.45 * wrist + [-0.006, 0.000],
    ]
    life = [
        radial + [0, -0.001],
        0.5 * (middle + wrist) + [0.008, 0.028],
        0.4 * middle + 0.6 * wrist + [-0.006, 0.006],
        wrist + [0.004, 0.010],
    ]
    return np.array(heart), np.array(head), np.array(life)


def _crease_palm(
    marks: _Marks, generator: np.random.Generator, texels: Texels, joints: np.ndarray, warp: np.ndarray
) -> None:
    """The three great lines of the palm, and a few small ones."""
    on_palm = step(texels.normal[:, 2], 0.15, 0.6) * texels.weights[:, [0, 2, 3, 5, 8, 11, 14]].sum(1)
    inner = np.flatnonzero(on_palm > 0.02)
    flat = texels.position[inner, :2] + warp[inner, None]

    def jitter(amount: float) -> np.ndarray:
        return generator.normal(0, amount, 2)

    for controls in _great_lines(joints):
        distance, where = _curve_distance(flat, controls + np.stack([jitter(0.0022) for _ in range(4)]))
        narrowing = 0.0010 * generator.uniform(0.8, 1.5) * (1.15 - 0.5 * where)
        _raise(marks.creases, inner, generator.uniform(0.35, 0.95) * line(distance, narrowing) * on_palm[inner])
    for _ in range(int(generator.integers(5, 12))):
        start = joints[0, :2] + np.array([generator.uniform(-0.03, 0.03), generator.uniform(0.015, 0.085)])
        turn, reach = generator.normal(0.5 * np.pi, 0.9), generator.uniform(0.008, 0.03)
        run = reach * np.array([np.cos(turn), np.sin(turn)])
        distance, _ = _curve_distance(flat, np.array([start, start + 0.5 * run + jitter(0.003), start + run]))
        _raise(marks.creases, inner, generator.uniform(0.15, 0.5) * line(distance, 0.0008) * on_palm[inner])


def _crease_wrist(marks: _Marks, generator: np.random.Generator, texels: Texels, warp: np.ndarray) -> None:
    """One to three creases across the wrist."""
    p = texels.position
    for y in (0.001, -0.006, -0.013)[: int(generator.integers(1, 4))]:
        bow = y + 30.0 * p[:, 0] ** 2 * generator.uniform(-0.03, 0.06) + generator.normal(0, 0.001)
        crease = (
            generator.uniform(0.4, 0.9)
            * line(p[:, 1] - bow + 1.5 * warp, 0.0010)
            * step(texels.normal[:, 2], 0.1, 0.6)
            * (texels.fingers.sum(1) < 0.1)
        )
        np.maximum(marks.creases, crease, out=marks.creases)


def _veins(generator: np.random.Generator, noise: Noise, texels: Texels, palmar: np.ndarray) -> np.ndarray:
    """Veins `(T,)` on the back: ridges of a noise drawn out along the hand."""
    y = texels.position[:, 1]
    ridge = 1 - np.abs(noise((0.016, 0.07, 0.03)) + 0.2 * noise(0.02)) / 0.16
    return (
        np.clip(ridge, 0, 1)
        * step(-palmar, 0.35, 0.8)
        * step(y, -0.2, 0.0)
        * (1 - step(y, 0.07, 0.1))
        * generator.uniform(0, 1.0) ** 1.5
    )


def _melanin(
    generator: np.random.Generator, noise: Noise, texels: Texels, marks: _Marks, veins: np.ndarray, palm: np.ndarray
) -> np.ndarray:
    """Darker and lighter patches `(T,)`, freckles, moles, hair."""
    p, back = texels.position, 1 - palm
    melanin = 0.14 * noise(0.02) * (0.4 + 0.6 * back)
    melanin += generator.uniform(0.1, 0.5) * marks.dark + 0.3 * marks.wrinkles + 0.25 * veins
    freckles = generator.random() ** 2
    melanin += back * freckles * 0.8 * step(noise(0.0024) + 0.4 * noise(0.02), 1.8 - 0.4 * freckles, 2.6)
    for _ in range(int(generator.poisson(1.5))):  # moles
        spot = p[int(generator.integers(len(p)))]
        melanin += back * 1.6 * line(np.linalg.norm(p - spot, axis=1), generator.uniform(0.0005, 0.0013))
    if generator.random() < 0.4:  # hair
        strand = np.clip(1 - np.abs(noise((0.0012, 0.009, 0.0012))) / 0.25, 0, 1) * step(noise(0.003), 0.1, 0.6)
        melanin += 0.9 * generator.random() * strand * back * step(-p[:, 1], -0.04, 0.03)
    return melanin


def _height(noise: Noise, marks: _Marks, veins: np.ndarray, palm: np.ndarray, age: float) -> np.ndarray:
    """Relief `(T,)` in metres that is finer than the mesh."""
    skin = 1 - marks.nail
    height = (
        -0.00026 * marks.creases - 0.00012 * marks.wrinkles + 0.0005 * veins + 0.0002 * marks.nail + 0.0005 * marks.arch
    )
    height += 0.0007 * noise((0.016, 0.022, 0.016)) * (0.3 + 0.7 * palm)  # pads and hollows
    return height + skin * (0.00005 * noise(0.0016) + 0.00005 * noise(0.0026) + 0.0001 * noise(0.006)) * (
        0.6 + 0.8 * age
    )


def _raise(field: np.ndarray, chosen: np.ndarray, values: np.ndarray) -> None:
    """Raise the chosen texels of a field to at least `values`, in place."""
    field[chosen] = np.maximum(field[chosen], values)
