"""The hand as 41 spheres, 11 in the palm and 6 along each finger, that follow from 21 joints alone.

After Wan et al., "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019, Sec. 3.1 and Fig. 2. The
paper gives the numbers of spheres and says that radii are fixed; it does not say where the spheres sit. Here each sits on the
line between two joints (two of one finger, or wrist and knuckle), and is shifted from there towards the palm's side, because
joints lie nearer to the back of the hand than to its palm: without the shift the skin is 2.7 mm away from the spheres instead of 1.8.
Radii, shifts and places are constants of the open hand's mean shape; for others, radii and shifts scale with the bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose, HandSurface
from phalanx.hand.pose_space import GESTURE_NAMES, gestures
from phalanx.hand.skeleton import hand_scale
from phalanx.hand.sphere_table import FINGER_SPHERES as FINGER_SPHERES
from phalanx.hand.sphere_table import FIRST, RADII, SECOND, SPHERES
from phalanx.hand.sphere_table import PALM as PALM


def sphere_centres(joints: Tensor) -> Tensor:
    """Centres (B, 41, 3) of the spheres of right hands with joints (B, 21, 3), metres; differentiable.

    Along each bone "towards the palm's side" is square to the bone and to the line of the knuckles. The thumb, which turns
    against that line, has no shifts.
    """
    first, second = joints[:, list(FIRST)], joints[:, list(SECOND)]  # (B, 41, 3)
    along, shift = torch.tensor([row[2:4] for row in SPHERES], dtype=joints.dtype, device=joints.device).unbind(1)
    knuckles = (joints[:, 5] - joints[:, 17])[:, None].expand_as(first)  # little to index finger
    palmar = functional.normalize(torch.linalg.cross(knuckles, second - first), dim=2)
    shift = shift / 1000 * hand_scale(joints)[:, None]  # (B, 41)
    return torch.lerp(first, second, along[:, None]) + shift[..., None] * palmar


def sphere_radii(joints: Tensor) -> Tensor:
    """Radii (B, 41) in metres for hands with joints (B, 21, 3): `RADII` in proportion to their bones."""
    return hand_scale(joints)[:, None] * torch.tensor(RADII, dtype=joints.dtype, device=joints.device)


def union_distance(points: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """Signed distance (B, N) of points (B, N, 3) to the union of spheres, centres (B, S, 3) and radii (B, S) or (S,).

    Outside it is the distance to the surface; inside it is negative, and its size a lower bound of the depth.
    """
    return (torch.cdist(points, centres) - radii.unsqueeze(-2)).amin(2)


FIT_GESTURES = ("flat", "relaxed", "fist", "point", "pinch", "claw", "grasp")


def fit_hand(model: HandModel) -> HandSurface:
    """The hands that the spheres are fitted to: the rest pose and `FIT_GESTURES`, mean shape, by skinning alone."""
    degrees = gestures()[[GESTURE_NAMES.index(name) for name in FIT_GESTURES]]
    angles = torch.cat((torch.zeros(1, 23), torch.deg2rad(torch.from_numpy(degrees).float())))
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles)
    return model.without_correctives()(pose)


def fit_radii(model: HandModel, steps: int = 80) -> Tensor:
    """Radii (41,) for which the skin of `fit_hand` has the least squared `union_distance`; where `RADII` come from.

    Each skin point depends on the radius of one sphere at a time, so a Gauss-Newton step sets each radius to the mean
    distance of the skin that is nearest to its sphere. Steps are shortened, as points change spheres.
    """
    surface = fit_hand(model)
    corners = surface.vertices[:, model.faces[(model.parts[model.faces] != 1).all(1)]]  # (P, F, 3, 3)
    area = _areas(corners[:1]).expand(len(corners), -1)
    distance = torch.cdist(corners.mean(2), sphere_centres(surface.joints))  # (P, F, 41)
    radii = torch.full((41,), 0.010)
    for _ in range(steps):
        left, nearest = (distance - radii).min(2)
        weight = torch.zeros(41).index_add(0, nearest.flatten(), area.flatten())
        pull = torch.zeros(41).index_add(0, nearest.flatten(), (area * left).flatten())
        radii = radii + 0.3 * pull / weight.clamp(min=1e-12)
    return radii


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances in metres between skin and spheres, over areas: of the skin to the nearest point of the spheres' surface, and back."""

    skin_mean: float
    skin_95: float
    spheres_mean: float
    spheres_95: float


def surface_distance(model: HandModel, surface: HandSurface) -> SurfaceDistance:
    """How far the spheres of posed hands are from their skin, over the whole batch; by samples about 1 mm apart.

    Of the skin, the forearm does not count; of the spheres' surface neither what lies beyond the wrist or next to the forearm.
    """
    from scipy.spatial import cKDTree

    forearm = (model.parts[model.faces] == 1).any(1).numpy()
    centres, radii = sphere_centres(surface.joints), sphere_radii(surface.joints)
    distal = surface.transforms[:, 0, :3, 1]  # (B, 3) the palm's y axis
    of_skin, of_spheres = [], []
    for item in range(len(centres)):
        corners = surface.vertices[item][model.faces]  # (F, 3, 3)
        skin = torch.einsum("kc,fcx->fkx", _SUBDIVISION.to(corners), corners).flatten(0, 1).numpy()
        area = np.repeat(_areas(corners).numpy(), len(_SUBDIVISION))
        hidden = np.repeat(forearm, len(_SUBDIVISION))
        shell = _union_surface(centres[item].numpy().astype(np.float64), radii[item].numpy())
        to_shell, _ = cKDTree(shell).query(skin[~hidden])
        of_skin.append(np.stack((to_shell, area[~hidden])))
        shell = shell[(shell - surface.joints[item, 0].numpy()) @ distal[item].numpy() > 0]
        to_skin, nearest = cKDTree(skin).query(shell)
        of_spheres.append(to_skin[~hidden[nearest]])
    distance, area = np.concatenate(of_skin, axis=1)
    order = np.argsort(distance)
    share = np.cumsum(area[order]) / area.sum()
    back = np.concatenate(of_spheres)
    return SurfaceDistance(
        float((distance * area).sum() / area.sum()),
        float(distance[order][np.searchsorted(share, 0.95)]),
        float(back.mean()),
        float(np.quantile(back, 0.95)),
    )


def _areas(corners: Tensor) -> Tensor:
    """Twice the areas (...) of triangles (..., 3, 3)."""
    return torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]).norm(
        dim=-1
    )


def _union_surface(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the surface of a union of spheres, one on every 2 square mm: spirals on each, less what others cover."""
    found = []
    for number, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        count = int(np.ceil(4 * np.pi * radius**2 / 2e-6))
        turn = (np.arange(count) + 0.5) * np.pi * (1 + 5**0.5)
        height = 1 - (2 * np.arange(count) + 1) / count
        across = np.sqrt(1 - height**2)
        points = centre + radius * np.stack((across * np.cos(turn), across * np.sin(turn), height), axis=1)
        distance = np.linalg.norm(points[:, None] - centres, axis=2) - radii  # (count, 41)
        distance[:, number] = np.inf
        found.append(points[distance.min(1) > 0])
    return np.concatenate(found)


def _subdivision() -> Tensor:
    """Barycentric middles (16, 3) of the triangles of equal area that a triangle falls into when its sides are quartered."""
    up = [(3 * i + 1, 3 * j + 1, 3 * (3 - i - j) + 1) for i in range(4) for j in range(4 - i)]
    down = [(3 * i + 2, 3 * j + 2, 3 * (2 - i - j) + 2) for i in range(3) for j in range(3 - i)]
    return torch.tensor(up + down) / 12


_SUBDIVISION = _subdivision()
