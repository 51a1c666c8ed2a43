"""How crops of depth pictures lie on the pixels of the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.synth.sense.depth_noise import FIELD_SIDE, DepthNoiseDraw
from phalanx.synth.sense.sensors import DepthSensor

_ONE_TO_ONE = 0.7  # crop pixels per pixel of the sensor up to which no two share one, however turned


@dataclass
class SensorGrid:
    """How B crops of H x W pixels lie on the sensor's pixels.

    Shapes `(B, ., .)` broadcast to `(B, H, W)`: in upright crops such a value depends on the row or the column alone.

    Attributes:
        back_x, back_y: (B, ., .) where in the crop the centre of each pixel's pixel of the sensor is.
        spot_row, spot_column: (B, ., .) int32, where its noise is: the number in a noise field is their sum.
        sign: (B, 1, 1) of the noise along the ray.
        scale: (B, 1, 1) crop pixels per pixel of the sensor.
        x, y: (B, ., .) the viewing ray (x, y, 1); ray_squared: its squared length.
        k: (B, 4, 1, 1) K[0, 0], K[0, 1], K[1, 0], K[1, 1].
        along_column, along_row: (B, ., .) position along and across the sensor's rows, in crop pixels from the crop's corner.
        focal: (B, 1, 1) focal length along the sensor's rows in crop pixels.
        shared: whether pixels of a crop may share a pixel of the sensor.
        upright: whether all crops are.
    """

    back_x: Tensor
    back_y: Tensor
    spot_row: Tensor
    spot_column: Tensor
    sign: Tensor
    scale: Tensor
    x: Tensor
    y: Tensor
    ray_squared: Tensor
    k: Tensor
    along_column: Tensor
    along_row: Tensor
    focal: Tensor
    shared: bool
    upright: bool

    def part(self, rows: slice) -> SensorGrid:
        """The same of some pictures."""
        values = vars(self).values()
        return SensorGrid(*(v[rows] if isinstance(v, Tensor) else v for v in values))  # type: ignore[arg-type]


def sensor_grid(K: Tensor, sensor: DepthSensor, draw: DepthNoiseDraw, height: int, width: int) -> SensorGrid:
    """The grid of crops of `height` x `width` pixels with cameras `K (B, 3, 3)`, which lie on the sensor as drawn."""
    shift, flip, sign, phase, turn = (
        torch.as_tensor(a, device=K.device)[:, :, None, None]
        for a in (draw.shift, draw.flip, draw.sign[:, None], draw.phase, draw.turn)
    )
    cosine, sine = turn.unbind(1)  # each (B, 1, 1)
    k = K[:, :2, :2].reshape(-1, 4, 1, 1)
    k00, k01, k10, k11 = k.unbind(1)
    upright = not bool((k01 != 0).any() | (k10 != 0).any() | (sine != 0).any())
    determinant = k00 * k11 - k01 * k10
    middle_x, middle_y = 0.5 * (width - 1), 0.5 * (height - 1)
    u = torch.arange(width, device=K.device, dtype=torch.float32)[None, None, :] - middle_x
    v = torch.arange(height, device=K.device, dtype=torch.float32)[None, :, None] - middle_y

    def linear(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """[[a, b], [c, d]] times (x, y)."""
        return (a * x, d * y) if upright else (a * x + b * y, d * y + c * x)

    # From the crop's centre to the plane z = 1 to the sensor's pixels, and back.
    x, y = linear(k11 / determinant, -k01 / determinant, -k10 / determinant, k00 / determinant, u, v)
    native_x, native_y = linear(cosine, sine, -sine, cosine, x, y)
    column = (native_x * sensor.focal + phase[:, 0]).round_()
    row = (native_y * sensor.focal + phase[:, 1]).round_()
    back_x, back_y = (column - phase[:, 0]) / sensor.focal, (row - phase[:, 1]) / sensor.focal
    back_x, back_y = linear(k00, k01, k10, k11, *linear(cosine, -sine, sine, cosine, back_x, back_y))
    # The viewing rays go by the optical axis.
    centre_x, centre_y = middle_x - K[:, 0, 2, None, None], middle_y - K[:, 1, 2, None, None]
    x = x + (k11 * centre_x - k01 * centre_y) / determinant
    y = y + (k00 * centre_y - k10 * centre_x) / determinant
    along_x, along_y = k00 * cosine + k01 * sine, k10 * cosine + k11 * sine  # the sensor's x axis in the crop
    focal = (along_x * along_x + along_y * along_y).sqrt()
    along_x, along_y = along_x / focal, along_y / focal
    along_column, along_row = linear(along_x, along_y, -along_y, along_x, u, v)
    scale = determinant.sqrt() / sensor.focal
    return SensorGrid(
        back_x=back_x + middle_x,
        back_y=back_y + middle_y,
        spot_row=((row.int() * flip[:, 1] + shift[:, 1]) & (FIELD_SIDE - 1)) * FIELD_SIDE,
        spot_column=(column.int() * flip[:, 0] + shift[:, 0]) & (FIELD_SIDE - 1),
        sign=sign[:, 0],
        scale=scale,
        x=x,
        y=y,
        ray_squared=x * x + (y * y + 1.0),
        k=k,
        along_column=along_column + middle_x,
        along_row=along_row + middle_y,
        focal=focal,
        shared=bool((scale > _ONE_TO_ONE).any()),
        upright=upright,
    )
