"""What pictures say of a hand, as terms of the solver (`fit.solver.Term`): joints in pixels, masks, depth maps. NumPy.

Masks and depth maps are compared with the hand's spheres (`fit.spheres`); which point belongs to which sphere is found anew at every state,
as in iterative closest points. Residuals that occlusion makes (a part of the hand behind a thing) pull no harder than Huber's bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from phalanx.fit.solver import NormalEquations
from phalanx.fit.spheres import spheres_of
from phalanx.fit.state import PosedHands

NEAREST = 0.02
"""Points nearer to the camera than this count as so far away, metres."""

MASK_SIDE = 96
"""Pixels of the longer side that distances to a mask are computed at: a finger is still four to eight of them wide."""

HUBER = 3.0
"""Points in pictures that are farther off than this many sigma pull no harder."""


@dataclass(frozen=True)
class PixelsTerm:
    """Joints in a picture of any camera."""

    pixels: np.ndarray  # (B, 21, 2)
    scale: np.ndarray  # (B, 21) 1 / sigma; 0 leaves a joint out
    projection: np.ndarray  # (B, 3, 4) from the frame of the fit to pixels
    huber: float | None = HUBER

    def add_to(self, normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> None:
        """See `fit.solver.Term`."""
        places, slopes, _ = project(self.projection, hands.joints, hands.derivatives)
        scale = self.scale[..., None]
        normal.add_points(scale * (places - self.pixels), scale[..., None] * slopes, self.huber)


@dataclass(frozen=True)
class MaskTerm:
    """A mask: no sphere sticks out of it, and every point of it is covered by one.

    A sphere's picture is taken for a disc. The points are on the mask's outline and in it. Those on the arm's side of the wrist do
    not count, because the hand has no spheres there.
    """

    distance: np.ndarray  # (B, h, w) pixels of the map to the mask's edge, negative in it
    points: np.ndarray  # (B, N, 2) of the mask, pixels of the map
    known: np.ndarray  # (B,) 1 where there is a mask, else 0
    projection: np.ndarray  # (B, 3, 4) from the frame of the fit to pixels of the map
    sigma: float  # pixels of the map
    huber: float = HUBER

    def add_to(self, normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> None:
        """See `fit.solver.Term`."""
        spheres = spheres_of(hands)
        centres, slopes, depth = project(self.projection, spheres.centres, spheres.by_unknowns)
        focal = self._focal()
        radii = focal * spheres.radii / depth  # (B, 41)
        along = self.projection[:, None, 2:, :3] @ spheres.by_unknowns  # (B, 41, 1, 36) of the depth
        wider = (focal / depth)[..., None] * spheres.radii_by_unknowns - (radii / depth)[..., None] * along[:, :, 0]
        rows = np.concatenate((slopes, wider[:, :, None]), 2)  # (B, 41, 3, 36) of centre and radius
        distance, uphill = sampled(self.distance, centres)
        out = np.maximum(distance + radii, 0) * self.known[:, None]

        nearest, gap, away = nearest_spheres(self.points, centres, radii)
        bare = np.maximum(gap, 0) * self.known[:, None] * self._of_hand(hands)
        every = np.broadcast_to(np.arange(out.shape[1]), out.shape)
        add_on_spheres(
            normal,
            rows,
            np.concatenate((every, nearest), 1),
            np.concatenate((out, bare), 1) / self.sigma,
            np.concatenate((uphill, -away), 1) / self.sigma,
            np.concatenate((out > 0, -(bare > 0).astype(out.dtype)), 1) / self.sigma,
            self.huber,
        )

    def _focal(self) -> np.ndarray:
        """Pixels of a length of one metre at a distance of one (B, 1): geometric mean of both axes."""
        x, y, z = self.projection[:, 0, :3], self.projection[:, 1, :3], self.projection[:, 2, :3]
        x, y = x - (x * z).sum(-1, keepdims=True) * z, y - (y * z).sum(-1, keepdims=True) * z
        return np.sqrt(np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))[:, None]

    def _of_hand(self, hands: PosedHands[np.ndarray]) -> np.ndarray:
        """Which of the points (B, N) lie on the hand's side of the wrist."""
        joints = _places(self.projection, hands.joints[:, [0, 9]])[0]
        towards = joints[:, 1] - joints[:, 0]
        beyond = ((self.points - joints[:, :1]) * towards[:, None]).sum(-1)
        of_hand: np.ndarray = beyond > -0.1 * np.square(towards).sum(-1)[:, None]
        return of_hand


@dataclass(frozen=True)
class DepthTerm:
    """A depth map: what it reads of the hand lies on a sphere."""

    points: np.ndarray  # (B, N, 3) metres, frame of the fit
    weight: np.ndarray  # (B, N) 0 leaves one out
    sigma: float  # metres
    farthest: float  # metres from the hand at which points are of something else
    huber: float = HUBER

    def add_to(self, normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> None:
        """See `fit.solver.Term`."""
        spheres = spheres_of(hands)
        nearest, gap, away = nearest_spheres(self.points, spheres.centres, spheres.radii)
        # Beyond the farthest a point costs as much as there, and pulls nothing: nothing is won by leaving points behind.
        share = self.weight / self.sigma
        pulls = share * (np.abs(gap) < self.farthest)
        rows = np.concatenate((spheres.by_unknowns, spheres.radii_by_unknowns[:, :, None]), 2)
        off = share * np.clip(gap, -self.farthest, self.farthest)
        add_on_spheres(normal, rows, nearest, off, -away * pulls[..., None], -pulls, self.huber)


def nearest_spheres(
    points: np.ndarray, centres: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of points (B, N, D) the nearest sphere or disc (B, N), distance to its surface, negative in it, and direction from its centre."""
    squared = (
        np.square(points).sum(-1)[..., None] + np.square(centres).sum(-1)[:, None] - 2 * points @ centres.swapaxes(1, 2)
    )
    nearest = (np.sqrt(np.maximum(squared, 0)) - radii[:, None]).argmin(-1)
    rows = np.arange(len(points))[:, None]
    apart = points - centres[rows, nearest]
    distance = np.sqrt(np.square(apart).sum(-1))  # again: the difference of squares above has lost digits
    return nearest, distance - radii[rows, nearest], apart / np.maximum(distance, 1e-9)[..., None]


def add_on_spheres(
    normal: NormalEquations[np.ndarray],
    rows: np.ndarray,
    which: np.ndarray,
    residuals: np.ndarray,
    by_centre: np.ndarray,
    by_radius: np.ndarray,
    huber: float,
) -> None:
    """Add residuals that each hang on one sphere: their products are summed for each sphere before the unknowns come in.

    Args:
        normal: added to.
        rows: (B, S, D + 1, 36) derivatives of centres and radii by the unknowns.
        which: (B, N) spheres.
        residuals: (B, N) in units of sigma.
        by_centre, by_radius: (B, N, D), (B, N) their derivatives; 0 where a residual does not count.
        huber: residuals beyond pull no harder.
    """
    batch, count, side = rows.shape[:3]
    size = np.abs(residuals)
    weight = huber / np.maximum(size, huber)  # 1 within, huber / size beyond
    normal.cost += (weight * (2 - weight) * np.square(size)).sum(1)[:, None]
    slope = np.concatenate((by_centre, by_radius[..., None], residuals[..., None]), -1)  # (B, N, D + 2)
    products = (weight[..., None] * slope[..., :-1])[..., None] * slope[:, :, None]  # (B, N, D + 1, D + 2)
    on = (which[:, None] == np.arange(count)[:, None]).astype(rows.dtype)  # (B, S, N)
    sums = (on @ products.reshape(batch, -1, side * (side + 1))).reshape(batch, count, side, side + 1)
    flat = rows.reshape(batch, count * side, -1)
    normal.matrix += flat.swapaxes(1, 2) @ (sums[..., :-1] @ rows).reshape(flat.shape)
    normal.gradient += (flat.swapaxes(1, 2) @ sums[..., -1].reshape(batch, -1, 1))[..., 0]


def project(
    projection: np.ndarray, points: np.ndarray, derivatives: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (B, N, 2) of points (B, N, 3), their derivatives (B, N, 2, 36), and the points' depths (B, N)."""
    places, depth = _places(projection, points)
    moved = projection[:, None, :, :3] @ derivatives  # (B, N, 3, 36)
    slopes = (moved[:, :, :2] - places[..., None] * moved[:, :, 2:]) / depth[..., None, None]
    return places, slopes, depth


def _places(projection: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = points @ projection[:, :, :3].swapaxes(1, 2) + projection[:, None, :, 3]
    depth = np.maximum(seen[..., 2], NEAREST)
    return seen[..., :2] / depth[..., None], depth


def sampled(maps: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (B, N) of maps (B, h, w) at places (B, N, 2), pixels, bilinear, and their gradients (B, N, 2).

    Places outside have the value at the map's edge, and gradient 0 across it.
    """
    height, width = maps.shape[1:]
    size = np.array([width - 1, height - 1], places.dtype)
    held = np.clip(np.nan_to_num(places), 0, size - places.dtype.type(1e-3))
    low = held.astype(np.int64)
    part = held - low.astype(held.dtype)
    x, y, rows = low[..., 0], low[..., 1], np.arange(len(maps))[:, None]
    a, b, c, d = maps[rows, y, x], maps[rows, y, x + 1], maps[rows, y + 1, x], maps[rows, y + 1, x + 1]
    s, t = part[..., 0], part[..., 1]
    value = (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * c + s * d)
    slope = np.stack(((1 - t) * (b - a) + t * (d - c), (1 - s) * (c - a) + s * (d - b)), -1)
    return value, slope * (held == places)


def mask_term(
    masks: np.ndarray, projection: np.ndarray, sigma: float, points: int = 96, known: np.ndarray | None = None
) -> MaskTerm:
    """The term of masks.

    Args:
        masks: (B, H, W) in [0, 1].
        projection: (B, 3, 4) from the frame of the fit to pixels of the masks.
        sigma: how far off their edges may be, pixels of the masks.
        points: how many of each mask are to be covered, half of them on its outline.
        known: (B,) bool, which of the masks count.
    """
    height, width = masks.shape[1:]
    dtype = projection.dtype
    zoom = MASK_SIDE / max(height, width)
    side = (max(2, round(width * zoom)), max(2, round(height * zoom)))
    zooms = np.array([side[0] / width, side[1] / height])
    known = np.ones(len(masks), bool) if known is None else known
    maps = np.zeros((len(masks), side[1], side[0]), dtype)
    found = np.zeros((len(masks), points, 2), dtype)
    for row, mask in enumerate(masks):
        # Zoomed before it is cut at one half: an edge of a rough mask lies between its pixels.
        kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        inside = (cv2.resize(mask.astype(np.float32), side, interpolation=kind) > 0.5).astype(np.uint8)
        if not known[row] or not inside.any():
            continue
        outer = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
        inner = (
            cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5) if not inside.all() else inside * float(side[0])
        )
        maps[row] = np.where(inside, 0.5 - inner, outer - 0.5)
        for number, chosen in enumerate(((inner < 1.5) & (inside > 0), inside > 0)):
            y, x = np.nonzero(chosen)
            half = points // 2
            kept = np.linspace(0, len(x) - 1, half).astype(np.int64) if len(x) else np.zeros(half, np.int64)
            if len(x):
                found[row, number * half : (number + 1) * half] = np.stack((x[kept], y[kept]), -1)
    there = known & (maps < 0).any((1, 2))
    scale = np.diag([*zooms, 1.0])
    scale[:2, 2] = (zooms - 1) / 2  # pixel centres are integers
    to_map = (scale @ projection).astype(dtype)
    return MaskTerm(maps, found, there.astype(dtype), to_map, float(sigma * np.sqrt(zooms.prod())))


def depth_term(
    depth: np.ndarray,
    masks: np.ndarray | None,
    K: np.ndarray,
    to_fit: np.ndarray,
    sigma: float,
    farthest: float = 0.03,
    points: int = 128,
) -> DepthTerm:
    """The term of depth maps.

    Args:
        depth: (B, H, W) metres, 0: no reading.
        masks: (B, H, W) in [0, 1], of the hand; None: all that is near the hand counts.
        K: (B, 3, 3) cameras of the maps.
        to_fit: (B, 4, 4) from the frames of these cameras to that of the fit.
        sigma: how far off readings may be, metres; spheres are 2 mm off the skin, too.
        farthest: points that are farther from the hand are of something else, metres.
        points: how many of each map are taken, evenly over what is read.
    """
    dtype = K.dtype
    found = np.zeros((len(depth), points, 3), dtype)
    weight = np.zeros((len(depth), points), dtype)
    for row, map_ in enumerate(depth):
        chosen = np.isfinite(map_) & (map_ > 0)
        if masks is not None:
            chosen &= masks[row] > 0.5
        y, x = np.nonzero(chosen)
        if len(x):
            kept = np.linspace(0, len(x) - 1, min(points, len(x))).astype(np.int64)
            x, y = x[kept], y[kept]
            pixels = np.stack((x, y, np.ones_like(x)), 0)
            own = (np.linalg.inv(K[row]) @ pixels) * map_[y, x]
            found[row, : len(x)] = (to_fit[row, :3, :3] @ own + to_fit[row, :3, 3:]).T
            weight[row, : len(x)] = 1
    return DepthTerm(found, weight, sigma, farthest)
