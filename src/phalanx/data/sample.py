"""The one contract between datasets, synthesis and methods: a batch of labelled hand pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.geometry.camera import check_camera_matrix

# What each field must look like. "B" is the batch, "H" and "W" the picture, "V" the surface; each letter
# must stand for the same number in all fields of one sample.
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "image": ("B", 3, "H", "W"),
    "depth": ("B", "H", "W"),
    "sensed_depth": ("B", "H", "W"),
    "mask": ("B", "H", "W"),
    "parts": ("B", "H", "W"),
    "hand_masks": ("B", 2, "H", "W"),
    "boxes": ("B", 2, 4),
    "joints": ("B", 21, 3),
    "joints_2d": ("B", 21, 2),
    "valid": ("B", 21),
    "visible": ("B", 21),
    "vertices": ("B", "V", 3),
    "rotations": ("B", 16, 3, 3),
    "shape": ("B", 10),
    "orientation": ("B", 3, 3),
    "translation": ("B", 3),
    "K": ("B", 3, 3),
    "world_to_camera": ("B", 4, 4),
    "time": ("B",),
    "ids": ("B", 3),
    "left": ("B",),
    "gesture": ("B",),
}

_INTEGERS = {"parts": torch.uint8, "ids": torch.int64, "left": torch.bool, "gesture": torch.int64}


@dataclass
class Sample:
    """A batch of right hands. Every field may be absent (None); those present share the batch dimension B.

    Left hands are mirrored before they become samples. Frames, units and joint order: `docs/conventions.md`.
    """

    image: Tensor | None = None  # (B, 3, H, W) RGB in [0, 1], float
    depth: Tensor | None = None  # (B, H, W) metres, 0 = no reading
    sensed_depth: Tensor | None = None  # (B, H, W) metres, 0 = no reading: all there is, as a depth sensor delivers it
    mask: Tensor | None = None  # (B, H, W) in [0, 1], 1 = hand
    parts: Tensor | None = None  # (B, H, W) uint8, 0 = nothing, else 1 + the segment of the hand model
    hand_masks: Tensor | None = None  # (B, 2, H, W) in [0, 1], what is seen to the wrist of this hand and the other
    boxes: Tensor | None = (
        None  # (B, 2, 4) x, y, width, height in pixels from the edge, of both; all 0 where nothing is seen
    )
    joints: Tensor | None = None  # (B, 21, 3) metres, camera frame
    joints_2d: Tensor | None = None  # (B, 21, 2) pixels of `image`, (0, 0) the centre of the top-left pixel
    valid: Tensor | None = (
        None  # (B, 21) 1 where a joint is known, 0 where it is not (its numbers are then 0); absent: all are
    )
    visible: Tensor | None = None  # (B, 21) 1 where a joint is seen, 0 where something hides it or it is not known
    vertices: Tensor | None = None  # (B, V, 3) metres, camera frame
    rotations: Tensor | None = None  # (B, 16, 3, 3) local rotations as in `HandPose.rotations`
    shape: Tensor | None = None  # (B, 10) standard deviations
    orientation: Tensor | None = None  # (B, 3, 3) hand frame -> camera
    translation: Tensor | None = None  # (B, 3) the wrist, metres, camera frame
    K: Tensor | None = None  # (B, 3, 3) pinhole camera of `image`
    world_to_camera: Tensor | None = None  # (B, 4, 4) rigid, metres
    time: Tensor | None = None  # (B,) seconds since the sequence began
    ids: Tensor | None = None  # (B, 3) int64: sequence, frame, view
    left: Tensor | None = None  # (B,) bool: a left hand that was mirrored; absent: none was
    gesture: Tensor | None = None  # (B,) int64 number of the gesture among the set's own

    def __len__(self) -> int:
        """Number of hands B in the batch; 0 if every field is absent."""
        return next((len(value) for value in self.present().values()), 0)

    def present(self) -> dict[str, Tensor]:
        """The fields that are not None, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> Sample:
        """A new sample with `function` applied to every field that is present."""
        return Sample(**{name: function(value) for name, value in self.present().items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Sample:
        """A new sample on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Sample:
        """The chosen hands as a new sample; an integer keeps the batch dimension (B = 1)."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"hand {index} of a sample of {len(self)}")
            index = slice(index, index + 1 or None)
        return self.map(lambda value: value[index])

    def check(self) -> Sample:
        """Return self if shapes, types and values agree with the contract.

        Raises InputError naming the first field at fault. Costs a pass over all values: call it where data enters,
        not in inner loops.
        """
        sizes: dict[str, tuple[int, str]] = {}
        for name, value in self.present().items():
            _check_shape(name, value, sizes)
            if name in _INTEGERS:
                if value.dtype != _INTEGERS[name]:
                    wanted = str(_INTEGERS[name]).removeprefix("torch.")
                    raise InputError(f"sample.{name}: {wanted} expected, got {value.dtype}")
                continue
            if not value.is_floating_point():
                raise InputError(f"sample.{name}: floating point expected, got {value.dtype}")
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"sample.{name}: holds NaN or infinite values")
            if name in ("image", "mask", "hand_masks", "valid", "visible") and bool(((value < 0) | (value > 1)).any()):
                raise InputError(f"sample.{name}: values must lie in [0, 1]")
            if name in ("depth", "sensed_depth") and bool((value < 0).any()):
                raise InputError(f"sample.{name}: holds negative depth")
            if name in ("rotations", "orientation"):
                _check_rotations(name, value)
            if name == "K" and len(value):
                check_camera_matrix(value, "sample.K")
        return self


def concatenate(samples: Sequence[Sample]) -> Sample:
    """Join samples along the batch.

    Raises InputError if there are none, or if they do not hold the same fields (labels are never dropped silently).
    """
    if not samples:
        raise InputError("concatenate: no samples given")
    names = set(samples[0].present())
    for sample in samples[1:]:
        if set(sample.present()) != names:
            raise InputError(
                f"concatenate: fields differ: {sorted(names ^ set(sample.present()))} are not in all samples"
            )
    return Sample(**{name: torch.cat([sample.present()[name] for sample in samples]) for name in names})


def _check_shape(name: str, value: Tensor, sizes: dict[str, tuple[int, str]]) -> None:
    expected = _SHAPES[name]
    if not isinstance(value, Tensor):
        raise InputError(f"sample.{name}: a tensor expected, got {type(value).__name__}")
    shape = tuple(value.shape)
    text = "(" + ", ".join(str(size) for size in expected) + ")"
    if len(shape) != len(expected):
        raise InputError(f"sample.{name}: shape {text} expected, got {shape}")
    for size, want in zip(shape, expected, strict=True):
        if isinstance(want, int):
            if size != want:
                raise InputError(f"sample.{name}: shape {text} expected, got {shape}")
            continue
        known, owner = sizes.setdefault(want, (size, name))
        if size != known:
            raise InputError(f"sample.{name}: {want} is {size}, but {known} in sample.{owner}")


def _check_rotations(name: str, value: Tensor) -> None:
    eye = torch.eye(3, dtype=value.dtype, device=value.device)
    off = (value @ value.transpose(-1, -2) - eye).abs()
    if value.numel() and (float(off.max()) > 1e-2 or float(torch.linalg.det(value.float()).min()) < 0):
        raise InputError(f"sample.{name}: holds matrices that are not rotations")
