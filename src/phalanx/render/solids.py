"""Simple solids: met by the rays of pinhole cameras in closed form, and measured against points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.records import map_fields

ELLIPSOID, CAPSULE, CYLINDER, CUP, BOX = range(5)
"""Kinds of solids. The axis of capsule, cylinder and cup is their own z; a cup is a cylinder without its end at +z."""

TINY = 1e-9
"""What keeps divisors from zero."""


@dataclass
class Solids:
    """N solids in each of B pictures, in one frame; metres.

    Attributes:
        kind: (B, N) int64, -1 where there is none.
        half: (B, N, 3) half of the size along the solid's own axes. Capsules, cylinders and cups are round: `half[..., 0]` is their
            radius, and the half length `half[..., 2]` of a capsule reaches to its round ends.
        rotation: (B, N, 3, 3) from the solid's own axes to the frame.
        centre: (B, N, 3).
    """

    kind: Tensor
    half: Tensor
    rotation: Tensor
    centre: Tensor

    def __getitem__(self, rows: slice | Tensor | tuple[slice, slice | list[int]]) -> Solids:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> Solids:
        """The same on another device."""
        return map_fields(self, lambda value: value.to(device))

    def moved(self, rotation: Tensor, translation: Tensor) -> Solids:
        """The same turned by `rotation (B, 3, 3)`, then shifted by `translation (B, 3)`: from one frame to another."""
        centre = (rotation[:, None] @ self.centre[..., None])[..., 0] + translation[:, None]
        return Solids(self.kind, self.half, rotation[:, None] @ self.rotation, centre)


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Discriminant, its root and 1 / a of a t^2 + 2 b t + c = 0."""
    discriminant = b * b - a * c
    return discriminant, discriminant.clamp_min(0.0).sqrt_(), a.clamp_min(TINY).reciprocal_()


def enter(kind: int, at: Tensor, direction: Tensor, length: Tensor | None) -> Tensor:
    """Where rays enter solids of one kind, in the solids' own axes and units: half sizes, of a capsule its radius.

    Args:
        kind: which of the kinds.
        at, direction: (3, T) a point of each ray, and its direction; no component is 0 for boxes, the last is not for cylinders and cups.
        length: (T,) half length of the capsule's tube; other kinds have none.

    Returns:
        (T,) steps along `direction` from `at`; infinite where a ray meets nothing.
    """
    if kind == BOX:
        return _enter_box(at, direction)
    (px, py, pz), (dx, dy, dz) = at, direction
    across, towards, off = dx * dx + dy * dy, px * dx + py * dy, px * px + py * py
    if kind == ELLIPSOID:
        discriminant, root, inverse = _quadratic(across + dz * dz, towards + pz * dz, off.add_(pz * pz).sub_(1.0))
        return torch.where(discriminant > 0, root.add_(towards + pz * dz).neg_().mul_(inverse), torch.inf)
    discriminant, root, inverse = _quadratic(across, towards, off - 1.0)
    near = (root + towards).neg_().mul_(inverse)
    if kind == CAPSULE:
        assert length is not None
        height = pz + near * dz
        end = height.clamp(-length, length)  # of the ball that closes it where the tube does not reach
        z = pz - end
        ball, ball_root, ball_inverse = _quadratic(across + dz * dz, towards + z * dz, off + z * z - 1.0)
        on_ball = torch.where(ball > 0, (ball_root + towards + z * dz).neg_() * ball_inverse, torch.inf)
        return torch.where(discriminant > 0, torch.where(height == end, near, on_ball), torch.inf)
    far = (root - towards).mul_(inverse)
    inverse = dz.reciprocal()
    middle, wide = inverse * -pz, inverse.abs()
    first, last = middle - wide, middle + wide
    step, leave = torch.maximum(near, first), torch.minimum(far, last)
    hit = (discriminant > 0) & (step <= leave)
    if kind == CUP:  # through the open end the inside is seen, as far as wall or bottom
        step = torch.where((first > near) & (dz < 0), leave, step)
    return torch.where(hit, step, torch.inf)


def _enter_box(at: Tensor, direction: Tensor) -> Tensor:
    near, far = None, None
    for p, d in zip(at, direction, strict=True):
        inverse = d.reciprocal()
        wide = inverse.abs()
        middle = inverse.mul_(p).neg_()
        first, last = middle - wide, wide.add_(middle)
        near = first if near is None else torch.maximum(near, first, out=near)
        far = last if far is None else torch.minimum(far, last, out=far)
    assert near is not None and far is not None
    return torch.where(near <= far, near, torch.inf)


def gradient(kind: int, point: Tensor, direction: Tensor, length: Tensor | None) -> Tensor:
    """Gradient (3, T) of a solid's surface at points (3, T) on it, in its own units as in `enter`: outward, inside a cup inward."""
    x, y, z = point
    if kind == ELLIPSOID:
        return point
    if kind == CAPSULE:
        assert length is not None
        return torch.stack([x, y, z - z.clamp(-length, length)])
    if kind == BOX:
        size = point.abs()
        return torch.where(size >= size.amax(0), point, 0.0)
    end = z.square() > x * x + y * y
    outward = torch.stack([torch.where(end, 0.0, x), torch.where(end, 0.0, y), torch.where(end, z, 0.0)])
    if kind == CUP:  # rays from beyond the open end that leave through wall or bottom have met the inside
        dx, dy, dz = direction
        wall = x * dx + y * dy > 0.2 * (dx * dx + dy * dy).sqrt()
        outward = torch.where((end | wall) & (dz < 0), -outward, outward)
    return outward


def signed_distance(solids: Solids, points: Tensor) -> Tensor:
    """Distance (B, N, P) in metres of points (B, P, 3) from each solid: negative inside, infinite where there is no solid.

    A cup counts as full. Distances are exact, except from ellipsoids that are not balls: those hold to first order near the surface.
    """
    batch, number = solids.kind.shape
    turn = solids.rotation.mT.flatten(0, 1)  # (I, 3, 3)
    origin = turn @ solids.centre.reshape(-1, 3, 1)
    own = torch.baddbmm(-origin, turn, points.mT.repeat_interleave(number, 0) if number > 1 else points.mT)  # (I, 3, P)
    half = solids.half.reshape(-1, 3, 1)
    distance = torch.full((batch * number, points.shape[1]), torch.inf, device=points.device)
    kinds = solids.kind.flatten().tolist()
    for kind in set(kinds) - {-1}:
        chosen: slice | Tensor = slice(None)
        if kinds.count(kind) < len(kinds):
            chosen = torch.tensor([i for i, k in enumerate(kinds) if k == kind], device=points.device)
        p, h = own[chosen], half[chosen]  # (I, 3, P), (I, 3, 1)
        if kind == ELLIPSOID:
            inverse = 1.0 / h
            p = p * inverse
            size = p.square().sum(1).sqrt_()
            value = size * (size - 1.0) / p.mul_(inverse).square_().sum(1).sqrt_().clamp_min_(TINY)
            value = torch.where(size < 1e-3, -h.amin(1), value)
        elif kind == CAPSULE:
            radius, length = h[:, 0], h[:, 2] - h[:, 0]
            beyond = (p[:, 2].abs() - length).clamp_min_(0.0)
            value = (p[:, 0].square() + p[:, 1].square() + beyond.square()).sqrt_() - radius
        else:
            if kind == BOX:
                beyond = p.abs() - h
            else:
                across = (p[:, 0].square() + p[:, 1].square()).sqrt_()
                beyond = torch.stack([across - h[:, 0], p[:, 2].abs() - h[:, 2]], 1)
            value = beyond.clamp_min(0.0).square_().sum(1).sqrt_() + beyond.amax(1).clamp_max_(0.0)
        distance[chosen] = value
    return distance.view(batch, number, points.shape[1])
