"""Where in depth frames the hand is: what is nearest, unless no hand of spheres fits there; then whatever they fit best."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.geometry.cubes import EXTENT, cube_maps, nearest_hand, places_to_look
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.hand.spheres import RADII
from phalanx.methods.sphere_fitting import SphereFittingConfig
from phalanx.render.spheres import sphere_depth

_NEAR = 0.01  # metres: drawn and read depth that agree
_SURE = 0.75  # share of the drawn spheres that agrees above which nothing else is looked at
_RECENTRE = 0.06  # metres by which a cube is moved at most, towards the joints found in it
_BATCH = 16  # cubes looked into at once
_CLOSEST, _FARTHEST = 0.1, 3.0  # metres: hands beyond are not to be made out
_FULL = 0.15  # share of a cube's cells,
_FLAT = 0.004  # and metres, of nineteen of them in twenty: what fills so much and is so plain is no hand


class SpheresInCubes(Protocol):
    """A network that says where in cubes the spheres are: `methods.sphere_fitting.SphereFittingEstimator`."""

    config: SphereFittingConfig

    def __call__(self, maps: Tensor) -> Tensor: ...


@torch.no_grad()
def find_hands(network: SpheresInCubes, depth: Tensor, K: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Middles (B, 3) in metres of cubes round the right hand in each of the depth frames (B, H, W), 0 = no reading; K (B, 3, 3).

    One look of the network where it is sure of what is nearest, else one more at each of some dozen places. NaN where nothing is read.
    """
    middles = nearest_hand(depth, K)
    for frame, camera, middle in zip(depth[:, None], K[:, None], middles, strict=True):
        if not bool(middle.isfinite().all()) or float(middle[2]) > _FARTHEST:
            continue  # pictures of what is far are split into very many readings
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


def why_no_hand(middle: Tensor, surface: Tensor, error: float, most: float) -> str | None:
    """What speaks against a hand where one was looked for; None: nothing.

    Args:
        middle: (3,) of the cube, metres.
        surface: (S, S) its map.
        error: metres, of the spheres (`fit_to_maps`).
        most: metres, the error up to which spheres may be a hand.
    """
    distance = float(middle[2])
    if not _CLOSEST < distance < _FARTHEST:
        return f"what is looked at is {distance:.2f} m away, where no hand can be made out: is the unit right?"
    if _is_plain(surface):
        return "no hand is seen, but a plain surface"
    if error > most:
        return f"no hand is seen: none fits to less than {1000 * error:.0f} mm"
    return None


def _is_plain(surface: Tensor) -> bool:
    row, column = (surface < EXTENT / 2).nonzero().unbind(1)
    if len(row) < _FULL * surface.numel():
        return False
    depth = surface[row, column].double()
    plane = torch.stack([row.double(), column.double(), torch.ones_like(depth)], 1)
    off = plane @ torch.linalg.lstsq(plane, depth[:, None]).solution - depth[:, None]
    return float(off.abs().quantile(0.95)) < _FLAT


def within(depth: np.ndarray, box: Any, mask: np.ndarray | None) -> np.ndarray:
    """Depth (H, W) with 0 outside of `box` (x, y, width, height in pixels) and where `mask` (H, W) is 0; None: everything.

    Raises:
        InputError: box or mask are at fault, or nothing is read in them.
    """
    seen = depth
    if box is not None:
        x, y, width, height = as_array(box, (4,), "box").tolist()
        rows, columns = np.indices(depth.shape)
        inside = (columns >= x - 0.5) & (columns <= x + width - 0.5) & (rows >= y - 0.5) & (rows <= y + height - 0.5)
        seen = np.where(inside, seen, 0)
    if mask is not None:
        where = as_array(mask, depth.shape, "mask") > 0.5
        seen = np.where(where, seen, 0)
    if not (seen > 0).any():
        raise InputError("depth: nothing is read where the hand should be")
    return seen.astype(np.float32)


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
