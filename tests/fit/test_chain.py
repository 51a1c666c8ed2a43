from types import SimpleNamespace

import pytest
import torch

from phalanx.fit.chain import (
    HINGES,
    chain_of,
    hand_length,
    joints_and_derivatives,
    local_rotations,
    rotations_to_hinges,
)
from phalanx.hand.anatomy import angles_to_rotations, rotations_to_angles
from phalanx.hand.model import HandModel, HandPose


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.open_hand().double()


@pytest.fixture
def drawn(model):
    torch.manual_seed(1)
    limits = chain_of(model).limits
    angles = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * torch.rand(5, 20, dtype=torch.float64)
    return angles, torch.randn(5, 10, dtype=torch.float64)


def test_rotations_are_those_of_the_anatomical_angles(model, drawn):
    angles, _ = drawn
    anatomical = torch.zeros(5, 23, dtype=torch.float64)
    anatomical[:, list(HINGES)] = angles
    torch.testing.assert_close(local_rotations(chain_of(model), angles), angles_to_rotations(anatomical)[:, 1:])


def test_angles_come_back(model, drawn):
    angles, _ = drawn
    chain = chain_of(model)
    rotations = local_rotations(chain, angles)
    torch.testing.assert_close(rotations_to_hinges(chain, rotations), angles)


def test_angles_of_any_rotations_are_those_of_the_anatomical_pose(model):
    from phalanx.geometry.rotations import rotvec_to_rotmat

    torch.manual_seed(2)
    rotations = rotvec_to_rotmat(0.6 * torch.randn(6, 16, 3, dtype=torch.float64))
    theirs = rotations_to_angles(rotations)[:, list(HINGES)]
    torch.testing.assert_close(rotations_to_hinges(chain_of(model), rotations[:, 1:]), theirs)


def test_joints_are_those_of_the_hand_model(model, drawn):
    angles, shape = drawn
    chain = chain_of(model)
    pose = HandPose.zero(5, dtype=torch.float64)
    pose.rotations[:, 1:] = local_rotations(chain, angles)
    pose.shape = shape
    expected = model.joints(pose)[:, 1:].unflatten(1, (5, 4))
    torch.testing.assert_close(joints_and_derivatives(chain, angles, shape)[0], expected)


def test_derivatives_are_those_of_autograd(model, drawn):
    angles, shape = drawn
    chain = chain_of(model)
    _, by_angle, by_shape = joints_and_derivatives(chain, angles, shape)
    full_angle, full_shape = torch.autograd.functional.jacobian(
        lambda a, s: joints_and_derivatives(chain, a, s)[0], (angles, shape)
    )  # (B, 5, 4, 3, B, 20), (B, 5, 4, 3, B, 10)
    for b in range(5):
        torch.testing.assert_close(by_shape[b], full_shape[b, ..., b, :])
        for finger in range(5):
            own = full_angle[b, finger, :, :, b].unflatten(-1, (5, 4))  # (4, 3, 5, 4)
            torch.testing.assert_close(by_angle[b, finger], own[:, :, finger])
            others = [k for k in range(5) if k != finger]
            assert float(own[:, :, others].abs().max()) == 0.0


def test_a_hands_length_is_that_of_its_straight_middle_finger(model, drawn):
    _, shape = drawn
    chain = chain_of(model)
    length, slope = hand_length(chain, shape)
    rest = model.joint_positions(shape)[:, [0, 9, 10, 11, 12]]
    torch.testing.assert_close(length, (rest[:, 1:] - rest[:, :-1]).norm(dim=-1).sum(1))
    full = torch.autograd.functional.jacobian(lambda s: hand_length(chain, s)[0], shape)
    torch.testing.assert_close(slope, torch.stack([full[b, b] for b in range(5)]))


def test_numpy_and_torch_agree(model, drawn, hands: SimpleNamespace):
    angles, shape = drawn
    chain, arrays = chain_of(model), hands.numpy_chain(model)
    for name, value in vars(chain).items():
        hands.close(getattr(arrays, name), value)
    for ours, theirs in zip(
        (*joints_and_derivatives(arrays, angles.numpy(), shape.numpy()), *hand_length(arrays, shape.numpy())),
        (*joints_and_derivatives(chain, angles, shape), *hand_length(chain, shape)),
        strict=True,
    ):
        hands.close(ours, theirs)
    rotations = local_rotations(chain, angles)
    hands.close(local_rotations(arrays, angles.numpy()), rotations)
    hands.close(rotations_to_hinges(arrays, rotations.numpy()), rotations_to_hinges(chain, rotations))
