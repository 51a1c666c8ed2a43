"""Which triangle each pixel sees: the one discrete step of rendering.

Two backends fill the same z-buffer, a Warp kernel (CPU and CUDA) and its torch twin, which is the reference and serves
devices that Warp lacks. Both start from the same triangle set-up and do the same float32 operations in the same order,
so they agree pixel for pixel; equal depths go to the triangle with the lower index, so that they agree there too.

The z-buffer holds one 64-bit key a pixel: the bits of the depth (a positive float sorts like its bits) above those of
the triangle's index. The smallest key wins, whatever the order in which triangles arrive.
"""

import itertools
from typing import Literal, NamedTuple

import torch
from torch import Tensor

NEAR = 0.05  # metres; triangles with a corner nearer than this to the camera plane are left out
EMPTY = (0x7F800000 << 32) | 0xFFFFFFFF  # depth +inf, triangle -1: what a z-buffer starts with

Backend = Literal["warp", "torch"]


class Triangles(NamedTuple):
    """Projected triangles, flattened over the batch to N = B * F.

    For side i of a triangle (the one opposite corner i) the value `(x - start_x) * run_y - (y - start_y) * run_x` is
    at least 0 on the inside, and proportional to the screen barycentric coordinate of corner i. The end that a side
    starts from depends on its vertex indices alone, so that the two triangles sharing it round alike and leave no
    crack between them.
    """

    start_x: Tensor  # (3, N), for sides 0, 1, 2
    start_y: Tensor  # (3, N)
    run_x: Tensor  # (3, N)
    run_y: Tensor  # (3, N)
    inverse_depth: Tensor  # (3, N), 1 / z of corners 0, 1, 2
    box: Tensor  # (4, N) int64: first x, first y, last x, last y; last < first where the triangle is left out


def visibility(
    vertices: Tensor,
    faces: Tensor,
    K: Tensor,
    height: int,
    width: int,
    backend: Backend | None = None,
    back_faces: bool = True,
) -> Tensor:
    """The nearest triangle at each pixel centre.

    Those with a corner nearer than 5 cm to the camera plane, those of no area on
    the screen, and those with a corner that is not finite are left out.

    Args:
        vertices: (B, V, 3) metres, camera frame.
        faces: (F, 3) vertex indices.
        K: (B, 3, 3) or (3, 3) pinhole camera.
        height, width: of the picture, in pixels.
        backend: "warp" or "torch"; None takes Warp where it is installed and runs on the vertices' device.
        back_faces: whether triangles are seen from both sides. A closed surface whose corners run counter-clockwise, seen
            from outside, shows no back faces, and is drawn in half the time without them.
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
        screen = project_vertices(vertices, K)
        keys = torch.full((len(vertices), height, width), EMPTY, dtype=torch.int64, device=vertices.device)
        if backend is None:
            backend = "warp" if warp_serves(vertices.device) else "torch"
        if keys.numel() == 0 or len(faces) == 0:
            pass
        elif backend == "warp":
            from phalanx.render.visibility_warp import fill_keys  # here, because importing Warp is slow

            fill_keys(screen, faces, keys, back_faces)
        elif backend == "torch":
            fill_keys_torch(screen, faces, keys, back_faces)
        else:
            raise ValueError(f"backend must be 'warp', 'torch' or None, not {backend!r}")
        return keys.to(torch.int32)  # the low half of the key


def project_vertices(vertices: Tensor, K: Tensor) -> Tensor:
    """Pixel and inverse depth (B, V, 3) float32 of each vertex; zeros for those nearer than `NEAR` or not finite.

    Differentiable. Written without matrix products, whose rounding differs between devices.
    """
    x, y, z = vertices.to(torch.float32).unbind(-1)  # (B, V)
    usable = (z >= NEAR) & (z < torch.inf)  # NaN compares False
    z = torch.where(usable, z, 1)  # keeps infinities out of gradients
    k = K.to(torch.float32).reshape(-1, 9, 1).unbind(1)  # nine of (B, 1)
    x, y = x / z, y / z
    u = (k[0] * x + k[1] * y) + k[2]
    v = (k[3] * x + k[4] * y) + k[5]
    screen = torch.stack((u, v, 1 / z), dim=-1)  # (B, V, 3)
    usable = usable & ((u + v).abs() < torch.inf)
    return torch.where(usable[..., None], screen, 0)


def set_up_triangles(screen: Tensor, faces: Tensor, height: int, width: int, back_faces: bool = True) -> Triangles:
    """Sides and bounding boxes of the triangles, from `project_vertices` and faces (F, 3)."""
    corner = faces.T.to(torch.int64)  # (3, F)
    corners = screen.index_select(1, corner.reshape(-1))  # (B, 3F, 3)
    u, v, inverse_depth = corners.reshape(len(screen), 3, -1, 3).permute(3, 1, 0, 2).contiguous()  # each (3, B, F)

    # side i runs between corners i + 1 and i + 2, from the lower vertex index to the higher
    swap = (corner.roll(-1, 0) > corner.roll(-2, 0))[:, None]  # (3, 1, F)
    u1, v1, u2, v2 = u.roll(-1, 0), v.roll(-1, 0), u.roll(-2, 0), v.roll(-2, 0)
    start_x, start_y = torch.where(swap, u2, u1), torch.where(swap, v2, v1)
    run_x, run_y = torch.where(swap, u1, u2) - start_x, torch.where(swap, v1, v2) - start_y

    value = (u[0] - start_x[0]) * run_y[0] - (v[0] - start_y[0]) * run_x[0]  # (B, F), of side 0 at corner 0
    flip = (value < 0) ^ swap[0] ^ swap  # (3, B, F): one sense for all sides of a triangle
    run_x, run_y = torch.where(flip, -run_x, run_x), torch.where(flip, -run_y, run_y)

    usable = (inverse_depth[0] > 0) & (inverse_depth[1] > 0) & (inverse_depth[2] > 0) & (value != 0)
    if not back_faces:
        usable &= (value > 0) ^ swap[0]
    left, top = u.amin(0).clamp(0, width).ceil(), v.amin(0).clamp(0, height).ceil()  # (B, F)
    right, bottom = u.amax(0).clamp(-1, width - 1).floor(), v.amax(0).clamp(-1, height - 1).floor()
    box = torch.stack((left, top, torch.where(usable, right, -1), bottom)).to(torch.int64)  # (4, B, F)
    return Triangles(*(array.flatten(1) for array in (start_x, start_y, run_x, run_y, inverse_depth, box)))


def fill_keys_torch(
    screen: Tensor, faces: Tensor, keys: Tensor, back_faces: bool = True, most_samples: int | None = None
) -> None:
    """Lower the z-buffer `keys` (B, H, W) int64, in place, to the triangles in front: the torch twin.

    Every triangle's bounding box is spread out into rows, and the rows into pixels ("samples"), as flat lists without
    a loop over triangles or pictures; chunks of rows bound the memory to about 100 bytes times `most_samples`.
    """
    if most_samples is None:
        most_samples = 1 << 18 if keys.device.type == "cpu" else 1 << 24
    height, width = keys.shape[1:]
    triangles = set_up_triangles(screen, faces, height, width, back_faces)
    left, top, right, bottom = triangles.box  # (N,)
    columns = (right - left + 1).clamp_min(0)
    rows = torch.where(columns > 0, (bottom - top + 1).clamp_min(0), 0)

    row_triangle, row_step = spread_out(rows)  # (R,) which triangle, and which of its rows
    row_y = _pick(top, row_triangle) + row_step
    row_columns, row_left = _pick(columns, row_triangle), _pick(left, row_triangle)
    row_start = (row_triangle // len(faces) * height + row_y) * width  # the row's first pixel in the flat keys
    y = row_y.to(torch.float32)
    start_x = [_pick(side, row_triangle) for side in triangles.start_x]  # three of (R,)
    run_y = [_pick(side, row_triangle) for side in triangles.run_y]
    cross = [
        (y - _pick(start, row_triangle)) * _pick(run, row_triangle)
        for start, run in zip(triangles.start_y, triangles.run_x, strict=True)
    ]

    flat = keys.view(-1)
    for low, high in _chunks(row_columns, most_samples):
        row, step = spread_out(row_columns[low:high])  # (S,)
        row += low
        column = _pick(row_left, row) + step
        x = column.to(torch.float32)
        a, b, c = ((x - _pick(start_x[i], row)) * _pick(run_y[i], row) - _pick(cross[i], row) for i in range(3))
        inside = ((a >= 0) & (b >= 0) & (c >= 0)).nonzero()[:, 0]
        row, column, a, b, c = (_pick(array, inside) for array in (row, column, a, b, c))
        triangle = _pick(row_triangle, row)
        p, q, r = (_pick(corner, triangle) for corner in triangles.inverse_depth)
        depth = ((a + b) + c) / ((a * p + b * q) + c * r)
        key = (depth.view(torch.int32).to(torch.int64) << 32) | (triangle % len(faces))
        key = torch.where(depth > 0, key, EMPTY)  # 0 / 0 where all three values round to 0
        flat.scatter_reduce_(0, _pick(row_start, row) + column, key, "amin")


def _pick(array: Tensor, index: Tensor) -> Tensor:
    """`array[index]` for flat tensors, at a fraction of its time."""
    return array.index_select(0, index)


def spread_out(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Owners and running numbers within them of `counts[i]` items each: [2, 0, 1] gives [0, 0, 2] and [0, 1, 0]."""
    owner = torch.repeat_interleave(counts)
    ends = counts.cumsum(0)
    return owner, torch.arange(len(owner), device=counts.device) - _pick(ends - counts, owner)


def _chunks(counts: Tensor, most: int) -> list[tuple[int, int]]:
    """Ranges of consecutive items whose counts add up to about `most` each."""
    ends = counts.cumsum(0)
    if len(ends) == 0:
        return []
    cuts = torch.arange(most, max(int(ends[-1]), most), most, device=counts.device)
    edges = [0, *torch.searchsorted(ends, cuts).tolist(), len(ends)]
    return [(low, high) for low, high in itertools.pairwise(edges) if high > low]


def warp_serves(device: torch.device) -> bool:
    """Whether Warp is installed and can run on the device."""
    try:
        from phalanx.render.visibility_warp import serves
    except ImportError:
        return False
    return serves(str(device))
