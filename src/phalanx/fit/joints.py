"""From joints to a posed hand: batched Levenberg-Marquardt on the kinematic chain, with analytical derivatives.

Unknowns of a hand (36): turn of the palm (3, a rotation vector in the hand frame), translation (3), hinge angles (20), shape
(10). Each step solves the normal equations, damped by their diagonal (Marquardt 1963), for all hands at once; a hand whose
cost rose goes back and is damped more. At batch 1 the time goes into the number of tensor operations, so there are few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from phalanx.fit.chain import Chain, chain_of, joints_and_derivatives, local_rotations, rotations_to_hinges
from phalanx.fit.spin_match import spin_match
from phalanx.geometry.alignment import rigid_alignment
from phalanx.geometry.rotations import cross_generators, cross_matrix, ray_to_rotmat
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.hand.skeleton import FINGERS

DEPTH_ROOT = 9
"""The joint that measured depths are relative to: the middle finger's MCP, which is seen more often than the wrist."""

TURN, SHIFT, INNER = slice(0, 3), slice(3, 6), slice(6, 36)
"""Where the unknowns are in a step (B, 36); the inner ones are 20 hinge angles, then 10 shape components."""

RELAXED, ANGLE_SIGMA = 0.35, 4.5
"""Flexion that fingers tend to where joints leave it open, and how little, radians."""

KNOWN_SHAPE_SIGMA = 0.01
"""Trust in a shape that is given, standard deviations."""

BATCH = 512
"""Hands fitted to joints at a time: more only need more memory."""

LARGEST_SHAPE = 4.0
"""Soft limit of the shape components, standard deviations."""


class JointEvidence(Protocol):
    """What `fit_evidence` reads; crop units are 0..1 across the crop."""

    joints_2d: Tensor  # (B, 21, 2) crop units
    sigma_2d: Tensor  # (B, 21) crop units
    depth: Tensor  # (B, 21) (z_j - z_root) * f / (z_root * S), root DEPTH_ROOT
    sigma_depth: Tensor  # (B, 21) the same unit
    rotations: Tensor  # (B, 16, 3, 3) local, as in HandPose
    orientation: Tensor  # (B, 3, 3) relative to the viewing ray through the crop's centre
    shape: Tensor  # (B, 10) standard deviations


@dataclass(frozen=True)
class FitConfig:
    """How the measurements and the priors weigh against each other."""

    steps: int = 4
    """Levenberg-Marquardt steps."""
    huber: float = 3.0
    """Joints farther off than this many sigma pull no harder."""
    floor_2d: float = 0.006
    """Least sigma of a 2D joint, crop units."""
    floor_depth: float = 0.012
    """Least sigma of a depth, crop units."""
    angle_sigma: float = 0.3
    """Trust in the network's angles, radians."""
    turn_sigma: float = 0.35
    """Trust in the network's orientation, radians."""
    shape_sigma: float = 0.8
    """Trust in the network's shape, standard deviations."""
    limit_sigma: float = 0.05
    """Softness of the joint limits, radians."""
    length_sigma: float = 0.0005
    """Trust in a given hand length, metres."""


@dataclass
class State:
    """The unknowns of B hands."""

    orientation: Tensor  # (B, 3, 3)
    translation: Tensor  # (B, 3)
    inner: Tensor  # (B, 30) hinge angles (see `fit.chain.HINGES`), shape

    def moved(self, step: Tensor) -> State:
        """The state a step (B, 36) further."""
        return State(
            self.orientation @ small_turn(step[:, TURN]),
            self.translation + step[:, SHIFT],
            self.inner + step[:, INNER],
        )

    def where(self, chosen: Tensor, other: State) -> State:
        """This state where `chosen` (B, 1), `other` elsewhere."""
        return State(
            torch.where(chosen[..., None], self.orientation, other.orientation),
            torch.where(chosen, self.translation, other.translation),
            torch.where(chosen, self.inner, other.inner),
        )

    def pose(self, chain: Chain, forearm: Tensor) -> HandPose:
        """As a hand pose; `forearm` (B, 3, 3) is its first rotation, which joints say nothing of."""
        rotations = torch.cat((forearm[:, None], local_rotations(chain, self.inner[:, :20])), dim=1)
        return HandPose(rotations, self.inner[:, 20:], self.orientation, self.translation)


@dataclass
class Prior:
    """Normal priors of a fit, and soft limits."""

    mean: Tensor  # (B, 30) of the inner unknowns
    weight: Tensor  # (30,) 1 / sigma^2
    limits: Tensor  # (30, 2)
    limit_weight: float
    orientation: Tensor | None  # (B, 3, 3) mean
    turn_weight: float
    length: Tensor | None  # (B,) wanted hand length, metres
    length_weight: float


def make_prior(
    chain: Chain,
    mean: Tensor,
    angle_sigma: float,
    shape_sigma: float,
    limit_sigma: float,
    orientation: Tensor | None = None,
    turn_sigma: float = 1.0,
    length: Tensor | None = None,
    length_sigma: float = 1.0,
) -> Prior:
    """A prior from standard deviations (radians, standard deviations of shape, metres)."""
    weight = mean.new_full((30,), angle_sigma**-2)
    weight[20:] = shape_sigma**-2
    widest = mean.new_tensor([[-LARGEST_SHAPE, LARGEST_SHAPE]]).expand(10, 2)
    limits = torch.cat((chain.limits, widest))
    return Prior(mean, weight, limits, limit_sigma**-2, orientation, turn_sigma**-2, length, length_sigma**-2)


Normal = tuple[Tensor, Tensor, Tensor]
"""Normal equations: matrix (B, 36, 36), gradient (B, 36), and the cost (B, 1) they approximate."""


def small_turn(vector: Tensor) -> Tensor:
    """Rotations (B, 3, 3) that agree to second order with the rotation vectors (B, 3): Cayley's (I - A)^-1 (I + A)."""
    plus = torch.eye(3, dtype=vector.dtype, device=vector.device) + 0.5 * cross_matrix(vector)
    return torch.linalg.solve_ex(plus.mT, plus)[0]


def posed_joints(chain: Chain, state: State) -> tuple[Tensor, Tensor]:
    """Joints (B, 21, 3) in the camera frame and their derivatives (B, 21, 3, 36) by the unknowns."""
    fingers, by_angle, by_shape = joints_and_derivatives(chain, state.inner[:, :20], state.inner[:, 20:])
    local = fingers.new_zeros(
        len(fingers), 21, 3, 37
    )  # relative to the palm; the last column are the joints themselves
    moving = local[:, 1:].unflatten(1, (5, 4))  # (B, 5, 4, 3, 37), the wrist stays
    moving[..., 36] = fingers
    moving[..., TURN] = cross_matrix(-fingers)  # d(w x p) / dw = -[p]x
    moving[..., 26:36] = by_shape
    # Hinges move their own finger only: the blocks on the diagonal of (finger, finger).
    blocks = moving[..., 6:26].unflatten(-1, (5, 4))  # (B, 5, 4, 3, 5, 4)
    blocks.diagonal(dim1=1, dim2=4).copy_(by_angle.permute(0, 2, 3, 4, 1))  # diagonal comes last
    turned = state.orientation[:, None] @ local  # (B, 21, 3, 37)
    derivatives = turned[..., :36]
    derivatives[..., SHIFT].diagonal(dim1=2, dim2=3).fill_(1)
    return turned[..., 36] + state.translation[:, None], derivatives


def normal_equations(residuals: Tensor, derivatives: Tensor, huber: float) -> Normal:
    """Of residuals (B, N, D) in units of sigma, robust per point (Huber 1964, by reweighting), and their derivatives (B, N, D, 36)."""
    size = torch.linalg.vector_norm(residuals, dim=-1, keepdim=True)  # (B, N, 1)
    weight = huber / size.clamp_min(huber)  # 1 within, huber / size beyond
    cost = (weight * (1 - 0.5 * weight) * size * size).sum(dim=1)  # (B, 1)
    weighted = torch.cat((derivatives, residuals[..., None]), dim=-1) * weight.sqrt()[..., None]
    weighted = weighted.flatten(1, 2)  # (B, N * D, 37)
    product = weighted.mT @ weighted  # (B, 37, 37)
    return product[:, :36, :36], product[:, :36, 36], cost


def add_priors(normal: Normal, chain: Chain, state: State, prior: Prior) -> Normal:
    """The normal equations with the priors' share, which is diagonal but for the length's; changes them in place."""
    matrix, gradient, cost = normal
    off = state.inner - prior.mean  # (B, 30)
    beyond = state.inner - torch.clamp(state.inner, prior.limits[:, 0], prior.limits[:, 1])
    pull, push = prior.weight * off, prior.limit_weight * beyond
    gradient[:, INNER] += pull + push
    cost = cost + 0.5 * (pull * off + push * beyond).sum(1, keepdim=True)
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal[:, INNER] += prior.weight + prior.limit_weight * beyond.sign().abs()
    if prior.orientation is not None:
        turn = prior.orientation.mT @ state.orientation
        # sin(angle) * axis: the rotation vector for small turns, never larger than a quarter turn's
        gradient[:, TURN] += (0.5 * prior.turn_weight) * (
            turn.flatten(1) @ cross_generators(turn.device, turn.dtype).mT
        )
        cost = cost + (0.5 * prior.turn_weight) * (3 - turn.diagonal(dim1=1, dim2=2).sum(1, keepdim=True))
        diagonal[:, TURN] += prior.turn_weight
    if prior.length is not None:
        length, slope = hand_length(chain, state.inner[:, 20:])
        off = length - prior.length
        matrix[:, 26:, 26:] += prior.length_weight * slope[:, :, None] * slope[:, None, :]
        gradient[:, 26:] += prior.length_weight * off[:, None] * slope
        cost = cost + 0.5 * prior.length_weight * off.square()[:, None]
    return matrix, gradient, cost


def hand_length(chain: Chain, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Length (B,) of the straight hand in metres, wrist joint to middle finger tip along the bones, and its derivative (B, 10)."""
    bones = chain.bones[2] + (chain.bone_basis[2] @ shape[:, None, :, None])[..., 0]  # (B, 4, 3)
    lengths = torch.linalg.vector_norm(bones, dim=-1)
    slope = torch.einsum("bkc,kcs->bs", bones / lengths[..., None], chain.bone_basis[2])
    return lengths.sum(1), slope


def minimise(equations: Callable[[State], Normal], state: State, steps: int) -> tuple[State, Tensor]:
    """Levenberg-Marquardt from `state`; returns the best state of each hand and its cost (B, 1)."""
    matrix, gradient, cost = equations(state)
    damping = torch.full_like(cost, 1e-2)
    for _ in range(steps):
        damped = matrix + torch.diag_embed(damping * matrix.diagonal(dim1=1, dim2=2) + 1e-6)
        factor = torch.linalg.cholesky_ex(damped)[0]
        step = -torch.cholesky_solve(gradient[..., None], factor)[..., 0].clamp(-1.0, 1.0)  # (B, 36)
        tried = state.moved(step)
        new_matrix, new_gradient, new_cost = equations(tried)
        better = new_cost < cost  # (B, 1), false for NaN too
        state = tried.where(better, state)
        matrix = torch.where(better[..., None], new_matrix, matrix)
        gradient = torch.where(better, new_gradient, gradient)
        damping = damping * (8.0 - 7.8 * better)
        cost = torch.where(better, new_cost, cost)
    return state, cost


def fit_evidence(
    model: HandModel,
    evidence: JointEvidence,
    K: Tensor,
    size: int,
    hand_length: float | Tensor | None = None,
    config: FitConfig | None = None,
) -> HandPose:
    """Pose the hand model so that it agrees with a network's evidence.

    Args:
        model: the hand that the network was trained on.
        evidence: what the network says of B crops.
        K: (B, 3, 3) cameras of the crops, which may be turned: of pixels `K_upright @ R`, R a rotation about the optical axis.
        size: side of the crops in pixels, to which K belongs.
        hand_length: metres from the wrist joint to the tip of the straight middle finger, if known (a number or (B,));
            else the hand's size comes from the model's prior.
        config: weights and number of steps.

    Returns:
        pose in the camera frame of K; its first rotation (the forearm) is the network's.
    """
    with torch.inference_mode():  # a fifth quicker than no_grad at batch 1
        pose = _fit_evidence(model, evidence, K, size, hand_length, config or FitConfig())
    return _usable(pose)


def _fit_evidence(
    model: HandModel,
    evidence: JointEvidence,
    K: Tensor,
    size: int,
    hand_length: float | Tensor | None,
    config: FitConfig,
) -> HandPose:
    chain = chain_of(model)
    K, turn = without_turn(K)
    focal = (K[:, 0, 0] + K[:, 1, 1]) / (2 * size)  # (B,) crop widths
    # Rays through the measured joints and the crop's middle; pixel u * S - 1/2, pixel centres being integers.
    seen = torch.cat((evidence.joints_2d, torch.full_like(evidence.joints_2d[:, :1], 0.5)), dim=1) * size - 0.5
    plane = (seen - K[:, None, :2, 2]) @ torch.linalg.inv(K[:, :2, :2]).mT  # (B, 22, 2) x / z and y / z
    rays, middle = plane[:, :21], plane[:, 21]
    orientation = ray_to_rotmat(functional.pad(middle, (0, 1), value=1.0)) @ evidence.orientation
    f = torch.stack((K[:, 0, 0], K[:, 1, 1]), dim=-1)[:, None] / size  # (B, 1, 2)
    angles = rotations_to_hinges(chain, evidence.rotations[:, 1:])
    angles = torch.clamp(angles, chain.limits[:, 0], chain.limits[:, 1])
    inner = torch.cat((angles, evidence.shape), dim=1)
    length = (
        None if hand_length is None else torch.as_tensor(hand_length, dtype=K.dtype, device=K.device).expand(len(K))
    )
    prior = make_prior(
        chain,
        inner,
        config.angle_sigma,
        config.shape_sigma,
        config.limit_sigma,
        orientation,
        config.turn_sigma,
        length,
        config.length_sigma,
    )
    scale_2d = f / torch.clamp_min(evidence.sigma_2d, config.floor_2d)[..., None]  # (B, 21, 2)
    scale_depth = focal[:, None] / torch.clamp_min(evidence.sigma_depth, config.floor_depth)  # (B, 21)
    scale = torch.cat((scale_2d, scale_depth[..., None]), dim=-1)  # (B, 21, 3)
    ratio = evidence.depth / focal[:, None]  # (B, 21) z_j / z_root - 1
    measured = torch.cat((rays, ratio[..., None]), dim=-1)  # (B, 21, 3)

    def equations(state: State) -> Normal:
        joints, derivatives = posed_joints(chain, state)
        depth = joints[..., 2:].clamp_min(0.02)  # (B, 21, 1)
        xy = joints[..., :2] / depth
        root = depth[:, DEPTH_ROOT : DEPTH_ROOT + 1]
        relative = depth / root  # (B, 21, 1)
        along = derivatives[:, :, 2:]  # (B, 21, 1, 36)
        by_xy = (derivatives[:, :, :2] - xy[..., None] * along) / depth[..., None]
        by_depth = (along - relative[..., None] * along[:, DEPTH_ROOT : DEPTH_ROOT + 1]) / root[..., None]
        residuals = scale * (torch.cat((xy, relative - 1), dim=-1) - measured)
        rows = scale[..., None] * torch.cat((by_xy, by_depth), dim=2)
        return add_priors(normal_equations(residuals, rows, config.huber), chain, state, prior)

    fingers = joints_and_derivatives(chain, angles, evidence.shape)[0].flatten(1, 2)  # (B, 20, 3)
    start = State(orientation, _first_translation(fingers, rays, ratio, orientation), inner)
    state, _ = minimise(equations, start, config.steps)
    back = turn.mT
    state = State(back @ state.orientation, (back @ state.translation[..., None])[..., 0], state.inner)
    return state.pose(chain, evidence.rotations[:, 0])


def without_turn(K: Tensor) -> tuple[Tensor, Tensor]:
    """Cameras (B, 3, 3) as `K_upright @ turn`: turn (B, 3, 3) about the optical axis, K_upright as near diagonal as can be.

    A hand at X before camera K is seen as one at `turn @ X` before the camera K_upright.
    """
    angle = torch.atan2(K[:, 1, 0] - K[:, 0, 1], K[:, 0, 0] + K[:, 1, 1])
    cosine, sine, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    turn = torch.stack((cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1), dim=-1).unflatten(-1, (3, 3))
    return K @ turn.mT, turn


def _first_translation(fingers: Tensor, rays: Tensor, ratio: Tensor, orientation: Tensor) -> Tensor:
    """Weak perspective: the distance at which the hand spreads as much as its picture and relative depths do."""
    seen = torch.cat((rays * (1 + ratio[..., None]), ratio[..., None]), dim=-1)[:, 1:]  # (B, 20, 3), metres / z_root
    own = fingers - fingers.mean(1, keepdim=True)
    spread = own.square().sum(dim=(1, 2)) / (seen - seen.mean(1, keepdim=True)).square().sum(dim=(1, 2)).clamp_min(1e-8)
    distance = spread.sqrt().clamp(0.05, 1e4)  # (B,) of the root joint
    there = (seen + seen.new_tensor([0.0, 0.0, 1.0])) * distance[:, None, None]
    return (there - fingers @ orientation.mT).mean(1)


def fit_joints(
    model: HandModel, joints: Tensor, shape: Tensor | None = None, steps: int = 6, sigma: float = 0.002
) -> HandPose:
    """Pose the hand model on known joints: spin match, then least squares within the joint limits.

    Args:
        model: the hand.
        joints: (B, 21, 3) metres of a right hand, any frame.
        shape: (10,) or (B, 10), where known; else each hand finds its own.
        steps: Levenberg-Marquardt steps.
        sigma: how far joints may be off, metres, against which the priors weigh (shape: standard normal; angles: weak).

    Returns:
        pose in the frame of `joints`; no angle beyond its limits. The forearm is straight, because joints say nothing of it.
    """
    shapes = [None] * len(joints.split(BATCH)) if shape is None else shape.expand(len(joints), 10).split(BATCH)
    with torch.inference_mode():
        parts = [_fit_joints(model, *part, steps, sigma) for part in zip(joints.split(BATCH), shapes, strict=True)]
        pose = concatenate_poses(parts)
    return _usable(pose)


def fit_sequence(model: HandModel, joints: Tensor) -> HandPose:
    """As `fit_joints` for the frames (T, 21, 3) of *one* right hand: all share one shape (the frames' mean)."""
    shape = fit_joints(model, joints).shape.mean(0)
    return fit_joints(model, joints, shape)


def _usable(pose: HandPose) -> HandPose:
    """Copies that may take part in later differentiation, which tensors of the inference mode may not."""
    return pose.map(Tensor.clone)


def _fit_joints(model: HandModel, joints: Tensor, shape: Tensor | None, steps: int, sigma: float) -> HandPose:
    chain = chain_of(model)
    joints = joints.to(chain.bones)
    batch = len(joints)
    # Palm first: wrist, thumb base and knuckles are rigid.
    palm = [0, 1, 5, 9, 13, 17]
    rest = model.rest_joints[palm].expand(batch, -1, -1)
    with torch.inference_mode(False), torch.no_grad():  # RoMa keeps a table of its first call, for differentiation too
        orientation, translation = rigid_alignment(rest, joints[:, palm])
    local = (joints - translation[:, None]) @ orientation  # in the hand frame
    known = joints.new_zeros(batch, 10) if shape is None else shape.to(joints).expand(batch, 10)
    inner = torch.cat((spin_match(chain, local[:, FINGERS]), known), dim=1)
    mean = torch.cat((torch.full_like(inner[:, :20], RELAXED), known), dim=1)
    mean[:, 0:20:4] = 0  # abduction
    prior = make_prior(chain, mean, ANGLE_SIGMA, 1.0 if shape is None else KNOWN_SHAPE_SIGMA, limit_sigma=0.05)

    def equations(state: State) -> Normal:
        posed, derivatives = posed_joints(chain, state)
        normal = normal_equations((posed - joints) / sigma, derivatives / sigma, huber=1e3)
        return add_priors(normal, chain, state, prior)

    state, _ = minimise(equations, State(orientation, translation, inner), steps)
    low, high = (chain.limits + chain.limits.new_tensor([1e-5, -1e-5])).unbind(1)  # within, after rounding too
    within = torch.clamp(state.inner[:, :20], low, high)
    state.inner = torch.cat((within, state.inner[:, 20:] if shape is None else known), dim=1)
    forearm = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(batch, 3, 3)
    return state.pose(chain, forearm)
