"""Data and prior terms for hands of spheres that are fitted to depth maps.

Wan et al., "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019, Sec. 3.4. Everything goes in in metres, in
the frame of `phalanx.render.spheres` (from the centre of a cube round the hand, x right, y down, z away from the camera, parallel rays).

Lengths count in centimetres (`UNIT`): there errors are around 1, so that a squared length pulls about as hard as a length (as hard at
5 mm) and neither outweighs the terms of a network; in metres squares would be ten thousandths.

The paper sums over frames, pixels, points, views and spheres. Here each term is the mean over frames, and within a frame over whatever
there may be more or less of: pixels, points, views, spheres. So its weight depends neither on the batch nor on resolution. Pairs of
spheres are summed up, as printed: their list belongs to the hand, not to the input, and hardly any are at fault at a time, so that a mean
would weaken the term with every pair that is watched.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 0.01
"""Metres that count as 1."""


def model_to_data(rendered: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    """Absolute difference of depth maps, Eq. 5: mean over pixels, then frames, in cm.

    Where a map has no surface it holds its far plane, which counts like any depth. All pixels count, of which a hand covers about a tenth
    in a cube of 0.3 m: unless weighted, a pixel of surface pulls a tenth as hard here as a point does in `data_to_model`. Gradient reaches
    what is rendered: none moves a model towards surface that it leaves uncovered (`data_to_model` does).

    Args:
        rendered, observed: (B, S, S) metres, with the same far plane.
        weights: (B, S, S) at least 0, of pixels within their frame; 0 leaves out. A frame without any counts as 0.
    """
    difference = (rendered - observed).abs() / UNIT  # Eq. 5
    return _frame_mean(difference.flatten(1), None if weights is None else weights.flatten(1))


def data_to_model(
    points: Tensor, centres: Tensor, radii: Tensor, weights: Tensor | None = None, limit: float | None = None
) -> Tensor:
    """Distance from measured points to the nearest sphere's surface, Eq. 9-11: mean over points, then frames, in cm.

    As printed the distance is that to a whole sphere, inside and out, also where other spheres cover its surface: a point deep within the
    hand may be at no distance. Which sphere is nearest is found without gradient. All points pull with the same force.

    Args:
        points: (B, P, 3) metres.
        centres: (B, N, 3) metres.
        radii: (N,) or (B, N) metres.
        weights: (B, P) at least 0, of points within their frame; 0 leaves out. A frame without any counts as 0.
        limit: metres. Points farther away count as `limit`, and pull no longer: for what the spheres do not model, as things behind the
            hand. Fingers that have farther to go must be brought near by other terms. None is no limit.
    """
    radii = radii.expand(centres.shape[:2])  # (B, N)
    with torch.no_grad():
        # by differences: products of matrices take half the time here, but lose millimetres where a GPU multiplies in TF32
        gap = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
        gap = (gap - radii[:, None]).abs_()  # (B, P, N) Eq. 10
        nearest = gap.argmin(2)  # (B, P) Eq. 11
    centre = centres.gather(1, nearest[..., None].expand(-1, -1, 3))  # (B, P, 3)
    distance = (
        (points - centre).norm(dim=2) - radii.gather(1, nearest)
    ).abs()  # Eq. 10, of the sphere that Eq. 11 takes
    if limit is not None:
        distance = distance.clamp_max(limit)
    return _frame_mean(distance / UNIT, weights)  # Eq. 9


def multi_view_consistency(centres: Tensor) -> Tensor:
    """Squared distance of the views' estimates to their median, Eq. 12: mean over frames, views and spheres, in cm squared.

    The median is taken coordinate by coordinate and is a target: no gradient goes through it. For an even number of views it is the mean
    of the middle two (`torch.median` would take the lower, and so pull every estimate towards one side of each axis). Two views have no
    robust centre, only their mean.

    Args:
        centres: (B, V, N, 3) metres, all views of a frame in one frame of reference.
    """
    with torch.no_grad():
        views = centres.shape[1]
        ordered = centres.sort(dim=1).values
        median = (ordered[:, (views - 1) // 2] + ordered[:, views // 2]) / 2  # (B, N, 3)
    offset = (centres - median[:, None]) / UNIT
    return offset.square().sum(-1).mean()  # Eq. 12


def bone_lengths(centres: Tensor, pairs: Tensor, shortest: Tensor, longest: Tensor) -> Tensor:
    """Squares of what distances of sphere centres lack or exceed, Eq. 14-15: sum over pairs, mean over frames, in cm squared.

    Args:
        centres: (B, N, 3) metres.
        pairs: (K, 2) spheres at the ends of bones.
        shortest, longest: (K,) metres, the range of each.
    """
    length = _pair_distances(centres, pairs)  # (B, K) Eq. 15
    over = ((length - longest) / UNIT).clamp_min(0)
    under = ((shortest - length) / UNIT).clamp_min(0)
    return (over.square() + under.square()).sum(1).mean()  # Eq. 14


def collision(centres: Tensor, radii: Tensor, pairs: Tensor) -> Tensor:
    """How far spheres reach into each other, Eq. 16: sum over pairs, mean over frames, in cm.

    In print the norm is squared, and subtracted from a sum of radii: an area from a length. The norm itself is meant and is taken.
    Neighbours overlap by design; the caller leaves them out.

    Args:
        centres: (B, N, 3) metres.
        radii: (N,) or (B, N) metres.
        pairs: (K, 2) spheres that must not collide.
    """
    reach = radii[..., pairs[:, 0]] + radii[..., pairs[:, 1]]  # (K,) or (B, K)
    return ((reach - _pair_distances(centres, pairs)) / UNIT).clamp_min(0).sum(1).mean()  # Eq. 16


def depth_points(
    depth: Tensor, extent: float, far: float | None, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Points on the surface that depth maps show, drawn at random without repetition.

    Args:
        depth: (B, S, S) metres.
        extent: side of the cube in metres.
        far: depth from which on there is no surface, metres; None is extent / 2.
        count: P, points a map.
        generator: of torch, on its own device.
    Returns:
        points: (B, P, 3) metres, zeros where there is no point.
        weights: (B, P) 1 for points; a map with fewer than P pixels of surface shows them all, and 0 for the rest.
    """
    batch, size = depth.shape[:2]
    device = depth.device if generator is None else generator.device
    frame, row, column = (depth < (extent / 2 if far is None else far)).nonzero().unbind(1)  # (T,)
    # whole numbers keep frames apart, fractions shuffle each; stable, should a sum round up to the next frame
    key = frame + torch.rand(len(frame), dtype=torch.float64, generator=generator, device=device).to(depth.device)
    order = key.argsort(stable=True)
    available = torch.bincount(frame, minlength=batch)  # (B,)
    turn = torch.arange(count, device=depth.device)
    drawn = turn < available[:, None]  # (B, P)
    order = order[((available.cumsum(0) - available)[:, None] + turn)[drawn]]  # (M,)
    frame, row, column = frame[order], row[order], column[order]
    across = torch.stack((column, row), dim=1).to(depth)
    surface = torch.cat((((across + 0.5) / size - 0.5) * extent, depth[frame, row, column, None]), dim=1)  # (M, 3)
    points = depth.new_zeros(batch, count, 3)
    points[drawn] = surface
    return points, drawn.to(depth)


def _frame_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean of values (B, N) within each frame, 0 where there are no weights, averaged over frames."""
    if weights is None:
        return values.mean()
    return ((values * weights).sum(1) / weights.sum(1).clamp_min(1e-6)).mean()


def _pair_distances(centres: Tensor, pairs: Tensor) -> Tensor:
    """Distances (B, K) of pairs (K, 2) of centres (B, N, 3)."""
    return (centres[:, pairs[:, 0]] - centres[:, pairs[:, 1]]).norm(dim=2)
