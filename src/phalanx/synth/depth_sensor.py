"""What depth sensors make of ideal depth: quantised, noisy, with ragged edges, shadows, holes and flying pixels.

Two principles are modelled. **Triangulation** (a projector or a second camera beside the camera) measures disparity, so that steps and
noise grow with the square of the distance, and does not see what only one of the two sees. **Time of flight** measures distance
itself, with noise that depends on the light that comes back, and mixes what lies in front of and behind an edge.

Everything happens on the sensor's own pixel grid, of which a picture is a crop: the sensor's focal length against that of `K` says how
large its pixels are in the crop, noise is looked up by the sensor's pixel, and the crop takes the nearest one, as crops of depth are
usually made. What is random is drawn beforehand on the host; the arithmetic keeps to operations that round correctly, so that a
picture is the same to the last bit in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator as stream_generator
from phalanx.synth.sensors import IDEAL, DepthSensor

_NOISE_SEED = 20_260_105
_BANK = 512  # side of the noise fields in the sensor's pixels, a power of two; they tile
_BLOCK = 8  # pictures sensed together on the CPU: what fits a core's cache
_JUMP = 0.02  # depths that differ by more than this share belong to two surfaces
_RINGS = 3  # crop pixels that the loss round edges reaches at most
_HIDDEN = 2.5  # crop pixels of disparity by which something in front hides: neighbours on one surface differ by up to 2
_ONE_TO_ONE = 0.7  # crop pixels per pixel of the sensor up to which no two share one, however turned
_SKIN = 0.5  # infrared reflectance where no map is given
_RAGGED = 0.35  # spread (log) of the limits below which a pixel is lost


@dataclass
class DepthNoiseDraw:
    """Random choices for the depth of B pictures: which part of the noise fields they see, and how they lie on the sensor."""

    shift: np.ndarray  # (B, 2) int32 column, row in the noise fields
    flip: np.ndarray  # (B, 2) int32, 1 or -1: the fields are read backwards
    sign: np.ndarray  # (B,) float32, 1 or -1: of the noise along the ray
    phase: np.ndarray  # (B, 2) float32, where between the sensor's pixels the crop lies, -0.5..0.5
    turn: (
        np.ndarray
    )  # (B, 2) float32 cosine and sine of the angle from the crop's rows to the sensor's, clockwise as seen


def draw_depth_noise(
    generator: np.random.Generator, batch: int, size: int, sensor: DepthSensor, turn: np.ndarray | None = None
) -> DepthNoiseDraw:
    """Draw the noise of `batch` depth pictures of `size` pixels.

    As many numbers are drawn for any size and sensor: what a generator gives afterwards does not depend on them.

    Args:
        turn: `(batch,)` radians by which each crop was cut turned out of the sensor's picture; none: upright.

    Raises:
        InputError: `turn` has another length.
    """
    turned = np.zeros(batch) if turn is None else np.asarray(turn, dtype=np.float64)
    if turned.shape != (batch,):
        raise InputError(f"turn: must have shape ({batch},), has {turned.shape}")
    return DepthNoiseDraw(
        shift=generator.integers(0, _BANK, (batch, 2), dtype=np.int32),
        flip=generator.choice(np.array([-1, 1], dtype=np.int32), (batch, 2)),
        sign=generator.choice(np.array([-1, 1], dtype=np.float32), batch),
        phase=generator.uniform(-0.5, 0.5, (batch, 2)).astype(np.float32),
        turn=np.stack([np.cos(turned), np.sin(turned)], -1).astype(np.float32),
    )


def _smooth_noise(generator: np.random.Generator, grain: float) -> np.ndarray:
    """Unit Gaussian noise `(N, N)` that tiles, alike over `grain` pixels."""
    noise = generator.standard_normal((_BANK, _BANK))
    if grain > 0:
        frequency = np.fft.fftfreq(_BANK)
        low = np.exp(-2.0 * (np.pi * grain * frequency) ** 2)
        noise = np.fft.irfft2(np.fft.rfft2(noise) * low[:, None] * low[None, : _BANK // 2 + 1], s=noise.shape)
        noise /= noise.std()
    return noise


@lru_cache(maxsize=16)
def _noise_bank(grain: float, lateral_grain: float, hole_grain: float, device: str) -> tuple[Tensor, ...]:
    """Noise fields `(N * N,)`: along the ray, displacement in x and y, factor of limits, two uniform in 0..1."""
    generator = stream_generator(_NOISE_SEED)
    fields = [_smooth_noise(generator, g) for g in (grain, lateral_grain, lateral_grain, hole_grain)]
    fields[3] = np.exp(_RAGGED * fields[3])
    fields += list(generator.random((2, _BANK, _BANK)))
    return tuple(torch.from_numpy(f.reshape(-1).astype(np.float32)).to(device) for f in fields)


def sense_depth(
    depth: Tensor, K: Tensor, sensor: DepthSensor, draw: DepthNoiseDraw, albedo: Tensor | None = None
) -> Tensor:
    """Depth as `sensor` delivers it, from ideal depth.

    Where the sensor's pixel saw nothing there is nothing. What lies outside the picture throws no shadow into it. No gradients.

    Args:
        depth: `(B, H, W)` metres along the optical axis, 0 = nothing.
        K: `(B, 3, 3)` the crop's camera; its rows may be turned against the sensor's (`draw.turn`).
        sensor: which sensor.
        draw: what `draw_depth_noise` drew for B pictures.
        albedo: `(B, H, W)` reflectance at the sensor's infrared wavelength in 0..1; none: 0.5 everywhere. Skin reflects about 0.6 (pale)
            to 0.4 (dark) near 850 nm, where pigment still tells (Jacquez et al., J. Appl. Physiol. 1955), black hair and cloth below 0.1.

    Returns:
        `(B, H, W)` metres, 0 = no reading.

    Raises:
        InputError: shapes that do not fit, depth negative or not finite, a singular camera, reflectance outside 0..1.
    """
    _check(depth, K, draw, albedo)
    with torch.no_grad():
        if sensor == IDEAL:
            return depth.clone()
        depth, device = depth.float().contiguous(), depth.device
        bank = _noise_bank(sensor.grain, sensor.lateral_grain, sensor.hole_grain, str(device))
        size = _BLOCK if device.type == "cpu" else max(len(depth), 1)
        sensed = [
            _sense(
                depth[start : start + size],
                K[start : start + size].float(),
                sensor,
                bank,
                [
                    torch.as_tensor(a[start : start + size], device=device)
                    for a in (draw.shift, draw.flip, draw.sign, draw.phase, draw.turn)
                ],
                None if albedo is None else albedo[start : start + size].float(),
            )
            for start in range(0, len(depth), size)
        ]
        return torch.cat(sensed) if sensed else depth.clone()


def _check(depth: Tensor, K: Tensor, draw: DepthNoiseDraw, albedo: Tensor | None) -> None:
    if depth.ndim != 3:
        raise InputError(f"depth: must have shape (B, H, W), has {tuple(depth.shape)}")
    if K.shape != (len(depth), 3, 3):
        raise InputError(f"K: must have shape ({len(depth)}, 3, 3), has {tuple(K.shape)}")
    if len(draw.shift) != len(depth):
        raise InputError(f"draw: was made for {len(draw.shift)} pictures, not {len(depth)}")
    if not _within(depth, torch.inf):
        raise InputError("depth: must be finite and not negative; 0 stands for no surface")
    if not bool((torch.isfinite(K).flatten(1).all(1) & (K[:, 0, 0] * K[:, 1, 1] - K[:, 0, 1] * K[:, 1, 0] > 0)).all()):
        raise InputError("K: has a camera that is not finite or is singular")
    if albedo is not None:
        if albedo.shape != depth.shape:
            raise InputError(f"albedo: must have shape {tuple(depth.shape)}, has {tuple(albedo.shape)}")
        if not _within(albedo, 1.0):
            raise InputError("albedo: must lie in [0, 1]")


def _within(values: Tensor, most: float) -> bool:
    """Whether all lie in 0..most, and are finite."""
    if not values.numel():
        return True
    low, high = torch.aminmax(values)  # NaN comes through
    return bool((low >= 0) & (high <= most) & torch.isfinite(high))


def _sense(
    depth: Tensor, K: Tensor, sensor: DepthSensor, bank: tuple[Tensor, ...], draw: list[Tensor], albedo: Tensor | None
) -> Tensor:
    """`sense_depth` for one block."""
    shift, flip, sign, phase, turn = draw
    b, height, width = depth.shape
    to_native, to_crop, scale = _grids(K, sensor.focal, phase, turn, height, width)
    upright = not bool(K[:, [0, 1], [1, 0]].any() | turn[:, 1].any())
    u = torch.arange(width, device=depth.device, dtype=torch.float32)[None, None, :]
    v = torch.arange(height, device=depth.device, dtype=torch.float32)[None, :, None]
    column, row = (c.round_() for c in _affine(to_native, u, v, upright))  # the sensor's pixels

    spot = ((row.int() * flip[:, 1, None, None] + shift[:, 1, None, None]) & (_BANK - 1)) * _BANK
    spot = spot + ((column.int() * flip[:, 0, None, None] + shift[:, 0, None, None]) & (_BANK - 1))
    spot = spot.view(-1)

    def noise(field: int) -> Tensor:
        return bank[field].index_select(0, spot).view(b, height, width)

    def at(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """`values` at the pixels nearest to `x, y`, which broadcast to `(b, H, W)`."""
        index = y.round().clamp_(0, height - 1) * width + x.round().clamp_(0, width - 1)
        return values.view(b, -1).gather(1, index.long().view(b, -1)).view_as(values)

    # Masks are floats, 0 or 1, made in place: several times quicker on the CPU than Booleans that are turned into numbers.
    inverse = depth.clone().gt_(0.0).div_(depth.clamp_min(1e-6))  # 1 / metres; nothing: 0
    surface = inverse  # what each pixel measures
    dx = None
    if sensor.lateral:
        dx, dy = (noise(i).mul_(scale * sensor.lateral) for i in (1, 2))  # crop pixels
        # Only over an edge: on one surface a displacement is part of the noise along the ray. And not out of nothing.
        away = at(inverse, u + dx, v + dy).sub_(inverse)
        over = away.abs().gt_(inverse * _JUMP).mul_(inverse.clone().gt_(0.0))
        surface = away.mul_(over).add_(inverse)
    keep = surface.clone().gt_(0.0)
    factor = noise(3)
    reach = None if not sensor.edge_loss else (factor * (scale * sensor.edge_loss)).clamp_max_(_RINGS)
    if sensor.baseline:
        keep *= _lit(inverse, K, sensor.baseline, turn, dx, reach, upright)
    if reach is not None:
        near = inverse
        for ring in range(_RINGS):
            near = _largest_round(near)
            keep *= torch.maximum((surface * (1 + _JUMP * (ring + 1))).ge_(near), (ring + 0.5 - reach).gt_(0.0))
    if sensor.mixed:
        between, seam, noticed = _mix(depth, inverse, noise(4), noise(5), sensor, scale)
        surface = between.sub_(surface).mul_(seam).add_(surface)
        keep *= 1.0 - noticed

    cosine = _cosine(inverse, K, *_affine(_to_rays(K), u, v, upright), upright)
    returned = (cosine * (_SKIN if albedo is None else albedo)).mul_(surface).mul_(surface)
    keep *= returned.ge_(factor * sensor.least_signal)
    keep *= (factor * sensor.grazing).le_(cosine)

    z = 1.0 / surface.clamp_min(1e-6)
    c0, c1, c2 = sensor.axial
    sigma = (z * c2).add_(c1).mul_(z).add_(c0)
    if sensor.slant[0]:
        sigma += _slant(cosine).mul_(_power(z, sensor.slant[1])).mul_(sensor.slant[0])
    if albedo is not None and not sensor.triangulates:
        sigma *= (_SKIN / albedo.clamp_min(0.02)).sqrt_()  # shot noise of the light that comes back
    step = noise(0).mul_(sign[:, None, None]).mul_(sigma)
    if sensor.triangulates:  # noise is symmetric in disparity, which is proportional to 1 / z
        measured = step.mul_(surface).add_(1.0).mul_(surface)
        if sensor.levels:
            resolution = sensor.levels * sensor.focal * abs(sensor.baseline)
            measured = measured.mul_(resolution).round_().clamp_min_(1.0).div_(resolution)
        z = 1.0 / measured.clamp_min_(1e-6)
    else:
        z = step.add_(z)
    if sensor.unit:
        z = z.div_(sensor.unit).round_().mul_(sensor.unit)
    keep *= z.clone().ge_(sensor.nearest)
    keep *= z.clone().le_(sensor.farthest)
    z *= keep
    if bool((scale > _ONE_TO_ONE).any()):  # crop pixels that share a pixel of the sensor deliver the same
        z = at(z, *_affine(to_crop, column, row, upright))
    return z


def _affine(matrix: Tensor, x: Tensor, y: Tensor, upright: bool) -> tuple[Tensor, Tensor]:
    """`matrix (b, 2, 3)` applied to coordinates that broadcast to `(b, H, W)`; `upright` ones mix no rows with columns."""
    a = matrix[:, :, :, None, None]  # (b, 2, 3, 1, 1)
    if upright:
        return a[:, 0, 0] * x + a[:, 0, 2], a[:, 1, 1] * y + a[:, 1, 2]
    return a[:, 0, 0] * x + (a[:, 0, 1] * y + a[:, 0, 2]), a[:, 1, 1] * y + (a[:, 1, 0] * x + a[:, 1, 2])


def _grids(
    K: Tensor, focal: float, phase: Tensor, turn: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop pixels to the sensor's `(b, 2, 3)` and back, and crop pixels per pixel of the sensor `(b, 1, 1)`."""
    cosine, sine = turn.unbind(1)
    rotation = torch.stack([cosine, sine, -sine, cosine], -1).view(-1, 2, 2)
    linear = _times(rotation, _inverse(K[:, :2, :2])) * focal
    centre = linear.new_tensor([0.5 * (width - 1), 0.5 * (height - 1)])
    to_native = torch.cat([linear, (phase - (linear * centre).sum(-1))[:, :, None]], -1)
    back = _inverse(linear)
    to_crop = torch.cat([back, -(back * to_native[:, None, :, 2]).sum(-1, keepdim=True)], -1)
    determinant = back[:, 0, 0] * back[:, 1, 1] - back[:, 0, 1] * back[:, 1, 0]
    return to_native, to_crop, determinant.abs().sqrt()[:, None, None]


def _inverse(m: Tensor) -> Tensor:
    """Inverse of `(b, 2, 2)`, in plain arithmetic."""
    a, b, c, d = m.reshape(-1, 4).unbind(1)
    return torch.stack([d, -b, -c, a], -1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Product of `(b, 2, 2)`, in plain arithmetic."""
    return (a[:, :, :, None] * b[:, None]).sum(2)


def _largest_round(values: Tensor) -> Tensor:
    """The largest value among each pixel of `(b, H, W)` and its eight neighbours."""
    wide = values.clone()
    torch.maximum(wide[..., 1:], values[..., :-1], out=wide[..., 1:])
    torch.maximum(wide[..., :-1], values[..., 1:], out=wide[..., :-1])
    high = wide.clone()
    torch.maximum(high[:, 1:], wide[:, :-1], out=high[:, 1:])
    torch.maximum(high[:, :-1], wide[:, 1:], out=high[:, :-1])
    return high


def _lit(
    inverse: Tensor,
    K: Tensor,
    baseline: float,
    turn: Tensor,
    dx: Tensor | None,
    reach: Tensor | None,
    upright: bool,
) -> Tensor:
    """1 where the projector (or the second camera) sees what the camera sees, else 0; `(b, H, W)`.

    A projector at x = `baseline` sees a point in the column u - f baseline / z of the same row. Every pixel goes into the projector's
    picture, where the nearest wins; what lies clearly behind the winner is in its shadow. Columns are counted relative to the
    nearest point, so that what falls outside the picture has nothing in front of it. `dx (b, H, W)` displaces the shadow's edges, and
    `reach (b, H, W)` moves it off from what throws it: there, pixels are lost anyway.
    """
    b, height, width = inverse.shape
    axis = (K[:, :2, :2] * turn[:, None]).sum(-1)  # (b, 2) the sensor's x in the crop, pixels per unit of z = 1
    focal = axis.square().sum(-1).sqrt()[:, None, None]
    disparity = inverse * (focal * abs(baseline))  # crop pixels
    shift = disparity.amax((1, 2), keepdim=True) - disparity
    u = torch.arange(width, device=inverse.device, dtype=torch.float32)[None, None, :] - 0.5 * (width - 1)
    v = torch.arange(height, device=inverse.device, dtype=torch.float32)[None, :, None] - 0.5 * (height - 1)
    if not upright:
        along_x, along_y = axis[:, 0, None, None] / focal, axis[:, 1, None, None] / focal
        u, v = along_x * u + along_y * v, along_x * v - along_y * u
    # Beside the picture there are columns: one where far outsiders go, another, always empty, where they look.
    beside, wide = 3.0, width + 7
    column = (u + (0.5 * (width - 1) + beside)) + (shift if baseline > 0 else -shift)
    row = (v + 0.5 * (height - 1)).round_().clamp_(0, height - 1) * wide
    start = row.long() + torch.arange(b, device=inverse.device)[:, None, None] * (height * wide)
    first = (column.floor().clamp_(1, wide - 4).long() + start).view(-1)
    front = torch.zeros(b * height * wide, device=inverse.device)
    front.scatter_reduce_(0, first, disparity.view(-1), "amax")
    front.scatter_reduce_(0, first + 1, disparity.view(-1), "amax")  # surfaces turned to the projector are wider there
    looked = column if dx is None else column + dx
    if reach is not None:
        looked = looked + (reach if baseline > 0 else -reach)
    looked = looked.round().clamp_(0, wide - 1).long() + start
    before = front.index_select(0, looked.view(-1)).view_as(inverse)
    return before.sub_(disparity).le_(_HIDDEN)


def _mix(
    depth: Tensor, inverse: Tensor, chance: Tensor, share: Tensor, sensor: DepthSensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What pixels between two surfaces measure, 1 / metres, which pixels are on a seam, and which of those the sensor leaves out.

    Mixed are distances, weighted by the light that comes back, which falls with the square of the distance. That is linear, and near
    the phasor sum while the two are far closer than the range without ambiguity.
    """
    near, far = _largest_round(inverse), 1.0 / _largest_round(depth).clamp_min(1e-6)  # 1 / metres
    limit = 0.5 * sensor.mixed * scale  # the seam has half its width on either side, of one crop pixel each
    seam = (far * (1 + 2 * _JUMP)).lt_(near).mul_((limit - chance).gt_(0.0))
    noticed = (limit * sensor.mixed_lost - chance).gt_(0.0).mul_(seam)
    front, back = share * near, (1.0 - share) * far
    between = (front * near + back * far) / (front + back).clamp_min_(1e-9)
    return between, seam, noticed


def _slope(values: Tensor, dim: int) -> Tensor:
    """Differences along `dim`: of those to both sides the smaller, which does not cross an edge."""
    count = values.shape[dim]
    slope = torch.zeros_like(values)
    if count == 1:
        return slope
    step = values.diff(dim=dim)
    slope.narrow(dim, 0, 1).copy_(step.narrow(dim, 0, 1))
    slope.narrow(dim, count - 1, 1).copy_(step.narrow(dim, count - 2, 1))
    size = step.narrow(dim, 0, count - 2).abs()
    smaller = torch.maximum(step.narrow(dim, 1, count - 2), -size)
    torch.minimum(smaller, size, out=slope.narrow(dim, 1, count - 2))
    return slope


def _cosine(inverse: Tensor, K: Tensor, x: Tensor, y: Tensor, upright: bool) -> Tensor:
    """Cosine `(b, H, W)` between the surface's normal and the viewing ray (x, y, 1), from differences of 1 / depth.

    On a plane 1 / z is linear in the pixel: n . X = d gives n / d . ray = 1 / z.
    """
    along, down = _slope(inverse, 2), _slope(inverse, 1)
    k = K[:, :, :, None, None]
    gx, gy = k[:, 0, 0] * along, k[:, 1, 1] * down  # per unit of the plane z = 1
    if not upright:
        gx, gy = gx + k[:, 1, 0] * down, gy + k[:, 0, 1] * along
    gz = (inverse - x * gx).sub_(y * gy)
    squared = (gx.square_() + gy.square_() + gz.square_()) * (x * x + (y * y + 1.0))
    return (inverse / squared.clamp_min_(1e-12).sqrt_()).clamp_max_(1.0)


def _to_rays(K: Tensor) -> Tensor:
    """Pixels to the plane z = 1, `(b, 2, 3)`."""
    linear = _inverse(K[:, :2, :2])
    return torch.cat([linear, -(linear * K[:, None, :2, 2]).sum(-1, keepdim=True)], -1)


def _power(z: Tensor, power: float) -> Tensor:
    """`z` to a multiple of a half, with square roots alone."""
    whole, half = divmod(power, 1.0)
    result = z.sqrt() if half else torch.ones_like(z)
    for _ in range(abs(int(whole))):
        result = result * z if whole > 0 else result / z
    return result


def _slant(cosine: Tensor) -> Tensor:
    """(t / (pi/2 - t))^2 for the angle t of `cosine`, at most that of 85 degrees.

    arccos by its polynomial approximation, Abramowitz and Stegun 4.4.45 (error below 7e-5): quick, and the same on every element.
    """
    c = cosine.clamp(0.0872, 1.0)
    angle = (((-0.0187293 * c + 0.0742610) * c - 0.2121144) * c + 1.5707288) * (1.0 - c).sqrt()
    ratio = angle / (0.5 * np.pi - angle)
    return ratio * ratio
