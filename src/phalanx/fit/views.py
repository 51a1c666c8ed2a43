"""One hand from several views: its joints triangulated, and the hand model fitted to what all views know at once. NumPy.

Joints alone: each pair of views gives the point nearest to its two rays; the one that most views agree with wins, so a view that is
wrong, or wrong about a joint, has no say. It is then refined by Gauss-Newton on the distances in all pictures, with Geman and McClure's
weights (1985), under which a joint that is far off counts for nothing. A view that disagrees about most joints counts less for all.

The hand: the terms of each view's picture (`fit.terms.PictureTerm`) are moved into one world and descend together, under the same
solver and the same priors as a hand in one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.arrays import lengths, unit
from phalanx.fit.chain import Chain, joints_and_derivatives, numpy_chain_of, relaxed_angles
from phalanx.fit.crop import upright_crop
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.fit.joints import (
    KNOWN_SHAPE_SIGMA,
    FitConfig,
    inner_mean,
    inner_terms,
    picture_term,
    pose_of_state,
    seen_orientation,
    start_from_picture,
)
from phalanx.fit.solver import NormalEquations, minimise, normal_equations
from phalanx.fit.spin_match import spin_match
from phalanx.fit.state import PosedHands, State, pose_hands
from phalanx.fit.terms import LengthTerm, OrientationPrior, PictureTerm
from phalanx.geometry.placed import PlacedCamera
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.hand.skeleton import FINGERS, PALM

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

TOLERANCE = 0.1
"""Error of a joint in a picture up to which a view agrees, as a share of the hand's size there."""

SLANT = 0.03
"""Sine of the least angle between two rays that a joint is triangulated from: 1.7 degrees. Below it errors grow fortyfold and more."""

MOST_PAIRS = 66
"""Pairs of views that are tried: all of twelve views."""

STEPS = 8
"""Gauss-Newton steps of a triangulated joint."""

LEAST_PALM = 4
"""Joints of the palm, of six, that must be triangulated for a hand to start from them."""

FIT_STEPS = 8
"""Levenberg-Marquardt steps of a hand in several views: the start is a spin match of noisy joints."""


@dataclass(frozen=True, eq=False)
class TriangulatedJoints:
    """Joints in the world, from V views; leading dimensions, of frames, are those of what they were made from.

    Attributes:
        joints: (..., J, 3) metres, world; NaN where fewer than two views agree.
        views: (..., J) how many views agree with the joint.
        errors: (..., V, J) pixels between the joint and what each view has, those that do not agree included; NaN where either is missing.
            Where fewer than two views agree, from the point that most of them come near.
        agrees: (..., V, J) which views were used.
    """

    joints: np.ndarray
    views: np.ndarray
    errors: np.ndarray
    agrees: np.ndarray


def triangulate(
    points: np.ndarray,
    weights: np.ndarray,
    cameras: Sequence[PlacedCamera],
    tolerance: float | np.ndarray | None = None,
) -> TriangulatedJoints:
    """Joints in the world from where V cameras see them, robustly: one wrong view among three, or a wrong joint, has no say.

    Args:
        points: (..., V, J, 2) pixels of the pictures as they were taken; NaN where a view has none.
        weights: (..., V, J) how much each counts, as 1 / sigma^2 up to a factor; 0: not at all.
        cameras: V of them.
        tolerance: pixels up to which a view agrees, a number or (..., V); None: `TOLERANCE` of the hand's size in the view.

    Raises:
        ValueError: the shapes do not agree.
    """
    points, weights = np.asarray(points, np.float64), np.asarray(weights, np.float64)
    if points.shape[:-1] != weights.shape or points.ndim < 3 or points.shape[-3] != len(cameras):
        raise ValueError(f"points, weights, cameras: {points.shape}, {weights.shape} and {len(cameras)} do not agree")
    frames = points.shape[:-3]
    count, joints = len(cameras), points.shape[-2]
    flat = points.reshape(-1, count, joints, 2)
    limit = _tolerances(flat) if tolerance is None else np.broadcast_to(tolerance, (*frames, count)).reshape(-1, count)
    problem = _Problem.of(flat, weights.reshape(-1, count, joints), limit, cameras)
    found = problem.refined(problem.chosen())
    trust = problem.trust(found)
    if (trust < 1).any():
        problem = replace(problem, weights=problem.weights * trust[..., None])
        found = problem.refined(problem.chosen())
    errors, agrees = problem.judged(found)
    views = agrees.sum(1)
    found = np.where((views >= 2)[..., None], found, np.nan)
    return TriangulatedJoints(
        found.reshape(*frames, joints, 3),
        views.reshape(*frames, joints),
        errors.reshape(*frames, count, joints),
        agrees.reshape(*frames, count, joints),
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """F frames of J joints in V views, on each camera's plane z = 1, in units in which `limits` are 1."""

    plane: np.ndarray  # (F, V, J, 2) x / z and y / z; 0 where there is none
    weights: np.ndarray  # (F, V, J); 0 where there is none
    limits: np.ndarray  # (F, V) pixels
    focal: np.ndarray  # (V, 2, 2) pixels for each unit of the plane
    rotations: np.ndarray  # (V, 3, 3) world to camera
    shifts: np.ndarray  # (V, 3)

    @staticmethod
    def of(points: np.ndarray, weights: np.ndarray, limits: np.ndarray, cameras: Sequence[PlacedCamera]) -> _Problem:
        plane = np.stack([camera.plane(points[:, view]) for view, camera in enumerate(cameras)], axis=1)
        there = np.isfinite(plane).all(-1) & np.isfinite(weights) & (weights > 0)
        kept = np.where(there, weights, 0.0)
        placed = np.stack([camera.world_to_camera for camera in cameras])
        return _Problem(
            np.where(there[..., None], plane, 0.0),
            kept / np.maximum(kept.max(1, keepdims=True, initial=0.0), 1e-30),
            np.maximum(limits, 1e-9),
            np.stack([camera.camera.K[:2, :2] for camera in cameras]).astype(np.float64),
            placed[:, :3, :3],
            placed[:, :3, 3],
        )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Of views, at most `MOST_PAIRS`, spread over all."""
        every = list(combinations(range(len(self.focal)), 2))
        return every[:: max(1, -(-len(every) // MOST_PAIRS))]

    def chosen(self) -> np.ndarray:
        """(F, J, 3) for each joint the point, of those nearest to the rays of two views, that most views agree with."""
        rays = np.concatenate((self.plane, np.ones_like(self.plane[..., :1])), axis=-1)
        rays = unit(np.einsum("fvjx,vxy->fvjy", rays, self.rotations))  # world
        centres = -np.einsum("vyx,vy->vx", self.rotations, self.shifts)
        across = np.eye(3) - rays[..., :, None] * rays[..., None, :]  # (F, V, J, 3, 3)
        towards = (across @ centres[:, None, :, None])[..., 0]
        best = np.full((*self.plane[:, 0].shape[:-1], 3), np.nan)
        cheapest = np.full(best.shape[:-1], np.inf)
        for a, b in self.pairs:
            slant = lengths(np.cross(rays[:, a], rays[:, b]))[..., 0]
            usable = (slant > SLANT) & (self.weights[:, a] > 0) & (self.weights[:, b] > 0)
            both = np.where(usable[..., None, None], across[:, a] + across[:, b], np.eye(3))
            point = np.linalg.solve(both, (towards[:, a] + towards[:, b])[..., None])[..., 0]
            cost = np.where(usable, self.cost(point), np.inf)
            better = cost < cheapest
            best, cheapest = np.where(better[..., None], point, best), np.where(better, cost, cheapest)
        return best

    def cost(self, points: np.ndarray) -> np.ndarray:
        """(F, J) of points (F, J, 3): squared errors, none larger than a view that does not agree at all."""
        off, front, _ = self.residuals(points)
        share = np.minimum(np.square(off).sum(-1), 1.0)
        return (self.weights * np.where(front, share, 1.0)).sum(1)

    def residuals(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of points (F, J, 3): errors (F, V, J, 2) in units of the limits, which are in front (F, V, J), and places before the cameras."""
        before = np.einsum("fjx,vyx->fvjy", points, self.rotations) + self.shifts[:, None]
        front = before[..., 2] > 1e-6
        depth = np.where(front, before[..., 2], 1.0)
        off = before[..., :2] / depth[..., None] - self.plane
        pixels = np.einsum("fvjx,vyx->fvjy", off, self.focal)
        return pixels / self.limits[..., None, None], front, before

    def refined(self, points: np.ndarray) -> np.ndarray:
        """Points (F, J, 3) nearer to what the views that agree have, all of them at once."""
        points = np.where(np.isfinite(points), points, np.nan)
        with np.errstate(invalid="ignore"):
            for _ in range(STEPS):
                off, front, before = self.residuals(points)
                share = self.weights / np.square(1 + np.square(off).sum(-1)) * front  # (F, V, J)
                depth = np.where(front, before[..., 2], 1.0)[..., None]
                xy = before[..., :2] / depth
                scale = self.focal / self.limits[..., None, None]  # (F, V, 2, 2)
                turned = scale[..., None, :, :] @ (
                    self.rotations[None, :, None, :2] - xy[..., None] * self.rotations[None, :, None, 2:]
                )
                slope = turned / depth[..., None]  # (F, V, J, 2, 3)
                matrix = np.einsum("fvj,fvjax,fvjay->fjxy", share, slope, slope)
                gradient = np.einsum("fvj,fvjax,fvja->fjx", share, slope, off)
                matrix = np.nan_to_num(matrix) + (1e-9 * np.trace(np.nan_to_num(matrix), axis1=-2, axis2=-1) + 1e-12)[
                    ..., None, None
                ] * np.eye(3)
                moved = points - np.linalg.solve(matrix, gradient[..., None])[..., 0]
                points = np.where((self.cost(moved) <= self.cost(points) + 1e-9)[..., None], moved, points)
        return points

    def judged(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Errors (F, V, J) in pixels, NaN where there are none, and which views agree."""
        with np.errstate(invalid="ignore"):
            off, front, _ = self.residuals(points)
            size = np.linalg.norm(off, axis=-1)
            there = (self.weights > 0) & np.isfinite(points).all(-1)[:, None]
            agrees = there & front & (size <= 1)
        return np.where(there & front, size * self.limits[..., None], np.nan), agrees

    def trust(self, points: np.ndarray) -> np.ndarray:
        """(F, V) 1 for views that agree about most joints, less for others; a view is never left out for that alone."""
        _, agrees = self.judged(points)
        there = (self.weights > 0).sum(2)
        share = agrees.sum(2) / np.maximum(there, 1)
        return np.where((share < 0.5) & (there > 0), 0.1, 1.0)


def _tolerances(points: np.ndarray) -> np.ndarray:
    """(F, V) pixels: `TOLERANCE` of the longer side of the box around joints (F, V, J, 2) that are there."""
    there = np.isfinite(points).all(-1, keepdims=True)
    high = np.where(there, points, -np.inf).max(-2)
    low = np.where(there, points, np.inf).min(-2)
    sides = np.where(np.isfinite(high) & np.isfinite(low), high - np.where(np.isfinite(low), low, 0.0), 0.0)
    return TOLERANCE * np.maximum(sides.max(-1), 10.0)


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """What an estimator knows of B right hands from one camera, as NumPy arrays.

    Attributes:
        evidence: `joints_2d` and `sigma_2d`, and perhaps `depth`, `orientation`, `rotations` and `shape`, in crops.
        K: (B, 3, 3) cameras of the crops, which may be turned.
        size: side of the crops, pixels.
        world_to_camera: (4, 4), metres.
        seen: (B,) or (B, 21) what of it counts; the rest may be anything, NaN too.
    """

    evidence: Evidence[np.ndarray]
    K: np.ndarray
    size: int
    world_to_camera: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True, eq=False)
class ViewsFit:
    """B hands posed in the world.

    Attributes:
        pose: metres, world; the forearm straight, or as the surest view has it.
        joints: (B, 21, 3).
        sigma: (B, 21) metres, expected error of each joint, as the measurements' own errors and the priors let expect: root mean
            square over all directions.
        cost: (B,) of all terms, in units of sigma.
    """

    pose: HandPose[np.ndarray]
    joints: np.ndarray
    sigma: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class _Moved:
    """A term of a picture, for hands in the world."""

    term: PictureTerm[np.ndarray]
    rotation: np.ndarray  # (B, 3, 3) world to the upright camera of the crop
    shift: np.ndarray  # (B, 3)

    def add_to(self, normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> None:
        """See `fit.solver.Term`."""
        joints = hands.joints @ self.rotation.swapaxes(-1, -2) + self.shift[:, None]
        self.term.add_to(normal, PosedHands(hands.state, joints, self.rotation[:, None] @ hands.derivatives))


def fit_views(
    model: HandModel | PlainHand,
    views: Sequence[ViewEvidence],
    start: np.ndarray | None = None,
    shape: np.ndarray | None = None,
    hand_length: float | np.ndarray | None = None,
    config: FitConfig | None = None,
) -> ViewsFit:
    """Pose the hand model so that it agrees with the evidence of all views at once.

    Args:
        model: `HandModel` or `PlainHand`.
        views: what each knows; at least one counts in each hand.
        start: (B, 21, 3) joints in the world, as `triangulate` gives them, NaN where there are none. Hands without enough of them start
            from the surest view, as a hand in one picture does, which needs its orientation.
        shape: (10,) or (B, 10), where known.
        hand_length: metres from the wrist joint to the tip of the straight middle finger, where known (a number or (B,)).
        config: as for `fit.joints.fit_evidence`; `FIT_STEPS` steps where None.

    Raises:
        ValueError: a hand has neither a start nor a view with an orientation.
    """
    config = FitConfig(steps=FIT_STEPS) if config is None else config
    chain: Any = numpy_chain_of(model, np.float64)  # what is written for tensors serves arrays
    with np.errstate(all="ignore"):
        parts = [_OneView.of(chain, view, config) for view in views]
        counted = np.maximum(np.stack([part.weight > 0 for part in parts]).sum(0), 1)  # (B,)
        for part in parts:  # depths are guessed alike in all views: together they count as one
            part.picture.scale[..., 2] /= np.sqrt(counted)[:, None]
        known: Any = views[0].evidence if shape is None else replace(views[0].evidence, shape=shape)
        mean: Any = _mean_inner(parts)
        if shape is not None:
            mean[:, 20:], config = shape, replace(config, shape_sigma=KNOWN_SHAPE_SIGMA)
        terms: list[Any] = [part.term for part in parts]
        orientation = _mean_orientation(parts)
        if orientation is not None:
            terms.append(OrientationPrior(orientation, config.turn_sigma**-2))
        terms += inner_terms(chain, mean, known, config)
        if hand_length is not None:
            length = np.broadcast_to(np.asarray(hand_length, np.float64), (len(mean),))
            terms.append(LengthTerm(chain, length, config.length_sigma**-2))
        state, cost = minimise(chain, terms, _start(chain, parts, start, mean), config.steps)
        hands = pose_hands(chain, state)
        sigma = _expected_errors(normal_equations(chain, terms, state), hands)
    forearm: Any = None if views[0].evidence.rotations is None else _forearm(views, parts)
    return ViewsFit(pose_of_state(chain, state, forearm), hands.joints, sigma, cost[:, 0])


@dataclass(frozen=True, eq=False)
class _OneView:
    """What a view says of B hands, in the world."""

    term: _Moved
    picture: PictureTerm[np.ndarray]
    inner: np.ndarray  # (B, 30)
    weight: np.ndarray  # (B,) 1 / sigma^2 of its joints, crop units; 0 where it does not count
    orientation: np.ndarray | None  # (B, 3, 3) hand to the upright camera
    rotation: np.ndarray  # (B, 3, 3) world to the upright camera
    shift: np.ndarray  # (B, 3)

    @staticmethod
    def of(chain: Any, view: ViewEvidence, config: FitConfig) -> _OneView:
        evidence: Any = view.evidence.map(lambda values: np.asarray(values, np.float64))
        batch = len(evidence.joints_2d)
        crop: Any = upright_crop(np.asarray(view.K, np.float64), view.size)
        seen = np.broadcast_to(view.seen.reshape(batch, -1), (batch, 21)).astype(bool)
        seen = seen & np.isfinite(evidence.joints_2d).all(-1)
        picture: Any = picture_term(evidence, crop, config)
        scale = np.where(seen[..., None], picture.scale, 0.0)
        scale[..., 2] *= seen[:, DEPTH_ROOT, None]  # depths are relative to it
        picture = PictureTerm(np.where(scale > 0, picture.measured, 0.0), scale, picture.huber)
        sigma = np.full((batch, 21), config.floor_2d) if evidence.sigma_2d is None else evidence.sigma_2d
        spread = np.where(seen, np.square(np.maximum(sigma, config.floor_2d)), 0.0).sum(1) / np.maximum(seen.sum(1), 1)
        weight = np.where(seen.any(1), 1 / np.maximum(spread, 1e-12), 0.0)
        rotation = crop.turn @ view.world_to_camera[:3, :3]
        shift = crop.turn @ view.world_to_camera[:3, 3]
        orientation: Any = None
        if evidence.orientation is not None:
            orientation = seen_orientation(evidence.orientation, crop)
        inner: Any = inner_mean(chain, evidence, batch)
        return _OneView(_Moved(picture, rotation, shift), picture, inner, weight, orientation, rotation, shift)

    def start(self, chain: Any) -> State[np.ndarray]:
        """As a hand in this picture alone starts, in the world."""
        if self.orientation is None:
            raise ValueError("views: a hand that fewer than two views see needs an orientation to start from")
        term: Any = self.picture
        orientation: Any = self.orientation
        inner: Any = self.inner
        state: Any = start_from_picture(chain, term, orientation, inner)
        back = self.rotation.swapaxes(-1, -2)
        place = (back @ (state.translation - self.shift)[..., None])[..., 0]
        return State(back @ state.orientation, place, state.inner)


def _mean_inner(parts: Sequence[_OneView]) -> np.ndarray:
    """(B, 30) angles and shape, of all views by how sure they are."""
    share, mean = _shares(parts), np.zeros_like(parts[0].inner)
    for part, own in zip(parts, share, strict=True):
        mean += np.where((own > 0)[:, None], own[:, None] * part.inner, 0.0)
    return mean


def _mean_orientation(parts: Sequence[_OneView]) -> np.ndarray | None:
    """(B, 3, 3) of the palm in the world, the chordal mean of all views; None if there are none."""
    if any(part.orientation is None for part in parts):
        return None
    share = _shares(parts)
    total = np.zeros_like(parts[0].rotation)
    for part, own in zip(parts, share, strict=True):
        assert part.orientation is not None
        total += np.where(
            (own > 0)[:, None, None], own[:, None, None] * part.rotation.swapaxes(-1, -2) @ part.orientation, 0.0
        )
    return _nearest_rotation(total)


def _shares(parts: Sequence[_OneView]) -> np.ndarray:
    """(V, B) weights of the views, which sum to 1."""
    weight = np.stack([part.weight for part in parts])
    return weight / np.maximum(weight.sum(0), 1e-30)


def _forearm(views: Sequence[ViewEvidence], parts: Sequence[_OneView]) -> np.ndarray:
    """(B, 3, 3) as the surest view has it."""
    best = np.stack([part.weight for part in parts]).argmax(0)
    every = np.stack([view.evidence.rotations[:, 0] for view in views if view.evidence.rotations is not None])
    forearm: np.ndarray = every[best, np.arange(len(best))].astype(np.float64)
    return forearm


def _start(
    chain: Chain[np.ndarray], parts: Sequence[_OneView], joints: np.ndarray | None, mean: np.ndarray
) -> State[np.ndarray]:
    """From joints in the world where enough are known, else from the surest view."""
    batch = len(mean)
    joints = np.full((batch, 21, 3), np.nan) if joints is None else np.asarray(joints, np.float64)
    known = np.isfinite(joints).all(-1)
    enough = known[:, PALM].sum(1) >= LEAST_PALM
    if enough.all():
        return _start_from_joints(chain, joints, known, mean)
    best = np.stack([part.weight for part in parts]).argmax(0)
    state = parts[0].start(chain)
    for k, part in enumerate(parts[1:], 1):
        state = part.start(chain).where((best == k)[:, None], state)
    if not enough.any():
        return state
    return _start_from_joints(chain, np.where(enough[:, None, None], joints, 0.0), known, mean).where(
        enough[:, None], state
    )


def _start_from_joints(
    chain: Chain[np.ndarray], joints: np.ndarray, known: np.ndarray, mean: np.ndarray
) -> State[np.ndarray]:
    """The palm laid onto its joints; fingers that are known whole by a spin match, others as the views have them."""
    palm = list(PALM)
    angles, shape = mean[:, :20], mean[:, 20:]
    own = joints_and_derivatives(chain, angles, shape)[0].reshape(-1, 20, 3)
    own = np.concatenate((np.zeros_like(own[:, :1]), own), axis=1)[:, palm]
    share = known[:, palm, None].astype(np.float64)
    share /= np.maximum(share.sum(1, keepdims=True), 1e-9)
    there = np.where(known[:, palm, None], joints[:, palm], 0.0)
    middle, target = (share * own).sum(1), (share * there).sum(1)
    product = (share * (there - target[:, None])).swapaxes(-1, -2) @ (own - middle[:, None])
    turn = _nearest_rotation(product)
    place = target - (turn @ middle[..., None])[..., 0]
    local = np.where(known[..., None], joints - place[:, None], 0.0) @ turn
    whole = np.asarray(known[:, np.array(FINGERS)].all(axis=2))  # (B, 5)
    resting = joints_and_derivatives(chain, relaxed_angles(chain, len(mean)), shape)[0]
    fingers = np.where(whole[..., None, None], local[:, FINGERS], resting)
    matched = spin_match(chain, fingers).reshape(-1, 5, 4)
    bent = np.where(whole[..., None], matched, angles.reshape(-1, 5, 4)).reshape(-1, 20)
    return State(turn, place, np.concatenate((bent, shape), axis=1))


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Rotations (B, 3, 3) nearest to matrices (B, 3, 3), never a mirroring."""
    matrix = np.where(np.isfinite(matrix), matrix, 0.0)
    u, _, v = np.linalg.svd(matrix)
    sign = np.ones_like(matrix[:, 0])
    sign[:, 2] = np.sign(np.linalg.det(u @ v))
    rotation: np.ndarray = (u * sign[:, None]) @ v
    return rotation


def _expected_errors(normal: NormalEquations[np.ndarray], hands: PosedHands[np.ndarray]) -> np.ndarray:
    """(B, 21) metres: the covariance of the unknowns is the inverse of the normal matrix."""
    matrix = normal.matrix + 1e-9 * np.eye(normal.matrix.shape[-1])
    covariance = np.linalg.inv(matrix)[:, None]
    by = hands.derivatives
    variance = ((by @ covariance) * by).sum((-2, -1)) / 3
    return np.sqrt(np.maximum(variance, 0.0))
