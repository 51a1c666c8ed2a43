"""Clothes and hair of bodies as geometry: what each garment covers, how far cloth and hair stand off, skirts and long hair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.body.model import JOINT, SIDES, BodySurface
from phalanx.synth.paint.body_look import CAP, SHOES, TOP, BodyLook
from phalanx.synth.paint.body_surface import CURTAIN, REACH, TUBE, BodyTopology

On = Callable[[np.ndarray], Tensor]
_FAR = 1.0  # metres
_TEXEL = 0.0027  # metres, on the head's chart
_SOFT = 0.012  # metres over which cloth comes to stand off
_JAW = 0.0  # metres below the neck's base: what lies above is neck and head


def covers(place: Tensor, look: BodyLook, on: On | None = None) -> list[Tensor | None]:
    """How far `(P, N)` inside each garment points of P people are, in metres, below 0 where it does not cover; none: nobody wears it.

    Args:
        place: (6, N) what `BodyTopology.place` has of the points.
        look: what the P people wear.
        on: brings values of the people `(P,)` to points `(N,)` each of which is one person's alone, as then is what is found.
    """

    def of_each(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=place.device)[:, None]

    found: list[Tensor | None] = []
    for garment, cover in enumerate(_COVERS):
        worn = look.worn[:, garment]
        if not worn.any():
            found.append(None)
            continue
        inside = cover(place, look, on or of_each)
        found.append(inside if worn.all() else torch.where((on or of_each)(worn) > 0, inside, -_FAR))
    return found


def _trousers(place: Tensor, look: BodyLook, on: On) -> Tensor:
    _, y, _, arm, height, _ = place
    return torch.minimum(y - on(look.waist), height - on(look.legs)).masked_fill_(arm > 0.0, -_FAR)


def _top(place: Tensor, look: BodyLook, on: On) -> Tensor:
    x, y, z, arm, _, _ = place
    width = x.abs()
    front = (-z).clamp_min(0.0)
    armhole = REACH - on(look.sleeve[:, 0]) - arm
    rim = on(look.neck[:, 0]) + on(look.neck[:, 1]) * front
    rim = rim + on(look.neck[:, 2]) * (1.0 - width / on(look.neck[:, 3])).clamp_min(0.0) * (z < 0)
    beyond = torch.hypot(x, z) - on(look.neck[:, 4])
    opening = torch.where(y > _JAW, torch.maximum(y - rim, beyond), y - rim)
    hem = (on(look.hem[:, 0]) - y).masked_fill_(arm > 0.0, _FAR)
    return torch.minimum(torch.minimum(hem, armhole), opening)


def _jacket(place: Tensor, look: BodyLook, on: On) -> Tensor:
    x, y, z, arm, _, _ = place
    trunk = arm <= 0.0
    hem = (on(look.hem[:, 1]) - y).masked_fill_(~trunk, _FAR)
    inside = torch.minimum(torch.minimum(hem, REACH - on(look.sleeve[:, 1]) - arm), y - 0.2 * (-z).clamp_min(0.0))
    return torch.where((z < 0.0) & trunk, torch.minimum(inside, x.abs() - on(look.open)), inside)


def _shoes(place: Tensor, look: BodyLook, on: On) -> Tensor:
    return on(look.shoe) - place[4]


def _cap(place: Tensor, look: BodyLook, on: On) -> Tensor:
    return (place[5] + 3.0) * _TEXEL + torch.zeros_like(on(look.waist))


_COVERS = (_trousers, _top, _jacket, _shoes, _cap)


def dress_bodies(
    surface: BodySurface, normals: Tensor, cover: list[Tensor | None], topology: BodyTopology, look: BodyLook
) -> Tensor:
    """Vertices `(P, V + X + Y, 3)` with clothes and hair standing off, long hair and skirts; what is not worn lies at the camera.

    Args:
        surface: P posed bodies; normals: (P, V, 3).
        cover: as `covers` gives it for the vertices.
        look: how they look.
    """
    device = normals.device

    def on(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    hair, beard = topology.place[5], topology.beard
    off = torch.zeros(normals.shape[:2], device=device)
    for garment, inside in enumerate(cover):
        if inside is not None:
            stand = on(look.ease[:, garment, :1])
            if garment == TOP:  # cloth hangs in folds below the chest
                stand = stand * (1.5 + 0.5 * torch.sin(56.0 * topology.rest[:, 1] + 20.0 * topology.rest[:, 0]))
            off = torch.maximum(off, stand * (inside / _SOFT).clamp(0.0, 1.0))
    grown = ((hair + on(look.hair_lift[:, 1:])) / 7.0).clamp(0.0, 1.0)
    lift = on(look.hair_lift[:, :1]) * torch.where(on(look.worn[:, CAP])[:, None] > 0, 0.4, 1.0)
    off = off + lift * grown * (2.0 - grown)
    off = off + on(look.beard[:, 1:2]) * ((beard + on(look.beard[:, 2:])) / 6.0).clamp(0.0, 1.0)
    bodies = surface.vertices + off[..., None] * normals
    shod = cover[SHOES]
    if shod is not None:
        for side, toes, caps in zip(SIDES, topology.toes, topology.toe_caps, strict=True):
            turn = surface.transforms[:, JOINT[f"{side}_ankle"], :3, :3]
            share = (shod[:, toes] / _SOFT).clamp(0.0, 1.0)[..., None]
            bodies[:, toes] = bodies[:, toes] + share * (caps @ turn.mT)
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
    legs = [
        torch.stack([surface.joints[:, JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle")], 1)
        for side in SIDES
    ]
    columns, rows = TUBE
    share = torch.linspace(0, 1, rows, device=device)
    down = share * length - 0.12  # (P, rows) metres below the hips
    across = torch.nn.functional.normalize(legs[1][:, 0] - legs[0][:, 0], dim=-1)[:, None]
    up = surface.transforms[:, JOINT["pelvis"], None, :3, 1]
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
    radius = 0.1 + 0.025 * (down / 0.12).clamp(-1, 1) + wide * share
    turn = 2 * torch.pi * torch.arange(columns, device=device) / columns
    folds = 1.0 + 0.06 * share[:, None] * torch.sin(turn * 7.0 + 3.0 * share[:, None])
    half = (apart + radius * scale)[..., None] * folds  # (P, rows, columns)
    thick = ((radius + 0.03) * scale)[..., None] * folds
    place = middle[:, :, None] + (half * torch.cos(turn))[..., None] * across[:, None]
    place = place + (thick * torch.sin(turn))[..., None] * deep[:, :, None]
    return place.flatten(1, 2) * (length > 0)[..., None]
