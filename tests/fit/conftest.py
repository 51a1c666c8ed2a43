"""Hands in front of a camera, and the evidence that a perfect or spoilt estimator would give of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from phalanx.fit.chain import Chain, build_chain, chain_of, local_rotations
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.fit.state import State
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel, HandPose

SIZE, FOCAL = 128, 300.0


def draw(model: HandModel, batch: int, seed: int = 0, spread: float = 0.9) -> State:
    """Hands in front of the camera; `spread` is the share of the angles' limits that they fill."""
    torch.manual_seed(seed)
    limits = chain_of(model).limits
    share = 0.5 + spread * (torch.rand(batch, 20).to(limits) - 0.5)
    angles = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * share
    return State(
        rotvec_to_rotmat(1.5 * torch.randn(batch, 3).to(limits)),
        (torch.tensor([0.05, 0.02, 0.6]) + 0.05 * torch.randn(batch, 3)).to(limits),
        torch.cat((angles, 0.7 * torch.randn(batch, 10).to(limits)), dim=1),
    )


def pose_of(model: HandModel, state: State) -> HandPose:
    """The same hands as a pose with a straight forearm."""
    forearm = torch.eye(3).to(state.inner).expand(len(state.inner), 1, 3, 3)
    rotations = torch.cat((forearm, local_rotations(chain_of(model), state.angles)), 1)
    return HandPose(rotations, state.shape, state.orientation, state.translation)


def evidence_of(model: HandModel, state: State, noise: float = 0.0, off: float = 0.0):
    """Joints (B, 21, 3), cameras of crops around them, and perfect evidence of what they show, spoilt by `noise` (crop units) and,
    for the parameters, `off` (radians)."""
    joints = model.joints(pose_of(model, state))
    batch, like = len(joints), dict(dtype=joints.dtype)
    seen = joints[..., :2] / joints[..., 2:]
    centre = seen.mean(1)
    K = torch.eye(3, **like).repeat(batch, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = FOCAL
    K[:, :2, 2] = (SIZE - 1) / 2 - centre * FOCAL  # the crop's centre looks at the hand
    root = joints[:, DEPTH_ROOT : DEPTH_ROOT + 1, 2]
    depth = (joints[..., 2] - root) * FOCAL / (root * SIZE)
    joints_2d = (seen * FOCAL + K[:, None, :2, 2] + 0.5) / SIZE
    turn = ray_to_rotmat(torch.cat((centre, torch.ones(batch, 1, **like)), 1))
    angles = state.angles + off * torch.randn(batch, 20, **like)
    straight = torch.eye(3, **like).expand(batch, 1, 3, 3)
    evidence = Evidence(
        joints_2d=joints_2d + noise * torch.randn_like(joints_2d),
        sigma_2d=torch.full((batch, 21), max(noise, 0.004), **like),
        depth=depth + noise * torch.randn_like(depth),
        sigma_depth=torch.full((batch, 21), max(noise, 0.004), **like),
        rotations=torch.cat((straight, local_rotations(chain_of(model), angles)), 1),
        orientation=turn.mT @ state.orientation @ rotvec_to_rotmat(off * torch.randn(batch, 3, **like)),
        shape=torch.zeros(batch, 10, **like),
    )
    return joints, K, evidence


def numpy_chain(model: HandModel) -> Chain:
    """The model's chain in NumPy arrays."""
    return build_chain(model.rest_joints.numpy(), model.joint_basis.numpy())


def as_numpy(record):
    """A dataclass of tensors as one of NumPy arrays."""
    tensors = {name: value for name, value in vars(record).items() if isinstance(value, torch.Tensor)}
    return replace(record, **{name: value.numpy() for name, value in tensors.items()})


def close(array, tensor, tolerance: float = 1e-10) -> None:
    """A NumPy array is what the tensor is."""
    assert isinstance(array, np.ndarray) and isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(array, tensor.numpy(), atol=tolerance, rtol=tolerance)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.open_hand()


@pytest.fixture(scope="module")
def double() -> HandModel:
    return HandModel.open_hand().double()


@pytest.fixture
def hands() -> SimpleNamespace:
    """The parts above, for tests."""
    return SimpleNamespace(
        draw=draw,
        pose_of=pose_of,
        evidence_of=evidence_of,
        numpy_chain=numpy_chain,
        as_numpy=as_numpy,
        close=close,
        size=SIZE,
        focal=FOCAL,
    )
