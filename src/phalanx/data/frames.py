"""The contract for whole frames: pictures in which any number of hands are labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.geometry.camera import check_camera_matrix

RIGHT, LEFT = 0, 1
"""Sides of hands as `Frames.side` has them."""

# "B" is the batch, "N" the most hands of a frame, "H" and "W" the picture; each letter stands for one number.
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "image": ("B", 3, "H", "W"),
    "K": ("B", 3, 3),
    "present": ("B", "N"),
    "side": ("B", "N"),
    "boxes": ("B", "N", 4),
    "share": ("B", "N"),
    "joints": ("B", "N", 21, 3),
    "joints_2d": ("B", "N", 21, 2),
    "orientation": ("B", "N", 3, 3),
    "masks": ("B", "H", "W"),
    "depth": ("B", "H", "W"),
    "sensed_depth": ("B", "H", "W"),
    "ids": ("B", 3),
}
_TYPES = {"present": torch.bool, "side": torch.uint8, "masks": torch.int16, "ids": torch.int64}


@dataclass
class Frames:
    """B frames with up to N hands each. Hands that are not `present` are at the end, and all their numbers are 0.

    Only what is seen is present: a hand that is hidden, or outside the frame, is not there.
    """

    image: Tensor  # (B, 3, H, W) RGB in [0, 1]
    K: Tensor  # (B, 3, 3) pinhole cameras
    present: Tensor  # (B, N) bool
    side: Tensor  # (B, N) uint8: 0 a right hand, 1 a left one
    boxes: Tensor  # (B, N, 4) x, y, width, height in pixels from the edge, of what is seen of each hand
    share: Tensor  # (B, N) in [0, 1], of the pixels that the hand alone would have, beyond the border too, those that are seen
    joints: Tensor  # (B, N, 21, 3) metres, camera frame
    joints_2d: Tensor  # (B, N, 21, 2) pixels, (0, 0) the centre of the top-left one; hidden joints and those beyond the border, too
    orientation: Tensor  # (B, N, 3, 3) hand frame -> camera; of a left hand that of the right one which a mirror shows, as in samples
    masks: Tensor  # (B, H, W) int16: 0 no hand, else 1 + the number n of the hand that is seen there, to its wrist
    depth: Tensor  # (B, H, W) metres of all people and things in the frame; 0 where there are none
    sensed_depth: Tensor | None = None  # (B, H, W) metres, 0 = no reading: everything, as a depth sensor delivers it
    ids: Tensor | None = None  # (B, 3) int64: stream, chunk, number in the chunk

    def __len__(self) -> int:
        """Number of frames B."""
        return len(self.image)

    def fields_there(self) -> dict[str, Tensor]:
        """The fields that are not None, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> Frames:
        """New frames with `function` applied to every field that is there."""
        return Frames(**{name: function(value) for name, value in self.fields_there().items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Frames:
        """New frames on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Frames:
        """The chosen frames; an integer keeps the batch dimension (B = 1)."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"frame {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        return self.map(lambda value: value[index])

    def check(self) -> Frames:
        """Return self if shapes, types and values agree with the contract.

        Raises InputError naming the first field at fault. Costs a pass over all values.
        """
        sizes: dict[str, tuple[int, str]] = {}
        for name, value in self.fields_there().items():
            _check_shape(name, value, sizes)
            wanted = _TYPES.get(name)
            if wanted is not None and value.dtype != wanted:
                raise InputError(f"frames.{name}: {str(wanted).removeprefix('torch.')} expected, got {value.dtype}")
            if wanted is None and not value.is_floating_point():
                raise InputError(f"frames.{name}: floating point expected, got {value.dtype}")
            if wanted is None and not bool(torch.isfinite(value).all()):
                raise InputError(f"frames.{name}: holds NaN or infinite values")
        for name in ("image", "share"):
            value = getattr(self, name)
            if bool(((value < 0) | (value > 1)).any()):
                raise InputError(f"frames.{name}: values must lie in [0, 1]")
        if len(self):
            check_camera_matrix(self.K, "frames.K")
        self._check_hands()
        return self

    def _check_hands(self) -> None:
        height, width = self.image.shape[-2:]
        most = self.present.shape[1]
        if bool((self.side > LEFT).any()):
            raise InputError("frames.side: must be 0 (right) or 1 (left)")
        if bool((self.present[:, 1:] & ~self.present[:, :-1]).any()):
            raise InputError("frames.present: hands that are not there must come last")
        box = self.boxes[self.present]
        low, high = box[:, :2], box[:, :2] + box[:, 2:]
        if bool((box[:, 2:] <= 0).any() | (low < 0).any() | (high[:, 0] > width).any() | (high[:, 1] > height).any()):
            raise InputError("frames.boxes: boxes of hands that are seen must lie inside the frame and hold something")
        if bool((self.boxes[~self.present] != 0).any()):
            raise InputError("frames.boxes: must be 0 where there is no hand")
        if self.masks.numel() and not 0 <= int(self.masks.min()) <= int(self.masks.max()) <= most:
            raise InputError(f"frames.masks: numbers must lie in 0..{most}")


def concatenate(frames: Sequence[Frames]) -> Frames:
    """Join frames along the batch. Raises InputError if there are none, or if they do not hold the same fields."""
    if not frames:
        raise InputError("concatenate: no frames given")
    names = set(frames[0].fields_there())
    for more in frames[1:]:
        if set(more.fields_there()) != names:
            raise InputError(
                f"concatenate: fields differ: {sorted(names ^ set(more.fields_there()))} are not in all frames"
            )
    return Frames(**{name: torch.cat([more.fields_there()[name] for more in frames]) for name in names})


def _check_shape(name: str, value: Tensor, sizes: dict[str, tuple[int, str]]) -> None:
    expected = _SHAPES[name]
    if not isinstance(value, Tensor):
        raise InputError(f"frames.{name}: a tensor expected, got {type(value).__name__}")
    shape = tuple(value.shape)
    text = "(" + ", ".join(str(size) for size in expected) + ")"
    if len(shape) != len(expected):
        raise InputError(f"frames.{name}: shape {text} expected, got {shape}")
    for size, want in zip(shape, expected, strict=True):
        if isinstance(want, int):
            if size != want:
                raise InputError(f"frames.{name}: shape {text} expected, got {shape}")
            continue
        known, owner = sizes.setdefault(want, (size, name))
        if size != known:
            raise InputError(f"frames.{name}: {want} is {size}, but {known} in frames.{owner}")
