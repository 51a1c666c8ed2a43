"""Which triangle each pixel sees: the one discrete step of rendering.

Two backends fill the same z-buffer, a Warp kernel (CPU and CUDA) and its torch twin, which is the reference and serves
devices that Warp lacks. Both start from the same triangle set-up and do the same float32 operations in the same order,
so they agree pixel for pixel; equal depths go to the triangle with the lower index, so that they agree there too.

The z-buffer holds one 64-bit key a pixel: the bits of the depth (a positive float sorts like its bits) above those of
the triangle's index. The smallest key wins, whatever the order in which triangles arrive.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

NEAR = 0.05  # metres; triangles with a corner nearer than this to the camera plane are left out
EMPTY = (0x7F800000 << 32) | 0xFFFFFFFF  # depth +inf, triangle -1: what a z-buffer starts with

Backend = Literal["warp", "torch"]


class Triangles(NamedTuple):
    """Projected triangles, flattened over the batch to N = B * F; float32 and int32.

    For side i of a triangle (the one opposite corner i) the value `(x - start_x) * run_y - (y - start_y) * run_x` is
    at least 0 on the inside, and proportional to the screen barycentric coordinate of corner i. The end that a side
    starts from depends on its vertex indices alone, so that the two triangles sharing it round alike and leave no
    crack between them.
    """

    sides: Tensor  # (N, 12): start_x, start_y, run_x, run_y for sides 0, 1, 2
    inverse_depth: Tensor  # (N, 3): 1 / z of corners 0, 1, 2
    box: Tensor  # (N, 4) int32: first x, first y, last x, last y; last < first where the triangle is left out


def visibility(
    vertices: Tensor, faces: Tensor, K: Tensor, height: int, width: int, backend: Backend | None = None
) -> Tensor:
    """The nearest triangle at each pixel centre.

    Triangles are seen from both sides. Those with a corner nearer than 5 cm to the camera plane, those of no area on
    the screen, and those with a corner that is not finite are left out.

    Args:
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3) vertex indices.
        K: (B, 3, 3) or (3, 3) pinhole camera.
        height, width: of the picture, in pixels.
        backend: "warp" or "torch"; None takes Warp where it is installed and runs on the vertices' device.
    Returns:
        face_index: (B, height, width) int32, -1 where nothing is seen. Not differentiable.
    Raises:
        ValueError: for arguments of other shapes, or an unknown backend.
    """
    if vertices.ndim != 3 or vertices.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(f"vertices must be (B, V, 3), faces (F, 3), not {tuple(vertices.shape)}, {tuple(faces.shape)}")
    if K.shape not in ((3, 3), (1, 3, 3), (len(vertices), 3, 3)):
        raise ValueError(f"K must be (3, 3) or (B, 3, 3), not {tuple(K.shape)}")
    with torch.no_grad():
        triangles = set_up_triangles(vertices, faces, K, height, width)
        keys = torch.full((len(vertices), height, width), EMPTY, dtype=torch.int64, device=vertices.device)
        if backend is None:
            backend = "warp" if _warp_serves(vertices.device) else "torch"
        if keys.numel() == 0 or len(triangles.box) == 0:
            pass
        elif backend == "warp":
            from phalanx.render.visibility_warp import fill_keys  # here, because importing Warp is slow

            fill_keys(triangles, keys)
        elif backend == "torch":
            fill_keys_torch(triangles, keys)
        else:
            raise ValueError(f"backend must be 'warp', 'torch' or None, not {backend!r}")
        return keys.to(torch.int32)  # the low half of the key


def set_up_triangles(vertices: Tensor, faces: Tensor, K: Tensor, height: int, width: int) -> Triangles:
    """Project the triangles and find what both backends need of them; arguments as for `visibility`.

    Written without matrix products, whose rounding differs between devices.
    """
    vertices, K = vertices.to(torch.float32), K.to(torch.float32)
    faces = faces.to(torch.int64)
    x, y, z = vertices.unbind(-1)  # (B, V)
    k = K.reshape(-1, 9, 1).unbind(1)  # nine of (B, 1)
    x, y = x / z, y / z
    pixels = torch.stack(((k[0] * x + k[1] * y) + k[2], (k[3] * x + k[4] * y) + k[5], 1 / z, z), dim=-1)  # (B, V, 4)
    corners = pixels[:, faces.T]  # (B, 3, F, 4): u, v, 1 / z, z
    u, v, inverse_depth, z = corners.unbind(-1)  # (B, 3, F)

    # side i goes from the lower to the higher vertex index, so both its triangles see the same numbers
    first, second = faces.T.roll(-1, 0), faces.T.roll(-2, 0)  # (3, F)
    u1, v1, u2, v2 = u.roll(-1, 1), v.roll(-1, 1), u.roll(-2, 1), v.roll(-2, 1)
    swap = first > second
    start_x, start_y = torch.where(swap, u2, u1), torch.where(swap, v2, v1)
    run_x, run_y = torch.where(swap, u1, u2) - start_x, torch.where(swap, v1, v2) - start_y

    # value of side i at its opposite corner, in the direction first -> second: twice the signed area
    area = (u[:, 0] - start_x[:, 0]) * run_y[:, 0] - (v[:, 0] - start_y[:, 0]) * run_x[:, 0]  # (B, F)
    area = torch.where(swap[0], -area, area)
    flip = (area < 0)[:, None] ^ swap  # (B, 3, F): makes the inside positive, exactly
    run_x, run_y = torch.where(flip, -run_x, run_x), torch.where(flip, -run_y, run_y)

    usable = (z >= NEAR).all(1) & torch.isfinite(corners[..., :2]).all(-1).all(1) & (area != 0)  # NaN compares False
    first_x, first_y = u.amin(1).clamp(0, width).ceil(), v.amin(1).clamp(0, height).ceil()  # (B, F)
    last_x, last_y = u.amax(1).clamp(-1, width - 1).floor(), v.amax(1).clamp(-1, height - 1).floor()
    last_x = torch.where(usable, last_x, first_x - 1)
    box = torch.stack((first_x, first_y, last_x, last_y), dim=-1).nan_to_num(-1.0)
    box = torch.where(usable[..., None], box, torch.tensor([0.0, 0, -1, -1], device=box.device))
    sides = torch.stack((start_x, start_y, run_x, run_y), dim=-1)  # (B, 3, F, 4)
    return Triangles(
        sides.transpose(1, 2).reshape(-1, 12),
        inverse_depth.transpose(1, 2).reshape(-1, 3),
        box.to(torch.int32).reshape(-1, 4),
    )


def fill_keys_torch(triangles: Triangles, keys: Tensor, most_samples: int | None = None) -> None:
    """Lower the z-buffer `keys` (B, H, W) int64, in place, to the triangles in front: the torch twin.

    Every triangle's bounding box is spread out into rows, and the rows into pixels ("samples"), as flat lists without
    a loop over triangles or pictures; chunks of rows bound the memory to about 100 bytes times `most_samples`.
    """
    device = keys.device
    if most_samples is None:
        most_samples = 1 << 18 if device.type == "cpu" else 1 << 24
    batch, height, width = keys.shape
    faces = len(triangles.box) // batch
    left, top, right, bottom = triangles.box.to(torch.int64).unbind(-1)  # (N,)
    columns = (right - left + 1).clamp_min(0)
    rows = torch.where(columns > 0, bottom - top + 1, 0).clamp_min(0)

    row_triangle, row_step = _spread(rows)  # (R,) which triangle, and which of its rows
    row_y = top[row_triangle] + row_step
    row_columns = columns[row_triangle]
    row_start = (row_triangle // faces * height + row_y) * width + left[row_triangle]  # first pixel in flat keys
    sides = triangles.sides[row_triangle].unflatten(-1, (3, 4))  # (R, 3, 4)
    cross = (row_y[:, None].to(torch.float32) - sides[..., 1]) * sides[..., 2]  # (R, 3)
    start_x, run_y = sides[..., 0], sides[..., 3]

    flat = keys.view(-1)
    for low, high in _chunks(row_columns, most_samples):
        row, step = _spread(row_columns[low:high])  # (S,)
        row += low
        x = (left[row_triangle[row]] + step).to(torch.float32)
        values = (x[:, None] - start_x[row]) * run_y[row] - cross[row]  # (S, 3)
        inside = (values.amin(-1) >= 0).nonzero()[:, 0]
        row, step, values = row[inside], step[inside], values[inside]
        triangle = row_triangle[row]
        a, b, c = values.unbind(-1)
        p, q, r = triangles.inverse_depth[triangle].unbind(-1)
        depth = ((a + b) + c) / ((a * p + b * q) + c * r)
        key = (depth.view(torch.int32).to(torch.int64) << 32) | (triangle % faces)
        key = torch.where(depth > 0, key, EMPTY)
        flat.scatter_reduce_(0, row_start[row] + step, key, "amin")


def _spread(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Owners and running numbers within them of `counts[i]` items each: [2, 0, 1] gives [0, 0, 2] and [0, 1, 0]."""
    owner = torch.repeat_interleave(counts)
    ends = counts.cumsum(0)
    return owner, torch.arange(len(owner), device=counts.device) - (ends - counts)[owner]


def _chunks(counts: Tensor, most: int) -> list[tuple[int, int]]:
    """Ranges of consecutive items whose counts add up to about `most` each."""
    ends = counts.cumsum(0)
    if len(ends) == 0:
        return []
    cuts = torch.arange(most, max(int(ends[-1]), most), most, device=counts.device)
    edges = [0, *torch.searchsorted(ends, cuts).tolist(), len(ends)]
    return [(low, high) for low, high in zip(edges[:-1], edges[1:], strict=True) if high > low]


def _warp_serves(device: torch.device) -> bool:
    """Whether Warp is installed and can run on the device."""
    try:
        from phalanx.render.visibility_warp import serves
    except ImportError:
        return False
    return serves(device)
