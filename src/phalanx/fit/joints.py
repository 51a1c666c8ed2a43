"""From evidence to a posed hand: what there is of it becomes a list of terms, and one solver descends their sum.

A fit starts from 3D joints where there are any (palm first, then spin match), else from the picture: the estimator's own rotations, at
the distance at which the hand spreads as much as what was measured. `solve_evidence` and `fit_evidence` serve NumPy and PyTorch,
but for the start from 3D joints, which needs PyTorch; `fit_joints` takes and gives tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.arrays import Array, like, namespace, zeros
from phalanx.core.records import join_fields
from phalanx.fit.chain import (
    Chain,
    chain_of,
    joints_and_derivatives,
    local_rotations,
    numpy_chain_of,
    relaxed_angles,
    rotations_to_hinges,
)
from phalanx.fit.crop import UprightCrop, upright_crop
from phalanx.fit.evidence import Evidence
from phalanx.fit.missing import fill_joints
from phalanx.fit.solver import Term, minimise
from phalanx.fit.spin_match import spin_match
from phalanx.fit.state import State
from phalanx.fit.terms import InnerPrior, JointsTerm, LengthTerm, OrientationPrior, PictureTerm, SoftLimits
from phalanx.geometry.alignment import rigid_alignment
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.hand.skeleton import FINGERS, PALM

if TYPE_CHECKING:
    from torch import Tensor

    from phalanx.hand.model import HandModel

RELAXED, ANGLE_SIGMA = 0.35, 4.5
"""Prior of the flexion of fingers where the evidence has no rotations, radians: mean and a wide sigma."""

SHAPE_SIGMA = 1.0
"""Prior of the shape where the evidence has none, standard deviations: the model's own spread."""

KNOWN_SHAPE_SIGMA = 0.01
"""Trust in a shape that is given, standard deviations."""

BATCH = 512
"""Hands fitted to joints at a time: more only need more memory."""

LARGEST_SHAPE = 4.0
"""Soft limit of the shape components, standard deviations."""


@dataclass(frozen=True)
class FitConfig:
    """How the measurements and the priors weigh against each other."""

    steps: int = 4
    """Levenberg-Marquardt steps."""
    huber: float = 3.0
    """Joints in the picture that are farther off than this many sigma pull no harder."""
    floor_2d: float = 0.006
    """Least sigma of a 2D joint, crop units."""
    floor_depth: float = 0.012
    """Least sigma of a depth, crop units."""
    floor_joints: float = 0.002
    """Least sigma of a 3D joint, metres."""
    huber_joints: float | None = None
    """3D joints that are farther off than this many sigma pull no harder; None: they do."""
    angle_sigma: float = 0.3
    """Trust in the estimator's angles, radians."""
    turn_sigma: float = 0.35
    """Trust in the estimator's orientation, radians."""
    shape_sigma: float = 0.8
    """Trust in the estimator's shape, standard deviations."""
    limit_sigma: float = 0.05
    """Softness of the joint limits, radians."""
    length_sigma: float = 0.0005
    """Trust in a given hand length, metres."""


def fit_evidence(
    model: HandModel | PlainHand,
    evidence: Evidence,
    K: Any = None,
    size: int | None = None,
    hand_length: Any = None,
    config: FitConfig | None = None,
) -> HandPose:
    """Pose the hand model so that it agrees with an estimator's evidence. Tensors in, tensors out; NumPy arrays in, NumPy arrays out.

    Args:
        model: the hand that the estimator was trained on.
        evidence: what it knows about B hands: `joints`, or `joints_2d` and `orientation`, and what else there is.
        K: (B, 3, 3) cameras of the crops, which may be turned: of pixels `K_upright @ R`, R a rotation about the optical axis. None
            where nothing was measured in a crop.
        size: side of the crops in pixels, to which K belongs.
        hand_length: metres from the wrist joint to the tip of the straight middle finger, if known (a number or (B,));
            else the hand's size comes from the evidence and the model's prior.
        config: weights and number of steps.

    Returns:
        pose in the camera frame of K (without: in the frame of the joints); its first rotation (the forearm) is the estimator's, or none.

    Raises:
        ValueError: the evidence is not enough to start from, or needs K and size.
    """
    first = next((value for value in vars(evidence).values() if value is not None), None)
    if isinstance(model, PlainHand) or isinstance(first, np.ndarray):
        return _fit_with_numpy(model, evidence, K, size, hand_length, config)
    import torch

    if evidence.joints is None and model.rest_joints.device.type == "cpu":

        def plain(values: Any) -> Any:
            return values.detach().numpy() if isinstance(values, torch.Tensor) else values

        found = _fit_with_numpy(model, evidence.map(plain), plain(K), size, plain(hand_length), config)
        return found.map(lambda values: torch.from_numpy(np.ascontiguousarray(values)))
    with torch.inference_mode():  # a fifth quicker than no_grad at batch 1
        chain = chain_of(model)
        state = solve_evidence(chain, evidence, K, size, hand_length, config)
        pose = pose_of_state(chain, state, None if evidence.rotations is None else evidence.rotations[:, 0])
    return usable(pose)


def _fit_with_numpy(
    model: HandModel | PlainHand,
    evidence: Evidence,
    K: np.ndarray | None,
    size: int | None,
    hand_length: float | np.ndarray | None,
    config: FitConfig | None,
) -> HandPose[np.ndarray]:
    """`fit_evidence` of arrays: for few hands NumPy takes two thirds of PyTorch's time, all of it overhead."""
    chain = numpy_chain_of(model)
    known = evidence.map(lambda values: values.astype(chain.bones.dtype, copy=False))
    camera: Any = None if K is None else K.astype(chain.bones.dtype, copy=False)
    with np.errstate(all="ignore"):  # as PyTorch: a hand whose evidence is no number gets a pose that is none
        state = solve_evidence(chain, known, camera, size, hand_length, config)
        return pose_of_state(chain, state, None if known.rotations is None else known.rotations[:, 0])


def fit_joints(
    model: HandModel, joints: Tensor, shape: Tensor | None = None, steps: int = 6, sigma: float | Tensor = 0.002
) -> HandPose:
    """Pose the hand model on known joints: spin match, then least squares within the joint limits.

    Args:
        model: the hand.
        joints: (B, 21, 3) metres of a right hand, any frame. Those that are NaN are left out.
        shape: (10,) or (B, 10), where known; else each hand finds its own.
        steps: Levenberg-Marquardt steps.
        sigma: how far joints may be off, metres (a number or (B, 21)), against which the priors weigh (shape: standard normal;
            angles: weak). An infinite one leaves a joint out.

    Returns:
        pose in the frame of `joints`; no angle beyond its limits. The forearm is straight, because joints say nothing of it.
    """
    import torch

    chain = chain_of(model)
    with torch.inference_mode():
        state = solve_joints(chain, known_joints(chain, joints, sigma, shape), steps)
        pose = pose_of_state(chain, state)
    return usable(pose)


def known_joints(
    chain: Chain[Array], joints: Array, sigma: float | Array = 0.002, shape: Array | None = None
) -> Evidence[Array]:
    """Known joints, as `fit_joints` takes them, as evidence: what is missing is filled in and has an infinite sigma."""
    xp, count = namespace(chain.bones), len(joints)
    joints = like(joints, chain.bones)
    spread = xp.broadcast_to(like(sigma, chain.bones), (count, 21))
    seen = xp.isfinite(joints).all(-1) & xp.isfinite(spread)
    if not seen.all():
        joints, spread = fill_joints(chain, joints, seen), xp.where(seen, spread, math.inf)
    known = None if shape is None else xp.broadcast_to(like(shape, chain.bones), (count, 10))
    return Evidence(joints=joints, sigma_joints=spread, shape=known)


def solve_joints(
    chain: Chain[Array], evidence: Evidence[Array], steps: int = 6, huber: float | None = None
) -> State[Array]:
    """The unknowns of hands whose joints are known (`known_joints`), in parts of `BATCH`; angles keep their limits."""
    assert evidence.joints is not None
    config = known_config(steps, huber)
    states = []
    for start in range(0, max(len(evidence.joints), 1), BATCH):
        part = evidence.map(lambda value: value[start : start + BATCH])  # noqa: B023
        states.append(within_limits(chain, solve_evidence(chain, part, config=config), part.shape))
    return join_fields(states)


def known_config(steps: int = 6, huber: float | None = None) -> FitConfig:
    """The settings for joints that are known: their own sigma counts, and so does a given shape."""
    return FitConfig(steps=steps, floor_joints=0.0, shape_sigma=KNOWN_SHAPE_SIGMA, huber_joints=huber)


def within_limits(chain: Chain[Array], state: State[Array], shape: Array | None) -> State[Array]:
    """The state with every angle within its limits, after rounding too, and with `shape` where that is known."""
    xp = namespace(state.inner)
    angles = xp.clip(state.angles, chain.limits[:, 0] + 1e-5, chain.limits[:, 1] - 1e-5)
    return replace(state, inner=xp.concatenate((angles, state.shape if shape is None else shape), axis=1))


def solve_evidence(
    chain: Chain[Array],
    evidence: Evidence[Array],
    K: Array | None = None,
    size: int | None = None,
    hand_length: float | Array | None = None,
    config: FitConfig | None = None,
) -> State[Array]:
    """The unknowns of B hands that agree best with their evidence; arguments and errors as for `fit_evidence`.

    All tensors or all NumPy arrays, as `chain` is.
    """
    config = config or FitConfig()
    terms, start, crop = terms_and_start(chain, evidence, K, size, hand_length, config)
    state, _ = minimise(chain, terms, start, config.steps)
    return state if crop is None else before_crop(crop, state)


def before_crop(crop: UprightCrop[Array], state: State[Array]) -> State[Array]:
    """A state before the upright camera of a crop as one before the crop's own camera."""
    back = crop.turn.swapaxes(-1, -2)
    return State(back @ state.orientation, (back @ state.translation[..., None])[..., 0], state.inner)


def terms_and_start(
    chain: Chain[Array],
    evidence: Evidence[Array],
    K: Array | None,
    size: int | None,
    hand_length: float | Array | None,
    config: FitConfig,
) -> tuple[list[Term[Array]], State[Array], UprightCrop[Array] | None]:
    """What a fit of the evidence weighs, and where it starts, before the upright camera of the crop, if there is one."""
    there = [getattr(evidence, field.name) for field in fields(evidence) if getattr(evidence, field.name) is not None]
    if not there:
        raise ValueError("evidence: is empty")
    crop = None if K is None or size is None else upright_crop(K, size)
    inner = inner_mean(chain, evidence, len(there[0]))
    terms: list[Term[Array]] = []
    orientation = picture = joints = None
    if evidence.orientation is not None:
        orientation = seen_orientation(evidence.orientation, _needed(crop))
        terms.append(OrientationPrior(orientation, config.turn_sigma**-2))
    if evidence.joints_2d is not None or evidence.depth is not None:
        picture = picture_term(evidence, _needed(crop), config)
        terms.append(picture)
    if evidence.joints is not None:
        joints = evidence.joints if crop is None else evidence.joints @ crop.turn.swapaxes(-1, -2)
        terms.append(_joints_term(joints, evidence.sigma_joints, config))
    terms += inner_terms(chain, inner, evidence, config)
    if hand_length is not None:
        length = namespace(inner).broadcast_to(like(hand_length, inner), inner.shape[:1])
        terms.append(LengthTerm(chain, length, config.length_sigma**-2))
    if joints is not None:
        start = _start_from_joints(chain, joints, inner[:, 20:])
    elif evidence.joints_2d is not None and picture is not None and orientation is not None:
        start = start_from_picture(chain, picture, orientation, inner)
    else:
        raise ValueError("evidence: a fit starts from joints, or from joints_2d and orientation")
    return terms, start, crop


def _needed(crop: UprightCrop[Array] | None) -> UprightCrop[Array]:
    if crop is None:
        raise ValueError(
            "evidence: joints_2d, depth and orientation are measured in a crop, whose K and size are needed"
        )
    return crop


def inner_mean(chain: Chain[Array], evidence: Evidence[Array], batch: int) -> Array:
    """Angles, within their limits, and shape (B, 30) of the evidence; relaxed angles and the mean shape where it has none."""
    xp = namespace(chain.bones)
    if evidence.rotations is None:
        angles = relaxed_angles(chain, batch)
    else:
        angles = rotations_to_hinges(chain, evidence.rotations[:, 1:])
        angles = xp.clip(angles, chain.limits[:, 0], chain.limits[:, 1])
    shape = zeros((batch, 10), chain.bones) if evidence.shape is None else evidence.shape
    return xp.concatenate((angles, shape), axis=1)


def joint_terms(chain: Chain[Array], evidence: Evidence[Array], config: FitConfig) -> list[Term[Array]]:
    """The terms of hands whose joints are known (`known_joints`)."""
    assert evidence.joints is not None
    inner: Array = inner_mean(chain, evidence, len(evidence.joints))
    measured = _joints_term(evidence.joints, evidence.sigma_joints, config)
    prior, limits = inner_terms(chain, inner, evidence, config)
    return [measured, prior, limits]


def inner_terms(
    chain: Chain[Array], mean: Array, evidence: Evidence[Array], config: FitConfig
) -> tuple[InnerPrior[Array], SoftLimits[Array]]:
    """What is known of angles and shape (B, 30) before anything is measured: their `mean`, and their limits."""
    xp = namespace(mean)
    weight = zeros((30,), mean)
    weight[:20] = (ANGLE_SIGMA if evidence.rotations is None else config.angle_sigma) ** -2
    weight[20:] = (SHAPE_SIGMA if evidence.shape is None else config.shape_sigma) ** -2
    widest = like([[-LARGEST_SHAPE, LARGEST_SHAPE]] * 10, chain.bones)
    limits = xp.concatenate((chain.limits, widest))  # (30, 2)
    soft = SoftLimits(limits[:, 0], limits[:, 1], xp.full_like(limits[:, 0], config.limit_sigma**-2))
    return InnerPrior(mean, weight), soft


def seen_orientation(relative: Array, crop: UprightCrop[Array]) -> Array:
    """Orientations (B, 3, 3) before the upright camera from those `relative` to the ray through the crop's centre."""
    xp = namespace(relative)
    middle = crop.plane(xp.full_like(relative[:, :1, :2], 0.5))  # (B, 1, 2)
    ray = xp.concatenate((middle, xp.ones_like(middle[..., :1])), axis=-1)[:, 0]
    return ray_to_rotmat(ray) @ relative


def picture_term(evidence: Evidence[Array], crop: UprightCrop[Array], config: FitConfig) -> PictureTerm[Array]:
    """2D joints and relative depths as slopes of rays and ratios of depths; what is not there weighs nothing."""
    xp = namespace(crop.turn)
    blank = zeros((len(crop.turn), 21, 2), crop.turn)
    rays, scale_2d = blank, blank
    ratio, scale_depth = blank[..., 0], blank[..., 0]
    if evidence.joints_2d is not None:
        rays = crop.plane(evidence.joints_2d)
        scale_2d = crop.focal / _at_least(config.floor_2d, evidence.sigma_2d, rays[..., 0])[..., None]
    if evidence.depth is not None:
        focal = crop.focal.mean(-1)  # (B, 1)
        ratio = evidence.depth / focal  # z_j / z_root - 1
        scale_depth = focal / _at_least(config.floor_depth, evidence.sigma_depth, ratio)
    measured = xp.concatenate((rays, ratio[..., None]), axis=-1)
    scale = xp.concatenate((scale_2d, scale_depth[..., None]), axis=-1)
    return PictureTerm(measured, scale, config.huber)


def _joints_term(joints: Array, sigma: Array | None, config: FitConfig) -> JointsTerm[Array]:
    return JointsTerm(joints, _at_least(config.floor_joints, sigma, joints[..., 0]), config.huber_joints)


def _at_least(floor: float, sigma: Array | None, reference: Array) -> Array:
    xp = namespace(reference)
    return xp.full_like(reference, floor) if sigma is None else xp.clip(sigma, floor, None)


def start_from_picture(
    chain: Chain[Array], picture: PictureTerm[Array], orientation: Array, inner: Array
) -> State[Array]:
    """Weak perspective: the distance at which the hand spreads as much as its picture and relative depths do."""
    xp = namespace(inner)
    fingers = joints_and_derivatives(chain, inner[:, :20], inner[:, 20:])[0].reshape(-1, 20, 3)
    rays, ratio = picture.measured[:, 1:, :2], picture.measured[:, 1:, 2:]
    seen = xp.concatenate((rays * (1 + ratio), ratio), axis=-1)  # (B, 20, 3), metres / z_root
    own = xp.square(fingers - fingers.mean(1)[:, None]).sum((1, 2))
    spread = own / xp.clip(xp.square(seen - seen.mean(1)[:, None]).sum((1, 2)), 1e-8, None)
    distance = xp.clip(xp.sqrt(spread), 0.05, 1e4)  # (B,) of the root joint
    there = (seen + like([0.0, 0.0, 1.0], seen)) * distance[:, None, None]
    return State(orientation, (there - fingers @ orientation.swapaxes(-1, -2)).mean(1), inner)


def _start_from_joints(chain: Chain[Array], joints: Array, shape: Array) -> State[Array]:
    """The palm laid onto its joints, which are rigid; then spin match."""
    xp = namespace(joints)
    rest = xp.concatenate((xp.zeros_like(chain.bones[:1, 0]), chain.bones[:, 0]))
    orientation, translation = rigid_alignment(xp.broadcast_to(rest, (len(joints), 6, 3)), joints[:, list(PALM)])
    local = (joints - translation[:, None]) @ orientation  # in the hand frame
    return State(orientation, translation, xp.concatenate((spin_match(chain, local[:, FINGERS]), shape), axis=1))


def pose_of_state(chain: Chain[Array], state: State[Array], forearm: Array | None = None) -> HandPose[Array]:
    """As a hand pose; `forearm` (B, 3, 3) is its first rotation, None: straight."""
    xp = namespace(state.inner)
    forearm = xp.broadcast_to(chain.identity, (len(state.inner), 3, 3)) if forearm is None else forearm
    rotations = xp.concatenate((forearm[:, None], local_rotations(chain, state.angles)), axis=1)
    return HandPose(rotations, state.shape, state.orientation, state.translation)


def usable(pose: HandPose) -> HandPose:
    """Copies that may take part in later differentiation, which tensors of the inference mode may not."""
    return pose.map(lambda values: values.clone())
