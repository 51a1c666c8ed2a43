"""Self-collision of a posed hand by sphere proxies: cheap, batched and differentiable, so it serves to reject poses and as a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.hand.model import HandModel, HandPose

FLESH_TOLERANCE = 0.004
"""Metres two fingers may press into each other before a pose counts as intersecting."""


@dataclass(frozen=True)
class SphereProxies:
    """Spheres inside a hand: rest centres (S, 3), radii (S,), segment of each (S,) and `reach` (S, S): the sum of the radii of a
    pair that may collide, else minus infinity."""

    centers: Tensor
    radii: Tensor
    segments: Tensor
    reach: Tensor


def sphere_proxies(model: HandModel, per_segment: int = 3) -> SphereProxies:
    """Spheres along each finger segment with the mesh's mean radius there, and a grid of them in the palm."""
    centers, radii, segments = [], [], []
    rest, vertices = model.rest_joints, model.template
    for finger in range(5):
        for k in range(3):
            segment = 2 + 3 * finger + k
            if finger == 0 and k == 0:
                continue  # the thumb's metacarpal lies in the flesh of the palm
            start, end = rest[4 * finger + 1 + k], rest[4 * finger + 2 + k]
            axis = (end - start) / (end - start).norm()
            offset = vertices[model.parts == segment] - start
            across = offset - (offset @ axis)[:, None] * axis
            # Joints lie towards the back of a finger: the spheres' line runs through the middle of its flesh.
            middle = 0.5 * (across.amin(0) + across.amax(0))
            radius = (across - middle).norm(dim=1).quantile(0.35 if k == 0 else 0.5)
            length = (end - start).norm()
            for t in torch.linspace(0.12 if k == 0 else 0.0, 1.0 if k < 2 else 0.85, per_segment):
                centers.append(start + middle + axis * t * length)
                radii.append(radius)
                segments.append(segment)
    thickness = vertices[model.parts == 0][:, 2]
    middle = 0.5 * (thickness.quantile(0.05) + thickness.quantile(0.95))
    for column in (5, 9, 13, 17):
        for t in (0.35, 0.6, 0.85):
            center = rest[column] * t
            center = torch.stack([center[0], center[1], middle])
            centers.append(center)
            radii.append(torch.tensor(0.0125))
            segments.append(0)
    of = torch.tensor(segments)
    family = torch.where(of < 2, torch.full_like(of, -1), (of - 2) // 3)
    # A finger's own base is in the palm: only middle and distal segments (of the thumb the distal one) can press into it.
    outer = torch.where(of < 2, 0, (of - 2) % 3)
    into_palm = (outer == 2) | ((outer == 1) & (family != 0))
    palm = family == -1
    foreign = (family[:, None] != family) & (~palm[:, None] | into_palm) & (~palm | into_palm[:, None])
    radius = torch.stack(radii)
    reach = torch.where(foreign, radius[:, None] + radius, torch.tensor(-torch.inf))
    return SphereProxies(torch.stack(centers), radius, of, reach)


def penetration(model: HandModel, proxies: SphereProxies, pose: HandPose) -> Tensor:
    """Deepest overlap of two proxies of different fingers, (B,) metres, 0 where nothing touches."""
    _, rotations, joints = model.chain(pose)
    finger = (proxies.segments - 2).clamp(min=0) // 3
    pivot = torch.where(proxies.segments < 2, 0, 4 * finger + 1 + (proxies.segments - 2).clamp(min=0) % 3)
    local = proxies.centers - model.rest_joints[pivot]
    centers = joints[:, pivot] + (rotations[:, proxies.segments] @ local[..., None])[..., 0]  # (B, S, 3)
    return (proxies.reach - torch.cdist(centers, centers)).flatten(1).amax(1).clamp(min=0)
