"""Where bodies end and hands begin: forearms of a body take on the thickness of the hands that are put on them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from phalanx.hand.model import HandModel
from phalanx.synth.body.model import JOINT, SIDES, BodyModel, BodySurface

CUT = 0.045
"""Metres above the wrist where the body's forearms end, for the mean shape."""
BLEND = 0.13
"""Metres above the cut over which a forearm changes from the body's thickness to the hand's."""
_BAND = 0.012  # metres to either side of the cut within which a hand's forearm is measured


def hand_radius(hand: HandModel, shape: Tensor) -> Tensor:
    """Mean radius (B,) in metres of the forearms of hands of shapes (B, 10), where bodies end."""
    ring = ((hand.template[:, 1] + CUT).abs() < _BAND) & (hand.skin_weights[:, 1] > 0.5)
    points = hand.template[ring] + torch.einsum("vck,bk->bvc", hand.shape_basis[ring], shape)
    across = points[..., [0, 2]]
    return (across - across.mean(1, keepdim=True)).norm(dim=2).mean(1)


def borders(body: BodyModel) -> tuple[Tensor, Tensor]:
    """Vertices (N,) of the rims where the arms end: right and left."""
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    _, group, count = torch.unique(edges.sort(1).values, dim=0, return_inverse=True, return_counts=True)
    ends = edges[count[group] == 1].unique()
    arm = body.skin_weights[:, [JOINT["right_forearm"], JOINT["left_forearm"]]][ends]
    return ends[arm[:, 0] > 0.5], ends[arm[:, 1] > 0.5]


def fit_wrists(body: BodyModel, surface: BodySurface, radii: Tensor) -> BodySurface:
    """The same bodies with forearms that are as thick as their hands where they end.

    Args:
        radii: (B, 2) metres in the camera's frame, right and left; 0.97 of `hand_radius` tucks the body's skin just under the hand's.
    """
    vertices = surface.vertices.clone()
    for number, (side, rim) in enumerate(zip(SIDES, borders(body), strict=True)):
        own = body.skin_weights[:, [JOINT[f"{side}_forearm"], JOINT[f"{side}_elbow"]]].sum(1) > 0.5
        points = vertices[:, own]
        middle = vertices[:, rim].mean(1, keepdim=True)
        elbow, wrist = surface.joints[:, JOINT[f"{side}_elbow"]], surface.joints[:, JOINT[f"{side}_wrist"]]
        axis = torch.nn.functional.normalize(wrist - elbow, dim=1)[:, None]
        offset = points - middle
        along = (offset * axis).sum(2, keepdim=True)
        across = offset - along * axis
        ends = vertices[:, rim] - middle
        radius = (ends - (ends * axis).sum(2, keepdim=True) * axis).norm(dim=2).mean(1)
        share = (1.0 + along / BLEND).clamp(0, 1)
        share = share * share * (3.0 - 2.0 * share)
        factor = (radii[:, number] / radius.clamp(min=1e-4))[:, None, None]
        vertices[:, own] = points + share * (factor - 1.0) * across
    return replace(surface, vertices=vertices)
