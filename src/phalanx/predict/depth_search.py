"""Where in depth frames the hand is: what is nearest, unless no hand of spheres fits there; then whatever they fit best."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from phalanx.geometry.cubes import EXTENT, cube_maps, nearest_hand, places_to_look
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.hand.spheres import RADII
from phalanx.methods.sphere_fitting import SphereFittingConfig
from phalanx.render.spheres import sphere_depth

_NEAR = 0.01  # metres: drawn and read depth that agree
_SURE = 0.75  # share of the drawn spheres that agrees above which nothing else is looked at
_RECENTRE = 0.06  # metres by which a cube is moved at most, towards the joints found in it
_BATCH = 16  # cubes looked into at once


class SpheresInCubes(Protocol):
    """A network that says where in cubes the spheres are: `methods.sphere_fitting.SphereEstimator`."""

    config: SphereFittingConfig

    def __call__(self, maps: Tensor) -> Tensor: ...


@torch.no_grad()
def find_hands(network: SpheresInCubes, depth: Tensor, K: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Middles (B, 3) in metres of cubes round the right hand in each of the depth frames (B, H, W), 0 = no reading; K (B, 3, 3).

    One look of the network where it is sure of what is nearest, else one more at each of some dozen places. NaN where nothing is read.
    """
    middles = nearest_hand(depth, K)
    for frame, camera, middle in zip(depth[:, None], K[:, None], middles, strict=True):
        if not bool(middle.isfinite().all()):
            continue
        places = middle[None]
        centres, agreement = _look(network, frame, camera, places, device)
        if float(agreement[0]) < _SURE and len(others := places_to_look(frame, camera)):
            found = _look(network, frame, camera, others, device)
            places, centres, agreement = (
                torch.cat(both) for both in ((places, others), (centres, found[0]), (agreement, found[1]))
            )
        best = int(agreement.argmax())
        shift = joints_of_spheres(centres[best : best + 1]).mean(1)[0]
        middle.copy_(places[best] + shift * (_RECENTRE / shift.norm()).clamp(max=1.0))
    return middles


def _look(
    network: SpheresInCubes, frame: Tensor, camera: Tensor, places: Tensor, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Spheres (C, 41, 3) in cubes about `places` (C, 3) of one frame (1, H, W), and the share of each that agrees."""
    centres, agreement = [], []
    for part in places.split(_BATCH):
        count = len(part)
        maps = cube_maps(frame.expand(count, -1, -1), camera.expand(count, -1, -1), part, network.config.size)
        centres.append(network(maps.to(device)).cpu())
        agreement.append(fit_to_maps(centres[-1], maps)[1])
    return torch.cat(centres), torch.cat(agreement)


def fit_to_maps(centres: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How well spheres (N, 41, 3) explain maps (N, S, S), in the cube frame.

    Returns, each (N,): mean absolute difference of depth in metres over the cells where both have surface (0 if there are none), share
    of what is drawn that lies within `_NEAR` of it, and number of those cells.
    """
    drawn = sphere_depth(centres, torch.tensor(RADII), maps.shape[-1], EXTENT)
    shown = drawn < EXTENT / 2
    both = shown & (maps < EXTENT / 2)
    apart = (drawn - maps).abs()
    compared = both.sum((1, 2))
    near = ((apart < _NEAR) & both).sum((1, 2))
    return (apart * both).sum((1, 2)) / compared.clamp_min(1), near / shown.sum((1, 2)).clamp_min(1), compared
