"""Where in a depth frame the hand is, and which hand: a network looks into cubes about whatever stands out towards the camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.geometry.cubes import EXTENT, nearest_hand, places_on
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.prediction import SIDES, Side
from phalanx.hand.spheres import RADII
from phalanx.methods.hand_finder import LEFT, NOTHING, RIGHT, HandFinderConfig, maps_about, surfaces, turned_maps_about
from phalanx.methods.sphere_fitting import SphereFittingConfig
from phalanx.render.spheres import sphere_depth

_NEAR = 0.01  # metres: drawn and read depth that agree
_COARSE = 2.0  # times farther apart lie the points that are looked at first
_MIRRORED = 12  # of them, the likeliest, are looked at in the mirror, too
_AGAIN = 6  # places looked at a second and a third time, moved to where the hand's middle is expected
_ALIKE = 0.05  # metres between the middles of what is the same hand
_TURNS = (0.0, 0.25, -0.25)  # radians about the camera's axis by which what is there is turned in the third look
_AS_SURE = 0.97  # share of the best score from which the nearer of two hands is taken
_CUT = 0.05  # of its score keeps a hand that lies wholly beyond the frame's border
_CLOSEST, _FARTHEST = 0.1, 3.0  # metres: hands beyond are not to be made out
_FULL = 0.15  # share of a cube's cells,
_FLAT = 0.004  # and metres, of nineteen of them in twenty: what fills so much and is so plain is no hand
_SMALLEST = 1.2e-3  # square metres that a hand shows at least: a fist seen from the side has twice as many

SURE = 0.8
"""Chance that a hand is there, from which one is."""

Item = TypeVar("Item")

COLUMNS: dict[Side, int] = {"right": RIGHT, "left": LEFT}


class FindsHands(Protocol):
    """A network that says of cubes whether a hand is there: `methods.hand_finder.HandFinder`."""

    config: HandFinderConfig

    def __call__(self, maps: Tensor) -> tuple[Tensor, Tensor]: ...


class SpheresInCubes(Protocol):
    """A network that says where in cubes the spheres are: `methods.sphere_fitting.SphereFittingEstimator`."""

    config: SphereFittingConfig

    def __call__(self, maps: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Place:
    """Where a hand is."""

    joints: Tensor
    """(21, 3) where they are expected, roughly, metres, camera frame."""
    side: Side
    """As asked for, or the likelier one."""
    shares: dict[Side, float]
    """How likely it is that a right and a left hand are there; what is missing to 1, that none is."""

    @property
    def middle(self) -> Tensor:
        """(3,) of the joints."""
        return self.joints.mean(0)

    @property
    def hand(self) -> float:
        """How likely it is that a hand is there."""
        return sum(self.shares.values())


@dataclass(frozen=True)
class Candidates:
    """Places of a frame where hands are likeliest."""

    joints: Tensor
    """(C, 21, 3) that are expected there, metres, camera frame."""
    shares: Tensor
    """(C, 3) how likely nothing, a right and a left hand are there."""
    inside: Tensor
    """(C,) share of the joints that the frame shows."""
    votes: Tensor
    """(C,) how many of the first looks, at places nearby, expect a hand there: the sum of what they say."""

    def best(self, side: Side | Literal["auto"] = "auto") -> Place:
        """Of several hands, the nearest that is about as sure as any; cut ones count less, and those of the other `side` not at all.

        Looks from several places seldom err alike: what is seen as a hand from one place alone counts half. Hands count more whose side
        is clear.
        """
        hands = self.shares[:, _columns(side)]
        sure = (hands.sum(1) * hands.amax(1)).sqrt() * self.inside.clamp_min(_CUT) * self.votes / (1.0 + self.votes)
        best = int(torch.where(sure >= _AS_SURE * sure.max(), self.joints.mean(1)[:, 2], torch.inf).argmin())
        found = {each: float(self.shares[best, column]) for each, column in COLUMNS.items()}
        return Place(self.joints[best], max(SIDES, key=lambda each: found[each]) if side == "auto" else side, found)


def _columns(side: Side | Literal["auto"]) -> list[int]:
    return [COLUMNS[each] for each in (SIDES if side == "auto" else (side,))]


def find_hand(
    finder: FindsHands,
    depth: Tensor,
    K: Tensor,
    side: Side | Literal["auto"] = "auto",
    seen: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Place:
    """The hand in a depth frame: the best of its `candidates`, which see for arguments and errors."""
    return candidates(finder, depth, K, side, seen, device).best(side)


@torch.no_grad()
def candidates(
    finder: FindsHands,
    depth: Tensor,
    K: Tensor,
    side: Side | Literal["auto"] = "auto",
    seen: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Candidates:
    """Where in a depth frame hands may be.

    A look at coarse points about every place that stands out, then two at finer points where the likeliest hands are expected, in the
    last of them turned a little, too, for what a single look says of the side is not steady. Of likely places the mirror images are
    looked at, too, so that a frame and its mirror image are judged alike.

    Args:
        finder: on `device`.
        depth: (H, W) metres, 0 = no reading.
        K: (3, 3).
        side: hands of the other one do not count.
        seen: `depth` with 0 where the hand is not; what is there is looked at nevertheless, for arm and body tell the side.

    Raises:
        InputError: nothing is read, or only so far away that no hand can be made out.
    """
    size = finder.config.size
    seen = depth if seen is None else seen
    nearest = nearest_hand(seen[None], K[None])
    distance = float(nearest[0, 2])
    if math.isnan(distance):
        raise InputError("depth: nothing is read where the hand should be")
    if not _CLOSEST < distance < _FARTHEST:
        raise InputError(f"depth: {_too_far(distance)}")
    coarse = surfaces(depth, K, size, _COARSE)
    on = coarse[0] if seen is depth else surfaces(seen, K, size, _COARSE)[0]
    columns = _columns(side)

    def looked_at(maps: Tensor) -> tuple[Tensor, Tensor]:
        logits, joints = finder(maps.to(device))
        return logits.softmax(1).cpu(), joints.cpu()

    def mirrored(maps: Tensor) -> tuple[Tensor, Tensor]:
        shares, joints = looked_at(maps.flip(-1))
        return shares[:, [NOTHING, LEFT, RIGHT]], joints * joints.new_tensor([-1.0, 1.0, 1.0])

    def looked_at_again(places: Tensor, angles: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Shares (L, C, 3) and joints (L, C, 21, 3) that looks see, each turned by an angle and as it is or in the mirror."""
        turns = rotvec_to_rotmat(torch.tensor([[0.0, 0.0, angle] for angle in angles], dtype=places.dtype))
        maps = turned_maps_about(depth, K, places.repeat(len(angles), 1), turns.repeat_interleave(len(places), 0), size)
        shares, joints = (torch.cat(both) for both in zip(looked_at(maps), mirrored(maps), strict=True))
        joints = joints.unflatten(0, (2, len(angles), len(places))) @ turns[:, None]
        return shares.unflatten(0, (-1, len(places))), places[:, None] + joints.flatten(0, 1)

    places = torch.cat([nearest, places_on(on)])
    maps = maps_about(coarse, places, size)
    shares, joints = looked_at(maps)
    hands, expected = shares[:, columns].sum(1), places + joints.mean(1)
    chosen = hands.topk(min(_MIRRORED, len(places))).indices
    shares = shares[chosen] + mirrored(maps[chosen])[0]
    likeliest = shares[:, columns].sum(1).topk(min(_AGAIN, len(chosen))).indices
    places = expected[chosen[likeliest]]
    shares, joints = looked_at_again(places, _TURNS[:1])
    more, joints = looked_at_again(joints.mean((0, 2)), _TURNS)
    shares, joints = torch.cat([shares, more]).mean(0), joints.mean(0)
    alike = torch.cdist(joints.mean(1), expected) < _ALIKE
    return Candidates(joints, shares, _inside(joints, K, depth), (alike * hands).sum(1))


def _inside(joints: Tensor, K: Tensor, depth: Tensor) -> Tensor:
    """Share (C,) of the joints (C, 21, 3) that lie within the frame (H, W)."""
    pixels = joints @ K.T
    x, y = (pixels[..., :2] / pixels[..., 2:]).unbind(-1)
    height, width = depth.shape
    return ((x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)).float().mean(1)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, spread evenly over all."""
    return [items[round(index)] for index in np.linspace(0, len(items) - 1, min(most, len(items)))]


def why_no_hand(place: Place, surface: Tensor, error: float, most: float) -> str | None:
    """What speaks against a hand where one was looked for; None: nothing.

    Args:
        place: where it was looked for.
        surface: (S, S) map of the cube about it.
        error: metres, of the spheres (`fit_to_maps`).
        most: metres, the error up to which spheres may be a hand.
    """
    distance = float(place.middle[2])
    if not _CLOSEST < distance < _FARTHEST:
        return _too_far(distance)
    if _is_plain(surface):
        return "no hand is seen, but a plain surface"
    covered = float((surface < EXTENT / 2).sum()) * (EXTENT / surface.shape[-1]) ** 2
    if covered < _SMALLEST:
        return (
            f"no hand is seen: what is there covers {1e4 * covered:.0f} square centimetres; are unit and camera right?"
        )
    if place.hand < SURE:
        return f"no hand is seen: what looks most like one is {distance:.2f} m away and is none"
    if error > most:
        return f"no hand is seen: none fits to less than {1000 * error:.0f} mm"
    return None


def _too_far(distance: float) -> str:
    return f"what is looked at is {distance:.2f} m away, where no hand can be made out: is the unit right?"


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
    return seen.astype(np.float32, copy=False)


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
