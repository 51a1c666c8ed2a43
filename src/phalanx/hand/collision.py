"""Self-collision of a posed hand, three ways, all batched.

Spheres (`penetration`) reject random poses cheaply, palm included. Capsules (`self_collision`) are the differentiable loss. Vertices
inside foreign fingers (`vertex_penetration`) are the reference: Dibra et al. 2018, Sec. 4, "Collision Avoidance", on the surface itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.hand.model import HandModel, HandPose, HandSurface
from phalanx.hand.skeleton import FINGERS

FLESH_TOLERANCE = 0.004
"""Metres two fingers may press into each other before a pose counts as intersecting."""

_AT_ONCE = 256  # points that are compared with all triangles of a finger at a time, so that they stay in the cache


@dataclass(frozen=True)
class SphereProxies:
    """Spheres inside a hand: rest centres (S, 3), radii (S,), segment of each (S,) and `reach` (S, S): the sum of the radii of a
    pair that may collide, else minus infinity."""

    centers: Tensor
    radii: Tensor
    segments: Tensor
    reach: Tensor


def _foreign(segments: Tensor) -> Tensor:
    """Which of the parts of these segments (S,) may press into each other, (S, S): those of two fingers, and of finger and palm."""
    family = torch.where(segments < 2, torch.full_like(segments, -1), (segments - 2) // 3)
    # A finger's own base is in the palm: only middle and distal segments (of the thumb the distal one) can press into it.
    outer = torch.where(segments < 2, 0, (segments - 2) % 3)
    into_palm = (outer == 2) | ((outer == 1) & (family != 0))
    palm = family == -1
    return (family[:, None] != family) & (~palm[:, None] | into_palm) & (~palm | into_palm[:, None])


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
            for t in torch.linspace(0.12 if k == 0 else 0.0, 1.0 if k < 2 else 0.85, per_segment, dtype=rest.dtype):
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
            radii.append(torch.tensor(0.0125, dtype=rest.dtype))
            segments.append(0)
    of = torch.tensor(segments)
    radius = torch.stack(radii)
    reach = torch.where(_foreign(of), radius[:, None] + radius, torch.tensor(-torch.inf))
    return SphereProxies(torch.stack(centers), radius, of, reach)


def penetration(model: HandModel, proxies: SphereProxies, pose: HandPose) -> Tensor:
    """Deepest overlap of two proxies of different fingers, (B,) metres, 0 where nothing touches."""
    _, rotations, joints = model.chain(pose)
    finger = (proxies.segments - 2).clamp(min=0) // 3
    pivot = torch.where(proxies.segments < 2, 0, 4 * finger + 1 + (proxies.segments - 2).clamp(min=0) % 3)
    local = proxies.centers - model.rest_joints[pivot]
    centers = joints[:, pivot] + (rotations[:, proxies.segments] @ local[..., None])[..., 0]  # (B, S, 3)
    return (proxies.reach - torch.cdist(centers, centers)).flatten(1).amax(1).clamp(min=0)


@dataclass(frozen=True)
class Capsules:
    """Round-ended tubes inside a hand: the 14 finger segments (the thumb's metacarpal lies in the palm) and 4 metacarpals.

    Attributes:
        joints: (C, 2) the joints between which each runs; its length follows theirs, so any shape has its own.
        along: (C, 2) where between them its axis starts and ends, as fractions.
        offsets: (C, 3) metres from bone to middle of the flesh, in the segment's rest frame.
        segments: (C,) the segment that it moves with.
        radii: (C,) metres.
        pairs: (P, 2) those that may press into each other.
    """

    joints: Tensor
    along: Tensor
    offsets: Tensor
    segments: Tensor
    radii: Tensor
    pairs: Tensor


def hand_capsules(model: HandModel) -> Capsules:
    """Capsules in the middle of each finger segment's flesh, as thick as it is on average, and under the skin of the palm."""
    rest = model.rest_joints
    joints, along, offsets, segments, radii = [], [], [], [], []
    for finger in range(5):
        for k in range(1 if finger == 0 else 0, 3):
            start, end = FINGERS[finger][k], FINGERS[finger][k + 1]
            bone = rest[end] - rest[start]
            middle, distance, end_of_flesh = _middle(model, 2 + 3 * finger + k, rest[[start, end]])
            radius = distance.quantile(0.35 if k == 0 else 0.5)
            # A proximal phalanx starts beyond the web; the round end of the last one is the finger's end.
            first = torch.full_like(radius, 0.3 if k == 0 else 0.0)
            last = (end_of_flesh - radius) / bone.norm() if k == 2 else torch.ones_like(radius)
            joints.append((start, end))
            along.append(torch.stack([first, last]))
            offsets.append(middle)
            segments.append(2 + 3 * finger + k)
            radii.append(radius)
    palm = model.template[model.parts == 0]
    height = 0.5 * (palm[:, 2].quantile(0.05) + palm[:, 2].quantile(0.95))
    for knuckle in (finger[0] for finger in FINGERS[1:]):
        joints.append((0, knuckle))
        along.append(torch.tensor([0.3, 0.85]).to(rest))
        offsets.append(torch.stack([0 * height, 0 * height, height - 0.6 * rest[knuckle, 2]]))
        segments.append(0)
        radii.append(torch.full_like(height, 0.0125))
    of = torch.tensor(segments)
    pairs = _foreign(of).triu().nonzero()
    return Capsules(torch.tensor(joints), torch.stack(along), torch.stack(offsets), of, torch.stack(radii), pairs)


def _middle(model: HandModel, segment: int, bone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The flesh of a segment about its bone (2, 3): the offset (3,) of its middle, the skin's distances (N,) from that line, and
    how far () it reaches along the bone. Joints lie towards the back of a finger, so the middle is not the bone."""
    axis = (bone[1] - bone[0]) / (bone[1] - bone[0]).norm()
    relative = model.template[model.parts == segment] - bone[0]
    along = relative @ axis
    across = relative - along[:, None] * axis
    middle = 0.5 * (across.amin(0) + across.amax(0))
    middle = middle - (middle @ axis) * axis
    return middle, (across - middle).norm(dim=1), along.amax()


def capsule_overlaps(model: HandModel, capsules: Capsules, pose: HandPose) -> Tensor:
    """How far the two of each pair run into each other, (B, P) metres, negative by the gap between them; differentiable."""
    _, rotations, joints = model.chain(pose)
    start, end = joints[:, capsules.joints].unbind(2)  # (B, C, 3)
    middle = (rotations[:, capsules.segments] @ capsules.offsets[..., None])[..., 0]
    axis = (end - start)[:, :, None] * capsules.along[..., None]  # (B, C, 2, 3)
    ends = (start + middle)[:, :, None] + axis
    one, two = ends[:, capsules.pairs].unbind(2)  # (B, P, 2, 3)
    return capsules.radii[capsules.pairs].sum(1) - _segment_distance(one, two)


def self_collision(model: HandModel, capsules: Capsules, pose: HandPose, tolerance: float = FLESH_TOLERANCE) -> Tensor:
    """A loss (B,) in square metres that parts fingers: each overlap of two capsules beyond `tolerance` (metres), squared, summed.

    Zero, with zero gradient, wherever `tolerance` is kept; once differentiable everywhere else. Wan et al. 2019, Eq. 16, penalise the
    overlaps of spheres without the square; capsules have no gaps through which a finger could slip.
    """
    return (capsule_overlaps(model, capsules, pose) - tolerance).clamp(min=0).square().sum(1)


def _segment_distance(one: Tensor, two: Tensor) -> Tensor:
    """Distance (...) of two line segments, each given by its ends (..., 2, 3)."""
    start, other = one[..., 0, :], two[..., 0, :]
    u, v = one[..., 1, :] - start, two[..., 1, :] - other
    with torch.no_grad():
        # The nearest points, as fractions s and t (Ericson, "Real-time collision detection", 2005, Sec. 5.1.9). They minimise the
        # distance, so its derivative is the one with s and t held, and parallel segments, where s and t jump, do no harm.
        r = start - other
        uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
        ur, vr = (u * r).sum(-1), (v * r).sum(-1)
        across = (uu * vv - uv * uv).clamp(min=1e-6 * uu * vv)  # sin^2 of the angle between them, times lengths
        s = ((uv * vr - ur * vv) / across).clamp(0, 1)
        t = ((uv * s + vr) / vv).clamp(0, 1)
        s = ((uv * t - ur) / uu).clamp(0, 1)
    between = start + s[..., None] * u - other - t[..., None] * v
    return (between.square().sum(-1) + 1e-14).sqrt()  # axes that cross have a zero gradient, not an infinite one


@dataclass(frozen=True)
class FingerSurfaces:
    """The five fingers of a mesh as closed surfaces, thumb first.

    Attributes:
        vertices: of each finger, (V_f,) the vertices that move with it alone, from the web to the tip.
        skin: of each, (F_f, 3) the triangles between them.
        caps: of each, (C_f, 3) triangles that close its base.
        axes: (5, 3, 2, 3) line segments in the middle of the flesh of each finger's three segments, rest hand frame, metres.
    """

    vertices: tuple[Tensor, ...]
    skin: tuple[Tensor, ...]
    caps: tuple[Tensor, ...]
    axes: Tensor


def finger_surfaces(model: HandModel) -> FingerSurfaces:
    """The fingers as far as neighbours and palm have no part in them (less than 5 % of a vertex's weight)."""
    own = model.skin_weights[:, 2:].unflatten(1, (5, 3)).sum(2) > 0.95  # (V, 5)
    vertices, skin, caps, axes = [], [], [], []
    for finger, joints in enumerate(FINGERS):
        faces = model.faces[own[:, finger][model.faces].all(1)]
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        _, group, count = torch.unique(edges.sort(1).values, dim=0, return_inverse=True, return_counts=True)
        border = edges[count[group] == 1]  # runs round the base
        vertices.append(torch.unique(faces))
        skin.append(faces)
        # A fan from one vertex of the border, its triangles turned as the skin's are.
        caps.append(torch.stack([border[:, 1], border[:, 0], border[:1, 0].expand(len(border))], 1))
        for k in range(3):
            bone = model.rest_joints[[joints[k], joints[k + 1]]]
            axes.append(bone + _middle(model, 2 + 3 * finger + k, bone)[0])
    return FingerSurfaces(tuple(vertices), tuple(skin), tuple(caps), torch.stack(axes).unflatten(0, (5, 3)))


@torch.no_grad()
def vertex_penetration(surfaces: FingerSurfaces, surface: HandSurface, above: float = 0.0) -> Tensor:
    """How deep (B,) in metres the deepest vertex of a finger lies inside another finger, 0 where none does.

    Dibra et al. 2018, Sec. 4, tell inside from outside by the normal at the nearest vertex of the other finger; where skin folds
    that is wrong, so here the winding number of the closed finger tells (Jacobson et al. 2013), and the depth is the distance
    to its nearest triangle. The palm is no finger: `penetration` and `capsule_overlaps` know it.

    Args:
        surfaces: `finger_surfaces` of the model.
        surface: the posed hand.
        above: metres; depths below it may be given as 0, which saves most of the work.
    """
    vertices = surface.vertices
    deepest = vertices.new_zeros(len(vertices))
    for finger in range(5):
        # Whoever is deep in a finger is near its axis: straight away from the axis the skin comes no later than its own largest
        # distance from the axis, so a point is at most that much less its own distance deep.
        turn, shift = surface.transforms[:, 2 + 3 * finger : 5 + 3 * finger, :3].split([3, 1], 3)
        axes = surfaces.axes[finger] @ turn.mT + shift.mT  # (B, 3, 2, 3)
        size = _distance_to_axes(vertices[:, surfaces.vertices[finger]], axes).amax(1)  # (B,)
        foreign = torch.cat([surfaces.vertices[other] for other in range(5) if other != finger])
        near = _distance_to_axes(vertices[:, foreign], axes) < (size - above)[:, None]
        skin, caps = surfaces.skin[finger], surfaces.caps[finger]
        for item, vertex in (part.unbind(1) for part in near.nonzero().split(_AT_ONCE)):
            points = vertices[item, foreign[vertex]]  # (N, 3)
            triangles = vertices[item[:, None, None], torch.cat([skin, caps])]  # (N, F, 3, 3)
            inside = _winding_number(points, triangles) > 0.5
            depth = _distance_to_triangles(points[inside], triangles[inside, : len(skin)])
            deepest.scatter_reduce_(0, item[inside], depth, "amax")
    return deepest


def _distance_to_axes(points: Tensor, axes: Tensor) -> Tensor:
    """Distance (B, N) of points (B, N, 3) from the nearest of line segments (B, K, 2, 3)."""
    squared = []
    for start, end in (axis.unbind(1) for axis in axes.unbind(1)):
        along, offset = end - start, points - start[:, None]
        t = ((offset @ along[..., None])[..., 0] / along.square().sum(1, keepdim=True)).clamp(0, 1)
        squared.append((offset - t[..., None] * along[:, None]).square().sum(2))
    return torch.stack(squared).amin(0).sqrt()


def _winding_number(points: Tensor, triangles: Tensor) -> Tensor:
    """How often (N,) the triangles (N, F, 3, 3) go round points (N, 3): 1 inside a closed surface, 0 outside.

    Solid angles after van Oosterom and Strackee 1983.
    """
    a, b, c = (triangles - points[:, None, None]).unbind(2)  # (N, F, 3)
    la, lb, lc = a.norm(dim=2), b.norm(dim=2), c.norm(dim=2)
    volume = (a * torch.linalg.cross(b, c)).sum(2)
    scale = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    return torch.atan2(volume, scale).sum(1) / (2 * torch.pi)


def _distance_to_triangles(points: Tensor, triangles: Tensor) -> Tensor:
    """Distance (N,) of points (N, 3) from the nearest of their triangles (N, F, 3, 3)."""
    corners = triangles.unbind(2)  # (N, F, 3)
    normal = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
    above = torch.ones_like(normal[..., 0], dtype=torch.bool)  # whether a point projects into the triangle
    squared = []
    for k in range(3):
        edge = corners[(k + 1) % 3] - corners[k]
        offset = points[:, None] - corners[k]
        t = ((offset * edge).sum(2) / edge.square().sum(2).clamp(min=1e-20)).clamp(0, 1)
        squared.append((offset - t[..., None] * edge).square().sum(2))
        above &= (torch.linalg.cross(edge, offset) * normal).sum(2) >= 0
    height = (offset * normal).sum(2).square() / normal.square().sum(2).clamp(min=1e-20)
    squared.append(torch.where(above, height, torch.inf))
    return torch.stack(squared).amin((0, 2)).sqrt()
