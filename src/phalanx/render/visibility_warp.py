"""The Warp kernel of `visibility`. Imported only when it runs; Warp compiles it at its first launch and keeps it."""

import contextlib
import functools
import io
import os
import warnings
from collections.abc import Iterator

import torch
import warp as wp

_CUDA_LANES = 8  # threads that share a triangle's rows, so that one large triangle does not hold up the rest

# Contraction into fused multiply-adds would round differently from the torch twin.
wp.set_module_options({"fuse_fp": False, "fast_math": False, "enable_backward": False})


@wp.func
def _side(first: wp.int32, second: wp.int32, start: wp.vec3, end: wp.vec3) -> wp.vec4:
    """Start and run of a side, from the lower vertex index to the higher."""
    if first > second:
        return wp.vec4(end[0], end[1], start[0] - end[0], start[1] - end[1])
    return wp.vec4(start[0], start[1], end[0] - start[0], end[1] - start[1])


@wp.func
def _inverse(run: wp.float32) -> wp.float32:
    """1 / run; 0 of a side along the row."""
    return wp.where(run == 0.0, 0.0, 1.0 / run)


@wp.func
def _clip(span: wp.vec2, edge: wp.float32, inverse: wp.float32) -> wp.vec2:
    """The part of the columns `span` that is on the inside of a side, a little wider for rounding.

    The side crosses the row at `edge`; `inverse` is 1 / its run downwards.
    """
    first = wp.where(inverse > 0.0, wp.max(span[0], edge - 0.02), span[0])
    last = wp.where(inverse < 0.0, wp.min(span[1], edge + 0.02), span[1])
    return wp.vec2(first, last)


@wp.kernel
def _fill_keys(
    screen: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    faces: wp.array2d(dtype=wp.int32),  # type: ignore[valid-type]
    keys: wp.array3d(dtype=wp.int64),  # type: ignore[valid-type]
    lanes: wp.int32,
    back_faces: wp.int32,
):
    picture, face, lane = wp.tid()  # type: ignore[misc]
    index0 = faces[face, 0]
    index1 = faces[face, 1]
    index2 = faces[face, 2]
    corner0 = screen[picture, index0]  # u, v, 1 / z
    corner1 = screen[picture, index1]
    corner2 = screen[picture, index2]
    if corner0[2] <= 0.0 or corner1[2] <= 0.0 or corner2[2] <= 0.0:
        return
    width = wp.float32(keys.shape[2])
    height = wp.float32(keys.shape[1])
    low = wp.min(wp.min(corner0, corner1), corner2)
    high = wp.max(wp.max(corner0, corner1), corner2)
    left = wp.int32(wp.ceil(wp.clamp(low[0], 0.0, width)))
    top = wp.int32(wp.ceil(wp.clamp(low[1], 0.0, height)))
    right = wp.int32(wp.floor(wp.clamp(high[0], -1.0, width - 1.0)))
    bottom = wp.int32(wp.floor(wp.clamp(high[1], -1.0, height - 1.0)))
    if right < left or bottom < top:
        return

    side0 = _side(index1, index2, corner1, corner2)  # start_x, start_y, run_x, run_y
    side1 = _side(index2, index0, corner2, corner0)
    side2 = _side(index0, index1, corner0, corner1)
    value = (corner0[0] - side0[0]) * side0[3] - (corner0[1] - side0[1]) * side0[2]
    if value == 0.0:
        return
    # one sense for all sides of a triangle, the inside positive
    inwards = (value > 0.0) == (index1 < index2)
    if back_faces == 0 and not inwards:
        return
    run0 = wp.where(inwards == (index1 < index2), 1.0, -1.0) * wp.vec2(side0[2], side0[3])
    run1 = wp.where(inwards == (index2 < index0), 1.0, -1.0) * wp.vec2(side1[2], side1[3])
    run2 = wp.where(inwards == (index0 < index1), 1.0, -1.0) * wp.vec2(side2[2], side2[3])

    inverse0 = _inverse(run0[1])
    inverse1 = _inverse(run1[1])
    inverse2 = _inverse(run2[1])
    for row in range(top + lane, bottom + 1, lanes):
        y = wp.float32(row)
        cross0 = (y - side0[1]) * run0[0]
        cross1 = (y - side1[1]) * run1[0]
        cross2 = (y - side2[1]) * run2[0]
        span = wp.vec2(wp.float32(left), wp.float32(right))
        span = _clip(span, side0[0] + cross0 * inverse0, inverse0)
        span = _clip(span, side1[0] + cross1 * inverse1, inverse1)
        span = _clip(span, side2[0] + cross2 * inverse2, inverse2)
        first = wp.int32(wp.min(span[0], wp.float32(right) + 1.0) + 0.999)
        last = wp.int32(wp.max(span[1], wp.float32(left) - 1.0))
        for column in range(first, last + 1):
            x = wp.float32(column)
            a = (x - side0[0]) * run0[1] - cross0
            b = (x - side1[0]) * run1[1] - cross1
            c = (x - side2[0]) * run2[1] - cross2
            if a >= 0.0 and b >= 0.0 and c >= 0.0:
                depth = ((a + b) + c) / ((a * corner0[2] + b * corner1[2]) + c * corner2[2])
                if depth > 0.0:
                    key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | wp.int64(face)
                    wp.atomic_min(keys, picture, row, column, key)


def fill_keys(screen: torch.Tensor, faces: torch.Tensor, keys: torch.Tensor, back_faces: bool = True) -> None:
    """Lower the z-buffer `keys` (B, H, W) int64, in place, to the triangles in front; see `fill_keys_torch`."""
    device = _start(str(keys.device))
    lanes = _CUDA_LANES if device.is_cuda else 1
    wp.launch(
        _fill_keys,
        dim=(len(keys), len(faces), lanes),
        inputs=[
            wp.from_torch(screen.contiguous(), dtype=wp.vec3, requires_grad=False),
            wp.from_torch(faces.to(torch.int32).contiguous()),
            wp.from_torch(keys),
            lanes,
            int(back_faces),
        ],
        device=device,
        stream=wp.stream_from_torch(keys.device) if device.is_cuda else None,
    )


@functools.cache
def serves(device: str) -> bool:
    """Whether Warp can run on a torch device; says so once where it should but cannot."""
    if torch.device(device).type not in ("cpu", "cuda"):
        return False
    try:
        _start(device)
    except (OSError, RuntimeError) as error:  # no place to keep compiled kernels, no usable driver
        warnings.warn(f"Warp does not run on {device} ({error}); rasterising with torch, more slowly", stacklevel=3)
        return False
    return True


@functools.cache
def _start(device: str) -> "wp.Device":
    """Start Warp and compile the kernel for a torch device, once and in silence."""
    with in_silence():
        warp_device = wp.device_from_torch(torch.device(device))
        # A first launch, on nothing, and not `wp.load_module`, after which some releases load (and say) it again.
        nothing = (
            wp.zeros((1, 1), dtype=wp.vec3, device=warp_device),
            wp.zeros((1, 3), dtype=wp.int32, device=warp_device),
            wp.zeros((1, 1, 1), dtype=wp.int64, device=warp_device),
        )
        wp.launch(_fill_keys, dim=(1, 1, 1), inputs=[*nothing, 1, 1], device=warp_device)
    return warp_device


@contextlib.contextmanager
def in_silence() -> Iterator[None]:
    """Start Warp, and say nothing of it, nor of what is compiled within."""
    with contextlib.redirect_stdout(io.StringIO()):
        with contextlib.nullcontext() if torch.cuda.is_available() else _no_standard_error():
            wp.init()
        yield


@contextlib.contextmanager
def _no_standard_error() -> Iterator[None]:
    """Drop what native code writes: Warp warns at every start on a machine without CUDA, at no log level."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
