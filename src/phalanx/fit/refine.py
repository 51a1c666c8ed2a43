"""Hands refined on what pictures show: joints, masks, depth maps, several views, 3D joints from elsewhere. NumPy, many hands at once.

    refined = refine_hands(PlainHand.open_hand(), pose, [HandView(K, joints_2d=joints, mask=mask)])
    refined.pose, refined.joint_sigma

Every kind of evidence is a term of the one solver (`fit.solver`), beside priors: the pose that was given, the limits of joints, shape, and
that fingers do not run through each other. (`fit.refinement` is another thing: Baek et al.'s descent by gradients.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.errors import InputError
from phalanx.fit.chain import Chain, numpy_chain_of, rotations_to_hinges
from phalanx.fit.crop import without_turn
from phalanx.fit.evidence import Evidence
from phalanx.fit.image_terms import PixelsTerm, depth_term, mask_term
from phalanx.fit.joints import LARGEST_SHAPE, FitConfig, before_crop, pose_of_state, terms_and_start
from phalanx.fit.solver import Term, minimise, normal_equations
from phalanx.fit.spheres import CollisionTerm
from phalanx.fit.state import State, pose_hands
from phalanx.fit.terms import InnerPrior, JointsTerm, OrientationPrior, PictureTerm, SoftLimits
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

FAR = 0.75
"""Share of the hand's extent in the picture by which most joints must not lie off a mask of the same hand."""


@dataclass(frozen=True)
class HandView:
    """What one camera shows of B right hands; what there is not is None."""

    K: np.ndarray
    """(B, 3, 3) or (3, 3), of the picture that the rest is measured in."""
    joints_2d: np.ndarray | None = None
    """(B, 21, 2) pixels; NaN where a joint is missing."""
    sigma_2d: np.ndarray | float = 2.0
    """(B, 21) or a number: expected errors of the joints, pixels."""
    mask: np.ndarray | None = None
    """(B, H, W) in [0, 1] or bool, of what is seen of the hand."""
    sigma_mask: float = 2.0
    """Expected error of the mask's edge, pixels."""
    depth: np.ndarray | None = None
    """(B, H, W) metres, 0 = no reading. Beside a mask only what lies in it counts."""
    sigma_depth: float = 0.004
    """Expected error of the readings, metres."""
    from_first: np.ndarray | None = None
    """(B, 4, 4) or (4, 4), from the frame of the pose to this camera's; None: they are the same."""


@dataclass(frozen=True)
class RefineConfig:
    """How refinement weighs what is not measured, and how long it goes on."""

    steps: int = 8
    """Levenberg-Marquardt steps."""
    angle_sigma: float = 0.3
    """How far angles may be from those given, radians."""
    turn_sigma: float = 0.35
    """The same of the palm's orientation, radians."""
    shape_sigma: float = 0.8
    """The same of the shape, standard deviations."""
    limit_sigma: float = 0.05
    """Softness of the joint limits, radians."""
    collision_sigma: float = 0.004
    """How deep fingers may run into each other, metres, beyond the 4 mm that flesh gives way."""


@dataclass(frozen=True)
class RefinedHands:
    """B hands as refined."""

    pose: HandPose[np.ndarray]
    """In the frame of the pose that was given."""
    cost_before: np.ndarray
    """(B,) of the evidence alone: sum of squared residuals in units of their sigmas, with Huber's bound, of the hands as given."""
    cost: np.ndarray
    """(B,) of the hands as refined; never larger."""
    joint_sigma: np.ndarray
    """(B, 21) metres: how far off each joint may be in space (root of its covariance's trace), by the normal equations."""
    faults: tuple[str | None, ...]
    """Of each hand: None, or a sentence why it was left as given."""


def refine_hands(
    model: HandModel | PlainHand,
    start: HandPose[np.ndarray],
    views: Sequence[HandView] = (),
    joints: np.ndarray | None = None,
    sigma_joints: np.ndarray | float = 0.005,
    config: RefineConfig | None = None,
) -> RefinedHands:
    """Move hands so that they agree better with their evidence, and never worse than they did.

    Args:
        model: the hand.
        start: B hands, as an estimator found them.
        views: what cameras show of them, each by itself; joints, mask and depth in any combination.
        joints: (B, 21, 3) metres, frame of `start`, known from elsewhere; NaN where one is missing.
        sigma_joints: (B, 21) or a number: their expected errors, metres.
        config: weights of the priors, and steps.

    Returns:
        The hands. One whose evidence contradicts itself stays as given, and `faults` says why; the others are refined.

    Raises:
        InputError: arrays do not fit each other, there is no evidence at all, or the evidence of every hand is at fault.
    """
    config = config or RefineConfig()
    chain = numpy_chain_of(model)
    dtype = chain.bones.dtype
    state = _state(chain, start)
    batch = len(state.inner)
    views = [_checked(view, batch, number, dtype) for number, view in enumerate(views)]
    if joints is not None:
        joints = _array("joints", joints, (batch, 21, 3), dtype)
    if joints is None and all(view.joints_2d is None and view.mask is None and view.depth is None for view in views):
        raise InputError("evidence: there is none; give joints, or a view with joints_2d, a mask or depth")
    posed = pose_hands(chain, state).joints
    faults = [_fault(views, joints, posed, row) for row in range(batch)]
    if batch and all(faults):
        raise InputError(str(faults[0]))
    measured = _measured(views, joints, sigma_joints, np.array([fault is None for fault in faults]), dtype)
    priors = _priors(chain, state, config)
    return _refined(chain, start, state, measured, priors, config.steps, tuple(faults))


def refine_evidence(
    model: HandModel | PlainHand,
    evidence: Evidence[np.ndarray],
    K: np.ndarray,
    size: int,
    hand_length: np.ndarray | float | None = None,
    masks: np.ndarray | None = None,
    sigma_mask: float = 3.0,
    depth: np.ndarray | None = None,
    sigma_depth: float = 0.004,
    farthest: float = 0.03,
    config: FitConfig | None = None,
    steps: int = 6,
) -> HandPose[np.ndarray]:
    """`fit.joints.fit_evidence`, refined on masks and depth maps of the same crops: the estimator's own joints, depths and priors count on.

    A hand that would agree worse with joints, mask and depth together stays as `fit_evidence` has it.

    Args:
        model, evidence, K, size, hand_length, config: as for `fit_evidence`, NumPy arrays.
        masks: (B, h, w) in [0, 1], over the whole crop, of any size; None: those of the evidence, if it has any.
        sigma_mask: expected error of their edges, pixels of the crop.
        depth: (B, size, size) metres, aligned to the crop, 0 = no reading; None: there is none.
        sigma_depth: expected error of its readings, metres.
        farthest: readings that are farther from the hand as fitted are of something else, metres; more where all of them are of the hand.
        steps: after those of the fit itself.

    Raises:
        InputError: masks or depth maps are not of so many hands, or depth maps not of the crop's size.
    """
    chain = numpy_chain_of(model)
    dtype = chain.bones.dtype
    config = config or FitConfig()
    known = evidence.map(lambda values: values.astype(dtype, copy=False))
    masks = known.mask if masks is None else masks
    K = K.astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        terms, start, crop = terms_and_start(chain, known, K, size, hand_length, config)
        state, _ = minimise(chain, terms, start, config.steps)
        assert crop is not None
        upright = without_turn(K)[0]
        measured: list[Term[np.ndarray]] = []
        if masks is not None:
            masks = _array("masks", masks, (len(K), *masks.shape[1:3]), dtype)
            zoom = np.array([masks.shape[2] / size, masks.shape[1] / size], dtype)
            to_mask = np.diag(np.array([*zoom, 1.0], dtype))
            to_mask[:2, 2] = (zoom - 1) / 2
            flat = np.concatenate((to_mask @ upright, np.zeros((len(K), 3, 1), dtype)), -1)
            measured.append(mask_term(masks, flat, sigma_mask * float(np.sqrt(zoom.prod()))))
        if depth is not None:
            depth = _array("depth", depth, (len(K), size, size), dtype)
            identity = np.broadcast_to(np.eye(4, dtype=dtype), (len(K), 4, 4))
            measured.append(
                depth_term(
                    depth,
                    masks if masks is not None and masks.shape == depth.shape else None,
                    upright,
                    identity,
                    sigma_depth,
                    farthest,
                )
            )
        if masks is not None or depth is not None:
            known_before = [term for term in terms if isinstance(term, PictureTerm)]
            found, _ = minimise(chain, [*terms, *measured, CollisionTerm(0.004**-2)], state, steps)
            state = _no_worse(chain, [*known_before, *measured], found, state)[0]
        return pose_of_state(
            chain, before_crop(crop, state), None if known.rotations is None else known.rotations[:, 0]
        )


def _state(chain: Chain[np.ndarray], pose: HandPose[np.ndarray]) -> State[np.ndarray]:
    dtype = chain.bones.dtype
    angles = rotations_to_hinges(chain, np.asarray(pose.rotations, dtype)[:, 1:])
    inner = np.concatenate((angles, np.asarray(pose.shape, dtype)), 1)
    return State(np.asarray(pose.orientation, dtype), np.asarray(pose.translation, dtype), inner)


def _array(name: str, values: object, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != shape or found.dtype.kind not in "fiub":
        raise InputError(f"{name}: must be numbers of shape {shape}, not {found.dtype} of shape {found.shape}")
    return found.astype(dtype, copy=False)


def _checked(view: HandView, batch: int, number: int, dtype: np.dtype) -> HandView:
    """A view as arrays of B hands; InputError where they do not fit."""
    name = f"view {number}"

    def many(part: str, values: np.ndarray, side: int) -> np.ndarray:
        values = np.asarray(values)
        whole = np.broadcast_to(values, (batch, side, side)) if values.shape == (side, side) else values
        return _array(f"{name}, {part}", whole, (batch, side, side), dtype)

    K = many("K", view.K, 3)
    if not (np.isfinite(K).all() and (np.abs(np.linalg.det(K)) > 0).all() and np.allclose(K[:, 2], [0, 0, 1])):
        raise InputError(f"{name}, K: must be camera matrices, with focal lengths above 0 and the last row 0, 0, 1")
    maps = {"mask": view.mask, "depth": view.depth}
    for part, values in maps.items():
        if values is not None and (np.ndim(values) != 3 or len(values) != batch or min(np.shape(values)[1:]) < 2):
            raise InputError(f"{name}, {part}: must be of shape ({batch}, H, W), not {np.shape(values)}")
    if view.mask is not None and view.depth is not None and np.shape(view.mask) != np.shape(view.depth):
        raise InputError(f"{name}: mask and depth are of two sizes, {np.shape(view.mask)} and {np.shape(view.depth)}")
    for part, sigma in (("sigma_mask", view.sigma_mask), ("sigma_depth", view.sigma_depth)):
        if not sigma > 0:
            raise InputError(f"{name}, {part}: must be above 0, not {sigma}")
    if not np.all(np.asarray(view.sigma_2d) > 0):
        raise InputError(f"{name}, sigma_2d: must be above 0")
    return replace(
        view,
        K=K,
        joints_2d=None
        if view.joints_2d is None
        else _array(f"{name}, joints_2d", view.joints_2d, (batch, 21, 2), dtype),
        sigma_2d=np.broadcast_to(np.asarray(view.sigma_2d, dtype), (batch, 21)),
        mask=None if view.mask is None else np.nan_to_num(np.asarray(view.mask, np.float32)),
        depth=None if view.depth is None else np.asarray(view.depth, dtype),
        from_first=many("from_first", np.eye(4) if view.from_first is None else view.from_first, 4),
    )


def _fault(views: Sequence[HandView], joints: np.ndarray | None, posed: np.ndarray, row: int) -> str | None:
    """Why the evidence of one hand cannot be that of one hand; None where it can."""
    there = joints is not None and bool(np.isfinite(joints[row]).all(-1).any())
    for number, view in enumerate(views):
        name = f"view {number} of hand {row}"
        given = np.zeros((0, 2)) if view.joints_2d is None else view.joints_2d[row]
        given = given[np.isfinite(given).all(-1)]
        there = there or len(given) > 0
        shown = view.mask if view.mask is not None else view.depth
        if shown is None:
            continue
        inside = shown[row] > (0.5 if view.mask is not None else 0)
        if not inside.any():
            return f"{name}: the {'mask' if view.mask is not None else 'depth map'} is empty"
        there = True
        height, width = inside.shape
        seen = posed[row] @ view.from_first[row, :3, :3].T + view.from_first[row, :3, 3]  # type: ignore[index]
        seen = seen @ view.K[row].T
        pixels = seen[:, :2] / np.maximum(seen[:, 2:], 1e-6)
        within = ((pixels > -0.5) & (pixels < [width - 0.5, height - 0.5])).all(-1)
        if not within.any():
            return f"{name}: K puts the hand wholly outside of the picture of {width}x{height} pixels; is K of a picture of another size?"
        if view.mask is None:
            continue
        checked = given if len(given) else pixels
        y, x = np.nonzero(inside)
        extent = max(np.ptp(checked, axis=0).max(), 1.0)
        low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
        off = np.linalg.norm(checked - np.clip(checked, low, high), axis=-1)
        if (np.mean(off > 0) > 0.5 and np.median(off) > 0.25 * extent) or off.min() > FAR * extent:
            return f"{name}: the mask does not show the hand that the joints show; most of them lie off it"
    if not there:
        return f"hand {row}: all its joints are missing, and there is neither mask nor depth"
    if joints is not None and not views and not np.isfinite(joints[row]).all(-1).any():
        return f"hand {row}: all its joints are missing"
    return None


def _measured(
    views: Sequence[HandView],
    joints: np.ndarray | None,
    sigma_joints: np.ndarray | float,
    sound: np.ndarray,
    dtype: np.dtype,
) -> list[Term[np.ndarray]]:
    """The terms of the evidence of hands, those that are not `sound` (B,) having none."""
    terms: list[Term[np.ndarray]] = []
    if joints is not None:
        there = np.isfinite(joints).all(-1) & sound[:, None]
        sigma = np.where(there, np.broadcast_to(np.asarray(sigma_joints, dtype), there.shape), np.inf)
        terms.append(JointsTerm(np.nan_to_num(joints), sigma.astype(dtype), 3.0))
    for view in views:
        assert view.from_first is not None
        projection = view.K @ view.from_first[:, :3]
        if view.joints_2d is not None:
            there = np.isfinite(view.joints_2d).all(-1) & sound[:, None]
            scale = (there / view.sigma_2d).astype(dtype)
            terms.append(PixelsTerm(np.nan_to_num(view.joints_2d), scale, projection))
        if view.mask is not None:
            terms.append(mask_term(view.mask, projection, view.sigma_mask, known=sound))
        if view.depth is not None:
            depth = np.where(sound[:, None, None], view.depth, 0)
            back = np.linalg.inv(view.from_first)
            terms.append(depth_term(depth, view.mask, view.K, back, view.sigma_depth))
    return terms


def _priors(chain: Chain[np.ndarray], state: State[np.ndarray], config: RefineConfig) -> list[Term[np.ndarray]]:
    weight = np.full(30, config.angle_sigma**-2, chain.bones.dtype)
    weight[20:] = config.shape_sigma**-2
    low, high = chain.limits[:, 0], chain.limits[:, 1]
    widest = np.full(10, LARGEST_SHAPE, low.dtype)
    stiff = np.full(30, config.limit_sigma**-2, low.dtype)
    return [
        InnerPrior(state.inner, weight),
        OrientationPrior(state.orientation, config.turn_sigma**-2),
        SoftLimits(np.concatenate((low, -widest)), np.concatenate((high, widest)), stiff),
        CollisionTerm(config.collision_sigma**-2),
    ]


def _refined(
    chain: Chain[np.ndarray],
    start: HandPose[np.ndarray],
    given: State[np.ndarray],
    measured: Sequence[Term[np.ndarray]],
    priors: Sequence[Term[np.ndarray]],
    steps: int,
    faults: tuple[str | None, ...],
) -> RefinedHands:
    """Down the sum of all terms; a hand whose priors are happier but whose evidence is not stays as given."""
    with np.errstate(all="ignore"):
        found, _ = minimise(chain, [*measured, *priors], given, steps)
    found, before, after = _no_worse(chain, measured, found, given)
    better = after < before
    cost = np.where(better, after, before)
    forearm = np.asarray(start.rotations)[:, 0].astype(given.inner.dtype)
    pose = pose_of_state(chain, found, forearm)
    kept = ~better[:, 0]
    rotations = np.where(
        kept[:, None, None, None], start.rotations, pose.rotations
    )  # rotations of more freedom than hinges have, too
    pose = HandPose(rotations, pose.shape, pose.orientation, pose.translation)
    return RefinedHands(pose, before[:, 0], cost[:, 0], _joint_sigma(chain, [*measured, *priors], found), faults)


def _no_worse(
    chain: Chain[np.ndarray], measured: Sequence[Term[np.ndarray]], found: State[np.ndarray], given: State[np.ndarray]
) -> tuple[State[np.ndarray], np.ndarray, np.ndarray]:
    """The hands of `found` that agree better with what was `measured` than those of `given`, which else stay; costs (B, 1) of both."""
    with np.errstate(all="ignore"):
        before, after = (normal_equations(chain, measured, state).cost for state in (given, found))
    return found.where(after < before, given), before, after


def _joint_sigma(chain: Chain[np.ndarray], terms: Sequence[Term[np.ndarray]], state: State[np.ndarray]) -> np.ndarray:
    """Uncertainty (B, 21) of joints, metres: the inverse of the normal matrix (Gauss-Newton), carried over to the joints."""
    matrix = normal_equations(chain, terms, state).matrix.astype(np.float64)
    ridge = 1e-9 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(matrix.shape[1])
    rows = pose_hands(chain, state).derivatives.astype(np.float64)
    spread = np.linalg.solve(matrix + ridge, rows.reshape(len(rows), -1, rows.shape[-1]).swapaxes(1, 2))
    spread = spread.swapaxes(1, 2).reshape(rows.shape)
    sigma: np.ndarray = np.sqrt(np.maximum((rows * spread).sum((2, 3)), 0))
    return sigma
