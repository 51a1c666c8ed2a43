"""The Warp kernel of `visibility`. Imported only when it runs; Warp compiles it at its first launch and keeps it."""

import functools
from typing import TYPE_CHECKING, Any

import torch
import warp as wp

if TYPE_CHECKING:
    from phalanx.render.visibility import Triangles

_CUDA_LANES = 8  # threads that share a triangle's rows, so that one large triangle does not hold up the rest

# Contraction into fused multiply-adds would round differently from the torch twin.
wp.set_module_options({"fuse_fp": False, "fast_math": False, "enable_backward": False})


@wp.kernel
def _fill_keys(
    sides: wp.array2d(dtype=wp.float32),  # type: ignore[valid-type]
    inverse_depth: wp.array2d(dtype=wp.float32),  # type: ignore[valid-type]
    box: wp.array2d(dtype=wp.int32),  # type: ignore[valid-type]
    faces: wp.int32,
    keys: wp.array3d(dtype=wp.int64),  # type: ignore[valid-type]
    lanes: wp.int32,
):
    n, lane = wp.tid()
    left = box[n, 0]
    last_x = box[n, 2]
    first_y = box[n, 1] + lane
    last_y = box[n, 3]
    if last_x < left or last_y < first_y:
        return
    picture = n // faces
    face = wp.int64(n - picture * faces)
    start_x0 = sides[n, 0]
    start_y0 = sides[n, 1]
    run_x0 = sides[n, 2]
    run_y0 = sides[n, 3]
    start_x1 = sides[n, 4]
    start_y1 = sides[n, 5]
    run_x1 = sides[n, 6]
    run_y1 = sides[n, 7]
    start_x2 = sides[n, 8]
    start_y2 = sides[n, 9]
    run_x2 = sides[n, 10]
    run_y2 = sides[n, 11]
    p = inverse_depth[n, 0]
    q = inverse_depth[n, 1]
    r = inverse_depth[n, 2]
    for row in range(first_y, last_y + 1, lanes):
        y = wp.float32(row)
        cross0 = (y - start_y0) * run_x0
        cross1 = (y - start_y1) * run_x1
        cross2 = (y - start_y2) * run_x2
        for column in range(left, last_x + 1):
            x = wp.float32(column)
            a = (x - start_x0) * run_y0 - cross0
            b = (x - start_x1) * run_y1 - cross1
            c = (x - start_x2) * run_y2 - cross2
            if a >= 0.0 and b >= 0.0 and c >= 0.0:
                depth = ((a + b) + c) / ((a * p + b * q) + c * r)
                if depth > 0.0:
                    key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | face
                    wp.atomic_min(keys, picture, row, column, key)


def fill_keys(triangles: "Triangles", keys: torch.Tensor) -> None:
    """Lower the z-buffer `keys` (B, H, W) int64, in place, to the triangles in front."""
    _start()
    device = wp.device_from_torch(keys.device)
    lanes = _CUDA_LANES if device.is_cuda else 1
    arrays: list[Any] = [wp.from_torch(array.contiguous(), requires_grad=False) for array in triangles]
    wp.launch(
        _fill_keys,
        dim=(len(triangles.box), lanes),
        inputs=[*arrays, len(triangles.box) // len(keys), wp.from_torch(keys), lanes],
        device=device,
        stream=wp.stream_from_torch(keys.device) if device.is_cuda else None,
    )


def serves(device: torch.device) -> bool:
    """Whether Warp can run on a torch device."""
    if device.type == "cpu":
        return True
    _start()
    return device.type == "cuda" and wp.is_cuda_available()


@functools.cache
def _start() -> None:
    wp.config.quiet = True  # no banner
    wp.init()
