"""Clothes and hair of bodies as geometry: what each garment covers, how far cloth and hair stand off, skirts and long hair."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.body.model import JOINT, SIDES, BodySurface
from phalanx.synth.paint.body_look import CAP, JACKET, SHOES, TOP, TROUSERS, BodyLook
from phalanx.synth.paint.body_surface import CURTAIN, TUBE, BodyTopology

_FAR = 1.0  # metres
_TEXEL = 0.0027  # metres, on the head's chart
_SOFT = 0.012  # metres over which cloth comes to stand off
_NECK_Z, _JAW = 0.02, -0.075  # metres from the base of the neck: its axis, and where the jaw begins
_ARMHOLE = -0.035  # metres down the arm


def covers(topology: BodyTopology, look: BodyLook) -> Tensor:
    """How far `(P, GARMENTS, V)` inside each garment each vertex is, in metres; below 0 where it does not cover."""
    device = topology.rest.device

    def on(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)[:, None]

    x, y, z = topology.rest.unbind(-1)
    trunk, front = topology.arm <= 0.0, (-z).clamp_min(0.0)
    ends = topology.reach - on(look.sleeve[:, 0])
    sleeve = torch.where(ends > 0.0, ends, _ARMHOLE) - topology.arm
    lean = on(look.neck[:, 1])
    rim = on(look.neck[:, 0]) + lean * (front - 0.2 * z.clamp_min(0.0))
    rim = rim + on(look.neck[:, 2]) * (1.0 - x.abs() / on(look.neck[:, 3])).clamp_min(0.0) * (z < 0)
    hem = torch.where(trunk, on(look.hem[:, 0]) - y, _FAR)
    about = torch.hypot(x, z - _NECK_Z) - on(look.neck[:, 3]) - 0.03  # beyond the neck's opening
    opening = torch.where((y > _JAW) & (on(look.neck[:, 2]) == 0), torch.maximum(y - rim, about), y - rim)
    top = torch.minimum(torch.minimum(hem, sleeve), opening)
    sleeveless = (ends <= 0.0) & trunk & (y < 0.12)
    top = torch.where(sleeveless, torch.minimum(top, on(look.straps) - x.abs()), top)

    sleeve = topology.reach - on(look.sleeve[:, 1]) - topology.arm
    hem = torch.where(trunk, on(look.hem[:, 1]) - y, _FAR)
    jacket = torch.minimum(torch.minimum(hem, sleeve), y + 0.035 - 0.3 * front)
    jacket = torch.where((z < 0.0) & trunk, torch.minimum(jacket, x.abs() - on(look.open[:, 1])), jacket)

    trousers = torch.minimum(y - on(look.waist), topology.height - on(look.legs))
    trousers = torch.where(trunk, trousers, -_FAR)
    shoes = on(look.shoe) - topology.height
    cap = (topology.hair + 3.0) * _TEXEL
    found: list[Tensor] = [cap] * 5
    for garment, cover in ((TROUSERS, trousers), (TOP, top), (JACKET, jacket), (SHOES, shoes), (CAP, cap)):
        found[garment] = torch.where(on(look.worn[:, garment]) > 0, cover, -_FAR)
    return torch.stack(torch.broadcast_tensors(*found), 1)


def dress_bodies(
    surface: BodySurface, normals: Tensor, cover: Tensor, topology: BodyTopology, look: BodyLook
) -> Tensor:
    """Vertices `(P, V + X + Y, 3)` with clothes and hair standing off, long hair and skirts; what is not worn lies at the camera.

    Args:
        surface: P posed bodies; normals: (P, V, 3).
        cover: as `covers` gives it.
        look: how they look.
    """
    device = normals.device

    def on(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    ease = on(look.ease[:, :, 0])[:, :, None]
    off = (ease * (cover / _SOFT).clamp(0.0, 1.0)).amax(1)
    loose = on(look.ease[:, TOP, 0])[:, None] * (cover[:, TOP] > 0)
    # Cloth bridges what is hollow: it hangs in folds below the chest.
    off = off + loose * (0.5 + 0.5 * torch.sin(9.0 * topology.rest[:, 1] * 6.28 + 20.0 * topology.rest[:, 0]))
    grown = ((topology.hair + on(look.hair_lift[:, 1:])) / 7.0).clamp(0.0, 1.0)
    lift = on(look.hair_lift[:, :1]) * torch.where(on(look.worn[:, CAP])[:, None] > 0, 0.4, 1.0)
    off = torch.maximum(off, 0.0 * off) + lift * grown * (2.0 - grown)
    off = off + on(look.beard[:, 1:2]) * ((topology.beard + on(look.beard[:, 2:])) / 6.0).clamp(0.0, 1.0)
    bodies = surface.vertices + off[..., None] * normals
    return torch.cat([bodies, _long_hair(surface, topology, look), _skirts(surface, look)], 1)


def _long_hair(surface: BodySurface, topology: BodyTopology, look: BodyLook) -> Tensor:
    """Vertices `(P, X, 3)` of long hair: its roots move with the head, its ends with the trunk."""
    device = surface.vertices.device
    length, off = torch.as_tensor(look.long, dtype=torch.float32, device=device).T[:, :, None]
    roots, fall = topology.locks, topology.fall
    out = roots * torch.tensor([1.0, 0.0, 1.0], device=device)
    out = out / out.norm(dim=1, keepdim=True)
    phase = torch.as_tensor(look.phase[:, :1], dtype=torch.float32, device=device)
    wave = 0.006 * torch.sin(torch.arange(len(roots), device=device) % CURTAIN[0] * 1.9 + 6.28 * phase)
    stand = off * (0.6 + 1.1 * fall - 0.9 * fall.square()) + wave * fall
    move = roots - topology.rest[topology.scalp] + stand[..., None] * out
    move = move + (length * fall)[..., None] * torch.tensor([0.0, 1.0, 0.0], device=device)
    head, chest = (surface.transforms[:, JOINT[name], :3, :3].mT for name in ("head", "chest"))
    share = (fall * (length / 0.3).clamp_max(1.0)).clamp_max(0.8)[..., None]
    place = surface.vertices[:, topology.scalp] + torch.lerp(move @ head, move @ chest, share)
    return place * (length > 0)[..., None]


def _skirts(surface: BodySurface, look: BodyLook) -> Tensor:
    """Vertices `(P, Y, 3)` of skirts: ellipses round both legs, from the waist down."""
    device = surface.vertices.device
    length, wide = torch.as_tensor(look.skirt, dtype=torch.float32, device=device).T[:, :, None]  # (P, 1)
    scale = (surface.joints[:, JOINT["left_hip"]] - surface.joints[:, JOINT["left_knee"]]).norm(dim=-1)[:, None] / 0.42
    legs = [torch.stack([surface.joints[:, JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle")], 1) for side in SIDES]
    columns, rows = TUBE
    share = torch.linspace(0, 1, rows, device=device)
    down = share * length - 0.12  # (P, rows) metres below the hips
    across = torch.nn.functional.normalize(legs[1][:, 0] - legs[0][:, 0], dim=-1)[:, None]
    up = surface.transforms[:, JOINT["pelvis"], None, :3, 1]
    middle, apart, way = [], [], []
    points = []
    for leg in legs:
        thigh, shin = (leg[:, k + 1] - leg[:, k] for k in (0, 1))
        long = thigh.norm(dim=-1, keepdim=True)
        first = leg[:, :1] + (down.clamp(0, 0.42) / 0.42)[..., None] * thigh[:, None]
        first = first + (down - 0.42).clamp_min(0)[..., None] * (shin / long)[:, None] * scale[..., None]
        points.append(first + down.clamp_max(0)[..., None] * up * scale[..., None])
    middle = 0.5 * (points[0] + points[1])  # (P, rows, 3)
    apart = 0.5 * (points[0] - points[1]).norm(dim=-1)  # (P, rows)
    way = middle[:, 1:] - middle[:, :-1]
    way = torch.nn.functional.normalize(torch.cat([way, way[:, -1:]], 1), dim=-1)
    deep = torch.nn.functional.normalize(torch.linalg.cross(way, across.expand_as(way)), dim=-1)
    radius = (0.075 + 0.03 * (down / 0.12).clamp(-1, 1)) + wide * share + 0.01
    turn = 2 * torch.pi * torch.arange(columns, device=device) / columns
    folds = 1.0 + 0.06 * share[:, None] * torch.sin(turn * 7.0 + 3.0 * share[:, None])
    half = (apart + radius * scale)[..., None] * folds  # (P, rows, columns)
    thick = ((radius + 0.03) * scale)[..., None] * folds
    place = middle[:, :, None] + (half * torch.cos(turn))[..., None] * across[:, None]
    place = place + (thick * torch.sin(turn))[..., None] * deep[:, :, None]
    return place.flatten(1, 2) * (length > 0)[..., None]
