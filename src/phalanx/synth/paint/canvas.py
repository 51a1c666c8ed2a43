"""A whole frame that parts are painted into, each in its own box: the nearest in front, and which hand is seen where."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.synth.paint.compose import Layer

Box = tuple[int, int, int, int]
"""First column and row, and number of columns and rows; may lie partly beyond the frame."""


@dataclass
class Canvas:
    """B frames of people and things.

    Attributes:
        layer: what is there.
        owner: (B, H, W) int16: 0 nothing or no hand, else the number that the hand was put with.
        nearest: (B, H, W) metres of what covers at least half of the pixel; infinite where nothing does.
    """

    layer: Layer
    owner: Tensor
    nearest: Tensor

    @staticmethod
    def of(layer: Layer) -> Canvas:
        """A canvas on which `layer` is, with no hand in it."""
        covered = (layer.coverage >= 0.5) & (layer.depth > 0)
        owner = torch.zeros_like(layer.depth, dtype=torch.int16)
        return Canvas(layer, owner, torch.where(covered, layer.depth, torch.inf))

    @staticmethod
    def empty(frames: int, height: int, width: int, device: torch.device) -> Canvas:
        """A canvas with nothing on it."""
        plane = torch.zeros((frames, height, width), device=device)
        return Canvas.of(Layer(torch.zeros((frames, 3, height, width), device=device), plane, plane.clone()))

    def put(self, frame: int, part: Layer, left: int, top: int, number: int = 0, hand: Tensor | None = None) -> None:
        """Put `part`, one picture of h rows and w columns, into a frame with its first pixel at (left, top).

        Args:
            number: of the hand, 0 for what is none.
            hand: (h, w) bool where the part is the hand, not its arm.
        """
        rows, columns, own = window(left, top, *part.depth.shape[-1:-3:-1], *self.owner.shape[-1:-3:-1])
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        colour, coverage, depth = part.colour[0][:, own[0], own[1]], part.coverage[0][own], part.depth[0][own]
        there = map_fields(self.layer, lambda value: value[frame, ..., rows, columns])
        _merge(there, Layer(colour, coverage, depth))
        owner, nearest = self.owner[frame, rows, columns], self.nearest[frame, rows, columns]
        won = (coverage >= 0.5) & (depth > 0) & (depth < nearest)
        label = torch.zeros_like(owner) if hand is None else hand[own].to(torch.int16) * number
        owner.copy_(torch.where(won, label, owner))
        nearest.copy_(torch.where(won, depth, nearest))


def _merge(there: Layer, part: Layer) -> None:
    """`part.over(there)` in the place of `there`; one picture each, in fewer passes."""
    front = part.in_front(there.depth)
    near = torch.where(front, part.coverage, there.coverage)
    rest = 1.0 - near  # what the nearer leaves of the farther
    there.colour.mul_(torch.where(front, rest, 1.0)).add_(part.colour * torch.where(front, 1.0, rest))
    there.coverage.copy_(torch.where(front, there.coverage, part.coverage).mul_(rest).add_(near))
    there.depth.copy_(torch.where(front, part.depth, there.depth))


def window(
    left: int, top: int, columns: int, rows: int, width: int, height: int
) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the frame that a box covers, and which of the box's own (rows, columns) they are."""
    first_x, first_y = max(left, 0), max(top, 0)
    last_x, last_y = max(min(left + columns, width), first_x), max(min(top + rows, height), first_y)
    own = slice(first_y - top, last_y - top), slice(first_x - left, last_x - left)
    return slice(first_y, last_y), slice(first_x, last_x), own
