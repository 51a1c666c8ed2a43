"""People whom the hands of crops belong to: their sleeves go on over the hands' forearms, their bodies stand behind or before them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.synth.body.model import BodySurface
from phalanx.synth.paint.body import paint_bodies
from phalanx.synth.paint.body_look import BodyLook, draw_body_looks, femininity, match_sleeves
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.crowd_hands import tucked
from phalanx.synth.paint.dress import FOREARM_STRETCH, DressDraw, dress
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.paint.surface import hand
from phalanx.synth.shots import Shot


@dataclass
class People:
    """The owners of the first n hands of a shot: their bodies, and how they look."""

    body: BodySurface
    look: BodyLook

    def __len__(self) -> int:
        return len(self.look)

    def paint(self, shot: Shot, size: int, light: LightDraw, skin: Tensor, surroundings: Tensor) -> Layer:
        """Their bodies in all B pictures of the shot.

        Args:
            light: of the B pictures.
            skin: (B, 3, 6) colours of the hands' skins; surroundings: (B, 3) mean colours of what lies behind.
        """
        rows = np.arange(len(self))
        own = torch.as_tensor(rows, device=shot.device)
        bodies = map_fields(self.body, lambda value: value.to(shot.device))
        place = (size, size, surroundings[own], rows, len(shot.K))
        return paint_bodies(bodies, self.look, skin[own], light[rows], shot.K[own], *place)


def draw_people(shot: Shot, skin: Tensor, generator: np.random.Generator) -> People | None:
    """The people of a shot, the first of whose hands have the skins' colours `skin (B, 3, 6)`; none where hands have none."""
    bodies = shot.views.body
    if bodies is None:
        return None
    count = len(bodies.vertices)
    feminine = femininity(body("cpu")[0], bodies.shape)
    return People(bodies, draw_body_looks(generator, count, skin[:count].cpu().numpy(), feminine))


def clothed(shot: Shot, people: People | None, drawn: DressDraw) -> tuple[DressDraw, tuple[Tensor, Tensor, Tensor]]:
    """What B hands wear, with the sleeves of those they belong to, and what `dress` makes of it."""
    topology = hand(str(shot.device))[1]
    if people is None:
        return drawn, dress(shot.surface, topology, topology.rest_normals, drawn)
    own = np.arange(len(people))
    matched = match_sleeves(drawn[own], people.look, own)
    values = {}
    for field in fields(drawn):
        if field.name != "items":
            values[field.name] = getattr(drawn, field.name).copy()
            values[field.name][own] = getattr(matched, field.name)
    both = replace(drawn, **values)
    stretch = torch.full((len(shot.K),), FOREARM_STRETCH, device=shot.device)
    stretch[: len(people)] = 1.0
    vertices, cover, phase = dress(shot.surface, topology, topology.rest_normals, both, stretch)
    few = map_fields(shot.surface, lambda value: value[: len(people)])
    vertices = torch.cat([tucked(vertices[: len(people)], few, topology), vertices[len(people) :]])
    return both, (vertices, cover, phase)
