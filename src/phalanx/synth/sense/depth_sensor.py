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

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.synth.sense.depth_noise import DepthNoiseDraw, noise_fields
from phalanx.synth.sense.sensor_grid import SensorGrid, sensor_grid
from phalanx.synth.sense.sensors import IDEAL, DepthSensor

_BLOCK = 8  # pictures sensed together on the CPU: what fits a core's cache
_JUMP = 0.02  # depths that differ by more than this share belong to two surfaces
_RINGS = 3  # crop pixels that the loss round edges reaches at most
_HIDDEN = 2.5  # crop pixels of disparity by which something in front hides: neighbours on one surface differ by up to 2
_SKIN = 0.5  # infrared reflectance where no map is given


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
        fields = noise_fields(sensor.grain, sensor.lateral_grain, sensor.hole_grain, str(device))
        grid = sensor_grid(K.to(device, torch.float32), sensor, draw, *depth.shape[1:])
        size = _BLOCK if device.type == "cpu" else max(len(depth), 1)
        sensed = [
            _sense(depth[rows], grid.part(rows), sensor, fields, None if albedo is None else albedo[rows].float())
            for rows in (slice(start, start + size) for start in range(0, len(depth), size))
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


def _at(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`values (b, H, W)` at the pixels nearest to `x, y`, which broadcast to its shape and are used up."""
    b, height, width = values.shape
    index = y.round_().clamp_(0, height - 1).mul_(width) + x.round_().clamp_(0, width - 1)
    return values.view(b, -1).gather(1, index.long().view(b, -1)).view_as(values)


def _sense(
    depth: Tensor, grid: SensorGrid, sensor: DepthSensor, fields: tuple[Tensor, ...], albedo: Tensor | None
) -> Tensor:
    """`sense_depth` for one block; `fields` as `noise_fields` gives them."""
    spot = (grid.spot_row + grid.spot_column).view(-1)

    def noise(field: int) -> Tensor:
        return fields[field].index_select(0, spot).view_as(depth)

    # Masks are floats, 0 or 1, made in place: several times quicker on the CPU than Booleans that are turned into numbers.
    inverse = depth.clone().gt_(0.0).div_(depth.clamp_min(1e-6))  # 1 / metres; nothing: 0
    surface, moved = inverse, None  # what each pixel measures
    if sensor.lateral:
        moved, down = (noise(field).mul_(grid.scale * sensor.lateral) for field in (1, 2))  # crop pixels
        surface = _move_edges(inverse, moved, down)
    keep = surface.clone().gt_(0.0)
    limit = noise(3)
    reach = None if not sensor.edge_loss else (limit * (grid.scale * sensor.edge_loss)).clamp_max_(_RINGS)
    if sensor.baseline:
        keep *= _lit(inverse, grid, sensor.baseline, moved, reach)
    if reach is not None:
        _lose_edges(keep, surface, inverse, reach)
    if sensor.mixed:
        between, seam, noticed = _mix(depth, inverse, noise(4), sensor, grid.scale)
        surface = between.sub_(surface).mul_(seam).add_(surface)
        keep *= 1.0 - noticed

    cosine = _cosine(inverse, grid)
    if sensor.least_signal:
        returned = cosine * (_SKIN / sensor.least_signal if albedo is None else albedo / sensor.least_signal)
        keep *= returned.mul_(surface).mul_(surface).ge_(limit)
    if sensor.grazing:
        keep *= (cosine / sensor.grazing).ge_(limit)

    z = _measure(surface, cosine, noise(0).mul_(grid.sign), sensor, albedo)
    keep *= z.clamp(sensor.nearest, sensor.farthest).eq_(z)
    z *= keep
    # Crop pixels that share a pixel of the sensor deliver the same.
    return _at(z, grid.back_x.clone(), grid.back_y.clone()) if grid.shared else z


def _move_edges(inverse: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """1 / metres `(b, H, W)` with its edges displaced by `dx, dy (b, H, W)`; `dy` is used up.

    Only over an edge: on one surface a displacement is part of the noise along the ray. And not out of nothing.
    """
    away = _displaced(inverse, dx.clone(), dy).sub_(inverse)
    over = away.abs().gt_(inverse * _JUMP).mul_(inverse.clone().gt_(0.0))
    return away.mul_(over).add_(inverse)


def _lose_edges(keep: Tensor, surface: Tensor, inverse: Tensor, reach: Tensor) -> None:
    """Lose pixels within `reach (b, H, W)` crop pixels of something nearer: in place of the mask `keep`."""
    near = inverse
    for ring in range(_RINGS):
        near = _largest_round(near)
        keep *= torch.maximum((surface * (1 + _JUMP * (ring + 1))).ge_(near), (ring + 0.5 - reach).gt_(0.0))


def _measure(surface: Tensor, cosine: Tensor, noise: Tensor, sensor: DepthSensor, albedo: Tensor | None) -> Tensor:
    """Metres `(b, H, W)` that the sensor reads off 1 / metres, with unit `noise` along the ray, which is used up; in its steps."""
    (a, b, c), (factor, power) = sensor.axial, sensor.slant
    if sensor.triangulates:  # noise is symmetric in disparity, which is proportional to 1 / z; d(1 / z) = dz / z^2
        noise *= _sigma(surface, cosine, (c, b, a), factor, 2.0 - power)
        measured = noise.add_(surface)
        if sensor.levels:
            resolution = sensor.levels * sensor.focal * abs(sensor.baseline)
            measured = measured.mul_(resolution).round_().clamp_min_(1.0).div_(resolution)
        z = measured.clamp_min_(1e-6).reciprocal_()
    else:
        z = 1.0 / surface.clamp_min(1e-6)
        noise *= _sigma(z, cosine, (a, b, c), factor, power)
        if albedo is not None:
            noise *= (_SKIN / albedo.clamp_min(0.02)).sqrt_()  # shot noise of the light that comes back
        z += noise
    return z.div_(sensor.unit).round_().mul_(sensor.unit) if sensor.unit else z


def _displaced(values: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """`values (b, H, W)` at pixels that lie `dx, dy (b, H, W)` away, which are used up."""
    u = torch.arange(values.shape[2], device=values.device, dtype=torch.float32)
    v = torch.arange(values.shape[1], device=values.device, dtype=torch.float32)[:, None]
    return _at(values, dx.add_(u), dy.add_(v))


def _largest_round(values: Tensor) -> Tensor:
    """The largest value among each pixel of `(b, H, W)` and its eight neighbours."""
    for dim in (2, 1):
        count = values.shape[dim]
        if count == 1:
            continue
        pairs = torch.maximum(values.narrow(dim, 1, count - 1), values.narrow(dim, 0, count - 1))
        values = torch.empty_like(values)
        values.narrow(dim, 0, 1).copy_(pairs.narrow(dim, 0, 1))
        values.narrow(dim, count - 1, 1).copy_(pairs.narrow(dim, count - 2, 1))
        middle = values.narrow(dim, 1, count - 2)
        torch.maximum(pairs.narrow(dim, 0, count - 2), pairs.narrow(dim, 1, count - 2), out=middle)
    return values


def _lit(inverse: Tensor, grid: SensorGrid, baseline: float, dx: Tensor | None, reach: Tensor | None) -> Tensor:
    """1 where the projector (or the second camera) sees what the camera sees, else 0; `(b, H, W)`.

    A projector at x = `baseline` sees a point in the column u - f baseline / z of the same row. Every pixel goes into the projector's
    picture, where the nearest wins; what lies clearly behind the winner is in its shadow. Columns are counted relative to the
    nearest point, so that what falls outside the picture has nothing in front of it. `dx (b, H, W)` displaces the shadow's edges, and
    `reach (b, H, W)` moves it off from what throws it: there, pixels are lost anyway.
    """
    b, height, width = inverse.shape
    disparity = inverse * (grid.focal * abs(baseline))  # crop pixels
    nearest = disparity.amax((1, 2), keepdim=True)
    # Beside the picture there are columns: one where far outsiders go, another, always empty, where they look.
    beside, wide = 3.0, width + 7
    start = grid.along_row.round().clamp_(0, height - 1) * wide
    if baseline > 0:
        column = (grid.along_column + (nearest + beside)) - disparity
    else:
        column = (grid.along_column - (nearest - beside)) + disparity
    place = column.floor().clamp_(1, wide - 4).add_(start).long().view(b, -1)
    front = torch.zeros(b, height * wide, device=inverse.device)
    front.scatter_reduce_(1, place, disparity.view(b, -1), "amax")
    front[:, 1:] = torch.maximum(front[:, 1:], front[:, :-1])  # surfaces turned to the projector are wider there
    if dx is not None:
        column += dx
    if reach is not None:
        column.add_(reach, alpha=1 if baseline > 0 else -1)
    looked = column.round_().clamp_(0, wide - 1).add_(start).long().view(b, -1)
    before = front.gather(1, looked).view_as(inverse)
    return before.sub_(disparity).le_(_HIDDEN)


def _mix(
    depth: Tensor, inverse: Tensor, chance: Tensor, sensor: DepthSensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What pixels between two surfaces measure, 1 / metres, which pixels are on a seam, and which of those the sensor leaves out.

    Mixed are distances, weighted by the light that comes back, which falls with the square of the distance. That is linear, and near
    the phasor sum while the two are far closer than the range without ambiguity. `chance (b, H, W)` is uniform in 0..1; it says
    who is on the seam, and among those how much of the nearer is seen.
    """
    near, far = _largest_round(inverse), 1.0 / _largest_round(depth).clamp_min(1e-6)  # 1 / metres
    limit = (0.5 * sensor.mixed * scale).clamp_max(1.0)  # half of the seam on either side, of one crop pixel each
    seam = (far * (1 + 2 * _JUMP)).lt_(near).mul_((limit - chance).gt_(0.0))
    noticed = (limit * sensor.mixed_lost - chance).gt_(0.0).mul_(seam)
    share = (chance / limit).sub_(sensor.mixed_lost).div_(1.0 - sensor.mixed_lost).clamp_(0.0, 1.0)
    front, back = share * near, (1.0 - share).mul_(far)
    between = (front * near).add_(back * far).div_((front + back).clamp_min_(1e-9))
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


def _cosine(inverse: Tensor, grid: SensorGrid) -> Tensor:
    """Cosine `(b, H, W)` between the surface's normal and the viewing ray, from differences of 1 / depth.

    On a plane 1 / z is linear in the pixel: n . X = d gives n / d . ray = 1 / z.
    """
    along, down = _slope(inverse, 2), _slope(inverse, 1)
    k00, k01, k10, k11 = grid.k.unbind(1)
    gx, gy = k00 * along, k11 * down  # per unit of the plane z = 1
    if not grid.upright:
        gx, gy = gx + k10 * down, gy + k01 * along
    gz = (inverse - grid.x * gx).sub_(grid.y * gy)
    squared = (gx.square_().add_(gy.square_()).add_(gz.square_())).mul_(grid.ray_squared)
    return (inverse / squared.clamp_min_(1e-12).sqrt_()).clamp_max_(1.0)


def _sigma(
    x: Tensor, cosine: Tensor, polynomial: tuple[float, float, float], factor: float, power: float
) -> Tensor | float:
    """Standard deviation a + b x + c x^2 + factor x^power (t / (pi/2 - t))^2 at the angle t of `cosine`, at most 85 degrees.

    `power` is a multiple of a half. arccos is the polynomial approximation 4.4.45 of Abramowitz and Stegun (error below 7e-5): like the
    rest it is quick and rounds alike on every element.
    """
    a, b, c = polynomial
    sigma = (x * c).add_(b).mul_(x).add_(a) if b or c else a
    if not factor:
        return sigma
    k = cosine.clamp(0.0872, 1.0)
    angle = (k * -0.0187293).add_(0.0742610).mul_(k).add_(-0.2121144).mul_(k).add_(1.5707288).mul_((1.0 - k).sqrt_())
    ratio = angle.div_(0.5 * np.pi - angle).square_().mul_(factor)
    whole, half = divmod(power, 1.0)
    if half:
        ratio *= x.sqrt()
    for _ in range(abs(int(whole))):
        ratio = ratio.mul_(x) if whole > 0 else ratio.div_(x)
    return ratio.add_(sigma)
