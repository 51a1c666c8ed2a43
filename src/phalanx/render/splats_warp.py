"""The Warp kernel of `splats`. Imported only when it runs; Warp compiles it at its first launch and keeps it."""

import functools

import torch
import warp as wp

from phalanx.render.visibility_warp import in_silence

# Contraction into fused multiply-adds would round differently from the torch twin.
wp.set_module_options({"fuse_fp": False, "fast_math": False, "enable_backward": False})

_LAST = wp.constant(wp.int64(0x7FFFFFFF))  # `splats.LAST`


@wp.kernel
def _fill_splats(
    points: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    keys: wp.array3d(dtype=wp.int64),  # type: ignore[valid-type]
    radius: wp.float32,
    inverse: wp.float32,
):
    picture, number = wp.tid()  # type: ignore[misc]
    point = points[picture, number]
    if not (wp.isfinite(point[0]) and wp.isfinite(point[1]) and wp.isfinite(point[2]) and point[2] < 1.0):
        return
    size = wp.float32(keys.shape[2])
    left = wp.int32(wp.clamp(wp.floor((point[0] - radius) * size - 0.5), 0.0, size))
    top = wp.int32(wp.clamp(wp.floor((point[1] - radius) * size - 0.5), 0.0, size))
    right = wp.int32(wp.clamp(wp.ceil((point[0] + radius) * size - 0.5), -1.0, size - 1.0))
    bottom = wp.int32(wp.clamp(wp.ceil((point[1] + radius) * size - 0.5), -1.0, size - 1.0))
    for row in range(top, bottom + 1):
        down = (wp.float32(row) + 0.5) / size - point[1]
        for column in range(left, right + 1):
            across = (wp.float32(column) + 0.5) / size - point[0]
            inside = 1.0 - (across * across + down * down) * inverse
            if inside > 0.0:
                height = (1.0 - point[2]) * (inside * inside)
                if height > 0.0:
                    key = (wp.int64(wp.cast(height, wp.int32)) << wp.int64(32)) | (_LAST - wp.int64(number))
                    wp.atomic_max(keys, picture, row, column, key)


def fill_splats(points: torch.Tensor, keys: torch.Tensor, radius: float) -> None:
    """Raise the keys (B, S, S) int64, in place, to those of the points (B, N, 3) float32 in front; see `fill_splats_torch`."""
    device = _start(str(keys.device))
    wp.launch(
        _fill_splats,
        dim=points.shape[:2],
        inputs=[
            wp.from_torch(points, dtype=wp.vec3, requires_grad=False),
            wp.from_torch(keys),
            radius,
            1.0 / radius**2,
        ],
        device=device,
        stream=wp.stream_from_torch(keys.device) if device.is_cuda else None,
    )


@functools.cache
def _start(device: str) -> "wp.Device":
    """Compile the kernel for a torch device, once and in silence, by a first launch on nothing."""
    with in_silence():
        warp_device = wp.device_from_torch(torch.device(device))
        nothing = (
            wp.zeros((1, 1), dtype=wp.vec3, device=warp_device),
            wp.zeros((1, 1, 1), dtype=wp.int64, device=warp_device),
        )
        wp.launch(_fill_splats, dim=(1, 1), inputs=[*nothing, 1.0, 1.0], device=warp_device)
    return warp_device
