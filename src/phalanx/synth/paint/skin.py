"""Skin detail in UV space: creases, wrinkles, nails, veins, freckles, blotches, fine relief; and the colours of skin.

Detail is baked once per process into a bank of variants, as functions of the rest surface, so that it moves with the hand.
A texel holds eight bytes (`CHANNELS`) and is fetched as one 64-bit number. Colour is linear in the channels once one takes
logarithms (light is absorbed exponentially), so that a picture's skin is one small matrix: `skin_matrices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.hand.anatomy import AXES, FLEXION
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FINGERS
from phalanx.render.visibility import visibility
from phalanx.synth.paint.surface import hand

CHANNELS = ("palm", "melanin", "blood", "cavity", "nail", "gloss", "slope_u", "slope_v")
"""Bytes of a texel. Signed ones (melanin, blood, slopes) are stored about 128."""

TEXTURE_SIDE = 512
SLOPE_SCALE = 0.35  # metres of height per unit of UV at the byte's end
_BANK_SEED = 20_240_303


@dataclass(frozen=True)
class Texels:
    """The texels that the surface covers, T of them, and where they lie on the rest surface (NumPy, float32)."""

    pixel: np.ndarray  # (T,) flat index into the texture
    nearest: np.ndarray  # (side * side,) texel nearest to each pixel
    position: np.ndarray  # (T, 3) metres, hand frame
    normal: np.ndarray  # (T, 3)
    weights: np.ndarray  # (T, 17) skin weights


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
    flat_normal = np.cross(rest[triangles[:, 1]] - rest[triangles[:, 0]], rest[triangles[:, 2]] - rest[triangles[:, 0]])
    normals = np.zeros_like(rest)
    np.add.at(normals, triangles.reshape(-1), np.repeat(flat_normal, 3, 0))
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
        place = (
            (self.position / torch.tensor(wavelength, dtype=torch.float32) + shift) / 16.0 % 4.0
        )  # lattice repeats mirrored
        place = 1.0 - (place - 2.0).abs()  # -1..1 and back
        grid = torch.nn.functional.grid_sample(
            self.lattice, place.view(1, 1, 1, -1, 3), mode="bilinear", padding_mode="border", align_corners=True
        )
        return grid.view(-1).numpy() * 1.6


def _line(distance: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    return np.exp(-((distance / width) ** 2))


def _curve_distance(points: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points `(T, 2)` to a quadratic or cubic Bezier curve, and where along it, 0..1."""
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
    best, where = np.full(len(points), np.inf), np.zeros(len(points))
    for i in range(len(curve) - 1):
        run = curve[i + 1] - curve[i]
        along = np.clip(((points - curve[i]) @ run) / (run @ run + 1e-12), 0, 1)
        distance = ((points - curve[i] - along[:, None] * run) ** 2).sum(1)
        nearer = distance < best
        best[nearer], where[nearer] = distance[nearer], (i + along[nearer]) / (len(curve) - 1)
    return np.sqrt(best), where


def _step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def paint_variant(generator: np.random.Generator, texels: Texels, joints: np.ndarray) -> dict[str, np.ndarray]:
    """One skin: fields `(T,)` named as `CHANNELS`, with `height` in metres instead of slopes.

    Args:
        texels: where the texels lie on the rest surface.
        joints: (21, 3) rest joints, metres.
    """
    p, n, w = texels.position, texels.normal, texels.weights
    noise = Noise(generator, p)
    axes = AXES.numpy()
    finger_weight = np.stack([w[:, 2 + 3 * k : 5 + 3 * k].sum(1) for k in range(5)], 1)  # (T, 5)
    own = 1 - w[:, 1]
    warp = noise(0.012) * 0.0008 + noise(0.004) * 0.0003
    palmar = n[:, 2].copy()
    creases, wrinkles, nail, nail_tone, redness = (np.zeros(len(p)) for _ in range(5))
    age = generator.random()
    for k, finger in enumerate(FINGERS):
        mine = finger_weight[:, k] > 0.3
        q, nq, warped = p[mine], n[mine], warp[mine]
        soft = _step(finger_weight[mine, k], 0.3, 0.85)  # no seam where the finger meets the palm
        side = np.zeros(len(q))
        for i in range(3):
            a, b = joints[finger[i]], joints[finger[i + 1]]
            direction = (b - a) / np.linalg.norm(b - a)
            bend = axes[FLEXION[1 + 3 * k + i]]
            inward = np.cross(bend, direction)
            inward /= np.linalg.norm(inward)
            along, facing = (q - a) @ direction, nq @ inward
            segment = w[mine, 2 + 3 * k + i]
            side += facing * segment
            # Flexion creases on the palmar side, at the joint; for the fingers' first joint at the web, half a phalanx on.
            length = np.linalg.norm(b - a)
            at = 0.5 * length if (i == 0 and k > 0) else -0.0015 + generator.normal(0, 0.0006)
            width = 0.0009 * generator.uniform(0.8, 1.4)
            lines = _line(along - at + warped, width)
            if generator.random() < 0.75:
                lines = np.maximum(
                    lines,
                    generator.uniform(0.3, 0.9)
                    * _line(along - at - generator.uniform(0.0018, 0.003) + warped, 0.7 * width),
                )
            if not (k == 0 and i == 0):
                creases[mine] = np.maximum(
                    creases[mine], lines * _step(facing, -0.1, 0.5) * generator.uniform(0.6, 1.0)
                )
            # Wrinkles over the knuckles on the back, and blood under them.
            if i > 0:
                reach = 0.0055 if i == 1 else 0.0035
                ripple = np.zeros(len(q))
                for _ in range(int(generator.integers(4, 8))):
                    ripple = np.maximum(
                        ripple,
                        generator.uniform(0.3, 1.0)
                        * _line(along - generator.normal(0, 0.5 * reach) + 2.2 * warped, 0.0006),
                    )
                wrinkles[mine] = np.maximum(wrinkles[mine], ripple * _step(-facing, 0.1, 0.7) * (0.45 + 0.75 * age))
            redness[mine] += 0.5 * soft * _line(along, 0.008) * _step(-facing, -0.3, 0.6) * (1.0 if i else 0.5)
            if i == 2:  # the last segment: red tip and nail
                redness[mine] += 0.8 * _step(along, 0.35 * length, 1.1 * length)
                across = (q - a) @ np.cross(direction, inward)
                out = segment > 0.5
                end = along[out].max() if out.any() else length
                half = 0.5 * np.ptp(across[out]) if out.any() else 0.007
                nail_long = (0.62 if k else 0.58) * end * generator.uniform(0.8, 1.02)
                centre = end - 0.5 * nail_long + 0.0005
                # A rounded rectangle on the back of the segment.
                form = np.abs((along - centre) / (0.5 * nail_long)) ** 3.5 + np.abs(across / (0.80 * half)) ** 3.5
                plate = _step(1.0 - form, -0.12, 0.18) * _step(-facing, 0.02, 0.22) * (segment > 0.3)
                nail[mine] = np.maximum(nail[mine], plate)
                rim = _line(form - 1.12, 0.28) * _step(-facing, 0.0, 0.2) * (along < end - 0.002)
                creases[mine] = np.maximum(creases[mine], 0.55 * rim * (segment > 0.3))
                free = _step(along, end - generator.uniform(0.001, 0.0026), end - 0.0004)
                lunula = _line(np.hypot((along - centre + 0.52 * nail_long) / 0.0035, across / 0.0045), 0.7)
                nail_tone[mine] += plate * (0.9 * free + 0.5 * lunula * generator.random() - 0.15)
        palmar[mine] += soft * (side - palmar[mine])
    # The three great lines of the palm, in the plane of the palm.
    on_palm = _step(n[:, 2], 0.15, 0.6) * w[:, [0, 2, 3, 5, 8, 11, 14]].sum(1)
    inner = np.flatnonzero(on_palm > 0.02)
    flat = p[inner, :2] + warp[inner, None]
    index, middle, ring, little, wrist, thumb = (joints[j, :2] for j in (5, 9, 13, 17, 0, 2))
    radial = index + 0.45 * (thumb - index) + np.array([0.010, 0.004])

    def jitter(amount: float = 0.0022) -> np.ndarray:
        return generator.normal(0, amount, 2)

    heart = np.array(
        [
            little + [-0.012, -0.012],
            0.5 * (little + ring) + [0, -0.018],
            middle + [-0.002, -0.016],
            0.5 * (index + middle) + [0.002, 0.008],
        ]
    )
    head = np.array(
        [
            radial,
            0.5 * (index + wrist) + [0.004, 0.026],
            0.5 * (middle + wrist) + [-0.008, 0.014],
            0.55 * little + 0.45 * wrist + [-0.006, 0.000],
        ]
    )
    life = np.array(
        [
            radial + [0, -0.001],
            0.5 * (middle + wrist) + [0.008, 0.028],
            0.4 * middle + 0.6 * wrist + [-0.006, 0.006],
            wrist + [0.004, 0.010],
        ]
    )
    for line in (heart, head, life):
        distance, where = _curve_distance(flat, line + np.stack([jitter() for _ in range(4)]))
        narrowing = 0.0010 * generator.uniform(0.8, 1.5) * (1.15 - 0.5 * where)
        creases[inner] = np.maximum(
            creases[inner], generator.uniform(0.65, 1.0) * _line(distance, narrowing) * on_palm[inner]
        )
    for _ in range(int(generator.integers(5, 12))):  # small ones
        start = wrist + np.array([generator.uniform(-0.03, 0.03), generator.uniform(0.015, 0.085)])
        turn, reach = generator.normal(0.5 * np.pi, 0.9), generator.uniform(0.008, 0.03)
        run = reach * np.array([np.cos(turn), np.sin(turn)])
        distance, _ = _curve_distance(flat, np.array([start, start + 0.5 * run + jitter(0.003), start + run]))
        creases[inner] = np.maximum(
            creases[inner], generator.uniform(0.15, 0.5) * _line(distance, 0.0008) * on_palm[inner]
        )
    for y in (0.001, -0.006, -0.013)[: int(generator.integers(1, 4))]:  # wrist
        bow = y + 30.0 * p[:, 0] ** 2 * generator.uniform(-0.03, 0.06) + generator.normal(0, 0.001)
        creases = np.maximum(
            creases,
            generator.uniform(0.4, 0.9)
            * _line(p[:, 1] - bow + 1.5 * warp, 0.0010)
            * _step(n[:, 2], 0.1, 0.6)
            * (finger_weight.sum(1) < 0.1),
        )
    thenar = _line(np.hypot(p[:, 0] - 0.6 * thumb[0] - 0.006, p[:, 1] - thumb[1]), 0.02)
    hypothenar = _line(np.hypot(p[:, 0] - little[0] * 0.75, p[:, 1] - 0.45 * little[1]), 0.02)
    heads = sum(_line(np.hypot(p[:, 0] - joints[j, 0], p[:, 1] - joints[j, 1] - 0.004), 0.012) for j in (5, 9, 13, 17))
    palm_mask = _step(palmar, -0.25, 0.45) * _step(own, 0.2, 0.8)
    redness += 0.45 * palm_mask * (thenar + hypothenar + heads) * generator.uniform(0.5, 1.4)
    redness += 0.25 * _step(-n[:, 2], 0.0, 0.7) * np.minimum(heads, 1.0)
    mottle = 0.5 * noise(0.012) + 0.3 * noise(0.006) + 0.25 * noise(0.003)
    redness += mottle * (0.07 + 0.26 * palm_mask) * generator.uniform(0.4, 1.4)
    # Veins on the back: ridges of a noise drawn out along the hand.
    ridge = 1 - np.abs(noise((0.016, 0.07, 0.03)) + 0.2 * noise(0.02)) / 0.16
    veins = (
        np.clip(ridge, 0, 1)
        * _step(-palmar, 0.35, 0.8)
        * _step(p[:, 1], -0.2, 0.0)
        * (1 - _step(p[:, 1], 0.07, 0.1))
        * generator.uniform(0, 1.0) ** 1.5
    )
    melanin = 0.14 * noise(0.02) + 0.09 * noise(0.005) + 0.10 * noise(0.0022)
    back = 1 - palm_mask
    melanin = melanin * (0.4 + 0.6 * back)
    melanin += 0.5 * wrinkles + 0.3 * veins
    freckles = generator.random() ** 2
    melanin += back * freckles * 0.8 * _step(noise(0.0024) + 0.4 * noise(0.02), 1.8 - 0.4 * freckles, 2.6)
    for _ in range(int(generator.poisson(1.5))):  # moles
        spot = p[int(generator.integers(len(p)))]
        melanin += back * 1.6 * _line(np.linalg.norm(p - spot, axis=1), generator.uniform(0.0005, 0.0013))
    if generator.random() < 0.12:  # a tattoo on the back of the hand or the forearm
        spot = np.array([0.0, generator.choice([0.05, -0.06]), -0.02]) + generator.normal(0, 0.008, 3)
        lines = _line(noise(generator.uniform(0.006, 0.015)), 0.25) * _step(noise(0.01), -0.8, -0.2)
        melanin += 2.2 * back * lines * _step(-np.linalg.norm((p - spot) / [1.0, 1.6, 1.0], axis=1), -0.028, -0.024)
    hair = generator.random() < 0.4
    if hair:
        strand = np.clip(1 - np.abs(noise((0.0012, 0.009, 0.0012))) / 0.25, 0, 1) * _step(noise(0.003), 0.1, 0.6)
        melanin += 0.9 * generator.random() * strand * back * _step(-p[:, 1], -0.04, 0.03)
    skin = 1 - nail
    height = -0.00030 * creases - 0.00016 * wrinkles + 0.0005 * veins + 0.00025 * nail
    height += 0.0007 * noise((0.016, 0.022, 0.016)) * (0.3 + 0.7 * palm_mask)  # pads and hollows finer than the mesh
    height += skin * (0.00005 * noise(0.0016) + 0.00005 * noise(0.0026) + 0.0001 * noise(0.006)) * (0.6 + 0.8 * age)
    cavity = np.clip(creases + 0.45 * wrinkles + 0.03 * np.abs(noise(0.0018)), 0, 1)
    return {
        "palm": palm_mask,
        "melanin": melanin * skin - 1.2 * nail_tone,
        "blood": (redness - 0.3 * veins) * skin - 0.8 * nail_tone,
        "cavity": cavity * (1 - 0.8 * nail),
        "nail": nail,
        "gloss": np.clip(0.35 + 0.12 * noise(0.004) + 0.65 * nail + 0.12 * palm_mask, 0, 1),
        "height": height,
    }


def _pack(fields: dict[str, np.ndarray], texels: Texels, side: int, shrink: int = 1) -> np.ndarray:
    """Fields `(T,)` to a texture of eight bytes a texel, averaged down `shrink` times: `((side / shrink)**2,)` int64."""
    image = fields["height"][texels.nearest].reshape(side, side)
    slope_u, slope_v = np.gradient(image, 1.0 / side, axis=1), np.gradient(image, 1.0 / side, axis=0)

    def unsigned(values: np.ndarray) -> np.ndarray:
        return np.clip(np.round(255 * values), 0, 255)

    def signed(values: np.ndarray, scale: float) -> np.ndarray:
        return np.clip(np.round(127 * values / scale), -127, 127) + 128

    layers = [
        unsigned(fields[name])[texels.nearest]
        if name not in ("melanin", "blood")
        else signed(fields[name], 2.0)[texels.nearest]
        for name in CHANNELS[:6]
    ]
    layers += [signed(slope_u, SLOPE_SCALE).reshape(-1), signed(slope_v, SLOPE_SCALE).reshape(-1)]
    small = np.stack(layers, -1).reshape(side // shrink, shrink, side // shrink, shrink, 8).mean((1, 3)).round()
    return np.ascontiguousarray(small.reshape(-1, 8).astype(np.uint8)).view(np.int64)[:, 0]


@lru_cache(maxsize=4)
def skin_bank(variants: int, side: int, device: str) -> Tensor:
    """`variants` skins `(variants, side, side)` int64 on `device`, eight bytes a texel, the same in every process; `side` a
    power of two up to `TEXTURE_SIDE`: about a texel a pixel avoids flicker."""
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    joints = model.rest_joints.numpy().astype(np.float64)
    bank = [
        _pack(
            paint_variant(stream_generator(_BANK_SEED, i), texels, joints), texels, TEXTURE_SIDE, TEXTURE_SIDE // side
        )
        for i in range(variants)
    ]
    return torch.from_numpy(np.stack(bank)).view(variants, side, side).to(device)


def _kept_within(base: np.ndarray, logs: np.ndarray, tones: tuple[float, float]) -> np.ndarray:
    """What to add `(B,)` to the log reflectances `base (B, 3)` so that skins are no lighter and no darker on average than `tones`.

    Blood and chance would carry some of them past the border of two domains. There is none at the ends of the scale.
    """
    places = np.linspace(0, 1, len(logs))
    lightest, darkest = (np.interp(tone, places, logs.mean(1)) for tone in tones)
    mean = base.mean(1)
    return np.clip(mean, darkest if tones[1] < 1 else -np.inf, lightest if tones[0] > 0 else np.inf) - mean


# Skin from the lightest to the darkest, sRGB of photographs in neutral light.
_TONES = (
    np.array([[242, 214, 198], [228, 190, 168], [208, 162, 134], [174, 126, 98], [124, 86, 66], [70, 50, 42]]) / 255.0
)
_BLOOD = np.array([-0.02, -0.34, -0.26])  # change of log reflectance (linear light) a unit of blood brings


def skin_matrices(generator: np.random.Generator, batch: int, tones: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Colours of `batch` skins: `(batch, 3, 6)`, log reflectance (linear light) from [1, palm, melanin, blood, cavity, nail].

    Tones run evenly from the lightest to the darkest; palms are lighter than backs, the more so the darker the skin; nails are
    the skin's colour with more blood, or polished. `tones` are the least and greatest, from 0, the lightest, to 1, the darkest; no
    skin's mean log reflectance lies beyond an inner one.
    """
    spread = generator.uniform(0, 1, batch) ** 1.15
    tone = (tones[0] + (tones[1] - tones[0]) * spread) * (len(_TONES) - 1)
    low = np.minimum(tone.astype(int), len(_TONES) - 2)
    logs = np.log(_TONES**2.2)
    part = (tone - low)[:, None]
    base = logs[low] * (1 - part) + logs[low + 1] * part
    darker = logs[low + 1] - logs[low]  # direction of more melanin
    dark = tone / (len(_TONES) - 1)
    flush = generator.normal(0.15, 0.4, (batch, 1))
    yellow = generator.normal(0, 0.15, (batch, 1)) * np.array([0.2, 0.0, -1.0])
    base = base + flush * _BLOOD * (1.1 - 0.8 * dark[:, None]) + yellow + generator.normal(0, 0.05, (batch, 1))
    base = base + _kept_within(base, logs, tones)[:, None]
    palm = -darker * (0.1 + 0.95 * dark[:, None] ** 2) * generator.uniform(
        0.6, 1.2, (batch, 1)
    ) + _BLOOD * 0.35 * generator.uniform(0, 1.6, (batch, 1))
    melanin = darker * generator.uniform(0.25, 0.75, (batch, 1)) * (1.0 - 0.4 * dark[:, None])
    blood = _BLOOD * generator.uniform(0.5, 1.5, (batch, 1)) * (1.15 - 0.75 * dark[:, None])
    cavity = generator.uniform(0.15, 0.75, (batch, 1)) * np.array([-0.75, -1.0, -1.0])
    natural = (
        base
        - darker * (0.2 + 0.9 * dark[:, None]) * generator.uniform(0.3, 1.0, (batch, 1))
        + _BLOOD * generator.normal(0.35, 0.25, (batch, 1))
    )
    polish = np.log(np.clip(generator.uniform(0.02, 1.0, (batch, 3)) ** 2.2, 0.003, 0.9))
    polish = np.where(
        generator.random((batch, 1)) < 0.5,
        np.log(np.array([0.5, 0.03, 0.05])) + generator.normal(0, 0.4, (batch, 3)),
        polish,
    )
    nail = np.where(generator.random((batch, 1)) < 0.12, np.minimum(polish, -0.05), natural) - base
    return np.stack([base, palm, melanin, blood, cavity, nail], -1).astype(np.float32)
